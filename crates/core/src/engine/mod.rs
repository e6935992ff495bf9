//! The engine: takes inputs, keeps the truth about every service, asks for effects.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::effect::{Alert, Effect, Incident, Memory, Notification, TimelineEntry};
use crate::input::{Input, Refusal};
use crate::model::{IncidentId, State};
use crate::time::{Mono, Now};
use crate::view::{Counts, Explanation, HostView, RuleView, ServiceView};

/// What the store remembers of an earlier life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Past {
    /// The services' memories.
    pub memories: Vec<Memory>,
    /// Open incidents with their timelines.
    pub incidents: Vec<(Incident, Vec<TimelineEntry>)>,
    /// The number of the next incident.
    pub next_incident: u64,
    /// Pending and firing alerts.
    pub alerts: Vec<Alert>,
    /// The newest notification of each receiver and group.
    pub notified: Vec<Notification>,
}

/// What the giver of an input is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Done,
    /// A heartbeat was taken; the service's state after it.
    Beat(State),
    /// There is no such service.
    NoSuchService,
    /// The order was refused.
    Refused(Refusal),
    /// The order became this action.
    Action(Arc<str>),
}

/// The engine. See the crate's documentation for its contract.
#[derive(Debug, Default)]
pub struct Engine {}

#[expect(clippy::unused_self, unused_variables, reason = "first commit of the interface")]
impl Engine {
    /// An engine that watches nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what an earlier life knew. Call once, before the first [`Input::Configure`].
    pub fn restore(&mut self, now: Now, past: Past) {}

    /// Takes one input and appends what has to be done.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) -> Answer {
        Answer::Done
    }

    /// When the engine wants to be stepped at the latest, even if nothing happens ([`Input::Tick`]).
    pub fn next_deadline(&self) -> Mono {
        Mono::NEVER
    }

    /// One service.
    pub fn service(&self, id: &str, now: Now) -> Option<ServiceView> {
        None
    }

    /// Every service, in the order of the configuration.
    pub fn services(&self, now: Now) -> Vec<ServiceView> {
        Vec::new()
    }

    /// How many services are in each state.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// The hosts, sorted by name.
    pub fn hosts(&self, now: Now) -> Vec<HostView> {
        Vec::new()
    }

    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> Vec<RuleView> {
        Vec::new()
    }

    /// Pending and firing alerts, oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        Vec::new()
    }

    /// An open incident with its timeline so far.
    pub fn open_incident(&self, id: IncidentId) -> Option<(Incident, Vec<TimelineEntry>)> {
        None
    }

    /// All open incidents, newest first.
    pub fn open_incidents(&self) -> Vec<Incident> {
        Vec::new()
    }

    /// Why a service is as it is.
    pub fn explain(&self, id: &str, now: Now) -> Option<Explanation> {
        None
    }
}
