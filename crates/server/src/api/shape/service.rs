//! A service, its checks, and why it is as it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::model::{CheckKind, CheckState, Reason, State};
use lifesign_core::time::Wall;
use lifesign_core::{evidence, view};
use serde::Serialize;
use utoipa::ToSchema;

use super::job::Job;
use super::words::{abouts, check_kinds, check_states, reason_words, state_words, time, time_or_null};

/// A service and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Service {
    /// Its id.
    id: String,
    /// Its host.
    #[schema(value_type = String)]
    host: Arc<str>,
    /// Its state.
    #[schema(schema_with = state_words)]
    state: State,
    /// Why it is in this state; null where the state says it all.
    #[schema(schema_with = reason_words, required)]
    reason: Option<Reason>,
    /// Since when.
    #[schema(schema_with = time)]
    since: Wall,
    /// Last heartbeat heard, by the server's clock.
    #[schema(schema_with = time_or_null, required)]
    last_heartbeat_at: Option<Wall>,
    /// Whether alerts and restarts are held.
    paused: bool,
    /// Every source of evidence: the unit, the heartbeat, the probes.
    checks: Vec<Check>,
    /// Last value of each metric.
    #[schema(value_type = BTreeMap<String, f64>)]
    metrics: BTreeMap<Arc<str>, f64>,
    /// Number of the open incident.
    #[schema(required)]
    incident_id: Option<u64>,
    /// One English sentence: why it is in this state.
    detail: String,
    /// The process of its unit, when it runs and the system names one.
    #[schema(required)]
    pid: Option<u32>,
    /// Components that the service itself reports.
    components: Vec<Component>,
    /// How far the sender's clock is from the server's (positive: ahead), when that is worth saying.
    #[schema(required)]
    clock_skew_ms: Option<i64>,
    /// Services it depends on.
    depends_on: Vec<String>,
    /// How soon its death is noticed; null: it sends no heartbeats.
    #[schema(required)]
    detection: Option<Detection>,
    /// Its runs; null: it is no job.
    #[schema(required)]
    job: Option<Job>,
    /// Its unit, as the operating system has it; null: it has none.
    #[schema(required)]
    unit: Option<Unit>,
}

/// The unit of a service, as the operating system has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unit {
    /// Its name, as configured.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Its state in the system's words; empty before the first look.
    os: String,
    /// Holes in the system's own recovery, a restart of the system's own that is under way; one sentence each.
    notes: Vec<String>,
    /// The rest; null while the system has not been asked yet, and of processes that lifesign itself supervises.
    #[schema(required)]
    facts: Option<UnitFacts>,
}

/// What the operating system knows of a unit beside its state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnitFacts {
    /// What it calls itself for people; empty where it does not.
    title: String,
    /// `automatic`, `delayed`, `manual` or `disabled`.
    start: String,
    /// The same in the system's words: `enabled`, `SERVICE_AUTO_START (delayed)`.
    start_os: String,
    /// Since when it is in its present state.
    #[schema(schema_with = time_or_null, required)]
    since: Option<Wall>,
    /// How it last ended.
    exit: ExitCodes,
    /// How often the system itself has restarted it since somebody last started it.
    #[schema(required)]
    restarts: Option<u32>,
    /// What it needs to run.
    needs: Vec<String>,
    /// What needs it.
    needed_by: Vec<String>,
    /// The system's own recovery policy in its own words; null where it offers none.
    #[schema(required)]
    recovery: Option<String>,
    /// What it runs, with `***` for what looks like a secret; empty where the system does not say.
    program: String,
    /// As whom; empty where the unit names nobody.
    account: String,
    /// What of its configuration was changed while it was watched.
    changed: Vec<ChangedSetting>,
}

/// A part of a unit's configuration that was changed while it was watched.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedSetting {
    /// `program`, `account`, `start`, `dependencies` or `recovery`.
    what: &'static str,
    /// When that was last noticed.
    #[schema(schema_with = time)]
    at: Wall,
}

/// How a unit last ended, in the operating system's own numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExitCodes {
    /// Windows: `dwWin32ExitCode`.
    #[schema(required)]
    win32: Option<u32>,
    /// Windows: `dwServiceSpecificExitCode`.
    #[schema(required)]
    specific: Option<u32>,
    /// systemd: `Result`.
    #[schema(required)]
    result: Option<String>,
    /// systemd: the exit code of the main process.
    #[schema(required)]
    status: Option<i32>,
    /// systemd: the signal that ended the main process.
    #[schema(required)]
    signal: Option<i32>,
}

/// How soon the death of a service is noticed: seconds from its last heartbeat on, at its configured interval
/// and for a punctual sender.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Detection {
    /// When a silent service is suspect.
    suspect_after: f64,
    /// When it is down if nothing of it answers.
    down_after: f64,
    /// When it is down at the latest.
    at_most: f64,
    /// When it is hung though it answers checks.
    hung_after: f64,
}

/// One source of evidence.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// Its kind.
    #[schema(schema_with = check_kinds)]
    kind: CheckKind,
    /// Its name.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// How it stands.
    #[schema(schema_with = check_states)]
    state: CheckState,
    /// The last result in words.
    output: String,
    /// When it was last looked at.
    #[schema(schema_with = time_or_null, required)]
    at: Option<Wall>,
    /// Where the time went, in seconds; null for what is no probe.
    #[schema(required)]
    phases: Option<Phases>,
}

/// How long each phase of a probe took; null for a phase that did not happen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Phases)]
pub(crate) struct Phases {
    /// Resolving the name.
    #[schema(required)]
    dns_seconds: Option<f64>,
    /// Connecting.
    #[schema(required)]
    connect_seconds: Option<f64>,
    /// The TLS handshake.
    #[schema(required)]
    tls_seconds: Option<f64>,
    /// From the request to the first byte of the answer.
    #[schema(required)]
    first_byte_seconds: Option<f64>,
    /// All of it.
    total_seconds: f64,
}

/// One component of a service, in the service's own words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Component {
    /// Its path, dots between the levels.
    name: String,
    /// `UP`, `DOWN`, …
    status: String,
    /// Whether that word means it works.
    up: bool,
}

impl From<view::ServiceView> for Service {
    fn from(view: view::ServiceView) -> Self {
        Self {
            id: view.id.into(),
            host: view.host,
            state: view.state,
            reason: view.reason,
            since: view.since,
            last_heartbeat_at: view.last_heartbeat_at,
            paused: view.paused,
            checks: view.checks.into_iter().map(Into::into).collect(),
            metrics: view.metrics,
            incident_id: view.incident_id.map(|id| id.0),
            detail: view.detail,
            pid: view.pid,
            components: view.components.into_iter().map(Into::into).collect(),
            clock_skew_ms: view.clock_skew_ms,
            depends_on: view.depends_on.into_iter().map(Into::into).collect(),
            detection: view.detection.map(Into::into),
            job: view.job.map(Into::into),
            unit: view.unit.map(Into::into),
        }
    }
}

impl From<view::UnitView> for Unit {
    fn from(view: view::UnitView) -> Self {
        Self { name: view.name, os: view.os, notes: view.notes, facts: view.facts.map(Into::into) }
    }
}

impl From<evidence::UnitFacts> for UnitFacts {
    fn from(facts: evidence::UnitFacts) -> Self {
        let evidence::UnitFacts {
            title,
            start,
            start_os,
            since,
            exit,
            restarts,
            needs,
            needed_by,
            recovery,
            program,
            account,
            changed,
        } = facts;
        let evidence::ExitCodes { win32, specific, result, status, signal } = exit;
        let exit = ExitCodes { win32, specific, result, status, signal };
        let changed =
            changed.into_iter().map(|(setting, at)| ChangedSetting { what: setting.word(), at }).collect();
        Self {
            title,
            start,
            start_os,
            since,
            exit,
            restarts,
            needs,
            needed_by,
            recovery,
            program,
            account,
            changed,
        }
    }
}

impl From<view::Detection> for Detection {
    fn from(detection: view::Detection) -> Self {
        Self {
            suspect_after: detection.suspect_after.as_secs_f64(),
            down_after: detection.down_after.as_secs_f64(),
            at_most: detection.at_most.as_secs_f64(),
            hung_after: detection.hung_after.as_secs_f64(),
        }
    }
}

impl From<view::CheckView> for Check {
    fn from(view: view::CheckView) -> Self {
        Self {
            kind: view.kind,
            name: view.name,
            state: view.state,
            output: view.output,
            at: view.at,
            phases: view.phases.map(Into::into),
        }
    }
}

impl From<evidence::Phases> for Phases {
    fn from(phases: evidence::Phases) -> Self {
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        Self {
            dns_seconds: seconds(phases.dns),
            connect_seconds: seconds(phases.connect),
            tls_seconds: seconds(phases.tls),
            first_byte_seconds: seconds(phases.first_byte),
            total_seconds: phases.total.as_secs_f64(),
        }
    }
}

impl From<evidence::Component> for Component {
    fn from(component: evidence::Component) -> Self {
        Self { name: component.name, status: component.status, up: component.up }
    }
}

/// Why a service is as it is, or was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// Which.
    id: String,
    /// The past moment this is about; null: it is about the present.
    #[schema(schema_with = time_or_null, required)]
    at: Option<Wall>,
    /// Its state.
    #[schema(schema_with = state_words)]
    state: State,
    /// Its reason.
    #[schema(schema_with = reason_words, required)]
    reason: Option<Reason>,
    /// Since when.
    #[schema(schema_with = time)]
    since: Wall,
    /// The sentences: verdict first, then evidence, deadlines, what had happened in the incident (past moments
    /// only), restarts, notifications.
    facts: Vec<Fact>,
}

/// One sentence of an explanation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fact {
    /// Which part it belongs to.
    #[schema(schema_with = abouts)]
    about: view::About,
    /// Stable word for the kind of sentence.
    #[schema(value_type = String)]
    code: Arc<str>,
    /// The sentence's variables.
    #[schema(value_type = BTreeMap<String, String>)]
    args: BTreeMap<Arc<str>, String>,
    /// The sentence in English.
    text: String,
}

impl Explanation {
    /// The same, about a past moment.
    pub(crate) fn at(self, at: Wall) -> Self {
        Self { at: Some(at), ..self }
    }
}

impl From<view::Explanation> for Explanation {
    fn from(explanation: view::Explanation) -> Self {
        let fact =
            |fact: view::Fact| Fact { about: fact.about, code: fact.code, args: fact.args, text: fact.text };
        Self {
            id: explanation.id.into(),
            at: None,
            state: explanation.state,
            reason: explanation.reason,
            since: explanation.since,
            facts: explanation.facts.into_iter().map(fact).collect(),
        }
    }
}
