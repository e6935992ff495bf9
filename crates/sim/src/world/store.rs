//! The store, as far as the engine's next life sees it: every effect applied as `lifesign-store` applies it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lifesign_core::effect::{Alert, AlertState, Effect, Incident, Memory, Notification, TimelineEntry};
use lifesign_core::engine::Past;
use lifesign_core::model::{IncidentId, ServiceId};

type Group = (Arc<str>, Vec<(Arc<str>, Arc<str>)>);

/// The tables.
#[derive(Debug, Default)]
pub struct Store {
    memories: BTreeMap<ServiceId, Memory>,
    /// All incidents, closed ones too.
    pub incidents: BTreeMap<IncidentId, Incident>,
    timelines: BTreeMap<IncidentId, Vec<TimelineEntry>>,
    /// Pending and firing alerts.
    pub alerts: BTreeMap<Arc<str>, Alert>,
    outbox: BTreeSet<Arc<str>>,
    newest: BTreeMap<Group, Notification>,
}

impl Store {
    /// Writes one effect down. Returns false for a notification that is known already.
    pub fn apply(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Incident(incident) => {
                self.incidents.insert(incident.id, incident.clone());
            }
            Effect::Timeline { incident, entry } => {
                let lines = self.timelines.entry(*incident).or_default();
                if lines.len() < 400 {
                    lines.push(entry.clone());
                }
            }
            Effect::Alert(alert) if alert.state == AlertState::Resolved => {
                self.alerts.remove(&alert.fingerprint);
            }
            Effect::Alert(alert) => {
                self.alerts.insert(Arc::clone(&alert.fingerprint), alert.clone());
            }
            Effect::Notify(notification) => {
                if !self.outbox.insert(Arc::clone(&notification.id)) {
                    return false;
                }
                let group = (Arc::clone(&notification.receiver), notification.group_labels.clone());
                self.newest.insert(group, notification.clone());
            }
            Effect::Remember(memory) => {
                self.memories.insert(memory.service.clone(), memory.clone());
            }
            Effect::Transition(_) | Effect::Act(_) | Effect::LookNow(_) | Effect::Audit(_) => {}
        }
        true
    }

    /// What the next life is told.
    pub fn past(&self) -> Past {
        let open = self.incidents.values().filter(|incident| incident.closed_at.is_none());
        Past {
            memories: self.memories.values().cloned().collect(),
            incidents: open
                .map(|incident| {
                    (incident.clone(), self.timelines.get(&incident.id).cloned().unwrap_or_default())
                })
                .collect(),
            next_incident: self.incidents.keys().next_back().map_or(1, |id| id.0 + 1),
            alerts: self.alerts.values().cloned().collect(),
            notified: self.newest.values().cloned().collect(),
        }
    }
}
