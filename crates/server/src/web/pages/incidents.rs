//! The incidents, newest first.

use lifesign_core::effect::Incident;
use lifesign_core::model::State;
use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// What the page shows.
pub(crate) struct Incidents {
    /// Newest first.
    pub(crate) incidents: Vec<Incident>,
    /// Whether only open ones are wanted.
    pub(crate) open_only: bool,
    /// Where older ones begin.
    pub(crate) next: Option<String>,
}

/// Draws the page.
pub(crate) fn draw(data: &Incidents, look: &Look) -> Markup {
    let lang = look.lang();
    let main = html! {
        div.head {
            div { h1 { (lang.word("ui-incidents")) } p { (lang.word("ui-incidents-hint")) } }
            ul.chips aria-label=(lang.word("ui-show")) {
                @for (open_only, href, key) in [(false, "/incidents", "ui-all"), (true, "/incidents?open=true", "ui-open")] {
                    li { a href=(href) aria-current=[(open_only == data.open_only).then_some("true")] { (lang.word(key)) } }
                }
            }
        }
        section.panel aria-label=(lang.word("ui-incidents")) {
            @if data.incidents.is_empty() {
                p.empty { (lang.word(if data.open_only { "ui-no-open-incidents" } else { "ui-no-incidents" })) }
            }
            ul.rows { @for incident in &data.incidents { (row(incident, look)) } }
        }
        @if let Some(next) = &data.next {
            @let query = [("before", next.as_str()), ("open", "true")];
            @let query = if data.open_only { &query[..] } else { &query[..1] };
            p { a.button href=(parts::address("/incidents", query)) { (lang.word("ui-older")) } }
        }
    };
    frame::page(&lang.word("ui-incidents"), look, &main)
}

/// One incident as a line of a list.
pub(crate) fn row(incident: &Incident, look: &Look) -> Markup {
    let lang = look.lang();
    let like = if incident.closed_at.is_some() { State::Up } else { incident.state };
    html! {
        li id={ "i-" (incident.id) } data-row {
            div.entry {
                div {
                    div.line {
                        span.(parts::class(like)) { (parts::sign(like, 16)) }
                        a data-open href={ "/incidents/" (incident.id) } { "#" (incident.id) " " (incident.service_id) }
                        span.small { (parts::phrase(lang, incident.state, incident.reason)) }
                    }
                    div.more {
                        (incident.host)
                        @if let Some(by) = &incident.acknowledged_by {
                            " · " (lang.text("ui-taken-by", &[("name", (&**by).into())]))
                        }
                    }
                }
                div.when {
                    (parts::moment(incident.opened_at))
                    br;
                    @match incident.closed_at {
                        Some(at) => {
                            (lang.text("ui-lasted", &[("span", lang.duration(at.since(incident.opened_at)).into())]))
                        }
                        None => { b.is-down { (lang.word("ui-open")) " · " (parts::age(lang, incident.opened_at, look.now)) } }
                    }
                }
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
    fn open_incidents_say_so_and_closed_ones_how_long_they_lasted() {
        let page = draw(&samples::incidents(), &samples::look(Lang::En)).into_string();
        assert!(page.contains("#12 payments") && page.contains("lasted 6 min 40 s"), "{page}");
        assert!(page.contains("/incidents?before=9"));
        let none = Incidents { incidents: Vec::new(), open_only: true, next: None };
        assert!(
            draw(&none, &samples::look(Lang::Zh))
                .into_string()
                .contains(&Lang::Zh.word("ui-no-open-incidents"))
        );
    }
}
