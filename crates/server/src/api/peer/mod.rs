//! Routes for clients of other monitors, on the same port: one file each.
//!
//! They are not guarded like the rest of the API, because their clients name themselves in other ways: by a key in the
//! path, or by a token in their own header. Answers are those of the other monitor; only what no client can have met
//! there (a service's rate, a full queue) is answered as everywhere here, with 429 and `Retry-After`.

mod consul;
mod gatus;
mod healthchecks;
mod nagios;
mod uptime_kuma;
mod vigil;

pub(crate) use healthchecks::words as ping_words;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post, put};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::{Form, Reply, Report};
use utoipa::OpenApi;

use super::problem::whole_seconds;
use crate::AppState;
use crate::auth::Privilege;
use crate::engine::Unreached;
use crate::ingest::NotTaken;
use crate::limits::Limits;

/// Most bytes of a body that are read to be thrown away; what is longer is cut off.
const MOST_DRAINED: usize = 16 * 1024 * 1024;

/// The routes under `/api`, which stand in the document.
#[derive(OpenApi)]
#[openapi(paths(uptime_kuma::push, gatus::report))]
pub(super) struct Document;

/// Every route of a client of another monitor.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/ping/{*ping}", any(healthchecks::ping))
        .route("/api/push/{token}", any(uptime_kuma::push))
        .route("/api/v1/endpoints/{key}/external", post(gatus::report))
        .route("/reporter/{probe}/{node}", post(vigil::report))
        .route("/reporter/{probe}/{node}/", post(vigil::report))
        .route("/reporter/{probe}/{node}/{replica}", delete(vigil::leave))
        .route("/reporter/{probe}/{node}/{replica}/", delete(vigil::leave))
        .route("/v1/agent/checks", get(consul::list))
        .route("/v1/agent/check/register", put(consul::register))
        // Older clients, and older Consuls, change checks by GET.
        .route("/v1/agent/check/{verb}/{*id}", put(consul::change).get(consul::change))
        .route("/nagios/commands", post(nagios::commands))
        .route("/v1/actions/process-check-result", post(nagios::action))
}

/// Hands in what a client says about `service`. `taken`: the answer when that counts; `unknown`: when there is no such
/// service (any more).
async fn hand_in(
    state: &AppState,
    service: &ServiceId,
    report: Report,
    taken: Reply,
    unknown: Reply,
) -> Response {
    if report.is_for_jobs() {
        let asked = service.clone();
        let is_job = state.engine.read(move |engine, now| {
            engine.service(asked.as_str(), now).is_some_and(|service| service.job.is_some())
        });
        match is_job.await {
            Ok(true) => {}
            Ok(false) => return answer(taken),
            Err(unreached) => return not_reached(unreached),
        }
    }
    let Some(beat) = report.beat(service.clone(), &state.limits.heartbeats) else { return answer(taken) };
    match state.take_beats(vec![beat]).await.map(|mut taken| taken.pop()) {
        Ok(Some(Ok(_))) => answer(taken),
        Ok(Some(Err(NotTaken::Unknown(_))) | None) => answer(unknown),
        Ok(Some(Err(not_taken @ NotTaken::TooFast(_, wait)))) => {
            later(StatusCode::TOO_MANY_REQUESTS, &not_taken.to_string(), whole_seconds(wait))
        }
        Err(unreached) => not_reached(unreached),
    }
}

/// The answer when the engine takes nothing now.
fn not_reached(unreached: Unreached) -> Response {
    let status = match unreached {
        Unreached::Busy => StatusCode::TOO_MANY_REQUESTS,
        Unreached::Gone => StatusCode::SERVICE_UNAVAILABLE,
    };
    later(status, &unreached.to_string(), 1)
}

fn later(status: StatusCode, why: &str, seconds: u64) -> Response {
    let mut response = answer(Reply::text(status.as_u16(), why));
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

pub(super) fn answer(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let form = match reply.form {
        Form::Text => "text/plain; charset=utf-8",
        Form::Json => "application/json; charset=utf-8",
    };
    (status, [(header::CONTENT_TYPE, form)], reply.body).into_response()
}

/// The first `most` bytes of a body. What comes after is read and thrown away, so that its sender gets an answer; one
/// that does not come in time is taken as far as it came.
pub(crate) async fn beginning(mut body: Body, most: usize, limits: &Limits) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut drained = 0;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            let room = most - kept.len();
            kept.extend_from_slice(data.get(..room).unwrap_or(&data));
            drained += data.len();
            if drained > MOST_DRAINED {
                break;
            }
        }
    };
    // Whichever way it ends: what has come is what there is.
    drop(tokio::time::timeout(limits.body_within, read).await);
    kept
}

/// Whether this token may do what needs `privilege`.
fn may(state: &AppState, token: Option<&str>, privilege: Privilege) -> bool {
    token.and_then(|token| state.access.by_token(token)).is_some_and(|caller| caller.may(privilege))
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The password of `Authorization: Basic`, whoever's it is.
fn password(headers: &HeaderMap) -> Option<String> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// Whether the request has a token that may write, as a bearer or as the password of Basic.
fn may_write(state: &AppState, headers: &HeaderMap) -> bool {
    may(state, bearer(headers), Privilege::Write)
        || may(state, password(headers).as_deref(), Privilege::Write)
}

/// The answer to a request without a token that may write.
fn unauthorised() -> Response {
    let mut response = answer(Reply::text(401, "this needs a token that may write, as the password"));
    let challenge = http::HeaderValue::from_static("Basic realm=\"lifesign\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_of_a_body_is_kept_and_the_rest_read() {
        let limits = Limits::default();
        assert_eq!(beginning(Body::from("abcdef"), 4, &limits).await, b"abcd");
        assert_eq!(beginning(Body::from("abc"), 4, &limits).await, b"abc");
        assert_eq!(beginning(Body::empty(), 4, &limits).await, b"");
    }

    #[test]
    fn a_password_is_found_whoevers_it_is() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static(value));
            password(&headers)
        };
        assert_eq!(with("Basic OnNlY3JldA==").as_deref(), Some("secret"));
        assert_eq!(with("basic cm9vdDphOmI=").as_deref(), Some("a:b"));
        for none in ["Basic ???", "Basic c2VjcmV0", "Bearer OnNlY3JldA==", "Basic"] {
            assert_eq!(with(none), None, "{none}");
        }
    }
}
