//! What follows a turn: wait for the disk, then answer, tell, act and show.
//!
//! Turns are followed strictly in order. When the disk does not take a batch in [`COMMIT_WITHIN`] of being
//! asked, its effects are carried out all the same: an alert about a full disk must not wait for the disk.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::{Action, Effect};
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::time::Wall;
use lifesign_store::Written;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::run::Waiting;
use super::{EngineHandle, Work};
use crate::events::{Done, Events, Live, Told};
use crate::figures::Figures;
use crate::link::Desk;
use crate::outbox::Outbox;

/// How long effects wait for the disk.
const COMMIT_WITHIN: Duration = Duration::from_secs(2);

/// Those who carry out effects.
#[derive(Debug, Clone)]
pub(crate) struct Follow {
    pub(crate) outbox: Outbox,
    pub(crate) work: mpsc::Sender<Work>,
    pub(crate) events: Events,
    pub(crate) engine: EngineHandle,
    pub(crate) desk: Desk,
}

/// What one turn of the loop brought.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) at: Wall,
    pub(crate) effects: Vec<Effect>,
    /// What is shown beside the effects.
    pub(crate) live: Vec<Live>,
    pub(crate) answers: Vec<Waiting>,
    /// What was handed to the store, and when.
    pub(crate) commit: Option<(Instant, Written)>,
}

impl Turn {
    pub(crate) const fn at(at: Wall) -> Self {
        Self { at, effects: Vec::new(), live: Vec::new(), answers: Vec::new(), commit: None }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.live.is_empty() && self.answers.is_empty()
    }
}

/// Follows turns until the loop gives no more.
pub(crate) async fn follow(mut turns: mpsc::Receiver<Turn>, follow: Follow, figures: Figures) {
    while let Some(mut turn) = turns.recv().await {
        if let Some((begun, commit)) = turn.commit.take() {
            match timeout_at(begun + COMMIT_WITHIN, commit).await {
                Ok(Ok(())) => figures.commit.observe(begun.elapsed().as_secs_f64()),
                Ok(Err(deferred)) => {
                    figures.deferred.inc();
                    tracing::warn!(why = %deferred.why, "Batch not on the disk; its effects are carried out");
                }
                Err(_) => {
                    figures.deferred.inc();
                    tracing::warn!(within = ?COMMIT_WITHIN, "Batch not on the disk in time; its effects are carried out");
                }
            }
        }
        for (waiting, answer) in turn.answers {
            // Whoever asked may have gone; the order counts all the same.
            let _ = waiting.send(answer);
        }
        for what in turn.live {
            follow.events.publish(turn.at, what);
        }
        for effect in turn.effects {
            follow.carry_out(turn.at, effect);
        }
    }
}

impl Follow {
    fn carry_out(&self, at: Wall, effect: Effect) {
        match effect {
            Effect::Transition(transition) => self.events.publish(at, Live::State(transition)),
            Effect::Incident(incident) => self.events.publish(at, Live::Incident(incident)),
            Effect::Alert(alert) => self.events.publish(at, Live::Alert(alert)),
            Effect::Notify(notification) => {
                self.events.publish(
                    at,
                    Live::Notification(Told {
                        id: Arc::clone(&notification.id),
                        receiver: Arc::clone(&notification.receiver),
                        reason: Some(notification.reason),
                        incident: notification.incident,
                        attempts: 0,
                        delivered: false,
                        answer: None,
                    }),
                );
                self.outbox.ring(&notification.receiver);
            }
            Effect::Act(action) => {
                self.events.publish(
                    at,
                    Live::Action(Done {
                        id: Arc::clone(&action.id),
                        service: action.service.clone(),
                        verb: Some(action.verb),
                        by: Some(Arc::clone(&action.by)),
                        result: None,
                    }),
                );
                self.act(action);
            }
            Effect::LookNow(service) => {
                // Looking early is a courtesy: the checks' own schedules look anyway.
                let _ = self.work.try_send(Work::LookNow(service));
            }
            Effect::Remember(memory) => self.desk.pause(&memory.service, memory.paused),
            Effect::Timeline { .. } | Effect::Audit(_) => {}
        }
    }

    /// Hands an action to the agent, or tells the engine at once why it cannot be done.
    fn act(&self, action: Action) {
        let why = match self.work.try_send(Work::Act(action.clone())) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(_)) => "the agent has more to do than its queue holds",
            Err(mpsc::error::TrySendError::Closed(_)) => "no agent is there to do it",
        };
        let report = ActionReport {
            id: action.id,
            service: action.service,
            result: Err(why.to_owned()),
            refused: false,
        };
        let engine = self.engine.clone();
        // Not awaited here: the loop may be waiting for this task to take its next turn.
        tokio::spawn(async move {
            // When the engine is gone there is nobody left to be told.
            let _ = engine.tell(Input::ActionDone(report)).await;
        });
    }
}
