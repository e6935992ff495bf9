//! Pings as Healthchecks takes them, of programs on this host: supervised ones on the one port (`api::peer`), wrapped
//! ones on a listener of their own ([`hear`]).
//!
//! The path is the secret: 128 bits that nobody guesses, made by lifesign and told to the program alone. Only clients on
//! this host are heard by it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use lifesign_component::Stop;
use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::Reply;
use lifesign_proto::peer::healthchecks::{
    BODY_LIMIT, Check, Ping, Query, misnamed, taken, unknown, write_uuid,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::api::{beginning, ping_words};
use crate::auth::Client;
use crate::figures::Figures;
use crate::limits::Limits;
use crate::listener::Serving;

/// What the path begins with.
pub(crate) const PREFIX: &str = "/ping/";

/// Who is heard by pings, each by a number of its own; cheap to clone, clones are the same. Looked up by hash: how long
/// that takes tells nothing about how much of a guess was right.
#[derive(Clone, Default)]
pub struct Pings(Arc<RwLock<HashMap<u128, ServiceId>>>);

impl Pings {
    /// Hears these, and no others.
    pub fn replace(&self, checks: impl IntoIterator<Item = (u128, ServiceId)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = checks.into_iter().collect();
    }

    /// The service that `client` pings with `check`.
    pub(crate) fn find(&self, check: Check<'_>, client: Client) -> Option<ServiceId> {
        if !client.is_local() {
            return None;
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match check {
            Check::Uuid(uuid) => known.get(&u128::from_str_radix(&uuid.replace('-', ""), 16).ok()?).cloned(),
            Check::Slug { ping_key, slug } => {
                let number = u128::from_str_radix(ping_key, 16).ok().filter(|_| ping_key.len() == 32)?;
                known.get(&number).filter(|service| service.as_str() == slug).cloned()
            }
        }
    }
}

/// The numbers are secrets.
impl fmt::Debug for Pings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pings")
    }
}

/// Where the check with this number pings, below `base` (`http://127.0.0.1:7700`).
pub fn url(base: &str, number: u128) -> String {
    format!("{base}{PREFIX}{}", write_uuid(number))
}

/// Hears pings on a listener of their own, until it is dropped; heartbeats go to `beats`. One that finds no room is
/// left out, as the next says the same.
pub async fn hear(listener: TcpListener, pings: Pings, beats: mpsc::Sender<Beat>) {
    let limits = Arc::new(Limits::default());
    let (stop_streams, stop) = Stop::pair();
    let hall = Hall { pings, limits: Arc::clone(&limits), beats };
    // Nobody asks for a WebSocket here.
    let (_, tunnelled) = mpsc::channel(1);
    let serving = Serving {
        lanes: None,
        tunnelled,
        tls: None,
        listener,
        router: Router::new().route("/ping/{*check}", any(answer)).with_state(hall),
        limits,
        trusted_proxies: Arc::from([]),
        figures: Figures::default(),
        stop_streams,
    };
    serving.serve_until(stop).await;
}

#[derive(Clone)]
struct Hall {
    pings: Pings,
    limits: Arc<Limits>,
    beats: mpsc::Sender<Beat>,
}

async fn answer(State(hall): State<Hall>, request: Request) -> Response {
    ping_words(listen(&hall, request).await.unwrap_or_else(|refused| refused))
}

async fn listen(hall: &Hall, request: Request) -> Result<Reply, Reply> {
    let client = Client::of(&request);
    let (parts, body) = request.into_parts();
    let ping = Ping::read(parts.uri.path().strip_prefix(PREFIX).unwrap_or_default()).ok_or_else(unknown)?;
    if ping.is_misnamed() {
        return Err(misnamed());
    }
    let service = hall.pings.find(ping.check, client).ok_or_else(unknown)?;
    let body = beginning(body, BODY_LIMIT, &hall.limits).await;
    let report = ping.report(&Query::read(parts.uri.query().unwrap_or_default()), &body)?;
    // A wrapped program is no job.
    if !report.is_for_jobs()
        && let Some(beat) = report.beat(service, &hall.limits.heartbeats)
        && let Err(mpsc::error::TrySendError::Closed(_)) = hall.beats.try_send(beat)
    {
        return Err(Reply::text(503, "lifesign is shutting down"));
    }
    Ok(taken(false))
}
