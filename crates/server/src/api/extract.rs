//! What handlers read from a request, with every mistake of the sender answered as a problem.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lifesign_core::model::ServiceId;
use serde::de::DeserializeOwned;

use super::problem::Failure;
use crate::AppState;
use crate::limits::Limits;

/// The query; an unknown or wrong parameter is a 400 that names it.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(wrong) => {
                let text = wrong.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Failure::bad_request(format!("the query is wrong: {text}")))
            }
        }
    }
}

/// The service named by the path. What cannot be an id is no service: 404.
pub(crate) struct Id(pub(crate) ServiceId);

impl FromRequestParts<AppState> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let text = segment(parts, state).await?;
        ServiceId::new(&text).map(Self).map_err(|_| Failure::no_service(&text))
    }
}

/// The number named by the path. What is no number names nothing: 404.
pub(crate) struct Number(pub(crate) u64);

impl FromRequestParts<AppState> for Number {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let text = segment(parts, state).await?;
        text.parse().map(Self).map_err(|_| Failure::not_found(format!("{text:?} is no incident's number")))
    }
}

async fn segment(parts: &mut Parts, state: &AppState) -> Result<String, Failure> {
    match Path::<String>::from_request_parts(parts, state).await {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Failure::bad_request("the path is not UTF-8")),
    }
}

/// The whole body, within the limits of size and time.
pub(crate) struct Body(pub(crate) Bytes);

impl FromRequest<AppState> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        Self::read(request.into_body(), &state.limits).await.map(Self)
    }
}

impl Body {
    /// Reads `body` within `limits`.
    pub(crate) async fn read(body: axum::body::Body, limits: &Limits) -> Result<Bytes, Failure> {
        let (most, within) = (limits.body_bytes, limits.body_within);
        match tokio::time::timeout(within, Limited::new(body, most).collect()).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {most} bytes; send several smaller ones"),
            )),
            Ok(Err(_)) => Err(Failure::bad_request("the body ended before it was complete")),
            Err(_) => Err(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {within:?}"),
            )),
        }
    }
}
