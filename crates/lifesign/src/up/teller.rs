//! Tells the receivers of an agent's own file, while no server does. One task for each, in order, from memory: what an
//! agent that ends has not told is told by nobody, as it is the server's business again by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_component::{Component, Stop};
use lifesign_core::effect::Notification;
use lifesign_notify::{Context, Delivery};
use lifesign_server::outbox::Recipient;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Notifications that may wait for one receiver; further ones are lost and warned of.
const WAITING: usize = 256;
/// What could not be told for this long is old news.
const GIVE_UP: Duration = Duration::from_secs(3600);

/// The way to the receivers.
#[derive(Debug)]
pub(super) struct Teller(BTreeMap<Arc<str>, mpsc::Sender<Notification>>);

impl Teller {
    /// The way, and the part that goes it. Links lead to `server`.
    pub(super) fn new(recipients: Vec<Recipient>, server: &str) -> (Self, Component) {
        let mut ways = BTreeMap::new();
        let mut tasks = Vec::new();
        for recipient in recipients {
            let (way, waiting) = mpsc::channel(WAITING);
            ways.insert(Arc::clone(&recipient.name), way);
            tasks.push((recipient, waiting));
        }
        let server: Arc<str> = server.into();
        let component = Component::essential("teller", move |mut ready, mut stop| async move {
            for (recipient, waiting) in tasks {
                tokio::spawn(tell_all(recipient, waiting, Arc::clone(&server), stop.clone()));
            }
            ready.tell();
            stop.given().await;
            Ok(())
        });
        (Self(ways), component)
    }

    /// Tells it as soon as the receiver takes it.
    pub(super) fn tell(&self, notification: Notification) {
        let receiver = Arc::clone(&notification.receiver);
        let is_lost = self.0.get(&receiver).is_none_or(|way| way.try_send(notification).is_err());
        if is_lost {
            tracing::warn!(%receiver, limit = WAITING, "Too much waits for this receiver; a notification is lost");
        }
    }
}

async fn tell_all(
    recipient: Recipient,
    mut waiting: mpsc::Receiver<Notification>,
    server: Arc<str>,
    mut stop: Stop,
) {
    loop {
        let notification = tokio::select! {
            () = stop.given() => return,
            notification = waiting.recv() => notification,
        };
        let Some(notification) = notification else { return };
        tokio::select! {
            () = stop.given() => return,
            () = tell(&recipient, &notification, &server) => {}
        }
    }
}

async fn tell(recipient: &Recipient, notification: &Notification, server: &str) {
    let begun = Instant::now();
    let mut attempt = 1;
    loop {
        let context = Context { attempt, external_url: server, lang: recipient.lang };
        match recipient.how.deliver(notification, &context).await {
            Delivery::Delivered { .. } => {
                tracing::info!(receiver = %recipient.name, id = %notification.id, "Told, as no server does");
                return;
            }
            Delivery::Retry { why, after } if begun.elapsed() < GIVE_UP => {
                tracing::warn!(receiver = %recipient.name, attempt, why, "Notification not delivered");
                // Without chance it is the shortest wait.
                sleep(lifesign_notify::wait(attempt, getrandom::u64().unwrap_or(0), after)).await;
                attempt = attempt.saturating_add(1);
            }
            Delivery::Retry { why, .. } | Delivery::Refused { why } => {
                tracing::error!(receiver = %recipient.name, why, "Notification given up");
                return;
            }
        }
    }
}
