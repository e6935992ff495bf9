//! Puts the parts together: what the composition gives becomes components to be started in order.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use lifesign_component::{Board, Component, Stop};
use lifesign_core::engine::Past;
use lifesign_core::input::Input;
use lifesign_core::model::HostName;
use lifesign_core::spec::Spec;
use lifesign_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::api::{self, Rate};
use crate::auth::{Access, AccessTable, Sessions, Undeclared, guard_pages, login_router};
use crate::engine::{self, Clock, Follow, Loop, Work};
use crate::enrol::{Enrolment, Ways};
use crate::events::Events;
use crate::figures::Figures;
use crate::hold::OnHold;
use crate::limits::{Limits, Network};
use crate::link::{Desk, NewHost};
use crate::listener::lane::Lanes;
use crate::listener::{self, Serving};
use crate::outbox::{self, Outbox, Recipient};
use crate::peer::{PeerTable, Peers, Sockets};
use crate::ping::Pings;
use crate::reload::{Load, Reloader};
use crate::{AppState, tunnel, web};

/// What the server is made of; all of it comes from the composition.
pub struct Parts {
    /// Where it listens; bound already, so that a taken port is found before anything is started.
    pub listener: TcpListener,
    /// The port with TLS, bound, and how it is spoken there.
    pub tls: Option<(TcpListener, Ways)>,
    /// Hosts with certificates of the server's own authority.
    pub enrolment: Enrolment,
    /// Both clocks.
    pub clock: Clock,
    /// The store, open.
    pub store: Store,
    /// What the store remembers of an earlier life.
    pub past: Past,
    /// What is watched.
    pub spec: Arc<Spec>,
    /// Who can be told.
    pub recipients: Vec<Recipient>,
    /// Who may do what.
    pub access: AccessTable,
    /// What clients of other monitors call the services.
    pub peers: PeerTable,
    /// What is opened for those of them that do not speak HTTP.
    pub sockets: Sockets,
    /// What the agent observes. A bounded channel; the server notes when it took each piece, and steps with it
    /// as fast as it can.
    pub inputs: mpsc::Receiver<Input>,
    /// What the agent is to do.
    pub work: mpsc::Sender<Work>,
    /// The name of the host of this very process.
    pub host: HostName,
    /// Called when an agent comes from a host that nobody knew.
    pub new_host: NewHost,
    /// Reads the configuration again.
    pub load: Load,
    /// How lifesign's own parts stand; the one that the supervisor writes.
    pub board: Board,
    /// Limits of the HTTP side.
    pub limits: Limits,
    /// Whether `/metrics` needs no token.
    pub is_metrics_open: bool,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Which services are heard by pings as Healthchecks takes them. The composition changes it with a reload.
    pub pings: Pings,
    /// Where people reach this server, without a slash at the end; `None`: nobody said.
    pub external_url: Option<Arc<str>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("listener", &self.listener).field("limits", &self.limits).finish()
    }
}

/// The server, ready to be started.
#[derive(Debug)]
pub struct Server {
    /// To be started in this order: engine, outbox, API, then what is opened for clients of other monitors.
    pub components: Vec<Component>,
    /// What the handlers are given; the composition reloads through it.
    pub state: AppState,
}

impl Server {
    /// Puts the parts together. Nothing runs yet.
    ///
    /// # Errors
    /// When a route does not declare the privilege it needs: a defect, found at the first start.
    pub fn new(parts: Parts) -> Result<Self, Undeclared> {
        let figures = Figures::default();
        let (engine, requests) = engine::requests(parts.clock.clone());
        let events = Events::new(parts.clock.now().wall.as_millis().to_string());
        let external_url = parts.external_url.clone();
        let (outbox, outbox_runner) = Outbox::new(
            parts.recipients,
            outbox::Surroundings {
                store: parts.store.clone(),
                clock: parts.clock.clone(),
                engine: engine.clone(),
                figures: figures.clone(),
                external_url: external_url.clone().unwrap_or_else(|| {
                    let address = parts.listener.local_addr();
                    address.map_or_else(|_| String::new(), |address| format!("http://{address}")).into()
                }),
            },
        );
        let access = Access::new(parts.access);
        let peers = Peers::new(parts.peers);
        let rate = Rate::new(parts.limits.beats_per_second);
        let (stop_streams, stop) = Stop::pair();
        let (tunnels, tunnelled) = mpsc::channel(tunnel::WAITING);
        let state = AppState {
            engine: engine.clone(),
            store: parts.store.clone(),
            events: events.clone(),
            access: access.clone(),
            peers: peers.clone(),
            pings: parts.pings,
            sessions: Sessions::default(),
            desk: Desk::new(
                engine.clone(),
                parts.clock.clone(),
                parts.host,
                parts.new_host,
                parts.enrolment.clone(),
            ),
            enrolment: parts.enrolment,
            board: parts.board,
            clock: parts.clock.clone(),
            reloader: Reloader {
                load: parts.load,
                engine: engine.clone(),
                outbox: outbox.clone(),
                access,
                peers,
                rate: rate.clone(),
                clock: parts.clock.clone(),
                one_at_a_time: Arc::new(Mutex::new(())),
            },
            hold: OnHold::default(),
            followers: Arc::new(Semaphore::new(parts.limits.followers)),
            limits: Arc::new(parts.limits),
            external_url,
            stop,
            tunnels: parts.tls.is_some().then_some(tunnels),
            rate,
            figures: figures.clone(),
            document: Arc::new(api::document()),
        };
        let serving = Serving {
            listener: parts.listener,
            tls: parts.tls,
            tunnelled,
            router: router(&state, parts.is_metrics_open)?,
            lanes: Some(Arc::new(Lanes::new(state.clone()))),
            limits: Arc::clone(&state.limits),
            trusted_proxies: parts.trusted_proxies.into(),
            figures: figures.clone(),
            stop_streams,
        };
        let engine_loop = Loop {
            clock: parts.clock,
            store: parts.store,
            requests,
            inputs: parts.inputs,
            follow: Follow { outbox, work: parts.work, events, engine, desk: state.desk.clone() },
            figures,
        };
        let (past, spec) = (parts.past, parts.spec);
        past.memories.iter().for_each(|memory| state.desk.pause(&memory.service, memory.paused));
        let mut components = vec![
            Component::essential("engine", move |ready, stop| engine_loop.run(past, spec, ready, stop)),
            Component::essential("outbox", move |ready, stop| outbox_runner.run(ready, stop)),
            Component::essential("api", move |ready, stop| serving.run(ready, stop)),
        ];
        components.extend(parts.sockets.components(&state));
        Ok(Self { components, state })
    }
}

/// Everything that is served on the one port.
fn router(state: &AppState, is_metrics_open: bool) -> Result<Router, Undeclared> {
    let pages = web::router().route_layer(from_fn_with_state(state.clone(), guard_pages));
    Ok(Router::new()
        .merge(pages)
        .merge(web::public())
        .merge(login_router())
        .merge(api::router(state, is_metrics_open)?)
        .route_layer(from_fn(listener::note_route))
        .fallback(api::no_such_route)
        .layer(from_fn(api::name_instance))
        .layer(from_fn_with_state(state.clone(), listener::observe))
        .with_state(state.clone()))
}
