//! What the default detector has to reach, against `fixed, 3 × interval` on the same heartbeats.

use lifesign_core::spec::Profile;
use lifesign_core::whatif::Qos;

use super::Row;
use crate::trace::Recipe;

/// The baseline.
pub const BASELINE: Row = Row::Fixed(300);

/// One target and what was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// On which trace.
    pub recipe: Recipe,
    /// What was asked for.
    pub what: String,
    /// What was reached, …
    pub reached: f64,
    /// … which may be at most this.
    pub at_most: f64,
}

impl Target {
    /// Whether it is met.
    pub fn is_met(&self) -> bool {
        self.reached <= self.at_most
    }
}

/// Figures of all rows on one trace.
#[derive(Debug, Clone, Copy)]
pub struct Table<'q> {
    /// The trace.
    pub recipe: Recipe,
    /// The rows …
    pub rows: &'q [Row],
    /// … and their figures.
    pub figures: &'q [Qos],
}

impl Table<'_> {
    fn of(&self, row: Row) -> Option<&Qos> {
        let place = self.rows.iter().position(|other| *other == row)?;
        self.figures.get(place)
    }

    /// Mean detection time of a row in intervals.
    fn mean(&self, qos: &Qos) -> Option<f64> {
        Some(qos.worst_phase.mean()?.as_secs_f64() / self.recipe.interval().as_secs_f64())
    }

    /// The rate of mistakes of a fixed timeout with this mean detection time: between two measured ones, on a
    /// logarithmic scale.
    fn fixed_curve(&self, mean: f64) -> Option<f64> {
        let mut points: Vec<(f64, f64)> = self
            .rows
            .iter()
            .zip(self.figures)
            .filter(|(row, _)| matches!(row, Row::Fixed(_)))
            .filter_map(|(_, qos)| Some((self.mean(qos)?, qos.per_day(qos.mistakes())?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let pair = points.windows(2).find(|pair| pair[0].0 <= mean && mean <= pair[1].0)?;
        let share = (mean - pair[0].0) / (pair[1].0 - pair[0].0);
        Some(pair[0].1.powf(1.0 - share) * pair[1].1.powf(share))
    }

    /// All targets on this trace.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let (Some(fixed), Some(default), Some(strict)) = (
            self.of(BASELINE),
            self.of(Row::Profile(Profile::Default)),
            self.of(Row::Profile(Profile::Strict)),
        ) else {
            return targets;
        };
        let mut target = |what: &str, reached: Option<f64>, at_most: f64| {
            // What could not be measured is missed.
            let reached = reached.unwrap_or(f64::INFINITY);
            targets.push(Target { recipe: self.recipe, what: what.to_owned(), reached, at_most });
        };
        let mean = |qos: &Qos| Some(self.mean(qos)? / self.mean(fixed)?);
        let p99 = |qos: &Qos| {
            let own = qos.worst_phase.quantile(0.99)?.as_secs_f64();
            Some(own / fixed.worst_phase.quantile(0.99)?.as_secs_f64())
        };
        let avoidable = |qos: &Qos| Some(qos.avoidable as f64 / fixed.avoidable as f64);
        let enough = Some(100.0 / fixed.avoidable.max(1) as f64);
        target("100 avoidable mistakes of the baseline / those measured", enough, 1.0);
        match self.recipe {
            Recipe::Wan => {
                let own = default.per_day(default.mistakes());
                let curve = self.mean(default).and_then(|mean| self.fixed_curve(mean));
                let ratio = own.zip(curve).map(|(own, curve)| own / curve);
                target("default: mistakes / fixed at the same mean detection time", ratio, 1.0);
            }
            Recipe::DataCentre | Recipe::Weak | Recipe::WeakWithRetry => {
                target("default: mean detection time / fixed", mean(default), 0.75);
                target("default: p99 detection time / fixed", p99(default), 0.95);
                target("default: avoidable mistakes / fixed", avoidable(default), 1.0 / 3.0);
                target("strict: avoidable mistakes / fixed", avoidable(strict), 0.1);
            }
            Recipe::Bursts | Recipe::Diurnal | Recipe::Pauses => {
                target("default: mean detection time / fixed", mean(default), 1.0);
                target("default: avoidable mistakes / fixed", avoidable(default), 1.0);
            }
        }
        // The baseline gives up exactly at the cap, so no row may ever take longer.
        for profile in [Profile::Fast, Profile::Default, Profile::Strict] {
            let Some(own) = self.of(Row::Profile(profile)) else { continue };
            let latest = own.worst_phase.max().zip(fixed.worst_phase.max());
            let ratio = latest.map(|(own, cap)| own.as_secs_f64() / cap.as_secs_f64());
            target(&format!("{}: latest detection / cap", Row::Profile(profile).name()), ratio, 1.0);
        }
        targets
    }
}
