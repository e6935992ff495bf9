//! Agents behind a balancer or a proxy that passes HTTP only: `GET /api/v1/link/websocket` becomes a WebSocket, and what
//! comes out of it is a connection to the port with TLS like any other.
//!
//! So it is open to everybody, as that port is: who is there is proved inside, by the handshake that is made on the
//! direct way too. Who ends the outer TLS sees ciphertext.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use lifesign_tunnel::{Tunnel, accept_key, accepted};

use crate::AppState;
use crate::api::Failure;
use crate::auth::Client;

/// Tunnels that may wait for the listener; further ones are closed.
pub(crate) const WAITING: usize = 64;

/// A connection that came inside a WebSocket.
#[derive(Debug)]
pub(crate) struct Tunnelled {
    pub(crate) stream: Tunnel<TokioIo<Upgraded>>,
    /// Whoever asked for the WebSocket, as far as a trusted proxy tells. The port is not known.
    pub(crate) peer: SocketAddr,
}

/// An agent's way through HTTP
///
/// For lifesign's own agents behind a load balancer or a proxy: a WebSocket, whose binary messages are a TLS connection
/// to this server. Certificates and tokens are shown inside.
#[utoipa::path(
    get, path = "/api/v1/link/websocket", tag = "hosts", security(()),
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 409, description = "This server does not speak TLS", body = lifesign_proto::Problem),
        (status = 426, description = "Without `Upgrade: websocket`", body = lifesign_proto::Problem)
    )
)]
pub(crate) async fn open(State(state): State<AppState>, mut request: Request) -> Response {
    let Some(tunnels) = state.tunnels.clone() else {
        let words = "this server does not speak TLS, which is spoken inside; write `server: { tls: {} }`";
        return Failure::new(StatusCode::CONFLICT, words).into_response();
    };
    let key = accept_key(request.headers()).and_then(|key| HeaderValue::try_from(key).ok());
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some((key, upgrade)) = key.zip(upgrade) else {
        return Failure::new(
            StatusCode::UPGRADE_REQUIRED,
            "this is the way of lifesign's agents through HTTP: it needs `Upgrade: websocket`; a balancer before this \
             server must pass that header on",
        )
        .with(header::UPGRADE, HeaderValue::from_static("websocket"))
        .into_response();
    };
    let peer = Client::of(&request).socket();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(way) => {
                let stream = accepted(TokioIo::new(way)).await;
                if tunnels.try_send(Tunnelled { stream, peer }).is_err() {
                    tracing::debug!(%peer, "A WebSocket was closed: too many wait, or the server stops");
                }
            }
            Err(error) => tracing::debug!(%error, "A connection did not become a WebSocket"),
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    response
}
