//! One HTTP POST over a connection of its own.
//!
//! No pool, no redirects, no retries: an alert is rare, a fresh connection cannot be stale, and where a
//! body goes is decided by the configuration alone.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lifesign_config::{Host, Url};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Time to connect, all addresses of the name together.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes read of an answer's body: only its first words are kept.
const MAX_BODY: usize = 4096;
/// Time for the body of an answer whose status is known. A body that does not come changes no verdict.
const BODY: Duration = Duration::from_secs(1);

/// An answer, as far as the judge needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) date: Option<String>,
    /// The beginning of the body.
    pub(crate) body: String,
}

/// Sends `request` to `url` and reads the answer.
///
/// # Errors
/// No answer, in words. Whether the other side has taken the message is then unknown.
pub(crate) async fn post(
    url: &Url,
    request: Request<String>,
    tls: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<Reply, String> {
    let deadline = Instant::now() + limit;
    let late = || format!("no answer from {} within {limit:?}", url.authority());
    let stream = timeout_at(deadline.min(Instant::now() + CONNECT), connect(&url.host, url.port))
        .await
        .map_err(|_| format!("no connection to {} in time", url.authority()))??;
    if !url.tls {
        return exchange(stream, request, deadline).await.unwrap_or_else(|_| Err(late()));
    }
    let name = match &url.host {
        Host::Ip(ip) => ServerName::from(*ip),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string())?,
    };
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    let stream = timeout_at(deadline, handshake)
        .await
        .map_err(|_| late())?
        .map_err(|error| format!("no TLS with {}: {error}", url.authority()))?;
    exchange(stream, request, deadline).await.unwrap_or_else(|_| Err(late()))
}

async fn connect(host: &Host, port: u16) -> Result<TcpStream, String> {
    let connected = match host {
        Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
        Host::Name(name) => TcpStream::connect((name.as_str(), port)).await,
    };
    connected.map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
}

/// The deadline is for the head of the answer: whoever has said 200 has the message, however its body goes.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<String>,
    deadline: Instant,
) -> Result<Result<Reply, String>, Elapsed> {
    let (mut sender, connection) = match http1::handshake(TokioIo::new(stream)).await {
        Ok(pair) => pair,
        Err(error) => return Ok(Err(words(&error))),
    };
    let reply = async {
        match timeout_at(deadline, sender.send_request(request)).await? {
            Ok(response) => Ok(Ok(read(response).await)),
            Err(error) => Ok(Err(words(&error))),
        }
    };
    tokio::pin!(reply, connection);
    // The connection is driven here and not in a task of its own, so that dropping us closes it.
    tokio::select! {
        biased;
        reply = &mut reply => reply,
        _ = &mut connection => reply.await,
    }
}

async fn read(response: Response<Incoming>) -> Reply {
    let (head, mut body) = response.into_parts();
    let text = |name: HeaderName| head.headers.get(name)?.to_str().ok().map(str::to_owned);
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if bytes.len() >= MAX_BODY {
                break;
            }
        }
    };
    let _in_time = timeout(BODY, reading).await;
    bytes.truncate(MAX_BODY);
    Reply {
        status: head.status.as_u16(),
        retry_after: text(http::header::RETRY_AFTER),
        date: text(http::header::DATE),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn words(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    if error.is_incomplete_message() {
        "the connection closed before an answer came".to_owned()
    } else if error.is_parse() {
        format!("the answer is no HTTP: {error}{cause}")
    } else {
        format!("{error}{cause}")
    }
}
