//! The last words of a process: what is left of it at its end, as far as that goes out with a notification.
//!
//! The whole of it stands on the incident's timeline. People who are told get the last of it: a few lines, bounded, and
//! without what looks like a secret, for a mail or a chat is read by others than the ones who may read the incident.

use crate::evidence::{UnitReport, UnitState};
use crate::secret;

/// Most lines of output in a notification.
const MAX_LINES: usize = 10;
/// Longest of these lines, in characters.
const MAX_LINE: usize = 300;
/// Longest line about the end itself, in characters: two of them leave room for lines in any script.
const MAX_FACT: usize = 200;
/// Most bytes of all of it.
pub(crate) const MAX_BYTES: usize = 2048;

/// The name of the annotation that carries it.
pub(crate) const ANNOTATION: &str = "evidence";

/// What is known of the end of one life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LastWords {
    /// The state in the system's words: exit code, signal, result.
    os: String,
    usage: Option<String>,
    output: Option<String>,
}

impl LastWords {
    /// What a report of an end begins with.
    pub(crate) fn of(report: &UnitReport) -> Self {
        let mut last = Self { os: report.os.clone(), ..Self::default() };
        last.add(report);
        last
    }

    /// Adds what a report brings.
    pub(crate) fn add(&mut self, report: &UnitReport) {
        if matches!(report.state, UnitState::Stopped { .. }) {
            // The second report of one end often knows more of how it came.
            self.os.clone_from(&report.os);
        }
        let said = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        self.usage = said(&report.usage).or_else(|| self.usage.take());
        self.output = said(&report.last_output).or_else(|| self.output.take());
    }

    /// The lines for a notification, oldest first; `None`: there is nothing that the alert does not say itself.
    pub(crate) fn in_words(&self) -> Option<String> {
        if self.usage.is_none() && self.output.is_none() {
            return None;
        }
        let mut lines: Vec<String> = [Some(&self.os), self.usage.as_ref()]
            .into_iter()
            .flatten()
            .map(|line| fit(line, MAX_FACT))
            .collect();
        lines.retain(|line| !line.is_empty());
        let mut room = MAX_BYTES.saturating_sub(length(&lines));
        let output = secret::masked(self.output.as_deref().unwrap_or_default());
        let mut last: Vec<String> = output
            .iter()
            .rev()
            .map(|line| fit(line, MAX_LINE))
            .filter(|line| !line.is_empty())
            .take(MAX_LINES)
            .take_while(|line| {
                let has_room = line.len() < room;
                room = room.saturating_sub(line.len() + 1);
                has_room
            })
            .collect();
        last.reverse();
        lines.append(&mut last);
        Some(lines.join("\n"))
    }
}

fn length(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

/// One line without colours and other control characters, at most `left` characters.
fn fit(line: &str, mut left: usize) -> String {
    let mut fitting = String::new();
    let mut chars = line.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A terminal's order: `ESC [ numbers letter`.
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
                chars.next();
            }
            continue;
        }
        if left == 0 {
            fitting.push('…');
            break;
        }
        left -= 1;
        fitting.push(if c.is_control() { ' ' } else { c });
    }
    fitting.truncate(fitting.trim_end().len());
    fitting
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::Exit;

    fn end(usage: Option<&str>, output: Option<&str>) -> UnitReport {
        let state = UnitState::Stopped { ordered: false, exit: Exit::Code(3) };
        UnitReport {
            usage: usage.map(str::to_owned),
            last_output: output.map(str::to_owned),
            ..UnitReport::new(state, "failed (exit code 3)")
        }
    }

    #[test]
    fn the_figures_and_the_last_ten_lines_go_out_and_nothing_that_is_secret() {
        let mut output: Vec<String> = (1..=20).map(|n| format!("line {n}")).collect();
        output.push("  \n\u{1b}[31;1mpassword=hunter2\u{1b}[0m\tis wrong".to_owned());
        let last = LastWords::of(&end(Some("12 MiB of memory"), Some(&output.join("\n"))));
        let words = last.in_words().unwrap();
        let lines: Vec<&str> = words.lines().collect();
        assert_eq!(lines[..3], ["failed (exit code 3)", "12 MiB of memory", "line 12"]);
        assert_eq!(lines.last(), Some(&"password=*** is wrong"));
        assert_eq!(lines.len(), 12);
    }

    #[test]
    fn what_comes_later_is_added_and_what_is_nothing_says_nothing() {
        let mut last = LastWords::of(&end(None, Some(" \n")));
        assert_eq!(last.in_words(), None, "the alert itself says how it ended");
        last.add(&end(Some("3 threads"), None));
        last.add(&end(None, Some("bye")));
        assert_eq!(last.in_words().unwrap(), "failed (exit code 3)\n3 threads\nbye");
    }

    proptest! {
        // Each case is long.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_is_bounded_whatever_was_written(output in "(\\PC|\n|\u{1b}|\u{7}){0,6000}", os in "\\PC{0,900}") {
            let report = UnitReport { os, ..end(Some(&output), Some(&output)) };
            let words = LastWords::of(&report).in_words().unwrap_or_default();
            prop_assert!(words.lines().count() <= MAX_LINES + 2);
            prop_assert!(words.len() <= MAX_BYTES, "{}", words.len());
            prop_assert!(!words.contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}
