//! What the next life of lifesign is to know, written while this one lives.

use std::time::Duration;

use super::{Engine, Turn, jobs};
use crate::effect::Effect;
use crate::model::ServiceIx;
use crate::time::Now;

/// How often last-seen times are written into the store, so that a restart remembers them.
const SNAPSHOT: Duration = Duration::from_secs(30);
/// How often the silence of hearts is that are awaited: each restart of lifesign forgets at most this much.
pub(super) const SNAPSHOT_SILENT: Duration = Duration::from_secs(5);
/// A wall clock that moves by this many milliseconds beside the monotonic one has stepped (or drifted so far).
const WALL_STEP_MS: u64 = 1000;

impl Engine {
    /// What is remembered in wall time is written anew when that clock steps, or the next life would take
    /// restarts for older than they are.
    pub(super) fn follow_wall(&mut self, now: Now, turn: &mut Turn<'_>) {
        let mono = i64::try_from(now.mono.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let offset = now.wall.as_millis().saturating_sub(mono);
        let last = *self.wall_offset.get_or_insert(offset);
        if offset.abs_diff(last) < WALL_STEP_MS {
            return;
        }
        self.wall_offset = Some(offset);
        self.jobs_follow_wall(offset.saturating_sub(last), turn);
        for ix in self.order.clone() {
            if self.services[ix.0 as usize].remedy.restarts().next().is_some() {
                self.remember(ix, turn);
            }
        }
    }

    pub(super) fn remember(&mut self, ix: ServiceIx, turn: &mut Turn<'_>) {
        let service = &mut self.services[ix.0 as usize];
        service.remembered_beat = service.last_beat;
        let restarts = service.remedy.restarts().map(|at| turn.wall.back(turn.now.since(at))).collect();
        let silence = self.hearts[ix.0 as usize].silence(turn.now, service.watched_since);
        service.remembered_silence = silence;
        let moment = jobs::moment(&self.clock, turn);
        let job = service.job.as_ref().map(|job| job.memory(moment));
        turn.out.push(Effect::Remember(service.memory(silence, restarts, job)));
    }

    /// Writes the silence of hearts that are awaited, and less often last-seen times that have moved.
    pub(super) fn snapshot(&mut self, turn: &mut Turn<'_>) {
        let all = turn.now >= self.next_snapshot;
        if all {
            self.next_snapshot = turn.now + SNAPSHOT;
        }
        for ix in self.order.clone() {
            let service = &self.services[ix.0 as usize];
            let awaited = service.last_beat.is_some() && self.hearts[ix.0 as usize].is_awaited();
            let runs = all && service.job.as_ref().is_some_and(|job| job.is_awaited());
            if awaited || runs || (all && service.last_beat != service.remembered_beat) {
                self.remember(ix, turn);
            }
        }
    }
}
