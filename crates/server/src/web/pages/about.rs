//! How lifesign itself stands, part by part.

use lifesign_component::{Standing, Status};
use lifesign_core::model::State;
use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// What the page shows.
pub(crate) struct About {
    /// The parts, in the order of start.
    pub(crate) parts: Vec<Status>,
    /// Browsers and programs that follow the live events.
    pub(crate) followers: usize,
}

/// Draws the page.
pub(crate) fn draw(data: &About, look: &Look) -> Markup {
    let lang = look.lang();
    let is_well = data.parts.iter().all(|part| part.status == Standing::Up);
    let main = html! {
        div.head {
            div {
                h1 { "lifesign " (env!("CARGO_PKG_VERSION")) }
                p { (lang.word(if is_well { "ui-self-well" } else { "ui-self-unwell" })) }
            }
        }
        div.columns {
            section.panel {
                header { h2 { (lang.word("ui-parts")) } p { (lang.word("ui-parts-hint")) } }
                @if data.parts.is_empty() { p.empty { (lang.word("ui-no-parts")) } }
                ul.rows { @for part in &data.parts { (row(part, look)) } }
            }
            section.panel {
                header { h2 { (lang.word("ui-more")) } }
                div.inside {
                    dl.facts {
                        div { dt { (lang.word("ui-followers")) } dd { (data.followers) } }
                    }
                    ul.links {
                        li { a href="/api/v1/openapi.json" { (lang.word("ui-openapi")) } }
                        li { a href="/readyz" { (lang.word("ui-readyz")) } }
                        li { a href="/metrics" { (lang.word("ui-self-metrics")) } }
                    }
                }
            }
        }
        section.panel {
            header { h2 { (lang.word("ui-keys")) } }
            div.inside {
                dl.facts {
                    @for (keys, word) in [("/", "ui-key-filter"), ("j  k", "ui-key-walk"), ("Esc", "ui-key-clear")] {
                        div { dt { kbd { (keys) } } dd { (lang.word(word)) } }
                    }
                }
            }
        }
    };
    frame::page(&lang.word("ui-about"), look, &main)
}

fn row(part: &Status, look: &Look) -> Markup {
    let lang = look.lang();
    let (like, key) = match part.status {
        Standing::Up => (State::Up, "ui-part-up"),
        Standing::Starting => (State::Pending, "ui-part-starting"),
        Standing::Down => (State::Down, "ui-part-down"),
        Standing::Stopped => (State::Unknown, "ui-part-stopped"),
    };
    html! {
        li {
            div.entry {
                div {
                    div.line { b { (part.name) } }
                    @if part.restarts > 0 {
                        div.more { (lang.text("ui-part-restarts", &[("count", part.restarts.into())])) }
                    }
                    @if let Some(error) = &part.last_error { div.more lang=[look.english()] { (error) } }
                }
                div.when { span.state.(parts::class(like)) { (parts::sign(like, 14)) (lang.word(key)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::super::samples;
    use super::*;

    #[test]
    fn a_part_that_died_says_why() {
        let page = draw(&samples::about(), &samples::look(Lang::En)).into_string();
        assert!(page.contains("the mail server refused the login") && page.contains("2 restarts"));
    }
}
