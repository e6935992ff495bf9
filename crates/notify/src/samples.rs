//! Notifications for the tests of this crate.

use std::sync::Arc;

use lifesign_core::effect::{Alert, AlertState, Notification, NotifyReason};
use lifesign_core::model::IncidentId;
use lifesign_core::time::Wall;

fn labels(pairs: &[(&str, &str)]) -> Vec<(Arc<str>, Arc<str>)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn at(text: &str) -> Wall {
    Wall::parse(text).unwrap()
}

/// `orders` was killed.
pub(crate) fn opening() -> Notification {
    Notification {
        id: "9f86d081884c7d65".into(),
        at: at("2026-11-22T09:00:00.250Z"),
        receiver: "hook".into(),
        reason: NotifyReason::FirstFiring,
        group_labels: labels(&[("service", "orders")]),
        alerts: vec![Alert {
            fingerprint: "c0ffee0123456789".into(),
            state: AlertState::Firing,
            labels: labels(&[
                ("alertname", "ServiceDown"),
                ("host", "web-01"),
                ("reason", "killed"),
                ("service", "orders"),
                ("severity", "critical"),
            ]),
            annotations: vec![
                ("description".into(), "The process ended by signal 9; a restart follows in 1 s.".to_owned()),
                (
                    "evidence".into(),
                    "ended (signal 9)\nprocess 77, looked at 4 s before its end: 812.0 MiB of memory\n\
                     orders: taking order 4711\norders: out of memory: queue of 4711"
                        .to_owned(),
                ),
                ("state".into(), "down".to_owned()),
                ("summary".into(), "orders on web-01 is down (killed)".to_owned()),
            ],
            starts_at: at("2026-11-22T09:00:00Z"),
            ends_at: None,
            incident: Some(IncidentId(12)),
        }],
        incident: Some(IncidentId(12)),
    }
}

/// `orders` is back.
pub(crate) fn closing() -> Notification {
    let mut closing = opening();
    closing.id = "60303ae22b998861".into();
    closing.at = at("2026-11-22T09:03:12.300Z");
    closing.reason = NotifyReason::AllResolved;
    closing.alerts[0].state = AlertState::Resolved;
    closing.alerts[0]
        .annotations
        .insert(2, ("resolution".into(), "restarted and proven by its checks".to_owned()));
    closing.alerts[0].ends_at = Some(at("2026-11-22T09:03:12Z"));
    closing
}

/// A group of two: a rule that fires and a service that is back.
pub(crate) fn mixed() -> Notification {
    let mut mixed = opening();
    mixed.id = "ab00000000000001".into();
    mixed.reason = NotifyReason::NewAlerts;
    mixed.group_labels = labels(&[("host", "web-01"), ("note", "a \"quoted\" one")]);
    mixed.alerts[0].incident = None;
    mixed.alerts[0].labels = labels(&[
        ("alertname", "HighCpu"),
        ("host", "web-01"),
        ("service", "orders"),
        ("severity", "warning"),
    ]);
    mixed.alerts[0].annotations = vec![("summary".into(), "cpu is 93.4, above 90 for 30 s".to_owned())];
    let mut back = closing().alerts.remove(0);
    back.fingerprint = "feed000000000000".into();
    mixed.alerts.push(back);
    mixed
}
