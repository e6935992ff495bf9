//! Other people's words, made fit to be kept: one line, bounded, without our secrets.

use std::fmt;

/// Longest text kept of an answer, in characters: enough for a provider's error message.
pub(crate) const MAX_ANSWER: usize = 300;
/// Shorter secrets are not looked for: hiding every "a" would hide the answer.
const SHORTEST_SECRET: usize = 4;

/// What must never be repeated: passwords, tokens, and addresses that are secrets themselves.
///
/// A server may well echo what it was sent, and its answer goes to timelines and logs.
#[derive(Clone, Default)]
pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= SHORTEST_SECRET && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
            // The longest first, so that none is found inside another and half of it stays.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// `text` on one line, at most [`MAX_ANSWER`] characters, with `***` for every secret.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "***");
        }
        one_line(&text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({})", self.0.len())
    }
}

/// `text` without control characters and repeated blanks, cut at [`MAX_ANSWER`] characters.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // Four bytes a character at most: far enough, and a megabyte of words is not walked through.
        if line.len() > 4 * MAX_ANSWER {
            break;
        }
    }
    if let Some((end, _)) = line.char_indices().nth(MAX_ANSWER) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_bounded_line_without_secrets() {
        let mut hidden = Hidden::default();
        hidden.add("s3cret");
        hidden.add("s3cret-and-more");
        hidden.add("ab");
        assert_eq!(
            hidden.clean("no\r\n\tabout \u{1b}[31m s3cret-and-more, s3cret"),
            "no about [31m ***, ***"
        );
        assert_eq!(hidden.clean(&"长".repeat(1000)).chars().count(), MAX_ANSWER + 1);
        assert_eq!(format!("{hidden:?}"), "Hidden(2)");
    }
}
