//! `POST /api/v1/endpoints/KEY/external`: external endpoints of Gatus.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, header};
use lifesign_proto::peer::gatus::{bearer, forbidden, report as read, success, taken, unknown};
use lifesign_proto::peer::{Reply, Report};

use super::{answer, hand_in, may};
use crate::AppState;
use crate::auth::Privilege;
use crate::peer::GatusEndpoint;

/// Report as to Gatus
///
/// For clients of Gatus. The bearer is the endpoint's own token, `peers.gatus.token` of a service, or any that may write.
#[utoipa::path(
    post, path = "/api/v1/endpoints/{key}/external", tag = "peers", security(()),
    params(
        ("key" = String, Path, description = "The endpoint's key, `GROUP_NAME`"),
        ("success" = bool, Query, description = "Whether it works"),
        ("error" = Option<String>, Query, description = "What is wrong, shown with the service"),
        ("duration" = Option<String>, Query, description = "As Go writes it, `250ms`; becomes the metric `duration_seconds`"),
    ),
    responses(
        (status = 200, description = "Taken; no body"),
        (status = 400, description = "`success` or `duration` is wrong; says which", body = String),
        (status = 401, description = "No token, or one of something else", body = String),
        (status = 404, description = "There is no such endpoint", body = String),
        (status = 429, description = "More than the configured rate; Retry-After says when", body = String),
    )
)]
pub(super) async fn report(
    State(state): State<AppState>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match judge(&state, &key, &query, header) {
        Ok((endpoint, report)) => hand_in(&state, &endpoint.service, report, taken(), unknown()).await,
        Err(refused) => answer(refused),
    }
}

/// Looks at everything in Gatus's own order.
fn judge(
    state: &AppState,
    key: &str,
    query: &str,
    header: Option<&str>,
) -> Result<(GatusEndpoint, Report), Reply> {
    let success = success(query)?;
    let token = bearer(header)?;
    let endpoint = state.peers.table().gatus.get(key).cloned().ok_or_else(unknown)?;
    let is_own = endpoint.token.is_some_and(|own| own.is_of(token));
    if !is_own && !may(state, Some(token), Privilege::Write) {
        return Err(forbidden());
    }
    Ok((endpoint, read(success, query)?))
}
