//! What can only be seen from above: double names, references to what is not there, circles.
//!
//! Names are taken from the tree and not from what could be decoded, so that one mistake in a service does not
//! make every reference to it a second one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use lifesign_core::model::ServiceId;

use crate::config::{Config, Partial};
use crate::decode::Located;
use crate::fields::Cx;
use crate::nearest::nearest;
use crate::node::{Node, Value};
use crate::problem::shorten;
use crate::service::Service;
use crate::source::Span;

/// The names of the entries of one list.
struct Names<'n> {
    /// What the entries are: `service`.
    what: &'static str,
    names: HashSet<&'n str>,
}

impl<'n> Names<'n> {
    /// Collects the names and reports those that stand twice.
    fn of(list: Option<&'n Node>, what: &'static str, key: &str, cx: &mut Cx) -> Self {
        let mut first: HashMap<&str, Span> = HashMap::new();
        if let Some(Node { value: Value::List(items), .. }) = list {
            for node in items.iter().filter_map(|item| item.get(key)) {
                let Some(name) = node.text() else { continue };
                if let Some(first) = first.get(name) {
                    let place = cx.sources.place(*first);
                    cx.error(node.span, format!("the {what} `{}` stands here twice", shorten(name, 60)))
                        .hint(format!("first at {place}"));
                } else {
                    first.insert(name, node.span);
                }
            }
        }
        Self { what, names: first.into_keys().collect() }
    }

    /// Reports `name` when nothing is called so.
    fn expect(&self, name: &str, span: Span, cx: &mut Cx) {
        if self.names.contains(name) {
            return;
        }
        let mut known: Vec<&str> = self.names.iter().copied().collect();
        known.sort_unstable();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("there is no {} at all", self.what),
            None => format!("there are: {}", shorten(&known.join(", "), 100)),
        };
        cx.error(span, format!("there is no {} `{}`", self.what, shorten(name, 60))).hint(hint);
    }

    fn expect_all<T: AsRef<str>>(&self, names: &[Located<T>], cx: &mut Cx) {
        for name in names {
            self.expect(name.value.as_ref(), name.span, cx);
        }
    }
}

impl<C, R> Partial<C, R> {
    /// Reports everything that does not fit together.
    pub(crate) fn check(&self, node: &Node, cx: &mut Cx) {
        let access = node.get("access");
        let services = Names::of(node.get("services"), "service", "id", cx);
        let receivers = Names::of(node.get("receivers"), "receiver", "name", cx);
        Names::of(node.get("rules"), "alert", "alert", cx);
        Names::of(access.and_then(|access| access.get("tokens")), "token", "name", cx);
        let mut roles = Names::of(access.and_then(|access| access.get("roles")), "role", "name", cx);
        roles.names.extend(["admin", "guest"]);

        for token in self.access.iter().flat_map(|access| &access.tokens) {
            roles.expect(&token.role, token.role.span, cx);
        }
        for service in self.services.right() {
            for needed in service.keys.depends_on.iter().flat_map(|needs| &needs.of) {
                services.expect(needed.as_str(), needed.span, cx);
            }
        }
        self.check_circles(cx);
        for rule in self.rules.right() {
            if let Some(service) = &rule.service {
                services.expect(service.as_str(), service.span, cx);
            }
            receivers.expect_all(&rule.notify, cx);
            if rule.restart && rule.when.is_about_host() && rule.service.is_none() {
                cx.error(
                    rule.when.span,
                    format!("`{}` is the host's, so `restart` needs to know what", rule.when.metric),
                )
                .hint("write `service: ID`");
            }
            self.check_restart(rule, cx);
        }
        for route in self.routes.right() {
            receivers.expect_all(&route.receivers, cx);
        }
        check_touched(node, &services, cx);
    }

    /// A rule cannot restart what has no unit.
    fn check_restart(&self, rule: &crate::rule::Rule, cx: &mut Cx) {
        let Some(id) = rule.service.as_ref().filter(|_| rule.restart) else { return };
        let Some(service) = self.services.right().find(|service| *service.id() == id.value) else { return };
        if service.keys.unit.is_none() {
            cx.error(id.span, format!("`{}` has no `unit`, so there is nothing to restart", id.as_str()));
        } else if service.keys.restart.is_none() {
            cx.warn(id.span, format!("`{}` has no `restart`, so it is never restarted", id.as_str()))
                .hint("write `restart: {}` at the service");
        }
    }

    /// Reports each circle of `depends_on` once, at the reference that closes it.
    fn check_circles(&self, cx: &mut Cx) {
        let needed = |service: &'_ Service<C>| -> Vec<_> {
            // A circle through a group is one too, though another of the group may break it for a while.
            service.keys.depends_on.iter().flat_map(|needs| needs.of.clone()).collect()
        };
        let services: BTreeMap<&str, Vec<Located<ServiceId>>> =
            self.services.right().map(|service| (service.id().as_str(), needed(service))).collect();
        let mut done: HashSet<&str> = HashSet::new();
        for start in services.keys() {
            // The path from `start`, each with the number of its dependencies already followed. Own stack: a
            // chain of ten thousand services is no reason to overflow ours.
            let mut path: Vec<(&str, usize)> = vec![(start, 0)];
            while let Some((id, followed)) = path.last_mut() {
                let id = *id;
                let next = services.get(id).filter(|_| !done.contains(id)).and_then(|needed| {
                    let next = needed.get(*followed);
                    *followed += 1;
                    next
                });
                let Some(next) = next else {
                    done.insert(id);
                    path.pop();
                    continue;
                };
                match path.iter().position(|(on_path, _)| *on_path == next.as_str()) {
                    // A service that names itself is reported where it is read.
                    Some(from) if path.len() - from > 1 => {
                        let mut circle: Vec<&str> = path[from..].iter().map(|(id, _)| *id).collect();
                        circle.push(next.as_str());
                        let circle = shorten(&circle.join(" → "), 200);
                        cx.error(next.span, format!("services depend on each other in a circle: {circle}"))
                            .hint("take one of these dependencies out");
                    }
                    Some(_) => {}
                    None => path.push((next.as_str(), 0)),
                }
            }
        }
    }
}

/// Each file of `agent.local.touched` is the heartbeat of a service that there is, or may come to be.
fn check_touched(node: &Node, services: &Names<'_>, cx: &mut Cx) {
    let key = |path: &[&str]| path.iter().try_fold(node, |node, key| node.get(key));
    let Some(Node { value: Value::Map(entries), .. }) = key(&["agent", "local", "touched"]) else { return };
    let is_found = matches!(key(&["discover", "include"]), Some(Node { value: Value::List(all), .. }) if !all.is_empty());
    let is_created =
        key(&["heartbeats", "create_unknown"]).is_some_and(|value| value.value == Value::Bool(true));
    for entry in entries {
        if let Err(why) = ServiceId::new(&entry.key) {
            let what = format!("`{}` cannot be the id of a service", shorten(&entry.key, 60));
            cx.error(entry.key_span, what).hint(why.to_string());
        } else if !is_found && !is_created {
            services.expect(&entry.key, entry.key_span, cx);
        }
    }
}

impl<C, R> Config<C, R> {
    /// What works and is probably not meant so; and limits that need the whole.
    pub(crate) fn warn(&self, node: &Node, cx: &mut Cx) {
        let most = self.server.limits.services as usize;
        if self.services.len() > most
            && let Some(entry) = node.entry("services")
        {
            cx.error(entry.key_span, format!("there are {} services", self.services.len()))
                .hint(format!("`server.limits.services` is {most}"));
        }
        let listen = self.server.listen;
        if !is_loopback(listen.ip()) && self.access.tokens.is_empty() {
            let span = node.get("server").map_or(Span::NONE, |server| server.at("listen"));
            cx.warn(span, format!("{listen} can be reached by other machines, and `access.tokens` is empty"))
                .hint("only the token that lifesign makes for itself will be accepted");
        }
        for service in &self.services {
            let keys = &service.keys;
            if keys.unit.is_none()
                && keys.heartbeat.is_none()
                && keys.job.is_none()
                && service.checks.is_empty()
            {
                cx.warn(keys.id.span, format!("nothing watches `{}`", keys.id.as_str()))
                    .hint("it has no `unit`, no `heartbeat`, no `job` and no `checks`");
            }
        }
        self.check_peers(cx);
        if !self.routes.is_empty() {
            let told: HashSet<&str> = self
                .routes
                .iter()
                .flat_map(|route| &route.receivers)
                .chain(self.rules.iter().flat_map(|rule| &rule.notify))
                .map(|name| name.as_str())
                .collect();
            for receiver in self.receivers.iter().filter(|receiver| !told.contains(receiver.name())) {
                cx.warn(receiver.keys.name.span, format!("nothing is ever sent to `{}`", receiver.name()))
                    .hint("no route and no rule names it");
            }
        }
        let takes_heartbeats = self.heartbeats.create_unknown
            || self
                .services
                .iter()
                .any(|service| service.keys.heartbeat.is_some() || service.keys.job.is_some());
        for rule in self.rules.iter().filter(|_| !takes_heartbeats) {
            if !rule.when.is_about_host() {
                cx.warn(
                    rule.when.span,
                    format!("no service sends heartbeats, so `{}` is never known", rule.when.metric),
                );
            }
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
