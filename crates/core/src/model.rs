//! The words of the contract as types: services, checks, states, reasons, severities.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest service id, in bytes.
pub const MAX_ID: usize = 128;

/// Declares an enum whose values have one fixed spelling on every wire, screen and disk.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the contract.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The state of a service.
    pub enum State {
        /// Nothing heard yet.
        Pending = "pending",
        /// Every source of evidence is content.
        Up = "up",
        /// It works, and something about it does not.
        Degraded = "degraded",
        /// A heartbeat is overdue; not yet judged.
        Suspect = "suspect",
        /// It does not work, or is stopped.
        Down = "down",
        /// We are blind: nothing we could look at answered *us*.
        Unknown = "unknown",
    }
}

words! {
    /// Why a service is in its state.
    pub enum Reason {
        /// Heartbeats stopped and nothing else tells about the service.
        MissedHeartbeat = "missed_heartbeat",
        /// It runs, but does not answer or beat.
        Hung = "hung",
        /// It ended by itself with success, and was not asked to.
        Exited = "exited",
        /// It ended with an exit code or a fault.
        Crashed = "crashed",
        /// A signal from outside ended it.
        Killed = "killed",
        /// Somebody ordered the stop.
        StoppedByOperator = "stopped_by_operator",
        /// It could not be started.
        StartFailed = "start_failed",
        /// A probe got no connection or a wrong answer, or the service itself said `fail`.
        CheckFailed = "check_failed",
        /// Something it depends on is down.
        DependencyDown = "dependency_down",
        /// The host does not answer.
        HostUnreachable = "host_unreachable",
        /// lifesign itself could not look.
        ObserverStalled = "observer_stalled",
        /// The service answers, and reports a component of its own as down.
        ComponentDown = "component_down",
    }
}

words! {
    /// A kind of check: one source of evidence about a service.
    pub enum CheckKind {
        /// The OS service or supervised process.
        Unit = "unit",
        /// Heartbeats from inside the application.
        Heartbeat = "heartbeat",
        /// A TCP connection.
        Tcp = "tcp",
        /// An HTTP request.
        Http = "http",
        /// A TLS certificate.
        Tls = "tls",
        /// A DNS query.
        Dns = "dns",
        /// An ICMP echo.
        Icmp = "icmp",
        /// The gRPC health protocol.
        Grpc = "grpc",
        /// A command with Nagios exit codes.
        Command = "command",
        /// Processes by name.
        Process = "process",
        /// Free disk space.
        Disk = "disk",
        /// Lines of a log.
        Log = "log",
        /// A Prometheus endpoint.
        Scrape = "scrape",
    }
}

words! {
    /// How bad an alert is.
    pub enum Severity {
        /// For the record.
        Info = "info",
        /// Look at it in working hours.
        Warning = "warning",
        /// Something is broken.
        Error = "error",
        /// Wake somebody.
        Critical = "critical",
    }
}

words! {
    /// How one check stands after its `rise` and `fall`.
    pub enum CheckState {
        /// No verdict yet.
        Pending = "pending",
        /// Passing.
        Pass = "pass",
        /// Failing.
        Fail = "fail",
        /// The check itself could not look.
        Unknown = "unknown",
    }
}

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("an id must not be empty")]
    Empty,
    /// It is longer than [`MAX_ID`].
    #[error("an id has at most {MAX_ID} characters, this one has {0}")]
    TooLong(usize),
    /// A character that ids do not have.
    #[error("{0:?} may not stand in an id (a-z, 0-9, '.', '_', '-'; first a letter or digit)")]
    Character(char),
}

/// The name a user gives to the thing watched: `[a-z0-9][a-z0-9._-]*`, at most [`MAX_ID`] bytes. Where it runs on several
/// hosts, `@` and the host follow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId(Arc<str>);

impl ServiceId {
    /// Checks and takes `text`, as [`plain`](Self::plain) with `@` and a host behind it or without.
    ///
    /// # Errors
    /// When `text` is empty, too long, or has a character that ids do not have.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let plain = Self::plain(text);
        let Err(IdError::Character('@')) = plain else { return plain };
        let (service, host) = text.split_once('@').unwrap_or_default();
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match host.chars().find(|c| !is_letter(*c)) {
            Some(c) => Err(IdError::Character(c)),
            None if host.is_empty() => Err(IdError::Character('@')),
            None => Self::plain(service).map(|_| Self(text.into())),
        }
    }

    /// The same service on one of several hosts: `orders@web-01`. Letters of the host's name that ids do not have are
    /// `-` in it.
    #[must_use]
    pub fn on(&self, host: &str) -> Self {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let host: String = host.chars().map(|c| if is_letter(c) { c } else { '-' }).collect();
        let id = format!("{self}@{host}");
        // A host's name may be long; the id stays one.
        Self(id.chars().take(MAX_ID).collect::<String>().into())
    }

    /// Checks and takes `text`, as people write ids in a configuration.
    ///
    /// # Errors
    /// When `text` is empty, too long, or has a character that written ids do not have.
    pub fn plain(text: &str) -> Result<Self, IdError> {
        if text.len() > MAX_ID {
            return Err(IdError::TooLong(text.len()));
        }
        let first = text.chars().next().ok_or(IdError::Empty)?;
        if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
            return Err(IdError::Character(first));
        }
        // Byte by byte: every heartbeat comes this way. What stands before the first other byte is ASCII.
        let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let wrong = text.bytes().position(|byte| !is_letter(byte));
        match wrong.and_then(|at| text.get(at..)?.chars().next()) {
            Some(c) => Err(IdError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id of our own making: `prefix` (which must begin as an id does), then `text` with every character
    /// that ids do not have made `-`, cut to [`MAX_ID`].
    pub(crate) fn lossy(prefix: &str, text: &str) -> Self {
        let letters = text.chars().map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c) => c,
            _ => '-',
        });
        Self(prefix.chars().chain(letters).take(MAX_ID).collect::<String>().into())
    }
}

impl TryFrom<String> for ServiceId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<ServiceId> for Arc<str> {
    fn from(id: ServiceId) -> Self {
        id.0
    }
}

impl From<ServiceId> for String {
    fn from(id: ServiceId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl Borrow<str> for ServiceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a host: a machine with an agent.
pub type HostName = Arc<str>;

/// The dense number of a service inside one engine. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceIx(pub u32);

/// The number of an incident: counted up over the life of a data directory, so people can say it aloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_on_one_of_several_hosts_names_the_host_and_people_do_not_write_such_a_one() {
        let web = ServiceId::plain("web").unwrap();
        for (host, id) in [("web-01", "web@web-01"), ("DB.example", "web@DB.example"), ("a b/c", "web@a-b-c")]
        {
            assert_eq!(web.on(host).as_str(), id);
            assert_eq!(ServiceId::new(id).unwrap(), web.on(host), "what was made is read again");
        }
        assert_eq!(web.on(&"h".repeat(300)).as_str().len(), MAX_ID);
        assert_eq!(ServiceId::plain("web@web-01"), Err(IdError::Character('@')));
        for bad in ["web@", "@web-01", "web@a@b", "web@a b", "Web@a"] {
            assert!(ServiceId::new(bad).is_err(), "{bad}");
        }
        assert_eq!(ServiceId::plain(&"a".repeat(MAX_ID + 1)), Err(IdError::TooLong(MAX_ID + 1)));
    }

    #[test]
    fn an_id_has_the_characters_of_the_contract_and_no_others() {
        for good in ["a", "0", "orders", "orders-2", "a.b_c-d"] {
            assert_eq!(ServiceId::new(good).unwrap().as_str(), good);
        }
        assert_eq!(ServiceId::new(""), Err(IdError::Empty));
        for bad in ["A", "-a", ".a", "_a", "a b", "订单", "a/b"] {
            assert!(ServiceId::new(bad).is_err(), "{bad}");
        }
        assert_eq!(ServiceId::new(&"a".repeat(MAX_ID + 1)), Err(IdError::TooLong(MAX_ID + 1)));
    }

    #[test]
    fn each_word_reads_back_as_itself() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(*state));
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{state}\""));
        }
        assert_eq!(Reason::ALL.len(), 12);
        assert_eq!(CheckKind::ALL.len(), 13);
    }
}
