//! `/reporter/PROBE/NODE/`: reporters of Vigil. Their token is one that may write, as the password of Basic.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::vigil::{goodbye, read, taken, unknown};

use super::{answer, beginning, hand_in, may_write, unauthorised};
use crate::AppState;

/// Bytes of a report that are read; a whole one has about a hundred.
const LONGEST: usize = 4096;

/// Takes a report.
pub(super) async fn report(
    State(state): State<AppState>,
    Path((probe, node)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !may_write(&state, &headers) {
        return unauthorised();
    }
    let body = beginning(body, LONGEST, &state.limits).await;
    let (replica, report) = match read(&body) {
        Ok(read) => read,
        Err(refused) => return answer(refused),
    };
    match find(&state, &probe, &node, &replica) {
        Some(service) => hand_in(&state, &service, report, taken(), unknown()).await,
        None => answer(unknown()),
    }
}

/// Takes a goodbye.
pub(super) async fn leave(
    State(state): State<AppState>,
    Path((probe, node, replica)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    if !may_write(&state, &headers) {
        return unauthorised();
    }
    match find(&state, &probe, &node, &replica) {
        Some(service) => hand_in(&state, &service, goodbye(), taken(), unknown()).await,
        None => answer(unknown()),
    }
}

/// The service of one replica, else of its node.
fn find(state: &AppState, probe: &str, node: &str, replica: &str) -> Option<ServiceId> {
    let table = state.peers.table();
    let node = format!("{probe}/{node}");
    table.vigil.get(&format!("{node}/{replica}")).or_else(|| table.vigil.get(&node)).cloned()
}
