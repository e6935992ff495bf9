//! `GET /api/v1/events`: live events as a stream of server-sent events (HTML Living Standard, 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName, HeaderValue};
use lifesign_component::Stop;
use lifesign_core::time::Wall;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::ToSchema;

use super::problem::Failure;
use super::shape::{Alert, Incident, StateChange, notify_reason, time, verb};
use crate::AppState;
use crate::auth::AccessTable;
use crate::events::{Done, Event, Events, Following, Live, Told};

/// A comment is sent after this long without an event, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After this long a client that lost its connection should come back.
const COME_BACK: Duration = Duration::from_secs(2);

/// How a notification stands, as `notification` events tell it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationEvent {
    /// When.
    #[schema(schema_with = time)]
    at: Wall,
    /// Its id, the `Idempotency-Key`.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// Who is told.
    #[schema(value_type = String)]
    receiver: Arc<str>,
    /// `queued`, `delivered` or `failed`.
    status: &'static str,
    /// Why it leaves; null when this tells of an attempt.
    #[schema(required)]
    reason: Option<&'static str>,
    /// The incident it tells of.
    #[schema(required)]
    incident_id: Option<u64>,
    /// Attempts so far.
    attempts: u32,
    /// The other side's last words.
    #[schema(required)]
    answer: Option<String>,
}

/// How an action stands, as `action` events tell it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActionEvent {
    /// When.
    #[schema(schema_with = time)]
    at: Wall,
    /// Its id.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// To which service.
    service_id: String,
    /// `ordered`, `done` or `failed`.
    status: &'static str,
    /// What; null when this tells of its end.
    #[schema(required)]
    verb: Option<&'static str>,
    /// Who ordered it; null when this tells of its end.
    #[schema(value_type = Option<String>, required)]
    by: Option<Arc<str>>,
    /// Why it failed.
    #[schema(required)]
    detail: Option<String>,
}

/// Live events
///
/// `state`, `incident`, `alert`, `notification` and `action`, each with one line of JSON. A client that
/// sends `Last-Event-ID` gets what it missed; when that is no longer kept, or the client is too slow, it
/// gets one event `reset` and should read afresh what it shows.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen")),
    security(("token" = ["read"])),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = String),
        (status = 503, description = "Too many clients follow already", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn follow(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<([(HeaderName, HeaderValue); 2], Sse<impl Stream<Item = Result<Sent, Infallible>>>), Failure> {
    let place = Arc::clone(&state.followers).try_acquire_owned().map_err(|_| {
        Failure::unavailable(format!("{} clients follow the events already", state.limits.followers), 30)
    })?;
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let Following { missed, gap, live } = state.events.follow(last_seen);
    let reader = Reader {
        events: state.events,
        stop: state.stop,
        access: state.access.changes(),
        missed: missed.into_iter(),
        next: if gap { Next::Reset("events since then are no longer kept") } else { Next::Greet },
        live,
        _place: place,
    };
    let stream = unfold(reader, |mut reader| async move {
        let sent = reader.next().await?;
        Some((Ok(sent), reader))
    });
    let headers = [
        (http::header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Tells nginx not to hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

enum Next {
    /// Say hello, so that the client sees at once that the stream is open.
    Greet,
    /// Tell that events are lost.
    Reset(&'static str),
    /// Go on with what was missed, then with what happens.
    Follow,
    /// The stream is over.
    End,
}

/// One client's stream.
struct Reader {
    events: Events,
    stop: Stop,
    /// A new configuration ends the stream: whoever may still follow comes back by itself.
    access: watch::Receiver<Arc<AccessTable>>,
    missed: std::vec::IntoIter<Arc<Event>>,
    live: tokio::sync::broadcast::Receiver<Arc<Event>>,
    next: Next,
    /// Its place among the followers.
    _place: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Sent> {
        match std::mem::replace(&mut self.next, Next::Follow) {
            Next::Greet => return Some(Sent::default().retry(COME_BACK).comment("lifesign")),
            Next::Reset(why) => return Some(reset(why).retry(COME_BACK)),
            Next::End => return None,
            Next::Follow => {}
        }
        if let Some(event) = self.missed.next() {
            return Some(sent(&self.events, &event));
        }
        tokio::select! {
            () = self.stop.given() => None,
            _ = self.access.changed() => None,
            event = self.live.recv() => match event {
                Ok(event) => Some(sent(&self.events, &event)),
                Err(RecvError::Lagged(_)) => {
                    // It comes back by itself, and its connection does not hold events for it meanwhile.
                    self.next = Next::End;
                    Some(reset("the client reads more slowly than events happen"))
                }
                Err(RecvError::Closed) => None,
            }
        }
    }
}

fn reset(why: &'static str) -> Sent {
    Sent::default().event("reset").data(serde_json::json!({ "reason": why }).to_string())
}

fn sent(events: &Events, event: &Event) -> Sent {
    Sent::default().event(event.what.name()).id(events.id(event)).data(json(event))
}

/// The event's data: one line of JSON.
fn json(event: &Event) -> String {
    let text = match &event.what {
        Live::State(transition) => serde_json::to_string(&StateChange::from(transition)),
        Live::Incident(incident) => serde_json::to_string(&Incident::from(incident.clone())),
        Live::Alert(alert) => serde_json::to_string(&Alert::from(alert.clone())),
        Live::Notification(told) => serde_json::to_string(&notification(event.at, told)),
        Live::Action(done) => serde_json::to_string(&action(event.at, done)),
    };
    // None of these types can fail to serialise: their keys are texts.
    text.unwrap_or_else(|_| "{}".to_owned())
}

fn notification(at: Wall, told: &Told) -> NotificationEvent {
    NotificationEvent {
        at,
        id: Arc::clone(&told.id),
        receiver: Arc::clone(&told.receiver),
        status: match (told.attempts, told.delivered) {
            (0, _) => "queued",
            (_, true) => "delivered",
            (_, false) => "failed",
        },
        reason: told.reason.map(notify_reason),
        incident_id: told.incident.map(|id| id.0),
        attempts: told.attempts,
        answer: told.answer.clone(),
    }
}

fn action(at: Wall, done: &Done) -> ActionEvent {
    ActionEvent {
        at,
        id: Arc::clone(&done.id),
        service_id: done.service.as_str().to_owned(),
        status: match &done.result {
            None => "ordered",
            Some(Ok(())) => "done",
            Some(Err(_)) => "failed",
        },
        verb: done.verb.map(verb),
        by: done.by.clone(),
        detail: done.result.clone().and_then(Result::err),
    }
}
