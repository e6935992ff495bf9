//! Alerts, the rules they come from, and the notifications that tell of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifesign_core::effect::{self, AlertState, NotifyReason};
use lifesign_core::time::Wall;
use lifesign_core::view;
use lifesign_store::{SendState, SentNotification};
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{alert_states, alert_states_or_null, time, time_or_null};

/// An alert.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Alert {
    /// The same alert has the same fingerprint for ever.
    #[schema(value_type = String)]
    fingerprint: Arc<str>,
    /// How it stands.
    #[schema(schema_with = alert_states)]
    state: AlertState,
    /// `alertname`, `service`, `host`, `reason`, `severity`, …
    #[schema(value_type = BTreeMap<String, String>)]
    labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `summary`, `description`.
    #[schema(value_type = BTreeMap<String, String>)]
    annotations: BTreeMap<Arc<str>, String>,
    /// Since when.
    #[schema(schema_with = time)]
    starts_at: Wall,
    /// When it ended.
    #[schema(schema_with = time_or_null, required)]
    ends_at: Option<Wall>,
    /// Its incident.
    #[schema(required)]
    incident_id: Option<u64>,
}

impl From<effect::Alert> for Alert {
    fn from(alert: effect::Alert) -> Self {
        Self {
            fingerprint: alert.fingerprint,
            state: alert.state,
            labels: alert.labels.into_iter().collect(),
            annotations: alert.annotations.into_iter().collect(),
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            incident_id: alert.incident.map(|id| id.0),
        }
    }
}

/// A rule with the alerts it has now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rule {
    /// The alert's name.
    #[schema(value_type = String)]
    pub(crate) alert: Arc<str>,
    /// The condition as written.
    #[schema(value_type = String)]
    when: Arc<str>,
    /// The worst state of its alerts; null: inactive.
    #[schema(schema_with = alert_states_or_null, required)]
    state: Option<AlertState>,
    /// Its pending and firing alerts.
    alerts: Vec<Alert>,
}

impl From<view::RuleView> for Rule {
    fn from(view: view::RuleView) -> Self {
        Self {
            alert: view.alert,
            when: view.when,
            state: view.state,
            alerts: view.alerts.into_iter().map(Into::into).collect(),
        }
    }
}

/// A message to a receiver, and how it fared.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Notification {
    /// Sent as `Idempotency-Key`: whoever gets it twice has got the same thing twice.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// When the engine decided to send it.
    #[schema(schema_with = time)]
    at: Wall,
    /// Who is told.
    #[schema(value_type = String)]
    receiver: Arc<str>,
    /// Why it leaves: `first_firing`, `new_alerts`, `some_resolved`, `all_resolved` or `repeat`.
    reason: &'static str,
    /// `pending`, `delivered` or `refused`.
    status: &'static str,
    /// Attempts begun.
    attempts: u32,
    /// How often it was sent although an earlier sending may have arrived.
    repeats: u32,
    /// Earliest next attempt; null when it is settled.
    #[schema(schema_with = time_or_null, required)]
    next_at: Option<Wall>,
    /// When it was settled.
    #[schema(schema_with = time_or_null, required)]
    finished_at: Option<Wall>,
    /// The receiver's words to the last attempt.
    #[schema(value_type = Option<String>, required)]
    answer: Option<Arc<str>>,
    /// The labels that make the group of alerts it tells of.
    #[schema(value_type = BTreeMap<String, String>)]
    group_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The alerts, firing ones first.
    alerts: Vec<Alert>,
    /// The incident of the first alert that has one.
    #[schema(required)]
    incident_id: Option<u64>,
}

impl From<SentNotification> for Notification {
    fn from(sent: SentNotification) -> Self {
        let notification = sent.notification;
        Self {
            id: notification.id,
            at: notification.at,
            receiver: notification.receiver,
            reason: notify_reason(notification.reason),
            status: sent.state.as_str(),
            attempts: sent.attempts,
            repeats: sent.repeats,
            next_at: (sent.state == SendState::Pending).then_some(sent.next_at),
            finished_at: sent.finished_at,
            answer: sent.last_answer,
            group_labels: notification.group_labels.into_iter().collect(),
            alerts: notification.alerts.into_iter().map(Into::into).collect(),
            incident_id: notification.incident.map(|id| id.0),
        }
    }
}

/// Why a notification leaves.
pub(crate) const fn notify_reason(reason: NotifyReason) -> &'static str {
    match reason {
        NotifyReason::FirstFiring => "first_firing",
        NotifyReason::NewAlerts => "new_alerts",
        NotifyReason::AllResolved => "all_resolved",
        NotifyReason::SomeResolved => "some_resolved",
        NotifyReason::Repeat => "repeat",
    }
}
