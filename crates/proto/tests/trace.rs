//! Traces: what is read from them, what is refused with which words, and that no bytes do any harm.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::path::Path;
use std::time::Duration;

use lifesign_core::time::Mono;
use lifesign_proto::trace::{Crash, MAX_LINE, Outage, Trace, TraceError, read};
use proptest::prelude::*;

fn at(seconds: f64) -> Mono {
    Mono::ZERO + Duration::from_secs_f64(seconds)
}

fn refusal(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

/// Sent and received of each beat, in seconds.
fn beats(trace: &Trace) -> Vec<(f64, Option<f64>)> {
    let seconds = |at: Mono| at.since(Mono::ZERO).as_secs_f64();
    trace.services[0].beats.iter().map(|beat| (seconds(beat.sent), beat.received().map(seconds))).collect()
}

#[test]
fn the_lines_of_the_contract_are_read() {
    let trace = read(&include_bytes!("../fuzz/corpus/trace/contract")[..]).unwrap();
    assert_eq!(trace.outages, [Outage { from: at(100.0), until: at(160.0) }]);
    assert_eq!(trace.services.len(), 1);
    assert_eq!(trace.services[0].id.as_str(), "a");
    assert_eq!(trace.services[0].crashes, [Crash { at: at(9000.0), until: Some(at(9100.0)) }]);
    assert_eq!(beats(&trace), [(12.0, Some(12.15)), (22.0, None)]);
}

#[test]
fn lines_may_stand_in_any_order_and_outages_that_touch_are_one() {
    let trace = read(&include_bytes!("../fuzz/corpus/trace/any-order")[..]).unwrap();
    assert_eq!(beats(&trace), [(0.0, Some(25.0)), (20.0, Some(20.1))]);
    assert_eq!(trace.services[0].crashes, [Crash { at: at(21.0), until: Some(at(31.0)) }]);
    assert_eq!(trace.outages, [Outage { from: at(0.0), until: at(6.0) }]);
}

#[test]
fn a_file_of_windows_reads_as_one_of_linux() {
    let trace = read(&include_bytes!("../fuzz/corpus/trace/windows-lines-and-byte-order-mark")[..]).unwrap();
    assert_eq!(beats(&trace), [(0.0, Some(0.1)), (10.0, Some(10.1))]);
}

#[test]
fn of_a_heartbeat_that_stands_there_twice_the_first_arrival_counts() {
    let trace = read(&include_bytes!("../fuzz/corpus/trace/the-same-beat-twice")[..]).unwrap();
    assert_eq!(beats(&trace), [(1.0, Some(2.0))]);
}

#[test]
fn heartbeats_of_a_dead_service_are_left_out_and_counted() {
    let text = "{\"service\":\"a\",\"sent\":1,\"received\":9}\n{\"service\":\"a\",\"crash\":2}\n\
        {\"service\":\"a\",\"sent\":3,\"received\":3}\n{\"service\":\"a\",\"recover\":4}\n\
        {\"service\":\"a\",\"sent\":4,\"received\":4}\n{\"service\":\"a\",\"crash\":5}\n\
        {\"service\":\"a\",\"sent\":6,\"received\":null}\n";
    let trace = read(text.as_bytes()).unwrap();
    assert_eq!(beats(&trace), [(1.0, Some(9.0)), (4.0, Some(4.0))]);
    assert_eq!(trace.services[0].ignored, 2);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_the_way_out() {
    let good = "{\"service\":\"a\",\"sent\":1,\"received\":1}\n";
    for (line, told) in [
        (
            "{\"service\":\"a\",\"sent\":1,\"recieved\":3}",
            "unknown key `recieved`, expected one of `service`, `sent`",
        ),
        ("{\"service\":\"a\",\"sent\":1,\"sent\":3}", "the key `sent` stands there twice"),
        ("{\"service\":\"a\",\"sent\":1}", "a heartbeat without `received`; write null where it was lost"),
        ("{\"service\":\"a\",\"received\":1}", "`received` without `sent`"),
        (
            "{\"service\":\"a\",\"sent\":null,\"received\":3}",
            "invalid type: null, expected a number of seconds",
        ),
        (
            "{\"service\":\"a\",\"sent\":\"1\",\"received\":3}",
            "invalid type: string \"1\", expected a number",
        ),
        ("{\"service\":\"a\",\"sent\":-3,\"received\":1}", "`sent` is -3 s; times count from the start"),
        ("{\"service\":\"a\",\"sent\":3,\"received\":1}", "received at 1 s, before it was sent at 3 s"),
        ("{\"service\":\"a\",\"sent\":1732262400000,\"received\":null}", "are these milliseconds?"),
        ("{\"service\":\"a\",\"sent\":1e400,\"received\":1}", "not JSON: number out of range (column "),
        ("{\"service\":\"A\",\"sent\":1,\"received\":1}", "`service` \"A\": 'A' may not stand in an id"),
        ("{\"sent\":1,\"received\":1}", "no `service` is named"),
        ("{\"service\":\"a\"}", "nothing is said about the service"),
        ("{\"service\":\"a\",\"crash\":1,\"recover\":2}", "several things in one line"),
        ("{\"service\":\"a\",\"outage\":[1,2]}", "an outage is the network's"),
        ("{\"outage\":[2,1]}", "the outage ends at 1 s, before it begins at 2 s"),
        ("{\"outage\":[1]}", "invalid length 1, expected an array of length 2"),
        ("{\"service\":\"a\",\"recover\":2}", "a recovers at 2 s without a `crash` before that"),
        ("[\"a\",1,2]", "no JSON object: [\"a\",1,2]"),
        ("service,sent,received", "no JSON object: service,sent,received"),
        ("{\"service\":\"a\",", "not JSON: EOF while parsing"),
    ] {
        let refusal = refusal(&format!("{good}{line}\n{good}"));
        assert!(refusal.starts_with("line 2: ") && refusal.contains(told), "{line}: {refusal}");
    }
    let twice =
        refusal(&format!("{{\"service\":\"a\",\"crash\":7}}\n{good}{{\"service\":\"a\",\"crash\":5}}\n"));
    assert_eq!(twice, "line 1: a crashes at 7 s and is dead already; is a `recover` missing?");
}

#[test]
fn a_trace_without_heartbeats_and_a_line_without_an_end_are_refused() {
    assert!(matches!(read(&b""[..]), Err(TraceError::Empty)));
    assert!(matches!(read(&b"{\"outage\":[1,2]}"[..]), Err(TraceError::Empty)));
    let long_key = format!("{{\"{}\":1}}", "k".repeat(3000));
    promises(long_key.as_bytes());
    let endless = vec![b'x'; 10 * MAX_LINE];
    assert!(matches!(read(&endless[..]), Err(TraceError::Line { line: 1, .. })));
}

/// What holds for any bytes.
fn promises(bytes: &[u8]) {
    match read(bytes) {
        Err(TraceError::Line { line, reason }) => {
            assert!(line >= 1 && line <= 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64);
            assert!(!reason.is_empty() && reason.len() < 1000, "{reason}");
        }
        Err(TraceError::Empty) => {}
        Err(TraceError::Io(error)) => panic!("{error}"),
        Ok(trace) => {
            assert!(trace.outages.windows(2).all(|pair| pair[0].until < pair[1].from));
            for service in &trace.services {
                assert!(service.beats.windows(2).all(|pair| pair[0].sent < pair[1].sent));
                assert!(service.beats.iter().all(|beat| beat.received().is_none_or(|at| at >= beat.sent)));
                for beat in &service.beats {
                    let dead = |crash: &Crash| {
                        crash.at <= beat.sent && crash.until.is_none_or(|until| beat.sent < until)
                    };
                    assert!(!service.crashes.iter().any(dead));
                }
            }
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    let seconds =
        prop_oneof![(0_u32..30).prop_map(|n| n.to_string()), Just("null".into()), Just("-1".into())];
    let member = prop_oneof![
        4 => Just("\"service\":\"a\"".to_owned()),
        4 => (prop_oneof![Just("sent"), Just("received"), Just("crash"), Just("recover")], seconds.clone())
            .prop_map(|(key, value)| format!("\"{key}\":{value}")),
        1 => (seconds.clone(), seconds).prop_map(|(from, until)| format!("\"outage\":[{from},{until}]")),
    ];
    let events = (0_u32..30, prop_oneof![Just("crash"), Just("recover")])
        .prop_map(|(at, key)| format!("{{\"service\":\"a\",\"{key}\":{at}}}"));
    let beats = (0_u32..30, 0_u32..30).prop_map(|(sent, late)| {
        format!("{{\"service\":\"a\",\"sent\":{sent},\"received\":{}}}", sent + late)
    });
    prop_oneof![
        1 => prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        4 => events,
        8 => beats,
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        promises(&bytes);
    }

    #[test]
    fn any_lines_are_answered(lines in prop::collection::vec(line(), 0..12)) {
        promises(lines.join("\n").as_bytes());
    }

    #[test]
    fn the_order_of_the_lines_does_not_matter(
        lines in prop::collection::vec(line(), 0..8).prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle())),
    ) {
        if let (Ok(one), Ok(other)) = (read(lines.0.join("\n").as_bytes()), read(lines.1.join("\n").as_bytes())) {
            prop_assert_eq!(one.outages, other.outages);
            prop_assert_eq!(&one.services[0].beats, &other.services[0].beats);
            prop_assert_eq!(&one.services[0].crashes, &other.services[0].crashes);
        }
    }
}

#[test]
fn every_trace_the_fuzzer_kept_is_answered() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/trace");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        promises(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 15, "only {replayed} traces in {}", corpus.display());
}
