//! Killed at any moment: what the next life finds is what some prefix of the batches left, and all of it
//! when the last commit was answered for.
//!
//! A kill is simulated by copying the files of a store that is still open; a kill (or a power cut) in the
//! middle of a write by cutting the copied write-ahead log at any byte.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::*;
use lifesign_core::effect::{Alert, AlertState, Effect, Incident, Memory, Notification, TimelineEntry};
use lifesign_core::engine::Past;
use lifesign_core::model::IncidentId;
use proptest::prelude::*;
use proptest::sample::Index;

/// The obvious store: maps in memory.
#[derive(Debug, Clone, Default)]
struct Model {
    memories: BTreeMap<String, Memory>,
    incidents: BTreeMap<u64, Incident>,
    lines: BTreeMap<u64, Vec<TimelineEntry>>,
    alerts: BTreeMap<String, Alert>,
    outbox: Vec<Notification>,
}

impl Model {
    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Remember(memory) => {
                self.memories.insert(memory.service.to_string(), memory.clone());
            }
            Effect::Incident(incident) => {
                self.incidents.insert(incident.id.0, incident.clone());
            }
            Effect::Timeline { incident, entry } => {
                self.lines.entry(incident.0).or_default().push(entry.clone());
            }
            Effect::Alert(alert) if alert.state == AlertState::Resolved => {
                self.alerts.remove(&*alert.fingerprint);
            }
            Effect::Alert(alert) => {
                self.alerts.insert(alert.fingerprint.to_string(), alert.clone());
            }
            Effect::Notify(notification) => {
                if self.outbox.iter().all(|known| known.id != notification.id) {
                    self.outbox.push(notification.clone());
                }
            }
            Effect::Transition(_) | Effect::Audit(_) | Effect::Act(_) | Effect::LookNow(_) => {}
        }
    }

    fn past(&self) -> Past {
        let open = self.incidents.values().filter(|incident| incident.closed_at.is_none());
        let is_newest = |(place, notification): &(usize, &Notification)| {
            !self.outbox[place + 1..].iter().any(|later| {
                later.receiver == notification.receiver && later.group_labels == notification.group_labels
            })
        };
        Past {
            memories: self.memories.values().cloned().collect(),
            incidents: open
                .map(|open| (open.clone(), self.lines.get(&open.id.0).cloned().unwrap_or_default()))
                .collect(),
            next_incident: self.incidents.keys().max().map_or(1, |last| last + 1),
            alerts: self.alerts.values().cloned().collect(),
            notified: self.outbox.iter().enumerate().filter(is_newest).map(|(_, n)| n.clone()).collect(),
        }
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["web", "db", "a.b_c-d"])
}

fn effect() -> impl Strategy<Value = Effect> {
    let text = "[\\PC\u{0}-\u{1f}]{0,24}";
    prop_oneof![
        (
            name(),
            any::<bool>(),
            prop::option::of(1..6u64),
            prop::collection::vec(0..9999i64, 0..4),
            any::<u32>()
        )
            .prop_map(|(name, paused, incident, restarts, silence)| {
                let restarts = restarts.into_iter().map(at).collect();
                let silence = Duration::from_millis(silence.into());
                Effect::Remember(Memory { paused, restarts, silence, ..memory(name, incident) })
            }),
        (1..6u64, name(), prop::option::of(2000..3000i64), prop::option::of(text)).prop_map(
            |(id, name, closed, by)| {
                let acknowledged_by = by.map(Into::into);
                Effect::Incident(Incident { acknowledged_by, ..incident(id, name, closed.map(at)) })
            }
        ),
        (1..6u64, text).prop_map(|(id, detail)| {
            let entry = TimelineEntry { at: at(1002), what: "output".into(), detail };
            Effect::Timeline { incident: IncidentId(id), entry }
        }),
        (
            name(),
            prop::sample::select(vec![AlertState::Pending, AlertState::Firing, AlertState::Resolved]),
            text
        )
            .prop_map(|(fingerprint, state, text)| {
                let annotations = vec![("summary".into(), text)];
                Effect::Alert(Alert { annotations, ..alert(fingerprint, state) })
            }),
        (0..12u32, prop::sample::select(vec!["hook", "mail"]), name())
            .prop_map(|(id, receiver, group)| Effect::Notify(notification(&id.to_string(), receiver, group))),
        (name(), 0..9999i64, 0..4usize).prop_map(|(name, millis, facts)| judged(name, millis, facts)),
        Just(Effect::Audit(audit("pause"))),
    ]
}

/// What the files would be if lifesign had been killed now, with `cut` bytes of its log.
fn kill(from: &Path, to: &Path, cut: impl Fn(usize) -> usize) {
    std::fs::copy(from.join("lifesign.db"), to.join("lifesign.db")).unwrap();
    let log = std::fs::read(from.join("lifesign.db-wal")).unwrap_or_default();
    std::fs::write(to.join("lifesign.db-wal"), &log[..cut(log.len())]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_next_life_finds_a_prefix_of_the_batches_and_every_answered_one(
        batches in prop::collection::vec(prop::collection::vec(effect(), 1..8), 1..12),
        delivered in prop::collection::vec(0..12u32, 0..6),
        cuts in prop::collection::vec(any::<Index>(), 3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let mut model = Model::default();
        let mut pasts = vec![model.past()];
        for mut batch in batches {
            // The engine tells no line of an incident before the incident itself; the store prunes orphans.
            batch.retain(|effect| match effect {
                Effect::Timeline { incident, .. } => model.incidents.contains_key(&incident.0),
                _ => true,
            });
            batch.iter().for_each(|effect| model.apply(effect));
            pasts.push(model.past());
            write(&store, batch).unwrap();
        }
        for id in &delivered {
            block_on(store.mark_delivered(&id.to_string(), at(9000), "200")).unwrap();
        }

        let whole = tempfile::tempdir().unwrap();
        kill(dir.path(), whole.path(), |length| length);
        let (next, past) = open(whole.path());
        prop_assert_eq!(&past, pasts.last().unwrap());
        for receiver in ["hook", "mail"] {
            let expected: Vec<String> = model
                .outbox
                .iter()
                .filter(|n| &*n.receiver == receiver && !delivered.iter().any(|id| id.to_string() == *n.id))
                .map(|n| n.id.to_string())
                .collect();
            prop_assert_eq!(due_ids(&next, receiver), expected);
        }

        for cut in cuts {
            let torn = tempfile::tempdir().unwrap();
            kill(dir.path(), torn.path(), |length| cut.index(length + 1));
            let (_next, past) = open(torn.path());
            prop_assert!(pasts.contains(&past), "no prefix of the batches left {past:?}");
        }
    }
}
