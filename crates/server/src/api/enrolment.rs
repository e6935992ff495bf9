//! Hosts get certificates, and lose them: one-time tokens, enrolment, renewal, revocation.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use lifesign_core::effect::AuditEntry;
use lifesign_core::time::Wall;
use lifesign_proto::Problem;
use lifesign_proto::enrol::{Certified, EnrolRequest, RenewRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Params};
use super::page::{self, Page};
use super::problem::Failure;
use super::shape::{List, time, time_or_null};
use crate::AppState;
use crate::auth::{Caller, Client};
use crate::enrol::{Member, Standing, Unenrolled};

/// A host that was enrolled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enrolled {
    /// Its name.
    host: String,
    /// When it was enrolled.
    #[schema(schema_with = time)]
    enrolled_at: Wall,
    /// Until when its newest certificate holds; it is renewed after two thirds of its time.
    #[schema(schema_with = time)]
    expires_at: Wall,
    /// When its certificates were revoked; null: they count.
    #[schema(schema_with = time_or_null, required)]
    revoked_at: Option<Wall>,
    /// Whether its agent is connected.
    connected: bool,
}

impl Enrolled {
    fn of(standing: Standing, state: &AppState) -> Self {
        let connected = state.desk.is_connected(&standing.host);
        let Standing { host, enrolled_at, expires_at, revoked_at } = standing;
        Self { host: host.to_string(), enrolled_at, expires_at, revoked_at, connected }
    }
}

/// Whom a one-time token is for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// The one host that may use it, which may have been enrolled before; null: any that is new.
    host: Option<String>,
}

/// A one-time token.
#[derive(Serialize, ToSchema)]
pub(super) struct HandedOut {
    /// The token, with the fingerprint of the server's authority behind the dot. It is shown this once.
    token: String,
    /// The one host that may use it; null: any that is new.
    #[schema(required)]
    host: Option<String>,
    /// Until when it may be used.
    #[schema(schema_with = time)]
    expires_at: Wall,
}

/// Make a one-time token
///
/// For `lifesign agent enroll`: it enrols one host, within 15 minutes. It lets hosts in, so it needs `delete`, as
/// turning them out does.
#[utoipa::path(
    post, path = "/api/v1/hosts/tokens", tag = "hosts", request_body = TokenRequest,
    security(("token" = ["delete"])),
    responses(
        (status = 200, description = "The token", body = HandedOut),
        (status = 400, description = "The body is not JSON", body = Problem),
        (status = 409, description = "This server has no port with TLS", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 422, description = "No such body, or no name of a host", body = Problem),
        (status = 429, description = "Too many tokens within a day", body = Problem),
        (status = 503, description = "The disk does not take it", body = Problem),
    )
)]
pub(super) async fn token(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(body): Body,
) -> Result<Json<HandedOut>, Failure> {
    let TokenRequest { host } = read(if body.is_empty() { b"{}" } else { &body }, r#"{"host": "web-01"}"#)?;
    let (token, expires_at) = state.enrolment.make_token(host.as_deref())?;
    tracing::info!(by = %caller.name, host, "A one-time token was made");
    let target = host.clone().unwrap_or_else(|| "any new host".to_owned());
    audit(&state, &caller.name, "one-time token", target, format!("until {expires_at}")).await;
    Ok(Json(HandedOut { token: token.reveal(), host, expires_at }))
}

/// Enrol a host
///
/// With a one-time token, over TLS, for a host's first certificate. The token is used up when the answer is 200.
#[utoipa::path(
    post, path = "/api/v1/enrolment", tag = "hosts", request_body = EnrolRequest, security(()),
    responses(
        (status = 200, description = "The certificate", body = Certified),
        (status = 400, description = "The body is not JSON", body = Problem),
        (status = 403, description = "The token is unknown, used, too old or for another host; or not encrypted", body = Problem),
        (status = 409, description = "This server has no port with TLS", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 422, description = "No such body, no name of a host, or no certificate request", body = Problem),
        (status = 429, description = "Too many wrong tokens have come", body = Problem),
        (status = 503, description = "The disk does not take it", body = Problem),
    )
)]
pub(super) async fn enrol(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
    Body(body): Body,
) -> Result<Json<Certified>, Failure> {
    let asked: EnrolRequest = read(&body, r#"{"token": "lse_…", "host": "web-01", "request": "PEM"}"#)?;
    if !client.is_https {
        return Err(Failure::new(StatusCode::FORBIDDEN, "enrolment needs TLS; use the port of `server.tls`"));
    }
    match state.enrolment.enrol(&asked.token, &asked.host, &asked.request) {
        Ok(certified) => {
            // One that it had before counts no more.
            state.desk.cut(&certified.host.as_str().into());
            tracing::info!(%client, host = certified.host, "A host is enrolled");
            audit(&state, &certified.host, "enrol", certified.host.clone(), format!("from {client}")).await;
            Ok(Json(certified))
        }
        Err(refused) => {
            if !matches!(refused, Unenrolled::TooManyWrong) {
                let host: String = asked.host.chars().take(64).collect();
                tracing::warn!(%client, host, %refused, "A host was not enrolled");
            }
            Err(refused.into())
        }
    }
}

/// Renew a certificate
///
/// For an enrolled host, which shows its present one. That one counts until the new one is first shown.
#[utoipa::path(
    post, path = "/api/v1/enrolment/renewal", tag = "hosts", request_body = RenewRequest,
    security(("certificate" = [])),
    responses(
        (status = 200, description = "The next certificate", body = Certified),
        (status = 400, description = "The body is not JSON", body = Problem),
        (status = 401, description = "No certificate, or one that counts no more", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 422, description = "No such body, or no certificate request", body = Problem),
        (status = 503, description = "The disk does not take it", body = Problem),
    )
)]
pub(super) async fn renew(
    State(state): State<AppState>,
    Extension(member): Extension<Member>,
    Body(body): Body,
) -> Result<Json<Certified>, Failure> {
    let asked: RenewRequest = read(&body, r#"{"request": "PEM"}"#)?;
    let certified = state.enrolment.renew(&member, &asked.request)?;
    tracing::info!(host = certified.host, "A certificate was renewed");
    Ok(Json(certified))
}

/// Revoke a host's certificates
///
/// At once: its link is cut, and no certificate of it counts any more. A new one-time token by its name lets it in
/// again.
#[utoipa::path(
    post, path = "/api/v1/hosts/{host}/revoke", tag = "hosts",
    params(("host" = String, Path, description = "The host's name")),
    security(("token" = ["delete"])),
    responses(
        (status = 200, description = "The host, revoked", body = Enrolled),
        (status = 503, description = "It is revoked, but not over a restart: the disk does not take it", body = Problem),
    )
)]
pub(super) async fn revoke(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(host): Path<String>,
) -> Result<Json<Enrolled>, Failure> {
    let result = state.enrolment.revoke(&host);
    if let Ok(None) = result {
        let words = format!("{host:?} was never enrolled; `lifesign hosts` lists those that were");
        return Err(Failure::not_found(words));
    }
    let was_connected = state.desk.cut(&host.as_str().into());
    tracing::warn!(host, by = %caller.name, was_connected, "The certificates of a host were revoked");
    let detail = match &result {
        Ok(_) if was_connected => "its link was cut".to_owned(),
        Ok(_) => "it was not connected".to_owned(),
        Err(error) => error.to_string(),
    };
    audit(&state, &caller.name, "revoke", host.clone(), detail).await;
    let standing = result?.ok_or_else(|| Failure::not_found("the host was never enrolled"))?;
    Ok(Json(Enrolled::of(standing, &state)))
}

/// The enrolled hosts
///
/// By name, those that were revoked too.
#[utoipa::path(
    get, path = "/api/v1/enrolment", tag = "hosts", params(Page),
    security(("token" = ["read"])),
    responses((status = 200, description = "A page of hosts", body = List<Enrolled>))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(page): Params<Page>,
) -> Result<Json<List<Enrolled>>, Failure> {
    let limit = page.limit()?;
    let all: Vec<Enrolled> =
        state.enrolment.standings().into_iter().map(|standing| Enrolled::of(standing, &state)).collect();
    page::cut_from(all, page.cursor.as_deref(), limit, |host| &*host.host).map(Json)
}

/// Reads a body. What is wrong with it is not repeated: it may hold a token.
fn read<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let is_data = error.is_data();
        let status = if is_data { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        let words = format!(
            "the body is not as expected, in line {}, column {}: {form}",
            error.line(),
            error.column()
        );
        Failure::new(status, words)
    })
}

async fn audit(state: &AppState, by: &str, action: &str, target: String, detail: String) {
    let entry =
        AuditEntry { at: state.clock.now().wall, by: by.into(), action: action.into(), target, detail };
    // The engine is gone only while everything stops.
    let _ = state.engine.audit(entry).await;
}

impl From<Unenrolled> for Failure {
    fn from(unenrolled: Unenrolled) -> Self {
        let words = unenrolled.to_string();
        match unenrolled {
            Unenrolled::NoAuthority => Self::new(StatusCode::CONFLICT, words),
            Unenrolled::NoHostName(_) | Unenrolled::NoRequest(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, words)
            }
            Unenrolled::Barred(_) => Self::new(StatusCode::FORBIDDEN, words),
            Unenrolled::Gone(_) => Self::new(StatusCode::UNAUTHORIZED, words),
            Unenrolled::TooManyTokens => Self::too_many(words, 3600),
            Unenrolled::TooManyWrong => Self::too_many(words, 60),
            Unenrolled::NotKept(_) | Unenrolled::RevocationNotKept(_) => Self::unavailable(words, 60),
        }
    }
}
