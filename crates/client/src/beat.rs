//! What one heartbeat says.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Most metrics of one heartbeat; the server's default limit. A [`crate::Heart`] takes no further names.
pub const MAX_METRICS: usize = 100;
/// Longest name of a metric, in bytes; the server's default limit.
pub const MAX_METRIC_NAME: usize = 128;
/// Longest message, in bytes; the server's default limit. A [`crate::Heart`] cuts a longer one.
pub const MAX_MESSAGE: usize = 1024;

/// What a program says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// I am well.
    #[default]
    Alive,
    /// I am about to stop, on purpose.
    Stopping,
    /// I run, but I cannot do my work.
    Fail,
}

/// One heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beat {
    /// The service's id in lifesign.
    pub service_id: String,
    /// The sender's own time in seconds since 1970. lifesign shows it when it is far off, and judges by its
    /// own clock alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<f64>,
    /// What the program says about itself.
    pub status: Status,
    /// Metrics by name (`[a-zA-Z_:][a-zA-Z0-9_:.-]*`), each finite.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Free text, shown with the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seconds until the next heartbeat, for services in mode `backoff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    /// Whether the previous heartbeat was answered in time, for services in mode `mutual`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hears: Option<bool>,
    /// How far the program has come with its work: any number that changes while it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<u64>,
}

impl Beat {
    /// "I am well", now, without metrics.
    pub fn alive(service_id: impl Into<String>) -> Self {
        Self {
            service_id: service_id.into(),
            timestamp: timestamp(SystemTime::now()),
            status: Status::Alive,
            metrics: BTreeMap::new(),
            message: None,
            interval: None,
            hears: None,
            progress: None,
        }
    }
}

/// Seconds since 1970 with milliseconds; `None` for a clock before that.
pub(crate) fn timestamp(now: SystemTime) -> Option<f64> {
    let since = now.duration_since(UNIX_EPOCH).ok()?;
    Some((since.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Whether the server takes `name` for a metric.
pub(crate) fn is_metric_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    let further = |c: char| first(c) || c.is_ascii_digit() || c == '.' || c == '-';
    name.len() <= MAX_METRIC_NAME && name.starts_with(first) && name.chars().all(further)
}

/// `text`, cut on a character border at [`MAX_MESSAGE`] bytes.
pub(crate) fn fit_message(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_heartbeat_is_written_as_the_contract_says() {
        let mut beat = Beat::alive("orders");
        beat.timestamp = timestamp(UNIX_EPOCH + Duration::from_millis(1_732_262_400_250));
        assert_eq!(
            serde_json::to_string(&beat).unwrap(),
            r#"{"service_id":"orders","timestamp":1732262400.25,"status":"alive"}"#
        );
        beat.status = Status::Stopping;
        beat.metrics.insert("cpu".to_owned(), 12.5);
        beat.message = Some("bye".to_owned());
        beat.timestamp = None;
        assert_eq!(
            serde_json::to_string(&beat).unwrap(),
            r#"{"service_id":"orders","status":"stopping","metrics":{"cpu":12.5},"message":"bye"}"#
        );
        beat.metrics.clear();
        (beat.message, beat.interval, beat.hears, beat.progress) = (None, Some(2.0), Some(true), Some(7));
        assert_eq!(
            serde_json::to_string(&beat).unwrap(),
            r#"{"service_id":"orders","status":"stopping","interval":2.0,"hears":true,"progress":7}"#
        );
    }

    #[test]
    fn names_and_messages_are_held_to_the_servers_limits() {
        for good in ["cpu", "_x", ":a", "http.p99-ms", "A1"] {
            assert!(is_metric_name(good), "{good}");
        }
        for bad in ["", "1a", "a b", "温度", ".a", &"a".repeat(MAX_METRIC_NAME + 1)] {
            assert!(!is_metric_name(bad), "{bad}");
        }
        assert_eq!(fit_message("ok"), "ok");
        let cut = fit_message(&"长".repeat(1000));
        assert!(cut.len() <= MAX_MESSAGE && cut.chars().all(|c| c == '长'));
    }
}
