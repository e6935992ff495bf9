//! Heartbeats on their way to the engine, whatever way they came by: held to the rate of their service, counted, and
//! refused aloud when the engine has no room for them.

use std::time::Duration;

use lifesign_core::engine::Answer;
use lifesign_core::evidence::Beat;
use lifesign_core::model::{ServiceId, State};

use crate::AppState;
use crate::engine::Unreached;
use crate::figures::Why;

/// Why a heartbeat did not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// There is no such service.
    #[error("there is no service {:?}", .0.as_str())]
    Unknown(ServiceId),
    /// It came sooner than the service's rate allows.
    #[error("{0} sends more heartbeats than its rate allows; wait {wait} ms", wait = .1.as_millis() + 1)]
    TooFast(ServiceId, Duration),
}

impl NotTaken {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_service",
            Self::TooFast(..) => "rate",
        }
    }
}

impl AppState {
    /// Hands heartbeats to the engine. Each is answered by itself, in the same order.
    ///
    /// # Errors
    /// When the engine takes none of them: its queue is full, or it has ended.
    pub(crate) async fn take_beats(
        &self,
        beats: Vec<Beat>,
    ) -> Result<Vec<Result<State, NotTaken>>, Unreached> {
        let now = self.clock.now().mono;
        let mut handed = Vec::with_capacity(beats.len());
        let judged: Vec<Result<ServiceId, NotTaken>> = beats
            .into_iter()
            .map(|beat| {
                let service = beat.service.clone();
                match self.rate.take(&service, now) {
                    Ok(()) => {
                        handed.push(beat);
                        Ok(service)
                    }
                    Err(wait) => Err(NotTaken::TooFast(service, wait)),
                }
            })
            .collect();
        let many = handed.len();
        let answers = if handed.is_empty() {
            Vec::new()
        } else {
            self.engine.beats(handed).await.inspect_err(|_| self.refuse_beats("busy", many))?
        };
        let mut answers = answers.into_iter();
        let taken = judged.into_iter().map(|judged| {
            let taken = judged.and_then(|service| match answers.next() {
                Some(Answer::Beat(state)) => Ok(state),
                Some(Answer::NoSuchService | Answer::Done | Answer::Refused(_) | Answer::Action(_))
                | None => Err(NotTaken::Unknown(service)),
            });
            match &taken {
                Ok(_) => drop(self.figures.beats.inc()),
                Err(not_taken) => self.refuse_beats(not_taken.reason(), 1),
            }
            taken
        });
        Ok(taken.collect())
    }

    /// Counts heartbeats that were not taken.
    pub(crate) fn refuse_beats(&self, reason: &'static str, many: usize) {
        self.figures.beats_refused.get_or_create(&Why { reason }).inc_by(many as u64);
    }
}
