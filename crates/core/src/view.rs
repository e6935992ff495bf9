//! What people and programs see of the engine. These types serialise as the contract's JSON.

mod detection;
pub mod replay;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::{Alert, AlertState};
use crate::evidence::{Component, Phases};
use crate::job::{Going, RunRecord};
use crate::model::{CheckKind, CheckState, HostName, IncidentId, Reason, ServiceId, State};
use crate::time::Wall;

pub use self::detection::Detection;
pub use self::unit::UnitView;

/// One service, as `GET /api/v1/services/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// Its host.
    pub host: HostName,
    /// Its state.
    pub state: State,
    /// Why.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Wall,
    /// Last heartbeat heard, by our own clock.
    pub last_heartbeat_at: Option<Wall>,
    /// Whether alerts and restarts are held.
    pub paused: bool,
    /// Every source of evidence: the unit first, then the heartbeat, then the probes.
    pub checks: Vec<CheckView>,
    /// Last value of each metric.
    pub metrics: BTreeMap<Arc<str>, f64>,
    /// The open incident.
    pub incident_id: Option<IncidentId>,
    /// One English sentence: why it is in this state.
    pub detail: String,
    /// The process of its unit, when it runs and the OS names one.
    pub pid: Option<u32>,
    /// Components the service itself reports.
    pub components: Vec<Component>,
    /// How far the sender's clock is from ours, in milliseconds (positive: ahead), when it said a time
    /// and that is more than [`crate::SKEW_NOTICE`] away.
    pub clock_skew_ms: Option<i64>,
    /// Services it depends on.
    pub depends_on: Vec<ServiceId>,
    /// How soon its silence is noticed; `None`: it sends no heartbeats.
    #[serde(default)]
    pub detection: Option<Detection>,
    /// Its unit, as the OS has it; `None`: it has none.
    #[serde(default)]
    pub unit: Option<UnitView>,
    /// Its runs; `None`: it is no job.
    #[serde(default)]
    pub job: Option<JobView>,
}

/// A job: when it runs, and how it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// When it is due, in words: `0 3 * * * Europe/Berlin`, `every 24h`.
    pub schedule: String,
    /// How long after a due time nothing heard is not yet held against it.
    pub grace: Duration,
    /// The longest a run may take, where that is written.
    pub max_runtime: Option<Duration>,
    /// The due time that is awaited next.
    pub next_due: Option<Wall>,
    /// The due time that was missed, while that is held against it.
    pub missed: Option<Wall>,
    /// The runs that go on, oldest first.
    pub running: Vec<Going>,
    /// The runs that have ended, newest first; the newest with its output.
    pub recent: Vec<RunRecord>,
}

/// One source of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// Its kind.
    pub kind: CheckKind,
    /// Its name.
    pub name: Arc<str>,
    /// How it stands.
    pub state: CheckState,
    /// The last result in words.
    pub output: String,
    /// When it was last looked at.
    pub at: Option<Wall>,
    /// Where the time went (probes only).
    pub phases: Option<Phases>,
}

/// How many services are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// `pending`
    pub pending: u32,
    /// `up`
    pub up: u32,
    /// `degraded`
    pub degraded: u32,
    /// `suspect`
    pub suspect: u32,
    /// `down`
    pub down: u32,
    /// `unknown`
    pub unknown: u32,
}

/// A host with its last sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// Its name.
    pub host: HostName,
    /// Last value of each metric.
    pub metrics: BTreeMap<Arc<str>, f64>,
    /// When it was sampled.
    pub sampled_at: Option<Wall>,
    /// How many services it has.
    pub services: u32,
}

/// A rule with the alerts it has now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// The alert's name.
    pub alert: Arc<str>,
    /// The condition as written.
    pub when: Arc<str>,
    /// The worst state of its alerts; `None`: inactive.
    pub state: Option<AlertState>,
    /// Its pending and firing alerts.
    pub alerts: Vec<Alert>,
}

/// Why a service is as it is: sentences a person can read, with their numbers beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which.
    pub id: ServiceId,
    /// Its state.
    pub state: State,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Wall,
    /// The sentences, verdict first, then evidence, deadlines, restarts, notifications.
    pub facts: Vec<Fact>,
}

/// One sentence of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Which part it belongs to.
    pub about: About,
    /// Stable word for the kind of sentence; the key of its translation (`explain-<code>`).
    pub code: Arc<str>,
    /// The sentence's variables, by name.
    pub args: BTreeMap<Arc<str>, String>,
    /// The sentence in English.
    pub text: String,
}

/// The parts of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// State and the rule of the verdict table that gave it.
    Verdict,
    /// What was seen.
    Evidence,
    /// What will happen when nothing more is heard.
    Deadline,
    /// What had happened in the incident that was open (past moments only).
    Incident,
    /// Why it was or was not restarted.
    Restart,
    /// Why somebody was or was not told.
    Notification,
    /// What the OS knows of its unit.
    Unit,
}
