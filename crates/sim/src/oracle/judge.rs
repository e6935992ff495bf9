//! What the engine is told, what it says, and whether that is true.

use std::time::Duration;

use lifesign_core::effect::{Action, Effect, Incident, Transition};
use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::input::{Input, Order};
use lifesign_core::model::{Reason, State};
use lifesign_core::spec::Mode;
use lifesign_core::time::Wall;

use super::bounds::{self, SLACK};
use super::{Oracle, Rule, bump, service_of};
use crate::world::plan::{HostKind, Plan, Trouble};
use crate::world::truth::Truth;

/// How long a restart may stay unanswered.
const ACTING: Duration = Duration::from_secs(245);
/// When it counts as failed.
const UNANSWERED: Duration = Duration::from_secs(240);
/// A service with this many incidents within the time below may be flapping, and its incident stay open.
const FLAPS: usize = 4;
const FLAPPING: Duration = Duration::from_secs(2 * 3600);
/// So many hearts must fall silent for a host to be called gone.
const FEWEST: usize = 3;

impl Oracle {
    /// The engine is about to take an input.
    pub fn given(&mut self, plan: &Plan, input: &Input, run: Duration, wall: Wall) {
        match input {
            Input::Beat(beat) => self.heard(beat, beat.age, run, wall),
            Input::Late { age, input } => {
                if let Input::Beat(beat) = &**input {
                    self.heard(beat, *age, run, wall);
                }
            }
            Input::Unit { service, report } => {
                let Some(service) = service_of(service.as_str()) else { return };
                if self.watches[service].evidence.unit(&report.state, run) {
                    self.begins_anew(service, run);
                }
            }
            Input::Check { service, check, report } => {
                let Some(service) = service_of(service.as_str()) else { return };
                self.answered(&plan.spec.services[service], service, *check, report.outcome, run);
            }
            Input::ActionDone(report) => {
                let Some(service) = service_of(report.service.as_str()) else { return };
                self.watches[service].acting = None;
                self.watches[service].excuse(run);
                self.watches[service].well = self.watches[service].well.max(run);
                let order = self.watches[service].order.take_if(|(id, _)| *id == report.id);
                if let Some((_, since)) = order
                    && run < since + UNANSWERED
                    && let Ok(Some(process)) = &report.result
                    && self.watches[service].evidence.restarted(process.pid, run)
                {
                    self.begins_anew(service, run);
                }
            }
            Input::Order { order: Order::Pause(id), .. } => {
                if let Some(service) = service_of(id.as_str()) {
                    self.watches[service].paused = true;
                }
            }
            Input::Order { order: Order::Resume(id), .. } => {
                if let Some(service) = service_of(id.as_str()) {
                    let watch = &mut self.watches[service];
                    watch.paused = false;
                    watch.excuse(run);
                }
            }
            Input::Link { host, connected } => {
                if let Some(at) = plan.hosts.iter().position(|known| known.name == *host) {
                    self.lost[at] = !connected;
                }
                for (service, spec) in plan.spec.services.iter().enumerate() {
                    if spec.host == *host {
                        let watch = &mut self.watches[service];
                        watch.quiet = watch.quiet.max(run);
                        watch.well = watch.well.max(run);
                    }
                }
            }
            _ => {}
        }
    }

    /// Another process was seen, or the first in this life of lifesign.
    fn begins_anew(&mut self, service: usize, run: Duration) {
        let watch = &mut self.watches[service];
        watch.well = watch.well.max(run);
        watch.quiet = watch.quiet.max(run);
        // One that an earlier life listened to already has had its chance then.
        if watch.evidence.is_new || watch.evidence.process != watch.listened_to {
            watch.beats = 0;
            watch.fresh = false;
            watch.failing = None;
            watch.progress = (run, None);
            watch.hush = watch.hush.max(run);
        }
    }

    fn heard(&mut self, beat: &Beat, age: Duration, run: Duration, wall: Wall) {
        let Some(service) = service_of(beat.service.as_str()) else { return };
        let watch = &mut self.watches[service];
        let arrived = run.saturating_sub(age);
        if watch.beat.is_some_and(|last| arrived < last) {
            return;
        }
        watch.beat = Some(arrived);
        watch.last_beat = watch.last_beat.max(arrived);
        watch.heard_at = Some(wall.back(age));
        watch.answered = None;
        watch.interval = beat.interval;
        watch.beats += 1;
        watch.fresh |= age.is_zero();
        watch.announced_stop = beat.status == BeatStatus::Stopping;
        match beat.status {
            BeatStatus::Fail => {
                watch.failing.get_or_insert(run);
            }
            BeatStatus::Alive | BeatStatus::Stopping => watch.failing = None,
        }
        if beat.progress.is_some() && beat.progress != watch.progress.1 {
            watch.progress = (run, beat.progress);
        }
    }

    /// The engine asks for something.
    pub fn asked(&mut self, plan: &Plan, truth: &Truth, effects: &[Effect], run: Duration) {
        for effect in effects {
            match effect {
                Effect::Transition(transition) => self.transition(plan, truth, transition, run),
                Effect::Incident(incident) => self.incident(plan, truth, incident, run),
                Effect::Timeline { incident, entry } if entry.what.as_ref() == "flapping_ended" => {
                    self.flapping_ended(incident.0);
                }
                Effect::Act(action) => self.act(action, run),
                Effect::Remember(memory) => {
                    if let Some(service) = service_of(memory.service.as_str()) {
                        self.watches[service].known |= memory.last_heartbeat_at.is_some();
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether something in the world is to blame for what is said of a service.
    fn has_cause(&self, plan: &Plan, service: usize, run: Duration) -> bool {
        let watch = &self.watches[service];
        watch.troubled || run <= watch.cause + bounds::aftermath(&plan.spec.services[service])
    }

    fn transition(&mut self, plan: &Plan, truth: &Truth, transition: &Transition, run: Duration) {
        let Some(service) = service_of(transition.service.as_str()) else { return };
        let spec = &plan.spec.services[service];
        let (from, to, reason) = (transition.from, transition.to, transition.reason);
        if self.adopting {
            return;
        }
        let watch = self.watches[service].clone();
        if from != watch.state || (from == to && reason == watch.reason) {
            self.violate(
                Rule::Counts,
                format!("{} goes from {from} to {to}, and was {}", spec.id, watch.state),
            );
        }
        let one_way = spec.heartbeat.as_ref().is_some_and(|heart| heart.mode == Mode::Mutual);
        if to == State::Down && reason == Some(Reason::HostUnreachable) {
            // Nobody sees it, so nobody knows.
            self.violate(Rule::False, format!("{} is called down because its host is gone", spec.id));
        }
        let judged = to == State::Down || (to == State::Degraded && !one_way);
        if judged && !self.has_cause(plan, service, run) {
            self.violate(
                Rule::False,
                format!(
                    "{} is called {to} ({reason:?}) and nothing is wrong: {}",
                    spec.id, transition.detail
                ),
            );
        }
        let stop_known = watch.stop.is_some_and(|stop| {
            truth.services[service].trouble == Some(Trouble::Stopped) || run <= stop + bounds::aftermath(spec)
        });
        if to == State::Down && reason == Some(Reason::StoppedByOperator) && !stop_known {
            self.violate(Rule::False, format!("{} is called stopped, and nobody stopped it", spec.id));
        }
        self.check_early(plan, service, transition, run);
        self.check_evidence(plan, service, transition, run);
        for (child, spec) in plan.spec.services.iter().enumerate() {
            if !spec.depends_on.is_empty() && self.is_excused_by_dependency(plan, child, true) {
                let until = run + spec.start_grace;
                self.watches[child].excuse(until);
            }
        }
        bump(&mut self.counts, from, -1);
        bump(&mut self.counts, to, 1);
        let watch = &mut self.watches[service];
        watch.state = to;
        watch.reason = reason;
        watch.since = run;
    }

    fn incident(&mut self, plan: &Plan, truth: &Truth, incident: &Incident, run: Duration) {
        let id = incident.service_id.as_str();
        let Some(service) = service_of(id) else {
            return self.group_incident(plan, truth, incident, run);
        };
        let spec = &plan.spec.services[service];
        if self.adopting {
            return;
        }
        if incident.closed_at.is_some() {
            self.check_proof(plan, service, incident.id.0, run);
            self.watches[service].incident = None;
            return;
        }
        if self.watches[service].incident == Some(incident.id.0) {
            return; // It was acknowledged.
        }
        let watch = &self.watches[service];
        let allowed = match (watch.state, watch.reason) {
            (State::Down, Some(Reason::StoppedByOperator | Reason::DependencyDown)) => false,
            (State::Down, _) => true,
            (State::Degraded, _) => spec.alert_on_degraded,
            _ => false,
        };
        if !allowed || watch.paused {
            let text = format!(
                "{id} gets an incident while it is {} ({:?}){}",
                watch.state,
                watch.reason,
                if watch.paused { " and paused" } else { "" }
            );
            self.violate(Rule::False, text);
        }
        let one_way = spec.heartbeat.as_ref().is_some_and(|heart| heart.mode == Mode::Mutual);
        let degraded = self.watches[service].state == State::Degraded;
        if !(self.has_cause(plan, service, run) || degraded && one_way) {
            self.violate(Rule::False, format!("{id} gets an incident, and nothing is wrong"));
        }
        if self.watches[service].state == State::Down && self.is_excused_by_dependency(plan, service, false) {
            self.violate(Rule::False, format!("{id} gets an incident although what it needs is down"));
        }
        if self.watches[service].announced_stop && spec.unit.is_none() {
            self.violate(Rule::False, format!("{id} gets an incident although it announced its stop"));
        }
        let watch = &mut self.watches[service];
        watch.incident = Some(incident.id.0);
        watch.process_at_open = watch.evidence.process;
        watch.opened.push(run);
    }

    fn group_incident(&mut self, plan: &Plan, truth: &Truth, incident: &Incident, run: Duration) {
        let id = incident.service_id.as_str();
        self.groups.retain(|(known, _)| known != id);
        if incident.closed_at.is_some() {
            // Its services are heard again one by one.
            for (service, spec) in plan.spec.services.iter().enumerate() {
                if id == "network" || id.strip_prefix("host.") == Some(&spec.host) {
                    let until = run + bounds::chance(spec);
                    self.watches[service].excuse(until);
                }
            }
            return;
        }
        let blamed = |host: usize| {
            // The news that a link is given up may come when the agent is back already.
            let lost = plan.hosts[host].kind == HostKind::Remote
                && (!truth.hosts[host].linked
                    || self.away[host].is_some_and(|away| run <= away + bounds::NEWS + SLACK));
            let silent = (0..plan.services.len())
                .filter(|service| plan.services[*service].host == host)
                .filter(|service| plan.spec.services[*service].heartbeat.is_some())
                .filter(|service| self.has_cause(plan, *service, run))
                .count();
            lost || silent >= FEWEST
        };
        let hosts = (0..plan.hosts.len())
            .filter(|host| id == "network" || id.strip_prefix("host.") == Some(&plan.hosts[*host].name))
            .filter(|host| blamed(*host))
            .count();
        let needed = if id == "network" { 2 } else { 1 };
        if hosts < needed && !self.adopting {
            self.violate(Rule::False, format!("{id} gets an incident, and nothing is wrong with it"));
        }
        self.groups.push((id.to_owned(), incident.id.0));
    }

    fn act(&mut self, action: &Action, run: Duration) {
        let Some(service) = service_of(action.service.as_str()) else { return };
        let watch = &mut self.watches[service];
        watch.acting = Some(run);
        watch.order = Some((action.id.clone(), run));
        watch.well = watch.well.max(run);
        let (state, reason, paused) = (watch.state, watch.reason, watch.paused);
        let wanted = state == State::Down
            && !matches!(reason, Some(Reason::StoppedByOperator | Reason::DependencyDown));
        let by_rule = action.by.starts_with("rule ");
        let by_hand = action.by.as_ref() == "anna";
        if paused || !(wanted || by_rule || by_hand) {
            let text = format!(
                "{} is restarted by {} while it is {state} ({reason:?}){}",
                action.service,
                action.by,
                if paused { " and paused" } else { "" }
            );
            self.violate(Rule::Restart, text);
        }
    }

    /// Whether so much of what a service needs is down (or suspect or out of sight, where that counts) that it is
    /// to blame, directly or not.
    fn is_excused_by_dependency(&self, plan: &Plan, service: usize, suspect: bool) -> bool {
        let mut open = vec![service];
        let mut seen = vec![false; plan.services.len()];
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            for dependency in &plan.spec.services[at].depends_on {
                let parents: Vec<usize> =
                    dependency.of.iter().filter_map(|id| service_of(id.as_str())).collect();
                let works = |parent: &&usize| {
                    let watch = &self.watches[**parent];
                    // Silent on a host that is gone, it may be what keeps others from working.
                    let gone = watch.reason == Some(Reason::HostUnreachable);
                    watch.state != State::Down && !(suspect && (watch.state == State::Suspect || gone))
                };
                if parents.iter().filter(works).count() < dependency.need as usize {
                    return true;
                }
                open.extend(parents);
            }
        }
        false
    }

    /// Looks at everything: who should be noticed, who should be well, who should have been told.
    pub fn scan(&mut self, plan: &Plan, truth: &Truth, run: Duration) {
        if self.adopting {
            return;
        }
        for host in 0..plan.hosts.len() {
            if truth.is_unreachable(plan, host) {
                self.away[host] = Some(run);
            }
        }
        for service in 0..plan.services.len() {
            self.scan_excuses(plan, truth, service, run);
            self.scan_missed(plan, truth, service, run);
            self.scan_recovery(plan, service, run);
            self.scan_lost(plan, service);
        }
        if let Some(text) = self.books.overdue(run) {
            self.violate(Rule::Books, text);
        }
    }

    /// What excuses that a trouble is not noticed, or that health is not seen, moves the bounds.
    fn scan_excuses(&mut self, plan: &Plan, truth: &Truth, service: usize, run: Duration) {
        let spec = &plan.spec.services[service];
        let host = plan.services[service].host;
        let by_dependency = self.is_excused_by_dependency(plan, service, true);
        let by_group = self.is_group_open(&plan.hosts[host].name);
        let unreachable = truth.is_unreachable(plan, host)
            || (plan.hosts[host].kind == HostKind::Remote && !truth.hosts[host].linked);
        let starting = truth.services[service].starting || truth.services[service].restarting;
        let watch = &mut self.watches[service];
        if watch.acting.is_some_and(|since| run > since + ACTING) {
            watch.acting = None;
        }
        if by_dependency {
            watch.excuse(run + spec.start_grace);
        }
        if by_group || unreachable {
            watch.excuse(run + bounds::chance(spec));
        }
        if watch.reason == Some(Reason::HostUnreachable) {
            // A host may have been called gone and come back before anybody was told of it: whoever was late
            // then has one more chance, counted from the moment at which it was called unreachable.
            watch.excuse(watch.since + bounds::chance(spec));
        }
        if starting || watch.acting.is_some() || watch.paused || watch.incident.is_some() {
            watch.excuse(run);
        }
        if truth.services[service].trouble == Some(Trouble::Stopped) {
            watch.stop = Some(run);
        }
        if unreachable && watch.stop.is_some_and(|stop| run <= stop + bounds::aftermath(spec)) {
            // The news of the stop may wait with the host.
            watch.stop = Some(run);
        }
        if watch.troubled || unreachable || watch.acting.is_some() {
            watch.well = watch.well.max(run);
            if watch.troubled {
                watch.cause = watch.cause.max(run);
            }
        }
    }

    fn scan_missed(&mut self, plan: &Plan, truth: &Truth, service: usize, run: Duration) {
        let spec = &plan.spec.services[service];
        let watch = &self.watches[service];
        let Some(trouble) = truth.services[service].trouble else { return };
        let unasked = watch.announced_stop && spec.unit.is_none();
        if watch.incident.is_some() || watch.paused || unasked {
            return;
        }
        let due = bounds::must_be_noticed(spec, watch, trouble, self.stalled, &self.lives);
        // While its unit was last seen between two states nobody is judged, and that it is over is news too.
        let news = if watch.evidence.is_changing() { bounds::NEWS } else { Duration::ZERO };
        let due = due.map(|due| due + news);
        if due.is_some_and(|due| run > due) {
            let text = format!(
                "{} is {trouble:?} for {:?} and has no incident; it is called {} ({:?})",
                spec.id,
                run.saturating_sub(watch.bad_since),
                watch.state,
                watch.reason
            );
            self.violate(Rule::Missed, text);
        }
    }

    fn scan_recovery(&mut self, plan: &Plan, service: usize, run: Duration) {
        let spec = &plan.spec.services[service];
        let watch = &self.watches[service];
        if watch.troubled || run <= watch.well + bounds::recovery(spec) + SLACK {
            return;
        }
        let flapping = watch.opened.iter().filter(|at| **at + FLAPPING > run).count() >= FLAPS;
        let one_way = spec.heartbeat.as_ref().is_some_and(|heart| heart.mode == Mode::Mutual);
        // A learned heart may be suspected for a moment, at any time: only a suspicion that stays is none.
        let moment = watch.state == State::Suspect && run <= watch.since + bounds::chance(spec) + SLACK;
        let up = watch.state == State::Up || moment || (one_way && watch.state == State::Degraded);
        if !up || (watch.incident.is_some() && !flapping && watch.state == State::Up) {
            let text = format!(
                "{} is well for {:?} and is called {} ({:?}), incident {:?}",
                spec.id,
                run.saturating_sub(watch.well),
                watch.state,
                watch.reason,
                watch.incident
            );
            self.violate(Rule::Recovery, text);
        }
    }
}
