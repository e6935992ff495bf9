//! Which language to speak: from an environment, a browser, or a name that somebody wrote.

/// A language lifesign speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

impl Lang {
    /// Every language.
    pub const ALL: &'static [Self] = &[Self::En, Self::Zh];

    /// The BCP 47 tag, as HTML's `lang` wants it.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    /// The short word of options and cookies: `en`, `zh`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The language's name in itself.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Zh => "中文",
        }
    }

    /// Reads a name: `en`, `zh`, `zh-CN`, `zh_CN.UTF-8`, `English`, `中文`, … `None` for any other language.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        match name.split(['-', '_', '.', '@']).next().unwrap_or_default() {
            "en" | "english" | "c" | "posix" => Some(Self::En),
            "zh" | "chinese" | "中文" | "简体中文" => Some(Self::Zh),
            _ => None,
        }
    }

    /// The language of an environment: the first that says something of `LC_ALL`, `LC_MESSAGES`, `LANG`
    /// decides; English where it is unset or a language we do not speak.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Self {
        ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(get)
            .find(|value| !value.is_empty())
            .and_then(|value| Self::parse(&value))
            .unwrap_or_default()
    }

    /// The best language for an `Accept-Language` header (RFC 9110, section 12.5.4); English where none fits.
    pub fn from_accept_language(header: &str) -> Self {
        let mut best = (Self::default(), 0.0);
        for range in header.split(',').take(32) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight: f32 = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
            let lang = if tag == "*" { Some(Self::default()) } else { Self::parse(tag) };
            if let Some(lang) = lang.filter(|_| weight > best.1) {
                best = (lang, weight);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_languages_are_read_in_every_usual_spelling() {
        for name in ["en", "en-GB", "en_US.UTF-8", "English", " EN ", "C", "POSIX"] {
            assert_eq!(Lang::parse(name), Some(Lang::En), "{name}");
        }
        for name in ["zh", "zh-CN", "zh_CN.UTF-8", "zh-Hans-CN", "中文", "Chinese"] {
            assert_eq!(Lang::parse(name), Some(Lang::Zh), "{name}");
        }
        for name in ["", "de", "zhx", "enx"] {
            assert_eq!(Lang::parse(name), None, "{name}");
        }
        for lang in Lang::ALL {
            assert_eq!(Lang::parse(lang.code()), Some(*lang));
            assert_eq!(Lang::parse(lang.tag()), Some(*lang));
            assert_eq!(Lang::parse(lang.own_name()), Some(*lang));
        }
    }

    #[test]
    fn the_first_variable_that_says_something_decides() {
        let environment = |pairs: &'static [(&str, &str)]| {
            Lang::from_environment(|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(environment(&[]), Lang::En);
        assert_eq!(environment(&[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(environment(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(environment(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "")]), Lang::Zh);
        assert_eq!(environment(&[("LANG", "de_DE")]), Lang::En);
    }

    #[test]
    fn the_heaviest_accepted_language_wins_and_nonsense_is_english() {
        for (header, lang) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en-US,en;q=0.9,zh;q=0.8", Lang::En),
            ("de, zh;q=0.3, en;q=0.2", Lang::Zh),
            ("en;q=0.1, zh;q=0.5", Lang::Zh),
            ("zh;q=0, en;q=0.1", Lang::En),
            ("*", Lang::En),
            ("", Lang::En),
            ("zh;q=NaN, ;;;,,q", Lang::En),
        ] {
            assert_eq!(Lang::from_accept_language(header), lang, "{header}");
        }
    }
}
