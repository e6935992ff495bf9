//! A text that is sent to a target. It may hold a password, so it is never shown.

use std::fmt;
use std::ops::RangeInclusive;

use lifesign_config::{Cx, Decode, Limited, Node};
use serde_json::Value;

/// Longest payload, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024;

/// What is sent, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payload(String);

impl Payload {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Decode for Payload {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        String::decode(node, cx).map(Self::new)
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
        Some(self.0.len())
    }

    fn within(limits: &RangeInclusive<usize>) -> String {
        format!("{} to {} bytes long", limits.start(), limits.end())
    }

    fn limit_schema(schema: &mut Value, limits: &RangeInclusive<usize>) {
        String::limit_schema(schema, limits);
    }
}
