//! From the evidence to a state, and what that means for others.

use std::time::Duration;

use super::service::Service;
use super::{Engine, Turn};
use crate::detect;
use crate::effect::{Effect, Transition};
use crate::evidence::{BeatStatus, CheckOutcome};
use crate::model::{CheckKind, Reason, ServiceId, ServiceIx, State};
use crate::mutation::{Rule, on};
use crate::spec::{HeartbeatSpec, Mode, ServiceSpec};
use crate::time::Mono;
use crate::verdict::{HeartEvidence, UnitEvidence, Verdict, judge, judge_job};

/// How long a new process must live before a recovery counts, where the service has no `restart`.
const PROVE_FOR: Duration = Duration::from_secs(10);

pub(super) fn prove_for(spec: &ServiceSpec) -> Duration {
    spec.restart.as_ref().map_or(PROVE_FOR, |restart| restart.prove_for)
}

/// Until when a heart never heard keeps its fair chance. Where nothing else tells that the service exists,
/// nobody knows that it should beat: it stays `pending`.
pub(super) fn first_grace(spec: &ServiceSpec, now: Mono) -> Mono {
    if spec.unit.is_some() || !spec.checks.is_empty() { now + chance(spec) } else { Mono::NEVER }
}

/// How long a heart may take to its first beat: the time of a start, and never less than the silence that
/// would be held against one that beats.
pub(super) fn chance(spec: &ServiceSpec) -> Duration {
    let silence = spec.heartbeat.as_ref().map_or(Duration::ZERO, HeartbeatSpec::longest_silence);
    silence.max(spec.start_grace)
}

/// The chance that is left when earlier lives of lifesign listened in vain for `waited`. Each restart may have
/// missed a heartbeat, so all of them together give one and a half intervals more.
pub(super) fn chance_after(spec: &ServiceSpec, waited: Duration) -> Duration {
    let interval = spec.heartbeat.as_ref().map_or(Duration::ZERO, |heartbeat| heartbeat.interval);
    let whole = chance(spec);
    (whole + interval * 3 / 2).saturating_sub(waited).min(whole)
}

/// Whether somebody else than its heart can say how a service is.
pub(super) fn is_askable(spec: &ServiceSpec) -> bool {
    !spec.checks.is_empty()
}

/// What a check's result is worth when a silent heart is looked into.
pub(super) fn answer_of(kind: CheckKind, outcome: CheckOutcome) -> Option<detect::Answer> {
    match (outcome, kind) {
        (CheckOutcome::Unknown, _) => None,
        (CheckOutcome::Fail(_), _) => Some(detect::Answer::Against),
        // The application itself made this answer.
        (CheckOutcome::Pass, CheckKind::Http | CheckKind::Grpc | CheckKind::Command | CheckKind::Scrape) => {
            Some(detect::Answer::Works)
        }
        (
            CheckOutcome::Pass,
            CheckKind::Unit
            | CheckKind::Heartbeat
            | CheckKind::Tcp
            | CheckKind::Tls
            | CheckKind::Dns
            | CheckKind::Icmp
            | CheckKind::Process
            | CheckKind::Disk
            | CheckKind::Log,
        ) => Some(detect::Answer::Runs),
    }
}

/// How that which a service depends on stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dependencies {
    /// Enough of it works, or is not known to fail.
    Fine,
    /// Whether enough of it works is being looked into.
    Suspect,
    /// Too much of it fails.
    Down,
}

impl Engine {
    /// Judges a service anew and does what follows.
    pub(super) fn reconsider(&mut self, ix: ServiceIx, turn: &mut Turn<'_>) {
        let index = ix.0 as usize;
        if let Some(until) = self.clock.stalled_until {
            self.hearts[index].excuse(until);
        }
        let advance = self.hearts[index].advance(turn.now);
        if advance.ask && self.budget.take(turn.now) {
            turn.out.push(Effect::LookNow(self.services[index].spec.id.clone()));
        }
        self.watch_host(index, turn);
        self.watch_runs(index, turn);
        let verdict = self.verdict(index);
        self.apply(index, verdict, turn);
        self.tend_incident(index, turn);
        self.tend_remedy(index, verdict, turn);
        self.arm(ix);
    }

    pub(super) fn heart_evidence(&self, index: usize) -> HeartEvidence {
        let service = &self.services[index];
        let heart = self.hearts[index].evidence();
        let running = service.unit_evidence() == UnitEvidence::Running;
        match (service.beat_status, heart) {
            // An announced stop excuses silence; a unit that goes on running all the same is stuck in it.
            (BeatStatus::Stopping, HeartEvidence::Silent) if running => HeartEvidence::Silent,
            (BeatStatus::Stopping, _) => HeartEvidence::Stopping,
            (BeatStatus::Fail, HeartEvidence::Silent | HeartEvidence::Late) => heart,
            (BeatStatus::Fail, _) => HeartEvidence::Failing,
            (BeatStatus::Alive, HeartEvidence::Beating | HeartEvidence::Late) if self.is_stuck(index) => {
                HeartEvidence::Stuck
            }
            (BeatStatus::Alive, _) => heart,
        }
    }

    fn verdict(&self, index: usize) -> Verdict {
        let service = &self.services[index];
        if let Some(job) = &service.job {
            return judge_job(service.unit_evidence(), job.evidence(), service.probe_evidence());
        }
        let heart = self.heart_evidence(index);
        let verdict = judge(service.unit_evidence(), heart, service.probe_evidence());
        // We hear it and it does not hear us: half a link is no health.
        if verdict.state == Some(State::Up) && self.is_one_way(index) {
            return Verdict { state: Some(State::Degraded), reason: Some(Reason::CheckFailed) };
        }
        verdict
    }

    /// Whether the work that its heartbeats count stands still for too long.
    fn is_stuck(&self, index: usize) -> bool {
        let service = &self.services[index];
        service.progress.is_some_and(|(_, since)| service.is_stuck_since(since, self.clock.now()))
    }

    /// Whether a service in mutual mode says that it does not hear us.
    pub(super) fn is_one_way(&self, index: usize) -> bool {
        let service = &self.services[index];
        service.hears == Some(false)
            && self.heart_evidence(index) == HeartEvidence::Beating
            && service.spec.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.mode == Mode::Mutual)
    }

    /// The verdict in the light of what it depends on and where it runs.
    fn in_context(&self, index: usize, verdict: Verdict, now: Mono) -> Verdict {
        let service = &self.services[index];
        let with = |state, reason| Verdict { state: Some(state), reason: Some(reason) };
        match verdict.state {
            Some(State::Down) if verdict.reason == Some(Reason::StoppedByOperator) => verdict,
            Some(State::Down) => {
                let silent = matches!(verdict.reason, Some(Reason::MissedHeartbeat | Reason::Hung));
                // A host that was away explains silence, and not an end that was seen.
                let excused = service.excuse != Reason::HostUnreachable || silent;
                let unreachable = with(State::Unknown, Reason::HostUnreachable);
                if now < service.settle_until && excused {
                    match service.excuse {
                        Reason::HostUnreachable => unreachable,
                        excuse => with(State::Down, excuse),
                    }
                } else if silent && self.host_is_gone(service.host) {
                    unreachable
                } else {
                    match self.dependencies(index) {
                        Dependencies::Down => with(State::Down, Reason::DependencyDown),
                        // One more look at the cause before its effects are judged. A unit that has ended
                        // needs no other explanation.
                        Dependencies::Suspect
                            if !matches!(service.unit_evidence(), UnitEvidence::Stopped(_)) =>
                        {
                            with(State::Suspect, Reason::DependencyDown)
                        }
                        Dependencies::Suspect | Dependencies::Fine => verdict,
                    }
                }
            }
            Some(State::Unknown) if self.host_is_gone(service.host) => {
                with(State::Unknown, Reason::HostUnreachable)
            }
            Some(State::Pending | State::Up | State::Degraded | State::Suspect | State::Unknown) | None => {
                verdict
            }
        }
    }

    fn apply(&mut self, index: usize, verdict: Verdict, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let Verdict { state: Some(state), reason } = self.in_context(index, verdict, turn.now) else {
            return;
        };
        // A service that is not seen because its host is gone fails those that need it when it is silent too.
        let fails = verdict.state == Some(State::Down) && matches!(state, State::Down | State::Unknown);
        let failed = service.fails;
        if (state, reason) == (service.state, service.reason) {
            if fails != failed {
                self.services[index].fails = fails;
                let ix = self.services[index].ix;
                self.tell_dependents(ix, failed, turn);
            }
            return;
        }
        let detail = self.describe(index, state, reason, turn.now);
        let facts = self.facts_now(index, turn.now);
        let service = &mut self.services[index];
        let from = service.state;
        service.state = state;
        service.reason = reason;
        service.fails = fails;
        service.since = turn.wall;
        service.detail = detail.as_str().into();
        let ix = service.ix;
        turn.out.push(Effect::Transition(Transition {
            at: turn.wall,
            service: service.spec.id.clone(),
            from,
            to: state,
            reason,
            detail: detail.clone(),
            facts,
        }));
        if from != state {
            self.count(from, -1);
            self.count(state, 1);
        }
        let reason_words = reason.map_or(String::new(), |reason| format!(" ({reason})"));
        self.note(ix, "state", format!("{from} → {state}{reason_words}: {detail}"), turn);
        self.remember(ix, turn);
        if state == State::Suspect && self.hearts[index].inquiry().is_none() && self.budget.take(turn.now) {
            // Nothing may shorten its time, but whoever looks should see the present.
            turn.out.push(Effect::LookNow(self.services[index].spec.id.clone()));
        }
        let host = self.services[index].host;
        // A host that has returned still explains those that are not heard again yet; it is no news.
        if reason == Some(Reason::HostUnreachable)
            && fails
            && (self.host_is_gone(host) || !on(Rule::BlameGone))
        {
            self.blame_host(host, turn);
        }
        if fails != failed || (from == State::Suspect) != (state == State::Suspect) {
            self.tell_dependents(ix, failed, turn);
        }
    }

    /// How that which this service depends on, directly or not, stands.
    fn dependencies(&self, index: usize) -> Dependencies {
        let mut worst = Dependencies::Fine;
        let mut open: Vec<usize> = vec![index];
        let mut seen = vec![index];
        while let Some(at) = open.pop() {
            for dependency in self.services[at].spec.depends_on.iter().filter(|_| on(Rule::Dependency)) {
                let known: Vec<usize> =
                    dependency.of.iter().filter_map(|parent| self.find(parent.as_str())).collect();
                let count =
                    |is: fn(&Service) -> bool| known.iter().filter(|at| is(&self.services[**at])).count();
                let down = count(|parent| parent.fails);
                let suspect = count(|parent| !parent.fails && parent.state == State::Suspect);
                // Services that are not watched are taken to work.
                let need =
                    if on(Rule::DependencyNeed) { dependency.need as usize } else { dependency.of.len() };
                if dependency.of.len() - down < need {
                    return Dependencies::Down;
                }
                if dependency.of.len() - down - suspect < need {
                    worst = Dependencies::Suspect;
                }
                for parent in known {
                    if !seen.contains(&parent) {
                        seen.push(parent);
                        open.push(parent);
                    }
                }
            }
        }
        worst
    }

    /// The first service in the way: down, and depended on.
    pub(super) fn dependency_in_the_way(&self, index: usize) -> Option<&ServiceId> {
        let mut open: Vec<usize> = vec![index];
        let mut seen = vec![index];
        while let Some(at) = open.pop() {
            for id in self.services[at].spec.depends_on.iter().flat_map(|dependency| &dependency.of) {
                let Some(parent) = self.find(id.as_str()) else { continue };
                if self.services[parent].fails || self.services[parent].state == State::Suspect {
                    return Some(id);
                }
                if !seen.contains(&parent) {
                    seen.push(parent);
                    open.push(parent);
                }
            }
        }
        None
    }

    /// Whether too much of what `child` depends on failed while this service did.
    fn was_in_the_way(&mut self, ix: ServiceIx, child: ServiceIx) -> bool {
        let index = ix.0 as usize;
        let fails = std::mem::replace(&mut self.services[index].fails, true);
        let blocked = self.dependencies(child.0 as usize) == Dependencies::Down;
        self.services[index].fails = fails;
        blocked
    }

    /// What this service is to those that need it has changed. `failed`: what it was.
    fn tell_dependents(&mut self, ix: ServiceIx, failed: bool, turn: &mut Turn<'_>) {
        // All that depend on it, directly or not: a service in between may be well and change nothing itself.
        let mut below = self.dependents.get(&ix).cloned().unwrap_or_default();
        let mut at = 0;
        while let Some(child) = below.get(at).copied() {
            for further in self.dependents.get(&child).into_iter().flatten() {
                if *further != ix && !below.contains(further) {
                    below.push(*further);
                }
            }
            at += 1;
        }
        for child in below {
            let service = &self.services[child.0 as usize];
            let explained = (service.state, service.reason) == (State::Down, Some(Reason::DependencyDown));
            // A suspicion that passes is no return, and must not put the truth off again and again.
            if failed && explained && self.was_in_the_way(ix, child) {
                let service = &mut self.services[child.0 as usize];
                // It gets the time of a start to find its dependency again.
                service.settle_until = turn.now + service.spec.start_grace;
                service.excuse = Reason::DependencyDown;
            }
            self.reconsider(child, turn);
        }
    }
}
