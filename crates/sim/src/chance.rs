//! Chance that a seed decides, the same on every machine and in every year.
//!
//! The generator is PCG (O'Neill 2014), whose values `rand_pcg` promises not to change. What is made of
//! its bits stands here, because the distributions of `rand` may change from version to version.

use std::time::Duration;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use rand_pcg::rand_core::SeedableRng;

/// A stream of chance.
#[derive(Debug, Clone)]
pub struct Chance(Pcg64Mcg);

impl Chance {
    /// The stream of this seed. Streams of different `stream` names are independent: what one part of a world
    /// draws does not shift the draws of another.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        // The product's upper half: a bias of 2⁻⁶⁴ per value, which no test here can see.
        low + u64::try_from((u128::from(self.bits()) * span) >> 64).unwrap_or(0)
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.between(0, all.len() as u64 - 1)).unwrap_or(0)]
    }

    /// A time between two others, uniform by the microsecond.
    pub fn time(&mut self, low: Duration, high: Duration) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.between(micros(low), micros(high)))
    }

    /// A time between two others, uniform by its logarithm: short ones are as frequent as long ones.
    pub fn scale(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (low.as_secs_f64().ln(), high.as_secs_f64().ln());
        Duration::from_secs_f64((low + (high - low) * self.unit()).exp())
    }

    /// Exponential with this mean: the time to the next event of a steady rate.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_values_for_ever() {
        let mut chance = Chance::new(1, 2);
        let values: Vec<u64> = (0..3).map(|_| chance.between(0, 999)).collect();
        let mut again = Chance::new(1, 2);
        assert_eq!(values, (0..3).map(|_| again.between(0, 999)).collect::<Vec<_>>());
        let mut other = Chance::new(1, 3);
        assert_ne!(values, (0..3).map(|_| other.between(0, 999)).collect::<Vec<_>>());
    }

    #[test]
    fn values_stay_within_their_bounds_and_reach_both_ends() {
        let mut chance = Chance::new(7, 0);
        let values: Vec<u64> = (0..1000).map(|_| chance.between(3, 6)).collect();
        assert_eq!((values.iter().min(), values.iter().max()), (Some(&3), Some(&6)));
    }
}
