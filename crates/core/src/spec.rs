//! What the engine is told to watch: the checked configuration, without anything that names a socket.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::JobSpec;
use crate::model::{CheckKind, HostName, ServiceId, Severity};

/// All the engine needs to know. Handed in whole at start and at each reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The services, ids unique.
    pub services: Vec<ServiceSpec>,
    /// Rules over metrics.
    pub rules: Vec<RuleSpec>,
    /// Names of the receivers that exist, in the order of the file.
    pub receivers: Vec<Arc<str>>,
    /// Routes, first to last; every matching route is taken. None at all: everything to every receiver.
    pub routes: Vec<RouteSpec>,
    /// How many questions a second may be asked at suspicion, all services together. Above it the detectors go
    /// on alone, to their caps.
    pub confirmations_per_second: u32,
    /// What becomes of a heartbeat whose service nobody has named; `None`: it is refused.
    #[serde(default)]
    pub unknown: Option<Unknown>,
}

/// How services are watched that are known only by their heartbeats. They stay, also over a restart, until this is
/// switched off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unknown {
    /// All on these terms.
    pub terms: Arc<Terms>,
    /// At most so many; heartbeats of more are refused.
    pub most: u32,
}

impl Unknown {
    /// What the service `id` is watched by.
    pub fn spec(&self, id: ServiceId) -> ServiceSpec {
        ServiceSpec { id, terms: Arc::clone(&self.terms) }
    }
}

/// Default of [`Spec::confirmations_per_second`].
pub const CONFIRMATIONS_PER_SECOND: u32 = 200;

impl Default for Spec {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            rules: Vec::new(),
            receivers: Vec::new(),
            routes: Vec::new(),
            confirmations_per_second: CONFIRMATIONS_PER_SECOND,
            unknown: None,
        }
    }
}

/// One service: its name, and the terms on which it is watched. It reads as if the terms were its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its id.
    pub id: ServiceId,
    /// How it is watched. Services that are watched alike share it: a million of them need one.
    #[serde(flatten)]
    pub terms: Arc<Terms>,
}

impl ServiceSpec {
    /// The service `id`, watched on these terms.
    pub fn new(id: ServiceId, terms: Terms) -> Self {
        Self { id, terms: Arc::new(terms) }
    }
}

impl Deref for ServiceSpec {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

impl DerefMut for ServiceSpec {
    /// Terms that are shared are copied first.
    fn deref_mut(&mut self) -> &mut Terms {
        Arc::make_mut(&mut self.terms)
    }
}

/// How a service is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The host it runs on.
    pub host: HostName,
    /// Its OS service or process in words (`systemd orders.service`), when it has one.
    pub unit: Option<String>,
    /// What heartbeats are expected, if any.
    pub heartbeat: Option<HeartbeatSpec>,
    /// When it runs, if it is a job: then its reports tell of runs, and no heartbeats are expected.
    #[serde(default)]
    pub job: Option<JobSpec>,
    /// Active checks, in the order of the file. [`crate::input::Input::Check`] names them by position.
    pub checks: Vec<CheckSpec>,
    /// What this one cannot work without.
    pub depends_on: Vec<Dependency>,
    /// How it may be restarted; `None`: never.
    pub restart: Option<RestartSpec>,
    /// Whether `degraded` opens an incident too.
    pub alert_on_degraded: bool,
    /// Severity of the built-in alert `ServiceDown`.
    pub severity: Severity,
    /// How long after a start (of the unit, or of lifesign) silence is not yet held against it.
    pub start_grace: Duration,
}

impl Terms {
    /// Nothing is expected of a service on `host`: the base of literal terms.
    pub const fn on(host: HostName) -> Self {
        Self {
            host,
            unit: None,
            heartbeat: None,
            job: None,
            checks: Vec::new(),
            depends_on: Vec::new(),
            restart: None,
            alert_on_degraded: false,
            severity: Severity::Critical,
            start_grace: Duration::ZERO,
        }
    }
}

/// What a service cannot work without: at least `need` of the services in `of`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The services, each as good as the others. Never empty.
    pub of: Vec<ServiceId>,
    /// How many of them must work; at least 1.
    pub need: u32,
}

impl Dependency {
    /// One service that must work.
    pub fn on(service: ServiceId) -> Self {
        Self { of: vec![service], need: 1 }
    }
}

/// Heartbeats expected from a service. All times positive; `timeout >= interval`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatSpec {
    /// Between two beats; in back-off mode the longest.
    pub interval: Duration,
    /// How the sender spaces its beats.
    pub mode: Mode,
    /// Silence after which the service is `suspect`: exactly with [`DetectorSpec::Fixed`], at the latest with
    /// the others.
    pub timeout: Duration,
    /// Further intervals without a beat before it is judged (fixed detector, or an application that answers
    /// while its heart is silent).
    pub retries: u32,
    /// Beats in a row that bring it back.
    pub rise: u32,
    /// How the moment of suspicion is found.
    pub detector: DetectorSpec,
    /// Whether the other evidence is asked at suspicion, and may end it early.
    pub confirm: bool,
    /// A sender that counts its progress and stands still for longer than this is hung, though it beats.
    pub progress_within: Option<Duration>,
    /// How many of how many sources must speak against it; `None`: all that answer.
    pub second_opinion: Option<Confirm>,
}

impl HeartbeatSpec {
    /// A heartbeat that is due so rarely that it never is: the base of literal specifications.
    pub const fn never() -> Self {
        Self {
            interval: Duration::from_secs(31_536_000),
            mode: Mode::Fixed,
            timeout: Duration::from_secs(31_536_000),
            retries: 0,
            rise: 1,
            detector: DetectorSpec::Fixed,
            confirm: false,
            progress_within: None,
            second_opinion: None,
        }
    }

    /// The longest silence that is ever held against a sender at its configured interval.
    pub fn longest_silence(&self) -> Duration {
        self.timeout.saturating_add(self.interval.saturating_mul(self.retries))
    }
}

/// How a sender spaces its heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Always the same interval.
    Fixed,
    /// From a second on, doubling while all goes well, up to the interval; each beat says when the next is due.
    Backoff,
    /// As fixed; and each beat says whether its sender hears us.
    Mutual,
}

/// How the moment of suspicion is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectorSpec {
    /// [`HeartbeatSpec::timeout`] after the last beat.
    Fixed,
    /// Chen's NFD-E.
    Chen {
        /// Margin after the expected arrival (α).
        margin: Duration,
        /// Arrivals it is learnt from.
        window: u32,
    },
    /// The φ accrual detector.
    Accrual {
        /// φ at which the service is suspect.
        threshold: f64,
        /// Gaps it is learnt from.
        window: u32,
    },
    /// The default: exponential means of arrival and deviation.
    Adaptive(Profile),
}

/// How long the adaptive detector asks around before it judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Early, and sometimes wrong on weak networks.
    Fast,
    /// Three quarters of the time of a fixed timeout, with fewer mistakes.
    Default,
    /// Close to the cap, with next to no mistakes.
    Strict,
}

/// `need` of `of` sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// So many must speak against the service.
    pub need: u32,
    /// Of so many that are asked.
    pub of: u32,
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
