//! The tree a file is read into: plain values, each knowing where it stands.

use std::fmt;

use crate::source::Span;

/// One value with its place. `Debug` says nothing of a secret.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Where.
    pub span: Span,
    /// Whether it came out of `${env:…}` or `${file:…}`: never echoed.
    pub secret: bool,
}

/// A value as written, before anybody says what it means.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing (`key:`, `~`, `null`).
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number; always finite.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// A value that stands in no file.
    pub fn unwritten(value: Value) -> Self {
        Self { value, span: Span::NONE, secret: false }
    }

    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// A key with its value, when this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The place of the value of `key`; of the whole when the key is not written.
    pub fn at(&self, key: &str) -> Span {
        self.get(key).map_or(self.span, |node| node.span)
    }

    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What stands here, in words for an error message. Says nothing of a secret.
    pub fn found(&self) -> String {
        match &self.value {
            Value::Text(_) if self.secret => "a text from a placeholder".to_owned(),
            Value::Text(text) if text.is_empty() => "an empty text".to_owned(),
            Value::Text(text) => format!("the text `{}`", crate::problem::shorten(text, 40)),
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Int(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(items) if items.len() > 1 => format!("a list of {}", items.len()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret { f.write_str("***") } else { self.value.fmt(f) }
    }
}

impl From<&serde_json::Value> for Node {
    /// Defaults of [`record!`](macro@crate::record) are written as JSON.
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        Self::unwritten(match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i128() {
                Some(int) => Value::Int(int),
                None => Value::Float(number.as_f64().unwrap_or(0.0)),
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from).collect()),
            Json::Object(map) => Value::Map(
                map.iter()
                    .map(|(key, json)| Entry { key: key.clone(), key_span: Span::NONE, node: json.into() })
                    .collect(),
            ),
        })
    }
}
