//! What the server counts and measures about itself, for `/metrics`.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of notification attempts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Attempt {
    pub(crate) receiver: Arc<str>,
    /// `delivered`, `retried` or `refused`.
    pub(crate) result: &'static str,
}

/// The label of a thing that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Why {
    pub(crate) reason: &'static str,
}

/// The label of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Whom {
    pub(crate) receiver: Arc<str>,
}

/// Labels of answered requests: the route's pattern, never the path, so that their number is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answered {
    pub(crate) route: Arc<str>,
    pub(crate) status: u16,
}

/// Counters and histograms; cheap to clone, clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// Steps of the engine.
    pub(crate) steps: Counter,
    /// Turns of the engine loop that had something to write.
    pub(crate) writes: Counter,
    /// How much later than its deadline, or than the news it judges, the engine was stepped.
    pub(crate) lateness: Histogram,
    /// From handing a batch to the store until it was on the disk.
    pub(crate) commit: Histogram,
    /// Batches that the disk refused or did not take in time.
    pub(crate) deferred: Counter,
    /// Heartbeats taken.
    pub(crate) beats: Counter,
    /// Heartbeats not taken.
    pub(crate) beats_refused: Family<Why, Counter>,
    /// Attempts to deliver.
    pub(crate) notifications: Family<Attempt, Counter>,
    /// Notifications that were tried before and are sent again under the same id.
    pub(crate) repeats: Family<Whom, Counter>,
    /// Requests answered.
    pub(crate) requests: Family<Answered, Counter>,
    /// Connections turned away or ended because of a limit.
    pub(crate) connections_refused: Family<Why, Counter>,
}

impl Default for Figures {
    fn default() -> Self {
        const SECONDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];
        Self {
            steps: Counter::default(),
            writes: Counter::default(),
            lateness: Histogram::new(SECONDS),
            commit: Histogram::new(SECONDS),
            deferred: Counter::default(),
            beats: Counter::default(),
            beats_refused: Family::default(),
            notifications: Family::default(),
            repeats: Family::default(),
            requests: Family::default(),
            connections_refused: Family::default(),
        }
    }
}

impl Figures {
    /// Puts every figure under its name into `registry`, which adds the prefix `lifesign_`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("engine_steps", "Steps of the engine", self.steps.clone());
        registry.register("engine_writes", "Batches of effects given to the store", self.writes.clone());
        registry.register(
            "engine_lateness_seconds",
            "How much later than its deadline, or than the news it judges, the engine was stepped",
            self.lateness.clone(),
        );
        registry.register("store_commit_seconds", "Time until a batch was on the disk", self.commit.clone());
        registry.register(
            "store_deferred",
            "Batches that the disk refused or did not take in time",
            self.deferred.clone(),
        );
        registry.register("heartbeats", "Heartbeats taken", self.beats.clone());
        registry.register("heartbeats_refused", "Heartbeats not taken", self.beats_refused.clone());
        registry.register(
            "notifications",
            "Attempts to deliver a notification, by their end",
            self.notifications.clone(),
        );
        registry.register(
            "notifications_repeated",
            "Notifications sent again under the same Idempotency-Key",
            self.repeats.clone(),
        );
        registry.register("http_requests", "HTTP requests answered", self.requests.clone());
        registry.register(
            "http_connections_refused",
            "Connections turned away or ended because of a limit",
            self.connections_refused.clone(),
        );
    }
}
