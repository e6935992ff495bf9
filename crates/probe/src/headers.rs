//! The request headers of an HTTP check, as written: `headers: { Authorization: "${env:TOKEN}" }`.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use lifesign_config::problem::sounds_secret;
use lifesign_config::{Cx, Decode, Node, Secret, Value as Written};
use serde_json::{Value, json};

/// Most headers of one check.
const MAX_HEADERS: usize = 32;

/// Headers that decide about the connection and where a message ends; they are ours to set.
const RESERVED: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING, UPGRADE];

/// Headers to send. A value that came out of a placeholder, or whose name sounds like a secret's, is marked
/// sensitive: it is never shown and goes to no other origin.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Headers(pub(crate) HeaderMap);

impl Headers {
    /// The texts that may not be shown: the sensitive values, and what follows `Bearer` or `Basic` in them.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let sensitive = self.0.values().filter(|value| value.is_sensitive());
        let texts = sensitive.filter_map(|value| value.to_str().ok());
        texts
            .flat_map(|text| [Some(text), text.split_once(' ').map(|(_, rest)| rest)])
            .flatten()
            .map(str::to_owned)
            .collect()
    }
}

impl Decode for Headers {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Written::Map(entries) = &node.value else {
            cx.expected(node, &Self::what());
            return None;
        };
        if entries.len() > MAX_HEADERS {
            cx.error(node.span, format!("{} headers are too many", entries.len()))
                .hint(format!("at most {MAX_HEADERS}"));
            return None;
        }
        let before = cx.errors();
        let mut headers = HeaderMap::new();
        for entry in entries {
            let Ok(name) = entry.key.parse::<HeaderName>() else {
                cx.error(entry.key_span, "this is no name of a header").hint("letters, digits and '-'");
                continue;
            };
            if RESERVED.contains(&name) {
                cx.error(entry.key_span, format!("the header `{name}` is set by lifesign itself"));
                continue;
            }
            if headers.contains_key(&name) {
                cx.error(entry.key_span, format!("the header `{name}` stands here twice"));
                continue;
            }
            let sensitive = entry.node.secret || sounds_secret(name.as_str()) || name == COOKIE;
            let text = if sensitive {
                Secret::decode(&entry.node, cx).map(|secret| secret.expose().to_owned())
            } else {
                String::decode(&entry.node, cx)
            };
            let Some(text) = text else { continue };
            match HeaderValue::from_str(&text) {
                Ok(mut value) => {
                    value.set_sensitive(sensitive);
                    headers.insert(name, value);
                }
                Err(_) => cx
                    .error(entry.node.span, "this cannot be the value of a header")
                    .hint("one line of visible ASCII characters"),
            }
        }
        (cx.errors() == before).then_some(Self(headers))
    }

    fn what() -> String {
        "a map from names of headers to texts such as `{ Accept: \"application/json\" }`".to_owned()
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": MAX_HEADERS })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}
