//! `/ping/…`: pings as Healthchecks takes them, of programs on this host.
//!
//! The path is the secret, so a check is known by 128 bits that nobody guesses, and only clients on this host are
//! heard. An unknown one gets the same 404 whatever is wrong. Answers are Healthchecks' own words, since its
//! clients read them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use lifesign_component::Stop;
use lifesign_core::engine::Answer;
use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_proto::healthchecks::{Check, MAX_BODY, Ping, PingError, write_uuid};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::AppState;
use crate::auth::Client;
use crate::figures::{Figures, Why};
use crate::limits::Limits;
use crate::listener::Serving;

/// What the path begins with.
const PREFIX: &str = "/ping/";

/// Who is heard by pings, each by a number of its own; cheap to clone, clones are the same. Looked up by hash: how long
/// that takes tells nothing about how much of a guess was right.
#[derive(Clone, Default)]
pub struct Pings(Arc<RwLock<HashMap<u128, ServiceId>>>);

impl Pings {
    /// Hears these, and no others.
    pub fn replace(&self, checks: impl IntoIterator<Item = (u128, ServiceId)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = checks.into_iter().collect();
    }

    fn service(&self, check: &Check) -> Option<ServiceId> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match check {
            Check::Id(number) => known.get(number).cloned(),
            Check::Slug { key, slug } => {
                let number = u128::from_str_radix(key, 16).ok().filter(|_| key.len() == 32)?;
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
    let take: Take = Arc::new(move |beat| {
        let taken = match beats.try_send(beat) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => StatusCode::OK,
            Err(mpsc::error::TrySendError::Closed(_)) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Box::pin(async move { taken })
    });
    let (stop_streams, stop) = Stop::pair();
    let serving = Serving {
        listener,
        router: routes(Hall { pings, limits: Arc::clone(&limits), take }),
        limits,
        trusted_proxies: Arc::from([]),
        figures: Figures::default(),
        stop_streams,
    };
    serving.serve_until(stop).await;
}

/// The route beside the API.
pub(crate) fn router(state: &AppState, pings: Pings) -> Router<AppState> {
    let reached = state.clone();
    let take: Take = Arc::new(move |beat| {
        let state = reached.clone();
        Box::pin(async move { judge(&state, beat).await })
    });
    routes(Hall { pings, limits: Arc::clone(&state.limits), take })
}

fn routes<S: Clone + Send + Sync + 'static>(hall: Hall) -> Router<S> {
    Router::new().route("/ping/{*check}", any(answer)).with_state(hall)
}

/// What becomes of a heartbeat: the status of the answer.
type Take = Arc<dyn Fn(Beat) -> Pin<Box<dyn Future<Output = StatusCode> + Send>> + Send + Sync>;

#[derive(Clone)]
struct Hall {
    pings: Pings,
    limits: Arc<Limits>,
    take: Take,
}

async fn judge(state: &AppState, beat: Beat) -> StatusCode {
    let refused = |reason| state.figures.beats_refused.get_or_create(&Why { reason }).inc();
    if state.rate.take(&beat.service, state.clock.now().mono).is_err() {
        refused("rate");
        return StatusCode::TOO_MANY_REQUESTS;
    }
    match state.engine.beats(vec![beat]).await.as_deref() {
        Ok([Answer::Beat(_)]) => {
            state.figures.beats.inc();
            StatusCode::OK
        }
        Ok(_) => {
            refused("unknown_service");
            StatusCode::NOT_FOUND
        }
        Err(_) => {
            refused("busy");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

async fn answer(State(hall): State<Hall>, request: Request) -> Response {
    match listen(&hall, request).await {
        Ok(status) => words(status, ""),
        Err(error @ PingError::NotFound) => words(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ (PingError::Path | PingError::Run)) => words(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// The answer of one ping; the client waits no longer than its heartbeat takes to be judged.
async fn listen(hall: &Hall, request: Request) -> Result<StatusCode, PingError> {
    if !Client::of(&request).is_local() {
        return Err(PingError::NotFound);
    }
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let ping = Ping::read(path, request.uri().query().unwrap_or_default())?;
    let service = hall.pings.service(&ping.check).ok_or(PingError::NotFound)?;
    let reading = beginning(request.into_body(), hall.limits.body_bytes);
    let Ok(Some(body)) = tokio::time::timeout(hall.limits.body_within, reading).await else {
        return Ok(StatusCode::REQUEST_TIMEOUT);
    };
    match ping.beat(service, &body, &hall.limits.heartbeats) {
        Some(beat) => match (hall.take)(beat).await {
            StatusCode::NOT_FOUND => Err(PingError::NotFound),
            status => Ok(status),
        },
        // Heard, and no sign of life.
        None => Ok(StatusCode::OK),
    }
}

/// The first [`MAX_BODY`] bytes of a body. Of the rest at most `most` bytes are read and thrown away; a client that
/// sends more is answered, and its connection closed. `None`: it broke off.
async fn beginning(mut body: Body, most: usize) -> Option<Vec<u8>> {
    let (mut kept, mut seen) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        let room = MAX_BODY - kept.len();
        kept.extend_from_slice(data.get(..room).unwrap_or(&data));
        if seen > most {
            break;
        }
    }
    Some(kept)
}

fn words(status: StatusCode, text: &str) -> Response {
    let text = match (status, text) {
        (StatusCode::OK, _) => "OK".to_owned(),
        (status, "") => status.canonical_reason().unwrap_or_default().to_lowercase(),
        (_, text) => text.to_owned(),
    };
    let headers = [
        (HeaderName::from_static("ping-body-limit"), HeaderValue::from(MAX_BODY)),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, text).into_response()
}
