//! Incidents and their alerts: opened once, closed once.

use std::sync::Arc;
use std::time::Duration;

use super::service::OpenIncident;
use super::{Engine, Turn, judge, words};
use crate::digest::digest;
use crate::effect::{Alert, AlertState, Effect, Incident, TimelineEntry};
use crate::model::{IncidentId, Reason, ServiceIx, State};
use crate::mutation::{Rule, on};

/// An incident younger than this is folded into the one that explains it.
const FOLD: Duration = Duration::from_secs(120);

impl Engine {
    /// Opens, keeps or closes the incident.
    pub(super) fn tend_incident(&mut self, index: usize, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let ix = service.ix;
        let bad = match (service.state, service.reason) {
            (State::Down, Some(Reason::StoppedByOperator | Reason::DependencyDown))
                if on(Rule::OperatorStop) =>
            {
                false
            }
            (State::Down, _) => true,
            (State::Degraded, _) => service.spec.alert_on_degraded,
            (State::Pending | State::Up | State::Suspect | State::Unknown, _) => false,
        };
        // While it is being looked into, the truth that ends the flapping is not known yet.
        let known =
            matches!(service.state, State::Up | State::Degraded | State::Down) || !on(Rule::FlapsKnown);
        if known && self.services[index].flaps.written().is_some_and(|flaps| flaps.settle(turn.now)) {
            self.end_flapping(index, bad, turn);
        }
        let service = &self.services[index];
        let Some(open) = &service.incident else {
            if bad && (!service.paused || !on(Rule::Paused)) {
                self.open_incident_now(index, turn);
            }
            return;
        };
        match (service.state, service.reason) {
            (State::Down, Some(Reason::StoppedByOperator)) => {
                self.close_incident(ix, "an operator stopped it", turn);
            }
            (_, Some(Reason::DependencyDown | Reason::HostUnreachable))
                if service.fails && turn.wall.since(open.record.detected_at) < FOLD =>
            {
                // Its cause was found just after it: one trouble, one incident.
                let why = format!("explained: {}", service.detail);
                self.close_incident(ix, &why, turn);
            }
            // A service that flaps is not well because it is up just now.
            (State::Up | State::Degraded, _)
                if !bad && !service.flaps.is_flapping() && on(Rule::CloseWell) =>
            {
                if service.unit.process == open.process || !on(Rule::Prove) {
                    self.close_incident(ix, "it recovered by itself", turn);
                } else if turn.now >= service.unit.process_since + judge::prove_for(&service.spec)
                    && service.has_risen(self.hearts[index].beats(), self.hearts[index].rise())
                {
                    let process = service.unit.process.map_or("the new process".to_owned(), |process| {
                        format!("the new process (pid {})", process.pid)
                    });
                    let lived = words(turn.now.since(service.unit.process_since));
                    self.note(
                        ix,
                        "proven",
                        format!("{process} lives for {lived} and passes every check"),
                        turn,
                    );
                    self.close_incident(ix, "it runs again, and that is proven", turn);
                }
            }
            _ => {}
        }
    }

    fn open_incident_now(&mut self, index: usize, turn: &mut Turn<'_>) {
        let id = IncidentId(self.next_incident);
        self.next_incident += 1;
        let service = &mut self.services[index];
        let record = Incident {
            id,
            service_id: service.spec.id.clone(),
            host: Arc::clone(&service.spec.host),
            state: service.state,
            reason: service.reason,
            severity: service.spec.severity,
            opened_at: service.trouble_since(service.reason, turn.wall),
            detected_at: turn.wall,
            closed_at: None,
            acknowledged_by: None,
        };
        let detail = service.detail.clone();
        let ix = service.ix;
        if let Some(remedy) = service.remedy.written() {
            remedy.attempts = 0;
        }
        turn.out.push(Effect::Incident(record.clone()));
        let begins_to_flap = service.flaps.add(turn.now);
        let mut alert =
            if begins_to_flap { flapping(&record) } else { incident_alert("ServiceDown", &record, &detail) };
        if service.has_ended() {
            service.add_last_words(&mut alert);
        }
        let process = service.unit.process;
        service.incident = Some(Box::new(OpenIncident { record, timeline: Vec::new(), process }));
        self.note(ix, "opened", detail, turn);
        if begins_to_flap {
            let detail = "it goes down again and again; nobody is told of each time, only how it ends";
            self.note(ix, "flapping", detail, turn);
        }
        self.remember(ix, turn);
        self.fire(alert, &[], turn);
    }

    /// The truth after a time of flapping: it is well, or it is not, and then the usual alert takes over. That
    /// of the flapping stays until the incident closes where it is well and has yet to prove it.
    fn end_flapping(&mut self, index: usize, bad: bool, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let ix = service.ix;
        let Some(record) = service.incident.as_ref().map(|open| open.record.clone()) else { return };
        let (state, detail) = (service.state, service.detail.clone());
        self.note(ix, "flapping_ended", format!("it is {state}: {detail}"), turn);
        if bad {
            let mut alert = incident_alert("ServiceDown", &record, &detail);
            if self.services[index].has_ended() {
                self.services[index].add_last_words(&mut alert);
            }
            // It fires already where the incident opened in the middle of the flapping.
            if !self.alerts.contains_key(&alert.fingerprint) {
                self.fire(alert, &[], turn);
            }
            let why = format!("it no longer flaps; it is {state}");
            self.resolve(&flapping(&record).fingerprint, &why, turn);
        }
    }

    /// Closes the service's incident, if it has one.
    pub(super) fn close_incident(&mut self, ix: ServiceIx, why: &str, turn: &mut Turn<'_>) {
        let service = &mut self.services[ix.0 as usize];
        let Some(mut open) = service.incident.take() else { return };
        if let Some(remedy) = service.remedy.written() {
            remedy.rest();
        }
        let entry = TimelineEntry { at: turn.wall, what: "closed".into(), detail: why.to_owned() };
        turn.out.push(Effect::Timeline { incident: open.record.id, entry });
        open.record.closed_at = Some(turn.wall);
        self.end_incident(&open.record, why, turn);
        self.remember(ix, turn);
    }

    pub(super) fn end_incident(&mut self, record: &Incident, why: &str, turn: &mut Turn<'_>) {
        turn.out.push(Effect::Incident(record.clone()));
        for name in ["ServiceDown", "HostDown", "NetworkDown"].into_iter().filter(|_| on(Rule::ResolveAlert))
        {
            let fingerprint = incident_alert(name, record, "").fingerprint;
            self.resolve(&fingerprint, why, turn);
        }
        self.resolve(&flapping(record).fingerprint, why, turn);
    }

    /// Incidents of an earlier life whose service is no longer in the configuration.
    pub(super) fn forget_lost_incidents(&mut self, turn: &mut Turn<'_>) {
        let why = "the configuration no longer names this service";
        for (id, (mut record, _)) in std::mem::take(&mut self.past_incidents) {
            record.closed_at = Some(turn.wall);
            turn.out.push(Effect::Timeline {
                incident: id,
                entry: TimelineEntry { at: turn.wall, what: "closed".into(), detail: why.into() },
            });
            self.end_incident(&record, why, turn);
        }
    }

    /// An alert fires.
    pub(super) fn fire(&mut self, alert: Alert, also: &[Arc<str>], turn: &mut Turn<'_>) {
        turn.out.push(Effect::Alert(alert.clone()));
        self.dispatcher.fire(turn.now, &alert, also);
        self.alerts.insert(Arc::clone(&alert.fingerprint), alert);
    }

    /// An alert is over. `why` is added to what people are told.
    pub(super) fn resolve(&mut self, fingerprint: &str, why: &str, turn: &mut Turn<'_>) {
        let Some(mut alert) = self.alerts.remove(fingerprint) else { return };
        let was_firing = alert.state == AlertState::Firing;
        alert.state = AlertState::Resolved;
        alert.ends_at = Some(turn.wall);
        alert.annotations.push(("resolution".into(), why.to_owned()));
        alert.annotations.sort();
        turn.out.push(Effect::Alert(alert.clone()));
        if was_firing {
            self.dispatcher.resolve(turn.now, &alert);
        }
    }
}

/// The alert of a service that flaps, in the place of one for each time it goes down.
pub(super) fn flapping(record: &Incident) -> Alert {
    let mut alert = incident_alert("ServiceFlapping", record, "it goes down again and again");
    // Each time may have another reason; the alert is the same.
    alert.labels.retain(|(name, _)| name.as_ref() != "reason");
    alert.fingerprint = fingerprint(&alert.labels);
    alert
}

/// The built-in alert of an incident. Its fingerprint is that of its labels.
pub(super) fn incident_alert(name: &str, record: &Incident, detail: &str) -> Alert {
    let reason = record.reason.map_or("", Reason::as_str);
    let labels: Vec<(Arc<str>, Arc<str>)> = vec![
        ("alertname".into(), name.into()),
        ("host".into(), Arc::clone(&record.host)),
        ("reason".into(), reason.into()),
        ("service".into(), record.service_id.as_str().into()),
        ("severity".into(), record.severity.as_str().into()),
    ];
    let summary = format!("{} on {} is {} ({reason})", record.service_id, record.host, record.state);
    Alert {
        fingerprint: fingerprint(&labels),
        state: AlertState::Firing,
        labels,
        annotations: vec![
            ("description".into(), detail.to_owned()),
            ("state".into(), record.state.as_str().to_owned()),
            ("summary".into(), summary),
        ],
        starts_at: record.detected_at,
        ends_at: None,
        incident: Some(record.id),
    }
}

pub(super) fn fingerprint(labels: &[(Arc<str>, Arc<str>)]) -> Arc<str> {
    digest(labels.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()])).into()
}
