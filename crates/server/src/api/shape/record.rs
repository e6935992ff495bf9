//! Hosts, changes of state, orders and the audit log.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifesign_core::effect::{self, Transition, Verb};
use lifesign_core::model::{Reason, State};
use lifesign_core::time::Wall;
use lifesign_core::view;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{reason_words, state_words, time, time_or_null};

/// A host with its last sample.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Host {
    /// Its name.
    #[schema(value_type = String)]
    host: Arc<str>,
    /// Last value of each metric.
    #[schema(value_type = BTreeMap<String, f64>)]
    metrics: BTreeMap<Arc<str>, f64>,
    /// When it was sampled.
    #[schema(schema_with = time_or_null, required)]
    sampled_at: Option<Wall>,
    /// How many services it has.
    services: u32,
}

impl From<view::HostView> for Host {
    fn from(view: view::HostView) -> Self {
        Self { host: view.host, metrics: view.metrics, sampled_at: view.sampled_at, services: view.services }
    }
}

/// A change of state, as `state` events tell it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateChange {
    /// When.
    #[schema(schema_with = time)]
    at: Wall,
    /// Which service.
    service_id: String,
    /// Before.
    #[schema(schema_with = state_words)]
    from: State,
    /// After.
    #[schema(schema_with = state_words)]
    state: State,
    /// Why.
    #[schema(schema_with = reason_words, required)]
    reason: Option<Reason>,
    /// One English sentence with the evidence.
    detail: String,
}

impl From<&Transition> for StateChange {
    fn from(transition: &Transition) -> Self {
        Self {
            at: transition.at,
            service_id: transition.service.as_str().to_owned(),
            from: transition.from,
            state: transition.to,
            reason: transition.reason,
            detail: transition.detail.clone(),
        }
    }
}

/// An action that became of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ordered {
    /// The action's id, as in `action` events.
    #[schema(value_type = String)]
    pub(crate) action_id: Arc<str>,
    /// The service it is done to.
    pub(crate) service_id: String,
}

/// One line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    /// When.
    #[schema(schema_with = time)]
    at: Wall,
    /// Who: a token's name, or `lifesign`.
    #[schema(value_type = String)]
    by: Arc<str>,
    /// What: `restart`, `pause`, `acknowledge`, `reload`, `login`, …
    #[schema(value_type = String)]
    action: Arc<str>,
    /// To what.
    target: String,
    /// How it went, or why it was refused.
    detail: String,
}

impl From<effect::AuditEntry> for AuditEntry {
    fn from(entry: effect::AuditEntry) -> Self {
        Self { at: entry.at, by: entry.by, action: entry.action, target: entry.target, detail: entry.detail }
    }
}

/// What is done.
pub(crate) const fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Restart => "restart",
    }
}
