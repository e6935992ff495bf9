//! The register: which one-time tokens wait, and which certificate each host may show. Pure: it is given the time.
//!
//! Unlike everything that is judged, a token's age is told by the wall clock, because it must hold over a restart of
//! the server. A clock that was set back makes tokens invalid, never longer-lived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::time::Wall;
use lifesign_proto::enrol::{TOKEN_LIFE, from_hex, to_hex};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Most tokens that are remembered, used and stale ones included. At it no further one is made.
pub(crate) const MOST_TOKENS: usize = 1000;
/// Most hosts with a certificate. At it no further one is enrolled.
const MOST_HOSTS: usize = 10_000;
/// How long a token is remembered after its time, so that whoever comes with it is told what is wrong.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// By how much the clock may be set back between making and using a token.
const SET_BACK: Duration = Duration::from_secs(60);

/// A SHA-256: of a token's secret, or of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Print([u8; 32]);

impl Print {
    /// That of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its bytes.
    pub(crate) const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl Serialize for Print {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Print {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        from_hex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

/// Everything that is known; written to the disk whole, after each change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Register {
    #[serde(default)]
    tokens: Vec<Made>,
    #[serde(default)]
    hosts: BTreeMap<Arc<str>, Member>,
}

/// A one-time token. The token itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    digest: Print,
    at: Wall,
    /// The one host it is for; none: any that has no certificate.
    host: Option<Arc<str>>,
    used_by: Option<Arc<str>>,
}

/// A host that was enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The certificate that counts; none once it was revoked.
    certificate: Option<Print>,
    /// One that was given by renewal and not shown yet. When it is, it takes the other's place.
    next: Option<Print>,
    /// When the host was enrolled.
    pub(crate) enrolled_at: Wall,
    /// Until when its newest certificate holds.
    pub(crate) expires_at: Wall,
    /// When it was revoked, if it was.
    pub(crate) revoked_at: Option<Wall>,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Barred {
    #[error("this one-time token was not made here, or long ago; make another: lifesign hosts token [HOST]")]
    Unknown,
    #[error(
        "this one-time token has been used by {0}; if that was not you, revoke it: lifesign hosts revoke {0}; \
         make another: lifesign hosts token [HOST]"
    )]
    Used(Arc<str>),
    #[error("this one-time token is older than 15 minutes; make another: lifesign hosts token [HOST]")]
    TooOld,
    #[error("this one-time token is for {0} only; set `agent.host` or --host to that name, or make another")]
    OtherHost(Arc<str>),
    #[error(
        "{0} has been enrolled before; to let a new key take its place, make a token for it by name: \
         lifesign hosts token {0}"
    )]
    Enrolled(Arc<str>),
    #[error("{MOST_HOSTS} hosts have a certificate, and there may be no more")]
    TooMany,
}

impl Register {
    /// Lets a token be used for the next 15 minutes; says until when. `None`: too many are remembered.
    pub(crate) fn make(&mut self, now: Wall, secret: &str, host: Option<Arc<str>>) -> Option<Wall> {
        self.tokens.retain(|made| is_remembered(made, now));
        if self.tokens.len() >= MOST_TOKENS {
            return None;
        }
        self.tokens.push(Made { digest: Print::of(secret.as_bytes()), at: now, host, used_by: None });
        Some(now + TOKEN_LIFE)
    }

    /// Whether `secret` may enrol `host` now. Looks at every token, whichever it is.
    pub(crate) fn may_enrol(&self, now: Wall, secret: &str, host: &str) -> Result<(), Barred> {
        let made = self.find(secret).map(|at| &self.tokens[at]).ok_or(Barred::Unknown)?;
        if let Some(by) = &made.used_by {
            return Err(Barred::Used(Arc::clone(by)));
        }
        if now.since(made.at) >= TOKEN_LIFE || made.at.since(now) > SET_BACK {
            return Err(Barred::TooOld);
        }
        let known = self.hosts.get_key_value(host);
        match (&made.host, known) {
            (Some(only), _) if **only != *host => Err(Barred::OtherHost(Arc::clone(only))),
            (None, Some((name, _))) => Err(Barred::Enrolled(Arc::clone(name))),
            (_, None) if self.hosts.len() >= MOST_HOSTS => Err(Barred::TooMany),
            _ => Ok(()),
        }
    }

    /// Enrols `host`: its certificate is `certificate`, any other one of it counts no more, and the token is used.
    pub(crate) fn enrol(
        &mut self,
        now: Wall,
        secret: &str,
        host: &Arc<str>,
        certificate: Print,
        expires_at: Wall,
    ) -> Result<(), Barred> {
        self.may_enrol(now, secret, host)?;
        if let Some(at) = self.find(secret) {
            self.tokens[at].used_by = Some(Arc::clone(host));
        }
        let member = Member {
            certificate: Some(certificate),
            next: None,
            enrolled_at: now,
            expires_at,
            revoked_at: None,
        };
        self.hosts.insert(Arc::clone(host), member);
        Ok(())
    }

    /// Gives the host that showed `by` its next certificate, beside the present one. False: `by` counts no more.
    pub(crate) fn renew(&mut self, by: Print, next: Print, expires_at: Wall) -> bool {
        let Some(member) = self.member_with(by) else { return false };
        (member.next, member.expires_at) = (Some(next), expires_at);
        true
    }

    /// Whose certificate this is, if it counts.
    pub(crate) fn holder(&self, certificate: Print) -> Option<Arc<str>> {
        let mine = |member: &Member| [member.certificate, member.next].contains(&Some(certificate));
        self.hosts.iter().find(|(_, member)| mine(member)).map(|(host, _)| Arc::clone(host))
    }

    /// The certificate was shown. True: it is a renewed one that now takes the older one's place.
    pub(crate) fn shown(&mut self, certificate: Print) -> bool {
        let Some(member) = self.member_with(certificate) else { return false };
        let is_next = member.next == Some(certificate);
        if is_next {
            (member.certificate, member.next) = (member.next, None);
        }
        is_next
    }

    /// No certificate of `host` counts any more. False: it never had one.
    pub(crate) fn revoke(&mut self, now: Wall, host: &str) -> bool {
        let Some(member) = self.hosts.get_mut(host) else { return false };
        (member.certificate, member.next) = (None, None);
        member.revoked_at.get_or_insert(now);
        true
    }

    /// How `host` stands, if it was ever enrolled.
    pub(crate) fn member(&self, host: &str) -> Option<&Member> {
        self.hosts.get(host)
    }

    /// All that were ever enrolled, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Member)> {
        self.hosts.iter()
    }

    fn member_with(&mut self, certificate: Print) -> Option<&mut Member> {
        let host = self.holder(certificate)?;
        self.hosts.get_mut(&host)
    }

    fn find(&self, secret: &str) -> Option<usize> {
        let digest = Print::of(secret.as_bytes());
        let mut found = None;
        for (at, made) in self.tokens.iter().enumerate() {
            if bool::from(made.digest.0.ct_eq(&digest.0)) {
                found = Some(at);
            }
        }
        found
    }
}

fn is_remembered(made: &Made, now: Wall) -> bool {
    now.since(made.at) < REMEMBERED && made.at.since(now) < REMEMBERED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Wall = Wall::from_millis(1_800_000_000_000);

    fn print(number: u8) -> Print {
        Print([number; 32])
    }

    fn enrol(register: &mut Register, now: Wall, secret: &str, host: &str, number: u8) -> Result<(), Barred> {
        register.enrol(now, secret, &host.into(), print(number), now)
    }

    #[test]
    fn a_token_is_used_once() {
        let mut register = Register::default();
        register.make(NOON, "one", None).unwrap();
        assert_eq!(enrol(&mut register, NOON, "two", "web", 1), Err(Barred::Unknown));
        assert_eq!(enrol(&mut register, NOON, "one", "web", 1), Ok(()));
        assert_eq!(enrol(&mut register, NOON, "one", "db", 2), Err(Barred::Used("web".into())));
        assert_eq!(register.holder(print(1)).as_deref(), Some("web"));
        assert_eq!(register.holder(print(2)), None);
    }

    #[test]
    fn a_token_ends_after_fifteen_minutes_and_when_the_clock_is_set_back() {
        let mut register = Register::default();
        assert_eq!(register.make(NOON, "one", None), Some(NOON + Duration::from_secs(900)));
        let last = NOON + Duration::from_millis(899_999);
        assert_eq!(register.may_enrol(last, "one", "web"), Ok(()));
        for later in [900, 901, 3600] {
            let now = NOON + Duration::from_secs(later);
            assert_eq!(register.may_enrol(now, "one", "web"), Err(Barred::TooOld));
        }
        assert_eq!(register.may_enrol(NOON.back(Duration::from_secs(59)), "one", "web"), Ok(()));
        assert_eq!(register.may_enrol(NOON.back(Duration::from_secs(61)), "one", "web"), Err(Barred::TooOld));
    }

    #[test]
    fn a_token_for_one_host_is_for_no_other_and_only_such_a_one_replaces_a_host() {
        let mut register = Register::default();
        register.make(NOON, "bound", Some("web".into())).unwrap();
        register.make(NOON, "free", None).unwrap();
        assert_eq!(enrol(&mut register, NOON, "bound", "db", 1), Err(Barred::OtherHost("web".into())));
        assert_eq!(enrol(&mut register, NOON, "bound", "web", 1), Ok(()));
        assert_eq!(enrol(&mut register, NOON, "free", "web", 2), Err(Barred::Enrolled("web".into())));
        // Not after it was revoked, either.
        assert!(register.revoke(NOON, "web"));
        assert_eq!(enrol(&mut register, NOON, "free", "web", 2), Err(Barred::Enrolled("web".into())));
        register.make(NOON, "again", Some("web".into())).unwrap();
        assert_eq!(enrol(&mut register, NOON, "again", "web", 3), Ok(()));
        assert_eq!(register.holder(print(1)), None);
        assert_eq!(register.holder(print(3)).as_deref(), Some("web"));
        assert_eq!(register.member("web").unwrap().revoked_at, None);
    }

    #[test]
    fn a_renewed_certificate_takes_the_place_of_the_older_when_it_is_shown() {
        let mut register = Register::default();
        register.make(NOON, "one", None).unwrap();
        enrol(&mut register, NOON, "one", "web", 1).unwrap();
        assert!(register.renew(print(1), print(2), NOON));
        // The answer was lost: the older one still counts, and asks again.
        assert!(!register.shown(print(1)));
        assert!(register.renew(print(1), print(3), NOON));
        assert_eq!(register.holder(print(2)), None, "nobody may have it");
        assert!(register.shown(print(3)));
        assert_eq!(register.holder(print(1)), None);
        assert!(!register.renew(print(1), print(4), NOON));
        assert!(register.revoke(NOON, "web"));
        assert_eq!(register.holder(print(3)), None);
        assert!(!register.revoke(NOON, "db"), "it was never enrolled");
    }

    #[test]
    fn it_is_the_same_after_a_restart_and_holds_no_secret() {
        let mut register = Register::default();
        register.make(NOON, "one-time-secret", Some("web".into())).unwrap();
        register.make(NOON, "other-secret", None).unwrap();
        enrol(&mut register, NOON, "other-secret", "db", 1).unwrap();
        let text = serde_json::to_string(&register).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(serde_json::from_str::<Register>(&text).unwrap(), register);
    }

    #[test]
    fn tokens_are_limited_and_forgotten() {
        let mut register = Register::default();
        for number in 0..MOST_TOKENS {
            register.make(NOON, &number.to_string(), None).unwrap();
        }
        assert_eq!(register.make(NOON, "more", None), None);
        assert!(register.make(NOON + REMEMBERED, "more", None).is_some());
        assert_eq!(register.tokens.len(), 1);
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Make(u8, Option<u8>),
        Enrol(u8, u8),
        Renew(u8),
        Show(u8),
        Revoke(u8),
        Wait(u64),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let one = prop_oneof![
            (0..6_u8, proptest::option::of(0..3_u8)).prop_map(|(token, host)| Deed::Make(token, host)),
            (0..6_u8, 0..3_u8).prop_map(|(token, host)| Deed::Enrol(token, host)),
            (0..40_u8).prop_map(Deed::Renew),
            (0..40_u8).prop_map(Deed::Show),
            (0..3_u8).prop_map(Deed::Revoke),
            (0..1200_u64).prop_map(Deed::Wait),
        ];
        proptest::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn whatever_happens_a_token_counts_once_and_in_time_and_a_host_has_two_certificates_at_most(deeds in deeds()) {
            let mut register = Register::default();
            let (mut now, mut given, mut made) = (NOON, 0_u8, BTreeMap::new());
            for (step, deed) in deeds.into_iter().enumerate() {
                match deed {
                    Deed::Make(token, host) => {
                        // Chance never gives the same token twice.
                        let secret = format!("{token}-{step}");
                        let host: Option<Arc<str>> = host.map(|host| host.to_string().into());
                        register.make(now, &secret, host.clone()).unwrap();
                        made.insert(token, (secret, now, host, false));
                    }
                    Deed::Enrol(token, host) => {
                        let Some((secret, at, only, used)) = made.get_mut(&token) else { continue };
                        let host: Arc<str> = host.to_string().into();
                        let result = register.enrol(now, secret, &host, print(given), now);
                        if result.is_ok() {
                            prop_assert!(!*used && now.since(*at) < TOKEN_LIFE);
                            prop_assert!(only.as_ref().is_none_or(|only| *only == host));
                            prop_assert_eq!(register.holder(print(given)), Some(host));
                            (*used, given) = (true, given + 1);
                        } else {
                            prop_assert_eq!(register.holder(print(given)), None);
                        }
                    }
                    Deed::Renew(by) => {
                        if register.renew(print(by), print(given), now) {
                            given += 1;
                        }
                    }
                    Deed::Show(certificate) => drop(register.shown(print(certificate))),
                    Deed::Revoke(host) => {
                        let host = host.to_string();
                        register.revoke(now, &host);
                        let all = (0..given).filter_map(|number| register.holder(print(number)));
                        prop_assert!(all.into_iter().all(|holder| *holder != *host));
                    }
                    Deed::Wait(seconds) => now = now + Duration::from_secs(seconds),
                }
                for (host, _) in register.members() {
                    let mine = (0..given).filter(|number| register.holder(print(*number)).as_ref() == Some(host));
                    prop_assert!(mine.count() <= 2);
                }
            }
        }
    }
}
