//! How many heartbeats a second one service may send.
//!
//! A token bucket for each service that beats: it holds one second's worth, so a sender may be bursty
//! within a second and not faster over time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_core::time::Mono;

/// Most buckets kept. Buckets that have filled up again are dropped first, they hold nothing worth
/// keeping; when all are in use, a service without one is let through.
const BUCKETS: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Beats that may come at once.
    left: f64,
    at: Mono,
}

#[derive(Debug, Default)]
struct Buckets {
    per_second: Option<NonZeroU32>,
    by_service: HashMap<u64, Bucket>,
    /// Makes the keys of the names. The names themselves lie all over the memory, and looking at one costs more than all
    /// the rest here; two that have the same key, one pair in 2^64, share a bucket.
    keys: RandomState,
}

/// A heartbeat that came too fast.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its place among those it came with.
    pub(crate) at: usize,
    pub(crate) service: ServiceId,
    /// How long its sender has to wait.
    pub(crate) wait: Duration,
}

/// The buckets of all services; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate(Arc<Mutex<Buckets>>);

impl Rate {
    /// At most `per_second` beats a second of each service; `None`: as many as come.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self(Arc::new(Mutex::new(Buckets { per_second, ..Buckets::default() })))
    }

    /// Changes the rate for all services.
    pub(crate) fn change(&self, per_second: Option<NonZeroU32>) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.per_second = per_second;
        buckets.by_service.clear();
    }

    /// Takes out of `beats` those that come too fast, with their places.
    pub(crate) fn hold(&self, beats: &mut Vec<Beat>, now: Mono) -> Vec<Held> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.per_second.is_none() {
            return Vec::new();
        }
        let mut held = Vec::new();
        let mut at = 0;
        beats.retain(|beat| {
            let taken = buckets.take(&beat.service, now);
            if let Err(wait) = taken {
                held.push(Held { at, service: beat.service.clone(), wait });
            }
            at += 1;
            taken.is_ok()
        });
        held
    }
}

impl Buckets {
    /// Takes one beat of `service`.
    ///
    /// # Errors
    /// How long to wait, when it sends more than it may.
    fn take(&mut self, service: &ServiceId, now: Mono) -> Result<(), Duration> {
        let Some(per_second) = self.per_second else { return Ok(()) };
        let rate = f64::from(per_second.get());
        let key = self.keys.hash_one(service);
        if let Some(bucket) = self.by_service.get_mut(&key) {
            let filled = bucket.filled(rate, now);
            if filled < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - filled) / rate));
            }
            *bucket = Bucket { left: filled - 1.0, at: now };
            return Ok(());
        }
        if self.by_service.len() >= BUCKETS {
            self.by_service.retain(|_, bucket| bucket.filled(rate, now) < rate);
        }
        if self.by_service.len() < BUCKETS {
            self.by_service.insert(key, Bucket { left: rate - 1.0, at: now });
        }
        Ok(())
    }
}

impl Bucket {
    fn filled(&self, rate: f64, now: Mono) -> f64 {
        (self.left + now.since(self.at).as_secs_f64() * rate).min(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long each of these has to wait.
    fn waits(rate: &Rate, services: &[&ServiceId], now: Mono) -> Vec<(usize, Duration)> {
        let mut beats: Vec<Beat> = services.iter().map(|id| Beat::alive((*id).clone())).collect();
        let held = rate.hold(&mut beats, now);
        assert_eq!(beats.len() + held.len(), services.len());
        held.into_iter().map(|held| (held.at, held.wait)).collect()
    }

    #[test]
    fn a_second_holds_as_many_beats_as_configured_and_no_more() {
        let rate = Rate::new(NonZeroU32::new(5));
        let (orders, billing) = (ServiceId::new("orders").unwrap(), ServiceId::new("billing").unwrap());
        let start = Mono::from_millis(1000);
        assert_eq!(waits(&rate, &[&orders; 5], start), []);
        let wait = Duration::from_millis(200);
        let mixed = [&billing, &orders, &billing, &orders];
        assert_eq!(waits(&rate, &mixed, start), [(1, wait), (3, wait)], "each service has its own");
        assert_eq!(waits(&rate, &[&orders], Mono::from_millis(1200)), []);
        assert_eq!(waits(&rate, &[&orders], Mono::from_millis(1200)).len(), 1);
        let later = Mono::from_millis(60_000);
        assert_eq!(waits(&rate, &[&orders; 9], later).len(), 4, "nothing is saved up");
    }

    #[test]
    fn no_rate_means_no_limit() {
        let rate = Rate::new(None);
        let orders = ServiceId::new("orders").unwrap();
        assert_eq!(waits(&rate, &[&orders; 10_000], Mono::ZERO), []);
    }
}
