//! What is wrong with a configuration, and how it is shown: `file:line:column: error: …`, the line, a caret.
//!
//! Source lines are shown with secrets blanked out: whatever was decoded as a secret, stands under a key
//! that sounds like one, or looks like one on a line that could not be parsed.

use std::collections::BTreeMap;
use std::fmt;

use unicode_width::UnicodeWidthChar;

use crate::source::{Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration cannot be used.
    Error,
    /// It works, and is not as it should be.
    Warning,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub level: Level,
    /// Where.
    pub span: Span,
    /// What, lower case.
    pub message: String,
    /// Shown behind the caret: what was expected, or what to do.
    pub hint: Option<String>,
}

/// Stretches of the sources that are never shown: (file, start) → length in bytes.
#[derive(Debug, Clone, Default)]
pub struct Masks(BTreeMap<(u16, u32), u32>);

impl Masks {
    /// Blanks a stretch out from now on.
    pub fn add(&mut self, span: Span) {
        if span.is_written() {
            self.0.insert((span.file, span.start), span.len);
        }
    }

    /// Whether exactly this value is blanked out.
    pub fn covers(&self, span: Span) -> bool {
        self.0.contains_key(&(span.file, span.start))
    }

    /// The line `start..end` of a file with every mask replaced by as many `*` as it has characters, so that
    /// carets keep their place.
    fn blank(&self, file: u16, text: &str, start: usize, end: usize) -> String {
        let mut line = String::with_capacity(end - start);
        for (at, c) in text[start..end].char_indices() {
            let at = u32::try_from(start + at).unwrap_or(u32::MAX);
            let masked = self
                .0
                .range(..=(file, at))
                .next_back()
                .is_some_and(|((of, from), len)| *of == file && at - from < *len);
            line.push(if masked { '*' } else { c });
        }
        line
    }
}

/// Whether a key sounds as if its value must not be shown.
pub use lifesign_core::secret::sounds_secret;

/// All that was found, with the files it was found in. `Display` is what a terminal shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// Errors and warnings in the order of the file.
    pub problems: Vec<Problem>,
    sources: Sources,
    masks: Masks,
}

impl Report {
    /// Sorts `problems` by place and keeps what is needed to show them.
    pub fn new(mut problems: Vec<Problem>, sources: Sources, masks: Masks) -> Self {
        problems.sort_by_key(|problem| (problem.span.file, problem.span.start, problem.level));
        problems.dedup();
        Self { problems, sources, masks }
    }

    /// Whether anything in it forbids using the configuration.
    pub fn has_errors(&self) -> bool {
        self.count(Level::Error) > 0
    }

    /// How many problems of a level there are.
    pub fn count(&self, level: Level) -> usize {
        self.problems.iter().filter(|problem| problem.level == level).count()
    }

    /// The place of a problem: `file:line:column`.
    pub fn place(&self, problem: &Problem) -> String {
        match self.sources.get(problem.span.file) {
            Some(source) if problem.span.is_written() => {
                format!("{}:{}:{}", source.name, problem.span.line, problem.span.column)
            }
            Some(source) => source.name.clone(),
            None => "configuration".to_owned(),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        writeln!(f, "{}: {}: {}", self.place(problem), problem.level, problem.message)?;
        let Some(excerpt) = Excerpt::of(problem.span, &self.sources, &self.masks) else {
            return match &problem.hint {
                Some(hint) => writeln!(f, "      = {hint}"),
                None => Ok(()),
            };
        };
        writeln!(f, "{:>5} | {}", problem.span.line, excerpt.line)?;
        write!(f, "      | {}{}", excerpt.indent, excerpt.caret)?;
        match &problem.hint {
            Some(hint) => writeln!(f, " {hint}"),
            None => writeln!(f),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shown, problem) in self.problems.iter().enumerate() {
            if shown == MAX_SHOWN {
                return writeln!(f, "… and {} more", self.problems.len() - MAX_SHOWN);
            }
            self.show(f, problem)?;
        }
        Ok(())
    }
}

/// Most problems that are shown; a file that is wrong a thousand times is wrong in one way.
const MAX_SHOWN: usize = 100;
/// Widest part of a source line that is shown, in characters; minified JSON has one line.
const MAX_LINE: usize = 120;

/// The part of a source line around a problem.
struct Excerpt {
    line: String,
    indent: String,
    caret: String,
}

impl Excerpt {
    fn of(span: Span, sources: &Sources, masks: &Masks) -> Option<Self> {
        let text = &sources.get(span.file).filter(|_| span.is_written())?.text;
        let at = (span.start as usize).min(text.len());
        let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
        let end = text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline);
        let end = if text[start..end].ends_with('\r') { end - 1 } else { end };
        let at = at.min(end);
        let before = text[start..at].chars().count();
        let marked = text
            .get(at..at.saturating_add(span.len as usize).min(end))
            .map_or(1, |marked| marked.trim_end().chars().count());

        let line: Vec<char> = masks.blank(span.file, text, start, end).chars().collect();
        let first = before.saturating_sub(MAX_LINE / 2);
        let last = line.len().min(first + MAX_LINE);
        let mut shown: String = line[first..last].iter().copied().map(printable).collect();
        let mut indent: String =
            line[first..before].iter().copied().map(|c| " ".repeat(width(printable(c)))).collect();
        if first > 0 {
            shown.insert(0, '…');
            indent.insert(0, ' ');
        }
        if last < line.len() {
            shown.push('…');
        }
        let marked = &line[before..(before + marked).min(last).max(before)];
        let caret = "^".repeat(marked.iter().map(|c| width(*c)).sum::<usize>().max(1));
        Some(Self { line: shown, indent, caret })
    }
}

fn width(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// A tab as one space, so that the caret stands below; other control characters would change the terminal.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// At most `max` characters of `text` on one line.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).map(printable).collect();
    if text.chars().nth(max).is_some() {
        short.push('…');
    }
    short
}
