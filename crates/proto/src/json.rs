//! JSON read in two steps: first whether it is JSON at all, then value by value from its source text.
//!
//! `serde_json` alone would not do: read into a struct it reports one error, read into a map it drops
//! duplicate keys, and it calls `1e400` malformed although the grammar allows it. [`RawValue`] keeps the
//! text of each value, so that we decide what a number or a repeated key means.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a body is not JSON. Answered with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct Malformed {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What was expected there.
    pub reason: String,
}

/// What a value is, told by its first byte. Only for values that have passed [`parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Kind {
    pub(crate) fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        })
    }
}

/// The one value that `body` is. A byte-order mark before it is passed over (RFC 8259 §8.1).
pub(crate) fn parse(body: &[u8]) -> Result<&RawValue, Malformed> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = String::from_utf8_lossy(body.get(..error.valid_up_to()).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Malformed { line, column, reason: "not UTF-8; a JSON body is sent as UTF-8".to_owned() }
    })?;
    serde_json::from_str(text).map_err(|error| located(text, &error))
}

fn located(text: &str, error: &serde_json::Error) -> Malformed {
    let line = error.line().max(1);
    // serde_json counts bytes and people count characters.
    let bytes = text.split('\n').nth(line - 1).unwrap_or_default().as_bytes();
    let until = bytes.get(..error.column().min(bytes.len())).unwrap_or_default();
    let column = String::from_utf8_lossy(until).chars().count().max(1);
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let reason = match message {
        _ if text.trim().is_empty() => "the body is empty; expected a heartbeat object or an array of them",
        "trailing characters" => "expected the end of the body after the first value",
        "trailing comma" => "expected another value after the comma",
        "key must be a string" => "expected a key in double quotes",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "a control character in a string must be escaped, a newline as \\n"
        }
        "EOF while parsing a value" => "the body ends where a value was expected",
        "EOF while parsing an object" => "the body ends inside an object; expected `}`",
        "EOF while parsing a list" => "the body ends inside an array; expected `]`",
        "EOF while parsing a string" => "the body ends inside a string; expected `\"`",
        other => other,
    };
    Malformed { line, column, reason: reason.to_owned() }
}

/// The elements of an array; nothing for any other value.
pub(crate) fn elements(raw: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// The members of an object in their order, repeated keys included; `None` when a key is no Unicode text.
pub(crate) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    serde_json::Deserializer::from_str(raw.get()).deserialize_map(Members).ok()
}

/// The text of a string; `None` when it is no string or no Unicode text (half of a surrogate pair).
pub(crate) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The value of a number; infinite when it is too large for a double.
pub(crate) fn number(raw: &RawValue) -> Option<f64> {
    if Kind::of(raw) == Kind::Number { raw.get().parse().ok() } else { None }
}

/// `pointer` with one more step, escaped as RFC 6901 §3 asks.
pub(crate) fn step(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", cut(key).replace('~', "~0").replace('/', "~1"))
}

/// `text`, cut where it gets too long to be repeated in an error.
pub(crate) fn cut(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
