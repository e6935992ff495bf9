//! Errors as answers: RFC 9457 problem details, also where the framework would answer in its own way.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lifesign_core::input::Refusal;
use lifesign_proto::{Fault, PROBLEM_JSON, Problem};
use lifesign_store::ReadError;

use crate::engine::Unreached;
use crate::ingest::NotTaken;
use crate::peer::without_key;

/// An error that becomes an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// `status` with its usual title.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("error").to_lowercase();
        Self { problem: Box::new(Problem::new(status.as_u16(), title).detail(detail)), header: None }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn no_service(id: &str) -> Self {
        Self::not_found(format!("there is no service {id:?}"))
    }

    /// 429: come back after `seconds`.
    pub(crate) fn too_many(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    }

    /// 503: come back after `seconds`.
    pub(crate) fn unavailable(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(seconds)
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// With one header more.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// With the faults of what was sent.
    pub(crate) fn faults(mut self, faults: Vec<Fault>) -> Self {
        self.problem.errors = faults;
        self
    }
}

impl Failure {
    /// What stands in the answer at `path`: the status, a header more, and the body, which is [`PROBLEM_JSON`].
    pub(crate) fn at(self, path: &str) -> (StatusCode, Option<(HeaderName, HeaderValue)>, Vec<u8>) {
        let status = status_of(&self.problem);
        (status, self.header, written(self.problem.instance(path)))
    }
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn written(problem: Problem) -> Vec<u8> {
    // Texts and numbers written to memory: that does not fail.
    serde_json::to_vec(&problem).unwrap_or_default()
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), header: None }
    }
}

impl From<Unreached> for Failure {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Busy => Self::too_many(unreached.to_string(), 1),
            Unreached::Gone => Self::unavailable(unreached.to_string(), 5),
        }
    }
}

impl From<NotTaken> for Failure {
    fn from(not_taken: NotTaken) -> Self {
        match &not_taken {
            NotTaken::Unknown(_) => Self::not_found(not_taken.to_string()),
            NotTaken::TooFast(_, wait) => Self::too_many(not_taken.to_string(), whole_seconds(*wait)),
        }
    }
}

/// Whole seconds, rounded up: that is all `Retry-After` can say.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "Store not readable");
        Self::unavailable(error.to_string(), 5)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchService(_) | Refusal::NoSuchIncident(_) => Self::not_found(refusal.to_string()),
            Refusal::IncidentClosed(_)
            | Refusal::NoUnit(_)
            | Refusal::RestartRunning(_)
            | Refusal::Paused(_)
            | Refusal::Configured(_) => Self::new(StatusCode::CONFLICT, refusal.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (status_of(&self.problem), [(header::CONTENT_TYPE, PROBLEM_JSON)]).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        // The body is written by `name_instance`, which knows the path.
        response.extensions_mut().insert(*self.problem);
        response
    }
}

/// Gives every error below it a problem as its body, and every problem the path it happened at.
pub(crate) async fn name_instance(request: Request, next: Next) -> Response {
    let path = without_key(request.uri().path()).into_owned();
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        // A handler that wrote a body of its own knows better.
        None if parts.headers.contains_key(header::CONTENT_TYPE) => {
            return Response::from_parts(parts, body);
        }
        None => *Failure::new(status, said_by_framework(status)).problem,
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, written(problem.instance(path)).into())
}

fn said_by_framework(status: StatusCode) -> &'static str {
    if status == StatusCode::METHOD_NOT_ALLOWED {
        "this path does not take that method; the header Allow names those it takes"
    } else {
        "the request could not be answered"
    }
}

/// The answer to paths that do not exist.
pub(crate) async fn no_such_route() -> Failure {
    Failure::not_found("there is nothing at this path; /api/v1/openapi.json lists what there is")
}

#[cfg(test)]
mod tests {
    use lifesign_core::model::ServiceId;

    use super::*;

    #[test]
    fn waiting_is_told_in_whole_seconds_rounded_up() {
        let service = ServiceId::new("orders").unwrap();
        let failure = Failure::from(NotTaken::TooFast(service, Duration::from_millis(1200)));
        let response = failure.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "2");
    }
}
