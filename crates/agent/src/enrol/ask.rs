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
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::uplink::ServerAddress;

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

/// Sends `body` to `path` of `server`.
pub(super) async fn ask(
    server: &ServerAddress,
    tls: Arc<ClientConfig>,
    path: &str,
    body: &impl Serialize,
) -> Result<Certified, Unasked> {
    let late = || Unasked::Unreachable(format!("{server} did not answer within {} s", WITHIN.as_secs()));
    timeout(WITHIN, exchange(server, tls, path, body)).await.unwrap_or_else(|_| Err(late()))
}

async fn exchange(
    server: &ServerAddress,
    tls: Arc<ClientConfig>,
    path: &str,
    body: &impl Serialize,
) -> Result<Certified, Unasked> {
    let unreachable = |error: &dyn std::fmt::Display| Unasked::Unreachable(format!("{server}: {error}"));
    let failed = |error: &dyn std::fmt::Display| Unasked::Failed(format!("{server}: {error}"));
    let tcp =
        TcpStream::connect((server.host.as_str(), server.port)).await.map_err(|error| unreachable(&error))?;
    let name = ServerName::try_from(server.host.clone())
        .map_err(|_| failed(&"its name cannot stand in a TLS handshake"))?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| explain(server, &error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    tokio::spawn(connection);
    let text = serde_json::to_vec(body).map_err(|error| failed(&error))?;
    let request = Request::post(path)
        .header(header::HOST, format!("{}:{}", server.host, server.port))
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
