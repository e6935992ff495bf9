//! Notifications that wait to be sent, as they are known in memory.
//!
//! The `outbox` table is the truth over restarts; this index is the truth within one life, and so it goes
//! on working while the disk refuses: a notification enters it when it is handed to the store, can be sent
//! once its batch is on the disk (or the disk has refused it), and leaves it at its mark.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::effect::Notification;
use lifesign_core::time::Wall;

use crate::limits::{MAX_BODIES, MAX_FINISHED_IDS};

/// A notification whose batch has not been written for this long is sent all the same: the disk hangs.
pub(crate) const COMMIT_WITHIN: Duration = Duration::from_secs(2);

/// A next attempt further away than this means that the clock has been set back since; it is due.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A notification to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// What to send.
    pub notification: Arc<Notification>,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Whether it may have arrived already: lifesign ended while an attempt was under way.
    pub uncertain: bool,
    /// What the receiver said to the last attempt.
    pub last_answer: Option<Arc<str>>,
}

/// What the index knows of one notification.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    /// `None`: to be read from the disk.
    pub(crate) body: Option<Arc<Notification>>,
    pub(crate) attempts: u32,
    pub(crate) repeats: u32,
    pub(crate) uncertain: bool,
    pub(crate) next_at: Wall,
    pub(crate) last_answer: Option<Arc<str>>,
    /// Since when it waits for the disk; `None`: it is there, or the disk has refused it.
    pub(crate) unwritten_since: Option<Instant>,
    pub(crate) on_disk: bool,
}

/// The index: for each receiver its notifications in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Index {
    receivers: BTreeMap<Arc<str>, BTreeMap<u64, Entry>>,
    places: HashMap<Arc<str>, (Arc<str>, u64)>,
    next_place: u64,
    bodies: usize,
    /// Notifications that are not known to be on the disk.
    unwritten: HashSet<Arc<str>>,
    finished: Finished,
}

/// Ids of what was finished last.
#[derive(Debug, Default)]
struct Finished {
    ids: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

impl Finished {
    fn insert(&mut self, id: &Arc<str>) {
        if !self.ids.insert(Arc::clone(id)) {
            return;
        }
        self.order.push_back(Arc::clone(id));
        if self.order.len() > MAX_FINISHED_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

impl Index {
    /// Takes a notification that has just been handed to the store. One that is known changes nothing.
    pub(crate) fn enter(&mut self, notification: &Notification) {
        let known =
            self.places.contains_key(&notification.id) || self.finished.ids.contains(&notification.id);
        if known {
            return;
        }
        self.unwritten.insert(Arc::clone(&notification.id));
        let entry = Entry {
            id: Arc::clone(&notification.id),
            body: Some(Arc::new(notification.clone())),
            attempts: 0,
            repeats: 0,
            uncertain: false,
            next_at: notification.at,
            last_answer: None,
            unwritten_since: Some(Instant::now()),
            on_disk: false,
        };
        self.put(&notification.receiver, entry);
    }

    /// Takes a notification found on the disk; call in the order of the table.
    pub(crate) fn put(&mut self, receiver: &Arc<str>, mut entry: Entry) {
        if entry.on_disk && self.bodies >= MAX_BODIES {
            entry.body = None;
        }
        self.bodies += usize::from(entry.body.is_some());
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(Arc::clone(&entry.id), (Arc::clone(receiver), place));
        self.receivers.entry(Arc::clone(receiver)).or_default().insert(place, entry);
    }

    /// Remembers a notification that the disk says is finished.
    pub(crate) fn finished(&mut self, id: &Arc<str>) {
        self.finished.insert(id);
    }

    /// Notes that these are on the disk.
    pub(crate) fn written<'a>(&mut self, ids: impl Iterator<Item = &'a Arc<str>>) {
        for id in ids {
            if !self.unwritten.remove(id) {
                continue;
            }
            let crowded = self.bodies > MAX_BODIES;
            if let Some(entry) = self.entry(id) {
                entry.unwritten_since = None;
                entry.on_disk = true;
                if crowded && entry.body.take().is_some() {
                    self.bodies -= 1;
                }
            }
        }
    }

    /// The disk refuses: what waits for it can be sent.
    pub(crate) fn release(&mut self) {
        let unwritten: Vec<_> = self.unwritten.iter().cloned().collect();
        for id in unwritten {
            if let Some(entry) = self.entry(&id) {
                entry.unwritten_since = None;
            }
        }
    }

    /// Takes a notification out; the disk says (`told`) or will be told that it is finished.
    pub(crate) fn finish(&mut self, id: &str) -> Option<Entry> {
        let (id, (receiver, place)) = self.places.remove_entry(id)?;
        let queue = self.receivers.get_mut(&receiver)?;
        let entry = queue.remove(&place)?;
        if queue.is_empty() {
            self.receivers.remove(&receiver);
        }
        self.bodies -= usize::from(entry.body.is_some());
        self.unwritten.remove(&id);
        self.finished.insert(&id);
        Some(entry)
    }

    pub(crate) fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        let (receiver, place) = self.places.get(id)?;
        self.receivers.get_mut(receiver)?.get_mut(place)
    }

    /// The first notifications of `receiver`, in order, up to the first one that is not due at `now`.
    pub(crate) fn due(&self, receiver: &str, now: Wall, limit: usize) -> Vec<Entry> {
        let Some(queue) = self.receivers.get(receiver) else { return Vec::new() };
        queue.values().take_while(|entry| is_due(entry, now)).take(limit).cloned().collect()
    }

    /// How long until the first notification of `receiver` is due; `None`: nothing waits.
    pub(crate) fn wait(&self, receiver: &str, now: Wall) -> Option<Duration> {
        let (_, first) = self.receivers.get(receiver)?.first_key_value()?;
        if is_due(first, now) {
            return Some(Duration::ZERO);
        }
        let disk =
            first.unwritten_since.map_or(Duration::ZERO, |at| COMMIT_WITHIN.saturating_sub(at.elapsed()));
        Some(disk.max(first.next_at.since(now)))
    }

    /// Who is waited for, and how many notifications wait.
    pub(crate) fn waiting(&self) -> Vec<(Arc<str>, usize)> {
        self.receivers.iter().map(|(receiver, queue)| (Arc::clone(receiver), queue.len())).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

fn is_due(entry: &Entry, now: Wall) -> bool {
    let written = entry.unwritten_since.is_none_or(|since| since.elapsed() >= COMMIT_WITHIN);
    written && (entry.next_at <= now || entry.next_at.since(now) > LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use lifesign_core::effect::NotifyReason;

    use super::*;

    fn notification(id: &str) -> Notification {
        Notification {
            id: id.into(),
            at: Wall::from_millis(1000),
            receiver: "hook".into(),
            reason: NotifyReason::FirstFiring,
            group_labels: Vec::new(),
            alerts: Vec::new(),
            incident: None,
        }
    }

    fn ids(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| &*entry.id).collect()
    }

    fn index(names: &[&str]) -> Index {
        let mut index = Index::default();
        for name in names {
            index.enter(&notification(name));
        }
        index
    }

    #[test]
    fn nothing_is_due_before_the_disk_has_it_or_refuses_it() {
        let mut index = index(&["a", "b"]);
        let now = Wall::from_millis(2000);
        assert!(index.due("hook", now, 9).is_empty());
        index.written([&Arc::from("a")].into_iter());
        assert_eq!(ids(&index.due("hook", now, 9)), ["a"]);
        index.release();
        assert_eq!(ids(&index.due("hook", now, 9)), ["a", "b"]);
    }

    #[test]
    fn one_that_must_wait_holds_back_those_behind_it() {
        let mut index = index(&["a", "b"]);
        index.release();
        index.entry("a").unwrap().next_at = Wall::from_millis(5000);
        assert!(index.due("hook", Wall::from_millis(4000), 9).is_empty());
        assert_eq!(index.wait("hook", Wall::from_millis(4000)), Some(Duration::from_secs(1)));
        assert_eq!(ids(&index.due("hook", Wall::from_millis(5000), 9)), ["a", "b"]);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_silence_a_receiver() {
        let mut index = index(&["a"]);
        index.release();
        index.entry("a").unwrap().next_at = Wall::from_millis(1_000_000_000_000);
        assert_eq!(ids(&index.due("hook", Wall::from_millis(0), 9)), ["a"]);
    }

    #[test]
    fn what_is_finished_does_not_enter_again() {
        let mut index = index(&["a"]);
        index.release();
        assert!(index.finish("a").is_some());
        index.enter(&notification("a"));
        assert_eq!(index.len(), 0);
        assert_eq!(index.wait("hook", Wall::from_millis(2000)), None);
    }

    #[test]
    fn bodies_beyond_the_limit_are_left_on_the_disk() {
        let mut index = Index::default();
        let names: Vec<Arc<str>> = (0..MAX_BODIES + 2).map(|n| n.to_string().into()).collect();
        for name in &names {
            index.enter(&notification(name));
        }
        assert_eq!(index.bodies, MAX_BODIES + 2);
        index.written(names.iter());
        assert_eq!(index.bodies, MAX_BODIES);
        assert_eq!(index.due("hook", Wall::from_millis(2000), usize::MAX).len(), MAX_BODIES + 2);
    }
}
