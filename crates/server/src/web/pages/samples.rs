//! A small house with everything in it, for the tests of the pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_component::{Standing, Status};
use lifesign_core::effect::{
    Alert, AlertState, Incident, Notification, NotifyReason, TimelineEntry, Transition,
};
use lifesign_core::evidence::{Component, Exit, Phases, UnitFacts};
use lifesign_core::job::{Going, RunRecord};
use lifesign_core::model::{CheckKind, CheckState, IncidentId, Reason, ServiceId, Severity, State};
use lifesign_core::time::Wall;
use lifesign_core::view::{
    About as Part, CheckView, Counts, Detection, Explanation, Fact, HostView, JobView, RuleView, ServiceView,
    UnitView,
};
use lifesign_lang::Lang;
use lifesign_store::{SendState, SentNotification};

use super::about::About;
use super::explain::Past;
use super::incident::Record;
use super::incidents::Incidents;
use super::notifications::Notifications;
use super::overview::{Filter, Overview};
use super::service::{Service, Span};
use crate::web::look::{Look, Place, Reader, Taste, Theme};
use crate::web::strip::History;

const NOW: i64 = 1_795_367_690_000;

fn ago(seconds: i64) -> Wall {
    Wall::from_millis(NOW - seconds * 1000)
}

pub(in crate::web) fn look(lang: Lang) -> Look {
    Look {
        taste: Taste { lang, theme: Theme::Auto, keys: true },
        place: Place::Overview,
        here: "/".to_owned(),
        now: Wall::from_millis(NOW),
        reader: Some(Reader { name: "admin".to_owned(), may_write: true }),
        open_incidents: 1,
        on_hold: false,
        flash: None,
    }
}

fn id(text: &str) -> ServiceId {
    ServiceId::new(text).unwrap()
}

fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<Arc<str>, f64> {
    pairs.iter().map(|(name, value)| ((*name).into(), *value)).collect()
}

fn check(kind: CheckKind, name: &str, state: CheckState, output: &str) -> CheckView {
    let phases = matches!(kind, CheckKind::Tcp | CheckKind::Http).then(|| Phases {
        dns: None,
        connect: Some(Duration::from_micros(380)),
        tls: (kind == CheckKind::Http).then(|| Duration::from_millis(3)),
        first_byte: (kind == CheckKind::Http).then(|| Duration::from_millis(8)),
        total: Duration::from_millis(12),
    });
    CheckView { kind, name: name.into(), state, output: output.to_owned(), at: Some(ago(2)), phases }
}

fn one(name: &str, host: &str, state: State, reason: Option<Reason>, detail: &str) -> ServiceView {
    let beats = !matches!(name, "probe-only" | "legacy-ftp" | "search");
    ServiceView {
        id: id(name),
        host: host.into(),
        state,
        reason,
        since: ago(if state == State::Up { 356_400 } else { 192 }),
        last_heartbeat_at: beats.then(|| ago(if state == State::Suspect { 17 } else { 3 })),
        paused: name == "batch",
        checks: vec![
            check(CheckKind::Unit, &format!("systemd {name}.service"), CheckState::Pass, "active (running)"),
            check(CheckKind::Heartbeat, "heartbeat", CheckState::Pass, "every 5 s"),
            check(CheckKind::Tcp, "127.0.0.1:8080", CheckState::Pass, "connected in 0.4 ms"),
            check(CheckKind::Http, "http://127.0.0.1:8080/health", CheckState::Pass, "200 OK in 12 ms"),
        ],
        metrics: if beats {
            metrics(&[("cpu", 12.5), ("memory", 41.237), ("p99_ms", 87.0), ("queue", 4.0)])
        } else {
            BTreeMap::new()
        },
        incident_id: None,
        detail: detail.to_owned(),
        pid: Some(4711),
        components: Vec::new(),
        clock_skew_ms: None,
        depends_on: Vec::new(),
        detection: beats.then_some(Detection {
            suspect_after: Duration::from_millis(10_200),
            down_after: Duration::from_millis(21_500),
            at_most: Duration::from_secs(30),
            hung_after: Duration::from_secs(50),
        }),
        unit: Some(UnitView {
            name: format!("systemd {name}.service").into(),
            os: "active (running)".to_owned(),
            notes: vec!["the system does not restart it when it ends by itself with success".to_owned()],
            facts: Some(UnitFacts {
                start: "automatic".to_owned(),
                start_os: "enabled".to_owned(),
                recovery: Some("Restart=on-failure RestartSec=100ms".to_owned()),
                needs: vec!["network.target".to_owned()],
                ..UnitFacts::default()
            }),
        }),
        job: (name == "batch").then(job),
    }
}

/// A nightly job: one run goes on, the last one failed.
fn job() -> JobView {
    let run = |seconds: i64, exit, output: Option<&str>| RunRecord {
        id: Some("8f3c".into()),
        started_at: Some(ago(seconds + 754)),
        ended_at: ago(seconds),
        ok: exit == Exit::Clean,
        exit: Some(exit),
        took: Some(Duration::from_secs(754)),
        said: Some(Duration::from_secs(753)),
        output: output.map(str::to_owned),
    };
    JobView {
        schedule: "0 3 * * * Europe/Berlin".to_owned(),
        grace: Duration::from_secs(1800),
        max_runtime: Some(Duration::from_secs(7200)),
        next_due: Some(ago(-40_000)),
        missed: None,
        running: vec![Going { id: Some("91aa".into()), started_at: ago(61), too_long: false, unsure: false }],
        recent: vec![
            run(86_400, Exit::Code(2), Some("pg_dump: error: <connection> refused")),
            run(172_800, Exit::Clean, None),
        ],
    }
}

fn changes(name: &str) -> Vec<Transition> {
    let change = |seconds, from, to, reason, detail: &str| Transition {
        at: ago(seconds),
        service: id(name),
        from,
        to,
        reason,
        detail: detail.to_owned(),
        facts: Vec::new(),
    };
    match name {
        "payments" => vec![
            change(3100, State::Up, State::Suspect, None, "no heartbeat for 15 s"),
            change(
                3000,
                State::Suspect,
                State::Down,
                Some(Reason::Hung),
                "it runs and has been silent for 25 s",
            ),
            change(2600, State::Down, State::Up, None, "a new process has lived for 10 s"),
            change(
                192,
                State::Up,
                State::Down,
                Some(Reason::Killed),
                "the process ended by signal 9 (SIGKILL)",
            ),
        ],
        "search" => {
            vec![change(192, State::Up, State::Degraded, Some(Reason::ComponentDown), "index is DOWN")]
        }
        "worker" => vec![change(192, State::Up, State::Suspect, None, "no heartbeat for 15 s")],
        _ => Vec::new(),
    }
}

fn history(service: &ServiceView, span: Span) -> History {
    History::new(
        &changes(service.id.as_str()),
        (service.state, service.reason),
        service.since,
        span.length(),
        Wall::from_millis(NOW),
    )
}

fn services() -> Vec<ServiceView> {
    vec![
        one("web", "web-01", State::Up, None, ""),
        one("orders", "web-02", State::Up, None, ""),
        one(
            "payments",
            "web-01",
            State::Down,
            Some(Reason::Killed),
            "the process ended by signal 9 (SIGKILL)",
        ),
        one("batch", "web-01", State::Pending, None, ""),
        one("search", "web-02", State::Degraded, Some(Reason::ComponentDown), "index is DOWN"),
        one("worker", "web-01", State::Suspect, Some(Reason::MissedHeartbeat), "no heartbeat for 17 s"),
        one("legacy-ftp", "db-01", State::Down, Some(Reason::StoppedByOperator), "stopped by systemctl"),
        one("probe-only", "db-01", State::Unknown, Some(Reason::HostUnreachable), "the host does not answer"),
    ]
}

pub(super) fn overview() -> Overview {
    Overview {
        counts: Counts { pending: 1, up: 2, degraded: 1, suspect: 1, down: 2, unknown: 1 },
        services: services()
            .into_iter()
            .map(|service| {
                let history = history(&service, Span::Hour);
                (service, history)
            })
            .collect(),
        hosts: hosts(),
        filter: Filter::default(),
    }
}

pub(super) fn hosts() -> Vec<HostView> {
    let host = |name: &str, cpu: f64, memory: f64, services| HostView {
        host: name.into(),
        metrics: metrics(&[
            ("host_cpu", cpu),
            ("host_memory", memory),
            ("host_load1", 0.72),
            ("host_memory_free_bytes", 12.0 * 1024.0 * 1024.0 * 1024.0),
        ]),
        sampled_at: Some(ago(4)),
        services,
    };
    vec![host("db-01", 93.4, 78.0, 2), host("web-01", 12.5, 41.237, 4), host("web-02", 34.0, 63.5, 2)]
}

fn fact(about: Part, text: &str) -> Fact {
    Fact { about, code: "sample".into(), args: BTreeMap::new(), text: text.to_owned() }
}

/// The page of a job that failed and runs again.
pub(super) fn job_service() -> Service {
    let mut data = service();
    data.service = one("batch", "web-01", State::Down, Some(Reason::Crashed), "its last run failed");
    data
}

pub(super) fn service() -> Service {
    let mut service = one(
        "payments",
        "web-01",
        State::Down,
        Some(Reason::Killed),
        "the process ended by signal 9 (SIGKILL)",
    );
    service.checks = vec![
        check(
            CheckKind::Unit,
            "systemd payments.service",
            CheckState::Fail,
            "failed (Result: signal), ended by signal 9",
        ),
        check(CheckKind::Heartbeat, "heartbeat", CheckState::Fail, "silent for 3 min 12 s"),
        check(CheckKind::Tcp, "127.0.0.1:8080", CheckState::Fail, "connection refused"),
        check(CheckKind::Http, "http://127.0.0.1:8080/health", CheckState::Unknown, "503 in 12 ms"),
    ];
    service.clock_skew_ms = Some(125_000);
    service.depends_on = vec![id("db"), id("search")];
    service.components = vec![
        Component { name: "db".to_owned(), status: "UP".to_owned(), up: true },
        Component { name: "redis.replica".to_owned(), status: "OUT_OF_SERVICE".to_owned(), up: false },
    ];
    let mut changes = changes("payments");
    changes.reverse();
    Service {
        history: history(&service, Span::Day),
        explanation: Some(Explanation {
            id: service.id.clone(),
            state: service.state,
            reason: service.reason,
            since: service.since,
            facts: vec![
                fact(
                    Part::Verdict,
                    "It is down because its process ended by signal 9 (SIGKILL) and nobody ordered a stop.",
                ),
                fact(Part::Evidence, "The unit payments.service failed at 17:11:38."),
                fact(Part::Evidence, "tcp 127.0.0.1:8080 has failed 3 times in a row: connection refused."),
                fact(Part::Deadline, "A restart follows in 8 s; it is attempt 2 of 3 within 10 min."),
                fact(Part::Restart, "The first restart was not proven: the new process ended after 2 s."),
                fact(Part::Notification, "hook was told at 17:11:39 and took it (200)."),
            ],
        }),
        service,
        span: Span::Day,
        changes,
        incidents: incidents().incidents,
    }
}

pub(super) fn past() -> Past {
    let fact = |about, code: &str, args: &[(&str, &str)], text: &str| Fact {
        about,
        code: code.into(),
        args: args.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect(),
        text: text.to_owned(),
    };
    let at = ago(2990);
    let judged = ago(3000).to_string();
    Past {
        at,
        explanation: Explanation {
            id: id("payments"),
            state: State::Down,
            reason: Some(Reason::Hung),
            since: ago(3000),
            facts: vec![
                fact(
                    Part::Verdict,
                    "replay-verdict",
                    &[
                        ("state", "down"),
                        ("reason", "hung"),
                        ("since", "10 s"),
                        ("detail", "silent for 25 s"),
                    ],
                    "It was down (hung), for 10 s by then: silent for 25 s.",
                ),
                fact(Part::Verdict, "replay-as-of", &[("at", &at.to_string())], "All of this is as of then."),
                fact(
                    Part::Evidence,
                    "replay-judged",
                    &[("at", &judged), ("since", "10 s")],
                    "As judged 10 s before that moment.",
                ),
                fact(
                    Part::Evidence,
                    "heart-silent",
                    &[("ago", "25 s")],
                    "Its heartbeat is silent since 25 s; timeout and retries are used up.",
                ),
                fact(
                    Part::Incident,
                    "replay-incident",
                    &[("incident", "11"), ("at", &judged)],
                    "Incident 11 was open.",
                ),
                fact(
                    Part::Restart,
                    "replay-line",
                    &[("at", &judged), ("what", "restart_scheduled"), ("detail", "in 1 s, attempt 1 of 3")],
                    "restart scheduled: in 1 s, attempt 1 of 3",
                ),
            ],
        },
    }
}

fn incident(number: u64, service: &str, reason: Reason, opened: i64, closed: Option<i64>) -> Incident {
    Incident {
        id: IncidentId(number),
        service_id: id(service),
        host: "web-01".into(),
        state: State::Down,
        reason: Some(reason),
        severity: Severity::Critical,
        opened_at: ago(opened),
        detected_at: ago(opened - 1),
        closed_at: closed.map(ago),
        acknowledged_by: closed.map(|_| "ops".into()),
    }
}

pub(super) fn incidents() -> Incidents {
    Incidents {
        incidents: vec![
            incident(12, "payments", Reason::Killed, 192, None),
            incident(11, "payments", Reason::Hung, 3000, Some(2600)),
            incident(9, "search", Reason::CheckFailed, 90_000, Some(88_000)),
        ],
        open_only: false,
        next: Some("9".to_owned()),
    }
}

pub(super) fn record() -> Record {
    let entry = |seconds, what: &str, detail: &str| TimelineEntry {
        at: ago(seconds),
        what: what.into(),
        detail: detail.to_owned(),
    };
    Record {
        incident: incident(12, "payments", Reason::Killed, 192, None),
        timeline: vec![
            entry(192, "opened", "payments is down: the process ended by signal 9 (SIGKILL)"),
            entry(192, "evidence", "tcp 127.0.0.1:8080: connection refused"),
            entry(191, "output", "panicked at src/ledger.rs:88\nledger is out of balance by 0.01"),
            entry(191, "restart_scheduled", "in 1 s, attempt 1 of 3 within 10 min"),
            entry(190, "restart_done", "the new process is 4711"),
            entry(189, "notified", "hook took it: 200 OK"),
            entry(180, "proven", "4711 has lived for 10 s and its checks pass"),
        ],
        sent: notifications().sent,
    }
}

fn alert(name: &str, service: &str, state: AlertState) -> Alert {
    let label = |key: &str, value: &str| (Arc::from(key), Arc::from(value));
    Alert {
        fingerprint: "a1b2c3".into(),
        state,
        labels: vec![label("alertname", name), label("host", "web-01"), label("service", service)],
        annotations: Vec::new(),
        starts_at: ago(192),
        ends_at: None,
        incident: None,
    }
}

pub(super) fn notifications() -> Notifications {
    let sent = |id: &str, receiver: &str, reason, attempts, delivered: bool, answer: &str| SentNotification {
        notification: Notification {
            id: id.into(),
            at: ago(190),
            receiver: receiver.into(),
            reason,
            group_labels: Vec::new(),
            alerts: vec![alert("ServiceDown", "payments", AlertState::Firing)],
            incident: Some(IncidentId(12)),
        },
        attempts,
        state: if delivered { SendState::Delivered } else { SendState::Pending },
        repeats: 0,
        next_at: ago(-5),
        last_answer: Some(answer.into()),
        finished_at: delivered.then(|| ago(189)),
    };
    Notifications {
        sent: vec![
            sent("n1", "ops-mail", NotifyReason::FirstFiring, 3, false, "connection refused"),
            sent("n2", "hook", NotifyReason::FirstFiring, 1, true, "200 OK"),
        ],
        next: None,
    }
}

pub(super) fn rules() -> Vec<RuleView> {
    vec![
        RuleView {
            alert: "HighCpu".into(),
            when: "cpu > 90".into(),
            state: Some(AlertState::Firing),
            alerts: vec![alert("HighCpu", "worker", AlertState::Firing)],
        },
        RuleView { alert: "MemoryFull".into(), when: "memory > 95".into(), state: None, alerts: Vec::new() },
    ]
}

pub(super) fn about() -> About {
    let part = |name, status, restarts, error: Option<&str>| Status {
        name,
        status,
        restarts,
        last_error: error.map(str::to_owned),
    };
    About {
        parts: vec![
            part("store", Standing::Up, 0, None),
            part("engine", Standing::Up, 0, None),
            part("outbox", Standing::Down, 2, Some("the mail server refused the login")),
        ],
        followers: 2,
    }
}
