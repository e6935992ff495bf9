//! What every handler is given.

use std::sync::Arc;

use lifesign_component::Board;

use crate::auth::{Access, Sessions};
use crate::engine::{Clock, EngineHandle};
use crate::events::Events;

/// Everything a request may reach; cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The present: services, open incidents, alerts; and the way to change them.
    pub engine: EngineHandle,
    /// What changes, as it changes.
    pub events: Events,
    /// Who may do what; exchanged whole by a reload.
    pub access: Access,
    /// Browsers that are logged in.
    pub sessions: Sessions,
    /// How lifesign's own parts stand.
    pub board: Board,
    /// Both clocks.
    pub clock: Clock,
    /// Where people reach this server, without a slash at the end; `None`: nobody said.
    pub external_url: Option<Arc<str>>,
}
