//! One service: its state and why, its checks, its figures, its past, and what can be done to it.

use std::time::Duration;

use lifesign_core::effect::{Incident, Transition};
use lifesign_core::evidence::Phases;
use lifesign_core::model::{CheckKind, State};
use lifesign_core::view::{About, CheckView, Explanation, Fact, ServiceView, UnitView};
use lifesign_lang::Lang;
use maud::{Markup, html};

use super::{incidents, job};
use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;
use crate::web::strip::History;

/// Most changes listed below the strip; older ones are in the store and the API.
pub(crate) const MAX_CHANGES: usize = 20;

/// How much of the past is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Span {
    Hour,
    #[default]
    Day,
    Week,
}

impl Span {
    const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// The span with this word, else a day.
    pub(crate) fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|span| span.as_str() == word).unwrap_or_default()
    }

    /// Its length.
    pub(crate) const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
            Self::Week => 7 * 24 * 3600,
        })
    }
}

/// What the page shows.
pub(crate) struct Service {
    pub(crate) service: ServiceView,
    pub(crate) explanation: Option<Explanation>,
    pub(crate) span: Span,
    pub(crate) history: History,
    /// Changes in the span, newest first.
    pub(crate) changes: Vec<Transition>,
    /// Its incidents, newest first.
    pub(crate) incidents: Vec<Incident>,
}

/// Draws the page.
pub(crate) fn draw(data: &Service, look: &Look) -> Markup {
    let lang = look.lang();
    let service = &data.service;
    let main = html! {
        (head(data, look))
        div.columns {
            div {
                @if let Some(explanation) = &data.explanation { (why(explanation, look)) }
                @if let Some(job) = &service.job { (job::panel(job, look)) }
                (checks(service, look))
                (past(data, look))
            }
            div {
                (facts(service, look))
                (unit(service, look))
                (figures(service, lang))
                (components(service, look))
                section.panel {
                    header { h2 { (lang.word("ui-incidents")) } }
                    @if data.incidents.is_empty() { p.empty { (lang.word("ui-no-incidents-of-it")) } }
                    ul.rows { @for incident in &data.incidents { (incidents::row(incident, look)) } }
                }
            }
        }
    };
    frame::page(service.id.as_str(), look, &main)
}

fn head(data: &Service, look: &Look) -> Markup {
    let lang = look.lang();
    let service = &data.service;
    let phrase = parts::phrase(lang, service.state, service.reason);
    let say =
        lang.text("ui-say", &[("service", service.id.as_str().into()), ("phrase", phrase.clone().into())]);
    html! {
        p.crumb { a href="/" { (lang.word("ui-overview")) } }
        div.head #state data-state=(service.state) data-say=(say) {
            div {
                div.title {
                    h1 { (service.id) }
                    span.pill.(parts::class_of(service.state, service.reason)) { (parts::sign(service.state, 14)) (phrase) }
                    @if service.paused { span.pill { (lang.word("ui-paused")) } }
                    span.small.soft { (lang.word("ui-for")) " " (parts::age(lang, service.since, look.now)) }
                }
                p.sentence { (sentence(data, look)) }
            }
            @if look.may_write() { (orders(service, lang)) }
        }
    }
}

/// The verdict in the reader's language, where the engine explains it; else its own English sentence.
fn sentence(data: &Service, look: &Look) -> Markup {
    let verdict = data
        .explanation
        .iter()
        .flat_map(|explanation| &explanation.facts)
        .find(|fact| fact.about == About::Verdict);
    match verdict {
        Some(fact) => told(fact, look),
        None => html! { span lang=[look.english()] { (data.service.detail) } },
    }
}

/// A fact in the reader's language, or marked as English where nobody has translated it.
pub(super) fn told(fact: &Fact, look: &Look) -> Markup {
    match look.lang().translation(fact) {
        Some(text) => html! { (text) },
        None => html! { span lang=[look.english()] { (fact.text) } },
    }
}

/// Each order asks back by opening a question; that works without a script too.
fn orders(service: &ServiceView, lang: Lang) -> Markup {
    let id = service.id.as_str();
    let ask = |verb: &str| {
        html! {
            details.ask name="order" {
                summary.button { (lang.word(&format!("ui-{verb}"))) }
                div {
                    p { (lang.text(&format!("ui-{verb}-question"), &[("service", id.into())])) }
                    form method="post" action={ "/services/" (id) "/" (verb) } {
                        button.strong { (lang.word(&format!("ui-{verb}-yes"))) }
                    }
                }
            }
        }
    };
    html! {
        div.orders {
            @if service.checks.iter().any(|check| check.kind == CheckKind::Unit) { (ask("restart")) }
            @if service.paused { (ask("resume")) } @else { (ask("pause")) }
        }
    }
}

/// The parts of an explanation, in the order of the page.
pub(super) const PARTS: [About; 6] =
    [About::Verdict, About::Evidence, About::Deadline, About::Incident, About::Restart, About::Notification];

fn why(explanation: &Explanation, look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        section.panel {
            header { h2 { (lang.word("ui-why")) } p { (lang.word("ui-why-hint")) } }
            div.inside.why-list {
                @for about in PARTS {
                    // The first verdict stands below the title.
                    @let said = usize::from(about == About::Verdict);
                    @let facts: Vec<_> =
                        explanation.facts.iter().filter(|fact| fact.about == about).skip(said).collect();
                    @if !facts.is_empty() {
                        div {
                            h3 { (lang.about(about)) }
                            ul { @for fact in facts { li { (told(fact, look)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn checks(service: &ServiceView, look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        section.panel {
            header { h2 { (lang.word("ui-checks")) } p { (lang.word("ui-checks-hint")) } }
            ul.rows { @for check in &service.checks { li { (check_row(check, look)) } } }
        }
    }
}

fn check_row(check: &CheckView, look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        div.check {
            (parts::check_state(lang, check.state))
            div.what {
                b { (lang.check_kind(check.kind)) }
                @if *check.name != *check.kind.as_str() { " " span.mono.soft { (check.name) } }
            }
            span.small.soft { @if let Some(at) = check.at { (parts::ago(lang, at, look.now)) } }
            @if !check.output.is_empty() { div.out lang=[look.english()] { (check.output) } }
            @if let Some(phases) = &check.phases { (phase_bar(phases, lang)) }
        }
    }
}

/// Where a probe's time went: one bar, one legend.
fn phase_bar(phases: &Phases, lang: Lang) -> Markup {
    let parts =
        [("dns", phases.dns), ("connect", phases.connect), ("tls", phases.tls), ("wait", phases.first_byte)];
    let whole = phases.total.as_secs_f64().max(1e-9);
    let mut at = 0.0;
    let drawn: Vec<_> = parts
        .into_iter()
        .filter_map(|(name, took)| took.map(|took| (name, took)))
        .map(|(name, took)| {
            let width = (100.0 * took.as_secs_f64() / whole).min(100.0 - at).max(0.0);
            let start = at;
            at += width;
            (name, took, format!("{start:.2}"), format!("{width:.2}"))
        })
        .collect();
    html! {
        div.phases {
            @if !drawn.is_empty() {
                svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                    rect.track width="100" height="6" {}
                    @for (name, _, start, width) in &drawn {
                        rect class={ "p-" (name) } x=(start) width=(width) height="6" {}
                    }
                }
            }
            @for (name, took, _, _) in &drawn {
                span.nowrap {
                    svg.key viewBox="0 0 8 8" aria-hidden="true" { rect class={ "p-" (name) } width="8" height="8" {} }
                    (lang.word(&format!("ui-phase-{name}"))) " " (millis(*took))
                }
            }
            span.nowrap { (lang.word("ui-phase-total")) " " (millis(phases.total)) }
        }
    }
}

/// `0.4 ms`, `12 ms`, `1240 ms`: phases are compared, so they share a unit.
fn millis(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

fn past(data: &Service, look: &Look) -> Markup {
    let lang = look.lang();
    let path = format!("/services/{}", data.service.id);
    html! {
        section.panel {
            header {
                h2 { (lang.word("ui-history")) }
                ul.chips aria-label=(lang.word("ui-span")) {
                    @for span in Span::ALL {
                        li {
                            a href=(parts::address(&path, &[("span", span.as_str())]))
                                aria-current=[(span == data.span).then_some("true")] {
                                (lang.word(&format!("ui-span-{}", span.as_str())))
                            }
                        }
                    }
                }
            }
            div.inside {
                (data.history.strip(lang))
                ul.rows.changes {
                    @for change in data.changes.iter().take(MAX_CHANGES) {
                        li {
                            (parts::moment(change.at))
                            span.is-pending { (lang.state(change.from)) " → " }
                            b.(parts::class_of(change.to, change.reason)) { (parts::phrase(lang, change.to, change.reason)) }
                            span.soft lang=[look.english()] { (change.detail) }
                            (why_then(change, look))
                        }
                    }
                }
            }
        }
    }
}

/// The way to the explanation of a change. Many of these links look the same, so each has a name of its own.
fn why_then(change: &Transition, look: &Look) -> Markup {
    let lang = look.lang();
    let phrase = parts::phrase(lang, change.to, change.reason);
    let name =
        lang.text("ui-why-then-name", &[("phrase", phrase.into()), ("at", parts::utc(change.at).into())]);
    let at = change.at.to_string();
    let path = format!("/services/{}/explain", change.service);
    html! { a.why href=(parts::address(&path, &[("at", &at)])) aria-label=(name) { (lang.word("ui-why-then")) } }
}

/// How soon its death is noticed. The page and `explain` say it with the same sentences.
fn detection(service: &ServiceView, look: &Look) -> Markup {
    html! {
        @if let Some(detection) = service.detection {
            div {
                dt { (look.lang().word("ui-detection")) }
                dd { @for fact in detection.facts() { p { (told(&fact, look)) } } }
            }
        }
    }
}

fn facts(service: &ServiceView, look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        section.panel {
            header { h2 { (lang.word("ui-facts")) } }
            div.inside {
                dl.facts {
                    div { dt { (lang.word("ui-host")) } dd { (service.host) } }
                    div { dt { (lang.word("ui-since")) } dd { (parts::moment(service.since)) } }
                    @if let Some(at) = service.last_heartbeat_at {
                        div { dt { (lang.word("ui-last-beat")) } dd { (parts::ago(lang, at, look.now)) } }
                    }
                    (detection(service, look))
                    @if let Some(pid) = service.pid {
                        div { dt { (lang.word("ui-pid")) } dd data-pid { (pid) } }
                    }
                    @if let Some(skew) = service.clock_skew_ms {
                        div { dt { (lang.word("ui-skew")) } dd.is-suspect { (skew_words(skew, lang)) } }
                    }
                    @if !service.depends_on.is_empty() {
                        div {
                            dt { (lang.word("ui-depends-on")) }
                            dd {
                                @for (n, id) in service.depends_on.iter().enumerate() {
                                    @if n > 0 { ", " }
                                    a href={ "/services/" (id) } { (id) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The unit, as the system has it. The page and `explain` say it with the same sentences.
fn unit(service: &ServiceView, look: &Look) -> Markup {
    let said = service.unit.iter().flat_map(UnitView::sentences).collect::<Vec<_>>();
    html! {
        @if !said.is_empty() {
            section.panel {
                header { h2 { (look.lang().about(About::Unit)) } }
                div.inside.why-list { ul { @for fact in &said { li { (told(fact, look)) } } } }
            }
        }
    }
}

fn skew_words(skew_ms: i64, lang: Lang) -> String {
    let span = lang.duration(Duration::from_millis(skew_ms.unsigned_abs()));
    lang.text(if skew_ms > 0 { "ui-skew-ahead" } else { "ui-skew-behind" }, &[("span", span.into())])
}

fn figures(service: &ServiceView, lang: Lang) -> Markup {
    html! {
        @if !service.metrics.is_empty() {
            section.panel {
                header { h2 { (lang.word("ui-metrics")) } }
                div.inside {
                    dl.facts {
                        @for (name, value) in &service.metrics {
                            div { dt { (parts::figure_name(lang, name)) } dd { (parts::figure(lang, name, *value)) } }
                        }
                    }
                }
            }
        }
    }
}

fn components(service: &ServiceView, look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        @if !service.components.is_empty() {
            section.panel {
                header { h2 { (lang.word("ui-components")) } p { (lang.word("ui-components-hint")) } }
                ul.rows {
                    @for component in &service.components {
                        @let like = if component.up { State::Up } else { State::Down };
                        li {
                            div.entry {
                                span.mono { (component.name) }
                                span.state.(parts::class(like)) { (parts::sign(like, 14)) (component.status) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_page_says_what_why_since_when_and_asks_before_it_acts() {
        let page = draw(&samples::service(), &samples::look(Lang::En)).into_string();
        for part in [
            "down: killed",
            "<h2>Its unit, as the system has it</h2>",
            "Start type: automatic (the system says enabled).",
            "the system does not restart it when it ends by itself",
            "ended by signal 9",
            "connection refused",
            "<summary class=\"button\">Restart",
            "action=\"/services/payments/restart\"",
            "action=\"/services/payments/pause\"",
            "href=\"/services/db\"",
            "2 min 5 s ahead",
            "OUT_OF_SERVICE",
            "role=\"img\"",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn whoever_may_only_look_sees_no_orders() {
        let mut look = samples::look(Lang::En);
        look.reader = look.reader.map(|reader| crate::web::look::Reader { may_write: false, ..reader });
        let page = draw(&samples::service(), &look).into_string();
        assert!(!page.contains("action=\"/services/"));
    }

    #[test]
    fn english_evidence_on_a_chinese_page_is_marked_as_english() {
        let page = draw(&samples::service(), &samples::look(Lang::Zh)).into_string();
        assert!(page.contains("<html lang=\"zh-CN\""));
        assert!(page.contains("<div class=\"out\" lang=\"en\">"));
        assert!(page.contains("故障：被强制终止"));
    }

    #[test]
    fn a_service_without_a_unit_cannot_be_restarted() {
        let mut data = samples::service();
        data.service.checks.retain(|check| check.kind != CheckKind::Unit);
        data.service.paused = true;
        let page = draw(&data, &samples::look(Lang::En)).into_string();
        assert!(!page.contains("/restart\"") && page.contains("/resume\""));
    }
}
