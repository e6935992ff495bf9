//! The road to a server: TCP, through a proxy where there is one, inside a WebSocket where nothing else is let through,
//! and then TLS from end to end.
//!
//! ```text
//! direct:     agent ─ TCP ─ [ CONNECT proxy ] ──────────────────────────────── TLS ─ server
//! WebSocket:  agent ─ TCP ─ [ CONNECT proxy ] ─ TLS ─ [ balancer ] ─ WebSocket ─ TLS ─ server
//! ```
//!
//! The last TLS is the same on both: the agent believes the same authority and shows the same certificate, and who
//! stands in between sees ciphertext. The link and the enrolment go this road.

mod proxy;

use std::fmt;
use std::sync::Arc;

use lifesign_proto::link::{TUNNEL_PATH, Way};
use lifesign_tunnel::Unopened;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use proxy::{Proxies, Proxy};

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

impl ServerAddress {
    /// Its name as a resolver takes it: an IPv6 address without its brackets.
    fn name(&self) -> &str {
        self.host.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// What stands in `Host:`.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// A connection, whatever it goes through.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// A connection, whatever it goes through.
pub(crate) type Stream = Box<dyn Io>;

/// Why there is no connection; without the server's name.
#[derive(Debug)]
pub(crate) enum Closed {
    /// Nobody is there.
    Unreached(String),
    /// Somebody is there, and does not let this way through.
    Barred(String),
    /// The handshake that proves who is who failed.
    Handshake(std::io::Error),
    /// Something here is wrong.
    Wrong(&'static str),
}

/// Opens connections to servers.
#[derive(Debug, Clone)]
pub struct Road {
    proxies: Proxies,
    /// TLS around a WebSocket. It is there because balancers and proxies want it, and protects nothing: what goes through
    /// it is TLS already, with its own proof of who is who. So its certificate is not looked at: it may be that of a
    /// balancer, or of a company's proxy that reads along, of whose authorities the agent knows nothing. Neither token
    /// nor certificate of the agent is told outside of the TLS within.
    hull: Arc<ClientConfig>,
}

impl Road {
    /// A road that goes through these proxies.
    pub fn new(proxies: Proxies) -> Self {
        Self { proxies, hull: lifesign_probe::insecure_tls() }
    }

    /// Opens a connection to `server` with TLS from end to end.
    pub(crate) async fn open(
        &self,
        server: &ServerAddress,
        way: Way,
        tls: &Arc<ClientConfig>,
    ) -> Result<Stream, Closed> {
        let unnamed = |_| Closed::Wrong("its name cannot stand in a TLS handshake");
        let name = ServerName::try_from(server.name().to_owned()).map_err(unnamed)?;
        let tcp = self.reach(server).await?;
        let inside: Stream = match way {
            Way::Direct => tcp,
            Way::WebSocket => {
                let outer = TlsConnector::from(Arc::clone(&self.hull))
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(|error| Closed::Barred(format!("TLS: {error}")))?;
                let tunnel = lifesign_tunnel::connect(outer, &server.authority(), TUNNEL_PATH).await;
                Box::new(tunnel.map_err(|why: Unopened| Closed::Barred(why.to_string()))?)
            }
        };
        let stream =
            TlsConnector::from(Arc::clone(tls)).connect(name, inside).await.map_err(Closed::Handshake)?;
        Ok(Box::new(stream))
    }

    /// Opens a connection without TLS, to this very host only.
    pub(crate) async fn open_here(&self, server: &ServerAddress) -> Result<Stream, Closed> {
        let tcp = connect(server.name(), server.port).await?;
        if !tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
            let words = "it is another host, and http:// is not encrypted; use https://";
            return Err(Closed::Wrong(words));
        }
        Ok(Box::new(tcp))
    }

    /// Opens a connection to `server`, or to a proxy that goes there.
    async fn reach(&self, server: &ServerAddress) -> Result<Stream, Closed> {
        match self.proxies.of(server).map_err(Closed::Unreached)? {
            None => Ok(Box::new(connect(server.name(), server.port).await?)),
            Some(proxy) => {
                let refused = |why: String| Closed::Unreached(format!("through the proxy {proxy}: {why}"));
                let tcp = TcpStream::connect((proxy.name(), proxy.port()))
                    .await
                    .map_err(|error| refused(error.to_string()))?;
                let _ = tcp.set_nodelay(true);
                Ok(Box::new(proxy.go_to(tcp, &server.authority()).await.map_err(refused)?))
            }
        }
    }
}

async fn connect(name: &str, port: u16) -> Result<TcpStream, Closed> {
    let tcp = TcpStream::connect((name, port)).await.map_err(|error| Closed::Unreached(error.to_string()))?;
    // Frames are written whole.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// Whether a handshake failed so that somebody in between may have had a hand in it. Who is turned away by the server
/// itself is so by any way.
pub(crate) fn is_barred(error: Option<&rustls::Error>) -> bool {
    use rustls::AlertDescription as Alert;
    !matches!(
        error,
        Some(rustls::Error::AlertReceived(
            Alert::AccessDenied
                | Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::DecryptError
                | Alert::UnknownCA
        ))
    )
}
