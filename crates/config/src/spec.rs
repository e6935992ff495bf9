//! From the configuration to what the engine is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifesign_core::model::{HostName, ServiceId};
use lifesign_core::spec::{
    CheckSpec, Dependency, HeartbeatSpec, RestartSpec, RouteSpec, RuleSpec, ServiceSpec, Spec, Terms, Unknown,
};

use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::service::Service;

/// A service on one of its hosts.
#[derive(Debug)]
pub struct Placed<'c, C> {
    /// As written.
    pub service: &'c Service<C>,
    /// The host.
    pub host: HostName,
    /// Its id in API and URLs: the written one where it runs on one host, `orders@web-01` where it runs on several.
    pub id: ServiceId,
}

/// Every service on every host it runs on: those without `hosts` on `here`, the others on all hosts that are known and
/// fit one of their patterns.
pub fn placed<'c, C, R>(
    config: &'c Config<C, R>,
    here: &HostName,
    others: &[HostName],
) -> Vec<Placed<'c, C>> {
    let mut placed = Vec::new();
    for service in &config.services {
        let patterns = &service.keys.hosts;
        let fits = |host: &HostName| patterns.iter().any(|pattern| matches(pattern, host));
        let hosts: Vec<&HostName> = if patterns.is_empty() {
            vec![here]
        } else {
            std::iter::once(here).chain(others).filter(|host| fits(host)).collect()
        };
        let several = hosts.len() > 1;
        placed.extend(hosts.into_iter().map(|host| Placed {
            service,
            host: Arc::clone(host),
            id: if several { service.id().on(host) } else { service.id().clone() },
        }));
    }
    placed
}

/// The engine's part of the configuration, as [`placed`] on `here` and the `others` that are known.
///
/// The checks of a service stand in the order of the file, target after target; each configured check is one
/// group. [`Service::check_names`] and [`Service::checks`] give the same order to whoever runs them.
pub fn spec<C, R>(config: &Config<C, R>, here: &HostName, others: &[HostName]) -> Spec {
    let placed = placed(config, here, others);
    let ids = Ids::of(&placed);
    let mut services: Vec<_> = placed.iter().map(|placed| service_spec(config, placed, &ids)).collect();
    share_terms(&mut services);
    Spec {
        services,
        rules: config.rules.iter().flat_map(|rule| rule_specs(rule, &ids)).collect(),
        receivers: config.receivers.iter().map(|receiver| receiver.name().into()).collect(),
        routes: config.routes.iter().map(route_spec).collect(),
        confirmations_per_second: config.server.limits.confirmations,
        unknown: config.heartbeats.create_unknown.then(|| Unknown {
            terms: Arc::new(unknown_terms(config, here)),
            most: config.server.limits.services,
        }),
    }
}

/// Neighbours that are watched alike share their terms: long lists are of services that differ by their names.
fn share_terms(services: &mut [ServiceSpec]) {
    for place in 1..services.len() {
        if services[place - 1].terms == services[place].terms {
            services[place].terms = Arc::clone(&services[place - 1].terms);
        }
    }
}

/// How a service is watched that is known only by its heartbeats: with the file's defaults.
fn unknown_terms<C, R>(config: &Config<C, R>, here: &HostName) -> Terms {
    let heartbeat = Heartbeat::unwritten().spec(&config.defaults);
    Terms {
        start_grace: heartbeat.timeout,
        // It has no checks, so there is no second opinion.
        heartbeat: Some(HeartbeatSpec { second_opinion: None, ..heartbeat }),
        ..Terms::on(Arc::clone(here))
    }
}

/// Which ids a written id stands for.
struct Ids<'p>(BTreeMap<&'p ServiceId, Vec<(&'p HostName, &'p ServiceId)>>);

impl<'p> Ids<'p> {
    fn of<C>(placed: &'p [Placed<'_, C>]) -> Self {
        let mut ids: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for placed in placed {
            ids.entry(placed.service.id()).or_default().push((&placed.host, &placed.id));
        }
        Self(ids)
    }

    fn all(&self, id: &ServiceId) -> &[(&'p HostName, &'p ServiceId)] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    /// What a service on `host` needs when it is written to need `written`: of a service that runs on several hosts
    /// the one on its own host, and where there is none, any one of them.
    fn dependency(&self, written: &Dependency, host: &HostName) -> Option<Dependency> {
        let near = |id: &ServiceId| -> Vec<ServiceId> {
            let all = self.all(id);
            match all.iter().find(|(on, _)| *on == host) {
                Some((_, near)) => vec![(*near).clone()],
                None => all.iter().map(|(_, id)| (*id).clone()).collect(),
            }
        };
        let of: Vec<ServiceId> = written.of.iter().flat_map(near).collect();
        let need = written.need.min(u32::try_from(of.len()).unwrap_or(u32::MAX));
        (!of.is_empty()).then_some(Dependency { of, need })
    }
}

fn service_spec<C, R>(config: &Config<C, R>, placed: &Placed<'_, C>, ids: &Ids<'_>) -> ServiceSpec {
    let Placed { service, host, id } = placed;
    let keys = &service.keys;
    ServiceSpec::new(
        id.clone(),
        Terms {
            host: Arc::clone(host),
            unit: keys.unit.as_ref().map(crate::unit::Unit::words),
            heartbeat: keys.heartbeat.as_ref().map(|heartbeat| heartbeat_spec(config, service, heartbeat)),
            job: keys.job.as_ref().and_then(crate::job::Job::spec),
            checks: check_specs(service),
            depends_on: keys
                .depends_on
                .iter()
                .filter_map(|needs| ids.dependency(&needs.spec(), host))
                .collect(),
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
        },
    )
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

/// A rule of one service is one for each host it runs on.
fn rule_specs(rule: &crate::rule::Rule, ids: &Ids<'_>) -> Vec<RuleSpec> {
    match &rule.service {
        Some(id) => ids.all(&id.value).iter().map(|(_, id)| rule_spec(rule, Some((*id).clone()))).collect(),
        None => vec![rule_spec(rule, None)],
    }
}

fn rule_spec(rule: &crate::rule::Rule, service: Option<ServiceId>) -> RuleSpec {
    RuleSpec {
        alert: rule.alert.as_str().into(),
        when: rule.when.text.as_str().into(),
        metric: rule.when.metric.as_str().into(),
        comparison: rule.when.comparison,
        threshold: rule.when.threshold,
        hold: rule.hold.0,
        severity: rule.severity,
        service,
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
