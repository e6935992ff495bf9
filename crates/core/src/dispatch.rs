//! From alerts to notifications: routes, groups, and who has been told what.
//!
//! The rules are Alertmanager's (`dispatch`, `notify`): the first notification of a group waits
//! `group_wait`, new alerts in a group already told wait `group_interval`, the same again
//! `repeat_interval`; an alert that resolves before anybody was told of it is told to nobody. One
//! difference, fixed by the contract: when *all* of a group is over, that is told at once. And one addition: who has
//! not been told of a death yet waits a moment for what the process has left, where its observer looks for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::digest::digest;
use crate::effect::{Alert, AlertState, Effect, Notification, NotifyReason};
use crate::mutation::{Rule, on};
use crate::spec::RouteSpec;
use crate::time::{Mono, Wall};

/// Labels, sorted by name.
type Labels = Vec<(Arc<str>, Arc<str>)>;
/// One alert in one life: its fingerprint and when it started.
type Identity = (Arc<str>, Wall);

/// One group of alerts on its way to one receiver.
#[derive(Debug)]
struct Group {
    receiver: Arc<str>,
    labels: Labels,
    timing: Timing,
    alerts: BTreeMap<Arc<str>, Alert>,
    /// What the receiver was last told to be firing, and when; `None`: nothing yet.
    told: Option<(BTreeSet<Identity>, Mono)>,
    due: Mono,
    /// Alerts that more is about to be said of, and until when that is waited for.
    awaited: BTreeMap<Arc<str>, Mono>,
}

/// A receiver of an alert, with the group it hears of it in.
struct Target {
    receiver: Arc<str>,
    labels: Labels,
    timing: Timing,
}

#[derive(Debug, Clone, Copy)]
struct Timing {
    wait: Duration,
    interval: Duration,
    repeat: Duration,
}

impl Timing {
    fn of(route: &RouteSpec) -> Self {
        Self { wait: route.group_wait, interval: route.group_interval, repeat: route.repeat_interval }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            wait: Duration::ZERO,
            interval: Duration::from_secs(300),
            repeat: Duration::from_secs(4 * 3600),
        }
    }
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    routes: Vec<RouteSpec>,
    receivers: Vec<Arc<str>>,
    groups: BTreeMap<String, Group>,
    /// INVARIANT: no group is due before this.
    soonest: Mono,
}

impl Default for Dispatcher {
    fn default() -> Self {
        Self { routes: Vec::new(), receivers: Vec::new(), groups: BTreeMap::new(), soonest: Mono::NEVER }
    }
}

impl Dispatcher {
    /// Takes other routes and receivers. Groups stay; those of receivers that are gone are forgotten.
    pub(crate) fn configure(&mut self, routes: &[RouteSpec], receivers: &[Arc<str>]) {
        self.routes = routes.to_vec();
        self.receivers = receivers.to_vec();
        self.groups.retain(|_, group| receivers.contains(&group.receiver));
    }

    /// Takes over what an earlier life told, so that nothing is told twice and every end is told.
    pub(crate) fn restore(&mut self, now: Mono, wall: Wall, notified: Vec<Notification>, active: &[Alert]) {
        for notification in notified {
            let told: BTreeSet<_> = notification
                .alerts
                .iter()
                .filter(|alert| alert.state == AlertState::Firing)
                .map(|alert| (Arc::clone(&alert.fingerprint), alert.starts_at))
                .collect();
            let mut alerts: BTreeMap<_, _> = active
                .iter()
                .filter(|alert| told.contains(&(Arc::clone(&alert.fingerprint), alert.starts_at)))
                .map(|alert| (Arc::clone(&alert.fingerprint), alert.clone()))
                .collect();
            if told.is_empty() || !on(Rule::RestoreTold) {
                continue;
            }
            // What ended, and was to be told with the group's next news when the earlier life ended.
            let still_active = alerts.len();
            for alert in notification.alerts.iter().filter(|alert| alert.state == AlertState::Firing) {
                if !on(Rule::RestoreEnds) {
                    break;
                }
                alerts.entry(Arc::clone(&alert.fingerprint)).or_insert_with(|| Alert {
                    state: AlertState::Resolved,
                    ends_at: Some(wall),
                    ..alert.clone()
                });
            }
            let key = key(&notification.receiver, &notification.group_labels);
            let timing = Timing::default();
            let due = match alerts.len() - still_active {
                0 => now + timing.repeat,
                _ if still_active == 0 => now,
                _ => now + timing.interval,
            };
            self.groups.insert(
                key,
                Group {
                    receiver: notification.receiver,
                    labels: notification.group_labels,
                    timing,
                    alerts,
                    told: Some((told, now)),
                    due,
                    awaited: BTreeMap::new(),
                },
            );
            self.soonest = self.soonest.min(due);
        }
    }

    /// An alert fires, or goes on firing after a restart of lifesign. `also`: receivers beside the routes'.
    pub(crate) fn fire(&mut self, now: Mono, alert: &Alert, also: &[Arc<str>]) {
        if !on(Rule::TellFiring) {
            return;
        }
        for Target { receiver, labels, timing } in self.targets(alert, also) {
            let group = self.groups.entry(key(&receiver, &labels)).or_insert_with(|| Group {
                receiver,
                labels,
                timing,
                alerts: BTreeMap::new(),
                told: None,
                due: Mono::NEVER,
                awaited: BTreeMap::new(),
            });
            group.timing = timing;
            group.alerts.insert(Arc::clone(&alert.fingerprint), alert.clone());
            let identity = (Arc::clone(&alert.fingerprint), alert.starts_at);
            group.due = match &group.told {
                None => group.due.min(now + timing.wait),
                Some((told, _)) if told.contains(&identity) => group.due,
                Some((_, at)) => group.due.min((*at + timing.interval).max(now)),
            };
            self.soonest = self.soonest.min(group.due);
        }
    }

    /// An alert is over.
    pub(crate) fn resolve(&mut self, now: Mono, alert: &Alert) {
        for group in self.groups.values_mut() {
            let Some(mine) = group.alerts.get_mut(&alert.fingerprint) else { continue };
            if !on(Rule::TellEnd) {
                continue;
            }
            *mine = alert.clone();
            group.awaited.remove(&alert.fingerprint);
            let all_over = group.alerts.values().all(|alert| alert.state == AlertState::Resolved);
            group.due = match &group.told {
                _ if all_over => now,
                None => group.due,
                Some((_, at)) => group.due.min((*at + group.timing.interval).max(now)),
            };
            self.soonest = self.soonest.min(group.due);
        }
    }

    /// More is about to be said of an alert: whoever has not been told of it is told when that is there, at the latest
    /// at `until`.
    pub(crate) fn await_more(&mut self, alert: &Alert, until: Mono) {
        let identity = (Arc::clone(&alert.fingerprint), alert.starts_at);
        for group in self.groups.values_mut() {
            let is_told = group.told.as_ref().is_some_and(|(told, _)| told.contains(&identity));
            if group.alerts.contains_key(&alert.fingerprint) && !is_told {
                group.awaited.entry(Arc::clone(&alert.fingerprint)).or_insert(until);
            }
        }
    }

    /// More is said of an alert. `is_all`: nothing further is waited for.
    pub(crate) fn add(&mut self, alert: &Alert, is_all: bool) {
        for group in self.groups.values_mut() {
            let Some(mine) = group.alerts.get_mut(&alert.fingerprint) else { continue };
            mine.annotations.clone_from(&alert.annotations);
            if is_all && group.awaited.remove(&alert.fingerprint).is_some() {
                self.soonest = self.soonest.min(group.due());
            }
        }
    }

    /// Sends what is due.
    pub(crate) fn flush(&mut self, now: Mono, wall: Wall, out: &mut Vec<Effect>) {
        if self.soonest > now {
            return;
        }
        for group in self.groups.values_mut() {
            if group.due() <= now
                && let Some(notification) = group.flush(now, wall)
            {
                out.push(Effect::Notify(notification));
            }
        }
        self.groups.retain(|_, group| !group.alerts.is_empty());
        self.soonest = self.groups.values().map(Group::due).min().unwrap_or(Mono::NEVER);
    }

    /// When [`Dispatcher::flush`] next has something to do.
    pub(crate) fn next_deadline(&self) -> Mono {
        self.soonest
    }

    /// Who has been, or will be, told of this alert: receiver, whether already told, and when it is due.
    pub(crate) fn standing(&self, fingerprint: &str) -> Vec<(Arc<str>, bool, Mono)> {
        self.groups
            .values()
            .filter(|group| group.alerts.contains_key(fingerprint))
            .map(|group| {
                let told = group
                    .told
                    .as_ref()
                    .is_some_and(|(told, _)| told.iter().any(|(mine, _)| mine.as_ref() == fingerprint));
                (Arc::clone(&group.receiver), told, group.due())
            })
            .collect()
    }

    /// The receivers of an alert, each once, with its group's labels and timing.
    fn targets(&self, alert: &Alert, also: &[Arc<str>]) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        let by_service: [Arc<str>; 1] = ["service".into()];
        let mut add = |receiver: &Arc<str>, group_by: &[Arc<str>], timing| {
            let labels = group_labels(alert, group_by);
            if !targets.iter().any(|known| known.receiver == *receiver && known.labels == labels) {
                targets.push(Target { receiver: Arc::clone(receiver), labels, timing });
            }
        };
        for route in &self.routes {
            if route.matches.iter().all(|(name, value)| label(alert, name) == value.as_ref()) {
                for receiver in &route.receivers {
                    add(receiver, &route.group_by, Timing::of(route));
                }
            }
        }
        if self.routes.is_empty() {
            for receiver in &self.receivers {
                add(receiver, &by_service, Timing::default());
            }
        }
        for receiver in also {
            // A receiver that a route already tells of this alert is not told a second time.
            if !targets.iter().any(|known| known.receiver == *receiver) {
                let labels = group_labels(alert, &by_service);
                targets.push(Target { receiver: Arc::clone(receiver), labels, timing: Timing::default() });
            }
        }
        targets
    }
}

impl Group {
    /// When it is told next.
    fn due(&self) -> Mono {
        self.awaited.values().copied().fold(self.due, Mono::max)
    }

    fn flush(&mut self, now: Mono, wall: Wall) -> Option<Notification> {
        let (firing, resolved): (Vec<Alert>, Vec<Alert>) =
            self.alerts.values().cloned().partition(|alert| alert.state == AlertState::Firing);
        let firing_now: BTreeSet<_> =
            firing.iter().map(|alert| (Arc::clone(&alert.fingerprint), alert.starts_at)).collect();
        let before = self.told.as_ref().map(|(told, _)| told);
        // Only the end of what was told is told.
        let resolved: Vec<Alert> = resolved
            .into_iter()
            .filter(|alert| {
                // It may have ended, fired and ended again since.
                !on(Rule::TellKnownEndsOnly)
                    || before.is_some_and(|told| told.iter().any(|(mine, _)| *mine == alert.fingerprint))
            })
            .collect();
        let reason = match before {
            None => (!firing.is_empty()).then_some(NotifyReason::FirstFiring),
            Some(told) if !firing_now.is_subset(told) => Some(NotifyReason::NewAlerts),
            Some(_) if firing.is_empty() => (!resolved.is_empty()).then_some(NotifyReason::AllResolved),
            Some(_) if !resolved.is_empty() => Some(NotifyReason::SomeResolved),
            Some(_) => Some(NotifyReason::Repeat),
        };
        self.alerts.retain(|_, alert| alert.state == AlertState::Firing);
        self.awaited.clear();
        self.due = if firing.is_empty() { Mono::NEVER } else { now + self.timing.repeat };
        let reason = reason?;
        self.told = Some((firing_now, now));
        let alerts: Vec<Alert> = firing.into_iter().chain(resolved).collect();
        Some(Notification {
            id: self.notification_id(&alerts, reason, wall).into(),
            at: wall,
            receiver: Arc::clone(&self.receiver),
            reason,
            group_labels: self.labels.clone(),
            incident: alerts.iter().find_map(|alert| alert.incident),
            alerts,
        })
    }

    /// The same cause gives the same id, so that a notification written twice is one notification.
    fn notification_id(&self, alerts: &[Alert], reason: NotifyReason, wall: Wall) -> String {
        let mut parts = vec![key(&self.receiver, &self.labels)];
        for alert in alerts {
            // After a stall one alert may fire, end and fire again in the same millisecond: those are two incidents.
            let incident = alert.incident.map_or(0, |incident| incident.0);
            let starts_at = alert.starts_at.as_millis();
            parts.push(format!("{}@{starts_at}#{incident}:{:?}", alert.fingerprint, alert.state));
        }
        if reason == NotifyReason::Repeat {
            parts.push(wall.as_millis().to_string());
        }
        digest(parts.iter().map(String::as_str))
    }
}

/// The value of a label; a missing label equals the empty one.
fn label<'a>(alert: &'a Alert, name: &str) -> &'a str {
    alert.labels.iter().find(|(key, _)| key.as_ref() == name).map_or("", |(_, value)| value)
}

fn group_labels(alert: &Alert, group_by: &[Arc<str>]) -> Labels {
    let mut labels: Labels =
        group_by.iter().map(|name| (Arc::clone(name), Arc::from(label(alert, name)))).collect();
    labels.sort();
    labels
}

fn key(receiver: &str, labels: &[(Arc<str>, Arc<str>)]) -> String {
    let mut key = receiver.to_owned();
    for (name, value) in labels {
        key.push('\u{0}');
        key.push_str(name);
        key.push('\u{1}');
        key.push_str(value);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IncidentId;

    fn alert(name: &str, service: &str, state: AlertState) -> Alert {
        let labels: Vec<(Arc<str>, Arc<str>)> = vec![
            ("alertname".into(), name.into()),
            ("service".into(), service.into()),
            ("severity".into(), "critical".into()),
        ];
        Alert {
            fingerprint: format!("{name}/{service}").into(),
            state,
            labels,
            annotations: Vec::new(),
            starts_at: Wall::from_millis(1000),
            ends_at: None,
            incident: Some(IncidentId(1)),
        }
    }

    fn route(receivers: &[&str], matches: &[(&str, &str)], wait: u64) -> RouteSpec {
        RouteSpec {
            matches: matches.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            receivers: receivers.iter().map(|name| (*name).into()).collect(),
            group_by: vec!["service".into()],
            group_wait: Duration::from_secs(wait),
            group_interval: Duration::from_secs(300),
            repeat_interval: Duration::from_secs(3600),
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    fn flush(dispatcher: &mut Dispatcher, seconds: u64) -> Vec<(String, NotifyReason, usize)> {
        let mut out = Vec::new();
        dispatcher.flush(at(seconds), Wall::from_millis(seconds as i64 * 1000), &mut out);
        out.into_iter()
            .map(|effect| match effect {
                Effect::Notify(notification) => {
                    (notification.receiver.to_string(), notification.reason, notification.alerts.len())
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn dispatcher(routes: &[RouteSpec]) -> Dispatcher {
        let mut dispatcher = Dispatcher::default();
        dispatcher.configure(routes, &["hook".into(), "mail".into()]);
        dispatcher
    }

    #[test]
    fn opening_and_closing_are_told_once_each_and_the_end_at_once() {
        let mut dispatcher = dispatcher(&[route(&["hook"], &[], 0)]);
        dispatcher.fire(at(10), &alert("ServiceDown", "web", AlertState::Firing), &[]);
        assert_eq!(flush(&mut dispatcher, 10), [("hook".to_owned(), NotifyReason::FirstFiring, 1)]);
        assert_eq!(flush(&mut dispatcher, 11), []);
        dispatcher.resolve(at(12), &alert("ServiceDown", "web", AlertState::Resolved));
        assert_eq!(flush(&mut dispatcher, 12), [("hook".to_owned(), NotifyReason::AllResolved, 1)]);
        assert_eq!(flush(&mut dispatcher, 9999), []);
        assert_eq!(dispatcher.next_deadline(), Mono::NEVER);
    }

    #[test]
    fn an_alert_that_ends_and_fires_again_in_one_millisecond_is_told_as_another_incident() {
        let mut dispatcher = dispatcher(&[route(&["hook"], &[], 0)]);
        let mut ids = Vec::new();
        for incident in [1, 2] {
            for state in [AlertState::Firing, AlertState::Resolved] {
                let alert =
                    Alert { incident: Some(IncidentId(incident)), ..alert("ServiceDown", "web", state) };
                match state {
                    AlertState::Firing => dispatcher.fire(at(10), &alert, &[]),
                    AlertState::Resolved | AlertState::Pending => dispatcher.resolve(at(10), &alert),
                }
                let mut out = Vec::new();
                dispatcher.flush(at(10), Wall::from_millis(10_000), &mut out);
                let [Effect::Notify(notification)] = out.as_slice() else { panic!("{out:?}") };
                ids.push(Arc::clone(&notification.id));
            }
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4, "the outbox would take two of them for one: {ids:?}");
    }

    #[test]
    fn an_alert_over_before_group_wait_is_told_to_nobody() {
        let mut dispatcher = dispatcher(&[route(&["hook"], &[], 30)]);
        dispatcher.fire(at(0), &alert("ServiceDown", "web", AlertState::Firing), &[]);
        assert_eq!(dispatcher.next_deadline(), at(30));
        dispatcher.resolve(at(20), &alert("ServiceDown", "web", AlertState::Resolved));
        assert_eq!(flush(&mut dispatcher, 20), []);
        assert_eq!(flush(&mut dispatcher, 40), []);
    }

    #[test]
    fn a_second_alert_of_a_group_waits_for_the_interval_and_repeats_come_after_theirs() {
        let mut dispatcher = dispatcher(&[route(&["hook"], &[], 0)]);
        dispatcher.fire(at(0), &alert("ServiceDown", "web", AlertState::Firing), &[]);
        flush(&mut dispatcher, 0);
        dispatcher.fire(at(10), &alert("HighCpu", "web", AlertState::Firing), &[]);
        assert_eq!(flush(&mut dispatcher, 10), []);
        assert_eq!(flush(&mut dispatcher, 300), [("hook".to_owned(), NotifyReason::NewAlerts, 2)]);
        dispatcher.resolve(at(310), &alert("HighCpu", "web", AlertState::Resolved));
        assert_eq!(flush(&mut dispatcher, 310), []);
        assert_eq!(flush(&mut dispatcher, 600), [("hook".to_owned(), NotifyReason::SomeResolved, 2)]);
        assert_eq!(flush(&mut dispatcher, 4199), []);
        assert_eq!(flush(&mut dispatcher, 4200), [("hook".to_owned(), NotifyReason::Repeat, 1)]);
    }

    #[test]
    fn a_receiver_reached_by_two_routes_and_a_rule_is_told_once() {
        let routes = [route(&["hook"], &[], 0), route(&["hook", "mail"], &[("severity", "critical")], 0)];
        let mut dispatcher = dispatcher(&routes);
        dispatcher.fire(at(0), &alert("ServiceDown", "web", AlertState::Firing), &["hook".into()]);
        let told: Vec<String> =
            flush(&mut dispatcher, 0).into_iter().map(|(receiver, ..)| receiver).collect();
        assert_eq!(told, ["hook", "mail"]);
    }

    #[test]
    fn a_route_takes_only_what_it_matches() {
        let mut dispatcher = dispatcher(&[route(&["mail"], &[("severity", "warning")], 0)]);
        dispatcher.fire(at(0), &alert("ServiceDown", "web", AlertState::Firing), &[]);
        assert_eq!(flush(&mut dispatcher, 0), []);
    }

    #[test]
    fn after_a_restart_the_opening_is_not_told_again_and_the_end_is() {
        let mut first = dispatcher(&[route(&["hook"], &[], 0)]);
        let firing = alert("ServiceDown", "web", AlertState::Firing);
        first.fire(at(0), &firing, &[]);
        let mut out = Vec::new();
        first.flush(at(0), Wall::from_millis(0), &mut out);
        let Some(Effect::Notify(notification)) = out.pop() else { panic!("nothing sent") };

        let mut second = dispatcher(&[route(&["hook"], &[], 0)]);
        second.restore(at(5), Wall::from_millis(5000), vec![notification], std::slice::from_ref(&firing));
        second.fire(at(5), &firing, &[]);
        assert_eq!(flush(&mut second, 5), []);
        second.resolve(at(6), &alert("ServiceDown", "web", AlertState::Resolved));
        assert_eq!(flush(&mut second, 6), [("hook".to_owned(), NotifyReason::AllResolved, 1)]);
    }
}
