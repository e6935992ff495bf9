//! Errors of the HTTP API as RFC 9457 problem details.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One error, as `application/problem+json` (RFC 9457 §3.1) with our member `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI for the kind of problem; `about:blank` means that the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The kind in a few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and what helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path it happened at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Each fault of the body with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

/// One fault of a body and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the value, `/3/metrics/cpu`; empty for the body as a whole.
    pub pointer: String,
    /// What is wrong with it and what was expected.
    pub detail: String,
}

impl Problem {
    /// A problem that its `status` explains, titled with `title`.
    pub fn new(status: u16, title: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            title: title.into(),
            status,
            detail: None,
            instance: None,
            errors: Vec::new(),
        }
    }

    /// With what went wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the path it happened at.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// With the faults of the body.
    #[must_use]
    pub fn errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "{}: {}", self.pointer, self.detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_writes_only_the_members_it_has() {
        let bare = Problem::new(404, "no such service");
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"type":"about:blank","title":"no such service","status":404}"#
        );
        let full = bare
            .detail("no service \"x\"")
            .instance("/api/v1/services/x")
            .errors(vec![Fault { pointer: "/0".into(), detail: "is wrong".into() }]);
        let text = serde_json::to_string(&full).unwrap();
        assert!(text.ends_with(r#""errors":[{"pointer":"/0","detail":"is wrong"}]}"#), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), full);
    }
}
