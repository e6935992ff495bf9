//! The one port: accepts connections, within limits, until told to stop.
//!
//! Every limit against slow and greedy clients is set here or in the body's reader: number of
//! connections, time and size of headers, time without progress of an answer.

mod stall;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use lifesign_component::{Error, Ready, Stop, StopSwitch};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::AppState;
use crate::auth::Client;
use crate::figures::{Answered, Figures, Why};
use crate::limits::{Limits, Network};
use crate::peer::without_key;
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
    pub(crate) router: Router,
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
    pub(crate) async fn serve_until(self, mut stop: Stop) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = stop.given() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => self.serve(stream, peer, place, &graceful),
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
        if tokio::time::timeout(FINISH_WITHIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("Requests under way did not finish in time and were cut off");
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
    ) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let router = TowerToHyperService::new(self.router.clone());
        let trusted = Arc::clone(&self.trusted_proxies);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let client = Client::behind(peer.ip(), request.headers(), &trusted);
            request.extensions_mut().insert(client);
            router.call(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers_within)
            .max_headers(self.limits.headers)
            .max_header_size(self.limits.header_bytes)
            .half_close(false)
            .serve_connection(TokioIo::new(Stalling::new(stream, self.limits.stalled_within)), service);
        let connection = graceful.watch(connection);
        let figures = self.figures.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                if error.is_timeout() {
                    let reason = "slow";
                    figures.connections_refused.get_or_create(&Why { reason }).inc();
                }
                tracing::debug!(%peer, %error, "Connection ended with an error");
            }
            drop(place);
        });
    }

    /// One connection too many: says so, if that can be said without waiting.
    fn turn_away(&self, stream: &TcpStream) {
        self.figures.connections_refused.get_or_create(&Why { reason: "too_many" }).inc();
        let _ = stream.try_write(TOO_MANY);
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
