//! The one place where requests are let in.
//!
//! What an operation needs is written next to its handler, as `security` of its OpenAPI description;
//! [`Needs`] reads that document, so the document, the guard and the tests can never disagree. An
//! operation that is not in the document is not reachable at all.
//!
//! A cookie counts for a change only when the browser says that the page which made the request is ours
//! (`Sec-Fetch-Site`, else `Origin`): a page of somebody else cannot act in the user's name.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::Value;

use super::client::Client;
use super::session::COOKIE;
use super::table::{Caller, Privilege};
use crate::AppState;
use crate::api::Failure;
use crate::enrol::Member;

/// What one operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It is open to everybody.
    Nothing,
    /// A token with this privilege.
    Token(Privilege),
    /// The certificate of an enrolled host.
    Certificate,
    /// Either of them. Who shows a certificate is judged by it.
    CertificateOrToken(Privilege),
}

impl Need {
    const fn takes_certificate(self) -> bool {
        matches!(self, Self::Certificate | Self::CertificateOrToken(_))
    }
}

/// What each operation needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs(Arc<HashMap<(Method, String), Need>>);

/// An operation of the document says nothing about who may call it, or something unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {path} does not declare the privilege it needs")]
pub struct Undeclared {
    method: String,
    path: String,
}

impl Needs {
    /// Reads the `security` of every operation of an OpenAPI `document`.
    ///
    /// # Errors
    /// When an operation declares nothing, or a privilege that does not exist.
    pub(crate) fn of(document: &Value) -> Result<Self, Undeclared> {
        let mut needs = HashMap::new();
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        for (path, item) in paths {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let undeclared = || Undeclared { method: method.to_uppercase(), path: path.clone() };
                let name = Method::from_bytes(method.to_uppercase().as_bytes()).map_err(|_| undeclared())?;
                let need = declared(operation).ok_or_else(undeclared)?;
                needs.insert((name, path.clone()), need);
            }
        }
        Ok(Self(Arc::new(needs)))
    }

    /// Opens one operation to everybody.
    pub(crate) fn open(mut self, method: Method, path: &str) -> Self {
        Arc::make_mut(&mut self.0).insert((method, path.to_owned()), Need::Nothing);
        self
    }

    fn of_request(&self, method: &Method, path: &str) -> Option<Need> {
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        self.0.get(&(method, path.to_owned())).copied()
    }

    /// The header `Allow` of a path.
    fn allow(&self, path: &str) -> HeaderValue {
        let mut methods: Vec<&str> =
            self.0.keys().filter(|(_, known)| known == path).map(|(method, _)| method.as_str()).collect();
        methods.sort_unstable();
        HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
    }
}

/// What an operation says it needs; `None`: nothing that we understand.
fn declared(operation: &Value) -> Option<Need> {
    let privilege = |alternative: &Value| match alternative.get("token")?.as_array()?.as_slice() {
        [privilege] => Privilege::parse(privilege.as_str()?),
        _ => None,
    };
    let is_certificate = |alternative: &Value| alternative.get("certificate").is_some();
    match operation.get("security")?.as_array()?.as_slice() {
        [one] if one.as_object()?.is_empty() => Some(Need::Nothing),
        [one] if is_certificate(one) => Some(Need::Certificate),
        [one] => privilege(one).map(Need::Token),
        [one, other] if is_certificate(other) => privilege(one).map(Need::CertificateOrToken),
        _ => None,
    }
}

/// Guards the API.
pub(crate) async fn guard_api(
    State((state, needs)): State<(AppState, Needs)>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(need) = needs.of_request(request.method(), path.as_str()) else {
        return Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take that method; the header Allow names those it takes",
        )
        .with(header::ALLOW, needs.allow(path.as_str()))
        .into_response();
    };
    let member = request.extensions().get::<Member>().filter(|_| need.takes_certificate());
    match (need, member) {
        (Need::Nothing, _) => {}
        // It counted when the connection was made; it may have been revoked since.
        (_, Some(member)) if state.enrolment.holds(member) => {}
        (_, Some(_)) | (Need::Certificate, None) => {
            return Denied::Uncertified { shown: member.is_some() }.into_failure().into_response();
        }
        (Need::Token(privilege) | Need::CertificateOrToken(privilege), None) => {
            match admit(&state, &request, privilege, path.as_str()) {
                Ok(caller) => drop(request.extensions_mut().insert(caller)),
                Err(denied) => return denied.into_failure().into_response(),
            }
        }
    }
    next.run(request).await
}

/// Guards the pages: looking needs `read`, everything else `write`. Who is not logged in is sent there.
pub(crate) async fn guard_pages(
    State(state): State<AppState>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let looks = request.method().is_safe();
    let privilege = if looks { Privilege::Read } else { Privilege::Write };
    match admit(&state, &request, privilege, path.as_str()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(Denied::Unrecognised { .. }) if looks => {
            Redirect::to(&login(request.uri(), false)).into_response()
        }
        Err(denied) => denied.into_failure().into_response(),
    }
}

/// Where the browser logs in, to come back to `wanted`.
pub(super) fn login(wanted: &Uri, failed: bool) -> String {
    let wanted = wanted.path_and_query().map_or("/", |wanted| wanted.as_str());
    login_for(wanted, failed)
}

/// Where the browser logs in, to come back to the path `next`.
pub(super) fn login_for(next: &str, failed: bool) -> String {
    let escaped: String = next
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let failed = if failed { "failed=1&" } else { "" };
    format!("/login?{failed}next={escaped}")
}

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Denied {
    /// No token, or none that we know.
    Unrecognised { sent: bool },
    /// No certificate of an enrolled host, or one that counts no more.
    Uncertified { shown: bool },
    /// Known, but not allowed to.
    Lacks { role: Arc<str>, privilege: Privilege },
    /// A cookie, sent by a page that is not ours.
    Foreign,
}

impl Denied {
    fn into_failure(self) -> Failure {
        match self {
            Self::Unrecognised { sent } => {
                let (detail, challenge) = if sent {
                    (
                        "the token is wrong or no longer valid",
                        "Bearer realm=\"lifesign\", error=\"invalid_token\"",
                    )
                } else {
                    ("this needs a token: Authorization: Bearer <token>", "Bearer realm=\"lifesign\"")
                };
                Failure::new(StatusCode::UNAUTHORIZED, detail)
                    .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
            }
            Self::Uncertified { shown: true } => Failure::new(
                StatusCode::UNAUTHORIZED,
                "the certificate was revoked or replaced; enrol the host anew: lifesign hosts token HOST",
            ),
            Self::Uncertified { shown: false } => Failure::new(
                StatusCode::UNAUTHORIZED,
                "this needs the certificate of an enrolled host; lifesign agent enroll gets one",
            ),
            Self::Lacks { role, privilege } => Failure::new(
                StatusCode::FORBIDDEN,
                format!("this needs the privilege {privilege}, which the role {role} does not have"),
            ),
            Self::Foreign => Failure::new(
                StatusCode::FORBIDDEN,
                "the browser does not say that this comes from a page of this server; open it here, or send a token",
            ),
        }
    }
}

/// The caller of `request`, if it may do what needs `privilege`.
fn admit(state: &AppState, request: &Request, privilege: Privilege, route: &str) -> Result<Caller, Denied> {
    let headers = request.headers();
    let client = Client::of(request);
    let (caller, by_cookie) = match (bearer(headers), cookie(headers)) {
        (Some(token), _) => (state.access.by_token(token), false),
        (None, Some(id)) => (state.sessions.caller(id, &state.access, state.clock.now().mono), true),
        (None, None) => {
            return Err(Denied::Unrecognised { sent: headers.contains_key(header::AUTHORIZATION) });
        }
    };
    let Some(caller) = caller else {
        if by_cookie {
            // Sessions end by themselves; a browser that comes with an old one is nothing to wake anybody for.
            tracing::debug!(%client, route, "Session not recognised");
        } else {
            tracing::warn!(%client, route, "Token not recognised");
        }
        return Err(Denied::Unrecognised { sent: true });
    };
    if by_cookie && !request.method().is_safe() && !is_own_page(headers, state.external_url.as_deref()) {
        tracing::warn!(%client, route, token = %caller.name, "Change by a foreign page refused");
        return Err(Denied::Foreign);
    }
    if !caller.may(privilege) {
        tracing::warn!(%client, route, token = %caller.name, role = %caller.role, %privilege, "Privilege missing");
        return Err(Denied::Lacks { role: caller.role, privilege });
    }
    Ok(caller)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session id that the browser sent.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether the browser says that a page of this server made the request.
pub(super) fn is_own_page(headers: &HeaderMap, external_url: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN) else { return false };
    let same_host = origin.split_once("://").is_some_and(|(_, authority)| {
        text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(authority))
    });
    same_host || external_url.is_some_and(|url| is_origin_of(origin, url))
}

fn is_origin_of(origin: &str, url: &str) -> bool {
    url.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn an_operation_that_declares_nothing_is_an_error() {
        let document = |operation: Value| json!({"paths": {"/x": {"get": operation}}});
        assert!(Needs::of(&document(json!({"security": [{}]}))).is_ok());
        assert!(Needs::of(&document(json!({"security": [{"token": ["read"]}]}))).is_ok());
        assert!(Needs::of(&document(json!({"security": [{"certificate": []}]}))).is_ok());
        assert!(
            Needs::of(&document(json!({"security": [{"token": ["write"]}, {"certificate": []}]}))).is_ok()
        );
        for wrong in [
            json!({}),
            json!({"security": []}),
            json!({"security": [{"token": ["fly"]}]}),
            json!({"security": [{"token": ["write"]}, {}]}),
        ] {
            let error = Needs::of(&document(wrong)).unwrap_err();
            assert_eq!(error.to_string(), "GET /x does not declare the privilege it needs");
        }
    }

    #[test]
    fn only_our_own_pages_count() {
        let own = |pairs: &[_]| is_own_page(&headers(pairs), Some("https://life.example/base"));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(own(&[("origin", "http://127.0.0.1:7700"), ("host", "127.0.0.1:7700")]));
        assert!(own(&[("origin", "https://life.example"), ("host", "inner:7700")]));
        assert!(!own(&[("origin", "https://life.example.evil"), ("host", "inner")]));
        assert!(!own(&[("origin", "https://life"), ("host", "inner")]));
        assert!(!own(&[("origin", "null"), ("host", "inner")]));
        assert!(!own(&[("host", "inner")]), "a browser sends one of the two with every change");
    }

    #[test]
    fn a_token_and_a_cookie_are_found_among_others() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer  abc ")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
        let cookies = headers(&[("cookie", "a=b; lifesign_session=id; c=d")]);
        assert_eq!(cookie(&cookies), Some("id"));
        assert_eq!(cookie(&headers(&[("cookie", "xlifesign_session=id")])), None);
        assert_eq!(cookie(&headers(&[("cookie", "lifesign_session2=id")])), None);
    }

    #[test]
    fn the_way_back_is_escaped() {
        let uri = Uri::from_static("/services?state=down&host=a");
        assert_eq!(login(&uri, true), "/login?failed=1&next=/services%3Fstate%3Ddown%26host%3Da");
    }
}
