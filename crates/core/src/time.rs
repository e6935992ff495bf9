//! The two kinds of time.
//!
//! [`Mono`] decides: it never goes back and knows about suspend. [`Wall`] is for people and
//! calendars only. Both are plain numbers, so a test writes them down and a journal replays them;
//! the clocks that produce them live in `lifesign-os`.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A reading of the monotonic clock: nanoseconds since an origin that only one process knows.
///
/// Arithmetic saturates: a deadline too far away is simply never reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mono(u64);

impl Mono {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// The deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The reading that lies `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The reading that lies `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this reading; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This reading moved back by `span`, not beyond the origin.
    pub fn back(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Wall time: milliseconds since 1970-01-01 00:00 UTC. Shown and stored, never used to decide.
///
/// Serialises as RFC 3339 in UTC with milliseconds, the form of the HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

impl Wall {
    /// The instant `millis` milliseconds after the epoch (negative: before it).
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to this instant; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved back by `span`.
    pub fn back(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Reads RFC 3339 (`2026-11-22T09:00:00Z`, any offset, any precision).
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{at:.3}")
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 time"))
    }
}

/// Both readings, taken together by the shell for one step of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Decides.
    pub mono: Mono,
    /// Is shown.
    pub wall: Wall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_saturates_at_both_ends() {
        assert_eq!(Mono::NEVER + Duration::from_secs(1), Mono::NEVER);
        assert_eq!(Mono::from_millis(5).back(Duration::from_secs(1)), Mono::ZERO);
        assert_eq!(Mono::from_millis(5).since(Mono::from_millis(9)), Duration::ZERO);
    }

    #[test]
    fn wall_reads_and_writes_rfc_3339_with_milliseconds() {
        let at = Wall::parse("2024-11-22T07:20:00+08:00").unwrap();
        assert_eq!(at.to_string(), "2024-11-21T23:20:00.000Z");
        assert_eq!(serde_json::to_string(&Wall::from_millis(1)).unwrap(), "\"1970-01-01T00:00:00.001Z\"");
        assert_eq!(serde_json::from_str::<Wall>("\"1970-01-01T00:00:00.001Z\"").unwrap().as_millis(), 1);
        assert!(serde_json::from_str::<Wall>("\"yesterday\"").is_err());
    }
}
