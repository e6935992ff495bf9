//! Passive results of Nagios: external command lines, and Icinga 2's action `process-check-result`.
//!
//! ```text
//! [1732262400] PROCESS_SERVICE_CHECK_RESULT;web-01;Disk;2;DISK CRITICAL | '/'=97%;90;95
//! [1732262400] PROCESS_HOST_CHECK_RESULT;web-01;0;PING OK
//! ```
//!
//! Exit codes: 0 OK, 1 WARNING, 2 CRITICAL; everything else is UNKNOWN, which says nothing about the service.
//! Sources: Nagios Core's list of external commands, the plugin guidelines on performance data, Icinga 2's API.

use lifesign_core::time::Wall;
use serde::Deserialize;
use serde_json::json;

use super::{Reply, Report, Said, metric_name, value};
use crate::json::cut;

/// Most command lines of one body; what comes after is refused by number.
pub const MAX_LINES: usize = 1000;

/// A result and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Passive {
    /// The name of the host.
    pub host: String,
    /// The service's description; `None`: the host itself.
    pub service: Option<String>,
    /// The result.
    pub report: Report,
}

impl Passive {
    /// Its name in a configuration: `HOST;SERVICE`, or `HOST`.
    pub fn name(&self) -> String {
        match &self.service {
            Some(service) => format!("{};{service}", self.host),
            None => self.host.clone(),
        }
    }
}

/// Reads command lines, each by itself; empty ones count for nothing.
pub fn read_commands(body: &[u8]) -> Vec<Result<Passive, String>> {
    let Ok(text) = std::str::from_utf8(body) else { return vec![Err("the body is not UTF-8".to_owned())] };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut read: Vec<_> = lines.by_ref().take(MAX_LINES).map(command).collect();
    let left = lines.count();
    if left > 0 {
        read.push(Err(format!("{left} lines more than the {MAX_LINES} that one body may have")));
    }
    read
}

fn command(line: &str) -> Result<Passive, String> {
    let wrong = |why: &str| format!("{why}: {:?}", cut(line));
    let (time, rest) = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .ok_or_else(|| wrong("a command begins with its time in brackets"))?;
    let seconds: i64 = time.trim().parse().map_err(|_| wrong("the time is no number of seconds"))?;
    let mut parts = rest.trim_start().splitn(2, ';');
    let (word, arguments) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let fields = |most: usize| arguments.splitn(most, ';').collect::<Vec<_>>();
    let (host, service, code, output) = match word {
        "PROCESS_SERVICE_CHECK_RESULT" => match fields(4).as_slice() {
            [host, service, code, output] => (*host, Some((*service).to_owned()), *code, *output),
            _ => return Err(wrong("expected host;service;code;output")),
        },
        "PROCESS_HOST_CHECK_RESULT" => match fields(3).as_slice() {
            [host, code, output] => (*host, None, *code, *output),
            _ => return Err(wrong("expected host;code;output")),
        },
        _ => return Err(wrong("only results of checks are taken")),
    };
    let code = code.trim().parse().map_err(|_| wrong("the code is no number"))?;
    let mut report = if service.is_some() { service_result(code, output) } else { host_result(code, output) };
    report.sent_at = Some(Wall::from_millis(seconds.saturating_mul(1000)));
    Ok(Passive { host: host.to_owned(), service, report })
}

/// A plugin's exit code and output.
fn service_result(code: i64, output: &str) -> Report {
    let (text, performance) = output.split_once('|').unwrap_or((output, ""));
    let text = text.trim();
    let or = |word: &str| if text.is_empty() { word.to_owned() } else { text.to_owned() };
    let mut report = match code {
        0 => Report::new(Said::Alive, text),
        1 => Report::new(Said::Alive, or("WARNING")),
        2 => Report::new(Said::Fail, or("CRITICAL")),
        _ => Report::new(Said::Logged, or("UNKNOWN")),
    };
    report.metrics = metrics(performance);
    report
}

/// A host is up (0), down (1) or unreachable (2).
fn host_result(code: i64, output: &str) -> Report {
    service_result(if code == 1 { 2 } else { code }, output)
}

/// Performance data: `'label'=value[unit];warn;crit;min;max`, with blanks between. The value is taken as it stands.
fn metrics(performance: &str) -> Vec<(String, f64)> {
    let mut rest = performance.trim_start();
    let mut metrics = Vec::new();
    while !rest.is_empty() {
        let (label, after) = match rest.strip_prefix('\'') {
            Some(quoted) => match quoted.split_once("'=") {
                Some((label, after)) => (label, after),
                None => break,
            },
            None => match rest.split_once('=') {
                Some((label, after)) => (label.trim(), after),
                None => break,
            },
        };
        let (figures, after) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        let figure = figures.split(';').next().unwrap_or_default();
        let end = figure
            .char_indices()
            .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
            .map_or(figure.len(), |(end, _)| end);
        if let Some(value) = figure.get(..end).and_then(|digits| digits.parse().ok()) {
            metrics.push((metric_name(label), value));
        }
        rest = after.trim_start();
    }
    metrics
}

/// The answer to command lines: how many were taken, and what was wrong with the others.
pub fn answer(taken: usize, refused: &[String]) -> Reply {
    let status = if taken == 0 && !refused.is_empty() { 400 } else { 200 };
    Reply::json(status, json!({ "taken": taken, "refused": refused }).to_string())
}

#[derive(Deserialize)]
struct Action {
    service: Option<String>,
    host: Option<String>,
    exit_status: f64,
    plugin_output: String,
    #[serde(default)]
    performance_data: Performance,
}

/// Icinga takes one text or a list.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Performance {
    #[default]
    None,
    One(String),
    List(Vec<String>),
}

/// Reads Icinga's `POST /v1/actions/process-check-result`; the object stands in the body or in the query, as
/// `service=HOST!SERVICE` or `host=HOST`.
///
/// # Errors
/// The answer to what cannot be read.
pub fn read_action(query: &str, body: &[u8]) -> Result<Passive, Reply> {
    let wrong = |why: &str| Reply::json(400, json!({ "error": 400, "status": why }).to_string());
    let action: Action =
        serde_json::from_slice(body).map_err(|error| wrong(&format!("Invalid request body: {error}")))?;
    let service = action.service.or_else(|| value(query, "service"));
    let host = action.host.or_else(|| value(query, "host"));
    let (host, service) = match (&service, &host) {
        (Some(both), _) => match both.split_once('!') {
            Some((host, service)) => (host.to_owned(), Some(service.to_owned())),
            None => return Err(wrong("'service' must be HOST!SERVICE")),
        },
        (None, Some(host)) => (host.clone(), None),
        (None, None) => return Err(wrong("Name 'service' or 'host'; filters are not taken")),
    };
    #[expect(clippy::cast_possible_truncation, reason = "beyond the known codes all are the same")]
    let code = action.exit_status as i64;
    let output = action.plugin_output;
    let mut report =
        if service.is_some() { service_result(code, &output) } else { host_result(code, &output) };
    let performance = match action.performance_data {
        Performance::None => Vec::new(),
        Performance::One(text) => vec![text],
        Performance::List(texts) => texts,
    };
    report.metrics.extend(performance.iter().flat_map(|text| metrics(text)));
    Ok(Passive { host, service, report })
}

/// The answer to an action that was taken.
pub fn action_taken(passive: &Passive) -> Reply {
    let name = match &passive.service {
        Some(service) => format!("{}!{service}", passive.host),
        None => passive.host.clone(),
    };
    let status = format!("Successfully processed check result for object '{}'.", cut(&name));
    Reply::json(200, json!({ "results": [{ "code": 200.0, "status": status }] }).to_string())
}

/// The answer where there is no such object.
pub fn action_unknown() -> Reply {
    Reply::json(404, r#"{"error":404,"status":"No objects found."}"#)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Passive {
        let mut read = read_commands(line.as_bytes());
        assert_eq!(read.len(), 1);
        read.remove(0).unwrap()
    }

    #[test]
    fn a_command_line_has_host_service_code_and_output() {
        let passive = one(
            "[1732262400] PROCESS_SERVICE_CHECK_RESULT;web-01;Disk;2;DISK CRITICAL; 3% left | '/ root'=97%;90;95 free=3.5GB",
        );
        assert_eq!(passive.name(), "web-01;Disk");
        let report = passive.report;
        assert_eq!((report.said, &*report.message), (Said::Fail, "DISK CRITICAL; 3% left"));
        assert_eq!(report.metrics, [("__root".to_owned(), 97.0), ("free".to_owned(), 3.5)]);
        assert_eq!(report.sent_at, Some(Wall::from_millis(1_732_262_400_000)));
    }

    #[test]
    fn codes_mean_what_they_mean_for_services_and_for_hosts() {
        let service = |code: i64| one(&format!("[1] PROCESS_SERVICE_CHECK_RESULT;h;s;{code};x")).report.said;
        assert_eq!(
            [0, 1, 2, 3, -1].map(service),
            [Said::Alive, Said::Alive, Said::Fail, Said::Logged, Said::Logged,]
        );
        let host = |code: i64| one(&format!("[1] PROCESS_HOST_CHECK_RESULT;h;{code};x")).report.said;
        assert_eq!([0, 1, 2].map(host), [Said::Alive, Said::Fail, Said::Fail]);
        assert_eq!(one("[1] PROCESS_HOST_CHECK_RESULT;h;0;x").name(), "h");
    }

    #[test]
    fn each_line_stands_for_itself_and_says_what_is_wrong() {
        let read = read_commands(b"[1] PROCESS_SERVICE_CHECK_RESULT;h;s;0;ok\n\nnonsense\n[x] A\n[1] SHUTDOWN_PROGRAM\n[1] PROCESS_SERVICE_CHECK_RESULT;h;s;0");
        let wrong: Vec<_> = read.iter().filter_map(|line| line.as_ref().err()).collect();
        assert_eq!(read.len(), 5);
        assert!(wrong[0].contains("its time in brackets"));
        assert!(wrong[1].contains("no number of seconds"));
        assert!(wrong[2].contains("only results of checks"));
        assert!(wrong[3].contains("expected host;service;code;output"));
        assert_eq!(read_commands("[1] A\n".repeat(MAX_LINES + 5).as_bytes()).len(), MAX_LINES + 1);
    }

    #[test]
    fn icingas_action_names_its_object_in_body_or_query() {
        let body = br#"{"exit_status":2,"plugin_output":"no","performance_data":["time=0.5s"]}"#;
        let passive = read_action("service=web-01%21Disk", body).unwrap();
        assert_eq!(passive.name(), "web-01;Disk");
        assert_eq!(passive.report.metrics, [("time".to_owned(), 0.5)]);
        assert_eq!(
            action_taken(&passive).body,
            r#"{"results":[{"code":200.0,"status":"Successfully processed check result for object 'web-01!Disk'."}]}"#
        );
        let body = br#"{"host":"web-01","exit_status":1,"plugin_output":"gone","performance_data":"a=1"}"#;
        assert_eq!(read_action("", body).unwrap().report.said, Said::Fail);
        assert_eq!(read_action("", br#"{"exit_status":0,"plugin_output":""}"#).unwrap_err().status, 400);
        assert_eq!(
            read_action("service=x", br#"{"exit_status":0,"plugin_output":""}"#).unwrap_err().status,
            400
        );
        assert_eq!(read_action("", b"{").unwrap_err().status, 400);
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..160), query in ".{0,40}") {
            let _ = read_commands(&body);
            let _ = read_action(&query, &body);
        }

        #[test]
        fn any_result_is_answered(output in ".{0,80}", code: i64) {
            let report = service_result(code, &output);
            prop_assert!(report.metrics.iter().all(|(name, _)| crate::heartbeat::wrong_name(name, 4096).is_none() || name.starts_with("host_")));
        }
    }
}
