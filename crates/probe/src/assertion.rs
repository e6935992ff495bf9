//! What must stand where in a JSON body: `json: { "$.status": UP, "$.queue[0].size": [0, 1] }`.

use std::cmp::Ordering;

use lifesign_config::{Cx, Decode, Node, Value as Written};
use serde_json::{Value, json};

use crate::json_path::JsonPath;
use crate::judge::Masked;

/// Most assertions of one check.
const MAX_ASSERTIONS: usize = 64;

/// What must stand at one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assertion {
    pub(crate) path: JsonPath,
    /// One of these; never empty.
    pub(crate) any_of: Vec<Value>,
}

impl Assertion {
    /// What is wrong with `document`, if anything.
    pub(crate) fn fault(&self, document: &Value, masked: &Masked) -> Option<String> {
        let path = &self.path;
        let Some(found) = path.find(document) else {
            return Some(format!("{path} is missing"));
        };
        if self.any_of.iter().any(|wanted| is_same(found, wanted)) {
            return None;
        }
        let wanted: Vec<_> = self.any_of.iter().map(|wanted| masked.quote(wanted)).collect();
        Some(format!("{path} is {}, expected {}", masked.quote(found), wanted.join(" or ")))
    }
}

/// Equal as JSON, where `1` and `1.0` are the same number.
fn is_same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => {
            found == wanted
                || found.as_f64().zip(wanted.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
                    == Some(Ordering::Equal)
        }
        _ => found == wanted,
    }
}

/// The value of the key `json`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Assertions {
    pub(crate) all: Vec<Assertion>,
    /// Wanted texts that came out of a placeholder.
    pub(crate) secrets: Vec<String>,
}

impl Decode for Assertions {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Written::Map(entries) = &node.value else {
            cx.expected(node, &Self::what());
            return None;
        };
        if entries.len() > MAX_ASSERTIONS {
            cx.error(node.span, format!("{} assertions are too many", entries.len()))
                .hint(format!("at most {MAX_ASSERTIONS}"));
            return None;
        }
        let mut assertions = Self::default();
        let before = cx.errors();
        for entry in entries {
            let path = entry.key.parse::<JsonPath>();
            if let Err(why) = &path {
                cx.error(entry.key_span, why.clone());
            }
            let written = match &entry.node.value {
                Written::List(items) if !items.is_empty() => items.as_slice(),
                _ => std::slice::from_ref(&entry.node),
            };
            let any_of: Vec<_> = written.iter().filter_map(|node| scalar(node, cx)).collect();
            let secrets = written.iter().filter(|node| node.secret).filter_map(Node::text);
            assertions.secrets.extend(secrets.map(str::to_owned));
            assertions.all.extend(path.ok().map(|path| Assertion { path, any_of }));
        }
        (cx.errors() == before).then_some(assertions)
    }

    fn what() -> String {
        "a map from JSON paths to values such as `{ \"$.status\": UP }`".to_owned()
    }

    fn schema() -> Value {
        let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^\\$" },
            "additionalProperties": { "anyOf": [scalar, { "type": "array", "items": scalar, "minItems": 1 }] },
            "maxProperties": MAX_ASSERTIONS,
        })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

fn scalar(node: &Node, cx: &mut Cx) -> Option<Value> {
    let value = match &node.value {
        Written::Null => Some(Value::Null),
        Written::Bool(value) => Some(Value::from(*value)),
        Written::Int(number) => {
            i64::try_from(*number).map(Value::from).or_else(|_| u64::try_from(*number).map(Value::from)).ok()
        }
        Written::Float(number) => Some(Value::from(*number)),
        Written::Text(text) => Some(Value::from(text.as_str())),
        Written::List(_) | Written::Map(_) => None,
    };
    if value.is_none() {
        cx.expected(node, "a text, a number, `true`, `false`, `null`, or a list of these");
    }
    value
}
