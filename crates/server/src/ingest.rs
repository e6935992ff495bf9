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

/// The service of a heartbeat that counted and its state after it, or why the heartbeat did not count.
pub(crate) type Taken = Result<(ServiceId, State), NotTaken>;

impl NotTaken {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_service",
            Self::TooFast(..) => "rate",
        }
    }
}

impl AppState {
    /// Hands heartbeats to the engine. Each is answered by itself, in the same order: with its service and the state of
    /// that, or why it did not count.
    ///
    /// # Errors
    /// When the engine takes none of them: its queue is full, or it has ended.
    pub(crate) async fn take_beats(&self, mut beats: Vec<Beat>) -> Result<Vec<Taken>, Unreached> {
        let mut too_fast = self.rate.hold(&mut beats, self.clock.now().mono).into_iter().peekable();
        let services: Vec<ServiceId> = beats.iter().map(|beat| beat.service.clone()).collect();
        let many = services.len();
        let answers = if beats.is_empty() {
            Vec::new()
        } else {
            self.engine.beats(beats).await.inspect_err(|_| self.refuse_beats("busy", many))?
        };
        let mut answered = services.into_iter().zip(answers);
        let mut taken = Vec::with_capacity(many + too_fast.len());
        loop {
            let next = match too_fast.next_if(|held| held.at == taken.len()) {
                Some(held) => Err(NotTaken::TooFast(held.service, held.wait)),
                None => match answered.next() {
                    Some((service, Answer::Beat(state))) => Ok((service, state)),
                    Some((
                        service,
                        Answer::NoSuchService | Answer::Done | Answer::Refused(_) | Answer::Action(_),
                    )) => Err(NotTaken::Unknown(service)),
                    None => break,
                },
            };
            if let Err(not_taken) = &next {
                self.refuse_beats(not_taken.reason(), 1);
            }
            taken.push(next);
        }
        self.figures.beats.inc_by(taken.iter().filter(|taken| taken.is_ok()).count() as u64);
        Ok(taken)
    }

    /// Counts heartbeats that were not taken.
    pub(crate) fn refuse_beats(&self, reason: &'static str, many: usize) {
        self.figures.beats_refused.get_or_create(&Why { reason }).inc_by(many as u64);
    }
}
