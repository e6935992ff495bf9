//! One past moment of one service: how it was, and why, as the journal tells it.

use lifesign_core::time::Wall;
use lifesign_core::view::{About, Explanation, Fact};
use maud::{Markup, html};

use super::service::{PARTS, told};
use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// What the page shows.
pub(crate) struct Past {
    pub(crate) explanation: Explanation,
    /// The moment.
    pub(crate) at: Wall,
}

/// Draws the page.
pub(crate) fn draw(data: &Past, look: &Look) -> Markup {
    let lang = look.lang();
    let then = &data.explanation;
    let service = format!("/services/{}", then.id);
    let phrase = parts::phrase(lang, then.state, then.reason);
    let title = lang.text("ui-why-title", &[("service", then.id.as_str().into())]);
    let verdict = then.facts.iter().find(|fact| fact.about == About::Verdict);
    let main = html! {
        p.crumb { a href=(service) { (then.id) } }
        div.head {
            div {
                div.title {
                    h1 { (title) }
                    span.pill.(parts::class_of(then.state, then.reason)) { (parts::sign(then.state, 14)) (phrase) }
                    span.small.soft { (lang.word("ui-as-of")) " " (parts::moment(data.at)) }
                }
                @if let Some(fact) = verdict { p.sentence { (told(fact, look)) } }
            }
        }
        section.panel {
            header { h2 { (lang.word("ui-why")) } p { (lang.word("ui-why-then-hint")) } }
            div.inside.why-list {
                @for about in PARTS {
                    // The first verdict stands below the title.
                    @let said = usize::from(about == About::Verdict);
                    @let facts: Vec<_> = then.facts.iter().filter(|fact| fact.about == about).skip(said).collect();
                    @if !facts.is_empty() {
                        div {
                            h3 { (lang.about(about)) }
                            ul { @for fact in facts { li { (sentence(fact, look)) } } }
                        }
                    }
                }
            }
        }
    };
    frame::page(&title, look, &main)
}

/// A sentence; a line of a timeline with its time, which scripts turn into the reader's zone, and an incident
/// with the way to it.
fn sentence(fact: &Fact, look: &Look) -> Markup {
    let arg = |name: &str| fact.args.get(name).map(String::as_str);
    match (&*fact.code, arg("at").and_then(Wall::parse), arg("what"), arg("incident")) {
        ("replay-line", Some(at), Some(what), _) => html! {
            (parts::moment(at)) " " b { (look.lang().timeline(what)) } " "
            span.soft lang=[look.english()] { (arg("detail").unwrap_or_default()) }
        },
        ("replay-incident", _, _, Some(id)) => html! {
            a href={ "/incidents/" (id) } { (told(fact, look)) }
        },
        _ => told(fact, look),
    }
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::super::samples;
    use super::*;

    #[test]
    fn the_page_says_how_it_was_then_and_leads_back_and_on() {
        let page = draw(&samples::past(), &samples::look(Lang::En)).into_string();
        for part in [
            "Why: payments",
            "down: hung",
            "It was down (hung), for 10 s by then",
            "href=\"/services/payments\"",
            "href=\"/incidents/11\"",
            "<b>Restart scheduled</b>",
            "<time datetime=\"2026-",
        ] {
            assert!(page.contains(part), "{part} is missing\n{page}");
        }
    }

    #[test]
    fn the_page_is_told_in_chinese_and_english_words_are_marked() {
        let page = draw(&samples::past(), &samples::look(Lang::Zh)).into_string();
        for part in ["<html lang=\"zh-CN\"", "当时状态为", "已安排重启", "lang=\"en\">in 1 s, attempt 1 of 3"]
        {
            assert!(page.contains(part), "{part} is missing\n{page}");
        }
    }
}
