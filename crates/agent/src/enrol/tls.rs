//! Whom an agent believes before and after its enrolment, and what it shows.
//!
//! It believes one authority: the one whose fingerprint stands in the one-time token, later the one that it was
//! enrolled with. No public authority counts. The server's certificate must be for a server, and for the one name that
//! this authority gives to no one else; by which address the server was reached does not matter.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use lifesign_proto::enrol::{ALPN, SERVER_NAME};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};

use super::Identity;

/// The one authority that is believed.
enum Believed {
    /// The one with this fingerprint. The server shows it behind its own certificate.
    Pin([u8; 32]),
    /// This one.
    Authority(Arc<WebPkiServerVerifier>),
}

/// Believes the server of one authority.
struct Pinned {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

fn of_authority(
    certificate: CertificateDer<'static>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = match &self.believed {
            Believed::Authority(chain) => Arc::clone(chain),
            Believed::Pin(pin) => {
                let is_it = |certificate: &&CertificateDer<'_>| Sha256::digest(certificate)[..] == *pin;
                let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
                let authority = intermediates.iter().find(is_it).ok_or(unknown)?;
                of_authority(authority.clone().into_owned(), &self.provider)?
            }
        };
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| Error::General(error.to_string()))?;
        chain.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that the agent shows; renewed while it runs.
pub(super) struct Shown(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl Shown {
    pub(super) fn new(identity: &Identity) -> Result<Self, String> {
        Ok(Self(RwLock::new(certified(identity)?)))
    }

    /// From the next handshake on, the certificate of `identity` is shown.
    pub(super) fn exchange(&self, identity: &Identity) -> Result<(), String> {
        let fresh = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Key and certificate of `identity`, if they belong together.
pub(super) fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, String> {
    let unusable = |error: &dyn fmt::Display| format!("the certificate cannot be used: {error}");
    let certificate = CertificateDer::from_pem_slice(identity.certificate().as_bytes())
        .map_err(|error| unusable(&error))?;
    // What the library says of a key is not repeated.
    let key = PrivateKeyDer::from_pem_slice(identity.key().as_bytes())
        .ok()
        .and_then(|key| ring::sign::any_supported_type(&key).ok())
        .ok_or_else(|| unusable(&"its key is damaged"))?;
    let certified = CertifiedKey::new(vec![certificate], key);
    certified.keys_match().map_err(|error| unusable(&error))?;
    Ok(Arc::new(certified))
}

/// How an enrolled agent speaks.
pub(super) fn enrolled(identity: &Identity, shown: Arc<Shown>) -> Result<Arc<ClientConfig>, String> {
    let authority = CertificateDer::from_pem_slice(identity.authority().as_bytes())
        .map_err(|error| format!("the certificate of the server's authority cannot be used: {error}"))?;
    let chain =
        of_authority(authority, &Arc::new(ring::default_provider())).map_err(|error| error.to_string())?;
    config(Believed::Authority(chain), Some(shown))
}

/// How an agent speaks that has a one-time token with this pin.
pub(super) fn enrolling(pin: [u8; 32]) -> Result<Arc<ClientConfig>, String> {
    config(Believed::Pin(pin), None)
}

fn config(believed: Believed, shown: Option<Arc<Shown>>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Pinned { believed, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match shown {
        Some(shown) => builder.with_client_cert_resolver(shown),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose,
    };

    use super::*;

    /// An authority as a server makes one.
    struct Authority {
        certificate: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap().into();
            Self { certificate, issuer: Issuer::new(params, key) }
        }

        fn sign(&self, name: &str, purpose: Purpose) -> CertificateDer<'static> {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.extended_key_usages = vec![purpose];
            params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().into()
        }

        fn pin(&self) -> [u8; 32] {
            Sha256::digest(&self.certificate).into()
        }

        fn believed(&self) -> Believed {
            let provider = Arc::new(ring::default_provider());
            Believed::Authority(of_authority(self.certificate.clone(), &provider).unwrap())
        }
    }

    fn is_believed(
        believed: Believed,
        shown: &CertificateDer<'_>,
        behind: &[&CertificateDer<'static>],
    ) -> bool {
        let verifier = Pinned { believed, provider: Arc::new(ring::default_provider()) };
        let behind: Vec<_> = behind.iter().map(|&certificate| certificate.clone()).collect();
        let dialled = ServerName::try_from("any.name.example").unwrap();
        verifier.verify_server_cert(shown, &behind, &dialled, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn only_the_server_of_the_one_authority_is_believed_before_the_enrolment_and_after() {
        let (real, other) = (Authority::new(), Authority::new());
        let server = real.sign(SERVER_NAME, Purpose::ServerAuth);
        let no_server = real.sign(SERVER_NAME, Purpose::ClientAuth);
        let other_name = real.sign("web-01", Purpose::ServerAuth);
        let stranger = other.sign(SERVER_NAME, Purpose::ServerAuth);
        for believed in [|real: &Authority| Believed::Pin(real.pin()), Authority::believed] {
            assert!(is_believed(believed(&real), &server, &[&real.certificate]));
            let cases: [(&str, &CertificateDer<'_>, &[&CertificateDer<'static>]); 5] = [
                ("an agent's certificate", &no_server, &[&real.certificate]),
                ("a certificate for another name", &other_name, &[&real.certificate]),
                ("another authority's", &stranger, &[&other.certificate]),
                ("another's, with the right authority shown behind it", &stranger, &[&real.certificate]),
                ("another's, with both behind it", &stranger, &[&other.certificate, &real.certificate]),
            ];
            for (what, shown, behind) in cases {
                assert!(!is_believed(believed(&real), shown, behind), "{what}");
            }
        }
        // Before the enrolment the authority must be shown, afterwards it is known.
        assert!(!is_believed(Believed::Pin(real.pin()), &server, &[]));
        assert!(is_believed(real.believed(), &server, &[]));
    }
}
