//! Services: look at them, give orders.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use lifesign_core::engine::Answer;
use lifesign_core::input::Order;
use lifesign_core::model::{self, ServiceId};
use serde::Deserialize;

use super::extract::{Id, Params};
use super::page;
use super::problem::Failure;
use super::shape::{List, Ordered, Service};
use crate::AppState;
use crate::auth::Caller;

/// Which services.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only services in this state.
    #[param(value_type = Option<String>)]
    state: Option<model::State>,
    /// Only services of this host.
    host: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page: 100 unless told, at most 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// The services
///
/// In the order of the configuration.
#[utoipa::path(
    get, path = "/api/v1/services", tag = "services", params(Which),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of services", body = List<Service>))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(which): Params<Which>,
) -> Result<Json<List<Service>>, Failure> {
    let limit = page::limit(which.limit)?;
    let mut services = state.engine.read(|engine, now| engine.services(now)).await?;
    services.retain(|service| {
        which.state.is_none_or(|state| service.state == state)
            && which.host.as_deref().is_none_or(|host| &*service.host == host)
    });
    page::cut_from(services, which.cursor.as_deref(), limit, |service| service.id.as_str()).map(Json)
}

/// One service
#[utoipa::path(
    get, path = "/api/v1/services/{id}", tag = "services",
    params(("id" = String, Path, description = "The service's id")),
    security(("token" = ["read"])),
    responses((status = 200, description = "The service", body = Service))
)]
pub(super) async fn show(State(state): State<AppState>, Id(id): Id) -> Result<Json<Service>, Failure> {
    one(&state, id).await.map(Json)
}

/// Restart now
///
/// Counts against no budget. Answers once the order is written down; how it ends is told by `action`
/// events and on the incident's timeline.
#[utoipa::path(
    post, path = "/api/v1/services/{id}/restart", tag = "services",
    params(("id" = String, Path, description = "The service's id")),
    security(("token" = ["write"])),
    responses(
        (status = 202, description = "The restart is ordered", body = Ordered),
        (status = 409, description = "Refused, with the reason", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn restart(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<(StatusCode, Json<Ordered>), Failure> {
    match state.engine.order(caller.name, Order::Restart(id.clone())).await? {
        Answer::Action(action_id) => {
            Ok((StatusCode::ACCEPTED, Json(Ordered { action_id, service_id: id.into() })))
        }
        Answer::Refused(refusal) => Err(refusal.into()),
        Answer::NoSuchService => Err(Failure::no_service(id.as_str())),
        Answer::Done | Answer::Beat(_) => {
            Err(Failure::new(StatusCode::CONFLICT, format!("no restart of {id} came of this order")))
        }
    }
}

/// Hold alerts and restarts
///
/// Watching goes on.
#[utoipa::path(
    post, path = "/api/v1/services/{id}/pause", tag = "services",
    params(("id" = String, Path, description = "The service's id")),
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "The service, paused", body = Service),
        (status = 409, description = "Refused, with the reason", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn pause(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Service>, Failure> {
    change(&state, caller.name, Order::Pause(id.clone()), id).await
}

/// End a pause
#[utoipa::path(
    post, path = "/api/v1/services/{id}/resume", tag = "services",
    params(("id" = String, Path, description = "The service's id")),
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "The service, no longer paused", body = Service),
        (status = 409, description = "Refused, with the reason", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn resume(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Service>, Failure> {
    change(&state, caller.name, Order::Resume(id.clone()), id).await
}

/// Forget a service that its own heartbeat has made
///
/// Its open incident closes. The next heartbeat makes it anew, as long as `heartbeats.create_unknown` is set.
#[utoipa::path(
    post, path = "/api/v1/services/{id}/forget", tag = "services",
    params(("id" = String, Path, description = "The service's id")),
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "It is watched no longer; this is how it stood", body = Service),
        (status = 409, description = "The configuration names it, and only that can end it", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn forget(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Service>, Failure> {
    let last = one(&state, id.clone()).await?;
    match state.engine.order(caller.name, Order::Forget(id.clone())).await? {
        Answer::Done | Answer::Action(_) | Answer::Beat(_) => Ok(Json(last)),
        Answer::NoSuchService => Err(Failure::no_service(id.as_str())),
        Answer::Refused(refusal) => Err(refusal.into()),
    }
}

async fn change(
    state: &AppState,
    by: Arc<str>,
    order: Order,
    id: ServiceId,
) -> Result<Json<Service>, Failure> {
    match state.engine.order(by, order).await? {
        Answer::Done | Answer::Action(_) | Answer::Beat(_) => one(state, id).await.map(Json),
        Answer::NoSuchService => Err(Failure::no_service(id.as_str())),
        Answer::Refused(refusal) => Err(refusal.into()),
    }
}

async fn one(state: &AppState, id: ServiceId) -> Result<Service, Failure> {
    let wanted = id.clone();
    let view = state.engine.read(move |engine, now| engine.service(wanted.as_str(), now)).await?;
    view.map(Into::into).ok_or_else(|| Failure::no_service(id.as_str()))
}
