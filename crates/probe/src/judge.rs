//! Whether an HTTP answer is the wanted one. Pure: the answer in, the finding out.

use std::fmt::Write as _;

use http::StatusCode;
use lifesign_core::evidence::CheckOutcome;
use serde_json::Value;

use crate::assertion::Assertion;
use crate::components::{Health, Says};
use crate::exchange::{Body, shown};
use crate::finding::{Finding, one_line};
use crate::payload::Payload;
use crate::status::Statuses;

/// Longest stretch of an answer that is quoted, in bytes.
pub(crate) const MAX_QUOTE: usize = 120;

/// What is wanted of an answer.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) statuses: Statuses,
    /// Every one must hold.
    pub(crate) json: Vec<Assertion>,
    /// Must stand in the body, as far as it was read.
    pub(crate) contains: Option<Payload>,
}

/// What may not be shown, even if a service sends it back to us.
#[derive(Clone, Default)]
pub(crate) struct Masked {
    /// Texts that are blanked out.
    pub(crate) texts: Vec<String>,
    /// Whether no value of an answer is shown at all, since the request held a secret we cannot single out.
    pub(crate) values: bool,
}

impl std::fmt::Debug for Masked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} masked", self.texts.len())
    }
}

impl Masked {
    fn blank(&self, text: &str) -> String {
        let texts = self.texts.iter().filter(|secret| !secret.is_empty());
        texts.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "•••"))
    }

    /// A value as JSON, bounded, nothing secret in it.
    pub(crate) fn quote(&self, value: &Value) -> String {
        if self.values {
            return "•••".to_owned();
        }
        one_line(&self.blank(&value.to_string()), MAX_QUOTE)
    }
}

impl Wanted {
    /// Whether judging needs the body, whatever its type.
    pub(crate) fn reads_body(&self) -> bool {
        self.contains.is_some() || !self.json.is_empty()
    }

    /// What is wrong with the status alone.
    pub(crate) fn judge_status(&self, status: StatusCode) -> Option<String> {
        let wrong = !self.statuses.take(status.as_u16());
        wrong.then(|| format!("{}, expected {}", shown(status), self.statuses))
    }

    /// Judges an answer.
    ///
    /// A component that does not work leaves a passing check passing: the answer is as wanted, and the
    /// engine makes `degraded` of it. A page that says of the *whole* that it is down fails, whatever its
    /// status code, unless the user has written an assertion about `$.status`.
    pub(crate) fn judge(&self, status: StatusCode, body: &Body, masked: &Masked) -> Finding {
        let mut faults: Vec<String> = self.judge_status(status).into_iter().collect();
        let document = match body {
            Body::Whole(bytes) => {
                serde_json::from_slice::<Value>(bytes).map_err(|why| format!("the body is no JSON: {why}"))
            }
            Body::Cut(bytes) => {
                Err(format!("the body has more than {} bytes, too many to read it as JSON", bytes.len()))
            }
            Body::Unread => Err("there was no body to read".to_owned()),
        };
        faults.extend(self.judge_json(document.as_ref(), masked));
        faults.extend(self.judge_text(body));
        let health = document.ok().as_ref().and_then(Health::read);
        if let Some(Health { status: Some((word, Says::Broken)), .. }) = &health
            && !self.json.iter().any(|assertion| assertion.path.is_status())
        {
            faults.push(format!("the service says {}", masked.blank(word)));
        }

        let (outcome, mut output) = if faults.is_empty() {
            (CheckOutcome::Pass, shown(status))
        } else {
            // The status stands first in any case; `judge_status` has said it already when it is wrong.
            let head = if self.statuses.take(status.as_u16()) {
                format!("{}: ", shown(status))
            } else {
                String::new()
            };
            (Finding::wrong("").outcome, head + &faults.join("; "))
        };
        let mut finding = Finding::new(outcome, String::new());
        if let Some(mut health) = health {
            for component in &mut health.components {
                component.name = masked.blank(&component.name);
                component.status = masked.blank(&component.status);
            }
            if let Some(broken) = health.broken() {
                let _ = write!(output, "; {broken}");
            }
            if health.dropped > 0 {
                let _ = write!(output, "; {} further components left out", health.dropped);
            }
            finding.components = health.components;
        }
        finding.output = output;
        finding
    }

    fn judge_json(&self, document: Result<&Value, &String>, masked: &Masked) -> Vec<String> {
        match document {
            Ok(document) => {
                self.json.iter().filter_map(|assertion| assertion.fault(document, masked)).collect()
            }
            Err(_) if self.json.is_empty() => Vec::new(),
            Err(why) => vec![why.clone()],
        }
    }

    fn judge_text(&self, body: &Body) -> Option<String> {
        let wanted = self.contains.as_ref()?.bytes();
        let (bytes, all) = match body {
            Body::Whole(bytes) => (bytes.as_slice(), ""),
            Body::Cut(bytes) => (bytes.as_slice(), "the part read of "),
            Body::Unread => (&[][..], ""),
        };
        // What is wanted may itself be a secret, so it is not repeated.
        let missing = !contains(bytes, wanted);
        missing.then(|| format!("{all}the body does not contain the wanted text"))
    }
}

/// Whether `needle` stands in `haystack`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use lifesign_core::evidence::FailKind;
    use serde_json::json;

    use super::*;

    fn wanted(json: &[(&str, Value)]) -> Wanted {
        let assertion = |(path, value): &(&str, Value)| Assertion {
            path: path.parse().unwrap(),
            any_of: vec![value.clone()],
        };
        Wanted { json: json.iter().map(assertion).collect(), ..Wanted::default() }
    }

    fn judge(wanted: &Wanted, status: u16, body: &Value) -> Finding {
        let body = Body::Whole(body.to_string().into_bytes());
        wanted.judge(
            StatusCode::from_u16(status).unwrap(),
            &body,
            &Masked { texts: vec!["hunter2".into()], values: false },
        )
    }

    const WRONG: CheckOutcome = CheckOutcome::Fail(FailKind::Wrong);

    #[test]
    fn a_component_that_is_down_is_named_and_the_check_passes() {
        let page = json!({"status": "UP", "details": {"db": {"status": "UP"}, "redis": {"status": "DOWN"}}});
        let found = judge(&wanted(&[("$.status", json!("UP"))]), 200, &page);
        assert_eq!(found.outcome, CheckOutcome::Pass);
        assert_eq!(found.output, "200 OK; redis DOWN");
        assert_eq!(found.components.len(), 2);
    }

    #[test]
    fn components_are_read_from_a_503_too() {
        let page = json!({"status": "DOWN", "components": {"db": {"status": "DOWN"}}});
        let found = judge(&Wanted::default(), 503, &page);
        assert_eq!(found.outcome, WRONG);
        assert_eq!(
            found.output,
            "503 Service Unavailable, expected 200..399; the service says DOWN; db DOWN"
        );
        assert_eq!(found.components.len(), 1);
    }

    #[test]
    fn a_page_that_says_down_fails_in_spite_of_its_200() {
        let page = json!({"status": "DOWN", "components": {"db": {"status": "DOWN"}}});
        assert_eq!(judge(&Wanted::default(), 200, &page).outcome, WRONG);
        // Unless the user says what status is wanted.
        assert_eq!(judge(&wanted(&[("$.status", json!("DOWN"))]), 200, &page).outcome, CheckOutcome::Pass);
        // And a page about something else may hold the word.
        assert_eq!(judge(&Wanted::default(), 200, &json!({"status": "DOWN"})).outcome, CheckOutcome::Pass);
    }

    #[test]
    fn an_assertion_says_what_stands_there_instead() {
        let page = json!({"version": 1.0, "token": "x hunter2 y"});
        assert_eq!(judge(&wanted(&[("$.version", json!(1))]), 200, &page).outcome, CheckOutcome::Pass);
        let found = judge(
            &wanted(&[("$.version", json!("1")), ("$.a[0]", json!(true)), ("$.token", json!("z"))]),
            200,
            &page,
        );
        assert_eq!(found.outcome, WRONG);
        assert_eq!(
            found.output,
            "200 OK: $.version is 1.0, expected \"1\"; $.a[0] is missing; $.token is \"x ••• y\", expected \"z\""
        );
    }

    #[test]
    fn a_cut_body_is_searched_but_not_read_as_json() {
        let mut wanted = wanted(&[("$", json!(1))]);
        wanted.contains = Some(lifesign_config::kind::read("needle").unwrap());
        let cut = Body::Cut(b"hay needle hay".to_vec());
        let found = wanted.judge(StatusCode::OK, &cut, &Masked::default());
        assert_eq!(found.output, "200 OK: the body has more than 14 bytes, too many to read it as JSON");
        let found = wanted.judge(StatusCode::OK, &Body::Whole(b"1".to_vec()), &Masked::default());
        assert_eq!(found.output, "200 OK: the body does not contain the wanted text");
    }
}
