//! `cargo +nightly fuzz run enrol` in `crates/proto`: whatever asks to be enrolled, no reader panics, and a token is
//! written as it was read. The certificate request in a body is read as the server reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_proto::enrol::{Certified, EnrolRequest, OneTimeToken, RenewRequest, is_host_name};
use rcgen::CertificateSigningRequestParams;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(token) = OneTimeToken::parse(text) {
            assert_eq!(token.reveal(), text.to_lowercase());
        }
        let _ = CertificateSigningRequestParams::from_pem(text);
    }
    if let Ok(asked) = serde_json::from_slice::<EnrolRequest>(bytes) {
        assert!(asked.token.len() < 8 || !format!("{asked:?}").contains(&asked.token));
        let _ = is_host_name(&asked.host);
        let _ = CertificateSigningRequestParams::from_pem(&asked.request);
    }
    if let Ok(asked) = serde_json::from_slice::<RenewRequest>(bytes) {
        let _ = CertificateSigningRequestParams::from_pem(&asked.request);
    }
    let _ = serde_json::from_slice::<Certified>(bytes);
    let _ = CertificateSigningRequestParams::from_der(&bytes.into());
});
