//! TLS with certificates of the operator's: whom a server says it is, and whom an agent believes that has a token.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What the server shows on its port with TLS.
pub(super) fn server(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("failed to read the private key {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS 1.2 and 1.3 are not there")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Whom an agent believes: the public authorities, and those of the file `ca`. The link speaks TLS 1.3 only.
pub(super) fn agent(ca: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = ca {
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .with_context(|| format!("{} holds no usable authority", file.display()))?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .context("TLS 1.3 is not there")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong = || format!("failed to read certificates from {}", file.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .with_context(wrong)?
        .collect::<Result<_, _>>()
        .with_context(wrong)?;
    ensure!(
        !chain.is_empty(),
        "{} holds no certificate (expected PEM: -----BEGIN CERTIFICATE-----)",
        file.display()
    );
    Ok(chain)
}
