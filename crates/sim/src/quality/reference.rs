//! The reference's own table, and how far ours is from it.
//!
//! The reference is a sketch of 300 lines that measured two million heartbeats of each recipe (four million of
//! the WAN). We measure the same heartbeats, drawn by the same generator in the same order, with detectors
//! written anew; what deviates then is a detector, not luck.

use std::time::Duration;

use lifesign_core::spec::Profile;
use lifesign_core::whatif::{Qos, Spread};

use super::{Plan, Row};
use crate::trace::Recipe;

/// One row of the reference's table. Times in intervals, rates a day.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Mean detection time in the worst phase.
    pub mean: f64,
    /// Its 99th percentile.
    pub p99: f64,
    /// Mistakes.
    pub mistakes: f64,
    /// Those that no outage excuses.
    pub avoidable: f64,
}

type Line = (Row, [f64; 4]);

/// Without the sketch of the default: ours suspects nobody less than 50 ms late, which here is half an interval.
const WAN: &[Line] = &[
    (Row::Fixed(300), [4.401, 4.561, 33.3912, 0.8348]),
    (Row::Chen(100), [3.400, 3.482, 302.1907, 267.5473]),
    (Row::Chen(200), [4.400, 4.482, 37.9825, 6.4696]),
    (Row::TwoWindows(100), [3.426, 3.561, 70.3303, 35.6869]),
    (Row::TwoWindows(200), [4.426, 4.561, 31.9304, 0.8348]),
    (Row::Bertier, [2.550, 2.765, 4295.3648, 4260.7214]),
    (Row::Phi, [3.307, 15.959, 185.9474, 152.1388]),
    (Row::Akka, [6.619, 18.959, 27.9652, 0.0]),
    (Row::Chitchat, [9.436, 10.111, 24.4173, 0.0]),
    (Row::Cassandra, [19.903, 21.405, 18.7826, 0.0]),
];

const DATA_CENTRE: &[Line] = &[
    (Row::Fixed(300), [3.000, 3.000, 0.0734, 0.0389]),
    (Row::Chen(100), [2.000, 2.002, 0.2462, 0.1987]),
    (Row::Chen(200), [3.000, 3.002, 0.0734, 0.0389]),
    (Row::TwoWindows(100), [2.000, 2.002, 0.2333, 0.1944]),
    (Row::TwoWindows(200), [3.000, 3.002, 0.0734, 0.0389]),
    (Row::Bertier, [1.003, 1.026, 212.5354, 212.4878]),
    (Row::Phi, [1.065, 1.356, 5.6635, 5.6246]),
    (Row::Akka, [4.523, 4.524, 0.0043, 0.0043]),
    (Row::Chitchat, [8.000, 8.008, 0.0, 0.0]),
    (Row::Cassandra, [18.421, 18.439, 0.0, 0.0]),
    (Row::Suspicion(0), [1.026, 1.150, 11.7936, 11.7547]),
    (Row::Suspicion(100), [2.026, 2.150, 0.2203, 0.1814]),
    (Row::Suspicion(200), [3.026, 3.150, 0.0734, 0.0389]),
    (Row::Sketch(50, 5), [2.026, 2.150, 0.0432, 0.0043]),
    (Row::Sketch(0, 3), [1.326, 1.450, 0.0821, 0.0432]),
    (Row::Sketch(100, 5), [2.526, 2.650, 0.0389, 0.0]),
];

const WEAK: &[Line] = &[
    (Row::Fixed(300), [3.010, 3.050, 17.1979, 13.1371]),
    (Row::Chen(100), [2.010, 2.012, 83.9851, 79.6522]),
    (Row::Chen(200), [3.010, 3.012, 17.7984, 13.8154]),
    (Row::TwoWindows(100), [2.013, 2.050, 70.4419, 66.1090]),
    (Row::TwoWindows(200), [3.013, 3.050, 15.4526, 11.5042]),
    (Row::Bertier, [1.033, 1.105, 379.2398, 374.9501]),
    (Row::Phi, [2.178, 4.295, 88.6680, 84.3739]),
    (Row::Akka, [5.178, 7.295, 3.4862, 0.8381]),
    (Row::Chitchat, [8.212, 8.403, 1.0714, 0.0086]),
    (Row::Cassandra, [18.895, 19.325, 0.0864, 0.0]),
    (Row::Suspicion(0), [1.087, 1.290, 188.1058, 183.8160]),
    (Row::Suspicion(100), [2.087, 2.290, 31.1386, 26.8056]),
    (Row::Suspicion(200), [3.087, 3.290, 10.5926, 6.7954]),
    (Row::Sketch(50, 5), [2.087, 2.290, 5.0933, 0.7862]),
    (Row::Sketch(0, 3), [1.387, 1.590, 12.1954, 7.9056]),
    (Row::Sketch(100, 5), [2.587, 2.790, 4.6310, 0.4190]),
];

const WEAK_WITH_RETRY: &[Line] = &[
    (Row::Fixed(300), [3.015, 3.152, 4.1170, 0.1814]),
    (Row::Chen(100), [2.015, 2.020, 10.7698, 6.4325]),
    (Row::Chen(200), [3.015, 3.020, 4.0522, 0.2246]),
    (Row::TwoWindows(100), [2.021, 2.152, 9.2275, 4.8902]),
    (Row::TwoWindows(200), [3.021, 3.152, 4.0003, 0.1771]),
    (Row::Bertier, [1.065, 1.400, 294.5074, 290.1571]),
    (Row::Phi, [1.643, 4.047, 29.2291, 24.9178]),
    (Row::Akka, [4.785, 7.047, 2.6309, 0.0]),
    (Row::Chitchat, [8.043, 8.245, 1.0714, 0.0]),
    (Row::Cassandra, [18.501, 18.884, 0.0950, 0.0]),
    (Row::Suspicion(0), [1.249, 1.793, 71.1979, 66.8606]),
    (Row::Suspicion(100), [2.249, 2.793, 5.9184, 1.6027]),
    (Row::Suspicion(200), [3.249, 3.793, 3.7541, 0.0562]),
    (Row::Sketch(50, 5), [2.249, 2.793, 4.3632, 0.0475]),
    (Row::Sketch(0, 3), [1.549, 2.093, 6.3331, 1.9958]),
    (Row::Sketch(100, 5), [2.749, 3.293, 4.0824, 0.0086]),
];

/// Measured on the same heartbeats, to be read beside the sketch's rows.
const OURS: [Row; 3] =
    [Row::Profile(Profile::Fast), Row::Profile(Profile::Default), Row::Profile(Profile::Strict)];

/// From so many mistakes on a rate must agree within [`RATE`]; below, within 3 σ.
const MANY: f64 = 400.0;
/// A rate of many mistakes may deviate by this share.
const RATE: f64 = 0.10;
/// A detection time may deviate by this share.
const TIME: f64 = 0.02;

/// The reference's lines about a recipe; none for ours.
fn lines(recipe: Recipe) -> &'static [Line] {
    match recipe {
        Recipe::Wan => WAN,
        Recipe::DataCentre => DATA_CENTRE,
        Recipe::Weak => WEAK,
        Recipe::WeakWithRetry => WEAK_WITH_RETRY,
        Recipe::Bursts | Recipe::Diurnal | Recipe::Pauses => &[],
    }
}

/// The reference's figures of a row.
pub fn figures(recipe: Recipe, row: Row) -> Option<Figures> {
    let (_, [mean, p99, mistakes, avoidable]) = *lines(recipe).iter().find(|(other, _)| *other == row)?;
    Some(Figures { mean, p99, mistakes, avoidable })
}

/// What measures the reference's own heartbeats with its own rows.
pub fn plans() -> Vec<Plan> {
    [Recipe::Wan, Recipe::DataCentre, Recipe::Weak, Recipe::WeakWithRetry]
        .into_iter()
        .map(|recipe| Plan {
            recipe,
            beats: if recipe == Recipe::Wan { 4_000_000 } else { 2_000_000 },
            parts: 1,
            reference: true,
            rows: lines(recipe).iter().map(|(row, _)| *row).chain(OURS).collect(),
        })
        .collect()
}

/// How far our figures of a row are from the reference's.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    /// Of the mean detection time, as a share.
    pub mean: f64,
    /// Of its 99th percentile, as a share.
    pub p99: f64,
    /// Of the rate of mistakes: as a share, or in σ where `many` says so.
    pub mistakes: Rate,
    /// Of the rate of avoidable mistakes.
    pub avoidable: Rate,
}

/// The least deviation among the quantiles that a p99 of the reference may be: it looked at every 64th
/// heartbeat only, and where a window of a thousand makes times come in steps, a rank nearby is another step.
fn nearest_p99(times: &Spread, share: impl Fn(Duration) -> f64) -> Option<f64> {
    let (low, own, high) = (times.quantile(0.989)?, times.quantile(0.99)?, times.quantile(0.991)?);
    let (low, own, high) = (share(low), share(own), share(high));
    Some(if low <= 0.0 && high >= 0.0 && own.abs() > TIME { 0.0 } else { own })
}

/// How far one rate is from another.
#[derive(Debug, Clone, Copy)]
pub enum Rate {
    /// There were many: as a share.
    Share(f64),
    /// There were few: in standard deviations.
    Sigma(f64),
}

impl Rate {
    fn between(ours: f64, theirs: f64, days: f64) -> Self {
        let (ours, theirs) = (ours * days, theirs * days);
        if theirs >= MANY {
            return Self::Share((ours - theirs) / theirs);
        }
        // Two counts after Poisson; none at all still leaves room for one.
        Self::Sigma((ours - theirs) / (ours + theirs).max(1.0).sqrt())
    }

    fn is_near(self) -> bool {
        match self {
            Self::Share(share) => share.abs() <= RATE,
            Self::Sigma(sigma) => sigma.abs() <= 3.0,
        }
    }
}

impl Deviation {
    /// Of `ours` from `theirs`.
    pub fn of(ours: &Qos, theirs: Figures, recipe: Recipe) -> Option<Self> {
        let interval = recipe.interval().as_secs_f64();
        let share = |time: Duration, theirs: f64| time.as_secs_f64() / interval / theirs - 1.0;
        let days = ours.observed.as_secs_f64() / 86_400.0;
        let rate = |count, theirs| Some(Rate::between(ours.per_day(count)?, theirs, days));
        Some(Self {
            mean: share(ours.worst_phase.mean()?, theirs.mean),
            p99: nearest_p99(&ours.worst_phase, |time| share(time, theirs.p99))?,
            mistakes: rate(ours.mistakes(), theirs.mistakes)?,
            avoidable: rate(ours.avoidable, theirs.avoidable)?,
        })
    }

    /// Whether the row counts as reproduced.
    pub fn is_near(&self) -> bool {
        self.mean.abs() <= TIME
            && self.p99.abs() <= TIME
            && self.mistakes.is_near()
            && self.avoidable.is_near()
    }
}
