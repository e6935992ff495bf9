//! The condition of a rule: `cpu > 90`. Metric, comparison, number.

use lifesign_core::spec::Comparison;
use serde_json::{Value as Json, json};

use crate::decode::Decode;
use crate::fields::Cx;
use crate::node::Node;

/// Longest name of a metric, in bytes.
pub const MAX_METRIC: usize = 128;

/// A condition over a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// As written, with single spaces.
    pub text: String,
    /// The metric; `host_…` is the host's.
    pub metric: String,
    /// The comparison.
    pub comparison: Comparison,
    /// The number; finite.
    pub threshold: f64,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    (">=", Comparison::GreaterOrEqual),
    ("<=", Comparison::LessOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
];

/// What is wrong with a condition, and with which of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// First byte.
    pub at: usize,
    /// How many.
    pub len: usize,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// The first part that is wrong, with its place in `text`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |at: usize, len: usize, message: String, hint: &str| {
            Err(Fault {
                at,
                len: len.max(1).min(text.len().saturating_sub(at)),
                message,
                hint: hint.to_owned(),
            })
        };
        const FORM: &str = "such as `cpu > 90`";

        let start = text.len() - text.trim_start().len();
        let length = text[start..].bytes().take_while(|b| is_name_byte(*b)).count();
        let metric = &text[start..start + length];
        if !metric.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':') {
            let len = text[start..].chars().next().map_or(0, char::len_utf8);
            return fault(start, len.max(length), "expected the name of a metric here".to_owned(), FORM);
        }
        if metric.len() > MAX_METRIC {
            return fault(
                start,
                length,
                format!("this name has {length} characters"),
                "a metric's has at most 128",
            );
        }

        let at = skip_spaces(text, start + length);
        let Some((sign, comparison)) = COMPARISONS.iter().find(|(sign, _)| text[at..].starts_with(sign))
        else {
            let len = text[at..].find(|c: char| c == ' ' || c.is_ascii_digit()).unwrap_or(text.len() - at);
            let (message, hint) = match text[at..].chars().next() {
                None => (
                    "the condition ends after the metric".to_owned(),
                    "a comparison and a number are missing",
                ),
                Some('=') if text[at..].starts_with("=>") => {
                    ("`=>` is no comparison".to_owned(), "did you mean `>=`?")
                }
                Some('=') if text[at..].starts_with("=<") => {
                    ("`=<` is no comparison".to_owned(), "did you mean `<=`?")
                }
                Some('=') => ("`=` is no comparison".to_owned(), "did you mean `==`?"),
                Some(_) => ("expected a comparison here".to_owned(), "one of `>` `>=` `<` `<=` `==` `!=`"),
            };
            // At the end there is no letter to point at; the metric is the next best.
            return if at >= text.len() {
                fault(start, length, message, hint)
            } else {
                fault(at, len, message, hint)
            };
        };

        let at = skip_spaces(text, at + sign.len());
        let rest = text[at..].trim_end();
        let number = rest.split_whitespace().next().unwrap_or_default();
        if number.is_empty() {
            return fault(
                at - sign.len().min(at),
                sign.len(),
                "the condition ends before the number".to_owned(),
                FORM,
            );
        }
        let parsed = number.parse::<f64>().ok().filter(|parsed| parsed.is_finite());
        let Some(threshold) =
            parsed.filter(|_| number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)))
        else {
            let hint = if number.ends_with('%') { "leave the `%` out" } else { "such as `90` or `0.5`" };
            return fault(
                at,
                number.len(),
                format!("`{}` is no number", crate::problem::shorten(number, 40)),
                hint,
            );
        };
        if rest.len() > number.len() {
            let more = skip_spaces(text, at + number.len());
            return fault(
                more,
                text.trim_end().len() - more,
                "the condition is complete before this".to_owned(),
                "one comparison a rule; write a second rule",
            );
        }
        Ok(Self {
            text: format!("{metric} {sign} {number}"),
            metric: metric.to_owned(),
            comparison: *comparison,
            threshold,
        })
    }

    /// Whether it is about the host and not about a service.
    pub fn is_about_host(&self) -> bool {
        self.metric.starts_with("host_")
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_:.-".contains(&byte)
}

fn skip_spaces(text: &str, from: usize) -> usize {
    from + (text[from..].len() - text[from..].trim_start().len())
}

impl Decode for Condition {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Some(text) = node.text() else {
            cx.expected(node, &Self::what());
            return None;
        };
        match Self::parse(text) {
            Ok(condition) => Some(condition),
            Err(fault) if node.secret => {
                cx.error(node.span, format!("expected {}", Self::what())).hint(fault.hint);
                None
            }
            Err(fault) => {
                let span = cx.sources.inside(node.span, text, fault.at, fault.len);
                cx.error(span, fault.message).hint(fault.hint);
                None
            }
        }
    }

    fn what() -> String {
        "a condition such as `cpu > 90`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/condition" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_metric_a_comparison_and_a_number() {
        let condition = Condition::parse("  queue.depth>= 1.5e3 ").unwrap();
        assert_eq!(condition.metric, "queue.depth");
        assert_eq!(condition.comparison, Comparison::GreaterOrEqual);
        assert!((condition.threshold - 1500.0).abs() < f64::EPSILON);
        assert_eq!(condition.text, "queue.depth >= 1.5e3");
        assert_eq!(Condition::parse("t < -3").unwrap().threshold.to_string(), "-3");
    }

    #[test]
    fn a_fault_points_at_the_part_that_is_wrong() {
        for (text, part) in [
            ("> 90", ">"),
            ("9cpu > 90", "9cpu"),
            ("cpu = 90", "= "),
            ("cpu 90", "9"),
            ("cpu", "cpu"),
            ("cpu > ninety", "ninety"),
            ("cpu > 90%", "90%"),
            ("cpu > inf", "inf"),
            ("cpu > 90 and memory > 80", "and memory > 80"),
            ("内存 > 90", "内"),
        ] {
            let fault = Condition::parse(text).unwrap_err();
            assert!(text[fault.at..fault.at + fault.len].starts_with(part.trim()), "{text}: {fault:?}");
        }
        assert!(Condition::parse("").is_err());
    }
}
