//! Small pieces that several pages are made of: states, times, figures, links.

use lifesign_core::model::{CheckState, Reason, Severity, State};
use lifesign_core::time::Wall;
use lifesign_lang::Lang;
use maud::{Markup, PreEscaped, html};

/// The mark of lifesign: a heartbeat.
pub(super) fn pulse() -> Markup {
    html! {
        svg width="22" height="22" viewBox="0 0 22 22" fill="none" stroke="currentColor" stroke-width="2.2"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
            path d="M1.5 12h4l2.5-7 5 13 2.8-6h4.7";
        }
    }
}

/// The suffix of a state's style classes.
pub(super) fn class(state: State) -> String {
    format!("is-{state}")
}

/// A sign for a state: each has a shape of its own, so that nobody needs to see colours.
pub(super) fn sign(state: State, size: u32) -> Markup {
    let path = match state {
        State::Up => r#"<circle cx="8" cy="8" r="7"/><path class="glyph" d="M4.8 8.3l2.2 2.2 4.2-4.6"/>"#,
        State::Degraded => {
            r#"<path d="M6.9 1.9a1.3 1.3 0 0 1 2.2 0l5.7 10.4a1.3 1.3 0 0 1-1.1 1.9H2.3a1.3 1.3 0 0 1-1.1-1.9z"/><path class="glyph" d="M8 5.6v3.6M8 11.6v.05"/>"#
        }
        State::Suspect => {
            r#"<path d="M6.9 1.2a1.5 1.5 0 0 1 2.2 0l5.7 5.7a1.5 1.5 0 0 1 0 2.2l-5.7 5.7a1.5 1.5 0 0 1-2.2 0l-5.7-5.7a1.5 1.5 0 0 1 0-2.2z"/><path class="glyph" d="M5 8v.05M8 8v.05M11 8v.05"/>"#
        }
        State::Down => {
            r#"<path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"/><path class="glyph" d="M5.5 5.5l5 5M10.5 5.5l-5 5"/>"#
        }
        State::Unknown => {
            r#"<rect x="1.5" y="1.5" width="13" height="13" rx="3"/><path class="glyph" d="M6.1 6.2a1.95 1.95 0 1 1 2.7 1.8c-.5.25-.8.55-.8 1.15M8 11.6v.05"/>"#
        }
        State::Pending => {
            r#"<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.8" stroke-dasharray="2.4 2.3"/>"#
        }
    };
    html! {
        svg.sign width=(size) height=(size) viewBox="0 0 16 16" fill="currentColor" aria-hidden="true" {
            (PreEscaped(path))
        }
    }
}

/// The style class of a state with its reason: what was stopped on purpose is down, and no alarm.
pub(super) fn class_of(state: State, reason: Option<Reason>) -> String {
    class(if reason == Some(Reason::StoppedByOperator) { State::Pending } else { state })
}

/// A state as sign, word and colour.
pub(super) fn state(lang: Lang, state: State, reason: Option<Reason>) -> Markup {
    html! { span.state.(class_of(state, reason)) { (sign(state, 16)) (lang.state(state)) } }
}

/// How a check stands, drawn like the state it argues for.
pub(super) fn check_state(lang: Lang, check: CheckState) -> Markup {
    let like = match check {
        CheckState::Pass => State::Up,
        CheckState::Fail => State::Down,
        CheckState::Pending => State::Pending,
        CheckState::Unknown => State::Unknown,
    };
    html! { span.state.(class(like)) { (sign(like, 16)) (lang.check_state(check)) } }
}

/// A severity as a pill.
pub(super) fn severity(lang: Lang, severity: Severity) -> Markup {
    let like = match severity {
        Severity::Info => State::Pending,
        Severity::Warning => State::Suspect,
        Severity::Error => State::Degraded,
        Severity::Critical => State::Down,
    };
    html! { span.pill.(class(like)) { (lang.severity(severity)) } }
}

/// A state with its reason as one phrase: `down: killed`.
pub(super) fn phrase(lang: Lang, state: State, reason: Option<Reason>) -> String {
    match reason {
        Some(reason) => lang.text(
            "ui-state-and-reason",
            &[("state", lang.state(state).into()), ("reason", lang.reason(reason).into())],
        ),
        None => lang.state(state),
    }
}

/// `2026-11-22 17:14:50 UTC`.
pub(super) fn utc(at: Wall) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, rest)) => format!("{day} {} UTC", rest.get(..8).unwrap_or(rest)),
        None => text,
    }
}

/// A moment; scripts turn it into the reader's zone and leave UTC in the title.
pub(super) fn moment(at: Wall) -> Markup {
    html! { time datetime=(at) title=(utc(at)) { (utc(at)) } }
}

/// How long ago a moment was; scripts let it grow.
pub(super) fn ago(lang: Lang, at: Wall, now: Wall) -> Markup {
    html! { time datetime=(at) title=(utc(at)) data-age="ago" { (lang.ago(whole_seconds(at, now))) } }
}

/// How long something has lasted; scripts let it grow.
pub(super) fn age(lang: Lang, at: Wall, now: Wall) -> Markup {
    html! { time datetime=(at) title=(utc(at)) data-age="span" { (lang.duration(whole_seconds(at, now))) } }
}

/// Milliseconds would only flicker.
fn whole_seconds(at: Wall, now: Wall) -> std::time::Duration {
    std::time::Duration::from_secs(now.since(at).as_secs().max(1))
}

/// An address with a query.
pub(super) fn address(path: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

/// A metric's value with the unit its name tells of.
pub(super) fn figure(lang: Lang, name: &str, value: f64) -> String {
    if is_percent(name) {
        return format!("{} %", number(value));
    }
    if name.ends_with("_bytes") {
        return bytes(value);
    }
    if name.ends_with("_seconds") {
        return match value {
            short if short.abs() < 1.0 => format!("{} ms", number(short * 1000.0)),
            long if long >= 120.0 => lang
                .duration(std::time::Duration::try_from_secs_f64(long).unwrap_or(std::time::Duration::MAX)),
            seconds => format!("{} s", number(seconds)),
        };
    }
    if name.ends_with("_ms") || name == "p50" || name == "p95" || name == "p99" {
        return format!("{} ms", number(value));
    }
    number(value)
}

/// Whether a metric is a share of a hundred, so that a meter can show it.
pub(super) fn is_percent(name: &str) -> bool {
    matches!(name.strip_prefix("host_").unwrap_or(name), "cpu" | "memory" | "swap" | "disk")
        || name.ends_with("_percent")
}

/// A metric's name as people say it, without the unit that stands at its value.
pub(super) fn figure_name(lang: Lang, name: &str) -> String {
    let name = name.strip_prefix("host_").unwrap_or(name);
    let name = ["_percent", "_bytes", "_seconds", "_ms"]
        .into_iter()
        .find_map(|unit| name.strip_suffix(unit))
        .unwrap_or(name);
    lang.metric(name)
}

/// At most three digits that matter: `0.042`, `12.5`, `1234`.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn bytes(value: f64) -> String {
    let (mut value, mut unit) = (value, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value.abs() < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    format!("{} {unit}", number(value))
}

/// A share of a hundred as a bar with its name and value.
pub(super) fn meter(lang: Lang, name: &str, value: f64) -> Markup {
    let like = match value {
        share if share >= 90.0 => "f-down",
        share if share >= 75.0 => "f-degraded",
        _ => "f-up",
    };
    html! {
        div.meter {
            span.soft { (figure_name(lang, name)) }
            b { (figure(lang, name, value)) }
            svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                rect.track width="100" height="6" {}
                rect.(like) width=(number(value.clamp(0.0, 100.0))) height="6" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_the_unit_their_name_tells_of() {
        for (name, value, text) in [
            ("cpu", 12.5, "12.5 %"),
            ("host_memory", 41.237, "41.2 %"),
            ("used_percent", 99.96, "100 %"),
            ("heap_bytes", 536_870_912.0, "512 MiB"),
            ("lag_seconds", 0.042, "42 ms"),
            ("lag_seconds", 2.5, "2.5 s"),
            ("host_uptime_seconds", 356_400.0, "4 d 3 h"),
            ("lag_seconds", 1e300, "213503982334601 d 7 h"),
            ("p99_ms", 7.0, "7 ms"),
            ("queue", 1234.0, "1234"),
            ("queue", 0.0, "0"),
            ("queue", -0.5, "-0.5"),
        ] {
            assert_eq!(figure(Lang::En, name, value), text, "{name} {value}");
        }
        assert_eq!(figure_name(Lang::En, "host_memory"), "memory");
        assert_eq!(figure_name(Lang::Zh, "host_memory"), "内存");
        assert_eq!(figure_name(Lang::Zh, "heap_used_bytes"), "heap used");
    }

    #[test]
    fn a_moment_without_a_script_is_utc_and_says_so() {
        let at = Wall::parse("2026-11-22T17:14:50.123Z").unwrap();
        assert_eq!(utc(at), "2026-11-22 17:14:50 UTC");
        assert!(moment(at).into_string().contains(r#"datetime="2026-11-22T17:14:50.123Z""#));
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(address("/", &[("q", "a b&c"), ("next", "/x?y=1")]), "/?q=a+b%26c&next=%2Fx%3Fy%3D1");
        assert_eq!(address("/", &[]), "/");
    }
}
