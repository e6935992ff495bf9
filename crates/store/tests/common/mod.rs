//! Things that tests of the store write, and what they look at.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::effect::*;
use lifesign_core::engine::Past;
use lifesign_core::model::{IncidentId, Reason, ServiceId, Severity, State};
use lifesign_core::time::Wall;
use lifesign_core::view::{About, Fact};
use lifesign_store::{Deferred, Options, OutboxItem, Store};

/// The tests' time begins in the far future: history that is old by the real clock would be pruned.
const EPOCH: i64 = 4_000_000_000_000;

/// Later than everything in these tests.
pub(crate) const LATER: Wall = Wall::from_millis(EPOCH + 1_000_000_000);

pub(crate) fn at(millis: i64) -> Wall {
    Wall::from_millis(EPOCH + millis)
}

/// The reverse of [`at`].
pub(crate) fn millis(at: Wall) -> i64 {
    at.as_millis() - EPOCH
}

pub(crate) fn open(dir: &Path) -> (Store, Past) {
    Store::open(dir, Options::default()).unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn write(store: &Store, effects: Vec<Effect>) -> Result<(), Deferred> {
    block_on(store.write(effects))
}

/// Waits for a state; a state that does not come is a failure.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited 30 s for: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn due(store: &Store, receiver: &str) -> Vec<OutboxItem> {
    block_on(store.due(receiver, LATER, 100)).unwrap()
}

pub(crate) fn due_ids(store: &Store, receiver: &str) -> Vec<String> {
    due(store, receiver).iter().map(|item| item.notification.id.to_string()).collect()
}

pub(crate) fn service(name: &str) -> ServiceId {
    ServiceId::new(name).unwrap()
}

pub(crate) fn transition(name: &str, millis: i64) -> Effect {
    Effect::Transition(Transition {
        at: at(millis),
        service: service(name),
        from: State::Up,
        to: State::Down,
        reason: Some(Reason::Killed),
        detail: format!("ended by signal 9 at {millis}"),
        facts: Vec::new(),
    })
}

/// A change with its evidence in `sentences` sentences.
pub(crate) fn judged(name: &str, millis: i64, sentences: usize) -> Effect {
    let Effect::Transition(mut change) = transition(name, millis) else { unreachable!() };
    change.facts = (1..=sentences).map(|n| fact(&format!("sentence {n} of \"{name}\""))).collect();
    Effect::Transition(change)
}

pub(crate) fn fact(text: &str) -> Fact {
    Fact {
        about: About::Evidence,
        code: "heart-silent".into(),
        args: [("ago".into(), "22 s".to_owned())].into(),
        text: text.to_owned(),
    }
}

pub(crate) fn incident(id: u64, name: &str, closed_at: Option<Wall>) -> Incident {
    Incident {
        id: IncidentId(id),
        service_id: service(name),
        host: "here".into(),
        state: State::Down,
        reason: Some(Reason::Killed),
        severity: Severity::Critical,
        opened_at: at(1000),
        detected_at: at(1001),
        closed_at,
        acknowledged_by: None,
    }
}

pub(crate) fn line(id: u64, what: &str) -> Effect {
    let entry = TimelineEntry { at: at(1002), what: what.into(), detail: format!("{what} it is") };
    Effect::Timeline { incident: IncidentId(id), entry }
}

pub(crate) fn memory(name: &str, incident: Option<u64>) -> Memory {
    Memory {
        service: service(name),
        state: State::Down,
        reason: Some(Reason::Killed),
        since: at(1000),
        last_heartbeat_at: Some(at(999)),
        silence: Duration::ZERO,
        paused: false,
        incident: incident.map(IncidentId),
        restarts: vec![at(500), at(600)],
        restarting: false,
        process: None,
        job: None,
        created: false,
    }
}

pub(crate) fn alert(fingerprint: &str, state: AlertState) -> Alert {
    Alert {
        fingerprint: fingerprint.into(),
        state,
        labels: vec![("alertname".into(), "ServiceDown".into()), ("service".into(), "订单".into())],
        annotations: vec![("summary".into(), "it's \"down\"".to_owned())],
        starts_at: at(1000),
        ends_at: None,
        incident: Some(IncidentId(1)),
    }
}

pub(crate) fn notification(id: &str, receiver: &str, group: &str) -> Notification {
    Notification {
        id: id.into(),
        at: at(1003),
        receiver: receiver.into(),
        reason: NotifyReason::FirstFiring,
        group_labels: vec![("service".into(), group.into())],
        alerts: vec![alert(group, AlertState::Firing)],
        incident: Some(IncidentId(1)),
    }
}

pub(crate) fn notify(id: &str, receiver: &str) -> Effect {
    Effect::Notify(notification(id, receiver, "web"))
}

pub(crate) fn audit(action: &str) -> AuditEntry {
    AuditEntry {
        at: at(1004),
        by: "ci".into(),
        action: Arc::from(action),
        target: "web".to_owned(),
        detail: "done".to_owned(),
    }
}
