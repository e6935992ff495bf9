//! How fast one sender may write: a bucket of tokens each.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Most senders remembered at a time. When there are more, those that have been quiet are forgotten; when all
/// are busy, everybody begins anew with a full bucket.
const MAX_SENDERS: usize = 1024;

/// The buckets of all senders of one way.
#[derive(Debug)]
pub(super) struct Throttle<K> {
    buckets: HashMap<K, Bucket>,
    rate: f64,
}

impl<K: Hash + Eq> Throttle<K> {
    pub(super) fn new(rate: u32) -> Self {
        Self { buckets: HashMap::new(), rate: f64::from(rate) }
    }

    /// Whether `sender` may write one more letter now.
    pub(super) fn admits(&mut self, sender: K, now: Instant) -> bool {
        if self.buckets.len() >= MAX_SENDERS && !self.buckets.contains_key(&sender) {
            let rate = self.rate;
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
            if self.buckets.len() >= MAX_SENDERS {
                self.buckets.clear();
            }
        }
        let rate = self.rate;
        self.buckets.entry(sender).or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }
}

/// Tokens of one sender: `rate` a second, half a second's worth at once.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: f64, now: Instant) -> Self {
        Self { tokens: burst(rate), at: now }
    }

    pub(super) fn take(&mut self, rate: f64, now: Instant) -> bool {
        self.refill(rate, now);
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }

    fn refill(&mut self, rate: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(burst(rate));
        self.at = now;
    }

    fn is_full(&mut self, rate: f64, now: Instant) -> bool {
        self.refill(rate, now);
        self.tokens >= burst(rate) - 0.5
    }
}

fn burst(rate: f64) -> f64 {
    (rate / 2.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_held_to_its_rate_and_costs_nobody_else() {
        let start = Instant::now();
        let mut throttle = Throttle::new(10);
        let admitted = (0..1000).filter(|n| throttle.admits(1, start + Duration::from_millis(*n))).count();
        assert!((14..=16).contains(&admitted), "5 at once and 10 in the second, not {admitted}");
        assert!(throttle.admits(2, start));
    }

    #[test]
    fn more_senders_than_are_remembered_are_all_served() {
        let start = Instant::now();
        let mut throttle = Throttle::new(10);
        assert!((0..10 * MAX_SENDERS).all(|sender| throttle.admits(sender, start)));
        assert!(throttle.buckets.len() <= MAX_SENDERS);
    }
}
