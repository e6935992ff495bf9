//! Restarts: scheduled, withheld, started, proven.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Engine, Turn, words};
use crate::digest::digest;
use crate::effect::{Action, Effect, Verb};
use crate::evidence::{Process, UnitState};
use crate::input::Refusal;
use crate::model::{Reason, ServiceId, State};
use crate::mutation::{Rule, on};
use crate::remedy::Step;
use crate::spec::RestartSpec;
use crate::time::Mono;
use crate::verdict::{UnitEvidence, Verdict};

/// How long after a restart a report of its own stop may still be on its way.
const LATE_STOP: Duration = Duration::from_secs(3);
/// How long a due restart waits for a unit that is just changing its state.
const CHANGING_WAIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Schedules, starts and judges restarts.
    pub(super) fn tend_remedy(&mut self, index: usize, verdict: Verdict, turn: &mut Turn<'_>) {
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
                    self.services[index].remedy.answered();
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
                    let lived = words(turn.now.since(service.unit.process_since));
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
            && (!service.paused || !on(Rule::PausedRestart))
    }

    pub(super) fn schedule_restart(&mut self, index: usize, by: &Arc<str>, turn: &mut Turn<'_>) {
        let service = &mut self.services[index];
        let Some(spec) = service.spec.restart.clone() else { return };
        let ix = service.ix;
        if by.as_ref() == "remediation" {
            // A rule that once wanted it does not want this one.
            service.remedy.forced = false;
        }
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

    /// The agent did not do it now: an update or a shutdown is under way, or the system itself is at it.
    pub(super) fn refuse_restart(&mut self, index: usize, why: &str, turn: &mut Turn<'_>) {
        let service = &mut self.services[index];
        let ix = service.ix;
        let again = service.remedy.refuse(turn.now, service.spec.restart.as_ref(), why);
        // Nothing was touched: whoever has stopped it meanwhile, it was not us.
        service.unit.stopped_by_us = false;
        let detail = match again {
            Some(at) => format!("{why}; tried again in {}", words(at.since(turn.now))),
            None => why.to_owned(),
        };
        self.note(ix, "restart_refused", detail, turn);
        self.remember(ix, turn);
        self.reconsider(ix, turn);
    }

    /// The agent restarted it while nobody heard the agent: that is charged to the budget too, and told.
    pub(super) fn restarted_alone(&mut self, index: usize, turn: &mut Turn<'_>) {
        let service = &mut self.services[index];
        service.remedy.charge(turn.now);
        let (ix, target) = (service.ix, service.spec.id.to_string());
        let by = format!("agent on {}", service.spec.host).into();
        turn.audit(&by, "restart", target, "by itself, while no server heard it");
        self.note(ix, "late", "its agent restarted it while no server heard the agent", turn);
        self.remember(ix, turn);
    }

    /// A restart is over: a report of its own stop may still be on its way.
    pub(super) fn expect_late_stop(&mut self, index: usize, now: Mono) {
        self.services[index].unit.late_stop_until = now + LATE_STOP;
    }

    /// A restart that an earlier life ordered has shown its end, and nobody answers for it: what is stopped from now
    /// on is stopped by others.
    pub(super) fn end_resumed(&mut self, index: usize, turn: &mut Turn<'_>) {
        self.expect_late_stop(index, turn.now);
        let service = &mut self.services[index];
        if service.remedy.is_resumed() {
            service.remedy.step = if service.incident.is_some() { Step::Proving } else { Step::Idle };
            let ix = service.ix;
            self.remember(ix, turn);
        }
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
        service.remedy.answered();
        match result {
            Ok(process) => {
                self.expect_late_stop(index, turn.now);
                let service = &mut self.services[index];
                service.remedy.step = if service.incident.is_some() { Step::Proving } else { Step::Idle };
                service.unit.stopped_by_us = false;
                let process = process.or(service.unit.process);
                if process != service.unit.process {
                    service.unit.process = process;
                    self.begin_anew(index, turn);
                }
                let service = &mut self.services[index];
                if let Some((at, report)) = &mut service.unit.report {
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
        self.remember(ix, turn);
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
}

/// `3 per 10m`, as the configuration writes it.
pub(super) fn budget_words(spec: &RestartSpec) -> String {
    format!("{} per {}", spec.budget, words(spec.window))
}
