//! The JSON of the interface. Field names are fixed by the contract with those who script against it;
//! the engine's own types may change shape without them noticing.

mod alert;
mod incident;
mod job;
mod record;
mod service;
mod words;

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use alert::{Alert, Notification, Rule, notify_reason};
pub(crate) use incident::Incident;
pub(crate) use record::{AuditEntry, Host, Ordered, StateChange, verb};
pub(crate) use service::{Explanation, Service};
pub(crate) use words::{time, time_or_null};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T: ToSchema> {
    /// The items of this page.
    pub(crate) items: Vec<T>,
    /// To be sent as `cursor` for the next page; null: this was the last.
    #[schema(required)]
    pub(crate) next: Option<String>,
}
