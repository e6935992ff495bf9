//! The dashboard.
//!
//! [`router`] is mounted behind the guard: a page needs `read`, everything but GET and HEAD needs
//! `write`, and whoever is not logged in is sent to `/login?next=…`. The guard puts the
//! [`Caller`](crate::auth::Caller) into the request's extensions. [`public`] is mounted without it.
//! `POST /login` and `POST /logout` belong to `auth`: the first takes the form fields `token` and `next`
//! and, when the token is wrong, redirects to `/login?failed=1&next=…`.

use axum::Router;

use crate::AppState;

/// Pages and forms for people who are logged in.
pub fn router() -> Router<AppState> {
    Router::new()
}

/// `GET /login` and the assets.
pub fn public() -> Router<AppState> {
    Router::new()
}
