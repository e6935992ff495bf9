//! Sizes (`64KiB`) and shares (`95%`).

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};

use crate::decode::{Decode, Limited};
use crate::fields::Cx;
use crate::node::Node;

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// A number of bytes: `64KiB`, `10MB`, `512B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Reads a whole number with a unit.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &text[digits..])?;
        text[..digits].parse::<u64>().ok()?.checked_mul(*factor).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a size in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        let (unit, factor) = fits.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Decode for Bytes {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let parsed = node.text().and_then(Self::parse);
        if parsed.is_none() {
            cx.expected(node, &Self::what()).hint("a whole number with B, kB, MB, GB, KiB, MiB or GiB");
        }
        parsed
    }

    fn what() -> String {
        "a size such as `64KiB`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/bytes" })
    }
}

impl Limited for Bytes {
    type Measure = u64;

    fn measure(&self) -> Option<u64> {
        Some(self.0)
    }

    fn within(limits: &RangeInclusive<u64>) -> String {
        format!("between {} and {}", Self(*limits.start()), Self(*limits.end()))
    }

    fn limit_schema(schema: &mut Json, limits: &RangeInclusive<u64>) {
        schema["$comment"] = json!(Self::within(limits));
    }
}

/// A share of a whole, `0%` to `100%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl Decode for Percent {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let parsed = node
            .text()
            .and_then(|text| text.strip_suffix('%'))
            .filter(|number| number.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
            .and_then(|number| number.parse::<f64>().ok())
            .filter(|number| (0.0..=100.0).contains(number));
        if parsed.is_none() {
            cx.expected(node, &Self::what()).hint("from `0%` to `100%`");
        }
        parsed.map(Self)
    }

    fn what() -> String {
        "a percentage such as `95%`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/percent" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write_in_their_own_unit() {
        for text in ["512B", "64KiB", "10MB", "1GiB"] {
            assert_eq!(Bytes::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "64", "64 KiB", "64kb", "-1B", "1.5MB", "99999999999GiB"] {
            assert_eq!(Bytes::parse(bad), None, "{bad}");
        }
        assert_eq!(Bytes(0).to_string(), "0B");
    }
}
