//! From the configuration to what the engine is told.

use std::sync::Arc;

use lifesign_core::model::HostName;
use lifesign_core::spec::{CheckSpec, HeartbeatSpec, RestartSpec, RouteSpec, RuleSpec, ServiceSpec, Spec};

use crate::config::Config;
use crate::dependency::Needs;
use crate::heartbeat::Heartbeat;
use crate::service::Service;

/// The engine's part of the configuration, as seen on `host`: services for other hosts are left out.
///
/// The checks of a service stand in the order of the file, target after target; each configured check is one
/// group. [`Service::check_names`] and [`Service::checks`] give the same order to whoever runs them.
pub fn spec<C, R>(config: &Config<C, R>, host: &HostName) -> Spec {
    Spec {
        services: services_on(config, host).map(|service| service_spec(config, service, host)).collect(),
        rules: config.rules.iter().map(rule_spec).collect(),
        receivers: config.receivers.iter().map(|receiver| receiver.name().into()).collect(),
        routes: config.routes.iter().map(route_spec).collect(),
        confirmations_per_second: config.server.limits.confirmations,
    }
}

/// The services that run on `host`.
pub fn services_on<'c, C, R>(config: &'c Config<C, R>, host: &str) -> impl Iterator<Item = &'c Service<C>> {
    config.services.iter().filter(move |service| {
        let hosts = &service.keys.hosts;
        hosts.is_empty() || hosts.iter().any(|pattern| matches(pattern, host))
    })
}

fn service_spec<C, R>(config: &Config<C, R>, service: &Service<C>, host: &HostName) -> ServiceSpec {
    let keys = &service.keys;
    ServiceSpec {
        id: keys.id.value.clone(),
        host: Arc::clone(host),
        unit: keys.unit.as_ref().map(crate::unit::Unit::words),
        heartbeat: keys.heartbeat.as_ref().map(|heartbeat| heartbeat_spec(config, service, heartbeat)),
        job: keys.job.as_ref().and_then(crate::job::Job::spec),
        checks: check_specs(service),
        depends_on: keys.depends_on.iter().map(Needs::spec).collect(),
        restart: keys.restart.as_ref().map(|restart| RestartSpec {
            budget: restart.budget.count,
            window: restart.budget.window,
            backoff_min: restart.backoff.min,
            backoff_max: restart.backoff.max,
            prove_for: restart.prove_for,
        }),
        alert_on_degraded: keys.alert_on == crate::service::AlertOn::Degraded,
        severity: keys.severity,
        start_grace: keys.start_grace.0,
    }
}

fn heartbeat_spec<C, R>(config: &Config<C, R>, service: &Service<C>, heartbeat: &Heartbeat) -> HeartbeatSpec {
    let mut spec = heartbeat.spec(&config.defaults);
    // Only `defaults` can ask for more than there are; at a service that is an error.
    spec.second_opinion = spec.second_opinion.filter(|opinion| opinion.of as usize <= service.targets());
    spec
}

fn check_specs<C>(service: &Service<C>) -> Vec<CheckSpec> {
    let names = service.check_names();
    let groups = service.checks.iter().zip(names).zip(0u16..);
    groups
        .flat_map(|((check, names), group)| {
            names.into_iter().map(move |name| CheckSpec {
                kind: check.kind,
                name: name.into(),
                interval: check.interval,
                rise: check.rise,
                fall: check.fall,
                group,
                need: check.need,
            })
        })
        .collect()
}

fn rule_spec(rule: &crate::rule::Rule) -> RuleSpec {
    RuleSpec {
        alert: rule.alert.as_str().into(),
        when: rule.when.text.as_str().into(),
        metric: rule.when.metric.as_str().into(),
        comparison: rule.when.comparison,
        threshold: rule.when.threshold,
        hold: rule.hold.0,
        severity: rule.severity,
        service: rule.service.as_ref().map(|id| id.value.clone()),
        notify: rule.notify.iter().map(|name| name.as_str().into()).collect(),
        restart: rule.restart,
    }
}

fn route_spec(route: &crate::alerting::Route) -> RouteSpec {
    RouteSpec {
        matches: route
            .matches
            .iter()
            .map(|(label, value)| (label.as_str().into(), value.as_str().into()))
            .collect(),
        receivers: route.receivers.iter().map(|name| name.as_str().into()).collect(),
        group_by: route.group_by.iter().map(|label| label.as_str().into()).collect(),
        group_wait: route.group_wait.0,
        group_interval: route.group_interval,
        repeat_interval: route.repeat_interval,
    }
}

/// Whether `text` fits `pattern`, where `*` stands for any letters, none included.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, text, fits) in [
            ("web-01", "web-01", true),
            ("web-01", "web-012", false),
            ("web-*", "web-", true),
            ("*", "", true),
            ("*-db-*", "eu-db-1", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("*aa", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
