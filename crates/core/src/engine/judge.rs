//! What follows from the evidence: states, incidents, restarts.

use std::sync::Arc;
use std::time::Duration;

use super::service::{OpenIncident, exit_words};
use super::{Answer, Engine, Turn, words};
use crate::detect;
use crate::digest::digest;
use crate::effect::{Action, Alert, AlertState, Effect, Incident, Transition, Verb};
use crate::evidence::{BeatStatus, CheckOutcome, Process, UnitState};
use crate::input::Refusal;
use crate::model::{CheckKind, IncidentId, Reason, ServiceId, ServiceIx, State};
use crate::remedy::Step;
use crate::spec::{HeartbeatSpec, RestartSpec, ServiceSpec};
use crate::time::Mono;
use crate::verdict::{HeartEvidence, UnitEvidence, Verdict, judge};

/// How long a new process must live before a recovery counts, where the service has no `restart`.
const PROVE_FOR: Duration = Duration::from_secs(10);
/// How long after a restart a report of its own stop may still be on its way.
const LATE_STOP: Duration = Duration::from_secs(3);
/// How long a due restart waits for a unit that is just changing its state.
const CHANGING_WAIT: Duration = Duration::from_secs(1);

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

impl Engine {
    /// Judges a service anew and does what follows.
    pub(super) fn reconsider(&mut self, ix: ServiceIx, turn: &mut Turn<'_>) {
        let index = ix.0 as usize;
        if !self.services[index].watched {
            return;
        }
        let advance = self.hearts[index].advance(turn.now);
        if advance.ask && self.budget.take(turn.now) {
            turn.out.push(Effect::LookNow(self.services[index].spec.id.clone()));
        }
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
            (BeatStatus::Alive, _) => heart,
        }
    }

    fn verdict(&self, index: usize) -> Verdict {
        let service = &self.services[index];
        judge(service.unit_evidence(), self.heart_evidence(index), service.probe_evidence())
    }

    fn apply(&mut self, index: usize, verdict: Verdict, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let Some(state) = verdict.state else { return };
        let mut reason = verdict.reason;
        if state == State::Down
            && reason != Some(Reason::StoppedByOperator)
            && (turn.now < service.settle_until || self.dependency_down(index))
        {
            reason = Some(Reason::DependencyDown);
        }
        if (state, reason) == (service.state, service.reason) {
            return;
        }
        let detail = self.describe(index, state, reason, turn.now);
        let facts = self.facts_now(index, turn.now);
        let service = &mut self.services[index];
        let from = service.state;
        service.state = state;
        service.reason = reason;
        service.since = turn.wall;
        service.detail.clone_from(&detail);
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
        if (from == State::Down) != (state == State::Down) {
            self.tell_dependents(ix, state == State::Down, turn);
        }
    }

    /// Whether anything this service depends on, directly or not, is down.
    fn dependency_down(&self, index: usize) -> bool {
        let mut open: Vec<usize> = vec![index];
        let mut seen = vec![index];
        while let Some(at) = open.pop() {
            for dependency in &self.services[at].spec.depends_on {
                let known: Vec<usize> =
                    dependency.of.iter().filter_map(|parent| self.find(parent.as_str())).collect();
                let down = known.iter().filter(|at| self.services[**at].state == State::Down).count();
                // Services that are not watched are taken to work.
                if dependency.of.len() - down < dependency.need as usize {
                    return true;
                }
                for parent in known {
                    if !seen.contains(&parent) {
                        seen.push(parent);
                        open.push(parent);
                    }
                }
            }
        }
        false
    }

    fn tell_dependents(&mut self, ix: ServiceIx, down: bool, turn: &mut Turn<'_>) {
        for child in self.dependents.get(&ix).cloned().unwrap_or_default() {
            let service = &mut self.services[child.0 as usize];
            if !down && service.reason == Some(Reason::DependencyDown) {
                // It gets the time of a start to find its dependency again.
                service.settle_until = turn.now + service.spec.start_grace;
            }
            self.reconsider(child, turn);
        }
    }

    /// Opens, keeps or closes the incident.
    fn tend_incident(&mut self, index: usize, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let ix = service.ix;
        let bad = match (service.state, service.reason) {
            (State::Down, Some(Reason::StoppedByOperator | Reason::DependencyDown)) => false,
            (State::Down, _) => true,
            (State::Degraded, _) => service.spec.alert_on_degraded,
            (State::Pending | State::Up | State::Suspect | State::Unknown, _) => false,
        };
        let Some(open) = &service.incident else {
            if bad && !service.paused {
                self.open_incident_now(index, turn);
            }
            return;
        };
        match (service.state, service.reason) {
            (State::Down, Some(Reason::StoppedByOperator)) => {
                self.close_incident(ix, "an operator stopped it", turn);
            }
            (State::Up | State::Degraded, _) if !bad => {
                if service.process == open.process {
                    self.close_incident(ix, "it recovered by itself", turn);
                } else if turn.now >= service.process_since + prove_for(&service.spec)
                    && service.has_risen(self.hearts[index].beats(), self.hearts[index].rise())
                {
                    let process = service.process.map_or("the new process".to_owned(), |process| {
                        format!("the new process (pid {})", process.pid)
                    });
                    let lived = words(turn.now.since(service.process_since));
                    self.note(
                        ix,
                        "proven",
                        format!("{process} lives for {lived} and passes every check"),
                        turn,
                    );
                    self.close_incident(ix, "it runs again, and that is proven", turn);
                }
            }
            _ => {}
        }
    }

    fn open_incident_now(&mut self, index: usize, turn: &mut Turn<'_>) {
        let id = IncidentId(self.next_incident);
        self.next_incident += 1;
        let service = &mut self.services[index];
        let record = Incident {
            id,
            service_id: service.spec.id.clone(),
            host: Arc::clone(&service.spec.host),
            state: service.state,
            reason: service.reason,
            severity: service.spec.severity,
            opened_at: service.trouble_since(service.reason, turn.wall),
            detected_at: turn.wall,
            closed_at: None,
            acknowledged_by: None,
        };
        let detail = service.detail.clone();
        let ix = service.ix;
        service.remedy.attempts = 0;
        turn.out.push(Effect::Incident(record.clone()));
        let alert = service_down(&record, &detail);
        service.incident = Some(OpenIncident { record, timeline: Vec::new(), process: service.process });
        self.note(ix, "opened", detail, turn);
        self.remember(ix, turn);
        self.fire(alert, &[], turn);
    }

    /// Closes the service's incident, if it has one.
    pub(super) fn close_incident(&mut self, ix: ServiceIx, why: &str, turn: &mut Turn<'_>) {
        if self.services[ix.0 as usize].incident.is_none() {
            return;
        }
        self.note(ix, "closed", why, turn);
        let service = &mut self.services[ix.0 as usize];
        service.remedy.rest();
        let Some(mut open) = service.incident.take() else { return };
        open.record.closed_at = Some(turn.wall);
        self.end_incident(&open.record, why, turn);
        self.remember(ix, turn);
    }

    fn end_incident(&mut self, record: &Incident, why: &str, turn: &mut Turn<'_>) {
        turn.out.push(Effect::Incident(record.clone()));
        let fingerprint = service_down(record, "").fingerprint;
        self.resolve(&fingerprint, Some(why), turn);
    }

    /// Incidents of an earlier life whose service is no longer in the configuration.
    pub(super) fn forget_lost_incidents(&mut self, turn: &mut Turn<'_>) {
        let why = "the configuration no longer names this service";
        for (id, (mut record, _)) in std::mem::take(&mut self.past_incidents) {
            record.closed_at = Some(turn.wall);
            turn.out.push(Effect::Timeline {
                incident: id,
                entry: crate::effect::TimelineEntry {
                    at: turn.wall,
                    what: "closed".into(),
                    detail: why.into(),
                },
            });
            self.end_incident(&record, why, turn);
        }
    }

    /// An alert fires.
    pub(super) fn fire(&mut self, alert: Alert, also: &[Arc<str>], turn: &mut Turn<'_>) {
        turn.out.push(Effect::Alert(alert.clone()));
        self.dispatcher.fire(turn.now, &alert, also);
        self.alerts.insert(Arc::clone(&alert.fingerprint), alert);
    }

    /// An alert is over. `why` is added to what people are told.
    pub(super) fn resolve(&mut self, fingerprint: &str, why: Option<&str>, turn: &mut Turn<'_>) {
        let Some(mut alert) = self.alerts.remove(fingerprint) else { return };
        let was_firing = alert.state == AlertState::Firing;
        alert.state = AlertState::Resolved;
        alert.ends_at = Some(turn.wall);
        if let Some(why) = why {
            alert.annotations.push(("resolution".into(), why.to_owned()));
            alert.annotations.sort();
        }
        turn.out.push(Effect::Alert(alert.clone()));
        if was_firing {
            self.dispatcher.resolve(turn.now, &alert);
        }
    }

    /// Schedules, starts and judges restarts.
    fn tend_remedy(&mut self, index: usize, verdict: Verdict, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let ix = service.ix;
        // Only fresh evidence asks for a restart, never a state that merely has not been contradicted yet.
        let wanted = verdict.state == Some(State::Down) && self.may_restart(index);
        match service.remedy.step.clone() {
            Step::Idle => {
                if wanted {
                    self.schedule_restart(index, &"remediation".into(), turn);
                }
            }
            Step::Scheduled(at) => {
                let changing = service.unit_evidence() == UnitEvidence::Changing;
                let forced = service.remedy.forced && !service.paused;
                if changing && (forced || self.may_restart(index)) {
                    if turn.now >= at {
                        // The system itself is acting on it: let it finish first.
                        self.services[index].remedy.step = Step::Scheduled(turn.now + CHANGING_WAIT);
                    }
                } else if !wanted && !forced {
                    self.services[index].remedy.step = Step::Idle;
                    self.note(ix, "restart_cancelled", "no restart is needed any more", turn);
                } else if turn.now >= at {
                    self.begin_restart(index, true, turn);
                }
            }
            Step::Withheld(at) => {
                if !wanted {
                    self.services[index].remedy.step = Step::Idle;
                } else if turn.now >= at {
                    self.begin_restart(index, true, turn);
                }
            }
            Step::Running { until, .. } => {
                if turn.now >= until {
                    self.finish_restart(index, Err("the agent did not answer in time".to_owned()), turn);
                }
            }
            Step::Proving => {
                if wanted {
                    let lived = words(turn.now.since(service.process_since));
                    let detail =
                        format!("the new process did not prove itself: {} after {lived}", service.detail);
                    self.note(ix, "not_proven", detail, turn);
                    self.schedule_restart(index, &"remediation".into(), turn);
                }
            }
        }
    }

    /// Whether the service's state and configuration allow an automatic restart.
    fn may_restart(&self, index: usize) -> bool {
        let service = &self.services[index];
        let restartable = match service.reason {
            Some(
                Reason::MissedHeartbeat
                | Reason::Hung
                | Reason::Exited
                | Reason::Crashed
                | Reason::Killed
                | Reason::StartFailed
                | Reason::CheckFailed,
            ) => true,
            Some(
                Reason::StoppedByOperator
                | Reason::DependencyDown
                | Reason::HostUnreachable
                | Reason::ObserverStalled
                | Reason::ComponentDown,
            )
            | None => false,
        };
        service.state == State::Down
            && restartable
            && service.spec.restart.is_some()
            && service.spec.unit.is_some()
            && !service.paused
    }

    pub(super) fn schedule_restart(&mut self, index: usize, by: &Arc<str>, turn: &mut Turn<'_>) {
        let service = &mut self.services[index];
        let Some(spec) = service.spec.restart.clone() else { return };
        let ix = service.ix;
        let (at, held) = service.remedy.schedule(turn.now, &spec, by);
        let wait = words(at.since(turn.now));
        if held {
            let detail = format!(
                "the budget of {} is used up; the next restart may start in {wait}",
                budget_words(&spec)
            );
            self.note(ix, "restart_withheld", detail, turn);
        } else {
            let attempt = service.remedy.attempts + 1;
            self.note(ix, "restart_scheduled", format!("restart number {attempt} starts in {wait}"), turn);
        }
    }

    fn begin_restart(&mut self, index: usize, counts: bool, turn: &mut Turn<'_>) {
        let service = &mut self.services[index];
        let ix = service.ix;
        let by = service.remedy.by.clone().unwrap_or_else(|| "remediation".into());
        let cause = service
            .incident
            .as_ref()
            .map_or_else(|| turn.wall.as_millis().to_string(), |open| open.record.id.to_string());
        let attempt = (service.remedy.attempts + 1).to_string();
        let id: Arc<str> = digest([
            "restart",
            service.spec.id.as_str(),
            &cause,
            &attempt,
            &turn.wall.as_millis().to_string(),
        ])
        .into();
        service.remedy.begin(turn.now, Arc::clone(&id), counts);
        let target = service.spec.id.clone();
        turn.out.push(Effect::Act(Action {
            id,
            service: target.clone(),
            verb: Verb::Restart,
            by: Arc::clone(&by),
        }));
        turn.audit(&by, "restart", target.as_str(), format!("attempt {attempt}"));
        self.note(ix, "restart_started", format!("restart number {attempt}, ordered by {by}"), turn);
        self.remember(ix, turn);
        self.arm(ix);
    }

    /// The agent answered, or did not.
    pub(super) fn finish_restart(
        &mut self,
        index: usize,
        result: Result<Option<Process>, String>,
        turn: &mut Turn<'_>,
    ) {
        let service = &mut self.services[index];
        let ix = service.ix;
        match result {
            Ok(process) => {
                service.remedy.step = if service.incident.is_some() { Step::Proving } else { Step::Idle };
                service.stopped_by_us = false;
                service.late_stop_until = turn.now + LATE_STOP;
                let process = process.or(service.process);
                if process != service.process {
                    service.process = process;
                    self.begin_anew(index, turn);
                }
                let service = &mut self.services[index];
                if let Some((at, report)) = &mut service.unit {
                    *at = turn.wall;
                    report.state = UnitState::Running(process);
                }
                let detail = process.map_or("it was started again".to_owned(), |process| {
                    format!("it was started again as pid {}", process.pid)
                });
                self.note(ix, "restart_done", detail, turn);
            }
            Err(why) => {
                service.remedy.step = Step::Idle;
                self.note(ix, "restart_failed", why, turn);
            }
        }
        self.reconsider(ix, turn);
    }

    pub(super) fn order_restart(
        &mut self,
        by: &Arc<str>,
        id: &ServiceId,
        turn: &mut Turn<'_>,
    ) -> Result<Answer, Refusal> {
        let index = self.find(id.as_str()).ok_or_else(|| Refusal::NoSuchService(id.clone()))?;
        let service = &mut self.services[index];
        if service.spec.unit.is_none() {
            return Err(Refusal::NoUnit(id.clone()));
        }
        if service.remedy.is_running() {
            return Err(Refusal::RestartRunning(id.clone()));
        }
        if service.paused {
            return Err(Refusal::Paused(id.clone()));
        }
        service.remedy.by = Some(Arc::clone(by));
        self.begin_restart(index, false, turn);
        match &self.services[index].remedy.step {
            Step::Running { id, .. } => Ok(Answer::Action(Arc::clone(id))),
            Step::Idle | Step::Scheduled(_) | Step::Withheld(_) | Step::Proving => Ok(Answer::Done),
        }
    }

    /// One sentence with the evidence behind a state.
    pub(super) fn describe(&self, index: usize, state: State, reason: Option<Reason>, now: Mono) -> String {
        let service = &self.services[index];
        let silence = || {
            let heard = self.hearts[index].last();
            match (&service.spec.heartbeat, service.last_beat) {
                (Some(spec), Some(_)) if heard > Mono::ZERO => format!(
                    "no heartbeat for {} (timeout {}, then {} more intervals of {})",
                    words(now.since(heard)),
                    words(spec.timeout),
                    spec.retries,
                    words(spec.interval),
                ),
                _ => "no heartbeat came in the time it had".to_owned(),
            }
        };
        let failing = || {
            let mut texts = service.checks.iter().zip(&service.spec.checks).filter_map(|(run, spec)| {
                let (_, report) = run.last()?;
                (run.verdict() == Some(false))
                    .then(|| format!("{} {}: {}", spec.kind, spec.name, report.output))
            });
            let first = texts.next().unwrap_or_else(|| "a check fails".to_owned());
            match texts.count() {
                0 => first,
                more => format!("{first}; and {more} more"),
            }
        };
        match (state, reason) {
            (State::Down, Some(Reason::StoppedByOperator)) => "somebody ordered it to stop".to_owned(),
            (State::Down, Some(Reason::Hung)) => {
                let runs = service
                    .process
                    .map_or("it runs".to_owned(), |process| format!("it runs (pid {})", process.pid));
                if self.heart_evidence(index) == HeartEvidence::Silent {
                    format!("{runs}, but {}", silence())
                } else {
                    format!("{runs}, but does not answer: {}", failing())
                }
            }
            (State::Down, Some(Reason::MissedHeartbeat)) | (State::Suspect, _) => silence(),
            (State::Down, Some(Reason::Exited | Reason::Crashed | Reason::Killed | Reason::StartFailed)) => {
                match service.unit.as_ref().map(|(_, report)| &report.state) {
                    Some(UnitState::Stopped { exit, .. }) => exit_words(exit),
                    Some(UnitState::NotFound) => "the system knows no unit of this name".to_owned(),
                    _ => "it does not run".to_owned(),
                }
            }
            (State::Down, Some(Reason::DependencyDown)) => "something it depends on is down".to_owned(),
            (_, Some(Reason::ComponentDown)) => {
                let down: Vec<&str> = service
                    .components()
                    .filter(|component| !component.up)
                    .map(|component| component.name.as_str())
                    .collect();
                format!("it answers and reports as down: {}", down.join(", "))
            }
            (_, Some(Reason::CheckFailed)) if service.beat_status == BeatStatus::Fail => {
                let words = service.beat_message.as_deref().unwrap_or("without saying why");
                format!("it says itself that it fails: {words}")
            }
            (_, Some(Reason::CheckFailed)) => failing(),
            (State::Unknown, _) => "nothing that watches it could look".to_owned(),
            (State::Up, _) => "every source of evidence is content".to_owned(),
            (_, Some(reason)) => reason.to_string(),
            (_, None) => state.to_string(),
        }
    }
}

/// `3 per 10m`, as the configuration writes it.
pub(super) fn budget_words(spec: &RestartSpec) -> String {
    format!("{} per {}", spec.budget, words(spec.window))
}

/// The built-in alert of an incident. Its fingerprint is that of its labels.
fn service_down(record: &Incident, detail: &str) -> Alert {
    let reason = record.reason.map_or("", Reason::as_str);
    let labels: Vec<(Arc<str>, Arc<str>)> = vec![
        ("alertname".into(), "ServiceDown".into()),
        ("host".into(), Arc::clone(&record.host)),
        ("reason".into(), reason.into()),
        ("service".into(), record.service_id.as_str().into()),
        ("severity".into(), record.severity.as_str().into()),
    ];
    let summary = format!("{} on {} is {} ({reason})", record.service_id, record.host, record.state);
    Alert {
        fingerprint: fingerprint(&labels),
        state: AlertState::Firing,
        labels,
        annotations: vec![
            ("description".into(), detail.to_owned()),
            ("state".into(), record.state.as_str().to_owned()),
            ("summary".into(), summary),
        ],
        starts_at: record.detected_at,
        ends_at: None,
        incident: Some(record.id),
    }
}

pub(super) fn fingerprint(labels: &[(Arc<str>, Arc<str>)]) -> Arc<str> {
    digest(labels.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()])).into()
}
