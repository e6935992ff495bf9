//! What people and programs see of the engine.

use std::sync::Arc;

use super::Engine;
use super::service::OpenIncident;
use crate::effect::{Alert, AlertState, Incident, TimelineEntry};
use crate::evidence::UnitState;
use crate::model::{CheckKind, CheckState, IncidentId};
use crate::time::Now;
use crate::verdict::{HeartEvidence, UnitEvidence};
use crate::view::{CheckView, Counts, Detection, HostView, RuleView, ServiceView, UnitView};

impl Engine {
    /// One service.
    pub fn service(&self, id: &str, now: Now) -> Option<ServiceView> {
        self.find(id).map(|index| self.view(index, now))
    }

    /// Every service, in the order of the configuration.
    pub fn services(&self, now: Now) -> Vec<ServiceView> {
        self.order.iter().map(|ix| self.view(ix.0 as usize, now)).collect()
    }

    /// How many services are in each state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The hosts, sorted by name.
    pub fn hosts(&self, _now: Now) -> Vec<HostView> {
        self.hosts
            .iter()
            .map(|host| HostView {
                host: Arc::clone(&host.name),
                metrics: host.metrics.iter().cloned().collect(),
                sampled_at: host.sampled_at,
                services: u32::try_from(host.services.len()).unwrap_or(u32::MAX),
            })
            .collect()
    }

    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> Vec<RuleView> {
        self.rules
            .specs()
            .iter()
            .map(|rule| {
                let alerts: Vec<Alert> = self
                    .alerts
                    .values()
                    .filter(|alert| {
                        alert
                            .labels
                            .iter()
                            .any(|(name, value)| name.as_ref() == "alertname" && *value == rule.alert)
                    })
                    .cloned()
                    .collect();
                let firing = alerts.iter().any(|alert| alert.state == AlertState::Firing);
                let state = match (alerts.is_empty(), firing) {
                    (true, _) => None,
                    (false, true) => Some(AlertState::Firing),
                    (false, false) => Some(AlertState::Pending),
                };
                RuleView { alert: Arc::clone(&rule.alert), when: Arc::clone(&rule.when), state, alerts }
            })
            .collect()
    }

    /// Pending and firing alerts, oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.alerts.values().cloned().collect();
        alerts.sort_by_key(|alert| alert.starts_at);
        alerts
    }

    /// An open incident with its timeline so far.
    pub fn open_incident(&self, id: IncidentId) -> Option<(Incident, Vec<TimelineEntry>)> {
        self.all_open()
            .find(|open| open.record.id == id)
            .map(|open| (open.record.clone(), open.timeline.clone()))
    }

    /// All open incidents, newest first.
    pub fn open_incidents(&self) -> Vec<Incident> {
        let mut open: Vec<Incident> = self.all_open().map(|open| open.record.clone()).collect();
        open.sort_by_key(|incident| std::cmp::Reverse(incident.id));
        open
    }

    fn all_open(&self) -> impl Iterator<Item = &OpenIncident> {
        let of_services = self.services.iter().filter_map(|service| service.incident.as_deref());
        of_services.chain(self.group_incidents())
    }

    fn view(&self, index: usize, now: Now) -> ServiceView {
        let service = &self.services[index];
        ServiceView {
            id: service.spec.id.clone(),
            host: Arc::clone(&service.spec.host),
            state: service.state,
            reason: service.reason,
            since: service.since.min(now.wall),
            last_heartbeat_at: service.last_beat,
            paused: service.paused,
            checks: self.check_views(index),
            metrics: service.metrics.iter().cloned().collect(),
            incident_id: service.incident.as_ref().map(|open| open.record.id),
            detail: service.detail.to_string(),
            pid: match service.unit_evidence() {
                UnitEvidence::Running => service.unit.process.map(|process| process.pid),
                _ => None,
            },
            components: service.components().cloned().collect(),
            clock_skew_ms: service.skew_ms,
            depends_on: service
                .spec
                .depends_on
                .iter()
                .flat_map(|dependency| dependency.of.iter().cloned())
                .collect(),
            detection: service
                .spec
                .heartbeat
                .as_ref()
                .map(|heartbeat| Detection::of(heartbeat, !service.spec.checks.is_empty())),
            unit: self.unit_view(index),
            job: self.job_view(index, now.wall),
        }
    }

    pub(super) fn unit_view(&self, index: usize) -> Option<UnitView> {
        let service = &self.services[index];
        let name = service.spec.unit.as_ref()?.as_str().into();
        let report = service.unit.report.as_ref().map(|(_, report)| report);
        Some(UnitView {
            name,
            os: report.map(|report| report.os.clone()).unwrap_or_default(),
            notes: report.map(|report| report.notes.clone()).unwrap_or_default(),
            facts: service.unit.facts.as_deref().cloned(),
        })
    }

    fn check_views(&self, index: usize) -> Vec<CheckView> {
        let service = &self.services[index];
        let unit = service.spec.unit.as_ref().map(|name| {
            let (output, at) = match &service.unit.report {
                Some((at, report)) => match &report.state {
                    UnitState::CouldNotLook(why) => (why.clone(), Some(*at)),
                    _ => (report.os.clone(), Some(*at)),
                },
                None => (String::new(), None),
            };
            CheckView {
                kind: CheckKind::Unit,
                name: name.as_str().into(),
                state: match service.unit_evidence() {
                    UnitEvidence::Running => CheckState::Pass,
                    UnitEvidence::Stopped(_) => CheckState::Fail,
                    UnitEvidence::Blind => CheckState::Unknown,
                    UnitEvidence::None | UnitEvidence::Waiting | UnitEvidence::Changing => {
                        CheckState::Pending
                    }
                },
                output,
                at,
                phases: None,
            }
        });
        let heart = service.spec.heartbeat.as_ref().map(|_| CheckView {
            kind: CheckKind::Heartbeat,
            name: "heartbeat".into(),
            state: match self.heart_evidence(index) {
                HeartEvidence::Beating => CheckState::Pass,
                HeartEvidence::Late
                | HeartEvidence::Silent
                | HeartEvidence::Stuck
                | HeartEvidence::Failing => CheckState::Fail,
                HeartEvidence::None | HeartEvidence::Waiting | HeartEvidence::Stopping => CheckState::Pending,
            },
            output: service.beat_message.as_deref().unwrap_or_default().to_owned(),
            at: service.last_beat,
            phases: None,
        });
        let probes = service.checks.iter().zip(&service.spec.checks).map(|(run, spec)| CheckView {
            kind: spec.kind,
            name: Arc::clone(&spec.name),
            state: run.state(),
            output: run.last().map(|(_, report)| report.output.clone()).unwrap_or_default(),
            at: run.last().map(|(at, _)| *at),
            phases: run.last().map(|(_, report)| report.phases),
        });
        unit.into_iter().chain(heart).chain(self.job_check(index)).chain(probes).collect()
    }
}
