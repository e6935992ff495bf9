//! How messages travel: heartbeats over a network that loses, delays and doubles them; an agent's news over a
//! link that keeps their order, and waits with its agent while there is no way.

use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::input::Input;

use super::plan::HostKind;
use super::{Event, SECOND, World};

/// How long the watcher of a link waits for a sign of its agent.
const GIVE_UP: Duration = Duration::from_secs(12);
/// Most messages an agent keeps for later.
const SPOOL: usize = 500;

impl World {
    /// A beat leaves its sender; `tries`: how often it may be sent again.
    pub(super) fn transmit(&mut self, service: usize, beat: Beat, tries: u32) {
        let host = self.plan.services[service].host;
        let plan = &self.plan.hosts[host];
        match plan.kind {
            HostKind::Local => {
                if self.observer.hears(false) {
                    self.truth.services[service].heard = true;
                    self.arrive(Input::Beat(beat), false);
                } else {
                    self.not_taken(service, beat, tries);
                }
                return;
            }
            // Every other service hands its beats to the agent of its host.
            HostKind::Remote if service % 2 == 1 => return self.link(host, Input::Beat(beat)),
            HostKind::Remote | HostKind::Bare => {}
        }
        let (loss, mean, duplicate) = (plan.loss, plan.delay, plan.duplicate);
        let cut = self.truth.hosts[host].cut;
        let chance = &mut self.truth.services[service].chance;
        if cut || chance.happens(loss) {
            self.oracle.harmed(service, self.observer.run);
            return self.not_taken(service, beat, tries);
        }
        if !self.observer.hears(false) {
            return self.not_taken(service, beat, tries);
        }
        let chance = &mut self.truth.services[service].chance;
        let mut delay = chance.time(SECOND / 5000, SECOND / 50);
        if !mean.is_zero() && chance.happens(0.1) {
            delay += chance.exponential(mean);
            self.oracle.harmed_until(service, self.observer.run + delay);
        }
        let again = chance.happens(duplicate).then(|| delay + chance.exponential(SECOND));
        self.truth.services[service].heard = true;
        if let Some(again) = again {
            if beat.interval.is_some() {
                // An old beat that comes again announces an interval that is over.
                self.oracle.harmed_until(service, self.observer.run + again);
            }
            self.after(again, Event::Arrive(Input::Beat(beat.clone()), false));
        }
        self.after(delay, Event::Arrive(Input::Beat(beat), false));
    }

    fn not_taken(&mut self, service: usize, beat: Beat, tries: u32) {
        let truth = &mut self.truth.services[service];
        truth.heard = false;
        // A sender that backs off begins anew.
        truth.step = 0;
        if tries > 0 && beat.status == BeatStatus::Alive {
            let wait = self.truth.services[service].chance.time(SECOND / 5, SECOND / 2);
            self.after(wait, Event::Resend(service, beat, tries - 1));
        } else if self.plan.services[service].spools {
            self.link(self.plan.services[service].host, Input::Beat(beat));
        }
    }

    /// The agent of a remote host tells something.
    pub(super) fn link(&mut self, host: usize, input: Input) {
        let state = &mut self.truth.hosts[host];
        if !state.linked || state.cut {
            if state.spool.len() < SPOOL {
                state.spool.push((self.now, input));
            }
            return;
        }
        let delay = self.chance.time(SECOND / 1000, SECOND / 50);
        let at = (self.now + delay).max(state.link_busy);
        state.link_busy = at;
        self.at(at, Event::Arrive(input, true));
    }

    /// A host stands still, is cut off, or lifesign is gone: the link ends.
    pub(super) fn unreachable(&mut self, host: usize) {
        if self.plan.hosts[host].kind != HostKind::Remote {
            return;
        }
        let state = &mut self.truth.hosts[host];
        state.epoch += 1;
        let epoch = state.epoch;
        let wait = self.chance.time(GIVE_UP / 2, GIVE_UP);
        self.after(wait, Event::GiveUp(host, epoch));
    }

    /// It can be reached again, if nothing else is in the way.
    pub(super) fn reachable(&mut self, host: usize) {
        let state = &mut self.truth.hosts[host];
        if self.plan.hosts[host].kind != HostKind::Remote || state.paused || state.cut {
            return;
        }
        state.epoch += 1;
        let epoch = state.epoch;
        let wait = self.chance.time(SECOND / 100, 2 * SECOND);
        self.after(wait, Event::Connect(host, epoch));
    }

    /// Whoever watches the link of a host gives it up.
    pub(super) fn give_up(&mut self, host: usize, epoch: u32) {
        if self.truth.hosts[host].epoch != epoch || !self.observer.is_up() {
            return;
        }
        if !self.observer.is_running() {
            // Its own watcher did not run either, and begins its time anew.
            return self.after(GIVE_UP, Event::GiveUp(host, epoch));
        }
        self.truth.hosts[host].linked = false;
        let name = self.plan.hosts[host].name.clone();
        self.arrive(Input::Link { host: name, connected: false }, true);
    }

    /// An agent connects: what waited is told as late, then how everything is now.
    pub(super) fn connect(&mut self, host: usize, epoch: u32) {
        if self.truth.hosts[host].epoch != epoch {
            return;
        }
        if !self.observer.is_running() {
            return self.after(SECOND, Event::Connect(host, epoch));
        }
        self.truth.hosts[host].linked = true;
        let name = self.plan.hosts[host].name.clone();
        self.link(host, Input::Link { host: name, connected: true });
        for (since, input) in std::mem::take(&mut self.truth.hosts[host].spool) {
            let age = self.now.since(since);
            // As the real link does: what an order came to is wanted however late it comes.
            let late = !matches!(input, Input::ActionDone(_));
            self.link(host, if late { Input::Late { age, input: Box::new(input) } } else { input });
        }
        self.look_at_all(host);
    }
}
