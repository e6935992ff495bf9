//! A text that is never shown: not in logs, not in errors, not by `Debug`.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};

use crate::decode::{Decode, Limited};
use crate::fields::Cx;
use crate::node::{Node, Value};

/// A secret. Only [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Name the place that needs it; never format what this gives.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Decode for Secret {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        mask_all(node, cx);
        match &node.value {
            Value::Text(text) if !text.is_empty() => {
                if !node.secret && node.span.is_written() {
                    cx.warn(node.span, "a secret is written out in this file")
                        .hint("`${env:NAME}` or `${file:PATH}` keeps it elsewhere");
                }
                Some(Self(text.clone()))
            }
            // What stands there is not named: it may be the secret, without its quotes.
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                cx.error(node.span, "expected a text").hint("put it in quotes");
                None
            }
            Value::Text(_) | Value::Null => {
                cx.error(node.span, format!("expected {}, found nothing", Self::what()));
                None
            }
            Value::List(_) | Value::Map(_) => {
                cx.expected(node, &Self::what());
                None
            }
        }
    }

    fn what() -> String {
        "a secret such as `${env:NAME}` or `${file:PATH}`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/secret" })
    }
}

impl Limited for Secret {
    type Measure = usize;

    fn measure(&self) -> Option<usize> {
        Some(self.0.chars().count())
    }

    fn within(limits: &RangeInclusive<usize>) -> String {
        format!("{} to {} characters long", limits.start(), limits.end())
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<usize>) {
        // Only the upper limit: a placeholder is shorter than what it stands for.
        schema["$comment"] = json!(Self::within(limits));
    }

    fn decode_within(node: &Node, limits: &RangeInclusive<usize>, cx: &mut Cx) -> Option<Self> {
        let secret = Self::decode(node, cx)?;
        let length = secret.0.chars().count();
        if limits.contains(&length) {
            return Some(secret);
        }
        cx.error(node.span, format!("this secret has {length} characters"))
            .hint(format!("must be {}", Self::within(limits)));
        None
    }
}

/// Whatever stands where a secret belongs is treated as one.
fn mask_all(node: &Node, cx: &mut Cx) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| mask_all(item, cx)),
        Value::Map(entries) => entries.iter().for_each(|entry| mask_all(&entry.node, cx)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => cx.mask(node.span),
    }
}

/// A text that may hold a secret, such as an argument or an environment variable. It may be written out without
/// a warning; `Debug` shows it only when it came from no placeholder and stands under no key that sounds secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Quiet {
    text: String,
    secret: bool,
}

impl Quiet {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The text when it is no secret, else `***`.
    pub fn shown(&self) -> &str {
        if self.secret { "***" } else { &self.text }
    }

    /// Another text with the same secrecy.
    pub(crate) fn with(&self, text: String) -> Self {
        Self { text, secret: self.secret }
    }
}

impl fmt::Debug for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.shown(), f)
    }
}

impl Decode for Quiet {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let secret = node.secret || cx.masks().covers(node.span);
        if secret && node.text().is_none() {
            cx.error(node.span, "expected a text").hint("put it in quotes");
            return None;
        }
        String::decode(node, cx).map(|text| Self { text, secret })
    }

    fn what() -> String {
        String::what()
    }

    fn schema() -> Json {
        String::schema()
    }
}
