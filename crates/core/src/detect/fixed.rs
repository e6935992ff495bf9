//! The fixed timeout.

use std::time::Duration;

use super::Detector;
use crate::time::Mono;

/// Trusts for the same time after each arrival, whatever came before.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    timeout: Duration,
}

impl Fixed {
    /// Trusts for `timeout` after each arrival.
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

impl Detector for Fixed {
    fn arrival(&mut self, at: Mono, _seq: u64) -> Mono {
        at + self.timeout
    }

    fn reset(&mut self, _interval: Duration) {}
}
