//! From bytes to a tree: YAML and JSON through one parser, so both have positions and the same limits.
//!
//! JSON is nearly a subset of YAML; a file that ends in `.json` is additionally held to JSON's own grammar.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use crate::fields::Cx;
use crate::node::{Entry, Node, Value};
use crate::problem::sounds_secret;
use crate::source::{Source, Span};

/// Largest configuration file, in bytes. A thousand services fit into a quarter of it.
pub const MAX_FILE: usize = 4 * 1024 * 1024;
/// Deepest nesting of lists and maps. The deepest key of the guide stands at level seven.
pub const MAX_DEPTH: usize = 48;
/// Most values in one file.
pub const MAX_NODES: usize = 200_000;
/// Most values that aliases (`*name`) and merge keys (`<<`) may add, so that a few lines cannot become millions.
pub const MAX_ALIASED: usize = 100_000;

/// The two ways to write a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `.yaml`, `.yml`
    Yaml,
    /// `.json`
    Json,
}

impl Syntax {
    /// The syntax a file's ending stands for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads one file's bytes into a tree. `None`: it is not well-formed, and `cx` says where.
pub fn parse(name: &str, path: &Path, bytes: &[u8], syntax: Syntax, cx: &mut Cx) -> Option<Node> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let file = cx.sources.add(name, path, &valid);
            let span = cx.sources.get(file).map_or(Span::NONE, |source| place(source, file, usize::MAX));
            cx.error(span, format!("byte {:#04x} is no UTF-8", bytes[error.valid_up_to()]))
                .hint("save the file as UTF-8");
            return None;
        }
    };
    let file = cx.sources.add(name, path, text);
    let source = cx.sources.get(file)?.clone();
    if bytes.len() > MAX_FILE {
        cx.error(place(&source, file, 0), format!("the file has {} bytes", bytes.len()))
            .hint(format!("a configuration file has at most {MAX_FILE} bytes"));
        return None;
    }
    if syntax == Syntax::Json
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&source.text)
    {
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        mask_lines(&source, file, cx);
        cx.error(
            line_column(&source, file, error.line(), error.column().max(1)),
            format!("this is not JSON: {message}"),
        );
        return None;
    }
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&source.text, options()) {
        Ok(raw) => Some(Builder { file, cx }.node(raw)),
        Err(error) => {
            let error = error.without_snippet();
            let at = error.location().filter(|location| location.line() > 0);
            let span = at.map_or_else(|| place(&source, file, usize::MAX), |at| character(&source, file, at));
            mask_lines(&source, file, cx);
            cx.error(span, words(error));
            None
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        // Repeated keys come through to us, so that all of them are reported, each with the place of the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

/// What the parser found, without the place, which we show our own way.
fn words(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::AliasError { error, .. } => words(error),
        serde_saphyr::Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            "a second document begins here; a configuration is one".to_owned()
        }
        serde_saphyr::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => nested(),
        serde_saphyr::Error::Budget { .. } => {
            format!("the file is too large: at most {MAX_NODES} values, and few aliases of few anchors")
        }
        serde_saphyr::Error::AliasReplayLimitExceeded { .. } => {
            format!("aliases and `<<` add more than {MAX_ALIASED} values here")
        }
        error => match sentence(&error.render()) {
            text if text.contains("recursion limit") => nested(),
            text => text,
        },
    }
}

fn nested() -> String {
    format!("lists and maps are nested more than {MAX_DEPTH} deep here")
}

fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match line.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((place, rest)) if place.contains("column") => rest,
        _ => line,
    };
    let line = match line.rfind(" at line ") {
        Some(at) => &line[..at],
        None => line,
    };
    crate::problem::shorten(line, 200)
}

fn span(file: u16, location: Location) -> Span {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        file,
        line: small(location.line()),
        column: small(location.column()),
        start: small(location.span().byte_offset().unwrap_or(0)),
        len: small(location.span().byte_len().unwrap_or(0)),
    }
}

/// The place `at` bytes into a source, or its end.
fn place(source: &Source, file: u16, at: usize) -> Span {
    let before = source.text.get(..at).unwrap_or(&source.text);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Span {
        file,
        line: small(before.matches('\n').count() + 1),
        column: small(column),
        start: small(before.len()),
        len: 1,
    }
}

/// The place of a line and column, where the column counts characters. Errors carry no offset.
fn character(source: &Source, file: u16, at: Location) -> Span {
    let before = usize::try_from(at.line()).unwrap_or(usize::MAX).saturating_sub(1);
    let start: usize = source.text.split_inclusive('\n').take(before).map(str::len).sum();
    let column = usize::try_from(at.column()).unwrap_or(usize::MAX).saturating_sub(1);
    let line = source.text[start..].split('\n').next().unwrap_or_default();
    let offset = line.char_indices().nth(column).map_or(line.len(), |(offset, _)| offset);
    place(source, file, start + offset)
}

/// The place of a line and column, where the column counts bytes.
fn line_column(source: &Source, file: u16, line: usize, column: usize) -> Span {
    let start: usize = source.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(source.text.len());
    while !source.text.is_char_boundary(at) {
        at -= 1;
    }
    place(source, file, at)
}

/// A file that has no tree may still hold secrets on the lines that are shown: blanks out what follows a key
/// that sounds secret, up to the end of its line.
fn mask_lines(source: &Source, file: u16, cx: &mut Cx) {
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let mut from = 0;
        while let Some(colon) = line[from..].find(':').map(|at| from + at) {
            let key = line[..colon].rsplit([',', '{', '[']).next().unwrap_or_default();
            let value = colon + 1;
            if sounds_secret(key) && !line[value..].trim_start().starts_with(['{', '[']) {
                let skipped = line[value..].len() - line[value..].trim_start().len();
                let at = start + value + skipped;
                let len = line[value + skipped..].trim_end().len();
                cx.mask(Span { len: u32::try_from(len).unwrap_or(u32::MAX), ..place(source, file, at) });
                break;
            }
            from = value;
        }
        start += line.len();
    }
}

/// What the parser gives: repeated keys and all.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Int(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Int(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::Text(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Raw, E> {
                Ok(Raw::Text(value))
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// Turns the parser's tree into ours, reporting repeated keys. Depth is bounded by [`MAX_DEPTH`].
struct Builder<'c> {
    file: u16,
    cx: &'c mut Cx,
}

impl Builder<'_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        // Where an alias stands for the value, its definition is the place whose letters are wrong.
        let span = span(self.file, raw.defined);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) if value.is_finite() => Value::Float(value),
            // `.inf` and `.nan` are no numbers anybody can compare with.
            Raw::Float(_) => Value::Text(self.cx.sources.raw(span).to_owned()),
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Value::Map(self.entries(entries)),
        };
        Node { value, span, secret: false }
    }

    fn entries(&mut self, raw: Vec<(Spanned<String>, Spanned<Raw>)>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
        let mut seen = std::collections::HashMap::new();
        for (key, value) in raw {
            let key_span = span(self.file, key.defined);
            let key = key.value;
            let node = self.node(value);
            if sounds_secret(&key) && !matches!(node.value, Value::List(_) | Value::Map(_)) {
                self.cx.mask(node.span);
            }
            match seen.get(&key) {
                Some(&line) => {
                    self.cx
                        .error(
                            key_span,
                            format!("the key `{}` stands here twice", crate::problem::shorten(&key, 60)),
                        )
                        .hint(format!("first on line {line}"));
                }
                None => {
                    seen.insert(key.clone(), key_span.line);
                    entries.push(Entry { key, key_span, node });
                }
            }
        }
        entries
    }
}
