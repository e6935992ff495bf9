//! Figures of one trial, in constant memory, and how those of several are put together.

use std::time::Duration;

const DAY: f64 = 86_400.0;

/// Quality of service of a detector (Chen, Toueg, Aguilera 2002).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qos {
    /// How long was measured.
    pub observed: Duration,
    /// Of that, how long the sender was dead.
    pub dead: Duration,
    /// From a crash of the trace to the verdict that stayed (T_D).
    pub noticed: Spread,
    /// Crashes that were over before they were noticed.
    pub missed: u64,
    /// From the sending of each heartbeat to the verdict, had it been the last and all questions in vain: the
    /// worst moment to die.
    pub worst_phase: Spread,
    /// Verdicts against a living sender while the network carried nothing, …
    pub in_outages: u64,
    /// … and all others.
    pub avoidable: u64,
    /// How long all these mistakes stood together.
    pub mistaken: Duration,
    /// Questions asked.
    pub questions: u64,
}

impl Qos {
    /// Nothing yet, for a sender with this interval: the fineness of the times measured.
    pub fn new(interval: Duration) -> Self {
        Self {
            observed: Duration::ZERO,
            dead: Duration::ZERO,
            noticed: Spread::new(interval),
            missed: 0,
            worst_phase: Spread::new(interval),
            in_outages: 0,
            avoidable: 0,
            mistaken: Duration::ZERO,
            questions: 0,
        }
    }

    /// All mistakes.
    pub fn mistakes(&self) -> u64 {
        self.in_outages + self.avoidable
    }

    /// How many of something there were a day; `None` when nothing was observed.
    pub fn per_day(&self, count: u64) -> Option<f64> {
        let days = self.observed.as_secs_f64() / DAY;
        (days > 0.0).then(|| count as f64 / days)
    }

    /// Mean length of a mistake (T_M).
    pub fn mean_mistake(&self) -> Option<Duration> {
        let count = self.mistakes();
        (count > 0).then(|| Duration::from_secs_f64(self.mistaken.as_secs_f64() / count as f64))
    }

    /// The probability that the verdict is right at any moment of the sender's life (P_A).
    pub fn query_accuracy(&self) -> Option<f64> {
        let alive = self.observed.saturating_sub(self.dead).as_secs_f64();
        (alive > 0.0).then(|| (1.0 - self.mistaken.as_secs_f64() / alive).max(0.0))
    }

    /// Adds what another trial of the same specification, on another stretch, has measured.
    pub fn merge(&mut self, other: &Self) {
        self.observed += other.observed;
        self.dead += other.dead;
        self.noticed.merge(&other.noticed);
        self.missed += other.missed;
        self.worst_phase.merge(&other.worst_phase);
        self.in_outages += other.in_outages;
        self.avoidable += other.avoidable;
        self.mistaken += other.mistaken;
        self.questions += other.questions;
    }
}

/// How times are spread: a histogram with a fixed number of bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Nanoseconds of one bin.
    width: u64,
    bins: Vec<u64>,
    count: u64,
    sum: u128,
    max: Duration,
}

impl Spread {
    /// Bins in an interval: a quantile is at most this part of an interval too long.
    pub const FINENESS: u64 = 500;
    /// Times of more intervals share one bin; a quantile among them is told as the maximum.
    pub const INTERVALS: u64 = 64;

    /// Nothing yet; the bins are a part of `interval`.
    pub fn new(interval: Duration) -> Self {
        let width = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX) / Self::FINENESS;
        Self { width: width.max(1), bins: Vec::new(), count: 0, sum: 0, max: Duration::ZERO }
    }

    /// Counts one.
    #[inline]
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bin = usize::try_from((nanos / self.width).min(Self::FINENESS * Self::INTERVALS)).unwrap_or(0);
        if bin >= self.bins.len() {
            self.bins.resize(bin + 1, 0);
        }
        if let Some(bin) = self.bins.get_mut(bin) {
            *bin += 1;
        }
        self.count += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(time);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean.
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum.checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// The longest.
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.max)
    }

    /// The time that a share of `quantile` does not exceed: the upper end of its bin, at most the longest.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0);
        let mut seen = 0;
        for (bin, count) in (1_u64..).zip(&self.bins) {
            seen += count;
            if seen as f64 >= rank && bin <= Self::FINENESS * Self::INTERVALS {
                return Some(Duration::from_nanos(bin.saturating_mul(self.width)).min(self.max));
            }
        }
        self.max()
    }

    /// Adds what another one has counted with the same interval.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.width, other.width, "times of different intervals do not mix");
        if self.bins.len() < other.bins.len() {
            self.bins.resize(other.bins.len(), 0);
        }
        for (bin, count) in self.bins.iter_mut().zip(&other.bins) {
            *bin += count;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_spread_knows_mean_quantile_and_maximum() {
        let mut spread = Spread::new(SECOND);
        assert_eq!((spread.mean(), spread.quantile(0.99), spread.max()), (None, None, None));
        for n in 1..=1000 {
            spread.add(SECOND * n / 1000);
        }
        assert_eq!(spread.mean(), Some(Duration::from_micros(500_500)));
        assert_eq!(spread.quantile(0.99), Some(Duration::from_millis(992)));
        assert_eq!(spread.quantile(1.0), Some(SECOND));
        spread.add(1000 * SECOND);
        assert_eq!((spread.quantile(1.0), spread.max()), (Some(1000 * SECOND), Some(1000 * SECOND)));
    }

    #[test]
    fn halves_put_together_are_the_whole() {
        let (mut whole, mut left, mut right) = (Qos::new(SECOND), Qos::new(SECOND), Qos::new(SECOND));
        for n in 0..100 {
            let time = SECOND * n / 7;
            whole.worst_phase.add(time);
            if n % 3 == 0 { left.worst_phase.add(time) } else { right.worst_phase.add(time) }
        }
        whole.avoidable = 5;
        (left.avoidable, right.avoidable) = (2, 3);
        let mut other_way = right.clone();
        other_way.merge(&left);
        left.merge(&right);
        assert_eq!(left, whole);
        assert_eq!(other_way, whole);
    }
}
