//! How TLS is spoken on the server's port: with agents that are enrolled, or about to be, and with everybody else.
//!
//! An agent says so in its first words (ALPN): it is shown the certificate of the server's own authority and asked for
//! its own. Everybody else is shown the operator's certificate, where there is one, and asked for nothing, so that no
//! browser offers its user a choice of certificates.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifesign_core::time::Wall;
use lifesign_proto::enrol::ALPN;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::authority::{AuthorityError, SERVER_HOLDS, Shared};
use super::{Enrolment, Member};
use crate::engine::Clock;

/// The ways TLS is spoken.
#[derive(Clone)]
pub struct Ways {
    agents: Arc<ServerConfig>,
    others: Arc<ServerConfig>,
    enrolment: Enrolment,
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ways")
    }
}

impl Ways {
    /// The ways of a server with an authority of its own, whose certificate is to have these names. `others`: how
    /// everybody but agents is spoken to; where none is given, with the same certificate.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or the system gives no chance.
    pub fn new(
        enrolment: Enrolment,
        names: Vec<String>,
        others: Option<Arc<ServerConfig>>,
    ) -> Result<Self, AuthorityError> {
        let unmade = |error: &dyn fmt::Display| AuthorityError::Unmade(error.to_string());
        let authority = enrolment.authority().ok_or_else(|| unmade(&"there is no authority"))?;
        let own = Arc::new(Own {
            authority: Arc::clone(&authority),
            names,
            clock: enrolment.clock(),
            made: Mutex::new(None),
        });
        // The first one is made now, so that a wrong name is found at the start.
        own.certificate()?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).map_err(|error| unmade(&error))?;
        let provider = Arc::new(ring::default_provider());
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| unmade(&error))?;
        let members = Members { chain, enrolment: enrolment.clone() };
        let mut agents = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unmade(&error))?
            .with_client_cert_verifier(Arc::new(members))
            .with_cert_resolver(Arc::clone(&own) as Arc<dyn ResolvesServerCert>);
        agents.alpn_protocols = vec![ALPN.to_vec()];
        // A session that was taken up again would pass by the verifier, and so by a revocation.
        agents.session_storage = Arc::new(NoServerSessionStorage {});
        agents.send_tls13_tickets = 0;
        let others = match others {
            Some(others) => others,
            None => {
                let mut others = ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| unmade(&error))?
                    .with_no_client_auth()
                    .with_cert_resolver(own);
                others.alpn_protocols = vec![b"http/1.1".to_vec()];
                Arc::new(others)
            }
        };
        Ok(Self { agents: Arc::new(agents), others, enrolment })
    }

    /// The way for whoever begins like this.
    pub(crate) fn of(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let is_agent = hello.alpn().is_some_and(|mut names| names.any(|name| name == ALPN));
        Arc::clone(if is_agent { &self.agents } else { &self.others })
    }

    /// Whose certificates these are, which a handshake has just proved.
    pub(crate) fn member(&self, shown: Option<&[CertificateDer<'_>]>) -> Option<Member> {
        self.enrolment.shown(shown?.first()?)
    }
}

/// The server's own certificate, renewed when two thirds of its time are over.
struct Own {
    authority: Shared,
    names: Vec<String>,
    clock: Clock,
    made: Mutex<Option<(Wall, Arc<CertifiedKey>)>>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Own {
    fn certificate(&self) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let now = self.clock.now().wall;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, certificate)) = &*made
            && !is_due(*at, now, SERVER_HOLDS)
        {
            return Ok(Arc::clone(certificate));
        }
        let fresh = Arc::new(self.authority.server(now, &self.names)?);
        *made = Some((now, Arc::clone(&fresh)));
        Ok(fresh)
    }
}

/// Whether a certificate that was made at `at` and holds for `holds` is to be renewed: after two thirds, or when the
/// clock says that it was made tomorrow.
fn is_due(at: Wall, now: Wall, holds: Duration) -> bool {
    now.since(at) >= holds * 2 / 3 || at.since(now) > Duration::from_secs(24 * 3600)
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate()
            .inspect_err(|error| tracing::error!(%error, "The server's own certificate could not be renewed"))
            .ok()
    }
}

/// Believes a certificate of the own authority that counts now.
#[derive(Debug)]
struct Members {
    chain: Arc<dyn ClientCertVerifier>,
    enrolment: Enrolment,
}

impl ClientCertVerifier for Members {
    fn offer_client_auth(&self) -> bool {
        true
    }

    /// Nobody has one before the enrolment. What needs one says so.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        if self.enrolment.counts(end_entity) {
            return Ok(verified);
        }
        tracing::warn!("A certificate was shown that was revoked or has been replaced");
        Err(Error::InvalidCertificate(CertificateError::Revoked))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_certificate_is_renewed_after_two_thirds_of_its_time() {
        let made = Wall::from_millis(1_800_000_000_000);
        let day = Duration::from_secs(24 * 3600);
        assert!(!is_due(made, made + day * 59, day * 90));
        assert!(is_due(made, made + day * 60, day * 90));
        assert!(is_due(made, made.back(day * 2), day * 90), "the clock was set back");
    }
}
