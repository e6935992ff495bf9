//! From a node to a value: [`Decode`] for plain types, lists, maps and options.
//!
//! The same trait gives the JSON Schema, so that what the schema says and what the decoder takes are written
//! side by side.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::ops::{Deref, RangeInclusive};
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::fields::Cx;
use crate::node::{Node, Value};
use crate::source::Span;

/// A type that can be read from a configuration.
pub trait Decode: Sized {
    /// Reads it. `None`: it is wrong, and at least one error has been reported.
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self>;

    /// What is expected, with an example: `a duration such as 5s`. For messages.
    fn what() -> String;

    /// Its JSON Schema (draft 2020-12). May refer to [`crate::schema::DEFINITIONS`] by `#/$defs/NAME`.
    fn schema() -> Json;

    /// The value when the key is not written; `None`: the key is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// A type whose values can be held within limits by [`record!`](macro@crate::record): `rise: u32 [1..=100]`.
pub trait Limited: Decode {
    /// What is measured: the number itself, a length, a duration.
    type Measure: PartialOrd + Copy;

    /// Measures a value; `None`: there is nothing to measure.
    fn measure(&self) -> Option<Self::Measure>;

    /// The limits in words: `between 1 and 100`.
    fn within(limits: &RangeInclusive<Self::Measure>) -> String;

    /// Adds the limits to [`Decode::schema`].
    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<Self::Measure>);

    /// Reads a value and holds it to the limits.
    fn decode_within(node: &Node, limits: &RangeInclusive<Self::Measure>, cx: &mut Cx) -> Option<Self> {
        let value = Self::decode(node, cx)?;
        if value.measure().is_none_or(|measure| limits.contains(&measure)) {
            return Some(value);
        }
        cx.error(node.span, format!("{} is out of bounds", node.found()))
            .hint(format!("must be {}", Self::within(limits)));
        None
    }
}

/// A value that remembers where it was written. Compares and shows like the value alone.
#[derive(Clone, Copy)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Debug> Debug for Located<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Display> Display for Located<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Decode> Decode for Located<T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::decode(node, cx).map(|value| Self { value, span: node.span })
    }

    fn what() -> String {
        T::what()
    }

    fn schema() -> Json {
        T::schema()
    }

    fn absent() -> Option<Self> {
        T::absent().map(|value| Self { value, span: Span::NONE })
    }
}

impl<T: Limited> Limited for Located<T> {
    type Measure = T::Measure;

    fn measure(&self) -> Option<T::Measure> {
        self.value.measure()
    }

    fn within(limits: &RangeInclusive<T::Measure>) -> String {
        T::within(limits)
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<T::Measure>) {
        T::limit_schema(schema, limits);
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::decode(node, cx).map(Some)
    }

    fn what() -> String {
        T::what()
    }

    fn schema() -> Json {
        T::schema()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Limited> Limited for Option<T> {
    type Measure = T::Measure;

    fn measure(&self) -> Option<T::Measure> {
        self.as_ref().and_then(T::measure)
    }

    fn within(limits: &RangeInclusive<T::Measure>) -> String {
        T::within(limits)
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<T::Measure>) {
        T::limit_schema(schema, limits);
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::decode(node, cx).map(Self::new)
    }

    fn what() -> String {
        T::what()
    }

    fn schema() -> Json {
        T::schema()
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Value::List(items) = &node.value else {
            cx.expected(node, &Self::what());
            return None;
        };
        // Every item is decoded, so that every error is found.
        let decoded: Vec<Option<T>> = items.iter().map(|item| T::decode(item, cx)).collect();
        decoded.into_iter().collect()
    }

    fn what() -> String {
        format!("a list, each item {}", T::what())
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Decode> Limited for Vec<T> {
    type Measure = usize;

    fn measure(&self) -> Option<usize> {
        Some(self.len())
    }

    fn within(limits: &RangeInclusive<usize>) -> String {
        format!("{} to {} items", limits.start(), limits.end())
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<usize>) {
        schema["minItems"] = json!(limits.start());
        schema["maxItems"] = json!(limits.end());
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            cx.expected(node, &Self::what());
            return None;
        };
        let decoded: Vec<Option<(String, T)>> = entries
            .iter()
            .map(|entry| T::decode(&entry.node, cx).map(|value| (entry.key.clone(), value)))
            .collect();
        decoded.into_iter().collect()
    }

    fn what() -> String {
        format!("a map, each value {}", T::what())
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

impl Decode for bool {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match (&node.value, node.secret) {
            (Value::Bool(value), _) => Some(*value),
            (Value::Text(text), true) if text == "true" => Some(true),
            (Value::Text(text), true) if text == "false" => Some(false),
            _ => {
                cx.expected(node, &Self::what());
                None
            }
        }
    }

    fn what() -> String {
        "`true` or `false`".to_owned()
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, { "$ref": "#/$defs/placeholder" }] })
    }
}

/// A text. Numbers are not taken for texts: `1.10` and `1.1` would be the same.
impl Decode for String {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                cx.expected(node, "a text").hint("put it in quotes");
                None
            }
            _ => {
                cx.expected(node, "a text");
                None
            }
        }
    }

    fn what() -> String {
        "a text".to_owned()
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

impl Limited for String {
    type Measure = usize;

    fn measure(&self) -> Option<usize> {
        Some(self.chars().count())
    }

    fn within(limits: &RangeInclusive<usize>) -> String {
        format!("{} to {} characters long", limits.start(), limits.end())
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<usize>) {
        schema["minLength"] = json!(limits.start());
        schema["maxLength"] = json!(limits.end());
    }
}

macro_rules! whole_numbers {
    ($($int:ty),+) => {$(
        impl Decode for $int {
            fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
                let number = match &node.value {
                    Value::Int(number) => Some(*number),
                    // A placeholder always gives a text.
                    Value::Text(text) if node.secret => text.parse::<i128>().ok(),
                    _ => None,
                };
                let Some(number) = number else {
                    cx.expected(node, &Self::what());
                    return None;
                };
                let taken = Self::try_from(number).ok();
                if taken.is_none() {
                    cx.error(node.span, format!("{} is out of bounds", node.found()))
                        .hint(format!("must be {}", Self::within(&(Self::MIN..=Self::MAX))));
                }
                taken
            }

            fn what() -> String {
                "a whole number".to_owned()
            }

            fn schema() -> Json {
                json!({ "anyOf": [
                    { "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX },
                    { "$ref": "#/$defs/placeholder" },
                ] })
            }
        }

        impl Limited for $int {
            type Measure = Self;

            fn measure(&self) -> Option<Self> {
                Some(*self)
            }

            fn within(limits: &RangeInclusive<Self>) -> String {
                format!("between {} and {}", limits.start(), limits.end())
            }

            fn limit_schema(schema: &mut Json, limits: &RangeInclusive<Self>) {
                schema["anyOf"][0]["minimum"] = json!(limits.start());
                schema["anyOf"][0]["maximum"] = json!(limits.end());
            }
        }
    )+};
}

whole_numbers!(u8, u16, u32, u64, usize, i64);

impl Decode for f64 {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let number = match &node.value {
            Value::Float(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "a threshold beyond 2^53 may be rounded")]
            Value::Int(number) => Some(*number as Self),
            Value::Text(text) if node.secret => text.parse::<Self>().ok().filter(|number| number.is_finite()),
            _ => None,
        };
        if number.is_none() {
            cx.expected(node, &Self::what());
        }
        number
    }

    fn what() -> String {
        "a number".to_owned()
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "number" }, { "$ref": "#/$defs/placeholder" }] })
    }
}

impl Limited for f64 {
    type Measure = Self;

    fn measure(&self) -> Option<Self> {
        Some(*self)
    }

    fn within(limits: &RangeInclusive<Self>) -> String {
        format!("between {} and {}", limits.start(), limits.end())
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<Self>) {
        schema["anyOf"][0]["minimum"] = json!(limits.start());
        schema["anyOf"][0]["maximum"] = json!(limits.end());
    }
}

/// A path. A relative one starts at the folder of the configuration file.
impl Decode for PathBuf {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match node.text() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Some(cx.resolve(text)),
            _ => {
                cx.expected(node, &Self::what());
                None
            }
        }
    }

    fn what() -> String {
        "a path such as `./data`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/path" })
    }
}

/// An address to listen on: numbers, not a name.
impl Decode for SocketAddr {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let address = node.text().and_then(|text| text.parse().ok());
        if address.is_none() {
            cx.expected(node, &Self::what());
        }
        address
    }

    fn what() -> String {
        "an IP address and a port such as `127.0.0.1:7700` or `[::1]:7700`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/socket_address" })
    }
}

/// Reads one of several words. For enums whose values are words; see [`words!`](macro@crate::words).
pub fn word<T: Copy>(node: &Node, words: &[(&'static str, T)], cx: &mut Cx) -> Option<T> {
    let text = node.text();
    if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == text) {
        return Some(*value);
    }
    let near = text
        .filter(|_| !node.secret)
        .and_then(|text| crate::nearest::nearest(text, words.iter().map(|(word, _)| *word)));
    let reported = cx.expected(node, &one_of(words.iter().map(|(word, _)| *word)));
    if let Some(near) = near {
        reported.hint(format!("did you mean `{near}`?"));
    }
    None
}

/// `one of a, b, c` for messages.
pub fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [word] => word.clone(),
        [first, second] => format!("{first} or {second}"),
        _ => format!("one of {}", words.join(", ")),
    }
}

/// The schema of one of several words.
pub fn word_schema<'w>(words: impl IntoIterator<Item = &'w str>) -> Json {
    let words: Vec<_> = words.into_iter().collect();
    json!({ "anyOf": [{ "enum": words }, { "$ref": "#/$defs/placeholder" }] })
}

/// Makes an enum of words readable: `words! { Format { Json = "json", Plain = "plain" } }`.
#[macro_export]
macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $crate::Decode for $type {
            fn decode(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                $crate::decode::word(node, &[$(($word, Self::$variant)),+], cx)
            }

            fn what() -> String {
                $crate::decode::one_of([$($word),+])
            }

            fn schema() -> $crate::serde_json::Value {
                $crate::decode::word_schema([$($word),+])
            }
        }
    };
}
