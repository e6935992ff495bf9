//! A pause of all of lifesign, as the service control manager orders it: watching goes on, alerts and restarts of
//! every service are held.
//!
//! Each service that is not paused yet gets paused, so that the pause is seen wherever services are shown. Which ones
//! these were is written down first: a service that a person had paused stays so, and a lifesign that dies while
//! paused lets go of them when it comes back, as the manager then takes it for running.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use lifesign_core::engine::Answer;
use lifesign_core::input::Order;
use lifesign_core::model::ServiceId;
use lifesign_server::AppState;
use lifesign_server::engine::EngineHandle;
use lifesign_server::hold::OnHold;

/// The file that names the services held, beside the store.
const FILE: &str = "held.json";
/// Who orders it, in the audit log.
const BY: &str = "service manager";

/// Holds all services and lets go of them.
pub(crate) struct Hold {
    engine: EngineHandle,
    file: PathBuf,
    /// Where all screens look.
    shown: OnHold,
}

impl Hold {
    pub(crate) fn new(state: &AppState, data_dir: &Path) -> Self {
        Self { engine: state.engine.clone(), file: data_dir.join(FILE), shown: state.hold.clone() }
    }

    /// Whether all services are held.
    pub(crate) fn is_paused(&self) -> bool {
        self.shown.is_set()
    }

    /// Holds every service that is not paused yet; called again it takes in those that have come since.
    ///
    /// # Errors
    /// When the list cannot be written; nothing is held then.
    pub(crate) async fn pause(&self) -> anyhow::Result<usize> {
        let all = self.engine.read(|engine, now| engine.services(now)).await?;
        let new: Vec<ServiceId> =
            all.into_iter().filter(|service| !service.paused).map(|service| service.id).collect();
        let mut held = self.held()?;
        held.extend(new.iter().cloned());
        let text = serde_json::to_vec(&held).context("failed to write the list of held services")?;
        lifesign_os::file::write_private(&self.file, &text)
            .with_context(|| format!("failed to write {}; nothing is held", self.file.display()))?;
        for id in new {
            self.order(Order::Pause(id)).await?;
        }
        self.shown.set(true);
        Ok(held.len())
    }

    /// Lets go of those that were held; those that a person had paused stay so.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub(crate) async fn resume(&self) -> anyhow::Result<usize> {
        let held = self.held()?;
        for id in held.iter().cloned() {
            self.order(Order::Resume(id)).await?;
        }
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("failed to remove {}", self.file.display()));
            }
            _ => {}
        }
        self.shown.set(false);
        Ok(held.len())
    }

    async fn order(&self, order: Order) -> anyhow::Result<()> {
        // A service that a reload has taken away needs nothing.
        if let Answer::Refused(refusal) = self.engine.order(Arc::from(BY), order).await? {
            tracing::debug!(%refusal, "A service could not be held or let go");
        }
        Ok(())
    }

    fn held(&self) -> anyhow::Result<BTreeSet<ServiceId>> {
        match std::fs::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is damaged; remove it and resume the services by hand", self.file.display())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", self.file.display())),
        }
    }
}
