//! Tells people: one task for each receiver, in order, until the other side has it.
//!
//! A notification is in the store's outbox before it comes here, so nothing is lost when lifesign ends in
//! the middle: the next start goes on with what is not marked as told. It is told twice only when lifesign
//! died between the other side's answer and its own mark, and then under the same id, which goes out as
//! `Idempotency-Key`.
//!
//! `Outbox` is the bell that everybody may ring; `Runner` the component that starts and ends the
//! receivers' tasks (`courier`). What is to be told is never held here: the store knows.

mod courier;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifesign_component::{Error, Ready, Stop};
use lifesign_core::effect::Notification;
use lifesign_core::time::Wall;
use lifesign_lang::Lang;
use lifesign_notify::{Context, Delivery, Receiver};
use lifesign_store::Store;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::engine::{Clock, EngineHandle};
use crate::figures::Figures;
use courier::Courier;

/// One attempt to deliver, under way.
pub type Attempting<'a> = Pin<Box<dyn Future<Output = Delivery> + Send + 'a>>;

/// Something that can be told. [`Receiver`] is the one there is; tests bring their own.
pub trait Deliver: fmt::Debug + Send + Sync {
    /// Makes one attempt. Ends by itself in bounded time; dropping the future ends it at once.
    fn deliver<'a>(&'a self, notification: &'a Notification, context: &'a Context<'a>) -> Attempting<'a>;
}

impl Deliver for Receiver {
    fn deliver<'a>(&'a self, notification: &'a Notification, context: &'a Context<'a>) -> Attempting<'a> {
        Box::pin(Self::deliver(self, notification, context))
    }
}

/// A configured receiver with its name.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Its name, unique.
    pub name: Arc<str>,
    /// The language it is told in.
    pub lang: Lang,
    /// How it is told.
    pub how: Arc<dyn Deliver>,
}

/// What couriers need of the world.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) engine: EngineHandle,
    pub(crate) clock: Clock,
    pub(crate) figures: Figures,
    /// Where links in notifications lead.
    pub(crate) external_url: Arc<str>,
}

/// The way to the receivers; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    bells: Bells,
    /// Rung for a receiver that has no courier.
    stray: Arc<Notify>,
    recipients: Arc<watch::Sender<Vec<Recipient>>>,
}

/// By which couriers are woken.
type Bells = Arc<Mutex<HashMap<Arc<str>, Arc<Notify>>>>;

/// The component: starts and ends couriers.
#[derive(Debug)]
pub(crate) struct Runner {
    bells: Bells,
    stray: Arc<Notify>,
    recipients: watch::Receiver<Vec<Recipient>>,
    surroundings: Surroundings,
}

impl Outbox {
    /// The bell and its runner.
    pub(crate) fn new(recipients: Vec<Recipient>, surroundings: Surroundings) -> (Self, Runner) {
        let (sender, receiver) = watch::channel(recipients);
        let (bells, stray) = (Bells::default(), Arc::new(Notify::new()));
        let runner = Runner {
            bells: Arc::clone(&bells),
            stray: Arc::clone(&stray),
            recipients: receiver,
            surroundings,
        };
        (Self { bells, stray, recipients: Arc::new(sender) }, runner)
    }

    /// Something for this receiver has come into the store.
    pub(crate) fn ring(&self, receiver: &str) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.get(receiver).unwrap_or(&self.stray).notify_one();
    }

    /// Exchanges the receivers. What waits for one that is gone is marked as refused.
    pub(crate) fn exchange(&self, recipients: Vec<Recipient>) {
        self.recipients.send_replace(recipients);
    }
}

/// A courier at work.
#[derive(Debug)]
struct Working {
    /// Gives the courier another way to reach its receiver.
    recipient: watch::Sender<Recipient>,
    task: AbortHandle,
}

impl Runner {
    /// Runs until told to stop. Attempts under way may finish then, so that nothing is told twice only
    /// because lifesign was stopped; what takes too long is cut off, and the next start tells it again.
    pub(crate) async fn run(mut self, mut ready: Ready, mut stop: Stop) -> Result<(), Error> {
        let mut couriers = JoinSet::new();
        let mut working: HashMap<Arc<str>, Working> = HashMap::new();
        self.exchange(&mut working, &mut couriers, &stop);
        self.refuse_strays().await;
        ready.tell();
        loop {
            tokio::select! {
                () = stop.given() => break,
                changed = self.recipients.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.exchange(&mut working, &mut couriers, &stop);
                    self.refuse_strays().await;
                }
                () = self.stray.notified() => self.refuse_strays().await,
                Some(ended) = couriers.join_next() => if ended.is_err_and(|error| error.is_panic()) {
                    return Err("the task of a receiver panicked".into());
                },
            }
        }
        let finished = timeout(FINISH_WITHIN, async { while couriers.join_next().await.is_some() {} });
        if finished.await.is_err() {
            tracing::warn!("Notifications under way were cut off; the next start sends them again");
            couriers.shutdown().await;
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        working: &mut HashMap<Arc<str>, Working>,
        couriers: &mut JoinSet<()>,
        stop: &Stop,
    ) {
        let recipients = self.recipients.borrow_and_update().clone();
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        working.retain(|name, courier| {
            let stays = recipients.iter().any(|recipient| recipient.name == *name);
            if !stays {
                courier.task.abort();
                bells.remove(name);
            }
            stays
        });
        for recipient in recipients {
            if let Some(courier) = working.get(&recipient.name) {
                courier.recipient.send_replace(recipient);
                continue;
            }
            let (name, bell) = (Arc::clone(&recipient.name), Arc::new(Notify::new()));
            let (sender, recipient) = watch::channel(recipient);
            let courier =
                Courier { recipient, bell: Arc::clone(&bell), surroundings: self.surroundings.clone() };
            let task = couriers.spawn(courier.run(stop.clone()));
            bells.insert(Arc::clone(&name), bell);
            working.insert(name, Working { recipient: sender, task });
        }
    }

    /// Marks as refused what waits for receivers that do not exist (any more).
    async fn refuse_strays(&self) {
        for (receiver, _) in self.surroundings.store.waiting() {
            let exists = self.bells.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&receiver);
            if !exists {
                self.surroundings.refuse_all(&receiver).await;
            }
        }
    }
}

/// How long attempts under way may take when lifesign stops; less than the component's own limit.
const FINISH_WITHIN: Duration = Duration::from_secs(4);

/// A time at which everything is due.
const WHENEVER: Wall = Wall::from_millis(i64::MAX);
