//! The keys that every check has, whatever its kind.

use std::time::Duration;

use crate::fields::Cx;
use crate::node::Node;
use crate::record;
use crate::time::write_duration;

/// Interval of checks and heartbeats where nothing says otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// Longest timeout a check gets by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

record! {
    /// Keys of every check, beside those of its kind.
    pub struct CheckKeys {
        /// What the check is called on screens; the target where unset.
        name: Option<String> [1..=128],
        /// Between two looks. `defaults.interval` where unset, else 10s.
        interval: Option<Duration> [Duration::from_millis(100)..=Duration::from_secs(86_400)],
        /// How long an answer may take; shorter than `interval`. Half the interval where unset, at most 5s.
        timeout: Option<Duration>,
        /// Passes in a row that make it pass.
        rise: u32 [1..=100] = 2,
        /// Failures in a row that make it fail.
        fall: u32 [1..=100] = 3,
        /// How many of its targets must pass for the service to work; fewer is `down`, some failing is `degraded`.
        need: u32 [1..=1000] = 1,
    }
    check CheckKeys::check
}

impl CheckKeys {
    /// Between two looks, with the default of this configuration.
    pub fn interval(&self, cx: &Cx) -> Duration {
        self.interval.or(cx.defaults.interval).unwrap_or(DEFAULT_INTERVAL)
    }

    /// How long an answer may take.
    pub fn timeout(&self, cx: &Cx) -> Duration {
        self.timeout.unwrap_or_else(|| (self.interval(cx) / 2).min(DEFAULT_TIMEOUT))
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let (timeout, interval) = (self.timeout(cx), self.interval(cx));
        if timeout >= interval {
            cx.error(
                node.at("timeout"),
                format!(
                    "the timeout of a check ({}) must be shorter than its interval ({})",
                    write_duration(timeout),
                    write_duration(interval)
                ),
            )
            .hint("a look must end before the next one begins");
        }
    }
}
