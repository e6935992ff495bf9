//! The draws of synthetic traces: xorshift64* (Marsaglia 2003, Vigna 2016) and the laws made of it.
//!
//! Not [`Chance`](crate::chance::Chance): this is the generator of the reference's own sketch, drawn in the same
//! order, so that the same seed gives the very trace of which its table was made.

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Draws(u64);

impl Draws {
    /// Begins at this state.
    pub fn raw(state: u64) -> Self {
        Self(state.max(1))
    }

    /// Begins far from the streams of other seeds, also of those nearby.
    pub fn mixed(seed: u64) -> Self {
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self::raw(x ^ (x >> 31))
    }

    /// Uniform in `[0, 1)`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    #[inline]
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().max(1e-12).ln()
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().max(1e-12).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
