//! One receiver's courier: takes its oldest notification, tells it until that is settled, takes the next.

use std::sync::Arc;
use std::time::Duration;

use lifesign_component::Stop;
use lifesign_core::effect::Notification;
use lifesign_core::input::{DeliveryReport, Input};
use lifesign_notify::{Context, Delivery};
use lifesign_store::{OutboxItem, Written};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::{Recipient, Surroundings, WHENEVER};
use crate::figures::{Attempt, Whom};

/// Wait when the store cannot be read.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// How long a notification waits for its marks to be on the disk.
const MARK_WITHIN: Duration = Duration::from_secs(2);

/// The task of one receiver.
pub(super) struct Courier {
    pub(super) recipient: watch::Receiver<Recipient>,
    /// Rung when something for it has come into the store.
    pub(super) bell: Arc<Notify>,
    pub(super) surroundings: Surroundings,
}

impl Courier {
    /// Works until told to stop; an attempt under way is finished first.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let name = Arc::clone(&self.recipient.borrow().name);
        // Another way to the receiver is tried at once, whatever the old one's back-off.
        let mut at_once = false;
        while !stop.is_given() {
            let now = if at_once { WHENEVER } else { self.surroundings.clock.now().wall };
            at_once = false;
            let wait = match self.surroundings.store.next_due(&name, now) {
                Some(Duration::ZERO) => match self.surroundings.store.due(&name, now, 1).await {
                    Ok(items) if items.is_empty() => READ_AGAIN,
                    Ok(items) => {
                        for item in items {
                            self.attempt(item).await;
                        }
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(receiver = %name, %error, "Outbox not readable");
                        READ_AGAIN
                    }
                },
                Some(wait) => wait,
                None => Duration::MAX,
            };
            tokio::select! {
                () = stop.given() => return,
                () = self.bell.notified() => {}
                () = sleep(wait) => {}
                changed = self.recipient.changed() => match changed {
                    Ok(()) => at_once = true,
                    Err(_) => return,
                },
            }
        }
    }

    /// Makes one attempt and writes down how it ended.
    async fn attempt(&mut self, item: OutboxItem) {
        let Surroundings { store, engine: _, clock, figures, external_url } = &self.surroundings;
        let recipient = self.recipient.borrow_and_update().clone();
        let notification = &*item.notification;
        let attempt = item.attempts.saturating_add(1);
        if item.uncertain {
            // It may have arrived before lifesign ended; the same id tells the receiver.
            figures.repeats.get_or_create(&Whom { receiver: Arc::clone(&recipient.name) }).inc();
        }
        on_disk(store.begin_attempt(&notification.id)).await;
        let context = Context { attempt, external_url, lang: recipient.lang };
        let delivery = recipient.how.deliver(notification, &context).await;

        let now = clock.now().wall;
        let text = delivery.text().to_owned();
        let (result, marked) = match &delivery {
            Delivery::Delivered { .. } => ("delivered", store.mark_delivered(&notification.id, now, &text)),
            Delivery::Retry { after, .. } => {
                let next_at = now + lifesign_notify::wait(attempt, chance(), *after);
                tracing::warn!(
                    receiver = %recipient.name, id = %notification.id, attempt, why = text, %next_at,
                    "Notification not delivered"
                );
                ("retried", store.mark_attempt(&notification.id, attempt, next_at, &text))
            }
            Delivery::Refused { .. } => {
                tracing::error!(
                    receiver = %recipient.name, id = %notification.id, attempt, why = text,
                    "Notification refused for good"
                );
                ("refused", store.mark_refused(&notification.id, now, &text))
            }
        };
        figures.notifications.get_or_create(&Attempt { receiver: Arc::clone(&recipient.name), result }).inc();
        self.surroundings.report(notification, attempt, delivery.is_delivered(), text).await;
        // The memory knows already; this waits for the disk, so that a receiver is not told the next thing
        // while a crash could still make it hear this one again.
        on_disk(marked).await;
    }
}

impl Surroundings {
    /// Tells the engine how an attempt ended.
    async fn report(&self, notification: &Notification, attempt: u32, delivered: bool, answer: String) {
        let report = DeliveryReport {
            id: Arc::clone(&notification.id),
            incident: notification.incident,
            receiver: Arc::clone(&notification.receiver),
            attempt,
            delivered,
            answer,
        };
        // When the engine is gone, lifesign is ending; the mark is in the store all the same.
        let _ = self.engine.tell(Input::Delivery(report)).await;
    }

    /// Marks as refused whatever waits for `receiver`, which does not exist.
    pub(super) async fn refuse_all(&self, receiver: &Arc<str>) {
        const AT_A_TIME: usize = 64;
        let why = format!("no receiver {receiver} is configured (any more)");
        loop {
            let items = match self.store.due(receiver, WHENEVER, AT_A_TIME).await {
                Ok(items) => items,
                Err(error) => {
                    tracing::warn!(%receiver, %error, "Outbox not readable");
                    return;
                }
            };
            if items.is_empty() {
                return;
            }
            for item in items {
                let id = &item.notification.id;
                tracing::warn!(%receiver, %id, "Notification given up: its receiver is not configured");
                on_disk(self.store.mark_refused(id, self.clock.now().wall, &why)).await;
                self.report(&item.notification, item.attempts, false, why.clone()).await;
            }
        }
    }
}

/// Waits for the disk, for as long as it may hold up a notification.
async fn on_disk(written: Written) {
    // A disk that refuses or hangs is told by the store's health; people are told all the same.
    let _ = timeout(MARK_WITHIN, written).await;
}

/// An even random number for the back-off's jitter.
fn chance() -> u64 {
    // Without chance every receiver waits its shortest time, which does no harm.
    getrandom::u64().unwrap_or(0)
}
