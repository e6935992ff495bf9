//! The agent's half of enrolment: a key, a certificate for it, and its renewal.
//!
//! | file | holds |
//! |---|---|
//! | `identity` | what is kept on the disk |
//! | `tls` | who is believed, and what is shown |
//! | `ask` | one question to the server |

mod ask;
mod identity;
mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifesign_component::Component;
use lifesign_core::time::Now;
use lifesign_proto::enrol::{EnrolRequest, OneTimeToken, PATH, RENEWAL_PATH, RenewRequest};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;

pub use ask::Unasked;
pub(crate) use ask::{advice, tls_error};
pub use identity::{FILE, Identity, IdentityError};

use crate::road::{Road, ServerAddress};
use tls::Shown;

/// The clock is looked at this often at least: it may be set while the agent waits, or the machine may have slept.
const LOOK: Duration = Duration::from_secs(600);

/// Enrols `host` at `server`, which `road` leads to, with `token`: makes a key and asks for its certificate. Nothing is kept yet.
///
/// # Errors
/// When the server is not reached, is not the one of the token, or refuses.
pub async fn enrol(
    road: &Road,
    server: &ServerAddress,
    token: &OneTimeToken,
    host: &str,
    clock: fn() -> Now,
) -> Result<Identity, Unasked> {
    let tls = tls::enrolling(token.pin()).map_err(Unasked::Failed)?;
    let (key, request) = new_key()?;
    let body = EnrolRequest { token: token.secret(), host: host.to_owned(), request };
    let certified = ask::ask(road, server, tls, PATH, &body).await?;
    let identity = Identity::new(server.to_string(), key, certified, clock().wall);
    tls::certified(&identity).map_err(Unasked::Failed)?;
    Ok(identity)
}

/// A key and a request for its certificate, both as PEM.
fn new_key() -> Result<(String, String), Unasked> {
    let failed = |error: rcgen::Error| Unasked::Failed(format!("no key could be made: {error}"));
    let key = KeyPair::generate().map_err(failed)?;
    let params = CertificateParams::new(Vec::new()).map_err(failed)?;
    let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
    Ok((key.serialize_pem(), request))
}

/// An identity at work: how the link speaks with it, and its renewal.
pub struct Enrolled {
    identity: Identity,
    dir: PathBuf,
    shown: Arc<Shown>,
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolled").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Enrolled {
    /// Puts `identity`, which is kept in `dir`, to work.
    ///
    /// # Errors
    /// When its key or certificates are damaged, in words.
    pub fn new(identity: Identity, dir: &Path) -> Result<Self, String> {
        let way_out = |why: String| format!("{why}; enrol this host anew: lifesign agent enroll");
        let shown = Arc::new(Shown::new(&identity).map_err(way_out)?);
        let tls = tls::enrolled(&identity, Arc::clone(&shown)).map_err(way_out)?;
        Ok(Self { identity, dir: dir.to_owned(), shown, tls })
    }

    /// How the link speaks. It shows the present certificate at each handshake.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// Renews the certificate when two thirds of its time are over, asking these servers in turn.
    pub fn renewal(mut self, road: Road, servers: Vec<ServerAddress>, clock: fn() -> Now) -> Component {
        Component::essential("renewal", move |mut ready, mut stop| async move {
            ready.tell();
            let mut failures = 0_u32;
            let mut wait = self.identity.due_in(clock().wall);
            loop {
                tokio::select! {
                    () = stop.given() => return Ok(()),
                    () = tokio::time::sleep(wait.min(LOOK)) => {}
                }
                if !self.identity.due_in(clock().wall).is_zero() {
                    failures = 0;
                    wait = self.identity.due_in(clock().wall);
                    continue;
                }
                let Some(server) = servers.get(failures as usize % servers.len().max(1)) else {
                    return Err("there is no server to ask for a certificate".into());
                };
                let renewed = tokio::select! {
                    () = stop.given() => return Ok(()),
                    renewed = self.renew(&road, server, clock) => renewed,
                };
                wait = match renewed {
                    Ok(()) => {
                        tracing::info!(expires_at = %self.identity.expires_at(), "The certificate of this host was renewed");
                        failures = 0;
                        self.identity.due_in(clock().wall)
                    }
                    Err(why) => {
                        let left = self.identity.expires_at().since(clock().wall);
                        tracing::warn!(%why, ?left, "The certificate of this host could not be renewed; it is tried again");
                        failures = failures.saturating_add(1);
                        identity::again_in(failures, left)
                    }
                };
            }
        })
    }

    async fn renew(
        &mut self,
        road: &Road,
        server: &ServerAddress,
        clock: fn() -> Now,
    ) -> Result<(), Unasked> {
        let (key, request) = new_key()?;
        let body = RenewRequest { request };
        let certified = ask::ask(road, server, self.tls(), RENEWAL_PATH, &body).await?;
        let identity = Identity::new(self.identity.server.clone(), key, certified, clock().wall);
        tls::certified(&identity).map_err(Unasked::Failed)?;
        // On the disk before it is shown: from then on the server takes the older one no more.
        identity.save(&self.dir).map_err(|error| {
            Unasked::Failed(format!("the disk does not take the new certificate: {error}"))
        })?;
        self.shown.exchange(&identity).map_err(Unasked::Failed)?;
        self.identity = identity;
        Ok(())
    }
}
