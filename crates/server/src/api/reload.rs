//! `POST /api/v1/reload`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use lifesign_proto::{Fault, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Failure;
use crate::AppState;
use crate::auth::Caller;
use crate::reload::ReloadError;

/// What came of a reload.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// How many services are watched now.
    services: usize,
    /// What the configuration says that works, but should not stay.
    warnings: Vec<String>,
}

/// Read the configuration again
///
/// No state and no heartbeat is lost. A configuration with errors changes nothing; all of them are
/// named.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "configuration",
    security(("token" = ["write"])),
    responses(
        (status = 200, description = "The new configuration holds", body = Reloaded),
        (status = 422, description = "The configuration has errors; nothing has changed", body = Problem),
    )
)]
pub(super) async fn post(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Reloaded>, Failure> {
    match state.reloader.reload(caller.name).await {
        Ok(done) => Ok(Json(Reloaded { services: done.services, warnings: done.warnings })),
        Err(ReloadError::Unreached(unreached)) => Err(unreached.into()),
        Err(ReloadError::Rejected(errors)) => {
            let count = errors.len();
            let faults = errors.into_iter().map(|detail| Fault { pointer: String::new(), detail }).collect();
            Err(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("the configuration has {count} errors; nothing has changed"),
            )
            .faults(faults))
        }
    }
}
