//! The way to a server: TCP, TLS where it is not this very host, and an HTTP upgrade.

use std::fmt;
use std::sync::Arc;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use lifesign_proto::link::{PATH, UPGRADE};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::enrol::{advice, tls_error};

/// Most of a refusal's body that is read.
const MAX_WORDS: usize = 4096;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Whether TLS is spoken. Without it only this very host is talked to.
    pub tls: bool,
    /// Its name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// How servers are talked to.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) token: Option<Arc<str>>,
}

/// An open way for frames.
pub(super) type Way = TokioIo<Upgraded>;

impl Dialer {
    /// Why a connection failed, with the way out where there is one.
    fn in_words(&self, server: &ServerAddress, error: &(dyn std::error::Error + 'static)) -> String {
        let Some(tls) = tls_error(error) else { return format!("{server}: {error}") };
        // The advice is for those who are enrolled.
        match advice(tls).filter(|_| self.token.is_none()) {
            Some(advice) => format!("{server}: {advice} (TLS: {tls})"),
            None => format!("{server}: TLS: {tls}"),
        }
    }

    /// Opens the way to `server`, or says in words why not.
    pub(super) async fn open(&self, server: &ServerAddress) -> Result<Way, String> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(|error| format!("{server}: {error}"))?;
        // Frames are written whole.
        let _ = tcp.set_nodelay(true);
        if !server.tls {
            let is_here = tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            if !is_here {
                return Err(format!("{server} is another host, and http:// is not encrypted; use https://"));
            }
            return self.upgrade(tcp, server).await;
        }
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| format!("{server}: its name cannot stand in a TLS handshake"))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await
            .map_err(|error| self.in_words(server, &error))?;
        self.upgrade(stream, server).await
    }

    async fn upgrade(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        server: &ServerAddress,
    ) -> Result<Way, String> {
        let wrong = |error: hyper::Error| self.in_words(server, &error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(wrong)?;
        // It lives as long as the way: when that is dropped, it ends.
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::get(PATH)
            .header(header::HOST, format!("{}:{}", server.host, server.port))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, UPGRADE);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|_| format!("{server}: the token has characters that HTTP does not take"))?;
        let answer = sender.send_request(request).await.map_err(wrong)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_WORDS).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let detail = serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
            return Err(format!(
                "{server}: {status}{}",
                detail.map(|words| format!(": {words}")).unwrap_or_default()
            ));
        }
        hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(wrong)
    }
}
