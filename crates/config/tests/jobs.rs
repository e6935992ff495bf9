//! What the engine is told of a job, for every way to write when it is due.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::load;
use lifesign_config::spec;
use lifesign_core::job::JobSpec;
use lifesign_core::time::Wall;

fn job(written: &str) -> JobSpec {
    let text = format!("services:\n  - id: a\n    job: {{ {written} }}\n");
    let loaded = load("a.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
    spec(&loaded.config, &Arc::from("h"), &[]).services[0].job.clone().unwrap()
}

/// The first two due times of 2026-07-01 and after.
fn due(written: &str) -> [String; 2] {
    let schedule = job(written).schedule;
    let first = schedule.after(Wall::parse("2026-07-01T00:00:00Z").unwrap()).unwrap();
    let second = schedule.after(first.from).unwrap();
    [first, second].map(|due| due.from.to_string().replace(":00.000Z", ""))
}

#[test]
fn a_schedule_is_a_cron_pattern_in_a_time_zone() {
    assert_eq!(due(r#"schedule: "0 3 * * *""#), ["2026-07-01T03:00", "2026-07-02T03:00"]);
    assert_eq!(
        due(r#"schedule: "0 3 * * *", timezone: Europe/Berlin"#),
        ["2026-07-01T01:00", "2026-07-02T01:00"]
    );
    assert_eq!(due(r#"schedule: ["0 3 * * *", "0 15 * * *"]"#), ["2026-07-01T03:00", "2026-07-01T15:00"]);
    assert_eq!(due(r#"schedule: "@weekly""#), ["2026-07-05T00:00", "2026-07-12T00:00"]);
}

#[test]
fn a_calendar_says_the_same_in_words() {
    assert_eq!(due(r#"calendar: { at: ["03:00", "15:30"] }"#), ["2026-07-01T03:00", "2026-07-01T15:30"]);
    assert_eq!(
        due(r#"calendar: { at: ["03:00"], weekdays: [mon, fri] }"#),
        ["2026-07-03T03:00", "2026-07-06T03:00"]
    );
    assert_eq!(
        due(r#"calendar: { at: ["00:05"], days: [15], last_day: true }"#),
        ["2026-07-15T00:05", "2026-07-31T00:05"]
    );
    assert_eq!(
        due(r#"calendar: { at: ["00:05"], last_day: true }, timezone: Asia/Shanghai"#),
        ["2026-07-30T16:05", "2026-08-30T16:05"]
    );
}

#[test]
fn a_period_and_the_limits_are_as_written_or_as_the_guide_says() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let written = job("every: 24h, grace: 1h, max_runtime: 2h");
    assert_eq!(written.schedule.words(), "every 1d");
    assert_eq!((written.grace, written.max_runtime), (hours(1), Some(hours(2))));
    let unwritten = job("every: 24h");
    assert_eq!((unwritten.grace, unwritten.max_runtime), (Duration::from_secs(900), None));
}

#[test]
fn a_job_is_watched_and_may_send_metrics() {
    let text = "services: [ { id: a, job: { every: 1h } } ]\nrules: [ { alert: Big, when: \"size > 5\" } ]\n";
    let loaded = load("a.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.warnings.to_string(), "");
}
