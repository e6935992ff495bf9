//! The way to a server, and the HTTP upgrade at its end.

use std::fmt;
use std::sync::Arc;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use lifesign_proto::link::{PATH, UPGRADE, Way};
use rustls::ClientConfig;

use crate::enrol::{advice, tls_error};
use crate::road::{Closed, Road, ServerAddress, Stream, is_barred};

/// Most of a refusal's body that is read.
const MAX_WORDS: usize = 4096;

/// How servers are talked to.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) road: Road,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) token: Option<Arc<str>>,
}

/// An open way for frames.
pub(super) type Opened = TokioIo<Upgraded>;

/// Why there is none.
#[derive(Debug)]
pub(super) struct Refused {
    /// Somebody is there, and the way may be what does not work.
    pub(super) barred: bool,
    pub(super) why: String,
}

impl Dialer {
    /// A handshake failed, in it or after it: why, with the way out where there is one.
    fn refused(&self, server: &ServerAddress, error: &(dyn std::error::Error + 'static)) -> Refused {
        let tls = tls_error(error);
        let barred = server.tls && is_barred(tls);
        // The advice is for those who are enrolled.
        let why = match (tls, tls.and_then(advice).filter(|_| self.token.is_none())) {
            (None, _) => format!("{server}: {error}"),
            (Some(tls), Some(advice)) => format!("{server}: {advice} (TLS: {tls})"),
            (Some(tls), None) => format!("{server}: TLS: {tls}"),
        };
        Refused { barred, why }
    }

    /// Opens the way to `server`, or says in words why not.
    pub(super) async fn open(&self, server: &ServerAddress, way: Way) -> Result<Opened, Refused> {
        let stream = match server.tls {
            true => self.road.open(server, way, &self.tls).await,
            false => self.road.open_here(server).await,
        };
        let words = |why: &dyn fmt::Display| format!("{server}: {why}");
        let stream = stream.map_err(|closed| match closed {
            Closed::Unreached(why) => Refused { barred: false, why: words(&why) },
            Closed::Wrong(why) => Refused { barred: false, why: words(&why) },
            Closed::Barred(why) => Refused { barred: true, why: words(&why) },
            Closed::Handshake(error) => self.refused(server, &error),
        })?;
        self.upgrade(stream, server).await
    }

    async fn upgrade(&self, stream: Stream, server: &ServerAddress) -> Result<Opened, Refused> {
        let wrong = |error: hyper::Error| self.refused(server, &error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(wrong)?;
        // It lives as long as the way: when that is dropped, it ends.
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::get(PATH)
            .header(header::HOST, server.authority())
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, UPGRADE);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| Refused {
            barred: false,
            why: format!("{server}: the token has characters that HTTP does not take"),
        })?;
        let answer = sender.send_request(request).await.map_err(wrong)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_WORDS).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let detail = serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
            let why =
                format!("{server}: {status}{}", detail.map(|words| format!(": {words}")).unwrap_or_default());
            // A wrong token is wrong by any way; all else may be said by who stands in between.
            return Err(Refused { barred: server.tls && status != StatusCode::UNAUTHORIZED, why });
        }
        hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(wrong)
    }
}
