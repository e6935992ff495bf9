//! What the system knows of a unit beside its state: told once, and again when it has changed.
//! A change of its configuration while it is watched is an event of the system's log, too.
//!
//! It decides nothing, so it comes after the state and never holds it up.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Setting, UnitFacts};
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::time::Wall;
use lifesign_os::unit::info::UnitInfo;
use lifesign_os::unit::{ServiceManager, Sink, UnitError};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::event_id;

/// How long after news of a unit the system is asked: one change makes several reports.
const SETTLE: Duration = Duration::from_secs(1);
/// How often it is asked although nothing was heard: somebody may have edited the unit.
const EVERY: Duration = Duration::from_secs(300);
/// How long after a sign that services are configured otherwise the next one is heeded: it may be about any service,
/// and some write settings of their own all the time.
const REST: Duration = Duration::from_secs(60);

/// The same sink, which also says that there is news.
pub(crate) fn noticing(sink: Sink, news: &Arc<Notify>) -> Sink {
    let news = Arc::clone(news);
    Arc::new(move |report| {
        sink(report);
        news.notify_one();
    })
}

/// Tells what the system knows of a unit, for as long as anybody listens, and what of it somebody changes meanwhile.
pub(crate) async fn tell(
    manager: ServiceManager,
    unit: String,
    service: ServiceId,
    news: Arc<Notify>,
    inputs: mpsc::Sender<Input>,
) {
    let mut changes = manager.config_changes();
    // The first sign comes at once, and nobody has to rest from it.
    let (mut rested, mut rest) = (Instant::now(), Duration::ZERO);
    let mut known = Known::default();
    let mut told = None;
    loop {
        match manager.info(&unit).await {
            Ok(info) => {
                let facts = known.take(&service, info);
                if told.as_ref() != Some(&facts) {
                    told = Some(facts.clone());
                    let input = Input::UnitFacts { service: service.clone(), facts: Box::new(facts) };
                    if inputs.send(input).await.is_err() {
                        return;
                    }
                }
            }
            Err(UnitError::NotFound { .. }) => known.lose(&service),
            // Its state says so, too.
            Err(error) => {
                tracing::debug!(%service, %error, "Cannot ask what else the system knows of a unit")
            }
        }
        let changed = async {
            sleep_until(rested).await;
            changes.next().await;
        };
        // Either way it is asked again.
        tokio::select! {
            () = changed => rested = Instant::now() + mem::replace(&mut rest, REST),
            () = news.notified() => {}
            () = sleep(EVERY) => {}
        }
        sleep(SETTLE).await;
    }
}

/// What was last known of a unit while it is watched.
#[derive(Default)]
struct Known {
    info: Option<UnitInfo>,
    is_gone: bool,
    changed: BTreeMap<Setting, Wall>,
}

impl Known {
    /// Takes what the system says now, logs what is not as before, and gives what people see.
    fn take(&mut self, service: &ServiceId, info: UnitInfo) -> UnitFacts {
        if mem::take(&mut self.is_gone) {
            tracing::info!(event_id = event_id::CREATED, %service, unit = info.name, "A watched service is there again");
        }
        let changed = self.info.as_ref().map(|before| info.changed_since(before)).unwrap_or_default();
        if !changed.is_empty() {
            let what = changed.iter().map(|setting| setting.word()).collect::<Vec<_>>().join(", ");
            tracing::info!(
                event_id = event_id::RECONFIGURED, %service, unit = info.name, what,
                "A watched service is configured otherwise"
            );
            let now = lifesign_os::clock::now().wall;
            self.changed.extend(changed.into_iter().map(|setting| (setting, now)));
        }
        self.info = Some(info.clone());
        let changed = self.changed.iter().map(|(setting, at)| (*setting, *at)).collect();
        UnitFacts { changed, ..info.facts() }
    }

    /// The system knows it no more.
    fn lose(&mut self, service: &ServiceId) {
        if let Some(info) = &self.info
            && !mem::replace(&mut self.is_gone, true)
        {
            tracing::warn!(event_id = event_id::DELETED, %service, unit = info.name, "A watched service is deleted");
        }
    }
}
