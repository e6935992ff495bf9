//! Who is told: receivers, and routes from alerts to receivers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::decode::{Decode, Located};
use crate::fields::{Cx, Fields};
use crate::kind::Kind;
use crate::nearest::nearest;
use crate::node::{Node, Value};
use crate::problem::shorten;
use crate::record::Record;
use crate::source::Span;
use crate::time::Wait;
use crate::{record, words};

/// The language of a receiver's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
}

words!(Language { English = "en", Chinese = "zh" });

impl Language {
    /// Its tag: `en`, `zh`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }
}

record! {
    /// The keys of a receiver beside its kind.
    pub struct ReceiverKeys {
        /// Its name, unique.
        name: Located<String> [1..=64],
        /// The language of its messages.
        lang: Language = "en",
    }
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Receiver<R> {
    /// Its name and language.
    pub keys: ReceiverKeys,
    /// The key that stood before it: `webhook`.
    pub kind: &'static str,
    /// How it is reached.
    pub target: R,
}

impl<R> Receiver<R> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.keys.name
    }

    pub(crate) fn decode(node: &Node, kinds: &[Kind<R>], cx: &mut Cx) -> Option<Self> {
        let names = || kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        let mut fields = Fields::of(node, "a map with the keys of a receiver", cx)?;
        let keys = ReceiverKeys::from_fields(&mut fields, cx);
        let mut found = Vec::new();
        for kind in kinds {
            found.extend(fields.take(kind.name).map(|entry| (kind, entry)));
        }
        let target = match found.as_slice() {
            [] => {
                // A key that is no kind is the better place to point at than the receiver as a whole.
                let unknown = unknown_kind(node);
                match unknown {
                    Some(entry) if nearest(&entry.key, kinds.iter().map(|kind| kind.name)).is_none() => {
                        cx.error(
                            entry.key_span,
                            format!("unknown receiver kind `{}`", shorten(&entry.key, 40)),
                        )
                        .hint(format!("available: {}", names()));
                        return None;
                    }
                    Some(_) => {}
                    None => cx
                        .error(Span { len: 1, ..node.span }, "this receiver does not say how it is reached")
                        .hint(format!("one of {}", names())),
                }
                None
            }
            [(kind, entry)] => Fields::of(&entry.node, "a map", cx).and_then(|mut fields| {
                let target = (kind.decode)(&mut fields, cx);
                fields.finish(cx);
                target.map(|target| (kind.name, target))
            }),
            [(first, _), (_, second), ..] => {
                cx.error(second.key_span, format!("this receiver is a `{}` already", first.name))
                    .hint("write a receiver of its own");
                return None;
            }
        };
        fields.finish(cx);
        let (keys, (kind, target)) = (keys?, target?);
        Some(Self { keys, kind, target })
    }

    pub(crate) fn schema(kinds: &[Kind<R>]) -> Json {
        let of_kind = |kind: &Kind<R>| {
            let mut schema = ReceiverKeys::schema();
            schema["description"] = json!(format!("A receiver of the kind `{}`.", kind.name));
            schema["properties"][kind.name] = (kind.schema)();
            for list in ["required", "x-order"] {
                if let Some(keys) = schema[list].as_array_mut() {
                    keys.push(json!(kind.name));
                }
            }
            schema
        };
        json!({ "anyOf": kinds.iter().map(of_kind).collect::<Vec<_>>() })
    }
}

/// The first key of a receiver that is neither its name nor its language.
fn unknown_kind(node: &Node) -> Option<&crate::node::Entry> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key != "name" && entry.key != "lang"),
        _ => None,
    }
}

/// Labels that alerts have.
pub const LABELS: [&str; 5] = ["alertname", "service", "host", "reason", "severity"];

record! {
    /// A way from alerts to receivers. Every matching route is taken.
    pub struct Route {
        /// Labels the alert must have; a route without takes all. Labels: `alertname`, `service`, `host`, `reason`, `severity`.
        matches as "match": BTreeMap<String, String> = {},
        /// Who is told.
        receivers: Vec<Located<String>> [1..=100],
        /// Labels whose values make one group of alerts; a group is told of together.
        group_by: Vec<String> [0..=5] = ["service"],
        /// Wait before the first notification of a group, for others to join.
        group_wait: Wait = "0s",
        /// Wait before telling of new alerts in a group already told of.
        group_interval: Duration = "5m",
        /// Wait before saying the same again.
        repeat_interval: Duration = "4h",
    }
    check Route::check
}

impl Route {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if let Some(Value::Map(entries)) = node.get("match").map(|node| &node.value) {
            for entry in entries {
                label(&entry.key, entry.key_span, cx);
                if entry.key == "severity" {
                    lifesign_core::model::Severity::decode(&entry.node, cx);
                }
            }
        }
        if let Some(Value::List(items)) = node.get("group_by").map(|node| &node.value) {
            for item in items {
                label(item.text().unwrap_or_default(), item.span, cx);
            }
        }
        if self.repeat_interval < self.group_interval {
            let span = if node.get("repeat_interval").is_some() {
                node.at("repeat_interval")
            } else {
                node.at("group_interval")
            };
            cx.error(span, "`repeat_interval` is shorter than `group_interval`")
                .hint("a group is looked at once in a `group_interval`");
        }
    }
}

fn label(name: &str, span: Span, cx: &mut Cx) {
    if !LABELS.contains(&name) {
        let hint = match nearest(name, LABELS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("labels: {}", LABELS.join(", ")),
        };
        cx.error(span, format!("no alert has the label `{}`", shorten(name, 60))).hint(hint);
    }
}
