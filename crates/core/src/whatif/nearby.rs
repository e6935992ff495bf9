//! The path of a trace of which only the heartbeats are known: a question fares as the heartbeats around it did.

use std::time::Duration;

use super::Path;
use crate::time::Mono;

/// A question fares as the heartbeats sent within this time of it.
pub const AROUND: Duration = Duration::from_secs(60);

/// What became of one heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// When it was sent.
    pub at: Mono,
    /// How long it took; `None`: it was lost.
    pub delay: Option<Duration>,
}

/// Loss and delay of the heartbeats around a question; outages carry nothing.
///
/// Its memory is the trace's own and 4 bytes for each heartbeat.
#[derive(Debug, Clone)]
pub struct LossNearby<C> {
    beats: Vec<Sent>,
    /// How many of the first heartbeats were lost, for each number of them.
    lost: Vec<u32>,
    outages: Vec<(Mono, Mono)>,
    chance: C,
}

impl<C: FnMut() -> f64> LossNearby<C> {
    /// From heartbeats and outages, both sorted by time, the outages disjoint; `chance` draws from `[0, 1)`.
    pub fn new(beats: Vec<Sent>, outages: Vec<(Mono, Mono)>, chance: C) -> Self {
        let mut lost = Vec::with_capacity(beats.len() + 1);
        let mut sum = 0_u32;
        lost.push(sum);
        lost.extend(beats.iter().map(|beat| {
            sum = sum.saturating_add(u32::from(beat.delay.is_none()));
            sum
        }));
        Self { beats, lost, outages, chance }
    }

    /// The heartbeats it was made from.
    pub fn beats(&self) -> &[Sent] {
        &self.beats
    }

    fn is_out(&self, from: Mono, until: Mono) -> bool {
        let next = self.outages.partition_point(|(_, end)| *end < from);
        self.outages.get(next).is_some_and(|(begin, _)| *begin <= until)
    }

    /// The delay of one of the heartbeats from `begin` to `end` that arrived.
    fn delay(&mut self, begin: usize, end: usize) -> Option<Duration> {
        let around = self.beats.get(begin..end)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than the length")]
        let from = ((self.chance)() * around.len() as f64) as usize;
        let (before, after) = around.split_at_checked(from)?;
        after.iter().chain(before).find_map(|beat| beat.delay)
    }
}

impl<C: FnMut() -> f64> Path for LossNearby<C> {
    fn ask(&mut self, at: Mono, within: Duration) -> Option<Duration> {
        let mut begin = self.beats.partition_point(|beat| beat.at < at.back(AROUND));
        let mut end = self.beats.partition_point(|beat| beat.at <= at + AROUND);
        if begin >= end {
            // Where heartbeats are rarer than that, the one before and the one after.
            (begin, end) = (begin.saturating_sub(1), (end + 1).min(self.beats.len()));
        }
        let lost = self.lost.get(end)?.saturating_sub(*self.lost.get(begin)?);
        if begin >= end || (self.chance)() < f64::from(lost) / (end - begin) as f64 {
            return None;
        }
        let took = self.delay(begin, end)? * 2;
        (took <= within && !self.is_out(at, at + took)).then_some(took)
    }

    fn was_out(&mut self, from: Mono, until: Mono) -> bool {
        self.is_out(from, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    /// A thousand seconds of a heartbeat a second; lost are those sent from 400 s to 500 s.
    fn beats() -> Vec<Sent> {
        (0..1000)
            .map(|n| Sent { at: at(n), delay: (!(400..500).contains(&n)).then_some(SECOND / 10) })
            .collect()
    }

    fn chance() -> impl FnMut() -> f64 {
        let mut state = 1_u32;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1_u32 << 24)
        }
    }

    #[test]
    fn a_question_is_lost_as_often_as_the_heartbeats_around_it() {
        let mut path = LossNearby::new(beats(), Vec::new(), chance());
        let mut answered = |when| (0..970).filter(|_| path.ask(at(when), SECOND).is_some()).count();
        assert_eq!(answered(100), 970);
        // From 390 s to 510 s: 100 of 121 were lost.
        assert!((120..=220).contains(&answered(450)));
    }

    #[test]
    fn where_heartbeats_are_rare_the_ones_before_and_after_count_and_without_any_nothing_answers() {
        let hourly = |lost: u64| {
            let sent = |n: u64| Sent { at: at(n * 3600), delay: (n != lost).then_some(SECOND / 10) };
            LossNearby::new((0..10).map(sent).collect(), Vec::new(), chance())
        };
        let answered = |mut path: LossNearby<_>| {
            (0..1000).filter(|_| path.ask(at(5 * 3600 + 1800), SECOND).is_some()).count()
        };
        assert_eq!(answered(hourly(99)), 1000);
        assert!((400..=600).contains(&answered(hourly(5))), "one of two was lost");
        assert_eq!(answered(hourly(4)), 1000, "that was long ago");
        let mut nothing = LossNearby::new(Vec::new(), Vec::new(), chance());
        assert_eq!(nothing.ask(at(10), SECOND), None);
    }

    #[test]
    fn an_outage_answers_nothing_and_explains_what_overlaps_it() {
        let mut path = LossNearby::new(beats(), vec![(at(100), at(160))], chance());
        assert_eq!(path.ask(at(120), SECOND), None);
        assert_eq!(path.ask(at(200), SECOND), Some(SECOND / 5));
        assert_eq!(path.ask(at(200), SECOND / 10), None, "the answer would come too late");
        assert!(path.was_out(at(90), at(101)) && !path.was_out(at(161), at(170)));
    }
}
