//! What the clients of other monitors send, in their own forms: one file each.
//!
//! | file | client | over |
//! |---|---|---|
//! | [`healthchecks`] | pings: success, start, fail, log, exit code | HTTP |
//! | [`uptime_kuma`] | push monitors | HTTP |
//! | [`gatus`] | external endpoints | HTTP |
//! | [`vigil`] | reporters | HTTP |
//! | [`consul`] | TTL checks of the agent | HTTP |
//! | [`nagios`] | passive results: command lines, and the action of Icinga 2 | HTTP |
//! | [`statsd`] | gauges, and service checks of DogStatsD | UDP |
//! | [`zabbix`] | trapper items of `zabbix_sender` | TCP |
//!
//! Texts and bytes in, a [`Report`] and the very [`Reply`] that the client expects out. Whose service a name or a
//! key stands for is not known here: the configuration says it, and the server looks it up.

pub mod consul;
pub mod gatus;
pub mod healthchecks;
pub mod nagios;
pub mod statsd;
pub mod uptime_kuma;
pub mod vigil;
pub mod zabbix;

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus, Run};
use lifesign_core::model::ServiceId;
use lifesign_core::time::Wall;

use crate::heartbeat::wrong_name;
use crate::limits::Limits;
use crate::local::fit;

/// What a client says about a service, in our words.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The heart of it.
    pub said: Said,
    /// What goes with it: a message, an output. Replaces what was said before, so it is there even when empty.
    pub message: String,
    /// Metrics by name, as sent.
    pub metrics: Vec<(String, f64)>,
    /// What it says of one run of a job.
    pub run: Option<Run>,
    /// When the client expects to report again.
    pub interval: Option<Duration>,
    /// The client's own time.
    pub sent_at: Option<Wall>,
}

/// The heart of a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It works.
    Alive,
    /// It does not.
    Fail,
    /// It leaves, on purpose.
    Stopping,
    /// A run has begun.
    Started,
    /// Something worth writing down, which changes nothing.
    Logged,
}

impl Report {
    /// A report of nothing but this.
    pub fn new(said: Said, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { said, message, metrics: Vec::new(), run: None, interval: None, sent_at: None }
    }

    /// Whether it tells of a run and says nothing else: no heartbeat of a service that is no job. A job that starts again
    /// and again without ever ending would seem well.
    pub fn is_for_jobs(&self) -> bool {
        matches!(self.said, Said::Started | Said::Logged)
    }

    /// The heartbeat that it is for `service`; `None` where it is none. A message longer than `limits` allow is cut;
    /// metrics that they do not allow are left out, since the client's own monitor would have taken them.
    pub fn beat(self, service: ServiceId, limits: &Limits) -> Option<Beat> {
        let status = match self.said {
            Said::Alive => BeatStatus::Alive,
            Said::Started | Said::Logged if self.run.is_some() => BeatStatus::Alive,
            Said::Fail => BeatStatus::Fail,
            Said::Stopping => BeatStatus::Stopping,
            Said::Started | Said::Logged => return None,
        };
        let mut metrics: Vec<(Arc<str>, f64)> = Vec::new();
        for (name, value) in self.metrics {
            let is_new = metrics.iter().all(|(known, _)| **known != *name);
            let is_right = value.is_finite() && wrong_name(&name, limits.metric_name_bytes).is_none();
            if is_new && is_right && metrics.len() < limits.metrics {
                metrics.push((name.into(), value));
            }
        }
        Some(Beat {
            status,
            sent_at: self.sent_at,
            metrics,
            message: Some(fit(&self.message, limits.message_bytes).to_owned()),
            interval: self.interval,
            run: self.run.map(Into::into),
            ..Beat::alive(service)
        })
    }
}

/// An answer, exactly as the client's own monitor would give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// What the body is.
    pub form: Form,
    /// The body.
    pub body: String,
}

/// What the body of a [`Reply`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text for people.
    Text,
    /// JSON.
    Json,
}

impl Reply {
    /// A text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, form: Form::Text, body: body.into() }
    }

    /// JSON, written out already: some clients' tests look at it as a text, so the order of keys is the original's.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, form: Form::Json, body: body.into() }
    }
}

/// The pairs of a query, decoded. Of a name that stands there several times each is given.
fn pairs(query: &str) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// The value of the first `name` in a query.
fn value(query: &str, name: &str) -> Option<String> {
    pairs(query).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name as a metric's: each character that may not stand there becomes `_`.
fn metric_name(name: &str) -> String {
    let mut clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-') { c } else { '_' })
        .collect();
    if !clean.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':')) {
        clean.insert(0, '_');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ServiceId {
        ServiceId::new("orders").unwrap()
    }

    #[test]
    fn a_report_becomes_a_heartbeat_within_the_limits() {
        let mut report = Report::new(Said::Fail, "é".repeat(600));
        report.metrics = vec![
            ("a".to_owned(), 1.0),
            ("b".to_owned(), f64::NAN),
            ("0".to_owned(), 1.0),
            ("a".to_owned(), 2.0),
        ];
        let beat = report.beat(id(), &Limits::default()).unwrap();
        assert_eq!(beat.status, BeatStatus::Fail);
        assert_eq!(beat.message.unwrap().len(), 1024);
        assert_eq!(beat.metrics, [("a".into(), 1.0)]);
        assert_eq!(Report::new(Said::Logged, "note").beat(id(), &Limits::default()), None);
    }

    #[test]
    fn any_name_can_be_a_metrics() {
        for (name, metric) in
            [("queue", "queue"), ("trap[a b]", "trap_a_b_"), ("5m", "_5m"), ("", "_"), ("é", "_")]
        {
            assert_eq!(metric_name(name), metric);
            assert_eq!(wrong_name(&metric_name(name), 128), None, "{name}");
        }
    }
}
