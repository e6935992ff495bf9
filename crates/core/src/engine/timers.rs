//! Who wants to be woken, and when.

use std::cmp::Reverse;

use super::{Engine, SNAPSHOT_SILENT, TICK, Turn, judge};
use crate::model::ServiceIx;
use crate::time::Mono;

/// Who wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    Service(ServiceIx),
    Rules,
    Snapshot,
}

impl Engine {
    /// When the engine wants to be stepped at the latest, even if nothing happens ([`Input::Tick`](crate::input::Input::Tick)).
    pub fn next_deadline(&self) -> Mono {
        let timer = self.timers.peek().map_or(Mono::NEVER, |Reverse((at, _))| *at);
        let tick = self.clock.now() + TICK;
        self.clock.to_real(timer.min(self.dispatcher.next_deadline()).min(tick))
    }

    pub(super) fn run_timers(&mut self, turn: &mut Turn<'_>) {
        while let Some(Reverse((at, wake))) = self.timers.peek().copied() {
            if at > turn.now {
                return;
            }
            self.timers.pop();
            match wake {
                Wake::Service(ix) => {
                    let service = &mut self.services[ix.0 as usize];
                    if service.armed != at {
                        continue; // An earlier wake-up took its place.
                    }
                    service.armed = Mono::NEVER;
                    if service.watched {
                        self.reconsider(ix, turn);
                    }
                }
                Wake::Rules => self.run_rule_timers(turn),
                Wake::Snapshot => {
                    self.snapshot(turn);
                    self.timers.push(Reverse((turn.now + SNAPSHOT_SILENT, Wake::Snapshot)));
                }
            }
        }
    }

    /// Drops what lies on top and an earlier wake-up has taken the place of: after a burst of news, each moving
    /// a deadline forward a little, the engine would otherwise be woken for nothing as often again.
    pub(super) fn drop_stale_timers(&mut self) {
        while let Some(Reverse((at, Wake::Service(ix)))) = self.timers.peek()
            && self.services[ix.0 as usize].armed != *at
        {
            self.timers.pop();
        }
    }

    /// Arms the service's wake-up if it now wants one earlier than it has.
    pub(super) fn arm(&mut self, ix: ServiceIx) {
        let index = ix.0 as usize;
        let service = &self.services[index];
        let mut at = self.hearts[index].next_deadline().min(service.remedy.next_deadline());
        if service.settle_until > self.clock.now() {
            at = at.min(service.settle_until);
        }
        if service.flaps.next_deadline() > self.clock.now() {
            at = at.min(service.flaps.next_deadline());
        }
        at = at.min(service.stuck_at(self.clock.now()));
        if let Some(job) = &service.job {
            at = at.min(job.next_deadline());
        }
        if let Some(prove_at) = self.prove_deadline(index) {
            at = at.min(prove_at);
        }
        let service = &mut self.services[index];
        if at < service.armed {
            service.armed = at;
            self.timers.push(Reverse((at, Wake::Service(ix))));
        }
    }

    /// When the service's new process will have lived long enough to be proven.
    fn prove_deadline(&self, index: usize) -> Option<Mono> {
        let service = &self.services[index];
        let open = service.incident.as_ref()?;
        (service.unit.process != open.process)
            .then(|| service.unit.process_since + judge::prove_for(&service.spec))
            .filter(|at| *at > self.clock.now())
    }
}
