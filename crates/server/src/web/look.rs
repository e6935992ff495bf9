//! How a page is to look for whoever asked: language, colours, shortcuts, and what they may do.

use http::HeaderMap;
use http::header::{ACCEPT_LANGUAGE, COOKIE};
use lifesign_core::time::Wall;
use lifesign_lang::Lang;

/// The cookie that keeps the reader's language.
pub(super) const LANG_COOKIE: &str = "lifesign_lang";
/// The cookie that keeps the reader's colours.
pub(super) const THEME_COOKIE: &str = "lifesign_theme";
/// The cookie of a reader who wants no single-key shortcuts (WCAG 2.2, 2.1.4).
pub(super) const KEYS_COOKIE: &str = "lifesign_keys";

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Theme {
    /// As the browser prefers.
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == word)
    }
}

/// What a reader chose, or their browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taste {
    pub(super) lang: Lang,
    pub(super) theme: Theme,
    /// Whether single keys are shortcuts.
    pub(super) keys: bool,
}

impl Taste {
    /// A choice made by hand weighs more than the browser's language.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = || {
            headers
                .get(ACCEPT_LANGUAGE)
                .and_then(|value| value.to_str().ok())
                .map_or(Lang::En, Lang::from_accept_language)
        };
        Self {
            lang: cookie(headers, LANG_COOKIE).and_then(Lang::parse).unwrap_or_else(accepted),
            theme: cookie(headers, THEME_COOKIE).and_then(Theme::parse).unwrap_or_default(),
            keys: cookie(headers, KEYS_COOKIE) != Some("off"),
        }
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Incidents,
    Hosts,
    Rules,
    Notifications,
    About,
    /// Outside: the login page, errors before it.
    Nowhere,
}

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    /// The token's name.
    pub(super) name: String,
    /// Whether orders may be given.
    pub(super) may_write: bool,
}

/// All a page needs beside its own data.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) taste: Taste,
    pub(super) place: Place,
    /// Path and query of the page.
    pub(super) here: String,
    /// The server's time when the page was made.
    pub(super) now: Wall,
    /// `None` on the login page.
    pub(super) reader: Option<Reader>,
    /// Open incidents, for title, icon and navigation.
    pub(super) open_incidents: usize,
    /// Whether alerts and restarts of all services are held.
    pub(super) on_hold: bool,
    /// What the page says about the order that led to it.
    pub(super) flash: Option<Flash>,
}

/// The answer to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flash {
    /// The key of the sentence.
    pub(super) key: &'static str,
    /// Whether the order was refused.
    pub(super) refused: bool,
}

impl Look {
    pub(super) fn lang(&self) -> Lang {
        self.taste.lang
    }

    pub(super) fn may_write(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.may_write)
    }

    /// The value of `lang` for words that only exist in English; nothing on an English page.
    pub(super) fn english(&self) -> Option<&'static str> {
        (self.lang() != Lang::En).then_some("en")
    }
}

/// A place to go back to, if it is one of ours. Anything else would let a link lead readers away.
pub(super) fn own_path(next: Option<&str>) -> &str {
    next.filter(|path| {
        path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t'])
    })
    .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taste(headers: &[(&str, &str)]) -> Taste {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        Taste::of(&map)
    }

    #[test]
    fn the_readers_choice_weighs_more_than_the_browsers_language() {
        assert_eq!(taste(&[]), Taste { lang: Lang::En, theme: Theme::Auto, keys: true });
        assert_eq!(taste(&[("accept-language", "zh-CN,en;q=0.5")]).lang, Lang::Zh);
        let chosen = taste(&[
            ("accept-language", "zh-CN"),
            ("cookie", "other=1; lifesign_lang=en; lifesign_theme=dark; lifesign_keys=off"),
        ]);
        assert_eq!(chosen, Taste { lang: Lang::En, theme: Theme::Dark, keys: false });
    }

    #[test]
    fn nonsense_in_cookies_is_no_choice() {
        let odd = taste(&[("cookie", "lifesign_lang=xx; lifesign_theme=; ;;=; lifesign_theme")]);
        assert_eq!(odd, Taste { lang: Lang::En, theme: Theme::Auto, keys: true });
    }

    #[test]
    fn only_our_own_pages_are_gone_back_to() {
        assert_eq!(own_path(Some("/services/web?span=7d")), "/services/web?span=7d");
        for away in ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "", "/a\r\nb"] {
            assert_eq!(own_path(Some(away)), "/", "{away:?}");
        }
        assert_eq!(own_path(None), "/");
    }
}
