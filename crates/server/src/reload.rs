//! A new configuration without losing state: all of it holds, or none of it.
//!
//! The composition reads and checks the files ([`Load`]); this applies what it found to access table,
//! outbox, heartbeat rate and engine, in an order in which nothing is announced to a part that the part
//! before does not know yet. Reloads queue up behind each other.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use lifesign_core::effect::AuditEntry;
use lifesign_core::spec::Spec;
use tokio::sync::Mutex;

use crate::api::Rate;
use crate::auth::{Access, AccessTable};
use crate::engine::{Clock, EngineHandle, Unreached};
use crate::outbox::{Outbox, Recipient};
use crate::peer::{PeerTable, Peers};

/// What a checked configuration says to the server.
pub struct Fresh {
    /// What is watched.
    pub spec: Arc<Spec>,
    /// Who can be told.
    pub recipients: Vec<Recipient>,
    /// Who may do what.
    pub access: AccessTable,
    /// What clients of other monitors call the services.
    pub peers: PeerTable,
    /// Heartbeats a second of one service.
    pub beats_per_second: Option<NonZeroU32>,
    /// What works, but should not stay as it is.
    pub warnings: Vec<String>,
    /// Called when the engine watches the new configuration: the agent's part of the reload.
    pub then: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("spec", &self.spec).field("warnings", &self.warnings).finish()
    }
}

/// Reads and checks the configuration; the errors are complete lines, as `config check` prints them.
pub type Load = Arc<dyn Fn() -> Loading + Send + Sync>;

/// A configuration being read.
pub type Loading = Pin<Box<dyn Future<Output = Result<Fresh, Vec<String>>> + Send>>;

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// How many services are configured now.
    pub services: usize,
    /// What works, but should not stay as it is.
    pub warnings: Vec<String>,
}

/// Why nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has these errors.
    #[error("the configuration has errors, nothing has changed: {}", .0.join("; "))]
    Rejected(Vec<String>),
    /// The engine has stopped.
    #[error(transparent)]
    Unreached(#[from] Unreached),
}

/// Applies new configurations; cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    pub(crate) load: Load,
    pub(crate) engine: EngineHandle,
    pub(crate) outbox: Outbox,
    pub(crate) access: Access,
    pub(crate) peers: Peers,
    pub(crate) rate: Rate,
    pub(crate) clock: Clock,
    pub(crate) one_at_a_time: Arc<Mutex<()>>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloader")
    }
}

impl Reloader {
    /// Reads the configuration again and applies it; `by` stands in the audit log.
    ///
    /// # Errors
    /// When the configuration has errors (nothing has changed), or lifesign is shutting down.
    pub async fn reload(&self, by: Arc<str>) -> Result<Reloaded, ReloadError> {
        let _turn = self.one_at_a_time.lock().await;
        let result = match (self.load)().await {
            Ok(fresh) => Ok(self.apply(fresh).await?),
            Err(errors) => Err(ReloadError::Rejected(errors)),
        };
        let detail = match &result {
            Ok(done) => format!("{} services, {} warnings", done.services, done.warnings.len()),
            Err(error) => error.to_string(),
        };
        match &result {
            Ok(done) => {
                for warning in &done.warnings {
                    tracing::warn!(warning, "Configuration reloaded with a warning");
                }
                tracing::info!(services = done.services, %by, "Configuration reloaded");
            }
            Err(error) => tracing::warn!(%error, %by, "Configuration not reloaded"),
        }
        let (at, action) = (self.clock.now().wall, "reload".into());
        self.engine.audit(AuditEntry { at, by, action, target: "configuration".to_owned(), detail }).await?;
        result
    }

    async fn apply(&self, fresh: Fresh) -> Result<Reloaded, Unreached> {
        let services = fresh.spec.services.len();
        // Receivers before the engine: its next notification may be to a new one.
        self.outbox.exchange(fresh.recipients);
        self.access.exchange(fresh.access);
        self.rate.change(fresh.beats_per_second);
        self.engine.configure(fresh.spec).await?;
        // After the engine: whoever is found here is known there.
        self.peers.exchange(fresh.peers);
        (fresh.then)();
        Ok(Reloaded { services, warnings: fresh.warnings })
    }
}
