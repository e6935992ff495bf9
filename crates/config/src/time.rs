//! Durations as people write them: `5s`, `1m30s`, `10s..5m`, `3 per 10m`. A bare number is refused, because
//! nobody remembers whether it was seconds or milliseconds.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub use lifesign_core::duration::{MAX_DURATION, parse_duration, write_duration};
use serde_json::{Value as Json, json};

use crate::decode::{Decode, Limited};
use crate::fields::Cx;
use crate::node::{Node, Value};

fn decode_duration(node: &Node, what: &str, cx: &mut Cx) -> Option<Duration> {
    let parsed = node.text().and_then(parse_duration);
    if parsed.is_none() {
        let reported = cx.expected(node, what);
        if let Value::Int(number) = node.value
            && number > 0
        {
            reported.hint(format!("write `{number}s` for seconds or `{number}ms` for milliseconds"));
        } else {
            reported.hint("whole numbers with d, h, m, s, ms, large units first");
        }
    }
    parsed
}

/// A positive duration.
impl Decode for Duration {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let duration = decode_duration(node, &Self::what(), cx)?;
        if duration.is_zero() {
            cx.error(node.span, "this duration must be longer than nothing").hint("such as `5s`");
            return None;
        }
        Some(duration)
    }

    fn what() -> String {
        "a duration such as `5s` or `1m30s`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/duration" })
    }
}

impl Limited for Duration {
    type Measure = Self;

    fn measure(&self) -> Option<Self> {
        Some(*self)
    }

    fn within(limits: &RangeInclusive<Self>) -> String {
        format!("between {} and {}", write_duration(*limits.start()), write_duration(*limits.end()))
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<Self>) {
        schema["$comment"] = json!(Self::within(limits));
    }
}

/// A wait: a duration that may be `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wait(pub Duration);

impl Decode for Wait {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        decode_duration(node, &Self::what(), cx).map(Self)
    }

    fn what() -> String {
        "a duration such as `30s` or `0s`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/duration" })
    }
}

/// Two durations, `10s..5m`; the first is not above the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationRange {
    /// The shorter.
    pub min: Duration,
    /// The longer.
    pub max: Duration,
}

impl Decode for DurationRange {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let ends = node
            .text()
            .and_then(|text| text.split_once(".."))
            .and_then(|(min, max)| Some((parse_duration(min.trim())?, parse_duration(max.trim())?)));
        let Some((min, max)) = ends else {
            cx.expected(node, &Self::what());
            return None;
        };
        if min.is_zero() {
            cx.error(node.span, "the first duration must be longer than nothing").hint("such as `1s..5m`");
            return None;
        }
        if min > max {
            let (min, max) = (write_duration(min), write_duration(max));
            cx.error(node.span, format!("{min} is longer than {max}"))
                .hint(format!("turn them round: `{max}..{min}`"));
            return None;
        }
        Some(Self { min, max })
    }

    fn what() -> String {
        "two durations such as `10s..5m`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/duration_range" })
    }
}

impl fmt::Display for DurationRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", write_duration(self.min), write_duration(self.max))
    }
}

/// So many times within so long: `3 per 10m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many, 1 to 1000.
    pub count: u32,
    /// Within how long.
    pub window: Duration,
}

impl Decode for Budget {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let parts = node
            .text()
            .and_then(|text| text.split_once(" per "))
            .and_then(|(count, window)| Some((count.trim().parse().ok()?, parse_duration(window.trim())?)))
            .filter(|(count, window): &(u32, Duration)| (1..=1000).contains(count) && !window.is_zero());
        let Some((count, window)) = parts else {
            cx.expected(node, &Self::what()).hint("a count from 1 to 1000, then a duration");
            return None;
        };
        Some(Self { count, window })
    }

    fn what() -> String {
        "a budget such as `3 per 10m`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/budget" })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.count, write_duration(self.window))
    }
}
