//! The one port: accepts connections, within limits, until told to stop.
//!
//! Every connection begins in its [`lane`], where ordinary heartbeats are answered; what is anything else is hyper's.
//! Every limit against slow and greedy clients is set here or in the body's reader: number of
//! connections, time and size of headers, time without progress of an answer.

pub(crate) mod lane;
mod rewind;
mod stall;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lifesign_component::{Error, Ready, Stop, StopSwitch};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use crate::AppState;
use crate::auth::Client;
use crate::enrol::{Member, Ways};
use crate::figures::{Answered, Figures, Why};
use crate::limits::{Limits, Network};
use crate::peer::without_key;
use crate::tunnel::Tunnelled;
use lane::{Lanes, Left};
use rewind::Rewind;
use stall::Stalling;

/// How long requests under way may take when the server stops; less than the component's own limit.
const FINISH_WITHIN: Duration = Duration::from_secs(3);
/// Wait after the system refused a connection (no file handles left), so that the loop does not spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// What a connection beyond the limit is told.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The server on its port.
pub(crate) struct Serving {
    pub(crate) listener: TcpListener,
    /// The port with TLS.
    pub(crate) tls: Option<(TcpListener, Ways)>,
    /// What comes inside WebSockets, for that port.
    pub(crate) tunnelled: mpsc::Receiver<Tunnelled>,
    pub(crate) router: Router,
    /// The short way of heartbeats, where this port takes any.
    pub(crate) lanes: Option<Arc<Lanes>>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) trusted_proxies: Arc<[Network]>,
    pub(crate) figures: Figures,
    /// Ends the streams, which would else never be finished.
    pub(crate) stop_streams: StopSwitch,
}

impl Serving {
    /// Serves until told to stop; then lets requests under way finish.
    pub(crate) async fn run(self, mut ready: Ready, stop: Stop) -> Result<(), Error> {
        ready.tell();
        self.serve_until(stop).await;
        Ok(())
    }

    /// The same for one who has nobody to tell that it is ready.
    pub(crate) async fn serve_until(mut self, mut stop: Stop) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        // Each connection holds `under_way`; when all have let go of it, `finished` ends.
        let (closing, is_closing) = Stop::pair();
        let (under_way, mut finished) = mpsc::channel::<()>(1);
        loop {
            let (accepted, tls) = tokio::select! {
                () = stop.given() => break,
                accepted = self.listener.accept() => (accepted, None),
                (accepted, tls) = accept_tls(self.tls.as_ref()) => (accepted, Some(tls)),
                Some(tunnelled) = self.tunnelled.recv() => {
                    let place = Arc::clone(&places).try_acquire_owned();
                    if let (Ok(place), Some((_, tls))) = (place, &self.tls) {
                        let (Tunnelled { stream, peer }, tls) = (tunnelled, tls.clone());
                        let held = (place, under_way.clone());
                        // What is forwarded inside is the agent's own word.
                        let serve = Serve { trusted: Arc::new([]), ..self.connection() };
                        tokio::spawn(serve.serve_tls(stream, peer, tls, held, is_closing.clone()));
                    }
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let held = (place, under_way.clone());
                        // Answers are written whole; waiting for more to send would only delay them.
                        let _ = stream.set_nodelay(true);
                        let stream = Stalling::new(stream, self.limits.stalled_within);
                        match tls {
                            None => tokio::spawn(self.serve(stream, peer, held, is_closing.clone())),
                            Some(tls) => tokio::spawn(self.connection().serve_tls(
                                stream,
                                peer,
                                tls,
                                held,
                                is_closing.clone(),
                            )),
                        };
                    }
                    Err(_) => self.turn_away(&stream),
                },
                Err(error) => {
                    tracing::warn!(%error, "Connection not accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        drop(self.listener);
        self.stop_streams.give();
        closing.give();
        drop(under_way);
        if timeout(FINISH_WITHIN, finished.recv()).await.is_err() {
            tracing::warn!("Requests under way did not finish in time and were cut off");
        }
    }

    fn serve(
        &self,
        stream: Stalling<TcpStream>,
        peer: SocketAddr,
        held: Held,
        closing: Stop,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.connection().serve(stream, peer, None, held, closing)
    }

    fn connection(&self) -> Serve {
        Serve {
            router: self.router.clone(),
            lanes: self.lanes.clone(),
            trusted: Arc::clone(&self.trusted_proxies),
            limits: Arc::clone(&self.limits),
            figures: self.figures.clone(),
        }
    }

    /// One connection too many: says so, if that can be said without waiting.
    fn turn_away(&self, stream: &TcpStream) {
        self.figures.connections_refused.get_or_create(&Why { reason: "too_many" }).inc();
        let _ = stream.try_write(TOO_MANY);
    }
}

/// The next connection to the port with TLS, if there is such a port.
async fn accept_tls(tls: Option<&(TcpListener, Ways)>) -> (std::io::Result<(TcpStream, SocketAddr)>, Ways) {
    match tls {
        Some((listener, ways)) => (listener.accept().await, ways.clone()),
        None => std::future::pending().await,
    }
}

/// What a connection holds as long as it lives: its place, and the server's wish to see its end.
type Held = (OwnedSemaphorePermit, mpsc::Sender<()>);

/// What an encrypted connection is known by.
struct Encrypted {
    /// Whose certificate was shown, if one was.
    member: Option<Member>,
}

/// Serves one connection.
struct Serve {
    router: Router,
    lanes: Option<Arc<Lanes>>,
    trusted: Arc<[Network]>,
    limits: Arc<Limits>,
    figures: Figures,
}

impl Serve {
    /// Does the handshake, then serves.
    async fn serve_tls<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        peer: SocketAddr,
        tls: Ways,
        held: Held,
        closing: Stop,
    ) {
        let handshake = async {
            let begun = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
            let way = tls.of(&begun.client_hello());
            begun.into_stream(way).await
        };
        match timeout(self.limits.headers_within, handshake).await {
            Ok(Ok(stream)) => {
                let member = tls.member(stream.get_ref().1.peer_certificates());
                self.serve(stream, peer, Some(Encrypted { member }), held, closing).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake did not end in time"),
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        mut stream: S,
        peer: SocketAddr,
        encrypted: Option<Encrypted>,
        held: Held,
        mut closing: Stop,
    ) {
        let left = match &self.lanes {
            Some(lanes) => lanes.serve(&mut stream, peer, &mut closing).await,
            None => Ok(Left::Elsewhere(Bytes::new())),
        };
        let stream = match left {
            Ok(Left::Elsewhere(before)) => Rewind::new(before, stream),
            Ok(Left::Ended) => {
                let _gone = stream.shutdown().await.is_err();
                return;
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "Connection ended with an error");
                return;
            }
        };
        let router = TowerToHyperService::new(self.router);
        let is_encrypted = encrypted.is_some();
        let member = encrypted.and_then(|encrypted| encrypted.member);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let mut client = Client::behind(peer.ip(), request.headers(), &self.trusted);
            client.is_https |= is_encrypted;
            request.extensions_mut().insert(client);
            if let Some(member) = &member {
                request.extensions_mut().insert(member.clone());
            }
            router.call(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers_within)
            .max_headers(self.limits.headers)
            .max_header_size(self.limits.header_bytes)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
            // Agents make links of theirs.
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closing.given() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            if error.is_timeout() {
                let reason = "slow";
                self.figures.connections_refused.get_or_create(&Why { reason }).inc();
            }
            tracing::debug!(%peer, %error, "Connection ended with an error");
        }
        drop(held);
    }
}

/// Around every request: counts it, logs it, and gives its answer the headers that browsers ask for.
pub(crate) async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let client = Client::of(&request);
    let method = request.method().clone();
    // Without the query, which may hold anything.
    let path = without_key(request.uri().path()).into_owned();
    let mut response = next.run(request).await;
    let route =
        response.extensions().get::<Route>().map_or_else(|| "none".into(), |Route(route)| route.clone());
    let status = response.status().as_u16();
    state.figures.requests.get_or_create(&Answered { route, status }).inc();
    tracing::debug!(%client, %method, path, status, took = ?begun.elapsed(), "Answered");

    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The pattern of the route that answered, left in the answer for [`observe`].
#[derive(Debug, Clone)]
pub(crate) struct Route(Arc<str>);

/// Notes which route answers.
pub(crate) async fn note_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| Route(path.as_str().into()));
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// What every answer says to browsers, unless its handler knows better.
const SECURITY: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];
