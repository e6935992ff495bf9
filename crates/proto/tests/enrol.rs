//! What the fuzzer kept of enrolment is answered by every reader.

use std::path::Path;

use lifesign_proto::enrol::{Certified, EnrolRequest, OneTimeToken, RenewRequest};
use rcgen::CertificateSigningRequestParams;

#[test]
fn everything_the_fuzzer_kept_is_answered() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/enrol");
    let (mut replayed, mut tokens, mut signable) = (0, 0, 0);
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Ok(text) = std::str::from_utf8(&bytes)
            && let Ok(token) = OneTimeToken::parse(text)
        {
            assert_eq!(token.reveal(), text.to_lowercase());
            tokens += 1;
        }
        let asked = serde_json::from_slice::<EnrolRequest>(&bytes).map(|asked| asked.request);
        let renewed = serde_json::from_slice::<RenewRequest>(&bytes).map(|asked| asked.request);
        for request in [asked, renewed].into_iter().flatten() {
            signable += usize::from(CertificateSigningRequestParams::from_pem(&request).is_ok());
        }
        drop(serde_json::from_slice::<Certified>(&bytes));
        drop(CertificateSigningRequestParams::from_der(&bytes.as_slice().into()));
        replayed += 1;
    }
    assert!(
        replayed >= 15 && tokens >= 2 && signable >= 4,
        "{replayed}, {tokens}, {signable} in {}",
        corpus.display()
    );
}
