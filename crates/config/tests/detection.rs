//! Which detector judges a service, and with what limits: as written, as implied, as the defaults say.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::load;
use lifesign_config::heartbeat::Heartbeat;
use lifesign_config::spec;
use lifesign_core::spec::{Confirm, Dependency, DetectorSpec, HeartbeatSpec, Mode, Profile, Spec};

const ADAPTIVE: DetectorSpec = DetectorSpec::Adaptive(Profile::Default);

fn spec_of(text: &str) -> Spec {
    let loaded = load("a.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    spec(&loaded.config, &Arc::from("h"), &[])
}

/// What a service with these defaults and this heartbeat gets. It has three targets that can be asked.
fn heartbeat(defaults: &str, heartbeat: &str) -> HeartbeatSpec {
    let text = format!(
        "defaults: {{ {defaults} }}\nservices:\n  - id: a\n    heartbeat: {{ {heartbeat} }}\n    \
         checks: [ {{ tcp: {{ addresses: [\"a:1\", \"b:1\", \"c:1\"] }} }} ]\n"
    );
    spec_of(&text).services[0].heartbeat.clone().unwrap()
}

fn judged(defaults: &str, written: &str) -> (DetectorSpec, u64, bool) {
    let spec = heartbeat(defaults, written);
    (spec.detector, spec.timeout.as_secs(), spec.confirm)
}

#[test]
fn a_written_timeout_is_fixed_and_without_one_the_adaptive_detector_judges() {
    for (defaults, written, detector, limit, confirm) in [
        ("", "interval: 5s", ADAPTIVE, 15, true),
        ("", "", ADAPTIVE, 30, true),
        ("", "interval: 5s, timeout: 20s", DetectorSpec::Fixed, 20, false),
        ("", "interval: 5s, detector: fixed", DetectorSpec::Fixed, 15, false),
        ("", "interval: 5s, max_timeout: 40s", ADAPTIVE, 40, true),
        ("", "interval: 5s, profile: strict", DetectorSpec::Adaptive(Profile::Strict), 15, true),
        ("interval: 5s, timeout: 15s", "", DetectorSpec::Fixed, 15, false),
        ("interval: 5s, timeout: 15s", "interval: 3s", DetectorSpec::Fixed, 15, false),
        ("interval: 5s, timeout: 12s", "detector: fixed", DetectorSpec::Fixed, 12, false),
    ] {
        assert_eq!(judged(defaults, written), (detector, limit, confirm), "{defaults} / {written}");
    }
}

#[test]
fn a_service_that_says_otherwise_is_not_held_to_the_defaults() {
    let fast = DetectorSpec::Adaptive(Profile::Fast);
    let chen = DetectorSpec::Chen { margin: Duration::from_secs(5), window: 1000 };
    for (defaults, written, detector, limit, confirm) in [
        ("interval: 5s, timeout: 12s", "detector: adaptive", ADAPTIVE, 15, true),
        ("interval: 5s, timeout: 12s", "interval: 20s, detector: adaptive", ADAPTIVE, 60, true),
        ("interval: 5s, timeout: 12s", "profile: fast", fast, 15, true),
        ("interval: 5s, timeout: 12s", "max_timeout: 20s", ADAPTIVE, 20, true),
        ("interval: 5s, detector: chen", "max_timeout: 20s", chen, 20, true),
        ("interval: 5s, detector: chen", "timeout: 20s", DetectorSpec::Fixed, 20, false),
        ("interval: 5s, detector: chen", "profile: fast", fast, 15, true),
        ("interval: 5s, profile: fast", "", fast, 15, true),
        ("interval: 5s, profile: fast", "timeout: 20s", DetectorSpec::Fixed, 20, false),
        ("interval: 5s, confirm: off", "", ADAPTIVE, 15, false),
        ("interval: 5s, confirm: on", "timeout: 20s", DetectorSpec::Fixed, 20, true),
        ("interval: 5s, confirm: off", "confirm: on", ADAPTIVE, 15, true),
    ] {
        assert_eq!(judged(defaults, written), (detector, limit, confirm), "{defaults} / {written}");
    }
}

#[test]
fn detectors_can_be_tuned() {
    let tuned = |written| heartbeat("interval: 5s", written).detector;
    let seconds = Duration::from_secs;
    assert_eq!(tuned("detector: chen"), DetectorSpec::Chen { margin: seconds(5), window: 1000 });
    assert_eq!(
        tuned("detector: { chen: { margin: 2s, window: 50 } }"),
        DetectorSpec::Chen { margin: seconds(2), window: 50 }
    );
    assert_eq!(tuned("detector: phi"), DetectorSpec::Accrual { threshold: 8.0, window: 1000 });
    assert_eq!(
        tuned("detector: { phi: { threshold: 5 } }"),
        DetectorSpec::Accrual { threshold: 5.0, window: 1000 }
    );
}

#[test]
fn a_margin_that_ends_after_the_limit_gives_a_warning() {
    let text = "services: [ { id: a, heartbeat: { interval: 5s, detector: { chen: { margin: 20s } } } } ]\n";
    let warnings = load("a.yaml", text).unwrap().warnings.to_string();
    assert!(warnings.contains("the margin (20s) ends after `max_timeout` (15s)"), "{warnings}");
    let silent = text.replace("20s", "10s");
    assert!(load("a.yaml", &silent).unwrap().warnings.problems.is_empty());
}

#[test]
fn modes_and_progress_are_told_to_the_engine() {
    for (word, mode) in [("fixed", Mode::Fixed), ("backoff", Mode::Backoff), ("mutual", Mode::Mutual)] {
        assert_eq!(heartbeat("", &format!("mode: {word}")).mode, mode);
    }
    assert_eq!(heartbeat("", "").mode, Mode::Fixed);
    assert_eq!(heartbeat("", "progress_within: 1m").progress_within, Some(Duration::from_secs(60)));
}

#[test]
fn so_many_of_so_many_are_asked_where_there_are_so_many() {
    let opinion = Some(Confirm { need: 2, of: 3 });
    let written = heartbeat("", "confirm: 2 of 3");
    assert!(written.confirm);
    assert_eq!(written.second_opinion, opinion);
    assert_eq!(heartbeat("confirm: 2 of 3", "").second_opinion, opinion);
    assert_eq!(heartbeat("confirm: 2 of 3", "confirm: on").second_opinion, None);
    let few = spec_of("defaults: { confirm: 2 of 3 }\nservices: [ { id: a, heartbeat: {} } ]\n");
    let few = few.services[0].heartbeat.clone().unwrap();
    assert!(few.confirm);
    assert_eq!(few.second_opinion, None, "it has nobody to ask");
}

#[test]
fn confirmation_that_finds_nobody_to_ask_gives_a_warning() {
    let text = "services: [ { id: a, heartbeat: { confirm: on } } ]\n";
    let warnings = load("a.yaml", text).unwrap().warnings.to_string();
    assert!(warnings.contains("a.yaml:1:44: warning: `a` has no `checks`"), "{warnings}");
    assert!(load("a.yaml", "services: [ { id: a, heartbeat: {} } ]\n").unwrap().warnings.problems.is_empty());
}

#[test]
fn a_heartbeat_of_which_nothing_is_written_is_as_an_empty_one() {
    for defaults in ["", "interval: 5s, timeout: 15s", "profile: fast, confirm: off, retries: 0"] {
        let config = load(
            "a.yaml",
            &format!("defaults: {{ {defaults} }}\nservices: [ {{ id: a, heartbeat: {{}} }} ]\n"),
        );
        let config = config.unwrap_or_else(|report| panic!("{report}")).config;
        assert_eq!(config.services[0].keys.heartbeat, Some(Heartbeat::unwritten()));
    }
}

#[test]
fn dependencies_may_be_groups() {
    let spec = spec_of(
        "services:\n  - { id: a, unit: a }\n  - { id: b, unit: b }\n  - { id: c, unit: c }\n  \
         - { id: d, unit: d, depends_on: [a, { any: [a, b] }, { of: [a, b, c], need: 2 }] }\n",
    );
    let id = |text| lifesign_core::model::ServiceId::new(text).unwrap();
    assert_eq!(
        spec.services[3].depends_on,
        [
            Dependency::on(id("a")),
            Dependency { of: vec![id("a"), id("b")], need: 1 },
            Dependency { of: vec![id("a"), id("b"), id("c")], need: 2 },
        ]
    );
}

#[test]
fn questions_a_second_have_a_limit() {
    assert_eq!(spec_of("").confirmations_per_second, 200);
    assert_eq!(spec_of("server: { limits: { confirmations: 0 } }").confirmations_per_second, 0);
}

#[test]
fn an_overlay_turns_a_fixed_service_into_a_learned_one() {
    use lifesign_config::overlay::merge;
    use lifesign_config::parse::{Syntax, parse};
    use lifesign_config::{Cx, Decode};
    use std::path::Path;

    let mut cx = Cx::new(Path::new(""));
    let mut tree = |name: &str, text: &str| {
        parse(name, Path::new(name), text.as_bytes(), Syntax::Yaml, &mut cx).unwrap()
    };
    let base = tree("a.yaml", "{ interval: 5s, timeout: 15s }");
    let over = tree("a.prod.yaml", "{ timeout: null, detector: { chen: { margin: 3s } } }");
    let heartbeat = Heartbeat::decode(&merge(base, over), &mut cx).unwrap();
    assert_eq!(cx.errors(), 0);
    let spec = heartbeat.spec(&cx.defaults);
    assert_eq!(spec.detector, DetectorSpec::Chen { margin: Duration::from_secs(3), window: 1000 });
    assert_eq!(spec.timeout, Duration::from_secs(15));
}
