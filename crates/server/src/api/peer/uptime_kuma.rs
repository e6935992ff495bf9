//! `/api/push/TOKEN`: push monitors of Uptime Kuma.

use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use lifesign_proto::peer::uptime_kuma::{read, taken, unknown};

use super::{answer, hand_in};
use crate::AppState;

/// Push as to Uptime Kuma
///
/// For clients of Uptime Kuma, by any method; the token is `peers.uptime_kuma` of a service and opens nothing else.
#[utoipa::path(
    method(get, post), path = "/api/push/{token}", tag = "peers", security(()),
    params(
        ("token" = String, Path, description = "The push token"),
        ("status" = Option<String>, Query, description = "`up`, or left out: alive; anything else: failing"),
        ("msg" = Option<String>, Query, description = "Shown with the service"),
        ("ping" = Option<f64>, Query, description = "Milliseconds; becomes the metric `ping_seconds`"),
    ),
    responses(
        (status = 200, description = "Taken: `{\"ok\":true}`", body = Object),
        (status = 404, description = "No such token, or a wrong time: `{\"ok\":false,\"msg\":\"…\"}`", body = Object),
        (status = 429, description = "More than the configured rate; Retry-After says when", body = String),
    )
)]
pub(super) async fn push(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let report = match read(query.as_deref().unwrap_or_default()) {
        Ok(report) => report,
        Err(refused) => return answer(refused),
    };
    let token = request.uri().path().strip_prefix("/api/push/").unwrap_or_default();
    let service = state.peers.table().uptime_kuma.find(token).cloned();
    match service {
        Some(service) => hand_in(&state, &service, report, taken(), unknown()).await,
        None => answer(unknown()),
    }
}
