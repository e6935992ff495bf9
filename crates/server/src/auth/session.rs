//! Browsers that are logged in.
//!
//! A browser logs in with a token and gets a cookie with a random session id. The server keeps the
//! digest of both, so that a token removed by a reload ends its sessions, and so that nothing in memory
//! could be used as a cookie. Sessions do not survive a restart: the browser logs in again.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifesign_core::time::Mono;

use super::table::{Access, Caller, Digest};

/// The cookie's name.
pub(super) const COOKIE: &str = "lifesign_session";
/// Most sessions at a time; one more ends the one that is unused for longest.
pub(super) const MAX_SESSIONS: usize = 1000;
/// A session ends when it is unused for this long …
pub(super) const IDLE: Duration = Duration::from_secs(12 * 3600);
/// … and in any case after this.
pub(super) const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug)]
struct Session {
    token: Digest,
    begun: Mono,
    used: Mono,
}

/// The sessions; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<[u8; 32], Session>>>);

impl Sessions {
    /// Begins a session for the owner of `token` and returns its id, the cookie's value.
    ///
    /// # Errors
    /// When the system has no chance to give (then nobody can log in).
    pub fn begin(&self, token: &str, now: Mono) -> Result<String, getrandom::Error> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)?;
        let id = random.iter().fold(String::with_capacity(64), |mut id, byte| {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
            id
        });
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.lives(now));
        if sessions.len() >= MAX_SESSIONS {
            let stalest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
            if let Some(stalest) = stalest {
                sessions.remove(&stalest);
            }
        }
        sessions.insert(key(&id), Session { token: Digest::of(token), begun: now, used: now });
        Ok(id)
    }

    /// Whose session this is, if it lives and its token is still known to `access`.
    pub fn caller(&self, id: &str, access: &Access, now: Mono) -> Option<Caller> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&key(id)).filter(|session| session.lives(now))?;
        session.used = now;
        let token = session.token;
        drop(sessions);
        access.by_digest(token)
    }

    /// Ends a session.
    pub fn end(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(id));
    }
}

impl Session {
    fn lives(&self, now: Mono) -> bool {
        now.since(self.used) < IDLE && now.since(self.begun) < LIFE
    }
}

/// Sessions are looked up by digest, so that the time of a look-up tells nothing about an id.
fn key(id: &str) -> [u8; 32] {
    Digest::of(id).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::table::{AccessTable, Token};
    use super::*;

    fn access() -> Access {
        let token = Token { name: "me".into(), role: "admin".into(), digest: Digest::of("secret") };
        Access::new(AccessTable::new(&[], &[token]).unwrap())
    }

    #[test]
    fn a_session_ends_by_logout_by_idleness_by_age_and_with_its_token() {
        let (sessions, access) = (Sessions::default(), access());
        let start = Mono::from_millis(0);
        let id = sessions.begin("secret", start).unwrap();
        assert_eq!(&*sessions.caller(&id, &access, start).unwrap().name, "me");
        assert_eq!(sessions.caller(&id, &access, start + IDLE), None, "idle");

        let id = sessions.begin("secret", start).unwrap();
        sessions.end(&id);
        assert_eq!(sessions.caller(&id, &access, start), None, "logged out");

        let id = sessions.begin("secret", start).unwrap();
        let mut now = start;
        while now.since(start) + IDLE / 2 < LIFE {
            now = now + IDLE / 2;
            assert!(sessions.caller(&id, &access, now).is_some(), "used all the time");
        }
        assert_eq!(sessions.caller(&id, &access, start + LIFE), None, "old");

        let id = sessions.begin("secret", start).unwrap();
        access.exchange(AccessTable::default());
        assert_eq!(sessions.caller(&id, &access, start), None, "token removed");
    }

    #[test]
    fn one_session_too_many_ends_the_one_unused_for_longest() {
        let (sessions, access) = (Sessions::default(), access());
        let ids: Vec<String> = (0..=MAX_SESSIONS as u64)
            .map(|n| sessions.begin("secret", Mono::from_millis(n)).unwrap())
            .collect();
        let now = Mono::from_millis(5000);
        assert_eq!(sessions.caller(&ids[0], &access, now), None);
        assert!(sessions.caller(&ids[1], &access, now).is_some());
        assert!(sessions.caller(&ids[MAX_SESSIONS], &access, now).is_some());
    }
}
