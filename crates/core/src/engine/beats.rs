//! Heartbeats, one by one and many together: the engine's most walked path.

use super::{Answer, Engine, Turn, set_metric};
use crate::detect::Arrival;
use crate::effect::Effect;
use crate::evidence::Beat;
use crate::mutation::{Rule, on};
use crate::time::Now;

/// So many heartbeats are looked ahead at: more than a core can wait for at once, few enough to stay in its cache.
const TOGETHER: usize = 64;

impl Engine {
    /// Takes heartbeats that came together, and appends what has to be done; each has its answer, in the same order.
    /// As if each was a step of its own, but for deadlines that pass at this very moment: they wait for the last of them.
    pub fn step_beats(&mut self, now: Now, beats: Vec<Beat>, out: &mut Vec<Effect>) -> Vec<Answer> {
        let mut turn = self.begin_turn(now, out);
        let mut answers = Vec::with_capacity(beats.len());
        let mut beats = beats.into_iter();
        while !beats.as_slice().is_empty() {
            if beats.len() > 1 {
                self.warm_up(beats.as_slice());
            }
            answers.extend(beats.by_ref().take(TOGETHER).map(|beat| self.beat(beat, &mut turn)));
        }
        self.end_turn(&mut turn);
        answers
    }

    /// Looks at what the next heartbeats will change, so that the memory of all of it is on its way at once: with many
    /// services each of them lies far from the caches, and waiting for one after the other is most of a heartbeat's cost.
    fn warm_up(&self, beats: &[Beat]) {
        let mut places = [usize::MAX; TOGETHER];
        for (place, beat) in places.iter_mut().zip(beats) {
            *place = self.find(beat.service.as_str()).unwrap_or(usize::MAX);
        }
        let known = || places.iter().copied().filter(|place| *place != usize::MAX);
        let mut seen = 0;
        for place in known() {
            seen ^= self.hearts[place].warmth() ^ self.services[place].warmth();
        }
        std::hint::black_box(seen);
    }

    pub(super) fn beat(&mut self, beat: Beat, turn: &mut Turn<'_>) -> Answer {
        let Some(index) = self.find(beat.service.as_str()).or_else(|| self.create(&beat.service, turn))
        else {
            return Answer::NoSuchService;
        };
        if self.services[index].job.is_some() {
            return self.on_run(index, beat, turn);
        }
        let arrived = turn.now.back(beat.age);
        if arrived < self.hearts[index].last() && on(Rule::OldNews) {
            // News that waited longer than younger ones: it revives nobody and says nothing of now.
            return Answer::Beat(self.services[index].state);
        }
        let arrival = Arrival { at: arrived, seq: None, interval: beat.interval };
        let evidence_changed = self.hearts[index].beat(turn.now, arrival);
        let service = &mut self.services[index];
        service.last_beat = Some(turn.wall.back(beat.age));
        let was_stuck = service.progress.is_some_and(|(_, since)| service.is_stuck_since(since, turn.now));
        let moved = match (beat.progress, service.progress) {
            (Some(count), Some((last, _))) => count != last,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if let Some(count) = beat.progress.filter(|_| moved) {
            service.progress = Some((count, turn.now));
        }
        let progress_changed = moved && (was_stuck || service.watches_progress());
        let hears_changed = beat.hears.is_some() && beat.hears != service.hears;
        if hears_changed {
            service.hears = beat.hears;
        }
        let status_changed = service.beat_status != beat.status;
        service.beat_status = beat.status;
        service.note_skew(beat.sent_at, turn.wall);
        if beat.message.is_some() && beat.message.as_deref() != service.beat_message.as_deref() {
            service.beat_message = beat.message.map(Into::into);
        }
        let ix = service.ix;
        // A beat that changes nothing ends here: memory only.
        if evidence_changed
            || status_changed
            || hears_changed
            || progress_changed
            || service.incident.is_some()
        {
            self.reconsider(ix, turn);
        } else if self.hearts[index].next_deadline() < service.armed {
            // The sender announced a shorter interval, or its detector has learnt one.
            self.arm(ix);
        }
        let service = &self.services[index];
        let held = service.remembered_silence > self.hearts[index].interval();
        if (evidence_changed || held) && service.remembered_beat != service.last_beat {
            // What was listened in vain is over, and must not be held against it by the next life.
            self.remember(ix, turn);
        }
        if !beat.metrics.is_empty() {
            for (name, value) in beat.metrics {
                set_metric(&mut self.services[index].metrics, &mut self.names, &name, value);
                self.on_service_metric(ix, &name, value, turn);
            }
        }
        Answer::Beat(self.services[index].state)
    }
}
