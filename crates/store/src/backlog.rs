//! What waits to be written, in order.
//!
//! INVARIANT: a batch is written whole or not at all, and batches are written in the order they came. When
//! the disk refuses for so long that [`MAX_WAITING`](crate::MAX_WAITING) is reached, the backlog thins
//! itself out; see there.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use lifesign_core::effect::Effect;
use lifesign_core::model::{IncidentId, ServiceId};
use lifesign_core::time::Wall;
use tokio::sync::oneshot;

use crate::error::Deferred;

/// One thing to be written.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Effect(Effect),
    /// An attempt to send began.
    Begun {
        id: Arc<str>,
        attempts: u32,
        repeats: u32,
    },
    /// An attempt ended without success.
    Answered {
        id: Arc<str>,
        attempts: u32,
        next_at: Wall,
        answer: Arc<str>,
    },
    /// The notification is done with.
    Finished {
        id: Arc<str>,
        end: End,
        at: Wall,
        attempts: u32,
        answer: Arc<str>,
    },
}

/// How a notification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Delivered,
    Refused,
}

/// Things that belong into one transaction, and whoever waits for it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) answer: Option<oneshot::Sender<Result<(), Deferred>>>,
}

impl Batch {
    /// Tells whoever waits; once.
    pub(crate) fn tell(&mut self, result: Result<(), Deferred>) {
        if let Some(answer) = self.answer.take() {
            // Whoever asked may not wait any more.
            let _ = answer.send(result);
        }
    }
}

/// The batches that wait.
#[derive(Debug)]
pub(crate) struct Backlog {
    batches: VecDeque<Batch>,
    ops: usize,
    limit: usize,
    /// Thinned out when it has grown to this.
    thin_at: usize,
}

/// What makes a later record replace an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Memory(ServiceId),
    Incident(IncidentId),
    Alert(Arc<str>),
    Begun(Arc<str>),
    Mark(Arc<str>),
}

impl Backlog {
    pub(crate) fn new(limit: usize) -> Self {
        Self { batches: VecDeque::new(), ops: 0, limit, thin_at: limit }
    }

    /// Adds a batch; returns how many ops were dropped to make room.
    pub(crate) fn push(&mut self, batch: Batch) -> u64 {
        self.ops += batch.ops.len();
        self.batches.push_back(batch);
        self.thin()
    }

    /// Takes everything, to be written in one transaction.
    pub(crate) fn take(&mut self) -> Vec<Batch> {
        self.ops = 0;
        self.thin_at = self.limit;
        self.batches.drain(..).collect()
    }

    /// Puts back what could not be written, before what came since; returns how many ops were dropped.
    pub(crate) fn put_back(&mut self, batches: Vec<Batch>) -> u64 {
        for batch in batches.into_iter().rev() {
            self.ops += batch.ops.len();
            self.batches.push_front(batch);
        }
        self.thin()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Effects and marks that wait.
    pub(crate) fn len(&self) -> usize {
        self.ops
    }

    pub(crate) fn batches_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.batches.iter_mut()
    }

    fn thin(&mut self) -> u64 {
        if self.ops < self.thin_at {
            return 0;
        }
        self.fold_replaced();
        let mut dropped = 0;
        let enough = self.limit - self.limit / 4;
        for expendable in [is_transition, is_timeline, is_audit] {
            let surplus = self.ops.saturating_sub(enough);
            dropped += self.drop_oldest(surplus, expendable);
        }
        self.batches.retain(|batch| !batch.ops.is_empty() || batch.answer.is_some());
        // What is left cannot be dropped. Not tried again before there is something new to drop.
        self.thin_at = self.limit.max(self.ops + self.limit / 4);
        dropped as u64
    }

    /// Removes records that a later record replaces. The rest is always written as one transaction, so
    /// nobody sees the order between them.
    fn fold_replaced(&mut self) {
        let mut seen = HashSet::new();
        for batch in self.batches.iter_mut().rev() {
            let mut keep: Vec<bool> =
                batch.ops.iter().rev().map(|op| key(op).is_none_or(|key| seen.insert(key))).collect();
            batch.ops.retain(|_| keep.pop().unwrap_or(true));
        }
        self.ops = self.batches.iter().map(|batch| batch.ops.len()).sum();
    }

    fn drop_oldest(&mut self, most: usize, expendable: fn(&Op) -> bool) -> usize {
        let mut left = most;
        for batch in &mut self.batches {
            if left == 0 {
                break;
            }
            batch.ops.retain(|op| {
                let goes = left > 0 && expendable(op);
                left -= usize::from(goes);
                !goes
            });
        }
        self.ops -= most - left;
        most - left
    }
}

fn key(op: &Op) -> Option<Key> {
    match op {
        Op::Effect(Effect::Remember(memory)) => Some(Key::Memory(memory.service.clone())),
        Op::Effect(Effect::Incident(incident)) => Some(Key::Incident(incident.id)),
        Op::Effect(Effect::Alert(alert)) => Some(Key::Alert(Arc::clone(&alert.fingerprint))),
        Op::Begun { id, .. } => Some(Key::Begun(Arc::clone(id))),
        // The last mark says it all: it carries the number of attempts.
        Op::Answered { id, .. } | Op::Finished { id, .. } => Some(Key::Mark(Arc::clone(id))),
        Op::Effect(
            Effect::Transition(_)
            | Effect::Timeline { .. }
            | Effect::Notify(_)
            | Effect::Act(_)
            | Effect::LookNow(_)
            | Effect::Audit(_),
        ) => None,
    }
}

/// Whether an effect leaves a trace in the store.
pub(crate) fn is_kept(effect: &Effect) -> bool {
    match effect {
        // An action lives on in the timeline, and in the audit log when a person ordered it.
        Effect::Act(_) | Effect::LookNow(_) => false,
        Effect::Transition(_)
        | Effect::Incident(_)
        | Effect::Alert(_)
        | Effect::Timeline { .. }
        | Effect::Notify(_)
        | Effect::Remember(_)
        | Effect::Audit(_) => true,
    }
}

fn is_transition(op: &Op) -> bool {
    matches!(op, Op::Effect(Effect::Transition(_)))
}

fn is_timeline(op: &Op) -> bool {
    matches!(op, Op::Effect(Effect::Timeline { .. }))
}

fn is_audit(op: &Op) -> bool {
    matches!(op, Op::Effect(Effect::Audit(_)))
}

#[cfg(test)]
mod tests {
    use lifesign_core::effect::{AuditEntry, TimelineEntry, Transition};
    use lifesign_core::model::State;

    use super::*;

    fn transition(n: i64) -> Op {
        Op::Effect(Effect::Transition(Transition {
            at: Wall::from_millis(n),
            service: ServiceId::new("web").unwrap(),
            from: State::Up,
            to: State::Down,
            reason: None,
            detail: String::new(),
            facts: Vec::new(),
        }))
    }

    fn line(n: i64) -> Op {
        let entry = TimelineEntry { at: Wall::from_millis(n), what: "state".into(), detail: String::new() };
        Op::Effect(Effect::Timeline { incident: IncidentId(1), entry })
    }

    fn audit() -> Op {
        Op::Effect(Effect::Audit(AuditEntry {
            at: Wall::from_millis(0),
            by: "ci".into(),
            action: "pause".into(),
            target: String::new(),
            detail: String::new(),
        }))
    }

    fn answered(id: &str, attempts: u32) -> Op {
        Op::Answered { id: id.into(), attempts, next_at: Wall::from_millis(0), answer: "".into() }
    }

    fn push(backlog: &mut Backlog, ops: Vec<Op>) -> u64 {
        backlog.push(Batch { ops, answer: None })
    }

    #[test]
    fn at_the_limit_the_oldest_transitions_go_first_and_are_counted() {
        let mut backlog = Backlog::new(8);
        let mut dropped = push(&mut backlog, vec![transition(1), line(1), transition(2), audit()]);
        dropped += push(&mut backlog, vec![transition(3), line(2), transition(4)]);
        assert_eq!((backlog.len(), dropped), (7, 0));
        dropped += push(&mut backlog, vec![transition(5)]);
        assert_eq!((backlog.len(), dropped), (6, 2));
        let left: Vec<_> = backlog.take().into_iter().flat_map(|batch| batch.ops).collect();
        let transitions: Vec<_> = left
            .iter()
            .filter_map(|op| match op {
                Op::Effect(Effect::Transition(t)) => Some(t.at.as_millis()),
                _ => None,
            })
            .collect();
        assert_eq!(transitions, [3, 4, 5]);
    }

    #[test]
    fn marks_that_a_later_one_replaces_are_folded_without_counting_as_dropped() {
        let mut backlog = Backlog::new(4);
        let mut dropped = 0;
        for attempts in 1..=100 {
            dropped += push(&mut backlog, vec![answered("a", attempts)]);
        }
        assert_eq!(dropped, 0);
        assert!(backlog.len() < 4);
        let last = backlog.take().pop().unwrap().ops.pop().unwrap();
        assert!(matches!(last, Op::Answered { attempts: 100, .. }));
    }

    #[test]
    fn what_is_put_back_stands_before_what_came_since() {
        let mut backlog = Backlog::new(100);
        push(&mut backlog, vec![line(1)]);
        push(&mut backlog, vec![line(2)]);
        let taken = backlog.take();
        push(&mut backlog, vec![line(3)]);
        backlog.put_back(taken);
        let order: Vec<_> = backlog
            .take()
            .into_iter()
            .flat_map(|batch| batch.ops)
            .map(|op| match op {
                Op::Effect(Effect::Timeline { entry, .. }) => entry.at.as_millis(),
                _ => 0,
            })
            .collect();
        assert_eq!(order, [1, 2, 3]);
    }
}
