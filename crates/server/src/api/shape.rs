//! The JSON of the interface. Field names are fixed by the contract with those who script against it;
//! the engine's own types may change shape without them noticing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::{self, AlertState, NotifyReason, Transition, Verb};
use lifesign_core::evidence;
use lifesign_core::model::{CheckKind, CheckState, Reason, Severity, State};
use lifesign_core::time::Wall;
use lifesign_core::view;
use lifesign_store::{SendState, SentNotification};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T: ToSchema> {
    /// The items of this page.
    pub(crate) items: Vec<T>,
    /// To be sent as `cursor` for the next page; null: this was the last.
    #[schema(required)]
    pub(crate) next: Option<String>,
}

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

/// Why a service is as it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// Which.
    id: String,
    /// Its state.
    #[schema(schema_with = state_words)]
    state: State,
    /// Its reason.
    #[schema(schema_with = reason_words, required)]
    reason: Option<Reason>,
    /// Since when.
    #[schema(schema_with = time)]
    since: Wall,
    /// The sentences: verdict first, then evidence, deadlines, restarts, notifications.
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

impl From<view::Explanation> for Explanation {
    fn from(explanation: view::Explanation) -> Self {
        let fact =
            |fact: view::Fact| Fact { about: fact.about, code: fact.code, args: fact.args, text: fact.text };
        Self {
            id: explanation.id.into(),
            state: explanation.state,
            reason: explanation.reason,
            since: explanation.since,
            facts: explanation.facts.into_iter().map(fact).collect(),
        }
    }
}

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

/// An alert.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Alert {
    /// The same alert has the same fingerprint for ever.
    #[schema(value_type = String)]
    fingerprint: Arc<str>,
    /// How it stands.
    #[schema(schema_with = alert_states)]
    state: AlertState,
    /// `alertname`, `service`, `host`, `reason`, `severity`, …
    #[schema(value_type = BTreeMap<String, String>)]
    labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `summary`, `description`.
    #[schema(value_type = BTreeMap<String, String>)]
    annotations: BTreeMap<Arc<str>, String>,
    /// Since when.
    #[schema(schema_with = time)]
    starts_at: Wall,
    /// When it ended.
    #[schema(schema_with = time_or_null, required)]
    ends_at: Option<Wall>,
    /// Its incident.
    #[schema(required)]
    incident_id: Option<u64>,
}

impl From<effect::Alert> for Alert {
    fn from(alert: effect::Alert) -> Self {
        Self {
            fingerprint: alert.fingerprint,
            state: alert.state,
            labels: alert.labels.into_iter().collect(),
            annotations: alert.annotations.into_iter().collect(),
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            incident_id: alert.incident.map(|id| id.0),
        }
    }
}

/// A rule with the alerts it has now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rule {
    /// The alert's name.
    #[schema(value_type = String)]
    pub(crate) alert: Arc<str>,
    /// The condition as written.
    #[schema(value_type = String)]
    when: Arc<str>,
    /// The worst state of its alerts; null: inactive.
    #[schema(schema_with = alert_states_or_null, required)]
    state: Option<AlertState>,
    /// Its pending and firing alerts.
    alerts: Vec<Alert>,
}

impl From<view::RuleView> for Rule {
    fn from(view: view::RuleView) -> Self {
        Self {
            alert: view.alert,
            when: view.when,
            state: view.state,
            alerts: view.alerts.into_iter().map(Into::into).collect(),
        }
    }
}

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

/// A message to a receiver, and how it fared.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Notification {
    /// Sent as `Idempotency-Key`: whoever gets it twice has got the same thing twice.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// When the engine decided to send it.
    #[schema(schema_with = time)]
    at: Wall,
    /// Who is told.
    #[schema(value_type = String)]
    receiver: Arc<str>,
    /// Why it leaves: `first_firing`, `new_alerts`, `some_resolved`, `all_resolved` or `repeat`.
    reason: &'static str,
    /// `pending`, `delivered` or `refused`.
    status: &'static str,
    /// Attempts begun.
    attempts: u32,
    /// How often it was sent although an earlier sending may have arrived.
    repeats: u32,
    /// Earliest next attempt; null when it is settled.
    #[schema(schema_with = time_or_null, required)]
    next_at: Option<Wall>,
    /// When it was settled.
    #[schema(schema_with = time_or_null, required)]
    finished_at: Option<Wall>,
    /// The receiver's words to the last attempt.
    #[schema(value_type = Option<String>, required)]
    answer: Option<Arc<str>>,
    /// The labels that make the group of alerts it tells of.
    #[schema(value_type = BTreeMap<String, String>)]
    group_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The alerts, firing ones first.
    alerts: Vec<Alert>,
    /// The incident of the first alert that has one.
    #[schema(required)]
    incident_id: Option<u64>,
}

impl From<SentNotification> for Notification {
    fn from(sent: SentNotification) -> Self {
        let notification = sent.notification;
        Self {
            id: notification.id,
            at: notification.at,
            receiver: notification.receiver,
            reason: notify_reason(notification.reason),
            status: sent.state.as_str(),
            attempts: sent.attempts,
            repeats: sent.repeats,
            next_at: (sent.state == SendState::Pending).then_some(sent.next_at),
            finished_at: sent.finished_at,
            answer: sent.last_answer,
            group_labels: notification.group_labels.into_iter().collect(),
            alerts: notification.alerts.into_iter().map(Into::into).collect(),
            incident_id: notification.incident.map(|id| id.0),
        }
    }
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

/// Why a notification leaves.
pub(crate) const fn notify_reason(reason: NotifyReason) -> &'static str {
    match reason {
        NotifyReason::FirstFiring => "first_firing",
        NotifyReason::NewAlerts => "new_alerts",
        NotifyReason::AllResolved => "all_resolved",
        NotifyReason::SomeResolved => "some_resolved",
        NotifyReason::Repeat => "repeat",
    }
}

/// What is done.
pub(crate) const fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Restart => "restart",
    }
}

fn words(words: impl Iterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.map(str::to_owned)))
}

fn or_null(words: ObjectBuilder) -> Object {
    let mut object = words.build();
    object.schema_type = [Type::String, Type::Null].into_iter().collect();
    if let Some(words) = &mut object.enum_values {
        words.push(serde_json::Value::Null);
    }
    object
}

fn state_words() -> Object {
    words(State::ALL.iter().map(|word| word.as_str())).build()
}

fn reason_words() -> Object {
    or_null(words(Reason::ALL.iter().map(|word| word.as_str())))
}

fn check_kinds() -> Object {
    words(CheckKind::ALL.iter().map(|word| word.as_str())).build()
}

fn check_states() -> Object {
    words(CheckState::ALL.iter().map(|word| word.as_str())).build()
}

fn severities() -> Object {
    words(Severity::ALL.iter().map(|word| word.as_str())).build()
}

fn alert_states() -> Object {
    words(["pending", "firing", "resolved"].into_iter()).build()
}

fn alert_states_or_null() -> Object {
    or_null(words(["pending", "firing", "resolved"].into_iter()))
}

fn abouts() -> Object {
    words(["verdict", "evidence", "deadline", "restart", "notification"].into_iter()).build()
}

fn time_format() -> ObjectBuilder {
    use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("RFC 3339 in UTC with milliseconds"))
}

pub(crate) fn time() -> Object {
    time_format().build()
}

pub(crate) fn time_or_null() -> Object {
    or_null(time_format())
}
