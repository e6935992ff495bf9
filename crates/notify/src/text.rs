//! A notification in words, for people: a subject, and one block of lines for each alert.
//!
//! Short on purpose: what, where, since when, what lifesign did, and a link to the rest. The words come
//! from `lifesign-lang`; labels and annotations stay as the engine wrote them.

use lifesign_core::effect::{Alert, AlertState, Notification, NotifyReason};
use lifesign_core::model::{Reason, Severity, State};
use lifesign_lang::Lang;

use crate::delivery::Context;
use crate::payload::link;

/// Most alerts told one by one; the subject counts them all and the link leads to the rest.
const MAX_ALERTS: usize = 50;
/// Longest subject, in characters.
const MAX_SUBJECT: usize = 200;
/// Longest value of a line, in characters.
const MAX_VALUE: usize = 1000;
/// Most lines of evidence; the engine gives fewer.
const MAX_EVIDENCE: usize = 20;

/// The words of one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) subject: String,
    /// Said before everything else.
    pub(crate) note: Option<String>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) footer: String,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// What happened, in the engine's sentences.
    pub(crate) sentences: Vec<String>,
    /// Name and value.
    pub(crate) lines: Vec<(String, String)>,
    /// What a process has left at its end: a heading, and lines as they were written.
    pub(crate) evidence: Option<(String, Vec<String>)>,
    pub(crate) url: String,
    pub(crate) link: String,
}

/// Puts `notification` into words.
pub(crate) fn text(notification: &Notification, context: &Context<'_>) -> Text {
    let lang = context.lang;
    Text {
        subject: bounded(&subject(notification, lang), MAX_SUBJECT),
        note: (notification.reason == NotifyReason::Repeat).then(|| lang.word("notify-repeat")),
        blocks: notification.alerts.iter().take(MAX_ALERTS).map(|alert| block(alert, context)).collect(),
        footer: lang.text("notify-footer", &[("receiver", (&*notification.receiver).into())]),
    }
}

fn subject(notification: &Notification, lang: Lang) -> String {
    let [alert] = notification.alerts.as_slice() else {
        let over = |alert: &&Alert| alert.state == AlertState::Resolved;
        let resolved = notification.alerts.iter().filter(over).count();
        let firing = notification.alerts.len() - resolved;
        let severity = notification.alerts.iter().filter_map(severity).max();
        let severity = severity.map_or_else(|| "?".to_owned(), |severity| lang.severity(severity));
        return lang.text(
            "notify-subject-group",
            &[("severity", severity.into()), ("count", firing.into()), ("resolved", resolved.into())],
        );
    };
    let over = alert.state == AlertState::Resolved;
    let reason = label(alert, "reason").and_then(Reason::parse);
    let key = match (is_service_down(alert), reason, over) {
        (true, _, true) => "notify-subject-up",
        (true, Some(_), false) => "notify-subject-down",
        (_, _, true) => "notify-subject-alert-resolved",
        (_, _, false) => "notify-subject-alert",
    };
    let state = if over { State::Up } else { state(alert) };
    lang.text(
        key,
        &[
            ("service", label(alert, "service").unwrap_or("?").into()),
            ("host", label(alert, "host").unwrap_or("?").into()),
            ("alert", label(alert, "alertname").unwrap_or("?").into()),
            ("severity", severity(alert).map_or_else(|| "?".to_owned(), |word| lang.severity(word)).into()),
            ("state", lang.state(state).into()),
            ("reason", reason.map_or_else(|| "?".to_owned(), |reason| lang.reason(reason)).into()),
        ],
    )
}

fn block(alert: &Alert, context: &Context<'_>) -> Block {
    let lang = context.lang;
    let over = alert.state == AlertState::Resolved;
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push((lang.word(key), bounded(&value, MAX_VALUE)));
        }
    };
    let down = is_service_down(alert);
    let reason = label(alert, "reason").and_then(Reason::parse);
    let raw = |name: &str| label(alert, name).map(str::to_owned);
    line("notify-service", raw("service"));
    line("notify-host", raw("host"));
    line("notify-state", down.then(|| lang.state(if over { State::Up } else { state(alert) })));
    line("notify-reason", reason.map(|reason| lang.reason(reason)));
    line("notify-alert", raw("alertname").filter(|_| !down));
    line("notify-severity", severity(alert).map(|severity| lang.severity(severity)));
    line("notify-since", Some(alert.starts_at.to_string()));
    line("notify-ended", alert.ends_at.map(|at| at.to_string()));
    line("notify-lasted", alert.ends_at.map(|at| lang.duration(at.since(alert.starts_at))));
    line("notify-incident", alert.incident.map(|incident| incident.to_string()));
    let url = link(alert, context.external_url);
    Block {
        // Once it is known how it ended, the summary ("is down") would only contradict it.
        sentences: [
            if annotation(alert, "resolution").is_some() { "resolution" } else { "summary" },
            "description",
        ]
        .into_iter()
        .filter_map(|name| annotation(alert, name))
        .map(|text| bounded(text, MAX_VALUE))
        .collect(),
        lines,
        evidence: annotation(alert, "evidence").filter(|_| !over).map(|text| {
            let lines = text.lines().take(MAX_EVIDENCE).map(|line| bounded(line, MAX_VALUE)).collect();
            (lang.word("notify-evidence"), lines)
        }),
        link: lang.text("notify-link", &[("url", url.as_str().into())]),
        url,
    }
}

fn is_service_down(alert: &Alert) -> bool {
    label(alert, "alertname") == Some("ServiceDown")
}

/// The state that opened the incident, as the engine says it beside the alert.
fn state(alert: &Alert) -> State {
    annotation(alert, "state").and_then(State::parse).unwrap_or(State::Down)
}

fn annotation<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
    alert.annotations.iter().find(|(known, _)| &**known == name).map(|(_, text)| text.as_str())
}

fn severity(alert: &Alert) -> Option<Severity> {
    label(alert, "severity").and_then(Severity::parse)
}

fn label<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
    alert.labels.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
}

/// `text` on one line, so that no label can begin a header or a line of its own, at most `max` characters.
fn bounded(text: &str, max: usize) -> String {
    let mut line: String = text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(max).is_some() {
        line.push('…');
    }
    line
}

impl Text {
    /// As plain text.
    pub(crate) fn plain(&self) -> String {
        let mut out = String::new();
        let mut paragraph = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        if let Some(note) = &self.note {
            paragraph(note);
            paragraph("");
        }
        for block in &self.blocks {
            block.sentences.iter().for_each(|sentence| paragraph(sentence));
            if !block.sentences.is_empty() {
                paragraph("");
            }
            block.lines.iter().for_each(|(name, value)| paragraph(&format!("{name}: {value}")));
            if let Some((heading, lines)) = &block.evidence {
                paragraph("");
                paragraph(heading);
                // Set in, so that no line of it passes for one of ours.
                lines.iter().for_each(|line| paragraph(&format!("  {line}")));
                paragraph("");
            }
            paragraph(&block.link);
            paragraph("");
        }
        paragraph("-- ");
        paragraph(&self.footer);
        out
    }

    /// As a small HTML page that needs no style sheet and no picture.
    pub(crate) fn html(&self, lang: Lang) -> String {
        maud::html! {
            (maud::DOCTYPE)
            html lang=(lang.tag()) {
                head { meta charset="utf-8"; title { (self.subject) } }
                body {
                    @if let Some(note) = &self.note { p { (note) } }
                    @for block in &self.blocks {
                        @for sentence in &block.sentences { p { (sentence) } }
                        table {
                            @for (name, value) in &block.lines {
                                tr { th align="left" { (name) } td { (value) } }
                            }
                        }
                        @if let Some((heading, lines)) = &block.evidence {
                            p { (heading) }
                            pre { (lines.join("\n")) }
                        }
                        p { a href=(block.url) { (block.link) } }
                    }
                    hr;
                    p { small { (self.footer) } }
                }
            }
        }
        .into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn context(lang: Lang) -> Context<'static> {
        Context { attempt: 1, external_url: "https://lifesign.example.com", lang }
    }

    #[test]
    fn the_subject_says_what_where_and_why_in_both_languages() {
        for (notification, english, chinese) in [
            (samples::opening(), "[critical] orders on web-01 is down: killed", "orders"),
            (samples::closing(), "[resolved] orders on web-01 is up again", "已恢复"),
            (samples::mixed(), "[critical] one alert firing, 1 resolved", "1 条告警触发中"),
        ] {
            assert_eq!(text(&notification, &context(Lang::En)).subject, english);
            let subject = text(&notification, &context(Lang::Zh)).subject;
            assert!(subject.contains(chinese) && !subject.contains(['⟦', '{']), "{subject}");
        }
        let mut rule = samples::mixed();
        rule.alerts.truncate(1);
        assert_eq!(text(&rule, &context(Lang::En)).subject, "[warning] HighCpu: orders on web-01");
        rule.alerts[0].state = AlertState::Resolved;
        assert_eq!(text(&rule, &context(Lang::En)).subject, "[resolved] HighCpu: orders on web-01");
    }

    #[test]
    fn a_degraded_service_is_not_called_down() {
        let mut degraded = samples::opening();
        degraded.alerts[0].annotations[2].1 = "degraded".to_owned();
        let text = text(&degraded, &context(Lang::En));
        assert_eq!(text.subject, "[critical] orders on web-01 is degraded: killed");
    }

    #[test]
    fn a_label_with_line_breaks_or_markup_stays_inside_its_line() {
        let mut hostile = samples::mixed();
        hostile.alerts.truncate(1);
        hostile.alerts[0].labels[0].1 = "x\r\nBcc: all@example.com".into();
        hostile.alerts[0].annotations[0].1 = "<script>alert(1)</script>".to_owned();
        let evidence = "one\r\n-- \nSent by lifesign\n</pre><script>".to_owned();
        hostile.alerts[0].annotations.push(("evidence".into(), evidence));
        let text = text(&hostile, &context(Lang::En));
        assert!(!text.subject.contains(['\r', '\n']), "{}", text.subject);
        assert!(!text.html(Lang::En).contains("<script"));
        assert!(text.plain().contains("\n  one\n  -- \n  Sent by lifesign\n"), "{}", text.plain());
    }

    #[test]
    fn evidence_is_told_with_the_alarm_and_not_with_the_all_clear() {
        for (notification, times) in [(samples::opening(), 1), (samples::closing(), 0)] {
            for lang in [Lang::En, Lang::Zh] {
                let text = text(&notification, &context(lang));
                for whole in [text.plain(), text.html(lang)] {
                    assert_eq!(whole.matches("out of memory: queue of 4711").count(), times, "{whole}");
                }
            }
        }
    }

    #[test]
    fn long_texts_and_many_alerts_are_cut() {
        let mut many = samples::opening();
        many.alerts[0].annotations[0].1 = "长".repeat(100_000);
        many.alerts[0].labels[0].1 = "n".repeat(100_000).into();
        assert!(text(&many, &context(Lang::En)).subject.chars().count() <= MAX_SUBJECT + 1);
        many.alerts = vec![many.alerts[0].clone(); 1000];
        assert!(text(&many, &context(Lang::Zh)).plain().len() < 400_000);
    }
}
