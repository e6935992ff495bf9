//! The `discover` section: units that are watched without being written down.

use std::sync::Arc;
use std::time::Duration;

use lifesign_config::Unit;
use lifesign_config::discover::Discover;
use lifesign_os::unit::ServiceManager;
use lifesign_os::unit::info::{ListChange, Listed};
use lifesign_server::reload::Reloader;
use tokio::sync::{Notify, watch};

use super::kinds::Configuration;
use crate::event_id;

/// How long after a change of the list the next ones are waited for: an installer makes several.
const CHANGES_SETTLE: Duration = Duration::from_secs(2);

/// The list of services that a configuration was completed from; `None`: it has no section `discover`.
pub(super) type Found = Option<Vec<Listed>>;

/// Adds a service for each unit that the section takes. A service manager that cannot be asked adds none, and says so:
/// all that it lists later is new then.
pub(super) async fn add(config: &mut Configuration) -> Found {
    if !config.discover.is_wanted() {
        return None;
    }
    let manager = ServiceManager::new();
    let listed = match manager.list().await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::error!(%error, "Cannot look for services to watch; those of the configuration are watched");
            return Some(Vec::new());
        }
    };
    let units = taken(&manager, &config.discover, &listed).await;
    let added = config.watch_units(units.into_iter().map(unit));
    tracing::info!(found = listed.len(), watched = added.len(), "Looked for services to watch");
    Some(listed)
}

/// The units among these that start by themselves, run until they are stopped, and fit the patterns.
async fn taken(manager: &ServiceManager, discover: &Discover, listed: &[Listed]) -> Vec<String> {
    let mut names = Vec::new();
    for Listed { name, .. } in
        listed.iter().filter(|listed| listed.start.is_automatic() && discover.takes(&listed.name))
    {
        match manager.info(name).await {
            Ok(info) if info.lasts => names.push(name.clone()),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "A service that was found is not watched"),
        }
    }
    names
}

/// The unit of this name, in the system's own kind.
fn unit(name: String) -> Unit {
    if ServiceManager::KIND == "scm" { Unit::Scm(name) } else { Unit::Systemd(name) }
}

/// Reads the configuration again when a service comes or goes or is started otherwise, as long as the configuration
/// in force has a section `discover`; until the result is dropped.
pub(super) fn follow(mut found: watch::Receiver<Found>, reloader: Reloader) -> Following {
    let task = tokio::spawn(async move {
        loop {
            // The configuration has gone only when everything ends.
            let Ok(known) = found.wait_for(Option::is_some).await.map(|known| known.clone()) else { return };
            let changed = Arc::new(Notify::new());
            let news = Arc::clone(&changed);
            let _watch = ServiceManager::new().watch_list(known.unwrap_or_default(), move |change| {
                match change {
                    ListChange::Created(Listed { name, .. }) => {
                        tracing::info!(event_id = event_id::CREATED, unit = name, "There is a new service");
                    }
                    // Told where it was watched.
                    change => tracing::info!(?change, "The list of services has changed"),
                }
                news.notify_one();
            });
            loop {
                tokio::select! {
                    () = changed.notified() => {}
                    gone = found.wait_for(Option::is_none) => match gone {
                        Ok(_) => break,
                        Err(_) => return,
                    },
                }
                tokio::time::sleep(CHANGES_SETTLE).await;
                // The result is logged and audited by the reloader.
                drop(reloader.reload("discover".into()).await);
            }
        }
    });
    Following(task.abort_handle())
}

/// Ends the following when dropped.
pub(super) struct Following(tokio::task::AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}
