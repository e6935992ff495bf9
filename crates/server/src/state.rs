//! What every handler is given.

use std::sync::Arc;

use lifesign_component::{Board, Stop};
use lifesign_store::Store;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use crate::api::Rate;
use crate::auth::{Access, Sessions};
use crate::engine::{Clock, EngineHandle};
use crate::enrol::Enrolment;
use crate::events::Events;
use crate::figures::Figures;
use crate::hold::OnHold;
use crate::limits::Limits;
use crate::link::Desk;
use crate::peer::Peers;
use crate::ping::Pings;
use crate::reload::Reloader;
use crate::tunnel::Tunnelled;

/// Everything a request may reach; cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The present: services, open incidents, alerts; and the way to change them.
    pub engine: EngineHandle,
    /// The past: closed incidents, transitions, notifications, audit.
    pub store: Store,
    /// What changes, as it changes.
    pub events: Events,
    /// Who may do what; exchanged whole by a reload.
    pub access: Access,
    /// What clients of other monitors call the services; exchanged whole by a reload.
    pub peers: Peers,
    /// Programs on this host that ping as Healthchecks wants it.
    pub pings: Pings,
    /// Browsers that are logged in.
    pub sessions: Sessions,
    /// How lifesign's own parts stand.
    pub board: Board,
    /// Both clocks.
    pub clock: Clock,
    /// Hosts with certificates of the server's own authority.
    pub enrolment: Enrolment,
    /// Agents of other hosts.
    pub desk: Desk,
    /// Reads the configuration again.
    pub reloader: Reloader,
    /// Whether alerts and restarts of all services are held.
    pub hold: OnHold,
    /// Limits of the HTTP side.
    pub limits: Arc<Limits>,
    /// Where people reach this server, without a slash at the end; `None`: nobody said.
    pub external_url: Option<Arc<str>>,
    /// Given when the server is to end; streams end with it.
    pub(crate) stop: Stop,
    /// Takes connections that come inside a WebSocket; `None`: no TLS is spoken.
    pub(crate) tunnels: Option<mpsc::Sender<Tunnelled>>,
    pub(crate) rate: Rate,
    pub(crate) figures: Figures,
    /// Places for followers of the live events.
    pub(crate) followers: Arc<Semaphore>,
    /// The OpenAPI document.
    pub(crate) document: Arc<Value>,
}
