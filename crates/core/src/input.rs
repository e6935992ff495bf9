//! Everything that can happen to the engine. Inputs are data: they can be written down and replayed.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, CheckReport, HostSample, Process, UnitFacts, UnitReport};
use crate::model::{HostName, IncidentId, ServiceId};
use crate::spec::Spec;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// The configuration, at start and at each reload. Services that stay keep their state.
    Configure(Arc<Spec>),
    /// A heartbeat arrived.
    Beat(Beat),
    /// A unit was looked at, or told about itself.
    Unit {
        /// Whose unit.
        service: ServiceId,
        /// What was seen.
        report: UnitReport,
    },
    /// The OS was asked what else it knows of a unit.
    UnitFacts {
        /// Whose unit.
        service: ServiceId,
        /// What it knows.
        facts: Box<UnitFacts>,
    },
    /// A probe finished.
    Check {
        /// Whose check.
        service: ServiceId,
        /// Its place in [`crate::spec::Terms::checks`].
        check: u16,
        /// What it found.
        report: CheckReport,
    },
    /// A host's own metrics.
    Host(HostSample),
    /// The agent of a host is connected, or is given up by whoever watches its link.
    Link {
        /// The host.
        host: HostName,
        /// Whether its agent is there.
        connected: bool,
    },
    /// Something that happened `age` ago and could not be told in time. It never revives or kills.
    Late {
        /// How long ago, by the monotonic clock of whoever kept it.
        age: Duration,
        /// What happened.
        input: Box<Input>,
    },
    /// An action ended.
    ActionDone(ActionReport),
    /// A person, by API or command line.
    Order {
        /// The name of the token or user.
        by: Arc<str>,
        /// What is wanted.
        order: Order,
    },
    /// A receiver's answer to a notification, for the timeline and for `explain`.
    Delivery(DeliveryReport),
    /// Time passed; nothing else happened.
    Tick,
}

/// What a person may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Restart the service now. Counts against no budget; refused while paused or while a restart runs.
    Restart(ServiceId),
    /// Go on watching, hold alerts and restarts.
    Pause(ServiceId),
    /// End a pause.
    Resume(ServiceId),
    /// Watch a service no longer that its own heartbeat has made; the next one makes it anew.
    Forget(ServiceId),
    /// Somebody takes care of the incident.
    Acknowledge(IncidentId),
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// No such service.
    #[error("no service {0}")]
    NoSuchService(ServiceId),
    /// No such incident.
    #[error("no incident {0}")]
    NoSuchIncident(IncidentId),
    /// The incident is closed.
    #[error("incident {0} is closed already")]
    IncidentClosed(IncidentId),
    /// The service has no unit that could be restarted.
    #[error("{0} has no unit, so there is nothing to restart")]
    NoUnit(ServiceId),
    /// A restart is under way.
    #[error("{0} is being restarted already")]
    RestartRunning(ServiceId),
    /// The service is paused.
    #[error("{0} is paused; resume it first")]
    Paused(ServiceId),
    /// The configuration names the service.
    #[error("{0} stands in the configuration; take it out there and reload")]
    Configured(ServiceId),
}

/// How the id of an action begins that an agent did by itself, while no server heard it.
pub const ALONE: &str = "alone-";

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// The action's id, as in [`crate::effect::Action`].
    pub id: Arc<str>,
    /// The service it was done to.
    pub service: ServiceId,
    /// The new process where the OS named one, or why it failed.
    pub result: Result<Option<Process>, String>,
    /// Whether it failed because it was not the time for it (an update or a shutdown is under way, the OS itself is at
    /// it), or lifesign has not the right: nothing was touched, so that counts against no budget and is tried again.
    #[serde(default)]
    pub refused: bool,
}

/// How one attempt to deliver ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// The notification's id.
    pub id: Arc<str>,
    /// The incident it told of, when it told of one.
    pub incident: Option<IncidentId>,
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// How often it has been tried, this attempt included.
    pub attempt: u32,
    /// Whether the other side took it.
    pub delivered: bool,
    /// The other side's words, bounded, secrets removed.
    pub answer: String,
}
