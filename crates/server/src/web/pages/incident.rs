//! One incident: what happened, line by line, who takes care, and who was told.

use lifesign_core::effect::{Incident, TimelineEntry};
use lifesign_core::model::State;
use lifesign_store::SentNotification;
use maud::{Markup, html};

use super::notifications;
use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// What the page shows.
pub(crate) struct Record {
    pub(crate) incident: Incident,
    /// Oldest first.
    pub(crate) timeline: Vec<TimelineEntry>,
    /// The notifications that told of it, newest first.
    pub(crate) sent: Vec<SentNotification>,
}

/// Draws the page.
pub(crate) fn draw(data: &Record, look: &Look) -> Markup {
    let lang = look.lang();
    let incident = &data.incident;
    let is_open = incident.closed_at.is_none();
    let like = if is_open { incident.state } else { State::Up };
    let title = lang.text("ui-incident-title", &[("id", incident.id.0.to_string().into())]);
    let main = html! {
        p.crumb { a href="/incidents" { (lang.word("ui-incidents")) } }
        div.head {
            div {
                div.title {
                    h1 { (title) }
                    span.pill.(parts::class(like)) {
                        (parts::sign(like, 14)) (lang.word(if is_open { "ui-open" } else { "ui-closed" }))
                    }
                    (parts::severity(lang, incident.severity))
                }
                p.sentence {
                    a href={ "/services/" (incident.service_id) } { (incident.service_id) }
                    " · " (parts::phrase(lang, incident.state, incident.reason))
                }
            }
            @if is_open && incident.acknowledged_by.is_none() && look.may_write() {
                form method="post" action={ "/incidents/" (incident.id) "/ack" } {
                    button.strong { (lang.word("ui-acknowledge")) }
                }
            }
        }
        div.columns {
            section.panel {
                header { h2 { (lang.word("ui-timeline")) } }
                div.inside {
                    @if data.timeline.is_empty() { p.soft { (lang.word("ui-timeline-empty")) } }
                    ol.timeline { @for entry in &data.timeline { (line(entry, look)) } }
                }
            }
            div {
                section.panel {
                    header { h2 { (lang.word("ui-facts")) } }
                    div.inside { (facts(incident, look)) }
                }
                section.panel {
                    header { h2 { (lang.word("ui-notifications")) } }
                    @if data.sent.is_empty() { p.empty { (lang.word("ui-nobody-told")) } }
                    ul.rows { @for sent in &data.sent { (notifications::row(sent, look)) } }
                }
            }
        }
    };
    frame::page(&title, look, &main)
}

fn line(entry: &TimelineEntry, look: &Look) -> Markup {
    let lang = look.lang();
    let like = match &*entry.what {
        "opened" | "restart_failed" | "not_proven" | "notify_failed" => Some("t-bad"),
        "closed" | "proven" => Some("t-good"),
        "restart_scheduled" | "restart_started" | "restart_done" | "restart_refused" | "acknowledged"
        | "notified" => Some("t-act"),
        _ => None,
    };
    html! {
        li class=[like] {
            (parts::moment(entry.at))
            div {
                b { (lang.timeline(&entry.what)) }
                @if &*entry.what == "output" {
                    pre tabindex="0" lang=[look.english()] { (entry.detail) }
                } @else if !entry.detail.is_empty() {
                    p lang=[look.english()] { (entry.detail) }
                }
            }
        }
    }
}

fn facts(incident: &Incident, look: &Look) -> Markup {
    let lang = look.lang();
    let end = incident.closed_at.unwrap_or(look.now);
    html! {
        dl.facts {
            div { dt { (lang.word("ui-host")) } dd { (incident.host) } }
            div { dt { (lang.word("ui-opened")) } dd { (parts::moment(incident.opened_at)) } }
            div { dt { (lang.word("ui-detected-after")) } dd { (lang.duration(incident.detected_at.since(incident.opened_at))) } }
            @if let Some(at) = incident.closed_at {
                div { dt { (lang.word("ui-closed-at")) } dd { (parts::moment(at)) } }
            }
            div {
                dt { (lang.word("ui-duration")) }
                dd {
                    @if incident.closed_at.is_some() { (lang.duration(end.since(incident.opened_at))) }
                    @else { (parts::age(lang, incident.opened_at, look.now)) }
                }
            }
            div {
                dt { (lang.word("ui-acknowledged-by")) }
                dd { @match &incident.acknowledged_by { Some(by) => (by), None => (lang.word("ui-nobody")) } }
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
    fn an_open_incident_can_be_acknowledged_once() {
        let mut data = samples::record();
        let look = samples::look(Lang::En);
        assert!(draw(&data, &look).into_string().contains("action=\"/incidents/12/ack\""));
        data.incident.acknowledged_by = Some("ops".into());
        let page = draw(&data, &look).into_string();
        assert!(!page.contains("/ack\"") && page.contains("ops"));
    }

    #[test]
    fn the_timeline_is_told_in_the_readers_words() {
        let page = draw(&samples::record(), &samples::look(Lang::Zh)).into_string();
        for part in ["事件开始", "已安排重启", "最后输出", "<pre tabindex=\"0\" lang=\"en\">"] {
            assert!(page.contains(part), "{part} is missing");
        }
    }
}
