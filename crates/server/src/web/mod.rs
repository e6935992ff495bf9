//! The dashboard: pages drawn on the server, made live by a few small scripts.
//!
//! [`router`] is mounted behind the guard: a page needs `read`, everything but GET and HEAD needs
//! `write`, and whoever is not logged in is sent to `/login?next=…`. The guard puts the
//! [`Caller`](crate::auth::Caller) into the request's extensions. [`public`] is mounted without it.
//! `POST /login` and `POST /logout` belong to `auth`: the first takes the form fields `token` and `next`
//! and, when the token is wrong, redirects to `/login?failed=1&next=…`.
//!
//! Every page is a pure function in [`pages`] of its data and a [`Look`](look::Look); [`read`] gathers the
//! data, [`mod@write`] takes the forms. All of it works without scripts: forms post and redirect, the filter and the
//! choices are links. With scripts the page follows the live events and fetches itself again, so there is
//! one way to draw it. Nothing is inline, so the content security policy allows our own files alone.

mod assets;
mod frame;
mod look;
mod pages;
mod parts;
mod past;
mod read;
mod strip;
mod visit;
mod write;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderValue, header};

use crate::AppState;

/// Pages and forms for people who are logged in.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(read::overview))
        .route("/services/{id}", get(read::service))
        .route("/services/{id}/explain", get(read::explain))
        .route("/services/{id}/{order}", post(write::service))
        .route("/incidents", get(read::incidents))
        .route("/incidents/{id}", get(read::incident))
        .route("/incidents/{id}/ack", post(write::acknowledge))
        .route("/hosts", get(read::hosts))
        .route("/rules", get(read::rules))
        .route("/notifications", get(read::notifications))
        .route("/about", get(read::about))
        .layer(map_response(guarded))
}

/// `GET /login`, the assets, and the reader's choices, which are kept in cookies.
pub fn public() -> Router<AppState> {
    Router::new()
        .route("/login", get(read::login))
        .route("/preferences", get(write::preferences))
        .route("/assets/{version}/{name}", get(assets::serve))
        .layer(map_response(guarded))
}

/// Our own files only, never in a frame, never kept by anybody unless the handler said so.
async fn guarded(mut response: Response) -> Response {
    const POLICY: &str =
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
