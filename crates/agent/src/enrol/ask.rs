//! Asking the server for a certificate: one connection, one request, one answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lifesign_proto::enrol::{Certified, MAX_REQUEST};
use lifesign_proto::link::Way;
use rustls::{CertificateError, ClientConfig};
use serde::Serialize;
use tokio::time::timeout;

use crate::road::{Closed, Road, ServerAddress, Stream, is_barred};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(20);
/// Most bytes of an answer: two certificates.
const MOST: usize = 4 * MAX_REQUEST;

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// No server was reached.
    #[error("{0}")]
    Unreachable(String),
    /// A server is there, and it is not the one that is believed. It was told nothing.
    #[error("{0}")]
    Stranger(String),
    /// The server refused.
    #[error("{0}")]
    Refused(String),
    /// Something here did not work.
    #[error("{0}")]
    Failed(String),
}

impl Unasked {
    /// The same, and what the other way came to.
    fn and_by_websocket(self, why: &str) -> Self {
        let both = |words: String| format!("{words}; and through a WebSocket: {why}");
        match self {
            Self::Unreachable(words) => Self::Unreachable(both(words)),
            Self::Stranger(words) => Self::Stranger(both(words)),
            Self::Refused(words) => Self::Refused(both(words)),
            Self::Failed(words) => Self::Failed(both(words)),
        }
    }
}

/// Sends `body` to `path` of `server`.
pub(super) async fn ask(
    road: &Road,
    server: &ServerAddress,
    tls: Arc<ClientConfig>,
    path: &str,
    body: &impl Serialize,
) -> Result<Certified, Unasked> {
    let late = || Unasked::Unreachable(format!("{server} did not answer within {} s", WITHIN.as_secs()));
    let answered = async {
        let stream = open(road, server, &tls).await?;
        exchange(stream, server, path, body).await
    };
    timeout(WITHIN, answered).await.unwrap_or_else(|_| Err(late()))
}

/// Opens a connection to the one server that is believed, directly or through a WebSocket.
async fn open(road: &Road, server: &ServerAddress, tls: &Arc<ClientConfig>) -> Result<Stream, Unasked> {
    let in_words = |closed: Closed| match closed {
        Closed::Unreached(why) => (false, Unasked::Unreachable(format!("{server}: {why}"))),
        Closed::Barred(why) => (true, Unasked::Unreachable(format!("{server}: {why}"))),
        Closed::Wrong(why) => (false, Unasked::Failed(format!("{server}: {why}"))),
        Closed::Handshake(error) => (is_barred(tls_error(&error)), explain(server, &error)),
    };
    let (barred, why) = match road.open(server, Way::Direct, tls).await {
        Ok(stream) => return Ok(stream),
        Err(closed) => in_words(closed),
    };
    if !barred {
        return Err(why);
    }
    let opened = road.open(server, Way::WebSocket, tls).await;
    opened.map_err(|closed| why.and_by_websocket(&in_words(closed).1.to_string()))
}

async fn exchange(
    stream: Stream,
    server: &ServerAddress,
    path: &str,
    body: &impl Serialize,
) -> Result<Certified, Unasked> {
    let unreachable = |error: &dyn std::fmt::Display| Unasked::Unreachable(format!("{server}: {error}"));
    let failed = |error: &dyn std::fmt::Display| Unasked::Failed(format!("{server}: {error}"));
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    tokio::spawn(connection);
    let text = serde_json::to_vec(body).map_err(|error| failed(&error))?;
    let request = Request::post(path)
        .header(header::HOST, server.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(text)))
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| match tls_error(&error) {
        Some(error) => told(server, error),
        None => unreachable(&error),
    })?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    let body = body.map_err(|error| unreachable(&error))?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| failed(&"its answer is none of a lifesign server"));
    }
    let problem = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    let words = problem["detail"].as_str().unwrap_or("no reason was given");
    Err(Unasked::Refused(format!("{server}: {words} (HTTP {})", status.as_u16())))
}

/// The words for a handshake that failed.
fn explain(server: &ServerAddress, error: &io::Error) -> Unasked {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.map_or_else(|| Unasked::Unreachable(format!("{server}: {error}")), |inner| told(server, inner))
}

/// The words for an error of TLS, each with the way out.
pub(crate) fn advice(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, Error};
    Some(match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "this is not the server whose authority this agent believes; nothing was said to it. Somebody may stand in \
             between, or the server was set up anew: then enrol with a token that it has made now"
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "the server's certificate does not hold at this time; set the clocks of both hosts right",
        Error::AlertReceived(Alert::CertificateRevoked) => {
            "this host's certificate was revoked or replaced; enrol it anew: lifesign hosts token HOST on the server, \
             then lifesign agent enroll here"
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "this host's certificate has ended, or the clocks of both hosts differ; if they do not, enrol it anew: \
             lifesign hosts token HOST on the server, then lifesign agent enroll here"
        }
        Error::AlertReceived(Alert::UnknownCA | Alert::BadCertificate | Alert::DecryptError) => {
            "the server does not know this host's certificate; enrol it anew: lifesign hosts token HOST on the server, \
             then lifesign agent enroll here"
        }
        Error::AlertReceived(Alert::NoApplicationProtocol) | Error::NoApplicationProtocol => {
            "there is no lifesign server that enrols agents on this port; name its port with TLS (`server.tls`)"
        }
        Error::InvalidMessage(_) => {
            "no TLS is spoken on this port; name the server's port with TLS (`server.tls`)"
        }
        _ => return None,
    })
}

fn told(server: &ServerAddress, error: &rustls::Error) -> Unasked {
    let words = match advice(error) {
        Some(advice) => format!("{server}: {advice} (TLS: {error})"),
        None => format!("{server}: TLS: {error}"),
    };
    match error {
        rustls::Error::AlertReceived(_) => Unasked::Refused(words),
        _ => Unasked::Stranger(words),
    }
}

/// The error of TLS inside of another one, if that is what it is.
pub(crate) fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
