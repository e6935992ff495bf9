//! How well the agent keeps up: counters for `/metrics` and for tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the start of the agent. Reading them costs nothing and disturbs nobody.
#[derive(Debug, Default)]
pub struct Figures {
    probes: AtomicU64,
    skipped: AtomicU64,
    worst_lateness: AtomicU64,
    reports_left_out: AtomicU64,
}

impl Figures {
    /// Probes run to their end.
    pub fn probes(&self) -> u64 {
        self.probes.load(Ordering::Relaxed)
    }

    /// Turns of checks that were skipped because the turn before was still running, or because its report
    /// waited for a free place in the channel.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// The longest time by which a probe began after its turn.
    pub fn worst_lateness(&self) -> Duration {
        Duration::from_nanos(self.worst_lateness.load(Ordering::Relaxed))
    }

    /// Unit reports left out because a unit changed faster than its reports were taken; a look at its
    /// present state followed each time.
    pub fn reports_left_out(&self) -> u64 {
        self.reports_left_out.load(Ordering::Relaxed)
    }

    pub(crate) fn probe_done(&self) {
        self.probes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn turns_skipped(&self, count: u64) {
        self.skipped.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn began_late(&self, by: Duration) {
        self.worst_lateness.fetch_max(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn report_left_out(&self) {
        self.reports_left_out.fetch_add(1, Ordering::Relaxed);
    }
}
