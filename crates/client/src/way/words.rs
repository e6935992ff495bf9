//! What the next beats say, and how that is written as a line.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::beat::{MAX_METRICS, Status, fit_message};

/// What the next beats say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Words {
    pub(super) status: Status,
    pub(super) progress: Option<u64>,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) message: String,
}

impl Words {
    /// Sets a metric whose name and value are good; `false`: there are [`MAX_METRICS`] others.
    pub(super) fn metric(&mut self, name: &str, value: f64) -> bool {
        if let Some(known) = self.metrics.get_mut(name) {
            *known = value;
            return true;
        }
        let room = self.metrics.len() < MAX_METRICS;
        if room {
            self.metrics.insert(name.to_owned(), value);
        }
        room
    }

    pub(super) fn message(&mut self, text: &str) {
        self.message = one_line(&fit_message(text));
    }

    /// `orders alive progress=7 queue=12 message=all is well`
    pub(super) fn line(&self, service: &str) -> String {
        let mut line = format!("{service} {}", word(self.status));
        // Writing into a String cannot fail.
        if let Some(progress) = self.progress {
            let _ = write!(line, " progress={progress}");
        }
        for (name, value) in &self.metrics {
            let _ = write!(line, " {name}={value}");
        }
        if !self.message.is_empty() {
            let _ = write!(line, " message={}", self.message);
        }
        line.push('\n');
        line
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Alive => "alive",
        Status::Stopping => "stopping",
        Status::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_set_and_stays_one_line() {
        let mut words = Words::default();
        assert_eq!(words.line("orders"), "orders alive\n");
        words.status = Status::Fail;
        words.progress = Some(7);
        assert!(words.metric("queue", 12.0) && words.metric("load", 1e-9));
        words.message("disk full\nreally");
        assert_eq!(
            words.line("orders"),
            "orders fail progress=7 load=0.000000001 queue=12 message=disk full really\n"
        );
        assert!(
            (0..2 * MAX_METRICS).filter(|n| words.metric(&format!("m{n}"), 1.0)).count() == MAX_METRICS - 2
        );
    }
}
