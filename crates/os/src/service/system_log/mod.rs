//! The system's own log: journald, or the Windows event log.
//!
//! Both get the same [`Record`]. journald takes all of them with their fields; the event log is read by people and by
//! collectors that count, so it gets what has a number, and every warning and error.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// Longest text of a record or of one of its fields, in bytes; the rest is cut off. A record of the event log holds
/// 31 839 characters, a datagram to journald more.
const LONGEST: usize = 16 * 1024;

/// The number under which a service writes down why it could not start; [`start`](super::start) looks for it.
pub const START_FAILED: u16 = 3;

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For whoever looks for a fault in lifesign.
    Debug,
    /// What happened.
    Info,
    /// May need somebody.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that happened.
#[derive(Debug)]
pub struct Record<'a> {
    /// How much it matters.
    pub severity: Severity,
    /// Its number in the list of events, where it has one.
    pub event: Option<u16>,
    /// One sentence.
    pub message: &'a str,
    /// Facts beside it.
    pub fields: &'a [(&'a str, String)],
}

/// An open way to the system's log. Writing to it never blocks for long and never fails loudly: there is no other
/// place to complain.
#[derive(Debug)]
pub struct SystemLog(imp::SystemLog);

impl SystemLog {
    /// The log of this system for a service called `name`, where the process writes to it at all: on Linux when its
    /// standard error is connected to journald, on Windows always.
    pub fn open(name: &str) -> Option<Self> {
        imp::SystemLog::open(name).map(Self)
    }

    /// Whether a record of this kind belongs there.
    pub fn takes(&self, severity: Severity, event: Option<u16>) -> bool {
        imp::takes(severity, event)
    }

    /// Whether everything that goes to standard error comes to the same place.
    pub const fn has_standard_error(&self) -> bool {
        imp::HAS_STANDARD_ERROR
    }

    /// Writes one record.
    pub fn write(&self, record: &Record<'_>) {
        self.0.write(record);
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}
