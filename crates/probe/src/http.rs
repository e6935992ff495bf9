//! `http`: a request gets the wanted answer, over plain HTTP or HTTPS.
//!
//! ```yaml
//! - http: { url: "https://orders.example.com/actuator/health", json: { "$.status": UP } }
//! ```
//!
//! Each probe makes its own connection and speaks HTTP/1.1, so that every phase is seen each time.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ::http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use ::http::response::Parts;
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes as Octets;
use lifesign_config::{
    Bytes, Cx, Decode, Fields, HostPort, Kind, Located, Node, Record, Target, Url, record, words,
};
use rustls::ClientConfig;

use crate::assertion::Assertions;
use crate::attempt::Attempt;
use crate::dial::dial;
use crate::exchange::{Reply, exchange};
use crate::finding::Finding;
use crate::headers::Headers;
use crate::judge::{Masked, Wanted};
use crate::payload::{MAX_NEEDLE, MAX_PAYLOAD, Payload};
use crate::probe::{Look, Looked, Probe};
use crate::redirect;
use crate::status::Statuses;
use crate::tcp::millis;
use crate::tls;

/// The kind, for [`crate::kinds`].
pub(crate) const KIND: Kind<Vec<Target<Probe>>> = Kind { name: "http", decode, schema: HttpCheck::schema };

/// Most redirects that are followed; a further one is a wrong answer.
const MAX_REDIRECTS: usize = 5;

/// The methods a check may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

words! { Verb {
    Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Patch = "PATCH", Delete = "DELETE", Options = "OPTIONS",
} }

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Head => Self::HEAD,
            Verb::Post => Self::POST,
            Verb::Put => Self::PUT,
            Verb::Patch => Self::PATCH,
            Verb::Delete => Self::DELETE,
            Verb::Options => Self::OPTIONS,
        }
    }
}

record! {
    /// An HTTP or HTTPS request.
    pub struct HttpCheck {
        /// What to ask for. User and password go into `headers`.
        url: Located<Url>,
        /// How to ask.
        method: Verb = "GET",
        /// Request headers. `Host` replaces the one made from the URL.
        headers: Headers,
        /// Request body.
        body: Option<Payload> [0..=MAX_PAYLOAD],
        /// Statuses that count as good: `200`, `"2xx"`, `"200..399"`, or a list of these. 200..399 where unset.
        status: Statuses,
        /// What must stand where in a JSON body: a path such as `$.items[0].name`, and a value or a list of allowed values.
        json: Assertions,
        /// A text that the body must contain.
        contains: Option<Payload> [1..=MAX_NEEDLE],
        /// Whether redirects are followed, at most 5. Secret headers go to the first origin only.
        follow_redirects: bool = false,
        /// How much of the body is read; the rest is left unread.
        body_limit: Bytes [1..=16 * 1024 * 1024] = "1MiB",
        /// A PEM file with certificate authorities to trust beside the public ones.
        ca: Option<Located<PathBuf>>,
        /// Whether any certificate is taken. It then proves nothing about who answers.
        insecure: bool = false,
    }
    check HttpCheck::check
}

impl HttpCheck {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if !self.url.tls && !self.follow_redirects {
            for key in ["ca", "insecure"] {
                if let Some(entry) = node.entry(key) {
                    cx.error(entry.key_span, format!("`{key}` is about https, and this URL is http"));
                }
            }
        }
        if self.insecure {
            cx.warn(node.at("insecure"), "the certificate is not checked, so anybody could answer")
                .hint("`ca: FILE` trusts a private authority");
            if let Some(ca) = &self.ca {
                cx.error(ca.span, "`ca` and `insecure` exclude each other");
            }
        }
    }

    /// The TLS settings; reads the file of `ca`.
    fn trust(&self, cx: &mut Cx) -> Option<Arc<ClientConfig>> {
        let Some(ca) = &self.ca else {
            return Some(if self.insecure { tls::insecure() } else { tls::public() });
        };
        let read = std::fs::read(&ca.value).map_err(|why| why.to_string());
        match read.and_then(|pem| tls::with_authorities(&pem)) {
            Ok(trust) => Some(trust),
            Err(why) => {
                cx.error(ca.span, format!("cannot use {}: {why}", ca.value.display()));
                None
            }
        }
    }
}

fn decode(fields: &mut Fields<'_>, cx: &mut Cx) -> Option<Vec<Target<Probe>>> {
    let check = HttpCheck::from_fields(fields, cx)?;
    if check.url.target().parse::<PathAndQuery>().is_err() {
        cx.error(check.url.span, "the path holds a character that must be written as %XX");
        return None;
    }
    let trust = check.trust(cx)?;
    let HttpCheck {
        url, method, headers, body, status, json, contains, follow_redirects, body_limit, ..
    } = check;
    let mut secrets = headers.secrets();
    secrets.extend(json.secrets);
    let label = without_query(&url);
    let probe = Probe::new(Http {
        url: url.value,
        method: method.into(),
        headers: headers.0,
        body: Octets::copy_from_slice(body.as_ref().map_or(&[], Payload::bytes)),
        wanted: Wanted { statuses: status, json: json.all, contains },
        follow_redirects,
        body_limit: body_limit.as_usize(),
        trust,
        secrets: Masked { texts: secrets, values: body.is_some_and(|body| body.secret) },
    });
    Some(vec![Target { label, probe }])
}

struct Http {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Octets,
    wanted: Wanted,
    follow_redirects: bool,
    body_limit: usize,
    trust: Arc<ClientConfig>,
    secrets: Masked,
}

/// Body, headers and wanted values may be secret, so only the place is shown.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, without_query(&self.url))
    }
}

/// A query is where people put tokens.
fn without_query(url: &Url) -> String {
    url.to_string().split('?').next().unwrap_or_default().to_owned()
}

/// One request of a probe; the next one after a redirect.
struct Turn {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Octets,
}

impl Look for Http {
    fn look<'a>(&'a self, attempt: &'a mut Attempt) -> Looked<'a> {
        Box::pin(async {
            let mut turn = Turn {
                url: self.url.clone(),
                method: self.method.clone(),
                headers: self.headers.clone(),
                body: self.body.clone(),
            };
            for _ in 0..=MAX_REDIRECTS {
                let reply = self.ask(&turn, attempt).await?;
                match self.follow(turn, &reply.head)? {
                    Some(next) => turn = next,
                    None => return Ok(self.judge(&reply, attempt)),
                }
            }
            Err(Finding::wrong(format!("redirected more than {MAX_REDIRECTS} times")))
        })
    }
}

impl Http {
    async fn ask(&self, turn: &Turn, attempt: &mut Attempt) -> Result<Reply, Finding> {
        let place = HostPort { host: turn.url.host.clone(), port: turn.url.port };
        let shown = place.to_string();
        let request = turn.request().map_err(Finding::wrong)?;
        let limit = |head: &Parts| {
            let redirected = self.follow_redirects && redirect::location(head).is_some();
            let reads = !redirected && (self.wanted.reads_body() || is_json(head));
            reads.then_some(self.body_limit)
        };
        let verdict = |status| self.wanted.judge_status(status).map(Finding::wrong);
        let stream = dial(&place, attempt).await?;
        if turn.url.tls {
            let trust = Arc::clone(&self.trust);
            let stream = tls::handshake(stream, trust, &place.host, &shown, attempt).await?;
            exchange(stream, request, &shown, attempt, limit, verdict).await
        } else {
            exchange(stream, request, &shown, attempt, limit, verdict).await
        }
    }

    /// The next turn, when the answer is a redirect to be followed.
    fn follow(&self, turn: Turn, head: &Parts) -> Result<Option<Turn>, Finding> {
        let Some(location) = redirect::location(head).filter(|_| self.follow_redirects) else {
            return Ok(None);
        };
        let url = redirect::join(&turn.url, location)
            .map_err(|why| Finding::wrong(format!("{}: redirected nowhere: {why}", head.status.as_u16())))?;
        let mut next = Turn { url, ..turn };
        if !redirect::keeps_method(head.status) && next.method != Method::HEAD {
            next.method = Method::GET;
            next.body = Octets::new();
            next.headers.remove(CONTENT_TYPE);
        }
        if !redirect::is_same_origin(&next.url, &self.url) {
            if !next.body.is_empty() {
                return Err(Finding::wrong(
                    "redirected to another origin, where the request body does not go",
                ));
            }
            // What the user wrote for one origin is not for another.
            next.headers = self
                .headers
                .iter()
                .filter(|(name, value)| !value.is_sensitive() && *name != HOST)
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
        }
        Ok(Some(next))
    }

    fn judge(&self, reply: &Reply, attempt: &Attempt) -> Finding {
        let mut finding = self.wanted.judge(reply.head.status, &reply.body, &self.secrets);
        if finding.outcome == lifesign_core::evidence::CheckOutcome::Pass {
            let took = format!(" in {}", millis(attempt.elapsed()));
            let at = finding.output.find(';').unwrap_or(finding.output.len());
            finding.output.insert_str(at, &took);
        }
        finding
    }
}

impl Turn {
    fn request(&self) -> Result<Request<Full<Octets>>, String> {
        let unusable = |why: ::http::Error| format!("cannot ask for this URL: {why}");
        let target: Uri =
            self.url.target().parse().map_err(|why: ::http::uri::InvalidUri| unusable(why.into()))?;
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target;
        let headers = request.headers_mut();
        let authority = HeaderValue::from_str(&self.url.authority()).map_err(|why| unusable(why.into()))?;
        headers.insert(HOST, authority);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lifesign/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

/// Whether the body says that it is JSON: `application/json`, `application/health+json`, …
fn is_json(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_is_that_of_the_url_unless_written() {
        let host = |url: &str, headers: &[(&'static str, &'static str)]| {
            let headers =
                headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            let url = Url::parse(url).unwrap();
            let turn = Turn { url, method: Method::GET, headers: headers.collect(), body: Octets::new() };
            turn.request().unwrap().headers()[HOST].to_str().unwrap().to_owned()
        };
        assert_eq!(host("http://[::1]:8080/x", &[]), "[::1]:8080");
        assert_eq!(host("http://a:80/", &[]), "a");
        assert_eq!(host("https://a:80/", &[]), "a:80");
        assert_eq!(host("http://127.0.0.1/", &[("host", "orders.example.com")]), "orders.example.com");
    }
}
