//! What pages show beyond the present: the open incidents from the engine, everything older from the store.

use lifesign_core::effect::{Incident, TimelineEntry, Transition};
use lifesign_core::model::{IncidentId, ServiceId};
use lifesign_core::time::Wall;
use lifesign_store::{Cursor, IncidentQuery, MAX_PAGE, ReadError, SentNotification};

use crate::AppState;
use crate::engine::Unreached;

/// Most lines of a list on one page.
const PAGE: usize = 50;
/// Most incidents shown with their service.
const OF_ONE_SERVICE: usize = 10;

/// Why a page cannot be shown now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    #[error(transparent)]
    Engine(#[from] Unreached),
    #[error(transparent)]
    Store(#[from] ReadError),
}

/// A piece of a list, and where the next one begins.
pub(super) type Piece<T> = (Vec<T>, Option<String>);

/// Changes of one service since `since`, oldest first; of very many only the newest.
pub(super) async fn changes(
    state: &AppState,
    service: &ServiceId,
    since: Wall,
) -> Result<Vec<Transition>, Unavailable> {
    let mut changes = state.store.transitions(service.clone(), since, MAX_PAGE).await?;
    changes.reverse();
    Ok(changes)
}

/// Incidents, newest first: the open ones, then the closed ones from `before` on.
pub(super) async fn incidents(
    state: &AppState,
    open_only: bool,
    before: Option<&str>,
) -> Result<Piece<Incident>, Unavailable> {
    let before = before.and_then(|before| before.parse::<Cursor>().ok());
    let mut incidents = match before {
        None => state.engine.read(|engine, _| engine.open_incidents()).await?,
        Some(_) => Vec::new(),
    };
    if open_only {
        return Ok((incidents, None));
    }
    let closed = IncidentQuery { open: Some(false), service: None };
    let page = state.store.incidents(closed, before, PAGE).await?;
    incidents.extend(page.items);
    Ok((incidents, page.next.map(|next| next.to_string())))
}

/// The newest incidents of one service.
pub(super) async fn incidents_of(
    state: &AppState,
    service: &ServiceId,
) -> Result<Vec<Incident>, Unavailable> {
    let mut incidents = state.engine.read(|engine, _| engine.open_incidents()).await?;
    incidents.retain(|incident| incident.service_id == *service);
    let closed = IncidentQuery { open: Some(false), service: Some(service.clone()) };
    incidents.extend(state.store.incidents(closed, None, OF_ONE_SERVICE).await?.items);
    Ok(incidents)
}

/// One incident with its timeline, oldest line first.
pub(super) async fn incident(
    state: &AppState,
    id: IncidentId,
) -> Result<Option<(Incident, Vec<TimelineEntry>)>, Unavailable> {
    match state.engine.read(move |engine, _| engine.open_incident(id)).await? {
        Some(open) => Ok(Some(open)),
        None => Ok(state.store.incident(id).await?),
    }
}

/// Notifications, newest first, from `before` on.
pub(super) async fn notifications(
    state: &AppState,
    before: Option<&str>,
) -> Result<Piece<SentNotification>, Unavailable> {
    let before = before.and_then(|before| before.parse::<Cursor>().ok());
    let page = state.store.notifications(before, PAGE).await?;
    Ok((page.items, page.next.map(|next| next.to_string())))
}

/// The notifications that told of one incident, among the newest [`MAX_PAGE`] of all; the timeline of an
/// older one tells of them too.
pub(super) async fn notifications_of(
    state: &AppState,
    incident: IncidentId,
) -> Result<Vec<SentNotification>, Unavailable> {
    let mut page = state.store.notifications(None, MAX_PAGE).await?;
    page.items.retain(|sent| sent.notification.incident == Some(incident));
    Ok(page.items)
}
