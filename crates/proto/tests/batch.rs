//! Heartbeats as bytes: what is written is read, older bytes stay readable, and whatever arrives is answered.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus, Exit, Run, RunPhase};
use lifesign_core::model::{ServiceId, State};
use lifesign_core::time::Wall;
use lifesign_proto::batch::{Answer, BatchError, Unwritable, Writer, read, read_answer, write_answer};
use lifesign_proto::{ItemError, Limits};
use proptest::prelude::*;

fn id(text: &str) -> ServiceId {
    ServiceId::new(text).unwrap()
}

fn batch(beats: &[Beat]) -> Vec<u8> {
    let mut writer = Writer::default();
    for beat in beats {
        writer.push(beat).unwrap();
    }
    writer.into_bytes()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/batch")
}

/// What the golden files hold, each under its name.
fn golden() -> [(&'static str, Vec<Beat>); 4] {
    let full = Beat {
        status: BeatStatus::Fail,
        sent_at: Some(Wall::from_millis(1_732_262_400_123)),
        interval: Some(Duration::from_secs(90)),
        progress: Some(u64::MAX),
        hears: Some(true),
        message: Some("queue 满".to_owned()),
        metrics: vec![("cpu".into(), 12.5), ("queue.length".into(), -1.0)],
        run: Some(Box::new(Run {
            phase: RunPhase::Ended,
            id: Some("night-7".into()),
            exit: Some(Exit::Code(3)),
            took: Some(Duration::from_millis(61_500)),
            output: Some("no space left".to_owned()),
        })),
        ..Beat::alive(id("orders@web-01"))
    };
    let run = |exit| Run { exit, ..Run::ended() };
    let runs = [Run::started(), run(None), run(Some(Exit::Clean)), run(Some(Exit::Signal(9)))]
        .into_iter()
        .chain([run(Some(Exit::StartFailed("no such file".to_owned())))])
        .map(|run| Beat { run: Some(run.into()), ..Beat::alive(id("backup")) });
    [
        ("v1-none", vec![]),
        (
            "v1-plain",
            vec![Beat::alive(id("orders")), Beat { hears: Some(false), ..Beat::alive(id("billing")) }],
        ),
        ("v1-full", vec![full]),
        ("v1-runs", runs.collect()),
    ]
}

#[test]
fn bytes_of_this_version_are_what_they_always_were() {
    for (name, beats) in golden() {
        let path = corpus().join(name);
        if std::env::var_os("LIFESIGN_UPDATE").is_some() {
            std::fs::write(&path, batch(&beats)).unwrap();
        }
        let kept = std::fs::read(&path).unwrap();
        assert_eq!(batch(&beats), kept, "{name}");
        let heard: Vec<Beat> =
            read(&kept, &Limits::default()).unwrap().beats.into_iter().map(Result::unwrap).collect();
        assert_eq!(heard, beats, "{name}");
    }
}

#[test]
fn a_plain_heartbeat_is_its_name_and_five_bytes_more() {
    assert_eq!(batch(&[Beat::alive(id("orders"))]), b"\x01\x01\x00\x09\x00\x00\x00\x06orders");
}

/// A batch of one heartbeat with these bytes.
fn one(beat: &[u8]) -> Vec<u8> {
    let length = u16::try_from(beat.len()).unwrap().to_le_bytes();
    [&[1, 1, 0], &length[..], beat].concat()
}

#[test]
fn what_is_wrong_with_one_heartbeat_is_said_and_costs_the_others_nothing() {
    let refused =
        |beat: &[u8]| read(&one(beat), &Limits::default()).unwrap().beats.remove(0).unwrap_err().summary();
    assert_eq!(refused(b""), "/0: it ends too early");
    assert_eq!(refused(b"\x00\x00\x06order"), "/0: it ends too early");
    assert_eq!(refused(b"\x00\x00\x01ax"), "/0: 1 bytes stand behind its fields");
    assert_eq!(refused(b"\x03\x00\x01a"), "/0/status: expected 0, 1 or 2, found 3");
    assert!(refused(b"\x00\x00\x02\xff\xff").starts_with("/0/service_id: is not UTF-8"));
    assert!(refused(b"\x00\x00\x01A").starts_with("/0/service_id: "));
    assert!(refused(b"\x00\x10\x01a").starts_with("/0/hears: "));
    assert!(refused(b"\x00\x02\x01a\0\0\0\0\0\0\0\0").starts_with("/0/interval: "));
    assert!(refused(b"\x00\x40\x01a\xff").contains("255 metrics in one heartbeat, at most 100"));
    let metric =
        |name: &[u8], value: f64| [&[u8::try_from(name.len()).unwrap()], name, &value.to_le_bytes()].concat();
    let metrics = |metrics: &[Vec<u8>]| {
        [&b"\x00\x40\x01a"[..], &[u8::try_from(metrics.len()).unwrap()], &metrics.concat()].concat()
    };
    assert!(refused(&metrics(&[metric(b"cpu", f64::NAN)])).contains("not finite"));
    assert!(refused(&metrics(&[metric(b"cpu", 1.0), metric(b"cpu", 2.0)])).contains("twice"));
    assert!(refused(&metrics(&[metric(b"host_cpu", 1.0)])).contains("metric of the host"));
    assert!(refused(b"\x00\x80\x01a\x00\x01\0\0\0\0\0\0\0\0").contains("only a run that has ended"));
    assert!(refused(b"\x00\x80\x01a\x00\x20").contains("fields that there are not"));

    let mut body = batch(&[Beat::alive(id("a")), Beat::alive(id("b"))]);
    body[5] = 9;
    let beats = read(&body, &Limits::default()).unwrap().beats;
    let error: &ItemError = beats[0].as_ref().unwrap_err();
    assert_eq!(error.service_id.as_deref(), Some("a"));
    assert_eq!(beats[1].as_ref().unwrap().service, id("b"));
}

#[test]
fn what_is_no_batch_is_refused_as_a_whole() {
    let limits = Limits { beats: 2, ..Limits::default() };
    let refused = |body: &[u8]| read(body, &limits).unwrap_err();
    assert_eq!(refused(b""), BatchError::Short(0));
    assert_eq!(refused(b"{}"), BatchError::Short(2));
    assert_eq!(refused(br#"{"service_id":"a"}"#), BatchError::Version(b'{'));
    assert_eq!(refused(b"\x02\x00\x00"), BatchError::Version(2));
    assert_eq!(refused(b"\x01\x03\x00"), BatchError::Many { many: 3, limit: 2 });
    assert_eq!(refused(b"\x01\x01\x00\x05\x00\x00"), BatchError::CutOff(0));
    assert_eq!(refused(b"\x01\x00\x00\x00"), BatchError::Behind(1));
    assert_eq!(refused(b"\x01\x03\x00").status(), 422);
    assert_eq!(refused(b"").status(), 400);
}

#[test]
fn what_does_not_fit_leaves_the_batch_as_it_was() {
    let mut writer = Writer::default();
    writer.push(&Beat::alive(id("a"))).unwrap();
    let before = writer.as_bytes().to_vec();
    let long = Beat { message: Some("x".repeat(70_000)), ..Beat::alive(id("a")) };
    assert_eq!(writer.push(&long), Err(Unwritable::Field("message")));
    let unseen = Run { exit: Some(Exit::Unseen), ..Run::ended() };
    let unseen = Beat { run: Some(unseen.into()), ..Beat::alive(id("a")) };
    assert_eq!(writer.push(&unseen), Err(Unwritable::Field("exit")));
    assert_eq!(writer.as_bytes(), before);
}

#[test]
fn an_answer_has_a_byte_for_each_heartbeat() {
    let states = [State::Pending, State::Up, State::Degraded, State::Suspect, State::Down, State::Unknown];
    let answers: Vec<Answer> = states
        .into_iter()
        .map(Answer::Taken)
        .chain([Answer::Invalid, Answer::Unknown, Answer::TooFast])
        .collect();
    let bytes = write_answer(&answers);
    assert_eq!(bytes, b"\x01\x09\x00\x00\x01\x02\x03\x04\x05\x80\x81\x82");
    assert_eq!(read_answer(&bytes).unwrap(), answers);
    for wrong in [&b""[..], b"\x02\x00\x00", b"\x01\x02\x00\x00", b"\x01\x01\x00\x06"] {
        assert!(read_answer(wrong).is_err(), "{wrong:?}");
    }
}

/// What holds for all bytes.
fn promises(body: &[u8]) {
    let limits = Limits::default();
    let Ok(heard) = read(body, &limits) else { return };
    assert!(heard.array && heard.beats.len() <= limits.beats);
    assert!(heard.beats.iter().flatten().all(|beat| beat.metrics.iter().all(|(_, value)| value.is_finite())));
    if let Ok(beats) = heard.beats.into_iter().collect::<Result<Vec<Beat>, _>>() {
        let again = read(&batch(&beats), &limits).unwrap();
        assert_eq!(again.beats.into_iter().map(Result::unwrap).collect::<Vec<_>>(), beats);
    }
}

#[test]
fn every_batch_the_fuzzer_kept_is_answered() {
    let mut replayed = 0;
    for entry in std::fs::read_dir(corpus()).unwrap() {
        promises(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 4, "only {replayed} batches in {}", corpus().display());
}

fn exits() -> impl Strategy<Value = Option<Exit>> {
    prop::option::of(prop_oneof![
        Just(Exit::Clean),
        (1_i64..=4_294_967_295).prop_map(Exit::Code),
        (1..=128).prop_map(Exit::Signal),
        ".{0,30}".prop_map(Exit::StartFailed),
    ])
}

fn runs() -> impl Strategy<Value = Run> {
    let id = prop::option::of("[!-~]{1,64}".prop_map(Arc::from));
    let took = prop::option::of((0..=315_360_000_000_u64).prop_map(Duration::from_millis));
    let phase = prop_oneof![Just(RunPhase::Started), Just(RunPhase::Ended), Just(RunPhase::Noted)];
    (phase, id, exits(), took, prop::option::of(".{0,40}")).prop_map(|(phase, id, exit, took, output)| Run {
        phase,
        id,
        exit: exit.filter(|_| phase == RunPhase::Ended),
        took,
        output,
    })
}

fn beats() -> impl Strategy<Value = Beat> {
    let status = prop_oneof![Just(BeatStatus::Alive), Just(BeatStatus::Stopping), Just(BeatStatus::Fail)];
    let metrics = prop::collection::btree_map("[a-gi-zA-Z_:][a-zA-Z0-9_:.-]{0,20}", -1e300_f64..1e300, 0..5);
    let spoken = (
        "[a-z0-9][a-z0-9._-]{0,20}",
        status,
        prop::option::of(0_i64..4_000_000_000_000),
        prop::option::of((1..=31_536_000_000_u64).prop_map(Duration::from_millis)),
        prop::option::of(any::<u64>()),
    );
    (spoken, any::<Option<bool>>(), prop::option::of(".{0,40}"), metrics, prop::option::of(runs())).prop_map(
        |((service, status, at, interval, progress), hears, message, metrics, run)| Beat {
            status,
            sent_at: at.map(Wall::from_millis),
            metrics: metrics.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            message,
            interval,
            hears,
            progress,
            run: run.map(Into::into),
            ..Beat::alive(id(&service))
        },
    )
}

proptest! {
    #[test]
    fn what_a_sender_writes_is_what_is_read(sent in prop::collection::vec(beats(), 0..8)) {
        let heard = read(&batch(&sent), &Limits::default()).unwrap();
        let heard: Vec<Beat> = heard.beats.into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(heard, sent);
    }

    #[test]
    fn any_bytes_are_answered(head in any::<bool>(), mut body in prop::collection::vec(any::<u8>(), 0..200)) {
        if head { body.splice(0..0, [1, 1, 0]); }
        promises(&body);
        if let Ok(length) = u16::try_from(body.len()) {
            promises(&[&[1, 1, 0], &length.to_le_bytes()[..], &body].concat());
        }
    }

    #[test]
    fn a_valid_batch_cut_or_hit_anywhere_is_answered(
        sent in prop::collection::vec(beats(), 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut body = batch(&sent);
        let at = at.index(body.len());
        if cut {
            body.truncate(at);
            prop_assert!(read(&body, &Limits::default()).is_err(), "cut off at {}", at);
        } else {
            body[at] = byte;
            promises(&body);
        }
    }
}
