//! One sentence for each verdict.

use super::service::exit_words;
use super::{Engine, words};
use crate::evidence::{BeatStatus, UnitState};
use crate::model::{Reason, State};
use crate::spec::DetectorSpec;
use crate::time::Mono;
use crate::verdict::HeartEvidence;

impl Engine {
    /// One sentence with the evidence behind a state.
    pub(super) fn describe(&self, index: usize, state: State, reason: Option<Reason>, now: Mono) -> String {
        let service = &self.services[index];
        let silence = || {
            let heard = self.hearts[index].last();
            match (&service.spec.heartbeat, service.last_beat) {
                (Some(spec), Some(_)) if heard > Mono::ZERO && spec.detector == DetectorSpec::Fixed => {
                    format!(
                        "no heartbeat for {} (timeout {}, then {} more intervals of {})",
                        words(now.since(heard)),
                        words(spec.timeout),
                        spec.retries,
                        words(spec.interval),
                    )
                }
                (Some(spec), Some(_)) if heard > Mono::ZERO => format!(
                    "no heartbeat for {} (one is due every {}, at most {} is waited)",
                    words(now.since(heard)),
                    words(self.hearts[index].interval()),
                    words(spec.timeout),
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
        if let Some(text) = self.describe_job(index, reason) {
            return text;
        }
        match (state, reason) {
            (State::Down, Some(Reason::StoppedByOperator)) => "somebody ordered it to stop".to_owned(),
            (State::Down, Some(Reason::Hung)) => {
                let runs = service
                    .unit
                    .process
                    .map_or("it runs".to_owned(), |process| format!("it runs (pid {})", process.pid));
                if let (HeartEvidence::Stuck, Some((count, since))) =
                    (self.heart_evidence(index), service.progress)
                {
                    let still = words(now.since(since));
                    format!("it beats, but its work has stood still at {count} for {still}")
                } else if self.heart_evidence(index) == HeartEvidence::Silent {
                    format!("{runs}, but {}", silence())
                } else {
                    format!("{runs}, but does not answer: {}", failing())
                }
            }
            (_, Some(Reason::DependencyDown)) => match self.dependency_in_the_way(index) {
                Some(id) => match self.find(id.as_str()).map(|at| &self.services[at]) {
                    Some(parent) if parent.reason == Some(Reason::HostUnreachable) => {
                        format!("it depends on {id}, and the host of that, {}, is gone", parent.spec.host)
                    }
                    parent => {
                        let state = parent.map_or(State::Down, |parent| parent.state);
                        format!("it depends on {id}, which is {state}")
                    }
                },
                None => "something it depends on has only just come back".to_owned(),
            },
            (_, Some(Reason::HostUnreachable)) => {
                format!("nothing that watches it on {} is heard", service.spec.host)
            }
            (State::Down, Some(Reason::MissedHeartbeat)) | (State::Suspect, _) => silence(),
            (State::Down, Some(Reason::Exited | Reason::Crashed | Reason::Killed | Reason::StartFailed)) => {
                match service.unit.report.as_ref().map(|(_, report)| &report.state) {
                    Some(UnitState::Stopped { exit, .. }) => exit_words(exit),
                    Some(UnitState::NotFound) => "the system knows no unit of this name".to_owned(),
                    _ => "it does not run".to_owned(),
                }
            }
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
            (_, Some(Reason::CheckFailed)) if self.is_one_way(index) => {
                "its heartbeats arrive, but it does not hear our answers".to_owned()
            }
            (_, Some(Reason::CheckFailed)) => failing(),
            (State::Unknown, _) => "nothing that watches it could look".to_owned(),
            (State::Up, _) => "every source of evidence is content".to_owned(),
            (_, Some(reason)) => reason.to_string(),
            (_, None) => state.to_string(),
        }
    }
}
