//! How many heartbeats a second one service may send.
//!
//! A token bucket for each service that beats: it holds one second's worth, so a sender may be bursty
//! within a second and not faster over time.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    by_service: HashMap<ServiceId, Bucket>,
}

/// The buckets of all services; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate(Arc<Mutex<Buckets>>);

impl Rate {
    /// At most `per_second` beats a second of each service; `None`: as many as come.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self(Arc::new(Mutex::new(Buckets { per_second, by_service: HashMap::new() })))
    }

    /// Changes the rate for all services.
    pub(crate) fn change(&self, per_second: Option<NonZeroU32>) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.per_second = per_second;
        buckets.by_service.clear();
    }

    /// Takes one beat of `service`.
    ///
    /// # Errors
    /// How long to wait, when it sends more than it may.
    pub(crate) fn take(&self, service: &ServiceId, now: Mono) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(per_second) = buckets.per_second else { return Ok(()) };
        let rate = f64::from(per_second.get());
        if let Some(bucket) = buckets.by_service.get_mut(service) {
            let filled = bucket.filled(rate, now);
            if filled < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - filled) / rate));
            }
            *bucket = Bucket { left: filled - 1.0, at: now };
            return Ok(());
        }
        if buckets.by_service.len() >= BUCKETS {
            buckets.by_service.retain(|_, bucket| bucket.filled(rate, now) < rate);
        }
        if buckets.by_service.len() < BUCKETS {
            buckets.by_service.insert(service.clone(), Bucket { left: rate - 1.0, at: now });
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

    #[test]
    fn a_second_holds_as_many_beats_as_configured_and_no_more() {
        let rate = Rate::new(NonZeroU32::new(5));
        let (orders, billing) = (ServiceId::new("orders").unwrap(), ServiceId::new("billing").unwrap());
        let start = Mono::from_millis(1000);
        for _ in 0..5 {
            assert_eq!(rate.take(&orders, start), Ok(()));
        }
        assert_eq!(rate.take(&orders, start), Err(Duration::from_millis(200)));
        assert_eq!(rate.take(&billing, start), Ok(()), "each service has its own");
        assert_eq!(rate.take(&orders, Mono::from_millis(1200)), Ok(()));
        assert!(rate.take(&orders, Mono::from_millis(1200)).is_err());
        let later = Mono::from_millis(60_000);
        assert_eq!((0..9).filter(|_| rate.take(&orders, later).is_ok()).count(), 5, "nothing is saved up");
    }

    #[test]
    fn no_rate_means_no_limit() {
        let rate = Rate::new(None);
        let orders = ServiceId::new("orders").unwrap();
        assert!((0..10_000).all(|_| rate.take(&orders, Mono::ZERO).is_ok()));
    }
}
