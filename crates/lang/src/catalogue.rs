//! The catalogues inside the binary and how a message is made from them.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};

use crate::{Args, Lang};

/// The files of one language, by name.
type Files = &'static [(&'static str, &'static str)];

const ENGLISH: Files = &[
    ("words", include_str!("../locales/en/words.ftl")),
    ("cli", include_str!("../locales/en/cli.ftl")),
    ("ui", include_str!("../locales/en/ui.ftl")),
    ("notify", include_str!("../locales/en/notify.ftl")),
    ("service", include_str!("../locales/en/service.ftl")),
];

const CHINESE: Files = &[
    ("words", include_str!("../locales/zh/words.ftl")),
    ("cli", include_str!("../locales/zh/cli.ftl")),
    ("ui", include_str!("../locales/zh/ui.ftl")),
    ("notify", include_str!("../locales/zh/notify.ftl")),
    ("service", include_str!("../locales/zh/service.ftl")),
    ("explain", include_str!("../locales/zh/explain.ftl")),
];

const fn files(lang: Lang) -> Files {
    match lang {
        Lang::En => ENGLISH,
        Lang::Zh => CHINESE,
    }
}

/// A catalogue is read once. What is wrong in a file is left out here and found by the tests below.
fn read(lang: Lang) -> FluentBundle<FluentResource> {
    let mut bundle = FluentBundle::new_concurrent(lang.tag().parse().into_iter().collect());
    // The marks keep right-to-left text apart, which neither language has; terminals would print them.
    bundle.set_use_isolating(false);
    for (_, text) in files(lang) {
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(readable, _)| readable);
        bundle.add_resource_overriding(resource);
    }
    bundle
}

static EN: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| read(Lang::En));
static ZH: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| read(Lang::Zh));

impl Lang {
    /// The message `key` with its variables. A key that does not exist comes back as `⟦key⟧`, so that it
    /// is seen and tests find it; a variable that is missing stays visible as `{$name}`.
    pub fn text(self, key: &str, args: &Args<'_>) -> String {
        self.find(key, args).unwrap_or_else(|| format!("⟦{key}⟧"))
    }

    /// The message `key`, which has no variables.
    pub fn word(self, key: &str) -> String {
        self.text(key, &[])
    }

    /// The message `key`, where there may be none.
    pub(crate) fn find(self, key: &str, args: &Args<'_>) -> Option<String> {
        let bundle = match self {
            Self::En => &*EN,
            Self::Zh => &*ZH,
        };
        let pattern = bundle.get_message(key)?.value()?;
        let args: FluentArgs<'_> = args.iter().map(|(name, value)| (*name, value.clone())).collect();
        Some(bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The messages of one file: key → names of its variables.
    fn messages(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((key, _)) = line.split_once(" =").filter(|_| !line.starts_with([' ', '*', '}', '[']))
            {
                assert!(messages.insert(key.to_owned(), BTreeSet::new()).is_none(), "{key} stands twice");
                current = Some(key.to_owned());
            }
            if let Some(variables) = current.as_ref().and_then(|key| messages.get_mut(key)) {
                variables.extend(line.split('$').skip(1).map(|rest| {
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect()
                }));
            }
        }
        messages
    }

    #[test]
    fn every_file_is_well_formed_and_keeps_to_its_prefix() {
        for lang in Lang::ALL {
            for (name, text) in files(*lang) {
                if let Err((_, errors)) = FluentResource::try_new((*text).to_owned()) {
                    panic!("{lang:?} {name}.ftl: {errors:?}");
                }
                for key in messages(text).keys().filter(|_| *name != "words") {
                    assert!(key.starts_with(&format!("{name}-")), "{key} does not belong into {name}.ftl");
                }
            }
        }
    }

    #[test]
    fn both_languages_have_the_same_messages_with_the_same_variables() {
        for (name, english) in ENGLISH {
            let (_, chinese) = CHINESE.iter().find(|(other, _)| other == name).expect("a Chinese file");
            let (english, chinese) = (messages(english), messages(chinese));
            for (key, variables) in &english {
                assert_eq!(Some(variables), chinese.get(key), "{key} in {name}.ftl: English against Chinese");
            }
            for key in chinese.keys() {
                assert!(english.contains_key(key), "{key} in {name}.ftl is Chinese only");
            }
        }
    }

    #[test]
    fn every_message_can_be_made_without_an_error() {
        for lang in Lang::ALL {
            for (key, variables) in files(*lang).iter().flat_map(|(_, text)| messages(text)) {
                let args: Vec<_> = variables.iter().map(|name| (name.as_str(), 2.into())).collect();
                let text = lang.text(&key, &args);
                assert!(!text.contains(['⟦', '{', '}']), "{lang:?} {key}: {text}");
            }
        }
    }

    #[test]
    fn a_missing_message_or_variable_is_seen_and_never_a_panic() {
        assert_eq!(Lang::En.word("no-such-key"), "⟦no-such-key⟧");
        assert_eq!(Lang::Zh.word("span-ago"), "{$span}前");
    }

    #[test]
    fn numbers_choose_the_plural() {
        assert_eq!(Lang::En.text("cli-summary", &[("count", 1.into())]), "one service");
        assert_eq!(Lang::En.text("cli-summary", &[("count", 7.into())]), "7 services");
        assert_eq!(Lang::Zh.text("cli-summary", &[("count", 7.into())]), "共 7 个服务");
    }
}
