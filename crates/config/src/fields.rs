//! Taking a map apart key by key, so that what nobody took is known to be a mistake.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifesign_core::spec::Profile;

use crate::decode::Decode;
use crate::heartbeat::{Confirmation, Detector};
use crate::nearest::nearest;
use crate::node::{Entry, Node, Value};
use crate::problem::{Level, Masks, Problem, Report, shorten, sounds_secret};
use crate::source::{Sources, Span};

/// What decoding needs to know, and where it leaves what it finds wrong.
///
/// Decoders never stop at the first mistake: they report it here, give `None`, and the others go on.
#[derive(Debug, Default)]
pub struct Cx {
    /// The files.
    pub sources: Sources,
    /// Relative paths start here: the folder of the configuration file, absolute.
    pub folder: PathBuf,
    /// What a check or heartbeat that does not say gets.
    pub defaults: Timing,
    problems: Vec<Problem>,
    masks: Masks,
    silenced: HashSet<(u16, u32)>,
}

/// The section `defaults`, already decoded when services are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timing {
    /// Between two looks or beats.
    pub interval: Option<Duration>,
    /// Silence after which a service is suspect.
    pub timeout: Option<Duration>,
    /// Further intervals before it is judged.
    pub retries: Option<u32>,
    /// How the moment of suspicion is found, where written.
    pub detector: Option<Detector>,
    /// How long the adaptive detector asks around.
    pub profile: Option<Profile>,
    /// Whether the checks are asked at suspicion.
    pub confirm: Option<Confirmation>,
}

impl Timing {
    /// The detector of a service that says nothing: as written, else `fixed` where there is a `timeout`.
    pub fn detector(&self) -> Detector {
        self.detector.unwrap_or(if self.timeout.is_some() { Detector::Fixed } else { Detector::Adaptive })
    }
}

impl Cx {
    /// A context whose relative paths start at `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..Self::default() }
    }

    /// Reports an error; the answer takes a hint.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> Reported<'_> {
        self.report(Level::Error, span, message.into())
    }

    /// Reports a warning; the answer takes a hint.
    pub fn warn(&mut self, span: Span, message: impl Into<String>) -> Reported<'_> {
        self.report(Level::Warning, span, message.into())
    }

    /// Reports that something else should stand at `node`. `what` names it with an example:
    /// `a duration such as 5s`.
    pub fn expected(&mut self, node: &Node, what: &str) -> Reported<'_> {
        self.error(node.span, format!("expected {what}, found {}", node.found()))
    }

    /// Never shows this stretch of the sources again. A mere placeholder stays: it gives nothing away.
    pub fn mask(&mut self, span: Span) {
        let raw = self.sources.raw(span).trim_matches(['"', '\'', ' ', '\n']);
        let inner = raw.strip_prefix("${").and_then(|raw| raw.strip_suffix('}'));
        if inner.is_none_or(|inner| inner.contains(['{', '}'])) {
            self.masks.add(span);
        }
    }

    /// Drops what is reported about the value at `span` from now on: its placeholder could not be filled, and
    /// that has been said.
    pub(crate) fn silence(&mut self, span: Span) {
        if span.is_written() {
            self.silenced.insert((span.file, span.start));
        }
    }

    /// What is blanked out so far.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.level == Level::Error).count()
    }

    /// `path` as seen from the folder of the configuration file.
    pub fn resolve(&self, path: &str) -> PathBuf {
        // Without the `.` of `./data`, which would only be noise in messages.
        self.folder.join(path).components().collect()
    }

    /// Everything reported, ready to be shown.
    pub fn into_report(self) -> Report {
        Report::new(self.problems, self.sources, self.masks)
    }

    fn report(&mut self, level: Level, span: Span, message: String) -> Reported<'_> {
        if span.is_written() && self.silenced.contains(&(span.file, span.start)) {
            return Reported(None);
        }
        self.problems.push(Problem { level, span, message, hint: None });
        Reported(self.problems.last_mut())
    }
}

/// A problem just reported.
pub struct Reported<'c>(Option<&'c mut Problem>);

impl Reported<'_> {
    /// Says behind the caret what to do.
    pub fn hint(self, hint: impl Into<String>) {
        if let Some(problem) = self.0 {
            problem.hint = Some(hint.into());
        }
    }
}

/// The keys of one map while they are being taken.
#[derive(Debug)]
pub struct Fields<'n> {
    node: &'n Node,
    entries: &'n [Entry],
    taken: Vec<bool>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Opens a map. Anything else is an error that says `what` is expected: `a map with the keys of a service`.
    pub fn of(node: &'n Node, what: &str, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => {
                Some(Self { node, entries, taken: vec![false; entries.len()], known: Vec::new() })
            }
            _ => {
                cx.expected(node, what);
                None
            }
        }
    }

    /// The map itself.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// The place of a key's value, taken or not; of the map when the key is not written.
    pub fn at(&self, key: &str) -> Span {
        self.node.at(key)
    }

    /// Takes a key without decoding its value. From now on it is known.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        self.taken[index] = true;
        Some(&self.entries[index])
    }

    /// Takes a key that must be there.
    pub fn required<T: Decode>(&mut self, key: &'static str, cx: &mut Cx) -> Option<T> {
        match self.take(key) {
            Some(entry) => T::decode(&entry.node, cx),
            None => self.missing(key, &T::what(), cx),
        }
    }

    /// Reports a required key that is not there; gives `None` of whatever it would have been.
    pub fn missing<T>(&self, key: &str, what: &str, cx: &mut Cx) -> Option<T> {
        let span = Span { len: 1, ..self.node.span };
        cx.error(span, format!("the key `{key}` is missing here")).hint(format!("it takes {what}"));
        None
    }

    /// Takes a key that may be absent. `None`: it is there and wrong.
    pub fn optional<T: Decode>(&mut self, key: &'static str, cx: &mut Cx) -> Option<Option<T>> {
        match self.take(key) {
            Some(entry) => T::decode(&entry.node, cx).map(Some),
            None => Some(None),
        }
    }

    /// Takes a key that has a default. `None`: it is there and wrong.
    pub fn or<T: Decode>(&mut self, key: &'static str, default: T, cx: &mut Cx) -> Option<T> {
        self.optional(key, cx).map(|value| value.unwrap_or(default))
    }

    /// A key that will exist in a later version: an error when it is written.
    pub fn not_yet(&mut self, key: &'static str, cx: &mut Cx) {
        let entry = self.take(key);
        // It is no key to be suggested.
        self.known.pop();
        if let Some(entry) = entry {
            cx.error(entry.key_span, format!("`{key}` is not available yet in this version of lifesign"));
        }
    }

    /// Takes whatever is left, for maps whose keys the user makes up.
    pub fn rest(&mut self) -> impl Iterator<Item = &'n Entry> + use<'n> {
        let left: Vec<_> = self
            .entries
            .iter()
            .zip(&self.taken)
            .filter(|(_, taken)| !**taken)
            .map(|(entry, _)| entry)
            .collect();
        self.taken.fill(true);
        left.into_iter()
    }

    /// Reports every key that nobody took, with the nearest known one.
    pub fn finish(self, cx: &mut Cx) {
        for (entry, _) in self.entries.iter().zip(&self.taken).filter(|(_, taken)| !**taken) {
            let near = nearest(&entry.key, self.known.iter().copied());
            if near.is_some_and(sounds_secret) {
                cx.mask(entry.node.span);
            }
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.known.is_empty() => "no key is allowed here".to_owned(),
                None => format!("known here: {}", self.known.join(", ")),
            };
            cx.error(entry.key_span, format!("unknown key `{}`", shorten(&entry.key, 60))).hint(hint);
        }
    }
}
