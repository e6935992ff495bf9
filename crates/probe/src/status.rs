//! Which HTTP status codes count as a good answer: `200`, `"2xx"`, `"200..399"`, or a list of these.

use std::fmt;
use std::ops::RangeInclusive;

use lifesign_config::{Cx, Decode, Node, Value as Written};
use serde_json::{Value, json};

/// A set of status codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

impl Default for Statuses {
    /// 200 to 399: the service answers, if only by pointing elsewhere.
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl Statuses {
    /// Reads the forms of one list; an empty one is an error.
    pub(crate) fn parse<'a>(forms: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let ranges = forms.into_iter().map(range).collect::<Result<Vec<_>, _>>()?;
        if ranges.is_empty() {
            return Err("an empty list takes no status at all".into());
        }
        Ok(Self(ranges))
    }

    /// Whether `status` is in the set.
    pub(crate) fn take(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn range(form: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{form:?} is no HTTP status; expected 200, \"2xx\" or \"200..399\"");
    let code = |text: &str| text.trim().parse().ok().filter(|code| (100..=599).contains(code));
    let class = |text: &str| {
        let first = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"))?;
        first.parse::<u16>().ok().filter(|class| (1..=5).contains(class))
    };
    if let Some(class) = class(form) {
        return Ok(class * 100..=class * 100 + 99);
    }
    match form.split_once("..") {
        None => code(form).map(|code| code..=code),
        Some((first, last)) => match (code(first), code(last.trim_start_matches('='))) {
            (Some(first), Some(last)) if first <= last => Some(first..=last),
            _ => None,
        },
    }
    .ok_or_else(wrong)
}

impl Decode for Statuses {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let forms: Option<Vec<String>> = match &node.value {
            Written::List(items) => items.iter().map(form).collect(),
            _ => form(node).map(|form| vec![form]),
        };
        let Some(forms) = forms else {
            cx.expected(node, &Self::what());
            return None;
        };
        match Self::parse(forms.iter().map(String::as_str)) {
            Ok(statuses) => Some(statuses),
            Err(why) => {
                cx.error(node.span, why);
                None
            }
        }
    }

    fn what() -> String {
        "HTTP statuses such as `200`, `\"2xx\"`, `\"200..399\"` or `[200, 204]`".to_owned()
    }

    fn schema() -> Value {
        let one = json!({ "type": ["integer", "string"], "minimum": 100, "maximum": 599 });
        json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

fn form(node: &Node) -> Option<String> {
    match &node.value {
        Written::Int(code) => Some(code.to_string()),
        Written::Text(text) => Some(text.clone()),
        _ => None,
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}..{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_is_written_as_codes_classes_and_ranges() {
        let set = Statuses::parse(["200", "204", "3xx", "401..403"]).unwrap();
        assert_eq!(set.to_string(), "200, 204, 300..399, 401..403");
        for good in [200, 204, 300, 399, 401, 403] {
            assert!(set.take(good), "{good}");
        }
        for bad in [201, 400, 404, 500] {
            assert!(!set.take(bad), "{bad}");
        }
        assert!(Statuses::default().take(302) && !Statuses::default().take(400));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for bad in ["", "99", "600", "6xx", "x", "300..200", "200..", "2x"] {
            assert!(Statuses::parse([bad]).is_err(), "{bad}");
        }
        assert!(Statuses::parse([]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_set_that_reads_back_or_an_error(text in "[0-9x.]{0,9}|\\PC{0,9}") {
            if let Ok(set) = Statuses::parse([text.as_str()]) {
                prop_assert_eq!(Statuses::parse(set.to_string().split(", ")), Ok(set));
            }
        }
    }
}
