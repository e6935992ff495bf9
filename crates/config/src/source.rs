//! The files a configuration is read from, and places in them.
//!
//! A [`Span`] is small and copied freely; only [`Sources`] knows the texts. Each value of the tree carries
//! its span, so an error found late (a reference to a service that is not there) still points at the letters.

use std::fmt;
use std::path::{Path, PathBuf};

/// A stretch of one file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Which file, as numbered by [`Sources`].
    pub file: u16,
    /// Line of the first character; 0: the value stands in no file (a default).
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Bytes from the start of the text to the first character.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The place of what stands in no file.
    pub const NONE: Self = Self { file: 0, line: 0, column: 0, start: 0, len: 0 };

    /// Whether this is a place in a file.
    pub const fn is_written(self) -> bool {
        self.line > 0
    }
}

/// One file as read, without its byte-order mark. `Debug` gives its name only: the text may hold secrets.
#[derive(Clone)]
pub struct Source {
    /// Its name as the user gave it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All files of one configuration, in the order they were laid over each other.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Takes a file and numbers it. There are never more than two (file and overlay).
    pub fn add(&mut self, name: &str, path: &Path, text: &str) -> u16 {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        self.files.push(Source { name: name.to_owned(), path: path.to_owned(), text: text.to_owned() });
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// The file with this number.
    pub fn get(&self, file: u16) -> Option<&Source> {
        self.files.get(usize::from(file))
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// The text a span covers, as written (quotes included); empty for no place.
    pub fn raw(&self, span: Span) -> &str {
        if !span.is_written() {
            return "";
        }
        let start = span.start as usize;
        self.get(span.file)
            .and_then(|source| source.text.get(start..start.saturating_add(span.len as usize)))
            .unwrap_or("")
    }

    /// `file:line`, for notes about where a value comes from.
    pub fn place(&self, span: Span) -> String {
        match self.get(span.file) {
            Some(source) if span.is_written() => format!("{}:{}", source.name, span.line),
            _ => "default".to_owned(),
        }
    }

    /// The span of `value[at..at + len]` inside the scalar `value` written at `span`.
    ///
    /// Exact when the value stands in the file letter by letter; where escapes or folding changed it, the
    /// whole scalar is the answer.
    pub fn inside(&self, span: Span, value: &str, at: usize, len: usize) -> Span {
        let raw = self.raw(span);
        let Some(offset) = (!value.is_empty()).then(|| raw.find(value)).flatten() else { return span };
        let Some(before) = raw.get(..offset.saturating_add(at)) else { return span };
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = match before.rfind('\n') {
            None => (span.line, span.column.saturating_add(small(before.chars().count()))),
            Some(newline) => (
                span.line.saturating_add(small(before.matches('\n').count())),
                small(before[newline + 1..].chars().count() + 1),
            ),
        };
        Span { file: span.file, line, column, start: span.start + small(before.len()), len: small(len) }
    }
}
