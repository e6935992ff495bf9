//! What the engine is told to watch: the checked configuration, without anything that names a socket.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{CheckKind, HostName, ServiceId, Severity};

/// All the engine needs to know. Handed in whole at start and at each reload.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The services, ids unique.
    pub services: Vec<ServiceSpec>,
    /// Rules over metrics.
    pub rules: Vec<RuleSpec>,
    /// Names of the receivers that exist, in the order of the file.
    pub receivers: Vec<Arc<str>>,
    /// Routes, first to last; every matching route is taken. None at all: everything to every receiver.
    pub routes: Vec<RouteSpec>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its id.
    pub id: ServiceId,
    /// The host it runs on.
    pub host: HostName,
    /// Its OS service or process in words (`systemd orders.service`), when it has one.
    pub unit: Option<String>,
    /// What heartbeats are expected, if any.
    pub heartbeat: Option<HeartbeatSpec>,
    /// Active checks, in the order of the file. [`crate::input::Input::Check`] names them by position.
    pub checks: Vec<CheckSpec>,
    /// Services this one cannot work without.
    pub depends_on: Vec<ServiceId>,
    /// How it may be restarted; `None`: never.
    pub restart: Option<RestartSpec>,
    /// Whether `degraded` opens an incident too.
    pub alert_on_degraded: bool,
    /// Severity of the built-in alert `ServiceDown`.
    pub severity: Severity,
    /// How long after a start (of the unit, or of lifesign) silence is not yet held against it.
    pub start_grace: Duration,
}

/// Heartbeats expected from a service. All times positive; `timeout >= interval`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatSpec {
    /// Between two beats.
    pub interval: Duration,
    /// Silence after which the service is `suspect`.
    pub timeout: Duration,
    /// Further intervals without a beat before it is judged.
    pub retries: u32,
    /// Beats in a row that bring it back.
    pub rise: u32,
}

/// One active check as the engine sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// Its kind.
    pub kind: CheckKind,
    /// Its name, unique in the service: the target, or what the user called it.
    pub name: Arc<str>,
    /// Between two looks.
    pub interval: Duration,
    /// Passes in a row that make it pass.
    pub rise: u32,
    /// Failures in a row that make it fail.
    pub fall: u32,
    /// Which group it belongs to: a check over several addresses is one group of several checks.
    pub group: u16,
    /// How many of its group must pass for the service to work (the same value in the whole group).
    pub need: u32,
}

/// A budgeted restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestartSpec {
    /// At most this many restarts …
    pub budget: u32,
    /// … within this window.
    pub window: Duration,
    /// Wait before the first restart of an incident; doubles with each further one …
    pub backoff_min: Duration,
    /// … up to this.
    pub backoff_max: Duration,
    /// How long the new process must live before the restart counts as proven.
    pub prove_for: Duration,
}

/// How a metric is compared with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// A rule: a condition over a metric, for a time, with what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// The alert's name, unique.
    pub alert: Arc<str>,
    /// The condition as written, for people.
    pub when: Arc<str>,
    /// The metric; `host_…` is the host's.
    pub metric: Arc<str>,
    /// The comparison.
    pub comparison: Comparison,
    /// The number.
    pub threshold: f64,
    /// How long the condition must hold before the alert fires.
    pub hold: Duration,
    /// Severity of the alert.
    pub severity: Severity,
    /// The only service it is about; `None`: each that reports the metric.
    pub service: Option<ServiceId>,
    /// Receivers beside the routes'.
    pub notify: Vec<Arc<str>>,
    /// Whether firing restarts the service.
    pub restart: bool,
}

/// One route from alerts to receivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Labels that must all be equal; empty takes all.
    pub matches: Vec<(Arc<str>, Arc<str>)>,
    /// Who is told.
    pub receivers: Vec<Arc<str>>,
    /// Labels whose values make one group of alerts.
    pub group_by: Vec<Arc<str>>,
    /// Wait before the first notification of a group.
    pub group_wait: Duration,
    /// Wait before telling of new alerts in a group already told of.
    pub group_interval: Duration,
    /// Wait before saying the same again.
    pub repeat_interval: Duration,
}
