//! What a probe found, before its times are added; and how an I/O error becomes a finding.

use std::io;

use lifesign_core::evidence::{
    CheckOutcome, CheckReport, Component, FailKind, MAX_COMPONENTS, MAX_OUTPUT, Phases,
};

/// Outcome, words for people, and the components the service named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) outcome: CheckOutcome,
    pub(crate) output: String,
    pub(crate) components: Vec<Component>,
}

impl Finding {
    pub(crate) fn new(outcome: CheckOutcome, output: impl Into<String>) -> Self {
        Self { outcome, output: output.into(), components: Vec::new() }
    }

    pub(crate) fn pass(output: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Pass, output)
    }

    /// It answered, and the answer was wrong.
    pub(crate) fn wrong(output: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Fail(FailKind::Wrong), output)
    }

    /// There was no connection, or it was taken away before an answer.
    pub(crate) fn refused(output: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Fail(FailKind::Refused), output)
    }

    /// The probe itself could not look.
    pub(crate) fn blind(output: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Unknown, output)
    }

    /// The finding for an error of a socket: `place` is the address, `error` what the OS said.
    ///
    /// Only what the other side or the way to it can cause is held against the target. Everything else
    /// (no file descriptor or local port left, no route on this machine, forbidden by a local filter)
    /// means that we could not look; a closed list, because such errors have no common number.
    pub(crate) fn from_io(place: &str, error: &io::Error) -> Self {
        let outcome = outcome_of(error);
        let words = words_of(error);
        if outcome == CheckOutcome::Unknown {
            return Self::new(outcome, format!("could not look at {place}: {words}"));
        }
        Self::new(outcome, format!("{place}: {words}"))
    }

    pub(crate) fn into_report(mut self, phases: Phases) -> CheckReport {
        self.components.truncate(MAX_COMPONENTS);
        CheckReport {
            outcome: self.outcome,
            output: one_line(&self.output, MAX_OUTPUT),
            phases,
            components: self.components,
        }
    }
}

/// Whom an I/O error speaks against.
pub(crate) fn outcome_of(error: &io::Error) -> CheckOutcome {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::TimedOut => CheckOutcome::Fail(FailKind::Timeout),
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::HostUnreachable
        | Kind::NotConnected
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => CheckOutcome::Fail(FailKind::Refused),
        _ => CheckOutcome::Unknown,
    }
}

fn words_of(error: &io::Error) -> String {
    let kind = error.kind().to_string();
    // Kinds that std has no word for print as one of these; the OS's own words say more.
    if kind.starts_with("uncategorized") || kind == "other error" { error.to_string() } else { kind }
}

/// `text` on one line and at most `limit` bytes long: control characters become blanks, and what is too
/// long is cut on a character border and marked.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    const MARK: &str = "…";
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    if clean.len() <= limit {
        return clean.to_owned();
    }
    let end = clean.floor_char_boundary(limit.saturating_sub(MARK.len()));
    format!("{}{MARK}", &clean[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_shortage_is_not_held_against_the_target() {
        // EMFILE on Linux, and its sibling ENFILE.
        for number in [24, 23] {
            let found = Finding::from_io("10.0.0.1:80", &io::Error::from_raw_os_error(number));
            assert_eq!(found.outcome, CheckOutcome::Unknown, "{found:?}");
            assert!(found.output.starts_with("could not look at 10.0.0.1:80: "), "{}", found.output);
        }
        for kind in [io::ErrorKind::AddrNotAvailable, io::ErrorKind::NetworkUnreachable] {
            assert_eq!(outcome_of(&kind.into()), CheckOutcome::Unknown);
        }
    }

    #[test]
    fn a_refusal_is_held_against_the_target() {
        let found = Finding::from_io("10.0.0.1:80", &io::ErrorKind::ConnectionRefused.into());
        assert_eq!(found, Finding::refused("10.0.0.1:80: connection refused"));
    }

    #[test]
    fn output_is_one_bounded_line() {
        assert_eq!(one_line("a\r\nb\u{0}c\n", 100), "a  b c");
        let cut = one_line(&"订".repeat(2000), MAX_OUTPUT);
        assert!(cut.len() <= MAX_OUTPUT && cut.ends_with('…'));
    }
}
