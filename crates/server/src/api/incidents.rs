//! Incidents: the open ones from the engine, the closed ones from the store.

use axum::extract::State;
use axum::{Extension, Json};
use lifesign_core::effect;
use lifesign_core::engine::Answer;
use lifesign_core::input::{Order, Refusal};
use lifesign_core::model::IncidentId;
use lifesign_store::IncidentQuery;
use serde::Deserialize;

use super::extract::{Number, Params};
use super::page;
use super::problem::Failure;
use super::shape::{Incident, List};
use crate::AppState;
use crate::auth::Caller;

/// Which incidents.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only open (`true`) or only closed ones (`false`).
    open: Option<bool>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page: 100 unless told, at most 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// The incidents
///
/// Newest first, without their timelines.
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", params(Which),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of incidents", body = List<Incident>))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(which): Params<Which>,
) -> Result<Json<List<Incident>>, Failure> {
    let limit = page::limit(which.limit)?;
    let cursor = page::store_cursor(which.cursor.as_deref())?;
    let is_first = cursor.is_none();
    let query = IncidentQuery { open: which.open, service: None };
    let mut page = state.store.incidents(query, cursor, limit).await?;
    if which.open != Some(false) {
        let open = state.engine.read(|engine, _now| engine.open_incidents()).await?;
        freshen(&mut page.items, open, is_first);
    }
    page.items.retain(|incident| which.open.is_none_or(|open| incident.closed_at.is_none() == open));
    Ok(Json(page::stored(page)))
}

/// What the engine knows of open incidents is newer than what is on the disk: it takes the place of that,
/// and incidents that are not there yet stand before the `is_first` page.
fn freshen(stored: &mut Vec<effect::Incident>, open: Vec<effect::Incident>, is_first: bool) {
    let newest = stored.first().map(|incident| incident.id);
    let mut new: Vec<effect::Incident> = Vec::new();
    for incident in open {
        if let Some(known) = stored.iter_mut().find(|known| known.id == incident.id) {
            *known = incident;
        } else if is_first && newest.is_none_or(|newest| incident.id > newest) {
            new.push(incident);
        }
    }
    new.sort_by_key(|incident| std::cmp::Reverse(incident.id));
    stored.splice(0..0, new);
}

/// One incident
///
/// With its timeline.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "incidents",
    params(("id" = u64, Path, description = "The incident's number")),
    security(("token" = ["read"])),
    responses((status = 200, description = "The incident", body = Incident))
)]
pub(super) async fn show(
    State(state): State<AppState>,
    Number(id): Number,
) -> Result<Json<Incident>, Failure> {
    one(&state, IncidentId(id)).await.map(Json)
}

/// Somebody takes care
///
/// Under the name of the token; whoever comes later takes over.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/ack", tag = "incidents",
    params(("id" = u64, Path, description = "The incident's number")),
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "The incident, acknowledged", body = Incident),
        (status = 409, description = "The incident is closed already", body = lifesign_proto::Problem),
    )
)]
pub(super) async fn acknowledge(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Number(id): Number,
) -> Result<Json<Incident>, Failure> {
    let id = IncidentId(id);
    match state.engine.order(caller.name, Order::Acknowledge(id)).await? {
        Answer::Refused(Refusal::NoSuchIncident(_)) => {
            // The engine knows open incidents only; the store tells a closed one from none.
            one(&state, id).await?;
            Err(Refusal::IncidentClosed(id).into())
        }
        Answer::Refused(refusal) => Err(refusal.into()),
        Answer::Done | Answer::Action(_) | Answer::Beat(_) | Answer::NoSuchService => {
            one(&state, id).await.map(Json)
        }
    }
}

async fn one(state: &AppState, id: IncidentId) -> Result<Incident, Failure> {
    let open = state.engine.read(move |engine, _now| engine.open_incident(id)).await?;
    let found = match open {
        Some(open) => Some(open),
        None => state.store.incident(id).await?,
    };
    found.map(Into::into).ok_or_else(|| Refusal::NoSuchIncident(id).into())
}
