//! What the system knows of a unit beside its state: told once, and again when it has changed.
//!
//! It decides nothing, so it comes after the state and never holds it up.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_os::unit::{ServiceManager, Sink};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

/// How long after news of a unit the system is asked: one change makes several reports.
const SETTLE: Duration = Duration::from_secs(1);
/// How often it is asked although nothing was heard: somebody may have edited the unit.
const EVERY: Duration = Duration::from_secs(300);

/// The same sink, which also says that there is news.
pub(crate) fn noticing(sink: Sink, news: &Arc<Notify>) -> Sink {
    let news = Arc::clone(news);
    Arc::new(move |report| {
        sink(report);
        news.notify_one();
    })
}

/// Tells what the system knows of a unit, for as long as anybody listens.
pub(crate) async fn tell(
    manager: ServiceManager,
    unit: String,
    service: ServiceId,
    news: Arc<Notify>,
    inputs: mpsc::Sender<Input>,
) {
    let mut told = None;
    loop {
        match manager.info(&unit).await {
            Ok(info) => {
                let facts = info.facts();
                if told.as_ref() != Some(&facts) {
                    told = Some(facts.clone());
                    let input = Input::UnitFacts { service: service.clone(), facts: Box::new(facts) };
                    if inputs.send(input).await.is_err() {
                        return;
                    }
                }
            }
            // Its state says so, too.
            Err(error) => {
                tracing::debug!(%service, %error, "Cannot ask what else the system knows of a unit")
            }
        }
        // Either way it is asked again.
        let _ = timeout(EVERY, news.notified()).await;
        sleep(SETTLE).await;
    }
}
