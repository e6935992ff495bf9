//! TTL checks of a Consul agent: `PUT /v1/agent/check/{pass,warn,fail}/ID?note=…`, `PUT …/update/ID` with
//! `{"Status","Output"}`, `PUT …/register`, `PUT …/deregister/ID`, `GET /v1/agent/checks`.
//!
//! Source: Consul's HTTP API of the agent. Time to live and thresholds are lifesign's own here, so a registration only
//! asks whether the check is known.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Reply, Report, Said, value};

/// Bytes of a note that Consul keeps.
const MAX_OUTPUT: usize = 4096;

/// A status of Consul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `passing`.
    Passing,
    /// `warning`.
    Warning,
    /// `critical`.
    Critical,
}

impl Status {
    /// The status that a path or a body names: `pass` or `passing`, `warn` or `warning`, `fail` or `critical`.
    fn parse(word: &str, words: [&str; 3]) -> Option<Self> {
        let all = [Self::Passing, Self::Warning, Self::Critical];
        words.into_iter().zip(all).find(|(known, _)| *known == word).map(|(_, status)| status)
    }

    /// The status behind a path's word: `pass`, `warn`, `fail`.
    pub fn of_verb(verb: &str) -> Option<Self> {
        Self::parse(verb, ["pass", "warn", "fail"])
    }

    /// Consul's own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// What it says. A warning is alive: Consul keeps such a service in use.
    fn report(self, output: &str) -> Report {
        let output = crate::local::fit(output, MAX_OUTPUT);
        match self {
            Self::Passing => Report::new(Said::Alive, output),
            Self::Warning if output.is_empty() => Report::new(Said::Alive, "warning"),
            Self::Warning => Report::new(Said::Alive, format!("warning: {output}")),
            Self::Critical if output.is_empty() => Report::new(Said::Fail, "critical"),
            Self::Critical => Report::new(Said::Fail, output),
        }
    }
}

/// What a call of `pass`, `warn` or `fail` says.
pub fn read_verb(status: Status, query: &str) -> Report {
    status.report(&value(query, "note").unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    status: String,
    #[serde(default)]
    output: String,
}

/// What a call of `update` says.
///
/// # Errors
/// The answer to a body that cannot be read, or names no status.
pub fn read_update(body: &[u8]) -> Result<Report, Reply> {
    let update: Update = serde_json::from_slice(body)
        .map_err(|error| Reply::text(400, format!("Request decode failed: {error}")))?;
    let status = Status::parse(&update.status, ["passing", "warning", "critical"]).ok_or_else(|| {
        Reply::text(400, format!("Invalid check status: '{}'", crate::json::cut(&update.status)))
    })?;
    Ok(status.report(&update.output))
}

#[derive(Deserialize)]
struct Registration {
    #[serde(default, rename = "ID", alias = "CheckID", alias = "id")]
    id: String,
    #[serde(default, rename = "Name", alias = "name")]
    name: String,
    #[serde(default, rename = "TTL", alias = "ttl")]
    ttl: String,
}

/// The id that a registration is about; that is its name where it has none.
///
/// # Errors
/// The answer to a body that cannot be read, or is about no TTL check.
pub fn read_registration(body: &[u8]) -> Result<String, Reply> {
    let found: Registration = serde_json::from_slice(body)
        .map_err(|error| Reply::text(400, format!("Request decode failed: {error}")))?;
    if found.name.is_empty() {
        return Err(Reply::text(400, "Missing check name"));
    }
    if found.ttl.is_empty() {
        return Err(Reply::text(
            400,
            "lifesign takes TTL checks from clients; active checks stand in its configuration",
        ));
    }
    Ok(if found.id.is_empty() { found.name } else { found.id })
}

/// One check for `GET /v1/agent/checks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The client's id.
    pub id: String,
    /// Our service.
    pub service: String,
    /// How it stands.
    pub status: Status,
    /// Its last message.
    pub output: String,
    /// Its host.
    pub node: String,
}

/// The answer to `GET /v1/agent/checks`.
pub fn list(checks: impl IntoIterator<Item = Shown>) -> Reply {
    let checks: Map<String, Value> = checks
        .into_iter()
        .map(|check| {
            let shown = json!({
                "Node": check.node, "CheckID": check.id, "Name": check.service, "Status": check.status.as_str(),
                "Notes": "", "Output": check.output, "ServiceID": "", "ServiceName": "", "ServiceTags": [],
                "Type": "ttl",
            });
            (check.id, shown)
        })
        .collect();
    Reply::json(200, Value::Object(checks).to_string())
}

/// What leaving says.
pub fn deregistered() -> Report {
    Report::new(Said::Stopping, "it was deregistered")
}

/// The answer to a call that was taken.
pub fn taken() -> Reply {
    Reply::text(200, "")
}

/// The answer where there is no such check.
pub fn unknown(id: &str) -> Reply {
    let id = crate::json::cut(id);
    Reply::text(
        404,
        format!("Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."),
    )
}

/// The answer to a token that may not.
pub fn forbidden() -> Reply {
    Reply::text(403, "Permission denied: this needs a token with the privilege write")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_verbs_with_and_without_a_note() {
        let said = |verb: &str, query: &str| {
            let report = read_verb(Status::of_verb(verb).unwrap(), query);
            (report.said, report.message)
        };
        assert_eq!(said("pass", "note=well"), (Said::Alive, "well".to_owned()));
        assert_eq!(said("warn", ""), (Said::Alive, "warning".to_owned()));
        assert_eq!(said("warn", "note=slow"), (Said::Alive, "warning: slow".to_owned()));
        assert_eq!(said("fail", ""), (Said::Fail, "critical".to_owned()));
        assert_eq!(said("fail", "note=disk+full"), (Said::Fail, "disk full".to_owned()));
        assert_eq!(Status::of_verb("passing"), None);
    }

    #[test]
    fn an_update_names_its_status() {
        let report = read_update(br#"{"Status":"critical","Output":"no answer"}"#).unwrap();
        assert_eq!((report.said, &*report.message), (Said::Fail, "no answer"));
        assert_eq!(read_update(br#"{"Status":"well"}"#).unwrap_err().body, "Invalid check status: 'well'");
        assert_eq!(read_update(b"{").unwrap_err().status, 400);
    }

    #[test]
    fn only_a_ttl_check_is_registered() {
        assert_eq!(read_registration(br#"{"Name":"web","TTL":"30s"}"#).unwrap(), "web");
        assert_eq!(read_registration(br#"{"ID":"web:1","Name":"web","TTL":"30s"}"#).unwrap(), "web:1");
        assert_eq!(read_registration(br#"{"Name":"web","HTTP":"http://x"}"#).unwrap_err().status, 400);
        assert_eq!(read_registration(br#"{"TTL":"30s"}"#).unwrap_err().body, "Missing check name");
    }

    proptest! {
        #[test]
        fn any_body_and_query_is_answered(body in prop::collection::vec(any::<u8>(), 0..120), query in ".{0,60}") {
            let _ = read_update(&body);
            let _ = read_registration(&body);
            let _ = read_verb(Status::Warning, &query);
        }
    }
}
