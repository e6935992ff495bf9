//! The part of JSONPath (RFC 9535) that names one place: `$.a.b[0]['c d']`.
//!
//! Wildcards, slices, filters and `..` name many places; an assertion about many places needs a rule for
//! "all or any", so they are left out rather than guessed.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Longest path, in bytes.
const MAX_LENGTH: usize = 512;

/// The way to one place in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Member of an object.
    Name(String),
    /// Element of an array; negative counts from the end.
    Index(i32),
}

impl JsonPath {
    /// Whether this is `$.status`, the place of a health page's word for the whole.
    pub(crate) fn is_status(&self) -> bool {
        matches!(self.0.as_slice(), [Step::Name(name)] if name == "status")
    }

    /// The value at this place, if there is one.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Name(name) => value.as_object()?.get(name),
            Step::Index(index) => {
                let array = value.as_array()?;
                let from = if *index < 0 { array.len() } else { 0 };
                array.get(from.checked_add_signed(isize::try_from(*index).ok()?)?)
            }
        })
    }
}

impl FromStr for JsonPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!(
                "a JSON path has at most {MAX_LENGTH} characters, this one has {}",
                text.len()
            ));
        }
        let form = "expected a path such as $.status, $.items[0].name or $['a b']";
        let Some(mut rest) = text.strip_prefix('$') else {
            return Err(format!("a JSON path starts with '$'; {form}"));
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(after) = rest.strip_prefix('.') {
                dotted(after)
            } else if let Some(after) = rest.strip_prefix('[') {
                bracketed(after)
            } else {
                Err(format!("{rest:?} follows neither '.' nor '['"))
            }
            .map_err(|why| format!("{why}; {form}"))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }
}

fn dotted(text: &str) -> Result<(Step, &str), String> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name {
        "" => Err("a name is missing after '.' ('..' is not supported)".into()),
        "*" => Err("'*' names many places, and one is needed".into()),
        _ if name.contains([']', '\'', '"']) => Err(format!("{name:?} must stand in brackets and quotes")),
        _ => Ok((Step::Name(name.to_owned()), rest)),
    }
}

fn bracketed(text: &str) -> Result<(Step, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let Some(quote) = quote else {
        let (index, rest) = text.split_once(']').ok_or("']' is missing")?;
        let index = index.parse().map_err(|_| format!("{index:?} is no index (names stand in quotes)"))?;
        return Ok((Step::Index(index), rest));
    };
    let mut name = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => name.push(escaped),
                _ => return Err("after '\\' only a quote or '\\' may stand".into()),
            },
            c if c == quote => {
                let rest = text[1 + at + 1..].strip_prefix(']').ok_or("']' is missing after the quote")?;
                return Ok((Step::Name(name), rest));
            }
            c => name.push(c),
        }
    }
    Err(format!("the closing {quote} is missing"))
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name)
                    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') =>
                {
                    write!(f, ".{name}")?;
                }
                Step::Name(name) => write!(f, "['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn find(path: &str, root: &Value) -> Option<Value> {
        path.parse::<JsonPath>().unwrap().find(root).cloned()
    }

    #[test]
    fn a_path_finds_members_and_elements() {
        let root = json!({"status": "UP", "a": {"b": [1, {"x y": true, "it's": 2}]}, "": 0});
        assert_eq!(find("$", &root), Some(root.clone()));
        assert_eq!(find("$.status", &root), Some(json!("UP")));
        assert_eq!(find("$.a.b[0]", &root), Some(json!(1)));
        assert_eq!(find("$.a.b[-1]['x y']", &root), Some(json!(true)));
        assert_eq!(find("$['a'][\"b\"][1]['it\\'s']", &root), Some(json!(2)));
        assert_eq!(find("$['']", &root), Some(json!(0)));
        for absent in ["$.b", "$.a.b[2]", "$.a.b[-3]", "$.status.x", "$[0]", "$.a.b['0']"] {
            assert_eq!(find(absent, &root), None, "{absent}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        for (text, why) in [
            ("status", "starts with '$'"),
            ("$status", "neither"),
            ("$.", "missing"),
            ("$..a", "'..'"),
            ("$.*", "many"),
            ("$[*]", "index"),
            ("$[0", "']'"),
            ("$['a", "closing"),
            ("$['a'", "']'"),
            ("$['\\n']", "'\\'"),
            ("$[99999999999]", "index"),
            ("$.a]b", "quotes"),
        ] {
            let error = text.parse::<JsonPath>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_that_reads_back_or_an_error(text in "\\$[.\\[\\]'\"\\\\a-c0-9-]{0,24}|\\PC{0,24}") {
            if let Ok(path) = text.parse::<JsonPath>() {
                prop_assert_eq!(path.to_string().parse::<JsonPath>(), Ok(path));
            }
        }

        #[test]
        fn any_name_can_be_written_and_is_found(name in "\\PC{0,20}") {
            let path = JsonPath(vec![Step::Name(name.clone())]);
            let root = json!({ name: 7 });
            prop_assert_eq!(find(&path.to_string(), &root), Some(json!(7)));
        }
    }
}
