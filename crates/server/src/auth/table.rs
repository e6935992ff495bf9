//! Roles, tokens and what they may do.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

/// What a role may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// See everything.
    Read,
    /// Send heartbeats, give orders, acknowledge, reload.
    Write,
    /// Remove what others made; let hosts in and out.
    Delete,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Delete];

    /// The word of the configuration and of the OpenAPI document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
        }
    }

    /// The privilege with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|privilege| privilege.as_str() == word)
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A named set of privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name, unique.
    pub name: Arc<str>,
    /// What it may do.
    pub privileges: Vec<Privilege>,
}

impl Role {
    /// The role that may do everything and needs no listing.
    pub fn admin() -> Self {
        Self { name: "admin".into(), privileges: Privilege::ALL.to_vec() }
    }

    /// The role that may look and needs no listing.
    pub fn guest() -> Self {
        Self { name: "guest".into(), privileges: vec![Privilege::Read] }
    }
}

/// The SHA-256 digest of a token: what is kept instead of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `token`.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether it is the digest of `token`; takes the same time either way.
    pub fn is_of(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }

    pub(crate) const fn into_bytes(self) -> [u8; 32] {
        self.0
    }
}

/// Shows nothing: a digest of a short token could be guessed from.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// One token.
#[derive(Debug, Clone)]
pub struct Token {
    /// What people call it; stands in audit log and refusals.
    pub name: Arc<str>,
    /// The name of its role.
    pub role: Arc<str>,
    /// Its digest.
    pub digest: Digest,
}

/// Somebody whose token was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name.
    pub name: Arc<str>,
    /// The role's name.
    pub role: Arc<str>,
    /// What it may do.
    pub privileges: Arc<[Privilege]>,
}

impl Caller {
    /// Whether it may do what needs `privilege`.
    pub fn may(&self, privilege: Privilege) -> bool {
        self.privileges.contains(&privilege)
    }
}

/// All roles and tokens at one time.
#[derive(Debug, Clone, Default)]
pub struct AccessTable {
    entries: Vec<(Digest, Caller)>,
}

/// A token names a role that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("token {token} has the role {role}, which does not exist")]
pub struct NoSuchRole {
    /// The token's name.
    pub token: Arc<str>,
    /// The role.
    pub role: Arc<str>,
}

impl AccessTable {
    /// A table of these roles and tokens. `admin` and `guest` exist even when not listed.
    ///
    /// # Errors
    /// When a token names a role that does not exist.
    pub fn new(roles: &[Role], tokens: &[Token]) -> Result<Self, NoSuchRole> {
        let built_in = [Role::admin(), Role::guest()];
        let entries = tokens
            .iter()
            .map(|token| {
                let role =
                    roles.iter().chain(&built_in).find(|role| role.name == token.role).ok_or_else(|| {
                        NoSuchRole { token: Arc::clone(&token.name), role: Arc::clone(&token.role) }
                    })?;
                let caller = Caller {
                    name: Arc::clone(&token.name),
                    role: Arc::clone(&role.name),
                    privileges: role.privileges.as_slice().into(),
                };
                Ok((token.digest, caller))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Digests and whose they are.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Digest, &Caller)> {
        self.entries.iter().map(|(digest, caller)| (*digest, caller))
    }

    /// The caller with this digest. Takes the same time whichever entry it is, or none.
    fn find(&self, digest: Digest) -> Option<&Caller> {
        let mut place = 0_u64;
        let mut found = Choice::from(0);
        for (at, (known, _)) in (0_u64..).zip(&self.entries) {
            let same = known.0.ct_eq(&digest.0);
            place.conditional_assign(&at, same);
            found |= same;
        }
        let place = usize::try_from(place).ok().filter(|_| bool::from(found))?;
        self.entries.get(place).map(|(_, caller)| caller)
    }
}

/// The table that holds now; a reload exchanges it whole.
#[derive(Debug, Clone)]
pub struct Access(Arc<watch::Sender<Arc<AccessTable>>>);

impl Default for Access {
    fn default() -> Self {
        Self::new(AccessTable::default())
    }
}

impl Access {
    /// Begins with `table`.
    pub fn new(table: AccessTable) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(table))))
    }

    /// Puts `table` in the place of the present one; what it no longer knows is refused at once.
    pub fn exchange(&self, table: AccessTable) {
        self.0.send_replace(Arc::new(table));
    }

    /// Tells when the table has been exchanged, so that what was let in by the old one ends.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.0.subscribe()
    }

    /// Who has this token.
    pub fn by_token(&self, token: &str) -> Option<Caller> {
        self.by_digest(Digest::of(token))
    }

    /// Who has the token with this digest.
    pub fn by_digest(&self, digest: Digest) -> Option<Caller> {
        let table = Arc::clone(&self.0.borrow());
        table.find(digest).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, role: &str, secret: &str) -> Token {
        Token { name: name.into(), role: role.into(), digest: Digest::of(secret) }
    }

    #[test]
    fn admin_and_guest_exist_unlisted_and_a_listed_one_takes_their_place() {
        let tokens = [token("a", "admin", "one"), token("g", "guest", "two")];
        let access = Access::new(AccessTable::new(&[], &tokens).unwrap());
        assert!(access.by_token("one").unwrap().may(Privilege::Delete));
        assert!(!access.by_token("two").unwrap().may(Privilege::Write));
        let narrow = Role { name: "admin".into(), privileges: vec![Privilege::Read] };
        access.exchange(AccessTable::new(&[narrow], &tokens).unwrap());
        assert!(!access.by_token("one").unwrap().may(Privilege::Delete));
    }

    #[test]
    fn only_the_very_token_is_recognised() {
        let tokens = [token("a", "admin", "one"), token("b", "guest", "two"), token("c", "guest", "three")];
        let access = Access::new(AccessTable::new(&[], &tokens).unwrap());
        assert_eq!(&*access.by_token("two").unwrap().name, "b");
        assert_eq!(&*access.by_token("three").unwrap().name, "c");
        for wrong in ["", "on", "onee", "ONE", "one "] {
            assert_eq!(access.by_token(wrong), None, "{wrong:?}");
        }
        assert_eq!(Access::default().by_token(""), None);
    }

    #[test]
    fn a_token_of_an_unknown_role_is_an_error_that_names_both() {
        let error = AccessTable::new(&[], &[token("ci", "robot", "x")]).unwrap_err();
        assert_eq!(error.to_string(), "token ci has the role robot, which does not exist");
    }

    #[test]
    fn no_debug_output_shows_a_digest() {
        assert_eq!(format!("{:?}", Digest::of("one")), "Digest(…)");
    }
}
