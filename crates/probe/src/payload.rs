//! A text that is sent to a target, or looked for in its answer. It may hold a password, so it is never shown.

use std::fmt;
use std::ops::RangeInclusive;

use lifesign_config::{Cx, Decode, Limited, Node};
use serde_json::Value;

/// Longest payload, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024;

/// Longest text to be looked for, in bytes; searching costs the product of both lengths at worst.
pub(crate) const MAX_NEEDLE: usize = 1024;

/// What is sent, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    text: String,
    /// Whether part of it came out of a placeholder. Then an answer may repeat a secret that we could not
    /// recognise in it.
    pub(crate) secret: bool,
}

impl Payload {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.text.len())
    }
}

impl Decode for Payload {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        String::decode(node, cx).map(|text| Self { text, secret: node.secret })
    }

    fn what() -> String {
        String::what()
    }

    fn schema() -> Value {
        String::schema()
    }
}

impl Limited for Payload {
    type Measure = usize;

    fn measure(&self) -> Option<usize> {
        Some(self.text.len())
    }

    fn within(limits: &RangeInclusive<usize>) -> String {
        format!("{} to {} bytes long", limits.start(), limits.end())
    }

    fn limit_schema(schema: &mut Value, limits: &RangeInclusive<usize>) {
        String::limit_schema(schema, limits);
    }
}
