//! lifesign is killed, hundreds of times, at any moment: no incident and no notification is lost, and one is
//! told again only when lifesign died between the receiver's answer and its own mark.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails; its table is for people"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::trap::{Point, Receipt, TrapHook};
use support::{Lifesign, up, wait_for};

/// Rounds of kills; one of each kind in a round.
const ROUNDS: u32 = 55;
const SERVICES: [&str; 4] = ["north", "east", "south", "west"];

/// When lifesign is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Soon after a heartbeat that changes a state; fine steps around the write to the outbox.
    AfterBeat,
    /// Some time after a heartbeat that changes a state.
    AnyTime,
    /// While it starts.
    Starting,
    /// The receiver has accepted its connection and read nothing: between outbox write and send.
    Connected,
    /// The receiver has the message and has not answered: between send and answer.
    Sent,
    /// The receiver has answered: between answer and mark.
    Answered,
}

const MOMENTS: [Moment; 6] =
    [Moment::AfterBeat, Moment::Connected, Moment::AnyTime, Moment::Sent, Moment::Starting, Moment::Answered];

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AfterBeat => "0..8 ms after a heartbeat",
            Self::AnyTime => "0..40 ms after a heartbeat",
            Self::Starting => "while starting",
            Self::Connected => "outbox write .. send",
            Self::Sent => "send .. answer",
            Self::Answered => "answer .. mark (0..1 ms)",
        })
    }
}

/// A lifesign that was killed.
#[derive(Debug)]
struct Death {
    life: usize,
    moment: Moment,
    /// What became of the heartbeat that was sent last.
    beat: Option<Beat>,
}

/// A heartbeat that must change its service's state, and so cause a notification.
#[derive(Debug)]
struct Beat {
    service: &'static str,
    status: &'static str,
    /// Whether the next life knew the change: it was on the disk.
    kept: bool,
}

fn configuration(hook: &str) -> String {
    let mut text = "server: { listen: \"127.0.0.1:0\" }\nservices:\n".to_owned();
    for service in SERVICES.iter().chain(&["last"]) {
        // So slow that nothing but the test's own heartbeats ever changes a state.
        text += &format!("  - {{ id: {service}, heartbeat: {{ interval: 10m, timeout: 30m }} }}\n");
    }
    text + &format!("receivers:\n  - {{ name: hook, webhook: {{ url: \"{hook}\" }} }}\n")
}

/// Spreads the rounds evenly over `longest`, neighbours far apart.
fn spread(round: u32, longest: Duration) -> Duration {
    longest.mul_f64((f64::from(round) * 0.618_034).fract())
}

fn has_incident(lifesign: &Lifesign, service: &str) -> bool {
    !lifesign.service(service)["incident_id"].is_null()
}

/// The heartbeat that changes the service's state: into an incident, or out of one.
fn changing_beat(lifesign: &Lifesign, service: &'static str) -> (Beat, Value) {
    let status = if has_incident(lifesign, service) { "alive" } else { "fail" };
    (Beat { service, status, kept: false }, json!({ "service_id": service, "status": status }))
}

fn beat(lifesign: &Lifesign, body: &Value) {
    let (status, answer) = lifesign.post("/api/v1/heartbeats", body);
    assert_eq!(status, 200, "{answer}");
}

/// Starts lifesign and kills it at the moment; `start` is about how long a start takes.
fn die(dir: &Path, hook: &TrapHook, moment: Moment, round: u32, deaths: &mut Vec<Death>, start: Duration) {
    let text = configuration(&hook.url);
    let life = hook.next_life();
    if moment == Moment::Starting {
        let mut child = up(dir, &text).spawn().unwrap();
        std::thread::sleep(spread(round, start));
        child.kill().unwrap();
        child.wait().unwrap();
        deaths.push(Death { life, moment, beat: None });
        return;
    }
    let lifesign = Lifesign::start(dir, &text);
    if let Some(last) = deaths.iter_mut().rev().find_map(|death| death.beat.as_mut()) {
        last.kept = has_incident(&lifesign, last.service) == (last.status == "fail");
    }
    let service = SERVICES[life % SERVICES.len()];
    let (sent, body) = changing_beat(&lifesign, service);
    let trapped = |point, wait| {
        let trap = hook.set(point);
        beat(&lifesign, &body);
        trap.wait();
        std::thread::sleep(wait);
        trap
    };
    let blindly = |wait| {
        let connection = lifesign.post_blindly("/api/v1/heartbeats", &body);
        std::thread::sleep(wait);
        connection
    };
    let (mut trap, mut connection) = (None, None);
    match moment {
        Moment::AfterBeat => connection = Some(blindly(spread(round, Duration::from_millis(8)))),
        Moment::AnyTime => connection = Some(blindly(spread(round, Duration::from_millis(40)))),
        Moment::Connected => trap = Some(trapped(Point::Accepted, Duration::ZERO)),
        Moment::Sent => trap = Some(trapped(Point::Read, Duration::ZERO)),
        Moment::Answered => trap = Some(trapped(Point::Answered, spread(round, Duration::from_millis(1)))),
        Moment::Starting => unreachable!("done above"),
    }
    lifesign.kill();
    drop((trap, connection));
    deaths.push(Death { life, moment, beat: Some(sent) });
}

#[test]
fn hundreds_of_kills_lose_nothing_and_repeat_only_what_may_not_have_been_heard() {
    let dir = tempfile::tempdir().unwrap();
    let hook = TrapHook::start();
    let text = configuration(&hook.url);
    let begin = Instant::now();
    drop(Lifesign::start(dir.path(), &text));
    let start = begin.elapsed();

    let mut deaths = Vec::new();
    for round in 0..ROUNDS {
        for moment in MOMENTS {
            die(dir.path(), &hook, moment, round, &mut deaths, start);
        }
    }
    assert!(deaths.len() >= 300, "{} kills", deaths.len());

    // Two of the services end well, two with an open incident; all that waits is told.
    hook.next_life();
    let lifesign = Lifesign::start(dir.path(), &text);
    for (service, bad) in SERVICES.into_iter().zip([false, true, false, true]) {
        if has_incident(&lifesign, service) != bad {
            beat(&lifesign, &changing_beat(&lifesign, service).1);
        }
    }
    wait_for("every notification is delivered", || {
        lifesign.all("/api/v1/notifications").iter().all(|n| n["status"] == "delivered").then_some(())
    });
    drop(lifesign);

    // After an orderly stop nothing is told again: what comes next is the new thing.
    let last_life = hook.next_life();
    let lifesign = Lifesign::start(dir.path(), &text);
    beat(&lifesign, &changing_beat(&lifesign, "last").1);
    wait_for("the last notification", || hook.receipts().iter().any(|r| r.life == last_life).then_some(()));
    let receipts = hook.receipts();
    let last = receipts.iter().find(|receipt| receipt.life == last_life).unwrap();
    assert_eq!(last.body["commonLabels"]["service"], "last", "told again after an orderly stop");
    wait_for("the last notification is marked", || {
        lifesign.all("/api/v1/notifications").iter().all(|n| n["status"] == "delivered").then_some(())
    });

    let journal = Journal {
        incidents: lifesign.all("/api/v1/incidents"),
        notifications: lifesign.all("/api/v1/notifications"),
    };
    report(&deaths, &receipts, &journal, begin.elapsed());
    journal.is_whole();
    journal.agrees_with(&receipts);
    repeats_are_explained(&deaths, &receipts, &journal);
    every_boundary_was_met(&deaths, &receipts);
}

/// What lifesign itself says has happened.
struct Journal {
    incidents: Vec<Value>,
    notifications: Vec<Value>,
}

impl Journal {
    /// Every incident was announced once, and its end once.
    fn is_whole(&self) {
        let numbers: Vec<u64> =
            self.incidents.iter().filter_map(|incident| incident["id"].as_u64()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "an incident is missing");
        for incident in &self.incidents {
            let reasons: Vec<&str> = self
                .notifications
                .iter()
                .filter(|notification| notification["incident_id"] == incident["id"])
                .filter_map(|notification| notification["reason"].as_str())
                .collect();
            let expected: &[&str] = if incident["closed_at"].is_null() {
                &["first_firing"]
            } else {
                &["first_firing", "all_resolved"]
            };
            assert_eq!(reasons, expected, "told of {incident}");
        }
        assert!(self.notifications.iter().all(|notification| notification["incident_id"].is_u64()));
    }

    /// The receiver has all that was told, nothing else, and in order.
    fn agrees_with(&self, receipts: &[Receipt]) {
        let known: BTreeSet<&str> = self.notifications.iter().filter_map(|n| n["id"].as_str()).collect();
        let heard: BTreeSet<&str> = receipts.iter().map(|receipt| receipt.key.as_str()).collect();
        assert_eq!(known.difference(&heard).collect::<Vec<_>>(), [&""; 0], "delivered, and never heard");
        assert_eq!(heard.difference(&known).collect::<Vec<_>>(), [&""; 0], "heard, and not in the journal");
        for notification in &self.notifications {
            let mine = receipts.iter().filter(|receipt| receipt.key == notification["id"]);
            let status = if notification["reason"] == "first_firing" { "firing" } else { "resolved" };
            let page = format!("/incidents/{}", notification["incident_id"]);
            for receipt in mine {
                assert_eq!(receipt.body["status"], status, "{notification}");
                let link = receipt.body["alerts"][0]["generatorURL"].as_str().unwrap();
                assert!(link.ends_with(&page), "{link} for {notification}");
            }
        }
        // In the journal's order, repeats left out.
        let mut seen = BTreeSet::new();
        let order: Vec<&str> =
            receipts.iter().map(|receipt| receipt.key.as_str()).filter(|key| seen.insert(*key)).collect();
        let told: Vec<&str> = self.notifications.iter().filter_map(|n| n["id"].as_str()).collect();
        assert_eq!(order, told, "heard in another order than told");
    }

    fn repeats(&self, key: &str) -> u64 {
        let mine = self.notifications.iter().find(|notification| notification["id"] == key);
        mine.and_then(|notification| notification["repeats"].as_u64()).unwrap_or_default()
    }
}

/// Each receipt with the next one of the same id.
fn repeated(receipts: &[Receipt]) -> Vec<(usize, usize)> {
    let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (place, receipt) in receipts.iter().enumerate() {
        if let Some(before) = newest.insert(&receipt.key, place) {
            pairs.push((before, place));
        }
    }
    pairs
}

fn repeats_are_explained(deaths: &[Death], receipts: &[Receipt], journal: &Journal) {
    let pairs = repeated(receipts);
    for (before, after) in &pairs {
        let (before, after) = (&receipts[*before], &receipts[*after]);
        assert!(before.life < after.life, "told twice in one life: {before:?}");
        let last = receipts.iter().rfind(|receipt| receipt.life == before.life).unwrap();
        assert_eq!(last.key, before.key, "told again although lifesign had gone on to the next one");
        let death =
            deaths.iter().find(|death| death.life == before.life).expect("its life was ended by a kill");
        assert_ne!(death.moment, Moment::Connected, "had been marked before the next connection: {before:?}");
    }
    for key in receipts.iter().map(|receipt| &receipt.key).collect::<BTreeSet<_>>() {
        let times = receipts.iter().filter(|receipt| receipt.key == *key).count() as u64;
        assert!(times - 1 <= journal.repeats(key), "{key} came {times} times; repeats were not counted");
    }
    // Without an answer it was not delivered, and so it came again.
    for death in deaths.iter().filter(|death| death.moment == Moment::Sent) {
        let place = receipts.iter().rposition(|receipt| receipt.life == death.life).unwrap();
        assert!(pairs.iter().any(|(before, _)| *before == place), "not told again: {:?}", receipts[place]);
    }
}

/// Whether this life told what the beat was about.
fn heard(receipts: &[Receipt], life: usize, beat: &Beat) -> bool {
    let status = if beat.status == "fail" { "firing" } else { "resolved" };
    receipts.iter().any(|receipt| {
        receipt.life == life
            && receipt.body["commonLabels"]["service"] == beat.service
            && receipt.body["status"] == status
    })
}

/// The kills are worth something only if they came before, between and after the steps.
fn every_boundary_was_met(deaths: &[Death], receipts: &[Receipt]) {
    let blind = |death: &&Death| matches!(death.moment, Moment::AfterBeat | Moment::AnyTime);
    let beats = || deaths.iter().filter(blind).filter_map(|death| Some((death.life, death.beat.as_ref()?)));
    assert!(beats().any(|(_, beat)| !beat.kept), "none before the outbox write");
    assert!(beats().any(|(life, beat)| beat.kept && !heard(receipts, life, beat)), "none after it");
    assert!(beats().any(|(life, beat)| heard(receipts, life, beat)), "none after the send");
    let repeats = repeated(receipts);
    let mut answered = deaths.iter().filter(|death| death.moment == Moment::Answered);
    assert!(
        answered.any(|death| repeats.iter().any(|(before, _)| receipts[*before].life == death.life)),
        "none between answer and mark"
    );
}

fn report(deaths: &[Death], receipts: &[Receipt], journal: &Journal, took: Duration) {
    let repeats = repeated(receipts);
    println!("{:<28} {:>6} {:>8} {:>8} {:>8}", "killed", "kills", "kept", "heard", "repeats");
    for moment in MOMENTS {
        let mine: Vec<&Death> = deaths.iter().filter(|death| death.moment == moment).collect();
        let kept = mine.iter().filter(|death| death.beat.as_ref().is_some_and(|beat| beat.kept)).count();
        let heard = mine
            .iter()
            .filter(|death| death.beat.as_ref().is_some_and(|beat| heard(receipts, death.life, beat)))
            .count();
        let again = mine
            .iter()
            .filter(|death| repeats.iter().any(|(before, _)| receipts[*before].life == death.life))
            .count();
        println!("{moment:<28} {:>6} {kept:>8} {heard:>8} {again:>8}", mine.len());
    }
    let counted: u64 = journal.notifications.iter().filter_map(|n| n["repeats"].as_u64()).sum();
    println!(
        "{} kills, {} incidents, {} notifications, {} messages received: {} repeats, {counted} counted; {took:.1?}",
        deaths.len(),
        journal.incidents.len(),
        journal.notifications.len(),
        receipts.len(),
        repeats.len(),
    );
}

/// A kill while the data directory is being made leaves nothing that a next start could not use.
#[test]
fn a_kill_during_the_very_first_start_does_no_harm() {
    let text = configuration("http://127.0.0.1:9/");
    let dir = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    drop(Lifesign::start(dir.path(), &text));
    let start = begin.elapsed();
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = up(dir.path(), &text).spawn().unwrap();
        std::thread::sleep(spread(round, start));
        child.kill().unwrap();
        child.wait().unwrap();
        let lifesign = Lifesign::start(dir.path(), &text);
        beat(&lifesign, &json!({ "service_id": "last" }));
        assert_eq!(lifesign.service("last")["state"], "up");
        lifesign.kill();
    }
}
