//! The agent of a host: tells of units, runs probes on their turns and when asked, and restarts.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{
    CheckOutcome, CheckReport, Exit, FailKind, Phases, Process, UnitReport, UnitState,
};
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::model::CheckKind;

use super::plan::{End, HostKind, Trouble};
use super::{Event, SECOND, World};
use crate::fault::Fault;

impl World {
    /// Whoever runs a service's probes tells what was found.
    pub(super) fn tell(&mut self, service: usize, input: Input) {
        let host = self.plan.services[service].host;
        match self.plan.hosts[host].kind {
            HostKind::Remote => self.link(host, input),
            HostKind::Local | HostKind::Bare => self.arrive(input, true),
        }
    }

    /// Whether lifesign itself runs the probes of a host, and does not run now.
    fn is_probing_stalled(&self, service: usize) -> bool {
        let host = self.plan.services[service].host;
        self.plan.hosts[host].kind != HostKind::Remote && !self.observer.is_running()
    }

    pub(super) fn check_turn(&mut self, service: usize, check: u16) {
        let interval = self.plan.spec.services[service].checks[usize::from(check)].interval;
        self.after(interval, Event::CheckTurn(service, check));
        if !self.is_probing_stalled(service) {
            self.probe(service, check);
        }
    }

    fn probe(&mut self, service: usize, check: u16) {
        let outcome = self.outcome(service, check);
        let plan = &self.plan.services[service];
        let wait = match outcome {
            CheckOutcome::Fail(FailKind::Timeout) => plan.check_timeout,
            _ => plan.answer,
        };
        let report =
            CheckReport { outcome, output: String::new(), phases: Phases::default(), components: Vec::new() };
        let input = Input::Check { service: plan.id.clone(), check, report };
        self.after(wait, Event::CheckDone(service, input));
    }

    fn outcome(&mut self, service: usize, check: u16) -> CheckOutcome {
        let host = self.plan.services[service].host;
        let kind = self.plan.spec.services[service].checks[usize::from(check)].kind;
        let state = &self.truth.hosts[host];
        let timed_out = CheckOutcome::Fail(FailKind::Timeout);
        if self.plan.hosts[host].kind == HostKind::Bare {
            if state.cut || state.paused {
                return timed_out;
            }
            // A connection sends what was lost again; it fails only when all of it is lost.
            let loss = self.plan.hosts[host].loss.powi(3);
            if self.truth.services[service].chance.happens(loss) {
                self.oracle.harmed(service, self.observer.run);
                return timed_out;
            }
        }
        let truth = &self.truth.services[service];
        match truth.trouble {
            _ if truth.starting || truth.restarting => CheckOutcome::Fail(FailKind::Refused),
            Some(Trouble::Gone(_) | Trouble::Stopped) => CheckOutcome::Fail(FailKind::Refused),
            // The system accepts connections for a process that stands still.
            Some(Trouble::Hung) if kind == CheckKind::Tcp => CheckOutcome::Pass,
            Some(Trouble::Hung) => timed_out,
            Some(Trouble::Lying) if kind == CheckKind::Tcp => CheckOutcome::Fail(FailKind::Refused),
            Some(Trouble::Lying) => CheckOutcome::Fail(FailKind::Wrong),
            Some(Trouble::Stuck | Trouble::Failing | Trouble::Mute) | None => CheckOutcome::Pass,
        }
    }

    /// The agent looks at a service's unit and probes.
    pub(super) fn look(&mut self, service: usize) {
        if self.is_probing_stalled(service) {
            return;
        }
        if self.plan.spec.services[service].unit.is_some() {
            self.tell_unit(service);
        }
        for check in 0..self.plan.spec.services[service].checks.len() {
            self.probe(service, u16::try_from(check).unwrap_or(0));
        }
    }

    /// It looks at everything: after a start, and after a link came back.
    pub(super) fn look_at_all(&mut self, host: usize) {
        for service in 0..self.plan.services.len() {
            if self.plan.services[service].host == host {
                self.look(service);
            }
        }
    }

    /// Something happened to a unit.
    pub(super) fn tell_unit_soon(&mut self, service: usize) {
        if self.plan.spec.services[service].unit.is_none() {
            return;
        }
        let chance = &mut self.truth.services[service].chance;
        let wait = if self.plan.faults.has(Fault::LateUnit) {
            chance.scale(SECOND / 100, 10 * SECOND)
        } else {
            chance.time(SECOND / 1000, SECOND / 20)
        };
        self.after(wait, Event::TellUnit(service));
    }

    pub(super) fn tell_unit(&mut self, service: usize) {
        let host = self.plan.services[service].host;
        if self.plan.hosts[host].kind == HostKind::Local && !self.observer.is_up() {
            // Nobody is there to see it; the look at the next start will.
            return;
        }
        let report = self.truth.services[service].unit(self.plan.services[service].tells_start);
        let id = self.plan.services[service].id.clone();
        self.tell(service, Input::Unit { service: id, report });
    }

    /// A restart was ordered and is written down.
    pub(super) fn act(&mut self, service: usize, id: Arc<str>) {
        self.figures.actions += 1;
        self.truth.services[service].ordered_in = self.observer.life();
        let host = self.plan.services[service].host;
        let reached = match self.plan.hosts[host].kind {
            HostKind::Local => true,
            HostKind::Remote => self.truth.hosts[host].linked && !self.truth.hosts[host].cut,
            HostKind::Bare => false,
        };
        if reached {
            let wait = self.chance.time(SECOND / 100, SECOND);
            self.after(wait, Event::RestartStops(service, id));
        }
    }

    pub(super) fn restart_stops(&mut self, service: usize, id: Arc<str>) {
        let host = self.plan.services[service].host;
        if self.plan.hosts[host].kind == HostKind::Local && !self.observer.is_up() {
            return;
        }
        let bad = self.plan.faults.has(Fault::BadRestart);
        let truth = &mut self.truth.services[service];
        if truth.restarting {
            return;
        }
        if bad && truth.chance.happens(0.15) {
            self.log(|| format!("s{service}: the restart fails"));
            let result = Err("the manager says no".to_owned());
            let report =
                ActionReport { id, service: self.plan.services[service].id.clone(), result, refused: false };
            return self.tell(service, Input::ActionDone(report));
        }
        let ran = !matches!(truth.trouble, Some(Trouble::Gone(_) | Trouble::Stopped));
        truth.restarting = true;
        truth.trouble = None;
        truth.starting = false;
        truth.epoch += 1;
        let takes = truth.chance.scale(SECOND / 20, 8 * SECOND);
        let told = ran && truth.chance.happens(0.7);
        self.log(|| format!("s{service} is being restarted"));
        self.oracle.truth_changed(&self.plan, &self.truth, service, self.observer.run);
        if told && self.truth.services[service].chance.happens(0.3) {
            // The news of the stop comes when the restart is over already.
            let late = takes + self.truth.services[service].chance.time(Duration::ZERO, SECOND * 5 / 2);
            self.after(late, Event::Echo(service));
        } else if told {
            self.tell_stop(service);
        }
        self.after(takes, Event::RestartStarts(service, id));
    }

    /// A late echo of a restart's own stop, as far as its agent still runs to tell it to whoever ordered it.
    pub(super) fn echo(&mut self, service: usize) {
        let host = self.plan.services[service].host;
        if self.truth.services[service].ordered_in == self.observer.life() && !self.truth.hosts[host].paused {
            self.tell_stop(service);
            // That of its start comes after it.
            self.tell_unit_soon(service);
        }
    }

    fn tell_stop(&mut self, service: usize) {
        let state = UnitState::Stopped { ordered: true, exit: Exit::Signal(15) };
        let report = UnitReport::new(state, "");
        self.tell(service, Input::Unit { service: self.plan.services[service].id.clone(), report });
    }

    pub(super) fn restart_starts(&mut self, service: usize, id: Arc<str>) {
        self.start(service);
        let bad = self.plan.faults.has(Fault::BadRestart);
        let truth = &mut self.truth.services[service];
        let unanswered = bad && truth.chance.happens(0.1);
        let relapse = (bad && truth.chance.happens(0.3)).then(|| {
            let wait = truth.chance.scale(SECOND / 10, 30 * SECOND);
            (wait, truth.chance.one_of(&[Trouble::Gone(End::Crash), Trouble::Hung]))
        });
        let (epoch, pid) = (truth.epoch, truth.pid);
        if let Some((wait, trouble)) = relapse {
            self.after(wait, Event::Relapse(service, epoch, trouble));
        }
        if unanswered {
            return;
        }
        let process = Process { pid, started: u64::from(pid) };
        let service_id = self.plan.services[service].id.clone();
        let report = ActionReport { id, service: service_id, result: Ok(Some(process)), refused: false };
        self.after(Duration::from_millis(5), Event::CheckDone(service, Input::ActionDone(report)));
    }
}
