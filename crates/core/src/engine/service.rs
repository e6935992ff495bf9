//! One service inside the engine: its specification, its evidence, and what was made of it.

use std::sync::Arc;
use std::time::Duration;

use super::hosts::HostIx;
use super::rare::Rare;
use crate::check::CheckRun;
use crate::effect::{Incident, Memory, TimelineEntry};
use crate::evidence::{BeatStatus, Component, Exit, FailKind, Process, UnitFacts, UnitReport, UnitState};
use crate::flap::Flaps;
use crate::job::{Job, JobMemory};
use crate::last_words::LastWords;
use crate::model::{Reason, ServiceIx, State};
use crate::mutation::{Rule, on};
use crate::remedy::Remedy;
use crate::spec::ServiceSpec;
use crate::time::{Mono, Wall};
use crate::verdict::{ProbeEvidence, UnitEvidence};

/// Most timeline entries of an open incident kept in memory; the store keeps more.
pub(super) const MAX_TIMELINE: usize = 200;

/// An open incident with what was done so far.
#[derive(Debug, Clone)]
pub(super) struct OpenIncident {
    pub record: Incident,
    pub timeline: Vec<TimelineEntry>,
    /// The unit's process when it opened: the proof of a restart needs another one.
    pub process: Option<Process>,
}

/// What is known of a service's unit.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// The last report about it, and when it came.
    pub report: Option<(Wall, UnitReport)>,
    /// What else the OS knows of it.
    pub facts: Option<Box<UnitFacts>>,
    /// What is left of its last end that nobody had ordered.
    pub last_words: Option<Box<LastWords>>,
    pub process: Option<Process>,
    /// The one that an earlier life of lifesign listened to, until `process` is seen in this one.
    pub former_process: Option<Process>,
    /// When `process` was first seen.
    pub process_since: Mono,
    /// Whether the last stop was our own doing, in the course of a restart.
    pub stopped_by_us: bool,
    /// Until when one report of an ordered stop is taken for the late echo of our own restart.
    pub late_stop_until: Mono,
}

/// One service. Laid out as written: what a heartbeat touches stands in the first two cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Service {
    /// When the service's wake-up in the timer heap is armed; [`Mono::NEVER`]: it has none.
    pub armed: Mono,
    /// What is known of its runs, where it is a job.
    pub job: Option<Box<Job>>,
    pub incident: Option<Box<OpenIncident>>,
    pub last_beat: Option<Wall>,
    pub ix: ServiceIx,
    pub host: HostIx,
    pub state: State,
    pub reason: Option<Reason>,
    /// What the last beat said of its sender.
    pub beat_status: BeatStatus,
    /// Whether the sender hears us, where it says so.
    pub hears: Option<bool>,
    pub paused: bool,
    /// False once the configuration no longer names it.
    pub watched: bool,
    /// Whether its own heartbeat made it, and no configuration.
    pub created: bool,
    /// Whether those that need it must do without: it is down, or silent on a host that is gone.
    pub fails: bool,
    /// Whether the agent that looks at its unit is gone.
    pub host_lost: bool,
    /// What explains until `settle_until` that it is down.
    pub excuse: Reason,

    /// Last beat written into the store, and the silence written with it.
    pub remembered_beat: Option<Wall>,
    pub remembered_silence: Duration,
    /// The last count of its work, and since when it has been that.
    pub progress: Option<(u64, Mono)>,

    pub spec: ServiceSpec,
    pub skew_ms: Option<i64>,
    pub beat_message: Option<Box<str>>,
    pub metrics: Vec<(Arc<str>, f64)>,
    pub since: Wall,
    pub detail: Box<str>,
    /// Since when it is watched, in this life of lifesign.
    pub watched_since: Mono,
    /// Since when its heart is late, while that counts for its host.
    pub late_since: Option<Mono>,
    /// Until when `excuse` still explains that it is down: what it needs has only just come back.
    pub settle_until: Mono,
    pub checks: Vec<CheckRun>,
    /// What is known of its unit, where it has one.
    pub unit: Rare<Unit>,
    pub remedy: Rare<Remedy>,
    pub flaps: Rare<Flaps>,
}

impl Service {
    /// A look at each cache line that a heartbeat touches.
    pub(super) fn warmth(&self) -> u64 {
        let metric = self.metrics.first().map_or(0, |(_, value)| value.to_bits());
        self.armed.as_nanos() ^ u64::from(self.remembered_silence.subsec_nanos()) ^ metric
    }

    pub(super) fn new(ix: ServiceIx, host: HostIx, spec: ServiceSpec, now: Mono, wall: Wall) -> Self {
        let checks = vec![CheckRun::default(); spec.checks.len()];
        let mut unit = Rare::<Unit>::default();
        if spec.unit.is_some() {
            unit.process_since = now;
        }
        Self {
            ix,
            host,
            spec,
            watched: true,
            created: false,
            watched_since: now,
            state: State::Pending,
            reason: None,
            fails: false,
            since: wall,
            detail: "nothing heard yet".into(),
            unit,
            checks,
            last_beat: None,
            beat_status: BeatStatus::Alive,
            beat_message: None,
            skew_ms: None,
            progress: None,
            hears: None,
            job: None,
            metrics: Vec::new(),
            paused: false,
            incident: None,
            remedy: Rare::default(),
            settle_until: Mono::ZERO,
            excuse: Reason::DependencyDown,
            flaps: Rare::default(),
            host_lost: false,
            late_since: None,
            armed: Mono::NEVER,
            remembered_beat: None,
            remembered_silence: Duration::ZERO,
        }
    }

    /// Compares the sender's clock with ours.
    pub(super) fn note_skew(&mut self, sent_at: Option<Wall>, now: Wall) {
        let Some(sent_at) = sent_at else { return };
        let skew = sent_at.as_millis().saturating_sub(now.as_millis());
        let notice = i64::try_from(crate::SKEW_NOTICE.as_millis()).unwrap_or(i64::MAX);
        self.skew_ms = (skew.saturating_abs() > notice).then_some(skew);
    }

    /// Whether somebody wants to know when its work stands still.
    pub(super) fn watches_progress(&self) -> bool {
        self.spec.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.progress_within.is_some())
    }

    /// Whether work that stands still since then does so for too long.
    pub(super) fn is_stuck_since(&self, since: Mono, now: Mono) -> bool {
        let within = self.spec.heartbeat.as_ref().and_then(|heartbeat| heartbeat.progress_within);
        within.is_some_and(|within| now >= since + within)
    }

    /// When its work will have stood still for too long; [`Mono::NEVER`] when it already has.
    pub(super) fn stuck_at(&self, now: Mono) -> Mono {
        let within = self.spec.heartbeat.as_ref().and_then(|heartbeat| heartbeat.progress_within);
        match (within, self.progress) {
            (Some(within), Some((_, since))) if since + within > now => since + within,
            _ => Mono::NEVER,
        }
    }

    /// What the unit says, with the changes that a running restart makes explained away.
    pub(super) fn unit_evidence(&self) -> UnitEvidence {
        if self.spec.unit.is_none() {
            return UnitEvidence::None;
        }
        if self.host_lost && on(Rule::LostAgent) {
            return UnitEvidence::Blind;
        }
        let Some((_, report)) = &self.unit.report else { return UnitEvidence::Waiting };
        match &report.state {
            UnitState::Running(_) => UnitEvidence::Running,
            UnitState::Starting | UnitState::Stopping => UnitEvidence::Changing,
            UnitState::Paused => UnitEvidence::Stopped(Reason::StoppedByOperator),
            UnitState::NotFound => UnitEvidence::Stopped(Reason::StartFailed),
            UnitState::CouldNotLook(_) => UnitEvidence::Blind,
            UnitState::Stopped { ordered, .. }
                if self.remedy.is_running() && (*ordered || !self.remedy.is_resumed()) =>
            {
                UnitEvidence::Changing
            }
            // Our own stop of a restart that then failed is nobody's wish.
            UnitState::Stopped { ordered: true, .. } if self.unit.stopped_by_us => {
                UnitEvidence::Stopped(Reason::StartFailed)
            }
            UnitState::Stopped { ordered, exit } => UnitEvidence::Stopped(stop_reason(*ordered, exit)),
        }
    }

    /// What the probes say, all together.
    pub(super) fn probe_evidence(&self) -> ProbeEvidence {
        if self.checks.is_empty() {
            return ProbeEvidence::None;
        }
        let mut waiting = false;
        let mut blind = true;
        let mut partly = false;
        let mut failing: Option<ProbeEvidence> = None;
        let mut start = 0;
        while start < self.checks.len() {
            let group = self.spec.checks[start].group;
            let end = start + self.spec.checks[start..].iter().take_while(|spec| spec.group == group).count();
            let runs = &self.checks[start..end];
            let need = self.spec.checks[start].need.clamp(1, u32::try_from(runs.len()).unwrap_or(1)) as usize;
            let pass = runs.iter().filter(|run| run.verdict() == Some(true)).count();
            let fail = runs.iter().filter(|run| run.verdict() == Some(false)).count();
            blind &= runs.iter().all(CheckRun::is_blind);
            if runs.len() - fail < need {
                let silent = runs
                    .iter()
                    .filter(|run| run.verdict() == Some(false))
                    .all(|run| run.fail_kind() == Some(FailKind::Timeout));
                let this = if silent { ProbeEvidence::TimedOut } else { ProbeEvidence::Failing };
                // A wrong answer says more than none: one refusal makes the whole *failing*.
                failing = match failing {
                    Some(ProbeEvidence::Failing) => failing,
                    _ => Some(this),
                };
            } else if pass >= need {
                partly |= fail > 0;
            } else {
                waiting = true;
            }
            start = end;
        }
        match failing {
            Some(evidence) => evidence,
            None if blind => ProbeEvidence::Blind,
            None if partly => ProbeEvidence::Partly,
            None if waiting => ProbeEvidence::Waiting,
            None if self.components().any(|component| !component.up) => ProbeEvidence::ComponentDown,
            None => ProbeEvidence::Pass,
        }
    }

    /// The components that the last answers of passing probes name.
    pub(super) fn components(&self) -> impl Iterator<Item = &Component> {
        self.checks.iter().filter_map(CheckRun::last).flat_map(|(_, report)| report.components.iter())
    }

    /// Whether every source of evidence has spoken for the present process: probes `rise` times in a row,
    /// the heart as often as it must.
    pub(super) fn has_risen(&self, beats: u32, beats_needed: u32) -> bool {
        let probes = self.checks.iter().zip(&self.spec.checks).all(|(run, spec)| {
            let of_many = self.spec.checks.iter().filter(|other| other.group == spec.group).count() > 1;
            // One address of several may stay down when enough of the others pass.
            run.passes() >= spec.rise || (of_many && run.verdict() != Some(true))
        });
        probes && (self.spec.heartbeat.is_none() || beats >= beats_needed)
    }

    /// The moment the present trouble began, as far as the evidence tells.
    pub(super) fn trouble_since(&self, reason: Option<Reason>, now: Wall) -> Wall {
        let began = match reason {
            _ if self.job.is_some() => self.job_trouble_since(reason),
            Some(Reason::Hung | Reason::MissedHeartbeat) => self.last_beat,
            Some(Reason::CheckFailed) => self.checks.iter().filter_map(CheckRun::bad_since).min(),
            Some(Reason::Exited | Reason::Crashed | Reason::Killed | Reason::StartFailed) => {
                self.unit.report.as_ref().map(|(at, _)| *at)
            }
            Some(
                Reason::StoppedByOperator
                | Reason::DependencyDown
                | Reason::HostUnreachable
                | Reason::ObserverStalled
                | Reason::ComponentDown,
            )
            | None => None,
        };
        began.filter(|at| *at <= now).unwrap_or(now)
    }

    /// The same of a job: what was missed, began too long ago, or ended badly.
    fn job_trouble_since(&self, reason: Option<Reason>) -> Option<Wall> {
        let job = self.job.as_ref()?;
        match reason {
            Some(Reason::MissedHeartbeat) => job.overdue().map(|missed| missed.until),
            Some(Reason::Hung) => job.going().find(|run| run.too_long).map(|run| run.started_at),
            _ => job.recent().first().filter(|last| !last.ok).map(|last| last.ended_at),
        }
    }

    pub(super) fn memory(&self, silence: Duration, restarts: Vec<Wall>, job: Option<JobMemory>) -> Memory {
        Memory {
            service: self.spec.id.clone(),
            state: self.state,
            reason: self.reason,
            since: self.since,
            last_heartbeat_at: self.last_beat,
            silence: if self.last_beat.is_some() && on(Rule::RememberSilence) {
                silence
            } else {
                Duration::ZERO
            },
            process: self.unit.process.or(self.unit.former_process),
            paused: self.paused,
            incident: self.incident.as_ref().map(|open| open.record.id),
            restarts,
            restarting: self.remedy.is_running(),
            job: job.map(Box::new),
            created: self.created,
        }
    }
}

/// The contract's word for a stop.
fn stop_reason(ordered: bool, exit: &Exit) -> Reason {
    if ordered { Reason::StoppedByOperator } else { exit.reason() }
}

/// How an exit reads in a sentence.
pub(super) fn exit_words(exit: &Exit) -> String {
    match exit {
        Exit::Clean => "it ended with success".to_owned(),
        Exit::Code(code) => format!("it ended with exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal} ended it"),
        Exit::StartFailed(why) => format!("it could not be started: {why}"),
        Exit::Watchdog => "the system's own watchdog ended it".to_owned(),
        Exit::Unseen => "it is gone, and how it ended was not seen".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_a_fault_a_code_and_an_order_are_told_apart() {
        assert_eq!(stop_reason(false, &Exit::Signal(9)), Reason::Killed);
        assert_eq!(stop_reason(false, &Exit::Signal(15)), Reason::Killed);
        assert_eq!(stop_reason(false, &Exit::Signal(11)), Reason::Crashed);
        assert_eq!(stop_reason(false, &Exit::Code(3)), Reason::Crashed);
        assert_eq!(stop_reason(false, &Exit::Clean), Reason::Exited);
        assert_eq!(stop_reason(true, &Exit::Signal(15)), Reason::StoppedByOperator);
        assert_eq!(stop_reason(false, &Exit::StartFailed(String::new())), Reason::StartFailed);
    }
}
