//! Whatever bytes arrive: an answer, never a panic, and nothing in it that breaks its own promises.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::path::Path;
use std::time::Duration;

use lifesign_proto::{BodyError, Limits, MAX_FAULTS, Problem, read, read_with_care};
use proptest::prelude::*;

const YEAR: Duration = Duration::from_secs(31_536_000);

/// What holds for every body.
fn promises(body: &[u8]) {
    let limits = Limits::default();
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(
        body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body),
    )
    .is_ok()
        && std::str::from_utf8(body).is_ok();
    let result = read(body, &limits);
    assert_eq!(result, read_with_care(body, &limits), "the shorter way leads elsewhere");
    match result {
        Err(BodyError::Malformed(place)) => {
            assert!(!is_json, "called malformed: {place}");
            assert!(place.line >= 1 && place.column >= 1 && !place.reason.is_empty());
            assert!(place.line <= body.len() + 1 && place.column <= body.len() + 1, "{place}");
        }
        Err(error @ BodyError::Invalid(_)) => {
            assert!(is_json);
            assert_eq!(error.problem().status, 422);
        }
        Ok(heartbeats) => {
            assert!(is_json);
            assert!(heartbeats.array || heartbeats.beats.len() == 1);
            assert!(heartbeats.beats.len() <= limits.beats);
            for beat in &heartbeats.beats {
                match beat {
                    Ok(beat) => {
                        assert!(beat.metrics.len() <= limits.metrics);
                        assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
                        assert!(beat.interval.is_none_or(|next| !next.is_zero() && next <= YEAR));
                        assert!(beat.message.as_ref().is_none_or(|text| text.len() <= limits.message_bytes));
                    }
                    Err(error) => {
                        assert!(!error.faults.is_empty() && error.faults.len() <= MAX_FAULTS);
                        let text = serde_json::to_string(&error.problem()).unwrap();
                        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), error.problem());
                    }
                }
            }
        }
    }
}

/// A heartbeat in which little is wrong, or nothing.
fn nearly_ordinary() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has no NaN", |n| n.is_finite()).prop_map(|n| format!("{n}")),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
        Just("1763800000.25".to_owned()),
    ];
    let metrics = prop::collection::vec(("[a-c_é1]{1,2}", number.clone()), 0..4).prop_map(|metrics| {
        let all: Vec<String> = metrics.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", all.join(","))
    });
    let member = prop_oneof![
        4 => prop_oneof!["orders", "a@b", "Ä", "", "a\\\\u0062"].prop_map(|id| format!("\"service_id\":\"{id}\"")),
        1 => prop_oneof!["alive", "stopping", "fail", "dead"].prop_map(|word| format!("\"status\":\"{word}\"")),
        1 => number.clone().prop_map(|n| format!("\"timestamp\":{n}")),
        1 => prop_oneof!["2026-11-22T09:00:00Z", "2026-11-22 09:00", "1m30s"]
            .prop_flat_map(|text| prop_oneof![Just("timestamp"), Just("interval"), Just("message")]
                .prop_map(move |key| format!("\"{key}\": \"{text}\""))),
        1 => number.clone().prop_map(|n| format!("\"interval\" :{n}")),
        1 => number.prop_map(|n| format!("\"progress\":{n}")),
        1 => prop_oneof!["true", "false", "null", "1"].prop_map(|word| format!("\"hears\":{word}")),
        2 => metrics.prop_map(|metrics| format!("\"metrics\":{metrics}")),
        1 => Just("\"run\":\"started\"".to_owned()),
    ];
    prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(", ")))
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        any::<f64>().prop_filter("JSON has no NaN", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<i64>().prop_map(|n| n.to_string()),
        ".{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("\"orders\"".to_owned()),
        Just("\"stopping\"".to_owned()),
        Just("\"1m30s\"".to_owned()),
    ];
    let key = prop_oneof![
        Just("service_id".to_owned()),
        Just("timestamp".to_owned()),
        Just("status".to_owned()),
        Just("metrics".to_owned()),
        Just("message".to_owned()),
        Just("interval".to_owned()),
        Just("hears".to_owned()),
        Just("progress".to_owned()),
        ".{0,6}",
    ];
    leaf.prop_recursive(3, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", members.join(" , "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        promises(&body);
    }

    #[test]
    fn any_json_is_answered(body in json()) {
        promises(body.as_bytes());
    }

    #[test]
    fn an_ordinary_body_is_read_by_the_shorter_way_as_by_the_other(
        beats in prop::collection::vec(nearly_ordinary(), 1..4), array in any::<bool>(),
    ) {
        promises(if array { format!("[{}]", beats.join(",")) } else { beats[0].clone() }.as_bytes());
    }

    #[test]
    fn a_valid_body_cut_or_hit_anywhere_is_answered(at in 0_usize..120, byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = br#"[{"service_id":"orders","timestamp":1732262400,"status":"alive","metrics":{"cpu":12.5},"message":"ok"}]"#.to_vec();
        let at = at % body.len();
        if cut { body.truncate(at); } else { body[at] = byte; }
        promises(&body);
    }

    #[test]
    fn what_a_sender_writes_is_what_is_read(
        seconds in 0_i64..4_000_000_000, value in -1e300_f64..1e300, name in "[a-zA-Z_:][a-zA-Z0-9_:.-]{0,30}",
    ) {
        let body = serde_json::json!({"service_id": "orders", "timestamp": seconds, "metrics": {(name.as_str()): value}});
        let heartbeats = read(body.to_string().as_bytes(), &Limits::default()).unwrap();
        let beat = heartbeats.beats[0].as_ref().unwrap();
        prop_assert_eq!(beat.sent_at.unwrap().as_millis(), seconds * 1000);
        prop_assert_eq!(&*beat.metrics[0].0, name.as_str());
        prop_assert_eq!(beat.metrics[0].1.to_bits(), value.to_bits());
    }
}

#[test]
fn every_body_the_fuzzer_kept_is_answered() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/heartbeats");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        promises(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} bodies in {}", corpus.display());
}

#[test]
fn nesting_deeper_than_any_stack_is_answered() {
    let deep = "[".repeat(60_000);
    promises(deep.as_bytes());
    promises(format!("{deep}{}", "]".repeat(60_000)).as_bytes());
    promises(format!("{{\"metrics\":{deep}{}}}", "]".repeat(60_000)).as_bytes());
}

#[test]
fn an_array_is_taken_up_to_its_limit_and_refused_beyond() {
    let body = |many: usize| format!("[{}]", vec![r#"{"service_id":"a"}"#; many].join(","));
    let limit = Limits::default().beats;
    assert_eq!(read(body(limit).as_bytes(), &Limits::default()).unwrap().beats.len(), limit);
    let refused = read(body(limit + 1).as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(refused.to_string(), "1001 heartbeats in one array, at most 1000; send several bodies");
    assert!(body(limit).len() < Limits::default().body_bytes);
}
