//! Everything the engine asks of the shell. Effects are idempotent: ids come from their cause.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::Process;
use crate::job::JobMemory;
use crate::model::{IncidentId, Reason, ServiceId, Severity, State};
use crate::time::Wall;
use crate::view::Fact;

/// One thing to be done. All effects of one step belong into one transaction of the store; only after
/// its commit are [`Effect::Notify`] and [`Effect::Act`] carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// A service changed its state or its reason.
    Transition(Transition),
    /// An incident opened, changed or closed: the whole record as it is now (without its timeline).
    Incident(Incident),
    /// A line of an incident's timeline.
    Timeline {
        /// The incident.
        incident: IncidentId,
        /// The line.
        entry: TimelineEntry,
    },
    /// An alert became pending, fired or resolved: the whole record as it is now.
    Alert(Alert),
    /// Tell a receiver: goes into the outbox.
    Notify(Notification),
    /// Do something to a service.
    Act(Action),
    /// Look at this service's unit and probes now, not at their next turn.
    LookNow(ServiceId),
    /// What must survive a restart of lifesign about this service has changed.
    Remember(Memory),
    /// Something a person or the machine did, for the audit log.
    Audit(AuditEntry),
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Wall,
    /// Which service.
    pub service: ServiceId,
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why; `None` where the state says it all.
    pub reason: Option<Reason>,
    /// One English sentence with the evidence.
    pub detail: String,
    /// The evidence and its numbers at that moment, for `explain --at`.
    #[serde(default)]
    pub facts: Vec<Fact>,
}

/// One opened-to-closed stretch of bad state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// Whose.
    pub service_id: ServiceId,
    /// The host of the service.
    pub host: Arc<str>,
    /// The state that opened it, or the worst since.
    pub state: State,
    /// The reason that belongs to that state.
    pub reason: Option<Reason>,
    /// Severity of its alert.
    pub severity: Severity,
    /// When the trouble began, as far as the evidence tells (last heartbeat, first failed probe).
    pub opened_at: Wall,
    /// When lifesign judged it.
    pub detected_at: Wall,
    /// When it ended.
    pub closed_at: Option<Wall>,
    /// Who takes care.
    pub acknowledged_by: Option<Arc<str>>,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Wall,
    /// What, as one word: `opened`, `state`, `evidence`, `restart_scheduled`, `restart_started`,
    /// `restart_done`, `restart_failed`, `restart_refused`, `restart_withheld`, `proven`, `not_proven`, `notified`,
    /// `notify_failed`, `acknowledged`, `output`, `closed`.
    pub what: Arc<str>,
    /// In words, English.
    pub detail: String,
}

/// How an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// The condition holds, not yet long enough.
    Pending,
    /// Firing.
    Firing,
    /// Over.
    Resolved,
}

/// An alert: a rule (or the built-in `ServiceDown`) with its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Hex digest of the labels; the same alert has the same fingerprint for ever.
    pub fingerprint: Arc<str>,
    /// How it stands.
    pub state: AlertState,
    /// `alertname`, `service`, `host`, `reason`, `severity`, … sorted by name.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// `summary`, `description`, sorted by name.
    pub annotations: Vec<(Arc<str>, String)>,
    /// Since when.
    pub starts_at: Wall,
    /// When it ended.
    pub ends_at: Option<Wall>,
    /// Its incident, when it has one.
    pub incident: Option<IncidentId>,
}

/// A message for one receiver about one group of alerts. The id is derived from its cause, so writing or
/// sending it again is recognised as the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Digest of group, receiver and the alerts' phases. Sent as `Idempotency-Key`.
    pub id: Arc<str>,
    /// When the engine decided to send it.
    pub at: Wall,
    /// Who is told.
    pub receiver: Arc<str>,
    /// Why now.
    pub reason: NotifyReason,
    /// The labels that make the group, sorted by name.
    pub group_labels: Vec<(Arc<str>, Arc<str>)>,
    /// The alerts, firing ones first. Never empty.
    pub alerts: Vec<Alert>,
    /// The incident of the first alert that has one.
    pub incident: Option<IncidentId>,
}

/// Why a notification leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyReason {
    /// The first of its group.
    FirstFiring,
    /// New alerts joined the group.
    NewAlerts,
    /// All of the group is over.
    AllResolved,
    /// Some of it is over.
    SomeResolved,
    /// The repeat interval passed and it still fires.
    Repeat,
}

/// Something to be done to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Derived from service, incident and attempt.
    pub id: Arc<str>,
    /// To which service.
    pub service: ServiceId,
    /// What.
    pub verb: Verb,
    /// Who or what ordered it: `remediation`, `rule HighCpu`, or a token's name.
    pub by: Arc<str>,
}

/// What can be done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Stop it (cleanly, then by force) if it runs, then start it.
    Restart,
}

/// What is kept about a service over a restart of lifesign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Which.
    pub service: ServiceId,
    /// State when last written.
    pub state: State,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Wall,
    /// Last heartbeat heard.
    pub last_heartbeat_at: Option<Wall>,
    /// How long lifesign had listened in vain for the next one when this was written: frequent restarts must
    /// not hide a death. Not a difference of wall times, which a step of the clock would falsify.
    #[serde(default)]
    pub silence: Duration,
    /// The process of its unit that this silence speaks of; `None` where none was ever seen. Another one gets its
    /// own chance.
    #[serde(default)]
    pub process: Option<Process>,
    /// Whether a person paused it.
    pub paused: bool,
    /// The open incident.
    pub incident: Option<IncidentId>,
    /// Times of past restarts inside the budget's window, oldest first.
    pub restarts: Vec<Wall>,
    /// Whether a restart had been ordered and its end not seen: the system may still be at it, and its stop is
    /// nobody's wish.
    #[serde(default)]
    pub restarting: bool,
    /// What is known of its runs, where it is a job.
    #[serde(default)]
    pub job: Option<Box<JobMemory>>,
    /// Whether its own heartbeat made it, and no configuration.
    #[serde(default)]
    pub created: bool,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Wall,
    /// Who: a token's name, or `lifesign`.
    pub by: Arc<str>,
    /// What: `restart`, `pause`, `acknowledge`, `reload`, …
    pub action: Arc<str>,
    /// To what.
    pub target: String,
    /// How it went, or why it was refused.
    pub detail: String,
}
