//! The books: what is written down of incidents, alerts, notifications and restarts must add up, over all lives
//! of lifesign. Everything here looks at what the store took, in the order in which it took it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::{Alert, AlertState, Effect, Notification, NotifyReason};
use lifesign_core::time::{Mono, Wall};

use crate::world::plan::Plan;
use crate::world::store::Store;
use crate::world::truth;

/// One alert in one life of it.
type Identity = (Arc<str>, Wall);

/// What one receiver was told of one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Firing,
    /// Its end has to be told; since this run time.
    Ending(Duration),
    Over,
}

/// A firing alert: since which run time, and who still has to be told.
#[derive(Debug)]
struct Firing {
    since: Duration,
    waiting: Vec<Arc<str>>,
}

/// The books.
#[derive(Debug)]
pub struct Books {
    open: BTreeMap<String, u64>,
    newest: u64,
    closed: BTreeSet<u64>,
    /// Firing alerts, since when, and who still has to be told.
    firing: BTreeMap<Arc<str>, Firing>,
    pending: BTreeSet<Arc<str>>,
    told: BTreeMap<(Arc<str>, Identity), Told>,
    acts: Vec<VecDeque<Mono>>,
    actions: BTreeSet<Arc<str>>,
    budgets: Vec<Option<(u32, Duration)>>,
    receivers: Vec<Arc<str>>,
    patience: Duration,
}

/// What the store and the oracle's turns may take.
const SLACK: Duration = Duration::from_secs(8);

impl Books {
    /// Empty books of a plan's world.
    pub fn new(plan: &Plan) -> Self {
        let routes = &plan.spec.routes;
        let timing = routes
            .first()
            .map_or(Duration::from_secs(300), |route| route.group_wait.max(route.group_interval));
        Self {
            open: BTreeMap::new(),
            newest: 0,
            closed: BTreeSet::new(),
            firing: BTreeMap::new(),
            pending: BTreeSet::new(),
            told: BTreeMap::new(),
            acts: vec![VecDeque::new(); plan.services.len()],
            actions: BTreeSet::new(),
            budgets: plan
                .spec
                .services
                .iter()
                .map(|service| service.restart.as_ref().map(|restart| (restart.budget, restart.window)))
                .collect(),
            receivers: if routes.is_empty() {
                plan.spec.receivers.clone()
            } else {
                routes[0].receivers.clone()
            },
            // Receivers that only a rule names have the default timing.
            patience: timing.max(Duration::from_secs(300)) + SLACK,
        }
    }

    /// Whether an incident of this service id is open.
    pub fn is_open(&self, service_id: &str) -> bool {
        self.open.contains_key(service_id)
    }

    /// Lifesign starts: who has to be told something gets the time for it anew.
    pub fn life_begins(&mut self, run: Duration) {
        for firing in self.firing.values_mut() {
            firing.since = run;
        }
        for told in self.told.values_mut() {
            if let Told::Ending(since) = told {
                *since = run;
            }
        }
    }

    /// How long ago earlier restarts were can no longer be known.
    pub fn forget_restarts(&mut self) {
        self.acts.iter_mut().for_each(VecDeque::clear);
    }

    /// One effect was written. `new`: it is no notification that was known already.
    ///
    /// # Errors
    /// What does not add up.
    pub fn written(&mut self, effect: &Effect, new: bool, run: Duration, now: Mono) -> Result<(), String> {
        match effect {
            Effect::Incident(incident) => {
                let (id, service) = (incident.id.0, incident.service_id.as_str());
                if self.closed.contains(&id) {
                    return Err(format!("incident {id} of {service} changes after it was closed"));
                }
                match self.open.get(service).copied() {
                    Some(open) if open != id => {
                        return Err(format!("{service} has incidents {open} and {id} open at once"));
                    }
                    Some(_) => {}
                    None if id <= self.newest => return Err(format!("incident {id} is used a second time")),
                    None => {
                        self.newest = id;
                        self.open.insert(service.to_owned(), id);
                    }
                }
                if incident.closed_at.is_some() {
                    self.open.remove(service);
                    self.closed.insert(id);
                }
                Ok(())
            }
            Effect::Alert(alert) => self.alert(alert, run),
            Effect::Notify(notification) if new => self.notification(notification),
            Effect::Act(action) => {
                if !self.actions.insert(Arc::clone(&action.id)) {
                    return Err(format!("action {} is ordered twice", action.id));
                }
                let Some(service) = truth::index(action.service.as_str()) else { return Ok(()) };
                if action.by.as_ref() == "anna" {
                    return Ok(());
                }
                let Some((budget, window)) = self.budgets[service] else {
                    return Err(format!("{} may not be restarted", action.service));
                };
                let acts = &mut self.acts[service];
                acts.push_back(now);
                // The store may take its time with one of them and not with the other.
                let window = window.saturating_sub(SLACK);
                while acts.front().is_some_and(|at| *at + window < now) {
                    acts.pop_front();
                }
                if acts.len() > budget as usize {
                    return Err(format!(
                        "{} restarts of {} within {window:?}, and the budget is {budget}",
                        acts.len(),
                        action.service
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn alert(&mut self, alert: &Alert, run: Duration) -> Result<(), String> {
        let name = || alert.labels.iter().map(|(_, value)| value.as_ref()).collect::<Vec<_>>().join(" ");
        let fingerprint = Arc::clone(&alert.fingerprint);
        match alert.state {
            AlertState::Pending => {
                if self.firing.contains_key(&fingerprint) || !self.pending.insert(fingerprint) {
                    return Err(format!("alert {} becomes pending and is that already", name()));
                }
            }
            AlertState::Firing => {
                self.pending.remove(&fingerprint);
                if self.firing.contains_key(&fingerprint) {
                    return Err(format!("alert {} fires a second time", name()));
                }
                // Twice within one millisecond, after a stall: the same identity lives again. Who was not told
                // of its end knows of it.
                let again = (Arc::clone(&fingerprint), alert.starts_at);
                self.told.retain(|(_, identity), told| *identity != again || *told != Told::Over);
                let mut waiting = self.receivers.clone();
                for ((receiver, _), told) in self.told.iter_mut().filter(|((_, one), _)| *one == again) {
                    *told = Told::Firing;
                    waiting.retain(|name| name != receiver);
                }
                self.firing.insert(fingerprint, Firing { since: run, waiting });
            }
            AlertState::Resolved => {
                let was_pending = self.pending.remove(&fingerprint);
                let was_firing = self.firing.remove(&fingerprint).is_some();
                if !was_pending && !was_firing {
                    return Err(format!("alert {} resolves without having fired", name()));
                }
                for ((_, identity), told) in &mut self.told {
                    if *identity == (Arc::clone(&alert.fingerprint), alert.starts_at) && *told == Told::Firing
                    {
                        *told = Told::Ending(run);
                    }
                }
            }
        }
        Ok(())
    }

    fn notification(&mut self, notification: &Notification) -> Result<(), String> {
        let receiver = &notification.receiver;
        let reason = notification.reason;
        let mut news = 0;
        for alert in &notification.alerts {
            let identity = (Arc::clone(&alert.fingerprint), alert.starts_at);
            let key = (Arc::clone(receiver), identity);
            let told = self.told.get(&key).copied();
            let name = || alert.labels.iter().map(|(_, value)| value.as_ref()).collect::<Vec<_>>().join(" ");
            match (alert.state, told) {
                (AlertState::Pending, _) => {
                    return Err(format!("{receiver} is told of the pending alert {}", name()));
                }
                (AlertState::Firing, None) => {
                    news += 1;
                    // Whoever hears that it fires again needs not hear that it had ended.
                    for ((to, (fingerprint, _)), told) in &mut self.told {
                        if to == receiver && *fingerprint == alert.fingerprint && *told != Told::Firing {
                            *told = Told::Over;
                        }
                    }
                    self.told.insert(key, Told::Firing);
                    if let Some(firing) = self.firing.get_mut(&alert.fingerprint) {
                        firing.waiting.retain(|name| name != receiver);
                    }
                }
                (AlertState::Firing, Some(Told::Over)) => {
                    return Err(format!("{receiver} is told that {} fires after its end was told", name()));
                }
                (AlertState::Firing, Some(_)) if reason == NotifyReason::FirstFiring => {
                    return Err(format!("{receiver} is told for a second time that {} fires", name()));
                }
                (AlertState::Firing, Some(_)) => {}
                (AlertState::Resolved, Some(Told::Firing | Told::Ending(_))) => {
                    news += 1;
                    self.told.insert(key, Told::Over);
                }
                (AlertState::Resolved, _) if self.end_earlier(receiver, &alert.fingerprint) => news += 1,
                (AlertState::Resolved, _) => {
                    return Err(format!(
                        "{receiver} is told the end of {} and does not know of it, or does already",
                        name()
                    ));
                }
            }
        }
        let repeats = reason == NotifyReason::Repeat;
        if repeats != (news == 0) {
            return Err(format!("{receiver} gets a notification {reason:?} with {news} news"));
        }
        Ok(())
    }

    /// An alert fired and ended again before anybody was told of that: its end is also the end of what the
    /// receiver knows. Returns whether it knew anything.
    fn end_earlier(&mut self, receiver: &Arc<str>, fingerprint: &Arc<str>) -> bool {
        let mut any = false;
        for ((to, (mine, _)), told) in &mut self.told {
            if to == receiver && mine == fingerprint && *told != Told::Over {
                *told = Told::Over;
                any = true;
            }
        }
        any
    }

    /// What holds between two transactions: an open incident has its alert firing, and a closed one has none.
    ///
    /// # Errors
    /// What does not add up.
    pub fn balance(&self, store: &Store) -> Result<(), String> {
        for (service, id) in &self.open {
            let fires = store.alerts.values().any(|alert| {
                alert.incident.is_some_and(|incident| incident.0 == *id) && alert.state == AlertState::Firing
            });
            if !fires {
                return Err(format!("incident {id} of {service} is open and no alert of it fires"));
            }
        }
        for alert in store.alerts.values() {
            if let Some(incident) = alert.incident
                && self.closed.contains(&incident.0)
            {
                return Err(format!("incident {incident} is closed and its alert still fires"));
            }
        }
        Ok(())
    }

    /// Who should have been told something by now and was not.
    pub fn overdue(&self, run: Duration) -> Option<String> {
        for (fingerprint, firing) in &self.firing {
            if let Some(receiver) = firing.waiting.first()
                && run > firing.since + self.patience
            {
                return Some(format!("{receiver} was not told of the alert {fingerprint} that fires"));
            }
        }
        self.told.iter().find_map(|((receiver, (fingerprint, _)), told)| match told {
            Told::Ending(since) if run > *since + self.patience => {
                Some(format!("{receiver} was told of the alert {fingerprint} and not of its end"))
            }
            _ => None,
        })
    }
}
