//! The service control manager.
//!
//! [`observer`] is the thread that watches, [`watched`] one service on it; [`tracker`] makes reports of what is
//! seen, and says what counts as an ordered stop; [`orders`] starts and stops; [`scm`] holds the calls.
//!
//! Event subscriptions of newer systems (`SubscribeServiceChangeNotifications`) are not used: they add nothing
//! to a notification per service.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Process, UnitReport};

use super::{Scope, Sink, UnitError};

#[path = "windows/observer.rs"]
mod observer;
#[path = "windows/orders.rs"]
mod orders;
#[path = "windows/scm.rs"]
mod scm;
#[path = "windows/tracker.rs"]
mod tracker;
#[path = "windows/watched.rs"]
mod watched;

pub(super) const KIND: &str = "scm";
pub(super) const LIST_COMMAND: &str = "sc query state= all";

/// How much longer than its time an order may take in a call that cannot be cut short.
const MARGIN: Duration = Duration::from_secs(1);

/// The observer, or why there is none.
#[derive(Clone)]
pub(super) struct Manager(Result<Arc<observer::Observer>, Arc<str>>);

pub(super) struct Watch {
    _watching: Option<observer::Watching>,
}

impl Manager {
    pub(super) fn new(_scope: Scope) -> Self {
        Self(observer::Observer::spawn().map(Arc::new).map_err(|error| {
            tracing::error!(%error, "No thread to watch services");
            format!("no thread to watch services: {error}").into()
        }))
    }

    pub(super) fn watch(&self, name: &str, sink: Sink) -> Watch {
        match &self.0 {
            Ok(observer) => Watch { _watching: Some(observer.watch(name, sink)) },
            Err(why) => {
                sink(observer::blind_report(why));
                Watch { _watching: None }
            }
        }
    }

    pub(super) async fn look(&self, name: &str) -> UnitReport {
        match &self.0 {
            Ok(observer) => observer.look(name).await.report,
            Err(why) => observer::blind_report(why),
        }
    }

    pub(super) async fn start(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        self.carry_out(name, timeout, orders::start).await
    }

    pub(super) async fn stop(&self, name: &str, timeout: Duration) -> Result<(), UnitError> {
        let _announced = self.0.as_ref().ok().map(|observer| observer.our_stop(name));
        let stopped = self.carry_out(name, timeout, orders::stop).await;
        // The watchers must see the end while it is known to be ours.
        self.look(name).await;
        stopped
    }

    pub(super) async fn restart(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        let begun = tokio::time::Instant::now();
        // What hangs gets killed early enough that the start has time, too.
        self.stop(name, timeout / 2).await.map_err(|error| of_whole_order(error, timeout))?;
        let rest = timeout.saturating_sub(begun.elapsed());
        self.start(name, rest).await.map_err(|error| of_whole_order(error, timeout))
    }

    /// Runs an order on a thread that may block. Some calls cannot be cut short; the caller is not kept by them.
    async fn carry_out<T: Send + 'static>(
        &self,
        name: &str,
        timeout: Duration,
        order: fn(&str, Option<u32>, Duration) -> Result<T, UnitError>,
    ) -> Result<T, UnitError> {
        let gone = match &self.0 {
            Ok(observer) => observer.look(name).await.gone,
            Err(_) => None,
        };
        let owned = name.to_owned();
        let done = tokio::task::spawn_blocking(move || order(&owned, gone, timeout));
        match tokio::time::timeout(timeout + MARGIN, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(UnitError::Unreachable { why: "the runtime is shutting down".to_owned() }),
            Err(_) => Err(UnitError::TimedOut { name: name.to_owned(), after: timeout }),
        }
    }
}

/// A half that took too long is told with the time of the whole.
fn of_whole_order(error: UnitError, timeout: Duration) -> UnitError {
    match error {
        UnitError::TimedOut { name, .. } => UnitError::TimedOut { name, after: timeout },
        UnitError::NotFound { .. }
        | UnitError::Denied { .. }
        | UnitError::Failed { .. }
        | UnitError::Unreachable { .. } => error,
    }
}
