//! The overview: one sentence about everything, the hosts, and every service, the worst first.

use lifesign_core::model::{CheckState, Reason, State};
use lifesign_core::view::{Counts, HostView, ServiceView};
use lifesign_lang::Lang;
use maud::{Markup, html};

use super::hosts;
use crate::web::frame;
use crate::web::look::Look;
use crate::web::parts;
use crate::web::strip::{History, badness};

/// Most services listed at a time; the filter reaches the others.
pub(crate) const MAX_ROWS: usize = 500;
/// Most metrics shown beside a service.
const MAX_FIGURES: usize = 3;

/// What the overview shows.
pub(crate) struct Overview {
    pub(crate) counts: Counts,
    /// All services, in any order, each with its last hour.
    pub(crate) services: Vec<(ServiceView, History)>,
    pub(crate) hosts: Vec<HostView>,
    pub(crate) filter: Filter,
}

/// Which services are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) state: Option<State>,
    /// Words that must all occur in id, host, state or reason.
    pub(crate) words: String,
}

impl Filter {
    /// The address of the overview with this filter.
    fn address(&self) -> String {
        let mut query = Vec::new();
        if let Some(state) = self.state {
            query.push(("state", state.as_str()));
        }
        if !self.words.is_empty() {
            query.push(("q", self.words.as_str()));
        }
        parts::address("/", &query)
    }
}

/// Draws the page.
pub(crate) fn draw(data: &Overview, look: &Look) -> Markup {
    let lang = look.lang();
    let mut services: Vec<_> = data
        .services
        .iter()
        .filter(|(service, _)| data.filter.state.is_none_or(|state| state == service.state))
        .filter(|(service, _)| {
            let row = row_words(lang, service);
            data.filter.words.to_lowercase().split_whitespace().all(|word| row.contains(word))
        })
        .collect();
    services.sort_by_key(|(service, _)| (rank(service), service.id.clone()));
    let hidden = services.len().saturating_sub(MAX_ROWS);

    let main = html! {
        (verdict(data, look))
        (sieve(data, lang))
        section.panel aria-label=(lang.word("ui-services")) {
            ul.rows #services {
                @for (service, history) in services.iter().take(MAX_ROWS) { (row(service, history, look)) }
            }
            p.empty #nothing-fits hidden[!services.is_empty()] {
                (lang.word(if data.services.is_empty() { "ui-no-services" } else { "ui-nothing-fits" }))
            }
            @if hidden > 0 { p.empty { (lang.text("ui-more-services", &[("count", hidden.into())])) } }
        }
        @if !data.hosts.is_empty() {
            div.section { h2 { (lang.word("ui-hosts")) } a.small href="/hosts" { (lang.word("ui-all-hosts")) } }
            div.hosts { @for host in data.hosts.iter().take(12) { (hosts::card(host, look)) } }
        }
    };
    frame::page(&lang.word("ui-overview"), look, &main)
}

/// Worst first; what somebody stopped on purpose is no trouble.
fn rank(service: &ServiceView) -> u8 {
    if is_stopped(service) { badness(State::Unknown) } else { badness(service.state) }
}

fn is_stopped(service: &ServiceView) -> bool {
    service.state == State::Down && service.reason == Some(Reason::StoppedByOperator)
}

fn verdict(data: &Overview, look: &Look) -> Markup {
    let lang = look.lang();
    let count =
        |wanted: State| data.services.iter().filter(|(service, _)| rank(service) == badness(wanted)).count();
    let (state, key, number) = [
        (State::Down, "ui-verdict-down"),
        (State::Degraded, "ui-verdict-degraded"),
        (State::Suspect, "ui-verdict-suspect"),
    ]
    .into_iter()
    .map(|(state, key)| (state, key, count(state)))
    .find(|(_, _, number)| *number > 0)
    .unwrap_or_else(|| match data.services.len() {
        0 => (State::Pending, "ui-verdict-none", 0),
        all if count(State::Up) == all => (State::Up, "ui-verdict-all-up", all),
        all if count(State::Pending) == all => (State::Pending, "ui-verdict-pending", all),
        all => (State::Up, "ui-verdict-no-trouble", all),
    });
    html! {
        div.verdict.(parts::class(state)) #verdict {
            (parts::sign(state, 28))
            div {
                h1 { (lang.text(key, &[("count", number.into())])) }
                p {
                    @if look.open_incidents > 0 {
                        a href="/incidents?open=true" {
                            (lang.text("ui-open-incidents", &[("count", look.open_incidents.into())]))
                        }
                    } @else { (lang.word("ui-no-open-incidents")) }
                }
            }
        }
    }
}

fn sieve(data: &Overview, lang: Lang) -> Markup {
    let Counts { pending, up, degraded, suspect, down, unknown } = data.counts;
    let chips = [
        (State::Down, down),
        (State::Degraded, degraded),
        (State::Suspect, suspect),
        (State::Unknown, unknown),
        (State::Pending, pending),
        (State::Up, up),
    ];
    let chip = |state: Option<State>| Filter { state, words: data.filter.words.clone() }.address();
    let current = |state: Option<State>| (data.filter.state == state).then_some("true");
    html! {
        div.sieve {
            ul.chips aria-label=(lang.word("ui-by-state")) {
                li { a href=(chip(None)) aria-current=[current(None)] {
                    (lang.word("ui-all")) " " b { (data.services.len()) }
                } }
                @for (state, count) in chips {
                    @if count > 0 || data.filter.state == Some(state) {
                        li { a href=(chip(Some(state))) aria-current=[current(Some(state))] {
                            span.(parts::class(state)) { (parts::sign(state, 14)) }
                            (lang.state(state)) " " b { (count) }
                        } }
                    }
                }
            }
            form role="search" action="/" {
                @if let Some(state) = data.filter.state { input type="hidden" name="state" value=(state); }
                input #sieve type="search" name="q" value=(data.filter.words) autocomplete="off" spellcheck="false"
                    aria-label=(lang.word("ui-filter")) placeholder=(lang.word("ui-filter-hint"))
                    aria-keyshortcuts="/";
                button { (lang.word("ui-filter")) }
            }
        }
    }
}

/// What the filter looks at, in lower case.
fn row_words(lang: Lang, service: &ServiceView) -> String {
    let reason = service.reason.map(|reason| format!("{reason} {}", lang.reason(reason))).unwrap_or_default();
    let paused = if service.paused { lang.word("ui-paused") } else { String::new() };
    format!(
        "{} {} {} {} {reason} {paused}",
        service.id,
        service.host,
        service.state,
        lang.state(service.state)
    )
    .to_lowercase()
}

fn row(service: &ServiceView, history: &History, look: &Look) -> Markup {
    let lang = look.lang();
    let phrase = parts::phrase(lang, service.state, service.reason);
    let say = lang.text("ui-say", &[("service", service.id.as_str().into()), ("phrase", phrase.into())]);
    html! {
        li id={ "s-" (service.id) } data-row=(row_words(lang, service)) data-state=(service.state) data-say=(say) {
            div.service {
                (parts::state(lang, service.state, service.reason))
                div.name {
                    span {
                        a data-open href={ "/services/" (service.id) } { (service.id) }
                        @if service.paused { span.pill { (lang.word("ui-paused")) } }
                        span.small.soft { (service.host) }
                    }
                    div.why {
                        @match service.reason {
                            Some(reason) => {
                                b.(parts::class_of(service.state, service.reason)) { (lang.reason(reason)) }
                                @if !service.detail.is_empty() { " · " span lang=[look.english()] { (service.detail) } }
                            }
                            None => (sources(lang, service)),
                        }
                    }
                }
                div.figures {
                    @for (name, value) in figures(service) {
                        span { (parts::figure_name(lang, name)) " " b { (parts::figure(lang, name, value)) } }
                    }
                }
                (history.bars(lang))
                div.when {
                    b {
                        span.for-ears { (lang.word("ui-in-this-state-for")) " " }
                        (parts::age(lang, service.since, look.now))
                    }
                    @if let Some(at) = service.last_heartbeat_at {
                        span { (lang.word("ui-beat")) " " (parts::ago(lang, at, look.now)) }
                    }
                }
            }
        }
    }
}

/// The kinds of checks, so that one sees what `up` rests on; failing ones stand out.
fn sources(lang: Lang, service: &ServiceView) -> Markup {
    let mut kinds: Vec<_> = service.checks.iter().map(|check| (check.kind, check.state)).collect();
    kinds.dedup_by_key(|(kind, _)| *kind);
    html! {
        @for (n, (kind, state)) in kinds.iter().enumerate() {
            @if n > 0 { " · " }
            @match state {
                CheckState::Fail => b.is-down { (lang.check_kind(*kind)) },
                CheckState::Pass | CheckState::Pending | CheckState::Unknown => (lang.check_kind(*kind)),
            }
        }
    }
}

/// The metrics worth a glance: load and latency before the rest.
fn figures(service: &ServiceView) -> Vec<(&str, f64)> {
    let mut figures: Vec<_> = service.metrics.iter().map(|(name, value)| (&**name, *value)).collect();
    figures.sort_by_key(|(name, _)| match *name {
        "cpu" => 0,
        "memory" => 1,
        name if name.starts_with("p99") => 2,
        name if name.contains("latency") => 3,
        _ => 4,
    });
    figures.truncate(MAX_FIGURES);
    figures
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn order(page: &str) -> Vec<String> {
        page.split("data-open href=\"/services/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_worst_service_stands_first_and_a_stopped_one_is_no_trouble() {
        let page = draw(&samples::overview(), &samples::look(Lang::En)).into_string();
        assert_eq!(
            order(&page),
            ["payments", "search", "worker", "legacy-ftp", "probe-only", "orders", "web", "batch"]
        );
        assert!(page.contains("One service is down"));
    }

    #[test]
    fn the_filter_works_without_a_script() {
        let mut data = samples::overview();
        data.filter = Filter { state: None, words: "WEB-02 up".to_owned() };
        assert_eq!(order(&draw(&data, &samples::look(Lang::En)).into_string()), ["orders"]);
        data.filter = Filter { state: Some(State::Down), words: String::new() };
        let page = draw(&data, &samples::look(Lang::En)).into_string();
        assert_eq!(order(&page), ["payments", "legacy-ftp"]);
        assert!(page.contains(r#"<input type="hidden" name="state" value="down">"#));
        data.filter.words = "no such thing".to_owned();
        assert!(draw(&data, &samples::look(Lang::Zh)).into_string().contains("没有符合条件的服务"));
    }

    #[test]
    fn a_house_with_nothing_to_watch_says_so() {
        let data = Overview {
            counts: Counts::default(),
            services: Vec::new(),
            hosts: Vec::new(),
            filter: Filter::default(),
        };
        let page = draw(&data, &samples::look(Lang::En)).into_string();
        assert!(page.contains(&Lang::En.word("ui-verdict-none")));
    }
}
