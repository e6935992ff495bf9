//! TLS for probes: whom we trust, and the handshake.

use std::io;
use std::sync::{Arc, OnceLock};

use lifesign_config::Host;
use lifesign_core::evidence::{CheckOutcome, FailKind};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::attempt::{Attempt, Phase};
use crate::finding::{Finding, outcome_of};

/// The public trust anchors; shared, since each set takes some 50 KB and there may be thousands of checks.
pub(crate) fn public() -> Arc<ClientConfig> {
    static SHARED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| Arc::new(trusting(public_roots()))))
}

/// The public trust anchors and those of `pem`.
///
/// # Errors
/// When `pem` holds no certificate, or one that cannot be read.
pub(crate) fn with_authorities(pem: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = public_roots();
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|why| format!("no PEM certificate: {why}"))?;
        roots.add(certificate).map_err(|why| format!("no usable certificate: {why}"))?;
        count += 1;
    }
    if count == 0 {
        return Err("no certificate in it (expected PEM: -----BEGIN CERTIFICATE-----)".into());
    }
    Ok(Arc::new(trusting(roots)))
}

/// TLS that takes the certificate of anybody who holds its key, and asks for HTTP/1.1. For services whose certificate nobody
/// can check (the decoder warns about it), and for TLS that protects nothing, since what it carries proves itself.
pub fn insecure() -> Arc<ClientConfig> {
    static SHARED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| {
        let mut config = trusting(RootCertStore::empty());
        config.dangerous().set_certificate_verifier(Arc::new(TakeAny(ring::default_provider())));
        Arc::new(config)
    }))
}

fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    #[expect(
        clippy::expect_used,
        reason = "ring supports the default versions; nothing outside decides this"
    )]
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // A resumed session does not show its certificate again; each probe is to see it.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Does the handshake on `stream`.
pub(crate) async fn handshake(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    host: &Host,
    place: &str,
    attempt: &mut Attempt,
) -> Result<TlsStream<TcpStream>, Finding> {
    let name = match host {
        Host::Ip(address) => ServerName::from(*address),
        Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|why| Finding::wrong(format!("{name} cannot stand in a TLS handshake: {why}")))?,
    };
    let connected = attempt.measure(Phase::Tls, TlsConnector::from(config).connect(name, stream)).await;
    connected.map_err(|error| broken(place, &error))
}

/// The finding for an error on an established connection: whatever the other side does not cause by
/// cutting the line, it causes by what it says.
pub(crate) fn broken(place: &str, error: &io::Error) -> Finding {
    match outcome_of(error) {
        CheckOutcome::Fail(FailKind::Timeout | FailKind::Refused) => Finding::from_io(place, error),
        _ => Finding::wrong(format!("{place}: {error}")),
    }
}

/// Checks that the other side holds the key of its certificate, not whose certificate it is.
#[derive(Debug)]
struct TakeAny(CryptoProvider);

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
