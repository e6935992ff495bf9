//! Who asks for a page, and how it is to look: taken from the request before any handler runs.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use maud::Markup;

use super::look::{Flash, Look, Place, Reader, Taste};
use super::pages::fault;
use super::past::Unavailable;
use crate::AppState;
use crate::auth::{Caller, Privilege};

/// One request for a page.
pub(super) struct Visit {
    pub(super) look: Look,
    /// The caller's name, for orders; empty on pages that need no login.
    pub(super) by: Arc<str>,
}

impl FromRequestParts<AppState> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>();
        let mut look = Look {
            taste: Taste::of(&parts.headers),
            place: place(parts.uri.path()),
            here: parts.uri.path_and_query().map_or("/", |here| here.as_str()).to_owned(),
            now: state.clock.now().wall,
            reader: caller.map(|caller| Reader {
                name: caller.name.to_string(),
                may_write: caller.may(Privilege::Write),
            }),
            open_incidents: 0,
            on_hold: caller.is_some() && state.hold.is_set(),
            flash: flash(parts.uri.query().unwrap_or_default()),
        };
        let by = caller.map_or_else(|| "".into(), |caller| Arc::clone(&caller.name));
        if look.reader.is_some() {
            look.open_incidents = match state.engine.read(|engine, _| engine.open_incidents().len()).await {
                Ok(count) => count,
                Err(error) => return Err(unavailable(error, &look)),
            };
        }
        Ok(Self { look, by })
    }
}

fn place(path: &str) -> Place {
    match path.split('/').nth(1).unwrap_or_default() {
        "" | "services" => Place::Overview,
        "incidents" => Place::Incidents,
        "hosts" => Place::Hosts,
        "rules" => Place::Rules,
        "notifications" => Place::Notifications,
        "about" => Place::About,
        _ => Place::Nowhere,
    }
}

/// What an order led to; the words are ours, so that a link cannot put words into our mouth.
fn flash(query: &str) -> Option<Flash> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(key, value)| {
        let refused = key == "refused";
        let key = match (&*key, &*value) {
            ("done", "restart") => "ui-done-restart",
            ("done", "pause") => "ui-done-pause",
            ("done", "resume") => "ui-done-resume",
            ("done", "ack") => "ui-done-ack",
            ("refused", "no-service") => "ui-refused-no-service",
            ("refused", "no-incident") => "ui-refused-no-incident",
            ("refused", "closed") => "ui-refused-closed",
            ("refused", "no-unit") => "ui-refused-no-unit",
            ("refused", "restart-running") => "ui-refused-restart-running",
            ("refused", "paused") => "ui-refused-paused",
            _ => return None,
        };
        Some(Flash { key, refused })
    })
}

/// A page as a response.
pub(super) fn html(page: Markup) -> Response {
    Html(page.into_string()).into_response()
}

/// The page for what does not exist.
pub(super) fn missing(key: &str, detail: &str, look: &Look) -> Response {
    refused(StatusCode::NOT_FOUND, key, detail, look)
}

/// The page for what cannot be shown as it was asked for.
pub(super) fn refused(status: StatusCode, key: &str, detail: &str, look: &Look) -> Response {
    (status, Html(fault::draw(key, detail, look).into_string())).into_response()
}

/// The page for when engine or store cannot be asked.
pub(super) fn unavailable(error: impl Into<Unavailable>, look: &Look) -> Response {
    let error = error.into();
    let page = fault::draw("ui-not-now", &error.to_string(), look);
    (StatusCode::SERVICE_UNAVAILABLE, Html(page.into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::*;

    #[test]
    fn only_answers_we_know_are_said_and_each_has_words() {
        for known in [
            "done=restart",
            "done=pause",
            "done=resume",
            "done=ack",
            "refused=no-service",
            "refused=no-incident",
            "refused=closed",
            "refused=no-unit",
            "refused=restart-running",
            "refused=paused",
        ] {
            let flash = flash(&format!("span=7d&{known}")).unwrap();
            assert_eq!(flash.refused, known.starts_with("refused"));
            for lang in Lang::ALL {
                assert!(!lang.word(flash.key).contains('⟦'), "{known}");
            }
        }
        for unknown in ["", "done=", "done=%3Cscript%3E", "refused=restart", "x"] {
            assert_eq!(flash(unknown), None, "{unknown}");
        }
    }
}
