//! A notification as Alertmanager's webhook message, version 4.
//!
//! The shape that receivers for Alertmanager already understand, key for key
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>). Commands get the same on
//! their standard input, so that one script serves both. What a process has left at its end is the annotation `evidence`.

use std::collections::BTreeMap;

use lifesign_core::effect::{Alert, AlertState, Notification};
use lifesign_core::time::Wall;
use serde::Serialize;

/// How Alertmanager writes "not ended": the zero time of Go.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

type Pairs<'a> = BTreeMap<&'a str, &'a str>;

/// The message, in Alertmanager's order of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<AlertPart<'a>>,
    group_labels: Pairs<'a>,
    common_labels: Pairs<'a>,
    common_annotations: Pairs<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertPart<'a> {
    status: &'static str,
    labels: Pairs<'a>,
    annotations: Pairs<'a>,
    starts_at: Wall,
    ends_at: EndsAt,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum EndsAt {
    At(Wall),
    NotYet(&'static str),
}

impl<'a> Payload<'a> {
    /// The message for `notification` with at most `max_alerts` alerts (the firing ones come first); how
    /// many were left out is said in it.
    pub fn new(notification: &'a Notification, external_url: &'a str, max_alerts: usize) -> Self {
        let alerts: Vec<AlertPart<'a>> =
            notification.alerts.iter().take(max_alerts).map(|alert| part(alert, external_url)).collect();
        Self {
            receiver: &notification.receiver,
            status: status(notification),
            group_labels: pairs(&notification.group_labels),
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            external_url,
            version: "4",
            group_key: group_key(notification),
            truncated_alerts: notification.alerts.len() - alerts.len(),
            alerts,
        }
    }

    /// One line of compact JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys: nothing that JSON could not write.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// `firing` while any alert of the group fires, else `resolved`.
pub(crate) fn status(notification: &Notification) -> &'static str {
    let over = notification.alerts.iter().all(|alert| alert.state == AlertState::Resolved);
    if over { "resolved" } else { "firing" }
}

/// The dashboard's page about an alert: its incident where it has one, else its service.
pub(crate) fn link(alert: &Alert, external_url: &str) -> String {
    let service = || alert.labels.iter().find(|(name, _)| &**name == "service");
    match (alert.incident, service()) {
        (Some(incident), _) => format!("{external_url}/incidents/{incident}"),
        (None, Some((_, service))) => format!("{external_url}/services/{service}"),
        (None, None) => format!("{external_url}/"),
    }
}

fn part<'a>(alert: &'a Alert, external_url: &str) -> AlertPart<'a> {
    AlertPart {
        status: if alert.state == AlertState::Resolved { "resolved" } else { "firing" },
        labels: pairs(&alert.labels),
        annotations: alert.annotations.iter().map(|(name, text)| (&**name, text.as_str())).collect(),
        starts_at: alert.starts_at,
        ends_at: alert.ends_at.map_or(EndsAt::NotYet(NOT_ENDED), EndsAt::At),
        generator_url: link(alert, external_url),
        fingerprint: &alert.fingerprint,
    }
}

fn pairs(labels: &[(std::sync::Arc<str>, std::sync::Arc<str>)]) -> Pairs<'_> {
    labels.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// The pairs that every map has.
fn common<'a: 'b, 'b>(mut maps: impl Iterator<Item = &'b Pairs<'a>>) -> Pairs<'a> {
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

/// The group as Alertmanager writes it: its place in the tree of routes (ours is flat, `{}`), then its
/// labels. The same for every message about the group.
fn group_key(notification: &Notification) -> String {
    let labels: Vec<String> =
        notification.group_labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}
