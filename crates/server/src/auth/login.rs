//! Logging in and out with a browser: the token comes once, in a form, and a cookie stands for it.

use axum::Router;
use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lifesign_core::effect::AuditEntry;
use serde::Deserialize;

use super::client::Client;
use super::guard::{cookie, is_own_page, login_for};
use super::session::{COOKIE, LIFE};
use crate::AppState;
use crate::api::{Body, Failure};

/// The form of the login page.
#[derive(Deserialize)]
struct Form {
    token: String,
    #[serde(default)]
    next: String,
}

/// `POST /login` and `POST /logout`.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/login", post(log_in)).route("/logout", post(log_out))
}

async fn log_in(State(state): State<AppState>, request: Request) -> Result<Response, Failure> {
    let client = Client::of(&request);
    refuse_foreign(&state, request.headers())?;
    let (parts, body) = request.into_parts();
    let body = Body::read(body, &state.limits).await?;
    let request = Request::from_parts(parts, body.into());
    let axum::extract::Form(form) = axum::extract::Form::<Form>::from_request(request, &state)
        .await
        .map_err(|_| Failure::bad_request("expected a form with the fields token and next"))?;
    let next = own_path(&form.next);
    let token = form.token.trim();
    let Some(caller) = state.access.by_token(token) else {
        tracing::warn!(%client, "Login with an unknown token");
        return Ok(Redirect::to(&login_for(next, true)).into_response());
    };
    let now = state.clock.now();
    let id = state.sessions.begin(token, now.mono).map_err(|error| {
        tracing::error!(%error, "No random bytes for a session");
        Failure::unavailable("the system gave no random bytes for a session; try again", 5)
    })?;
    tracing::info!(%client, token = %caller.name, "Logged in");
    let entry = AuditEntry {
        at: now.wall,
        by: caller.name,
        action: "login".into(),
        target: client.to_string(),
        detail: format!("role {}", caller.role),
    };
    state.engine.audit(entry).await?;
    let set = set_cookie(&id, LIFE.as_secs(), is_https(&state, client));
    Ok(([(header::SET_COOKIE, set)], Redirect::to(next)).into_response())
}

async fn log_out(State(state): State<AppState>, request: Request) -> Result<Response, Failure> {
    refuse_foreign(&state, request.headers())?;
    if let Some(id) = cookie(request.headers()) {
        state.sessions.end(id);
    }
    let set = set_cookie("", 0, is_https(&state, Client::of(&request)));
    Ok(([(header::SET_COOKIE, set)], Redirect::to("/login")).into_response())
}

/// A page of somebody else must not log a browser in or out. Programs send neither header.
fn refuse_foreign(state: &AppState, headers: &HeaderMap) -> Result<(), Failure> {
    let says_where = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if says_where && !is_own_page(headers, state.external_url.as_deref()) {
        return Err(Failure::new(StatusCode::FORBIDDEN, "log in and out on a page of this server"));
    }
    Ok(())
}

fn is_https(state: &AppState, client: Client) -> bool {
    client.is_https || state.external_url.as_deref().is_some_and(|url| url.starts_with("https://"))
}

fn set_cookie(id: &str, seconds: u64, is_https: bool) -> HeaderValue {
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{COOKIE}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // A session id is hexadecimal, so this is always a header value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// `next`, if it is a path on this server: a link to our login page must not lead elsewhere.
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_elsewhere() {
        assert_eq!(own_path("/services/orders?x=1"), "/services/orders?x=1");
        for foreign in ["", "http://evil", "//evil", "/\\evil", "evil", "/a\r\nSet-Cookie: x", "/\u{e9}"] {
            assert_eq!(own_path(foreign), "/", "{foreign:?}");
        }
    }

    #[test]
    fn the_cookie_is_out_of_reach_for_scripts_and_other_sites() {
        let cookie = set_cookie("ab", 5, true);
        let wanted = "lifesign_session=ab; Path=/; Max-Age=5; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(cookie.to_str().unwrap(), wanted);
        assert!(!set_cookie("ab", 5, false).to_str().unwrap().contains("Secure"));
    }
}
