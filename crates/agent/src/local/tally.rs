//! What became of everything that was heard: counters by way, and a word in the log now and then.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lifesign_core::model::ServiceId;
use lifesign_os::local::{Counters, Way};

/// Between two words in the log about the same way: a flood of junk is no flood in the log.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// The figures of all ways. Reading them disturbs nobody.
#[derive(Debug, Default)]
pub struct Tally {
    ways: [OfWay; Way::ALL.len()],
    receivers: Mutex<BTreeMap<Way, Arc<Counters>>>,
}

#[derive(Debug, Default)]
struct OfWay {
    heard: AtomicU64,
    malformed: AtomicU64,
    strangers: AtomicU64,
    spoken: Mutex<Option<Instant>>,
}

/// The figures of one way, or of all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Heartbeats passed on.
    pub heard: u64,
    /// What could not be read, or was too large.
    pub malformed: u64,
    /// Heartbeats from outside of the service's unit.
    pub strangers: u64,
    /// Letters and connections left out, or made to wait, because there were too many.
    pub held_back: u64,
    /// Letters without the secret that the way asks for.
    pub refused: u64,
}

impl Tally {
    /// The figures of `way`.
    pub fn of(&self, way: Way) -> Sums {
        let own = self.way(way);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sums = Sums {
            heard: load(&own.heard),
            malformed: load(&own.malformed),
            strangers: load(&own.strangers),
            ..Sums::default()
        };
        let receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = receivers.get(&way) {
            sums.malformed += counters.oversized();
            sums.held_back = counters.throttled() + counters.dropped() + counters.turned_away();
            sums.refused = counters.refused();
        }
        sums
    }

    /// The figures of all ways together.
    pub fn all(&self) -> Sums {
        Way::ALL.into_iter().map(|way| self.of(way)).fold(Sums::default(), |sum, of| Sums {
            heard: sum.heard + of.heard,
            malformed: sum.malformed + of.malformed,
            strangers: sum.strangers + of.strangers,
            held_back: sum.held_back + of.held_back,
            refused: sum.refused + of.refused,
        })
    }

    /// As metrics of the host, so that a rule can tell of them.
    pub(crate) fn metrics(&self) -> [(&'static str, f64); 5] {
        let sums = self.all();
        #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 takes centuries")]
        let number = |count: u64| count as f64;
        [
            ("host_beats_heard_total", number(sums.heard)),
            ("host_beats_malformed_total", number(sums.malformed)),
            ("host_beats_strangers_total", number(sums.strangers)),
            ("host_beats_held_back_total", number(sums.held_back)),
            ("host_beats_refused_total", number(sums.refused)),
        ]
    }

    pub(super) fn receives(&self, way: Way, counters: Arc<Counters>) {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).insert(way, counters);
    }

    pub(super) fn heard(&self, way: Way) {
        self.way(way).heard.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn malformed(&self, way: Way, why: &dyn fmt::Display) {
        let own = self.way(way);
        let count = own.malformed.fetch_add(1, Ordering::Relaxed) + 1;
        if own.may_speak() {
            tracing::warn!(%way, %why, so_far = count, "A local heartbeat could not be read");
        }
    }

    pub(super) fn stranger(&self, way: Way, service: &ServiceId, pid: u32, main: u32, counts: bool) {
        let own = self.way(way);
        let count = own.strangers.fetch_add(1, Ordering::Relaxed) + 1;
        if own.may_speak() {
            tracing::warn!(
                %way, %service, pid, main, counts, so_far = count,
                "A local heartbeat came from a process outside of its service's unit"
            );
        }
    }

    fn way(&self, way: Way) -> &OfWay {
        let index = Way::ALL.iter().position(|known| *known == way).unwrap_or(0);
        // The array is as long as the list of ways.
        self.ways.get(index).unwrap_or(&self.ways[0])
    }
}

impl OfWay {
    fn may_speak(&self) -> bool {
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        let may = spoken.is_none_or(|at| at.elapsed() >= SILENT_FOR);
        if may {
            *spoken = Some(Instant::now());
        }
        may
    }
}
