//! Rules over metrics: a condition, a time it must hold, and what follows.
//!
//! As in Prometheus (`rules/alerting.go`): the first true sample makes an alert *pending*, it fires once the
//! condition has held for `for`, and a single false sample while pending ends it. A metric that is no longer
//! reported keeps its last verdict: missing data is not good news.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::incident::fingerprint;
use super::{Engine, Turn, Wake, words};
use crate::effect::{Alert, AlertState, Effect};
use crate::model::{HostName, ServiceIx};
use crate::remedy::Step;
use crate::spec::{Comparison, RuleSpec};
use crate::time::Mono;

/// Whose metric it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Service(ServiceIx),
    Host(HostName),
}

/// One rule for one subject, pending or firing.
#[derive(Debug)]
struct Run {
    fingerprint: Arc<str>,
    fires_at: Mono,
    firing: bool,
}

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Rules {
    specs: Vec<RuleSpec>,
    by_metric: HashMap<Arc<str>, Vec<usize>>,
    runs: BTreeMap<(Arc<str>, Subject), Run>,
}

impl Rules {
    pub(super) fn specs(&self) -> &[RuleSpec] {
        &self.specs
    }
}

/// Whether `value` meets the rule's condition.
fn holds(rule: &RuleSpec, value: f64) -> bool {
    match rule.comparison {
        Comparison::Greater => value > rule.threshold,
        Comparison::GreaterOrEqual => value >= rule.threshold,
        Comparison::Less => value < rule.threshold,
        Comparison::LessOrEqual => value <= rule.threshold,
        Comparison::Equal => (value - rule.threshold).abs() < f64::EPSILON,
        Comparison::NotEqual => (value - rule.threshold).abs() >= f64::EPSILON,
    }
}

impl Engine {
    pub(super) fn configure_rules(&mut self, specs: &[RuleSpec], turn: &mut Turn<'_>) {
        let mut by_metric: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (index, rule) in specs.iter().enumerate() {
            by_metric.entry(Arc::clone(&rule.metric)).or_default().push(index);
        }
        // A rule that is gone or says something else has nothing to fire about any more.
        let changed: Vec<Arc<str>> = self
            .rules
            .specs
            .iter()
            .filter(|old| !specs.contains(old))
            .map(|old| Arc::clone(&old.alert))
            .collect();
        self.rules.specs = specs.to_vec();
        self.rules.by_metric = by_metric;
        let ended: Vec<(Arc<str>, Subject)> = self
            .rules
            .runs
            .keys()
            .filter(|(alert, subject)| {
                changed.contains(alert)
                    || matches!(subject, Subject::Service(ix) if !self.services[ix.0 as usize].watched)
            })
            .cloned()
            .collect();
        for key in ended {
            self.end_run(&key, "the rule or its service is no longer configured", turn);
        }
        self.adopt_alerts(turn);
    }

    /// Alerts of an earlier life: those of a rule that still exists go on, the others are over. Alerts of
    /// open incidents are sent on their way again, which tells nobody twice.
    fn adopt_alerts(&mut self, turn: &mut Turn<'_>) {
        let known: Vec<Alert> = self.alerts.values().cloned().collect();
        for alert in known {
            let label = |name: &str| {
                alert.labels.iter().find(|(key, _)| key.as_ref() == name).map(|(_, value)| Arc::clone(value))
            };
            if alert.incident.is_some() {
                self.dispatcher.fire(turn.now, &alert, &[]);
                continue;
            }
            let name = label("alertname").unwrap_or_default();
            let rule = self.rules.specs.iter().find(|rule| rule.alert == name).cloned();
            let subject = match (&rule, label("service"), label("host")) {
                (Some(rule), _, Some(host)) if rule.metric.starts_with("host_") => Some(Subject::Host(host)),
                (_, Some(service), _) => self.by_id.get(service.as_ref()).map(|ix| Subject::Service(*ix)),
                _ => None,
            };
            let (Some(rule), Some(subject)) = (rule, subject) else {
                let fingerprint = Arc::clone(&alert.fingerprint);
                self.resolve(&fingerprint, "the rule or its service is no longer configured", turn);
                continue;
            };
            let firing = alert.state == AlertState::Firing;
            if firing {
                self.dispatcher.fire(turn.now, &alert, &rule.notify);
            }
            self.rules.runs.entry((name, subject)).or_insert_with(|| Run {
                fingerprint: Arc::clone(&alert.fingerprint),
                // What was pending starts its time again: nobody knows that the condition held meanwhile.
                fires_at: turn.now + rule.hold,
                firing,
            });
            if !firing {
                self.timers.push(Reverse((turn.now + rule.hold, Wake::Rules)));
            }
        }
    }

    pub(super) fn on_service_metric(&mut self, ix: ServiceIx, name: &str, value: f64, turn: &mut Turn<'_>) {
        let Some(rules) = self.rules.by_metric.get(name).cloned() else { return };
        for index in rules {
            let rule = &self.rules.specs[index];
            let mine = rule.service.as_ref().is_none_or(|id| *id == self.services[ix.0 as usize].spec.id);
            if mine {
                self.sample(index, Subject::Service(ix), value, turn);
            }
        }
    }

    pub(super) fn on_host_metric(&mut self, host: &HostName, name: &str, value: f64, turn: &mut Turn<'_>) {
        let Some(rules) = self.rules.by_metric.get(name).cloned() else { return };
        for index in rules {
            let rule = &self.rules.specs[index];
            // A rule that names a service is about that service's host only.
            let mine = rule.service.as_ref().is_none_or(|id| {
                self.find(id.as_str()).is_some_and(|at| self.services[at].spec.host == *host)
            });
            if mine {
                self.sample(index, Subject::Host(Arc::clone(host)), value, turn);
            }
        }
    }

    fn sample(&mut self, index: usize, subject: Subject, value: f64, turn: &mut Turn<'_>) {
        let rule = self.rules.specs[index].clone();
        let key = (Arc::clone(&rule.alert), subject);
        let run = self.rules.runs.get(&key);
        match (holds(&rule, value), run) {
            (false, None) => {}
            (false, Some(_)) => {
                let why = format!("{} is {value}, no longer {}", rule.metric, rule.when);
                self.end_run(&key, &why, turn);
            }
            (true, Some(run)) => {
                if !run.firing && turn.now >= run.fires_at {
                    self.fire_run(&rule, &key, turn);
                }
            }
            (true, None) => {
                let alert = self.rule_alert(&rule, &key.1, value, turn);
                let run = Run {
                    fingerprint: Arc::clone(&alert.fingerprint),
                    fires_at: turn.now + rule.hold,
                    firing: false,
                };
                self.timers.push(Reverse((run.fires_at, Wake::Rules)));
                self.rules.runs.insert(key.clone(), run);
                turn.out.push(Effect::Alert(alert.clone()));
                self.alerts.insert(Arc::clone(&alert.fingerprint), alert);
                if rule.hold.is_zero() {
                    self.fire_run(&rule, &key, turn);
                }
            }
        }
    }

    pub(super) fn run_rule_timers(&mut self, turn: &mut Turn<'_>) {
        let due: Vec<(Arc<str>, Subject)> = self
            .rules
            .runs
            .iter()
            .filter(|(_, run)| !run.firing && run.fires_at <= turn.now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            let rule = self.rules.specs.iter().find(|rule| rule.alert == key.0).cloned();
            if let Some(rule) = rule {
                self.fire_run(&rule, &key, turn);
            }
        }
    }

    /// A run that does not fire yet does now.
    fn fire_run(&mut self, rule: &RuleSpec, key: &(Arc<str>, Subject), turn: &mut Turn<'_>) {
        let service = match &key.1 {
            Subject::Service(ix) => Some(*ix),
            Subject::Host(_) => rule.service.as_ref().and_then(|id| self.by_id.get(id).copied()),
        };
        if service.is_some_and(|ix| self.services[ix.0 as usize].paused) {
            // Held while paused: looked at again with the next sample.
            return;
        }
        let Some(run) = self.rules.runs.get_mut(key) else { return };
        run.firing = true;
        let Some(mut alert) = self.alerts.get(&run.fingerprint).cloned() else { return };
        alert.state = AlertState::Firing;
        self.fire(alert, &rule.notify, turn);
        if let (true, Some(ix)) = (rule.restart, service) {
            let index = ix.0 as usize;
            if self.services[index].remedy.step == Step::Idle {
                self.services[index].remedy.forced = true;
                self.schedule_restart(index, &format!("rule {}", rule.alert).into(), turn);
                self.arm(ix);
            }
        }
    }

    fn end_run(&mut self, key: &(Arc<str>, Subject), why: &str, turn: &mut Turn<'_>) {
        if let Some(run) = self.rules.runs.remove(key) {
            self.resolve(&run.fingerprint, why, turn);
        }
    }

    fn rule_alert(&self, rule: &RuleSpec, subject: &Subject, value: f64, turn: &Turn<'_>) -> Alert {
        let mut labels: Vec<(Arc<str>, Arc<str>)> = vec![
            ("alertname".into(), Arc::clone(&rule.alert)),
            ("severity".into(), rule.severity.as_str().into()),
        ];
        let place = match subject {
            Subject::Service(ix) => {
                let spec = &self.services[ix.0 as usize].spec;
                labels.push(("host".into(), Arc::clone(&spec.host)));
                labels.push(("service".into(), spec.id.as_str().into()));
                format!("{} on {}", spec.id, spec.host)
            }
            Subject::Host(host) => {
                labels.push(("host".into(), Arc::clone(host)));
                if let Some(service) = &rule.service {
                    labels.push(("service".into(), service.as_str().into()));
                }
                host.to_string()
            }
        };
        labels.sort();
        let description =
            format!("{} on {place}: {} is {value}, held for {}", rule.when, rule.metric, words(rule.hold));
        Alert {
            fingerprint: fingerprint(&labels),
            state: AlertState::Pending,
            labels,
            annotations: vec![
                ("description".into(), description),
                ("summary".into(), format!("{}: {} on {place}", rule.alert, rule.when)),
            ],
            starts_at: turn.wall,
            ends_at: None,
            incident: None,
        }
    }
}
