//! An incident and its timeline.

use std::sync::Arc;

use lifesign_core::effect;
use lifesign_core::model::{Reason, Severity, State};
use lifesign_core::time::Wall;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{reason_words, severities, state_words, time, time_or_null};

/// One opened-to-closed stretch of bad state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Incident {
    /// Its number.
    id: u64,
    /// Whose.
    service_id: String,
    /// The host of the service.
    #[schema(value_type = String)]
    host: Arc<str>,
    /// The state that opened it, or the worst since.
    #[schema(schema_with = state_words)]
    state: State,
    /// The reason that belongs to that state.
    #[schema(schema_with = reason_words, required)]
    reason: Option<Reason>,
    /// Severity of its alert.
    #[schema(schema_with = severities)]
    severity: Severity,
    /// When the trouble began, as far as the evidence tells.
    #[schema(schema_with = time)]
    opened_at: Wall,
    /// When lifesign judged it.
    #[schema(schema_with = time)]
    detected_at: Wall,
    /// When it ended.
    #[schema(schema_with = time_or_null, required)]
    closed_at: Option<Wall>,
    /// Who takes care.
    #[schema(value_type = Option<String>, required)]
    acknowledged_by: Option<Arc<str>>,
    /// What happened, oldest first. Only with a single incident, not in lists and events.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<TimelineEntry>>,
}

/// One line of a timeline.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TimelineEntry {
    /// When.
    #[schema(schema_with = time)]
    at: Wall,
    /// What, as one word: `opened`, `state`, `restart_started`, `notified`, `acknowledged`, `closed`, …
    #[schema(value_type = String)]
    what: Arc<str>,
    /// In words.
    detail: String,
}

impl From<effect::Incident> for Incident {
    fn from(incident: effect::Incident) -> Self {
        Self {
            id: incident.id.0,
            service_id: incident.service_id.into(),
            host: incident.host,
            state: incident.state,
            reason: incident.reason,
            severity: incident.severity,
            opened_at: incident.opened_at,
            detected_at: incident.detected_at,
            closed_at: incident.closed_at,
            acknowledged_by: incident.acknowledged_by,
            timeline: None,
        }
    }
}

impl From<(effect::Incident, Vec<effect::TimelineEntry>)> for Incident {
    fn from((incident, timeline): (effect::Incident, Vec<effect::TimelineEntry>)) -> Self {
        let line = |entry: effect::TimelineEntry| TimelineEntry {
            at: entry.at,
            what: entry.what,
            detail: entry.detail,
        };
        Self { timeline: Some(timeline.into_iter().map(line).collect()), ..incident.into() }
    }
}
