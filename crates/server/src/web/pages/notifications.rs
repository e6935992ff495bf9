//! What was sent to whom, and what the other side said.

use lifesign_core::effect::{Notification, NotifyReason};
use lifesign_core::model::State;
use lifesign_lang::Lang;
use lifesign_store::{SendState, SentNotification};
use maud::{Markup, html};

use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;

/// What the page shows.
pub(crate) struct Notifications {
    /// Newest first.
    pub(crate) sent: Vec<SentNotification>,
    /// Where older ones begin.
    pub(crate) next: Option<String>,
}

/// Draws the page.
pub(crate) fn draw(data: &Notifications, look: &Look) -> Markup {
    let lang = look.lang();
    let main = html! {
        div.head { div { h1 { (lang.word("ui-notifications")) } p { (lang.word("ui-notifications-hint")) } } }
        section.panel aria-label=(lang.word("ui-notifications")) {
            @if data.sent.is_empty() { p.empty { (lang.word("ui-no-notifications")) } }
            ul.rows { @for sent in &data.sent { (row(sent, look)) } }
        }
        @if let Some(next) = &data.next {
            p { a.button href=(parts::address("/notifications", &[("before", next)])) { (lang.word("ui-older")) } }
        }
    };
    frame::page(&lang.word("ui-notifications"), look, &main)
}

/// One notification as a line of a list.
pub(crate) fn row(sent: &SentNotification, look: &Look) -> Markup {
    let lang = look.lang();
    let (state, key) = standing(sent);
    let told = &sent.notification;
    html! {
        li id={ "n-" (told.id) } {
            div.entry {
                div {
                    div.line {
                        b { (told.receiver) }
                        span.pill { (reason(lang, told.reason)) }
                        @if let Some(id) = told.incident { a.small href={ "/incidents/" (id) } { "#" (id) " " (about(told)) } }
                        @else { span.small { (about(told)) } }
                    }
                    div.more {
                        @if sent.attempts > 1 {
                            (lang.text("ui-attempts", &[("count", sent.attempts.into())])) " · "
                        }
                        @if let Some(answer) = &sent.last_answer { span.mono lang=[look.english()] { (answer) } }
                    }
                }
                div.when {
                    span.state.(parts::class(state)) { (parts::sign(state, 14)) (lang.word(key)) }
                    br;
                    (parts::moment(told.at))
                }
            }
        }
    }
}

/// What the notification tells of: its alerts' names and services.
fn about(told: &Notification) -> String {
    let label = |labels: &[(std::sync::Arc<str>, std::sync::Arc<str>)], wanted: &str| {
        labels.iter().find(|(name, _)| &**name == wanted).map(|(_, value)| value.to_string())
    };
    let mut names: Vec<_> = told
        .alerts
        .iter()
        .filter_map(|alert| {
            let name = label(&alert.labels, "alertname")?;
            Some(label(&alert.labels, "service").map_or(name.clone(), |service| format!("{name} {service}")))
        })
        .take(3)
        .collect();
    if told.alerts.len() > names.len() {
        names.push("…".to_owned());
    }
    names.join(", ")
}

fn standing(sent: &SentNotification) -> (State, &'static str) {
    match sent.state {
        SendState::Delivered => (State::Up, "ui-delivered"),
        SendState::Refused => (State::Down, "ui-refused"),
        SendState::Pending if sent.attempts > 0 => (State::Degraded, "ui-retrying"),
        SendState::Pending => (State::Pending, "ui-waiting"),
    }
}

fn reason(lang: Lang, reason: NotifyReason) -> String {
    lang.word(match reason {
        NotifyReason::FirstFiring => "ui-told-first",
        NotifyReason::NewAlerts => "ui-told-new",
        NotifyReason::AllResolved => "ui-told-resolved",
        NotifyReason::SomeResolved => "ui-told-some-resolved",
        NotifyReason::Repeat => "ui-told-repeat",
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn each_notification_says_whether_the_other_side_took_it() {
        let page = draw(&samples::notifications(), &samples::look(Lang::En)).into_string();
        for part in ["delivered", "being retried", "3 attempts", "connection refused", "ServiceDown payments"]
        {
            assert!(page.contains(part), "{part} is missing");
        }
    }
}
