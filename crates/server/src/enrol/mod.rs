//! Enrolment: hosts get certificates of the server's own authority, and from then on speak for themselves alone.
//!
//! | file | holds |
//! |---|---|
//! | `register` | which tokens wait and which certificate counts; pure |
//! | `authority` | the authority: what is signed, and how |
//! | `tls` | how agents and everybody else are spoken to |
//!
//! A certificate counts when the authority signed it, it has not ended, *and* the register names it for a host. So a
//! revocation holds from the next look on: at every handshake, every request, and for a link that stands, at once.
//! Nothing counts before the disk has it.

mod authority;
mod register;
mod tls;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifesign_core::model::HostName;
use lifesign_core::time::{Mono, Wall};
use lifesign_proto::enrol::{Certified, OneTimeToken, is_host_name};
use rustls::pki_types::CertificateDer;

pub use authority::{Authority, AuthorityError, AuthorityFiles, server_names};
pub use tls::Ways;

use crate::engine::Clock;
use register::{Barred, MOST_TOKENS, Print, Register};

/// Wrong tokens a minute that are looked at closely and logged; more are answered with 429. A right one always opens.
const WRONG_A_MINUTE: u32 = 60;

/// Keeps the register on the disk; the one it is given is whole.
pub type Keep = Box<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// Everything about enrolled hosts; cheap to clone.
#[derive(Clone)]
pub struct Enrolment(Arc<Inner>);

struct Inner {
    register: Mutex<Register>,
    wrong: Mutex<Wrong>,
    authority: Option<Arc<Authority>>,
    keep: Keep,
    clock: Clock,
    holds: Duration,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment")
    }
}

/// Whose certificate came with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) host: HostName,
    certificate: Print,
}

/// How an enrolled host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) host: HostName,
    pub(crate) enrolled_at: Wall,
    pub(crate) expires_at: Wall,
    pub(crate) revoked_at: Option<Wall>,
}

/// Why something about enrolment was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unenrolled {
    #[error("this server has no port with TLS, so no agent can be enrolled; write `server: {{ tls: {{}} }}`")]
    NoAuthority,
    #[error(
        "{0:?} is no name of a host: 1 to 255 bytes without `@`, control characters and spaces around it"
    )]
    NoHostName(String),
    #[error("{MOST_TOKENS} one-time tokens were made within a day; wait, or enrol with those")]
    TooManyTokens,
    #[error("{0}")]
    Barred(Barred),
    #[error("too many wrong one-time tokens have come; a right one opens at any time")]
    TooManyWrong,
    #[error("{0}")]
    NoRequest(AuthorityError),
    #[error("this certificate was revoked or replaced; enrol the host anew: lifesign hosts token {0}")]
    Gone(HostName),
    #[error("the disk does not take the change, so nothing has changed: {0}")]
    NotKept(io::Error),
    #[error(
        "revoked, but the disk does not take it: after a restart it would count again; mend the disk, revoke anew: {0}"
    )]
    RevocationNotKept(io::Error),
}

/// Counts wrong tokens.
#[derive(Debug, Default)]
struct Wrong {
    since: Option<Mono>,
    count: u32,
}

impl Wrong {
    /// Whether one more may come at `now`.
    fn take(&mut self, now: Mono) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= Duration::from_secs(60)) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= WRONG_A_MINUTE
    }
}

impl Enrolment {
    /// Goes on with what `kept` says, as [`Keep`] was given it; empty at the first start. `authority`: none where the
    /// server has no port with TLS; hosts that are enrolled stay it. Certificates of agents hold for `holds`.
    ///
    /// # Errors
    /// When `kept` is damaged.
    pub fn new(
        kept: &[u8],
        authority: Option<Authority>,
        keep: Keep,
        clock: Clock,
        holds: Duration,
    ) -> Result<Self, serde_json::Error> {
        let register = if kept.is_empty() { Register::default() } else { serde_json::from_slice(kept)? };
        Ok(Self(Arc::new(Inner {
            register: Mutex::new(register),
            wrong: Mutex::default(),
            authority: authority.map(Arc::new),
            keep,
            clock,
            holds,
        })))
    }

    /// For a server that enrols nobody.
    pub fn none(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            register: Mutex::default(),
            wrong: Mutex::default(),
            authority: None,
            keep: Box::new(|_| Ok(())),
            clock,
            holds: Duration::ZERO,
        }))
    }

    /// Makes a one-time token, for `host` alone or for any host that is new; says until when it may be used.
    pub(crate) fn make_token(&self, host: Option<&str>) -> Result<(OneTimeToken, Wall), Unenrolled> {
        let authority = self.0.authority.as_ref().ok_or(Unenrolled::NoAuthority)?;
        if let Some(host) = host.filter(|host| !is_host_name(host)) {
            return Err(Unenrolled::NoHostName(host.to_owned()));
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| {
            Unenrolled::NoRequest(AuthorityError::Unmade(format!("the system gives no chance: {error}")))
        })?;
        let token = OneTimeToken::new(secret, authority.pin());
        let until = self.change(|register, now| {
            register.make(now, &token.secret(), host.map(Into::into)).ok_or(Unenrolled::TooManyTokens)
        })?;
        Ok((token, until))
    }

    /// Gives `host` its first certificate, for a one-time token's `secret`.
    pub(crate) fn enrol(&self, secret: &str, host: &str, request: &str) -> Result<Certified, Unenrolled> {
        let authority = self.0.authority.as_ref().ok_or(Unenrolled::NoAuthority)?;
        if !is_host_name(host) {
            return Err(Unenrolled::NoHostName(host.chars().take(64).collect()));
        }
        let now = self.0.clock.now();
        // Before anything else of the sender is looked at.
        let barred = self.register().may_enrol(now.wall, secret, host);
        if let Err(barred) = barred {
            let may = self.0.wrong.lock().unwrap_or_else(PoisonError::into_inner).take(now.mono);
            return Err(if may { Unenrolled::Barred(barred) } else { Unenrolled::TooManyWrong });
        }
        let signed = authority.sign(host, request, now.wall, self.0.holds).map_err(Unenrolled::NoRequest)?;
        let host: HostName = host.into();
        self.change(|register, now| {
            register.enrol(now, secret, &host, signed.print, signed.expires_at).map_err(Unenrolled::Barred)
        })?;
        Ok(self.certified(&host, signed.pem, authority))
    }

    /// Gives the host of `member` its next certificate.
    pub(crate) fn renew(&self, member: &Member, request: &str) -> Result<Certified, Unenrolled> {
        let authority = self.0.authority.as_ref().ok_or(Unenrolled::NoAuthority)?;
        let now = self.0.clock.now().wall;
        let signed =
            authority.sign(&member.host, request, now, self.0.holds).map_err(Unenrolled::NoRequest)?;
        self.change(|register, _| {
            let renewed = register.renew(member.certificate, signed.print, signed.expires_at);
            if renewed { Ok(()) } else { Err(Unenrolled::Gone(Arc::clone(&member.host))) }
        })?;
        Ok(self.certified(&member.host, signed.pem, authority))
    }

    fn certified(&self, host: &HostName, certificate: String, authority: &Authority) -> Certified {
        Certified {
            host: host.to_string(),
            certificate,
            authority: authority.pem().to_owned(),
            holds_for_seconds: self.0.holds.as_secs(),
        }
    }

    /// No certificate of `host` counts any more. `None`: it was never enrolled.
    /// It holds at once, whatever the disk says.
    pub(crate) fn revoke(&self, host: &str) -> Result<Option<Standing>, Unenrolled> {
        let now = self.0.clock.now().wall;
        let mut register = self.register();
        let before = register.clone();
        register.revoke(now, host);
        if *register != before {
            self.keep(&register).map_err(Unenrolled::RevocationNotKept)?;
        }
        Ok(standing(&register, host))
    }

    /// All hosts that were ever enrolled, by name.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let register = self.register();
        register.members().filter_map(|(host, _)| standing(&register, host)).collect()
    }

    /// Whether the certificate of `member` counts still.
    pub(crate) fn holds(&self, member: &Member) -> bool {
        self.register().holder(member.certificate).as_ref() == Some(&member.host)
    }

    /// Why an agent that shows `member` may not speak for `host`, in words.
    pub(crate) fn objection(&self, host: &str, member: Option<&Member>) -> Option<String> {
        let register = self.register();
        match (member, register.member(host)) {
            (Some(member), _) if *member.host != *host => Some(format!(
                "its certificate is that of {}: set `agent.host` to that name, or enrol {host} of its own",
                member.host
            )),
            (Some(member), _) if register.holder(member.certificate).as_ref() != Some(&member.host) => {
                Some(Unenrolled::Gone(Arc::clone(&member.host)).to_string())
            }
            (Some(_), _) | (None, None) => None,
            (None, Some(known)) if known.revoked_at.is_some() => Some(format!(
                "{host} was revoked; enrol it anew: lifesign hosts token {host}, then lifesign agent enroll there"
            )),
            (None, Some(_)) => Some(format!(
                "{host} is enrolled and speaks with its certificate only, not with a token of the configuration; \
                 enrol this agent: lifesign hosts token {host}, then lifesign agent enroll there"
            )),
        }
    }

    /// Whether this certificate, which the authority has signed, counts.
    fn counts(&self, certificate: &CertificateDer<'_>) -> bool {
        self.register().holder(Print::of(certificate)).is_some()
    }

    /// A handshake has proved that this certificate's key is at the other end.
    fn shown(&self, certificate: &CertificateDer<'_>) -> Option<Member> {
        let certificate = Print::of(certificate);
        let host = self.register().holder(certificate)?;
        let took_over = self.change(|register, _| Ok(register.shown(certificate)));
        match took_over {
            Ok(true) => tracing::info!(%host, "An agent came with its renewed certificate"),
            Ok(false) => {}
            // The older one counts a little longer.
            Err(error) => tracing::warn!(%host, %error, "A renewed certificate could not be noted"),
        }
        Some(Member { host, certificate })
    }

    fn authority(&self) -> Option<Arc<Authority>> {
        self.0.authority.clone()
    }

    fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the register: on the disk first, then for all.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Register, Wall) -> Result<T, Unenrolled>,
    ) -> Result<T, Unenrolled> {
        let now = self.0.clock.now().wall;
        let mut register = self.register();
        let mut changed = register.clone();
        let result = change(&mut changed, now)?;
        if changed != *register {
            self.keep(&changed).map_err(Unenrolled::NotKept)?;
            *register = changed;
        }
        Ok(result)
    }

    fn keep(&self, register: &Register) -> io::Result<()> {
        (self.0.keep)(&serde_json::to_vec_pretty(register)?)
    }
}

fn standing(register: &Register, host: &str) -> Option<Standing> {
    let (name, member) = register.members().find(|(name, _)| ***name == *host)?;
    Some(Standing {
        host: Arc::clone(name),
        enrolled_at: member.enrolled_at,
        expires_at: member.expires_at,
        revoked_at: member.revoked_at,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    use lifesign_core::time::Now;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// An enrolment with a clock in milliseconds, a disk, and a switch that makes the disk refuse.
    struct Office {
        enrolment: Enrolment,
        clock: Arc<AtomicI64>,
        disk: Arc<Mutex<Vec<u8>>>,
        is_full: Arc<AtomicBool>,
    }

    impl Office {
        fn open() -> Self {
            Self::with(&Authority::make(Wall::from_millis(1_800_000_000_000)).unwrap(), &[])
        }

        fn with(files: &AuthorityFiles, kept: &[u8]) -> Self {
            let clock = Arc::new(AtomicI64::new(1_800_000_000_000));
            let disk = Arc::new(Mutex::new(kept.to_vec()));
            let is_full = Arc::new(AtomicBool::new(false));
            let (writes, full, read) = (Arc::clone(&disk), Arc::clone(&is_full), Arc::clone(&clock));
            let keep: Keep = Box::new(move |text| {
                if full.load(Ordering::SeqCst) {
                    return Err(io::Error::other("no space left"));
                }
                *writes.lock().unwrap() = text.to_vec();
                Ok(())
            });
            let clock_of = Clock::new(move || {
                let millis = read.load(Ordering::SeqCst);
                Now { mono: Mono::from_millis(millis.cast_unsigned()), wall: Wall::from_millis(millis) }
            });
            let authority = Authority::read(files).unwrap();
            let enrolment = Enrolment::new(kept, Some(authority), keep, clock_of, DAY).unwrap();
            Self { enrolment, clock, disk, is_full }
        }

        fn pass(&self, span: Duration) {
            self.clock.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
        }

        fn token(&self, host: Option<&str>) -> OneTimeToken {
            self.enrolment.make_token(host).unwrap().0
        }

        fn enrol(&self, token: OneTimeToken, host: &str) -> Result<CertificateDer<'static>, String> {
            use rustls::pki_types::pem::PemObject as _;
            let (_, request) = authority::tests::request();
            let certified = self.enrolment.enrol(&token.secret(), host, &request);
            let certified = certified.map_err(|error| error.to_string())?;
            assert_eq!((&*certified.host, certified.holds_for_seconds), (host, 24 * 3600));
            Ok(CertificateDer::from_pem_slice(certified.certificate.as_bytes()).unwrap())
        }
    }

    #[test]
    fn a_token_is_useless_after_its_use_after_a_quarter_of_an_hour_and_over_a_restart() {
        let files = Authority::make(Wall::from_millis(1_800_000_000_000)).unwrap();
        let office = Office::with(&files, &[]);
        let (first, second) = (office.token(None), office.token(None));
        office.enrol(first, "web").unwrap();
        let kept = office.disk.lock().unwrap().clone();
        let text = String::from_utf8_lossy(&kept).into_owned();
        assert!(!text.contains(&first.secret()) && !text.contains(&second.secret()), "{text}");

        let office = Office::with(&files, &kept);
        assert!(office.enrol(first, "db").unwrap_err().contains("used by web"));
        office.pass(Duration::from_millis(899_999));
        office.enrol(second, "db").unwrap();
        let third = office.token(None);
        office.pass(Duration::from_secs(900));
        assert!(office.enrol(third, "mail").unwrap_err().contains("older than 15 minutes"));
    }

    #[test]
    fn a_certificate_counts_until_it_is_revoked_or_replaced() {
        let office = Office::open();
        let certificate = office.enrol(office.token(None), "web").unwrap();
        let member = office.enrolment.shown(&certificate).unwrap();
        assert_eq!(&*member.host, "web");
        assert!(office.enrolment.holds(&member) && office.enrolment.counts(&certificate));
        assert_eq!(office.enrolment.objection("web", Some(&member)), None);
        assert!(office.enrolment.objection("db", Some(&member)).unwrap().contains("that of web"));
        assert!(office.enrolment.objection("web", None).unwrap().contains("certificate only"));
        assert_eq!(office.enrolment.objection("db", None), None, "it was never enrolled");

        assert!(office.enrolment.revoke("web").unwrap().unwrap().revoked_at.is_some());
        assert!(!office.enrolment.holds(&member) && !office.enrolment.counts(&certificate));
        assert!(
            office.enrolment.objection("web", Some(&member)).unwrap().contains("lifesign hosts token web")
        );
        assert!(office.enrolment.objection("web", None).unwrap().contains("was revoked"));
        let (_, request) = authority::tests::request();
        assert!(matches!(office.enrolment.renew(&member, &request), Err(Unenrolled::Gone(_))));
        assert_eq!(office.enrolment.revoke("db").unwrap(), None);

        let again = office.enrol(office.token(Some("web")), "web").unwrap();
        assert!(office.enrolment.counts(&again) && !office.enrolment.counts(&certificate));
    }

    #[test]
    fn what_the_disk_does_not_take_has_not_happened() {
        let office = Office::open();
        let token = office.token(None);
        office.is_full.store(true, Ordering::SeqCst);
        assert!(office.enrol(token, "web").unwrap_err().contains("no space left"));
        assert!(matches!(office.enrolment.make_token(None), Err(Unenrolled::NotKept(_))));
        office.is_full.store(false, Ordering::SeqCst);
        let certificate = office.enrol(token, "web").expect("the token was not used");
        office.is_full.store(true, Ordering::SeqCst);
        assert!(matches!(office.enrolment.revoke("web"), Err(Unenrolled::RevocationNotKept(_))));
        assert!(!office.enrolment.counts(&certificate), "a revocation waits for no disk");
    }

    #[test]
    fn wrong_tokens_come_to_a_limit_and_a_right_one_always_opens() {
        let office = Office::open();
        let right = office.token(None);
        let wrong = OneTimeToken::new([7; 32], [7; 32]);
        for _ in 0..WRONG_A_MINUTE {
            assert!(office.enrol(wrong, "web").unwrap_err().contains("was not made here"));
        }
        assert!(office.enrol(wrong, "web").unwrap_err().contains("too many"));
        office.enrol(right, "web").unwrap();
        office.pass(Duration::from_secs(60));
        assert!(office.enrol(wrong, "web").unwrap_err().contains("was not made here"));
    }

    #[test]
    fn a_request_that_cannot_be_signed_does_not_use_the_token_up() {
        let office = Office::open();
        let token = office.token(None);
        let result = office.enrolment.enrol(&token.secret(), "web", "nonsense");
        assert!(matches!(result, Err(Unenrolled::NoRequest(_))));
        assert!(matches!(office.enrolment.enrol(&token.secret(), "a@b", ""), Err(Unenrolled::NoHostName(_))));
        office.enrol(token, "web").unwrap();
    }

    #[test]
    fn without_an_authority_the_way_out_is_told() {
        let office = Enrolment::none(Clock::new(|| Now { mono: Mono::ZERO, wall: Wall::from_millis(0) }));
        let error = office.make_token(None).unwrap_err().to_string();
        assert!(error.contains("server: { tls: {} }"), "{error}");
    }
}
