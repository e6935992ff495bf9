//! What stands around every page: head, navigation, choices, foot.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets;
use super::look::{Look, Place, Theme};
use super::parts;
use lifesign_lang::Lang;

/// The address of the live events.
const EVENTS: &str = "/api/v1/events";

const ENTRIES: [(Place, &str, &str); 6] = [
    (Place::Overview, "/", "ui-overview"),
    (Place::Incidents, "/incidents", "ui-incidents"),
    (Place::Hosts, "/hosts", "ui-hosts"),
    (Place::Rules, "/rules", "ui-rules"),
    (Place::Notifications, "/notifications", "ui-notifications"),
    (Place::About, "/about", "ui-about"),
];

/// The whole document around `main`.
pub(super) fn page(title: &str, look: &Look, main: &Markup) -> Markup {
    let lang = look.lang();
    let bad = look.open_incidents > 0;
    let theme = Some(look.taste.theme).filter(|theme| *theme != Theme::Auto).map(Theme::as_str);
    html! {
        (DOCTYPE)
        html lang=(lang.tag()) data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content=(theme.unwrap_or("light dark"));
                title {
                    @if bad { "(" (look.open_incidents) ") " }
                    (title) " · lifesign"
                }
                link rel="icon" href=(assets::address(if bad { "icon-bad.svg" } else { "icon-good.svg" }));
                link rel="stylesheet" href=(assets::address("app.css"));
                script type="module" src=(assets::address("app.js")) {}
            }
            body data-now=(look.now) data-ago=(lang.text("span-ago", &[("span", "{span}".into())]))
                data-units=(units(lang)) data-keys=(if look.taste.keys { "on" } else { "off" })
                data-events=[look.reader.as_ref().map(|_| EVENTS)] {
                a.skip href="#main" { (lang.word("ui-skip")) }
                header.top { div #top { (top(look)) } }
                p.lost #lost role="alert" hidden { (lang.word("ui-connection-lost")) }
                div #hold role="status" {
                    @if look.on_hold { p.hold { (lang.word("ui-on-hold")) } }
                }
                div.for-ears #say role="status" {}
                @if let Some(flash) = &look.flash {
                    div.flash.is-bad[flash.refused] role="status" { p { (lang.word(flash.key)) } }
                }
                main #main tabindex="-1" { (main) }
                (foot(look))
            }
        }
    }
}

/// The words that growing ages need, in the order seconds, minutes, hours, days.
fn units(lang: Lang) -> String {
    ["unit-s", "unit-min", "unit-h", "unit-d"].map(|key| lang.word(key)).join(" ")
}

fn top(look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        a.brand.is-bad[look.open_incidents > 0] href="/" {
            (parts::pulse()) "lifesign"
        }
        @if look.reader.is_some() {
            nav aria-label=(lang.word("ui-main-navigation")) {
                ul {
                    @for (place, href, key) in ENTRIES {
                        li {
                            a href=(href) aria-current=[(place == look.place).then_some("page")] {
                                (lang.word(key))
                                @if place == Place::Incidents && look.open_incidents > 0 {
                                    span.badge {
                                        (look.open_incidents)
                                        span.for-ears { " " (lang.word("ui-open-ones")) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        div.tools {
            div.themes role="group" aria-label=(lang.word("ui-theme")) {
                @for theme in Theme::ALL {
                    @let word = lang.word(&format!("ui-theme-{}", theme.as_str()));
                    a href=(parts::address("/preferences", &[("theme", theme.as_str()), ("next", &look.here)]))
                        aria-label=(word) title=(word)
                        aria-current=[(theme == look.taste.theme).then_some("true")] {
                        (theme_icon(theme))
                    }
                }
            }
            @for other in Lang::ALL.iter().filter(|other| **other != lang) {
                a.word href=(parts::address("/preferences", &[("lang", other.code()), ("next", &look.here)]))
                    lang=(other.tag()) hreflang=(other.tag()) { (other.own_name()) }
            }
            @if let Some(reader) = &look.reader {
                form method="post" action="/logout" {
                    button.plain title=(lang.text("ui-logged-in-as", &[("name", reader.name.as_str().into())])) {
                        (lang.word("ui-log-out"))
                    }
                }
            }
        }
    }
}

fn theme_icon(theme: Theme) -> Markup {
    let path = match theme {
        Theme::Auto => {
            r#"<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5a5.5 5.5 0 0 1 0 11z" fill="currentColor"/>"#
        }
        Theme::Light => {
            r#"<circle cx="8" cy="8" r="2.75"/><path d="M8 1.5v1.25M8 13.25v1.25M1.5 8h1.25M13.25 8h1.25M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9"/>"#
        }
        Theme::Dark => r#"<path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z"/>"#,
    };
    html! {
        svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.4"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" { (PreEscaped(path)) }
    }
}

fn foot(look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        footer.foot {
            span { "lifesign " (env!("CARGO_PKG_VERSION")) }
            @if look.reader.is_some() {
                span {
                    (lang.word("ui-made-at")) " "
                    span #made { (parts::moment(look.now)) }
                }
                @let (key, to) = if look.taste.keys { ("ui-keys-on", "off") } else { ("ui-keys-off", "on") };
                a.soft href=(parts::address("/preferences", &[("keys", to), ("next", &look.here)])) {
                    (lang.word(key))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::samples;
    use super::*;

    /// `tests/browser/checks/accessibility.mjs` puts the second in the place of the first.
    #[test]
    fn a_pause_of_all_stands_on_top_of_every_page_and_is_said_to_screen_readers() {
        for lang in [Lang::En, Lang::Zh] {
            let working = samples::look(lang);
            let paused = Look { on_hold: true, ..samples::look(lang) };
            let drawn = |look: &Look| page("Rules", look, &html! {}).into_string();
            assert!(drawn(&working).contains("<div id=\"hold\" role=\"status\"></div>"));
            let banner = format!(
                "<div id=\"hold\" role=\"status\"><p class=\"hold\">{}</p></div>",
                lang.word("ui-on-hold")
            );
            assert!(drawn(&paused).contains(&banner), "{}", drawn(&paused));
        }
    }
}
