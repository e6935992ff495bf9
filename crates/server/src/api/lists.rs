//! Rules, alerts, hosts, notifications and the audit log: lists to look at.

use axum::Json;
use axum::extract::State;

use super::extract::Params;
use super::page::{self, Page};
use super::problem::Failure;
use super::shape::{Alert, AuditEntry, Host, List, Notification, Rule};
use crate::AppState;

/// The rules
///
/// In the order of the configuration, each with the alerts it has now.
#[utoipa::path(
    get, path = "/api/v1/rules", tag = "alerts", params(Page),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of rules", body = List<Rule>))
)]
pub(super) async fn rules(
    State(state): State<AppState>,
    Params(page): Params<Page>,
) -> Result<Json<List<Rule>>, Failure> {
    let limit = page.limit()?;
    let rules = state.engine.read(|engine, _now| engine.rules()).await?;
    page::cut_from(rules, page.cursor.as_deref(), limit, |rule| &*rule.alert).map(Json)
}

/// The alerts
///
/// Those pending and firing, oldest first.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", params(Page),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of alerts", body = List<Alert>))
)]
pub(super) async fn alerts(
    State(state): State<AppState>,
    Params(page): Params<Page>,
) -> Result<Json<List<Alert>>, Failure> {
    let limit = page.limit()?;
    let alerts = state.engine.read(|engine, _now| engine.alerts()).await?;
    page::cut_from(alerts, page.cursor.as_deref(), limit, |alert| &*alert.fingerprint).map(Json)
}

/// The hosts
///
/// By name, each with its last sample.
#[utoipa::path(
    get, path = "/api/v1/hosts", tag = "hosts", params(Page),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of hosts", body = List<Host>))
)]
pub(super) async fn hosts(
    State(state): State<AppState>,
    Params(page): Params<Page>,
) -> Result<Json<List<Host>>, Failure> {
    let limit = page.limit()?;
    let hosts = state.engine.read(|engine, now| engine.hosts(now)).await?;
    page::cut_from(hosts, page.cursor.as_deref(), limit, |host| &*host.host).map(Json)
}

/// The notifications
///
/// Newest first, pending, delivered and refused ones.
#[utoipa::path(
    get, path = "/api/v1/notifications", tag = "alerts", params(Page),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of notifications", body = List<Notification>))
)]
pub(super) async fn notifications(
    State(state): State<AppState>,
    Params(page): Params<Page>,
) -> Result<Json<List<Notification>>, Failure> {
    let cursor = page::store_cursor(page.cursor.as_deref())?;
    let sent = state.store.notifications(cursor, page.limit()?).await?;
    Ok(Json(page::stored(sent)))
}

/// The audit log
///
/// Newest first: who ordered what, and how it went.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", params(Page),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of the audit log", body = List<AuditEntry>))
)]
pub(super) async fn audit(
    State(state): State<AppState>,
    Params(page): Params<Page>,
) -> Result<Json<List<AuditEntry>>, Failure> {
    let cursor = page::store_cursor(page.cursor.as_deref())?;
    let entries = state.store.audit(cursor, page.limit()?).await?;
    Ok(Json(page::stored(entries)))
}
