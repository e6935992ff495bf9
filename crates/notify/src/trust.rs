//! Whom we trust when a receiver shows a TLS certificate: the public authorities, and a file of your own.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use lifesign_config::{Cx, Decode, Node};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Largest file of certificates, in bytes. The whole public set is a quarter of it.
const MAX_PEM: u64 = 1024 * 1024;

/// A PEM file of certificate authorities, read with the configuration so that a wrong one is found then
/// and not when the first alert is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorities {
    path: PathBuf,
    pem: Arc<[u8]>,
}

impl Authorities {
    /// The file's bytes: at least one certificate, all of them readable.
    pub(crate) fn pem(&self) -> &[u8] {
        &self.pem
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl Decode for Authorities {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let path = PathBuf::decode(node, cx)?;
        let mut pem = Vec::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_PEM).read_to_end(&mut pem));
        let checked = match read {
            Ok(_) => roots(&pem).map(|_| ()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = checked {
            cx.error(node.span, format!("cannot use the certificates in {}: {why}", path.display()));
            return None;
        }
        Some(Self { path, pem: pem.into() })
    }

    fn what() -> String {
        "the path of a PEM file with certificates such as `./ca.pem`".to_owned()
    }

    fn schema() -> serde_json::Value {
        PathBuf::schema()
    }
}

/// The public authorities and those of `own`.
pub(crate) fn client(own: Option<&Authorities>) -> Result<Arc<ClientConfig>, String> {
    let roots = roots(own.map_or(&[], Authorities::pem))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The public authorities and those of `pem`, which is empty or holds at least one.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("not a certificate of an authority: {error}"))?;
    }
    if !pem.is_empty() && roots.len() == before {
        return Err("no certificate in it, expected -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(roots)
}
