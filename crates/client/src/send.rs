//! One heartbeat over HTTP, and the server's answer.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::Timeout;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::beat::Beat;

/// Time for one heartbeat with [`send`], from resolving the name to the end of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read of an answer.
const MAX_ANSWER: u64 = 64 * 1024;
/// Longest text of an answer that is kept in an error, in characters.
const MAX_DETAIL: usize = 300;

/// lifesign's acknowledgement of one heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ack {
    /// The service.
    pub service_id: String,
    /// Its state after this heartbeat: `pending`, `up`, `degraded`, `suspect`, `down` or `unknown`.
    pub state: Option<String>,
    /// Whether the heartbeat counted.
    pub accepted: bool,
    /// Why it did not.
    pub error: Option<String>,
}

/// Why a heartbeat was not acknowledged. None of the texts holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The server's address or the token cannot be used at all; trying again changes nothing.
    #[error("{0}")]
    Unusable(String),
    /// No answer: nobody listens, the network is away, the time is over.
    #[error("lifesign does not answer: {0}")]
    Unreachable(String),
    /// The heartbeat left, and no answer came in time. It may have arrived.
    #[error("lifesign does not answer: {0}")]
    Unanswered(String),
    /// The server answered and said no.
    #[error("lifesign refused the heartbeat with {status}: {detail}")]
    Refused {
        /// The HTTP status: 401 and 403 are about the token, 404 about the service, 422 about the heartbeat.
        status: u16,
        /// The server's words.
        detail: String,
        /// The wait it asked for.
        retry_after: Option<Duration>,
    },
    /// Something answered that is not lifesign.
    #[error("the answer is not lifesign's: {0}")]
    Strange(String),
}

/// Sends one heartbeat to the server at `url` (`https://monitor.example.com:7700`) and waits for its answer,
/// at most [`TIMEOUT`].
///
/// # Errors
/// When the heartbeat was not acknowledged; it may have arrived all the same.
pub fn send(url: &str, token: &str, beat: &Beat) -> Result<Ack, SendError> {
    Connection::new(url, token, None)?.send(beat, TIMEOUT)
}

/// Like [`send`], to a server whose certificate comes from one of the authorities in `pem` (a PEM file's
/// content) and not from a public one.
///
/// # Errors
/// As [`send`]; also when `pem` holds no certificate.
pub fn send_trusting(pem: &[u8], url: &str, token: &str, beat: &Beat) -> Result<Ack, SendError> {
    Connection::new(url, token, Some(pem))?.send(beat, TIMEOUT)
}

impl SendError {
    /// Whether lifesign's answer arrived here, whatever it said.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// A server and the right to send it heartbeats. Keeps its connection open between two of them.
pub(crate) struct Connection {
    config: ureq::config::Config,
    agent: Agent,
    target: Uri,
    bearer: HeaderValue,
}

impl Connection {
    pub(crate) fn new(url: &str, token: &str, authorities: Option<&[u8]>) -> Result<Self, SendError> {
        let unusable = |why: &str| SendError::Unusable(why.to_owned());
        let target = format!("{}/api/v1/heartbeats", url.trim().trim_end_matches('/'));
        // The address is not repeated: somebody may have written a password into it.
        let target: Uri = target.parse().map_err(|_| unusable("the server's address is no URL"))?;
        if !matches!(target.scheme_str(), Some("http" | "https")) {
            return Err(unusable("the server's address starts with http:// or https://"));
        }
        if target
            .authority()
            .is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@'))
        {
            return Err(unusable("the server's address is http://host:port, without user and password"));
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| unusable("the token has characters that no header can carry"))?;
        bearer.set_sensitive(true);
        let mut tls = TlsConfig::builder();
        if let Some(pem) = authorities {
            tls = tls.root_certs(RootCerts::from(roots(pem)?));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("lifesign-client/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), config, target, bearer })
    }

    /// Closes the connection; the next heartbeat makes a new one.
    pub(crate) fn drop_link(&mut self) {
        // The old agent takes its pool of connections with it.
        self.agent = self.config.new_agent();
    }

    /// Sends `beat` and waits for the answer, at most `limit`.
    pub(crate) fn send(&self, beat: &Beat, limit: Duration) -> Result<Ack, SendError> {
        let body = serde_json::to_vec(beat).map_err(|error| SendError::Unusable(error.to_string()))?;
        let answer = self
            .agent
            .post(&self.target)
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .config()
            .timeout_global(Some(limit))
            // Sooner than all of it, so that a server that is not there is told from one that does not answer.
            .timeout_resolve(Some(limit / 4 * 3))
            .timeout_connect(Some(limit / 4 * 3))
            .build()
            .send(&body)
            .map_err(|error| match error {
                ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                    SendError::Unreachable(error.to_string())
                }
                ureq::Error::Timeout(_) => SendError::Unanswered(error.to_string()),
                error => SendError::Unreachable(error.to_string()),
            })?;
        let status = answer.status().as_u16();
        let retry_after =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut text = Vec::new();
        let read = answer.into_body().into_reader().take(MAX_ANSWER).read_to_end(&mut text);
        match status {
            200 => {
                read.map_err(|error| SendError::Unreachable(error.to_string()))?;
                acknowledged(&text)
            }
            _ => Err(SendError::Refused {
                status,
                detail: detail(&text),
                retry_after: retry_after.map(Duration::from_secs),
            }),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The certificates in `pem`; at least one.
fn roots(pem: &[u8]) -> Result<Vec<Certificate<'static>>, SendError> {
    let mut roots = Vec::new();
    for item in parse_pem(pem) {
        if let Ok(PemItem::Certificate(certificate)) = item {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(SendError::Unusable("no certificate among the authorities, expected PEM".to_owned()));
    }
    Ok(roots)
}

/// The one acknowledgement in the body of a 200.
fn acknowledged(body: &[u8]) -> Result<Ack, SendError> {
    #[derive(Deserialize)]
    struct Acks {
        acks: Vec<Ack>,
    }
    let acks: Acks = serde_json::from_slice(body).map_err(|_| {
        SendError::Strange("200 without acknowledgements; is this lifesign's address?".to_owned())
    })?;
    match acks.acks.into_iter().next() {
        Some(ack) if ack.accepted => Ok(ack),
        Some(ack) => Err(SendError::Refused {
            status: 200,
            detail: short(&ack.error.unwrap_or_default()),
            retry_after: None,
        }),
        None => Err(SendError::Strange("no acknowledgement in the answer".to_owned())),
    }
}

/// What a refusal says: the detail or title of a problem document, or the beginning of any other text.
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: Option<String>,
        title: Option<String>,
    }
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let text = problem.and_then(|problem| problem.detail.or(problem.title));
    short(&text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}

/// On one line, at most [`MAX_DETAIL`] characters.
fn short(text: &str) -> String {
    text.chars().take(MAX_DETAIL).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_is_said_so_without_repeating_it() {
        for url in ["", "127.0.0.1:7700", "ftp://a", "http://", "http://user:pa55word@a:1", "http://a b"] {
            let error = Connection::new(url, "t", None).unwrap_err();
            assert!(matches!(&error, SendError::Unusable(_)), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("pa55word"));
        }
        assert!(Connection::new("https://a", "t", Some(b"no PEM")).is_err());
        assert!(Connection::new("http://a", "line\nbreak", None).is_err());
        for url in ["http://127.0.0.1:7700", "https://a/", "http://[::1]:7700", "http://a/lifesign/"] {
            let connection = Connection::new(url, "s3cret", None).unwrap();
            assert!(connection.target.path().ends_with("/api/v1/heartbeats"));
            assert!(!format!("{connection:?}").contains("s3cret"));
        }
    }

    #[test]
    fn only_an_accepted_acknowledgement_is_one() {
        let good = br#"{"acks":[{"service_id":"orders","state":"up","accepted":true}]}"#;
        assert_eq!(acknowledged(good).unwrap().state.as_deref(), Some("up"));
        let refused = br#"{"acks":[{"service_id":"orders","accepted":false,"error":"no service orders"}]}"#;
        assert!(matches!(acknowledged(refused), Err(SendError::Refused { .. })));
        for strange in [&b""[..], b"OK", b"{}", b"[]", br#"{"acks":[]}"#, br#"{"acks":[{}]}"#] {
            assert!(matches!(acknowledged(strange), Err(SendError::Strange(_))));
        }
    }

    #[test]
    fn a_refusal_keeps_the_servers_words_in_bounds() {
        assert_eq!(
            detail(br#"{"title":"unauthorised","status":401,"detail":"no such token"}"#),
            "no such token"
        );
        assert_eq!(detail(br#"{"title":"unauthorised"}"#), "unauthorised");
        assert_eq!(detail(b"<html>\nnginx"), "<html> nginx");
        assert_eq!(detail(&[b'a'; 10_000]).len(), MAX_DETAIL);
    }
}
