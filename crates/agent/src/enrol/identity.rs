//! What an enrolled agent has: its key, its certificate, and the authority that it believes. One file, exchanged as a
//! whole, so that a key never stands beside another key's certificate.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use lifesign_core::time::Wall;
use lifesign_proto::enrol::Certified;
use serde::{Deserialize, Serialize};

/// Its file in the agent's data directory, readable by its owner only.
pub const FILE: &str = "identity.json";

/// Who an enrolled agent is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The server that it was enrolled at: `https://HOST:PORT`.
    pub server: String,
    /// The host that its certificate names.
    pub host: String,
    /// The private key (PEM).
    key: String,
    /// The certificate (PEM).
    certificate: String,
    /// The certificate of the server's authority (PEM).
    authority: String,
    /// When the certificate is to be renewed, by this host's clock.
    renew_at: Wall,
    /// When it ends, by this host's clock.
    expires_at: Wall,
}

/// Shows no key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("server", &self.server)
            .field("host", &self.host)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a kept identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is there and cannot be read.
    #[error("failed to read {0}: {1}")]
    Unread(String, io::Error),
    /// The file says something else.
    #[error("{0} is damaged ({1}); delete it and enrol this host anew: lifesign agent enroll")]
    Damaged(String, String),
}

impl Identity {
    /// Of a certificate that came at `now` for `key`.
    pub(super) fn new(server: String, key: String, certified: Certified, now: Wall) -> Self {
        let holds = Duration::from_secs(certified.holds_for_seconds);
        Self {
            server,
            host: certified.host,
            key,
            certificate: certified.certificate,
            authority: certified.authority,
            renew_at: now + renewed_after(holds),
            expires_at: now + holds,
        }
    }

    /// The one that is kept in the data directory `dir`, if there is one.
    ///
    /// # Errors
    /// When there is one that cannot be used.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let file = dir.join(FILE);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(IdentityError::Unread(file.display().to_string(), error)),
        };
        // Where in the file it is, and not what stands there: that may be the key.
        let damaged = |error: serde_json::Error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            IdentityError::Damaged(file.display().to_string(), place)
        };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Keeps it in the data directory `dir`, in the place of an earlier one.
    ///
    /// # Errors
    /// The disk's; the earlier one is untouched then.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        lifesign_os::file::write_private(&dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) const fn expires_at(&self) -> Wall {
        self.expires_at
    }

    /// How long until it is to be renewed; zero: now. A clock that was set back does not put it off by more than the
    /// certificate's own time.
    pub(super) fn due_in(&self, now: Wall) -> Duration {
        self.renew_at.since(now).min(self.expires_at.since(self.renew_at) * 2)
    }
}

/// A certificate that holds this long is renewed after two thirds of it.
fn renewed_after(holds: Duration) -> Duration {
    holds * 2 / 3
}

/// How long to wait after the `failures`th attempt in a row that failed, when `left` of the certificate's time is left:
/// many attempts fit into what is left, and a server is asked at most once in a second and at least every ten minutes.
pub(super) fn again_in(failures: u32, left: Duration) -> Duration {
    let growing = Duration::from_secs(1_u64 << failures.min(12));
    growing.min(left / 20).clamp(Duration::from_secs(1), Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Wall = Wall::from_millis(1_800_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn identity() -> Identity {
        let certified = Certified {
            host: "web-01".into(),
            certificate: "CERTIFICATE".into(),
            authority: "AUTHORITY".into(),
            holds_for_seconds: 30 * 24 * 3600,
        };
        Identity::new("https://hq:7701".into(), "PRIVATE".into(), certified, NOON)
    }

    #[test]
    fn it_is_renewed_after_two_thirds_of_its_time() {
        let identity = identity();
        assert_eq!(identity.due_in(NOON), DAY * 20);
        assert_eq!(identity.due_in(NOON + DAY * 19), DAY);
        assert_eq!(identity.due_in(NOON + DAY * 20), Duration::ZERO);
        assert_eq!(identity.due_in(NOON.back(DAY * 4000)), DAY * 20, "the clock was set back");
    }

    #[test]
    fn it_is_kept_for_the_owner_alone_and_shows_no_key() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap(), None);
        identity().save(dir.path()).unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap(), Some(identity()));
        assert!(!format!("{:?}", identity()).contains("PRIVATE"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(dir.path().join(FILE), r#"{"key": 5, "PRIVATE"}"#).unwrap();
        let error = Identity::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("lifesign agent enroll") && !error.contains("PRIVATE"), "{error}");
    }

    proptest! {
        #[test]
        fn attempts_are_neither_hurried_nor_put_off_too_long(failures in 1..100_u32, left in 0..40_000_000_u64) {
            let left = Duration::from_secs(left);
            let wait = again_in(failures, left);
            prop_assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(600));
            prop_assert!(left < Duration::from_secs(20) || wait <= left / 20);
        }
    }
}
