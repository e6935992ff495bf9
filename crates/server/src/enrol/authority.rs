//! The server's own authority: it signs the server's certificate and those of enrolled agents, and nothing else.
//!
//! A certificate says what it is for: the server's cannot be shown by an agent, an agent's cannot be a server's. Names
//! that a host asks for are never taken over; it gets the name that it was enrolled by.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::time::Wall;
use lifesign_proto::enrol::{MAX_REQUEST, SERVER_NAME};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::register::Print;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long the authority holds. When it ends, hosts are enrolled anew.
const AUTHORITY_HOLDS: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// How long the server's own certificate holds; it is renewed long before.
pub(super) const SERVER_HOLDS: Duration = Duration::from_secs(90 * 24 * 3600);
/// Certificates begin this much earlier, for hosts whose clock is behind.
const EARLIER: Duration = DAY;

/// A new authority, to be kept.
pub struct AuthorityFiles {
    /// The certificate (PEM); no secret.
    pub certificate: String,
    /// The private key (PEM).
    pub key: String,
}

/// Shows no key.
impl fmt::Debug for AuthorityFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorityFiles(…)")
    }
}

/// The authority at work.
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Shows no key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

/// Why there is no certificate, or no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The files of the authority are damaged.
    #[error("the authority's {0} cannot be used: {1}")]
    Damaged(&'static str, String),
    /// Key and certificate are not of the same authority.
    #[error("the authority's key and its certificate do not belong together")]
    Apart,
    /// What a host sent is no certificate request, or was not signed by its own key.
    #[error("this is no certificate request that can be signed: {0}")]
    NoRequest(String),
    /// A name cannot stand in a certificate.
    #[error("{0:?} cannot stand in a certificate; write host names and IP addresses")]
    NoName(String),
    /// The system or the library refused.
    #[error("the certificate could not be made: {0}")]
    Unmade(String),
}

fn unmade(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Unmade(error.to_string())
}

/// A certificate for a host.
pub(super) struct Signed {
    pub(super) pem: String,
    pub(super) print: Print,
    pub(super) expires_at: Wall,
}

impl Authority {
    /// A new authority, as it is kept on the disk.
    ///
    /// # Errors
    /// When the system gives no chance.
    pub fn make(now: Wall) -> Result<AuthorityFiles, AuthorityError> {
        let key = KeyPair::generate().map_err(unmade)?;
        let mut params = holding(now, AUTHORITY_HOLDS)?;
        params.distinguished_name.push(DnType::CommonName, "lifesign authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(unmade)?;
        Ok(AuthorityFiles { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The authority of these files.
    ///
    /// # Errors
    /// When they are damaged, or do not belong together.
    pub fn read(files: &AuthorityFiles) -> Result<Self, AuthorityError> {
        let damaged = |what, error: &dyn fmt::Display| AuthorityError::Damaged(what, error.to_string());
        let certificate = CertificateDer::from_pem_slice(files.certificate.as_bytes())
            .map_err(|error| damaged("certificate", &error))?;
        let key = KeyPair::from_pem(&files.key).map_err(|error| damaged("key", &error))?;
        let shown = certified(vec![certificate.clone()], &key)?;
        shown.keys_match().map_err(|_| AuthorityError::Apart)?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|error| damaged("certificate", &error))?;
        Ok(Self { certificate, pem: files.certificate.clone(), issuer })
    }

    /// Its certificate.
    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate as PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// The fingerprint that one-time tokens carry.
    pub(super) fn pin(&self) -> [u8; 32] {
        Print::of(&self.certificate).bytes()
    }

    /// A new key and certificate for the server, under these names beside the one that agents know.
    pub(super) fn server(&self, now: Wall, names: &[String]) -> Result<CertifiedKey, AuthorityError> {
        let mut all = vec![SERVER_NAME.to_owned()];
        all.extend_from_slice(names);
        let mut params = holding(now, SERVER_HOLDS)?;
        params.subject_alt_names = CertificateParams::new(all)
            .map_err(|_| AuthorityError::NoName(names.join(", ")))?
            .subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, "lifesign server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(unmade)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(unmade)?;
        certified(vec![certificate.into(), self.certificate.clone()], &key)
    }

    /// Signs what `host` asks for.
    pub(super) fn sign(
        &self,
        host: &str,
        request: &str,
        now: Wall,
        holds: Duration,
    ) -> Result<Signed, AuthorityError> {
        let key = read_request(request)?;
        let mut params = holding(now, holds)?;
        params.distinguished_name.push(DnType::OrganizationName, "lifesign agent");
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(unmade)?;
        Ok(Signed { print: Print::of(certificate.der()), pem: certificate.pem(), expires_at: now + holds })
    }
}

/// The key of a certificate request, once it is proved that who asks has it.
fn read_request(pem: &str) -> Result<impl PublicKeyData, AuthorityError> {
    if pem.len() > MAX_REQUEST {
        return Err(AuthorityError::NoRequest(format!("it is longer than {MAX_REQUEST} bytes")));
    }
    let request = CertificateSigningRequestParams::from_pem(pem);
    request.map(|request| request.public_key).map_err(|error| AuthorityError::NoRequest(error.to_string()))
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Result<CertifiedKey, AuthorityError> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key =
        ring::sign::any_supported_type(&key).map_err(|error| AuthorityError::Unmade(error.to_string()))?;
    Ok(CertifiedKey::new(chain, key))
}

/// What a certificate begins with that holds for this long.
fn holding(now: Wall, holds: Duration) -> Result<CertificateParams, AuthorityError> {
    let moment = |at: Wall| {
        let at = OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000));
        at.map_err(|_| {
            AuthorityError::Unmade("the clock shows a time that no certificate can hold".to_owned())
        })
    };
    let mut params = CertificateParams::new(Vec::new()).map_err(unmade)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    (params.not_before, params.not_after) = (moment(now.back(EARLIER))?, moment(now + holds)?);
    Ok(params)
}

/// Names under which the server's own certificate can be used by browsers and programs, beside those of the
/// configuration: this host, and the address that is listened on, where it is one.
pub fn server_names(host: &str, listen: IpAddr, more: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let is_dns =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    names.extend(Some(host.to_owned()).filter(|host| is_dns(host)));
    names.extend(Some(listen).filter(|listen| !listen.is_unspecified()).map(|listen| listen.to_string()));
    names.extend_from_slice(more);
    names.sort_unstable();
    names.dedup();
    names
}

/// The authority, where several may want it.
pub(super) type Shared = Arc<Authority>;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Wall = Wall::from_millis(1_800_000_000_000);

    pub(in crate::enrol) fn request() -> (KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::new(vec!["not-my-name.example".to_owned()]).unwrap();
        let pem = request.serialize_request(&key).unwrap().pem().unwrap();
        (key, pem)
    }

    fn authority() -> Authority {
        Authority::read(&Authority::make(NOON).unwrap()).unwrap()
    }

    #[test]
    fn files_of_two_authorities_are_not_taken_for_one() {
        let (one, two) = (Authority::make(NOON).unwrap(), Authority::make(NOON).unwrap());
        let mixed = AuthorityFiles { certificate: one.certificate, key: two.key };
        assert_eq!(Authority::read(&mixed).unwrap_err(), AuthorityError::Apart);
        for (certificate, key) in [("", &*mixed.key), (&*mixed.certificate, "")] {
            let files = AuthorityFiles { certificate: certificate.to_owned(), key: key.to_owned() };
            assert!(matches!(Authority::read(&files), Err(AuthorityError::Damaged(..))));
        }
    }

    #[test]
    fn nothing_shows_a_key() {
        let files = Authority::make(NOON).unwrap();
        let shown = format!("{files:?} {:?}", Authority::read(&files).unwrap());
        assert_eq!(shown, "AuthorityFiles(…) Authority(…)");
    }

    #[test]
    fn a_host_gets_the_name_it_was_enrolled_by_and_no_other() {
        let (_, request) = request();
        let signed = authority().sign("web-01", &request, NOON, DAY).unwrap();
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes()).unwrap();
        let text = String::from_utf8_lossy(&der);
        assert!(text.contains("web-01") && !text.contains("not-my-name"), "{text}");
        assert_eq!(signed.expires_at, NOON + DAY);
        assert_eq!(signed.print, Print::of(&der));
    }

    #[test]
    fn names_that_cannot_stand_in_a_certificate_are_told() {
        let error = authority().server(NOON, &["schön".to_owned()]).unwrap_err();
        assert_eq!(error, AuthorityError::NoName("schön".to_owned()));
        let names = server_names("hq", IpAddr::from([192, 0, 2, 1]), &["life.example.com".to_owned()]);
        assert_eq!(names, ["127.0.0.1", "192.0.2.1", "::1", "hq", "life.example.com", "localhost"]);
        assert!(!server_names("主机", IpAddr::from([0, 0, 0, 0]), &[]).contains(&"0.0.0.0".to_owned()));
        assert!(authority().server(NOON, &names).is_ok());
    }

    #[test]
    fn a_request_that_was_changed_on_its_way_is_not_signed() {
        let (_, request) = request();
        let der =
            rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap();
        let mut der = der.to_vec();
        // The last bytes are the signature.
        let end = der.len() - 3;
        der[end] ^= 1;
        let parsed = CertificateSigningRequestParams::from_der(&der.as_slice().into());
        assert!(parsed.is_err());
        let authority = authority();
        for wrong in [
            "",
            "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
            &"x".repeat(9000),
        ] {
            assert!(matches!(authority.sign("web", wrong, NOON, DAY), Err(AuthorityError::NoRequest(_))));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_request_makes_the_reader_panic(flips in proptest::collection::vec((0..400_usize, 1..=255_u8), 1..8), cut in 0..400_usize) {
            let (_, request) = request();
            let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap();
            let mut der = der.to_vec();
            for (at, flip) in flips {
                if let Some(byte) = der.get_mut(at) {
                    *byte ^= flip;
                }
            }
            der.truncate(cut);
            // Two flips may undo each other.
            drop(CertificateSigningRequestParams::from_der(&der.as_slice().into()));
        }
    }
}
