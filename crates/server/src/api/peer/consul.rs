//! `/v1/agent/check…`: TTL checks of Consul. The token is one that may write: `X-Consul-Token`, a bearer, or `?token=`.
//!
//! Many clients send no token with a TTL check, so `peers.consul_from` can name networks that need none. A page in a
//! browser there could send such a request too; browsers say so, and are refused.

use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use http::header;
use lifesign_core::model::{CheckKind, ServiceId, State as Health};
use lifesign_proto::peer::Reply;
use lifesign_proto::peer::consul::{
    Shown, Status, deregistered, forbidden, list as write, read_registration, read_update, read_verb, taken,
    unknown,
};

use super::{answer, bearer, beginning, hand_in, may, not_reached};
use crate::AppState;
use crate::auth::{Client, Privilege};

/// Bytes of a body that are read.
const LONGEST: usize = 64 * 1024;

/// Takes `pass`, `warn`, `fail`, `update` and `deregister`.
pub(super) async fn change(
    State(state): State<AppState>,
    Path((verb, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let query = query.unwrap_or_default();
    if !is_allowed(&state, &request, &query, Privilege::Write) {
        return answer(forbidden());
    }
    let Some(service) = find(&state, &id) else { return answer(unknown(&id)) };
    let report = match (verb.as_str(), Status::of_verb(&verb)) {
        (_, Some(status)) => Ok(read_verb(status, &query)),
        ("update", None) => read_update(&beginning(request.into_body(), LONGEST, &state.limits).await),
        ("deregister", None) => Ok(deregistered()),
        (_, None) => Err(Reply::text(404, "Invalid URL path: not a recognized HTTP API endpoint")),
    };
    match report {
        Ok(report) => hand_in(&state, &service, report, taken(), unknown(&id)).await,
        Err(refused) => answer(refused),
    }
}

/// Says whether a check is known; what a registration asks for stands in our configuration.
pub(super) async fn register(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if !is_allowed(&state, &request, &query.unwrap_or_default(), Privilege::Write) {
        return answer(forbidden());
    }
    match read_registration(&beginning(request.into_body(), LONGEST, &state.limits).await) {
        Ok(id) if find(&state, &id).is_some() => answer(taken()),
        Ok(id) => answer(unknown(&id)),
        Err(refused) => answer(refused),
    }
}

/// Shows the checks that clients know.
pub(super) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if !is_allowed(&state, &request, &query.unwrap_or_default(), Privilege::Read) {
        return answer(forbidden());
    }
    let table = state.peers.table();
    let looked = state.engine.read(move |engine, now| {
        let checks = table.consul.iter().filter_map(|(id, service)| {
            let view = engine.service(service.as_str(), now)?;
            let heart = view.checks.into_iter().find(|check| check.kind == CheckKind::Heartbeat);
            Some(Shown {
                id: id.clone(),
                service: service.to_string(),
                status: status(view.state),
                output: heart.map(|check| check.output).unwrap_or_default(),
                node: view.host.to_string(),
            })
        });
        checks.collect::<Vec<_>>()
    });
    match looked.await {
        Ok(checks) => answer(write(checks)),
        Err(unreached) => not_reached(unreached),
    }
}

/// Our states in Consul's words; a check that has not reported yet is critical there too.
const fn status(state: Health) -> Status {
    match state {
        Health::Up => Status::Passing,
        Health::Degraded | Health::Suspect => Status::Warning,
        Health::Pending | Health::Down | Health::Unknown => Status::Critical,
    }
}

fn find(state: &AppState, id: &str) -> Option<ServiceId> {
    state.peers.table().consul.get(id).cloned()
}

fn is_allowed(state: &AppState, request: &Request, query: &str, privilege: Privilege) -> bool {
    let headers = request.headers();
    let header = headers.get("x-consul-token").and_then(|value| value.to_str().ok());
    let in_query = || {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned())
    };
    let token = header.or_else(|| bearer(headers)).map(str::to_owned).or_else(in_query);
    match token.filter(|token| !token.is_empty()) {
        Some(token) => may(state, Some(&token), privilege),
        None => {
            let is_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
            !is_browser && Client::of(request).is_in(&state.peers.table().consul_from)
        }
    }
}
