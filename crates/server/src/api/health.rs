//! Is it alive, is it ready: for load balancers, orchestrators and people.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lifesign_component::Standing;
use serde::Serialize;
use utoipa::ToSchema;

use crate::AppState;

/// The engine loop must turn within this, or the process is held to be stuck.
const TURNS_WITHIN: Duration = Duration::from_secs(5);

/// How lifesign itself stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `UP` or `DOWN`.
    status: &'static str,
    /// Whether alerts and restarts of all services are held; watching goes on, so it is ready all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    /// Each part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, Part>,
}

/// How one part stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Part {
    /// `UP`, `STARTING`, `DOWN` or `STOPPED`.
    status: &'static str,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How often it was started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts: Option<usize>,
}

impl Health {
    fn answer(self) -> Response {
        let status = if self.status == "UP" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

/// Whether the process lives
///
/// 200 as long as the engine loop turns; else the process is stuck and should be started again.
#[utoipa::path(
    get, path = "/livez", tag = "health", security(()),
    responses(
        (status = 200, description = "It lives", body = Health),
        (status = 503, description = "The engine does not turn", body = Health),
    )
)]
pub(super) async fn livez(State(state): State<AppState>) -> Response {
    let turns = turns(&state).await;
    let status = if turns { "UP" } else { "DOWN" };
    Health { status, paused: None, details: BTreeMap::new() }.answer()
}

/// Whether it does its work
///
/// 200 once state is restored and every part is at work. `paused` says whether the service manager has put alerts
/// and restarts of all services on hold.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "A part is not at work; its line says why", body = Health),
    )
)]
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    let mut details: BTreeMap<String, Part> = BTreeMap::new();
    for part in state.board.read() {
        let status = match part.status {
            Standing::Starting => "STARTING",
            Standing::Up => "UP",
            Standing::Down => "DOWN",
            Standing::Stopped => "STOPPED",
        };
        let error = (part.status != Standing::Up).then_some(part.last_error).flatten();
        let restarts = (part.restarts > 0).then_some(part.restarts);
        details.insert(part.name.to_owned(), Part { status, error, restarts });
    }
    if !turns(&state).await {
        let error = Some(format!("it does not answer within {TURNS_WITHIN:?}"));
        details.insert("engine".to_owned(), Part { status: "DOWN", error, restarts: None });
    }
    let trouble =
        state.store.health().trouble.map(|trouble| format!("{} (since {})", trouble.what, trouble.since));
    let status = if trouble.is_none() { "UP" } else { "DOWN" };
    details.insert("store".to_owned(), Part { status, error: trouble, restarts: None });
    let status = if details.values().all(|part| part.status == "UP") { "UP" } else { "DOWN" };
    Health { status, paused: Some(state.hold.is_set()), details }.answer()
}

async fn turns(state: &AppState) -> bool {
    let look = state.engine.read(|_engine, _now| ());
    matches!(tokio::time::timeout(TURNS_WITHIN, look).await, Ok(Ok(())))
}
