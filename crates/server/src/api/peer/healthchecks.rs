//! `/ping/…`: pings of Healthchecks.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::Reply;
use lifesign_proto::peer::healthchecks::{BODY_LIMIT, Check, Ping, Query, misnamed, taken, unknown};

use super::{answer, beginning, hand_in, not_reached};
use crate::AppState;
use crate::auth::Client;
use crate::ping::PREFIX;

const PING_BODY_LIMIT: HeaderName = HeaderName::from_static("ping-body-limit");

/// Takes a ping of any method.
pub(super) async fn ping(State(state): State<AppState>, request: Request) -> Response {
    let client = Client::of(&request);
    let (parts, body) = request.into_parts();
    let body = beginning(body, BODY_LIMIT, &state.limits).await;
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    match take(&state, path, parts.uri.query().unwrap_or_default(), &body, client).await {
        Ok(response) => dress(response),
        Err(refused) => words(refused),
    }
}

/// An answer in Healthchecks' own words, with its headers.
pub(crate) fn words(reply: Reply) -> Response {
    dress(answer(reply))
}

fn dress(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(PING_BODY_LIMIT, BODY_LIMIT.into());
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let never = "max-age=0, no-cache, no-store, must-revalidate, private";
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(never));
    response
}

async fn take(
    state: &AppState,
    path: &str,
    query: &str,
    body: &[u8],
    client: Client,
) -> Result<Response, Reply> {
    let ping = Ping::read(path).ok_or_else(unknown)?;
    if ping.is_misnamed() {
        return Err(misnamed());
    }
    let query = Query::read(query);
    let service = find(state, ping.check, client).ok_or_else(unknown)?;
    // A key of its own opens a service of the configuration; a slug may name anything.
    let is_there = match ping.check {
        Check::Uuid(_) => true,
        Check::Slug { .. } => {
            let asked = service.clone();
            let looked = state.engine.read(move |engine, now| engine.service(asked.as_str(), now).is_some());
            match looked.await {
                Ok(is_there) => is_there,
                Err(unreached) => return Ok(not_reached(unreached)),
            }
        }
    };
    if !is_there && !query.create {
        return Err(unknown());
    }
    let report = ping.report(&query, body)?;
    // Whether a ping may create its check is said by `heartbeats.create_unknown`: where not, the engine knows nobody.
    Ok(hand_in(state, &service, report, taken(!is_there), unknown()).await)
}

/// The service that is meant, by a key of the configuration or by one that lifesign has told a program of this host.
fn find(state: &AppState, check: Check<'_>, client: Client) -> Option<ServiceId> {
    let table = state.peers.table();
    let configured = match check {
        Check::Uuid(uuid) => table.healthchecks.find(uuid).cloned(),
        Check::Slug { ping_key, slug } => {
            table.ping_keys.find(ping_key).and_then(|()| ServiceId::new(slug).ok())
        }
    };
    configured.or_else(|| state.pings.find(check, client))
}
