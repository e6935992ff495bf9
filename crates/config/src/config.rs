//! The whole configuration.

use lifesign_core::model::ServiceId;

use crate::access::Access;
use crate::alerting::{Receiver, Route};
use crate::decode::Decode;
use crate::discover::Discover;
use crate::fields::{Cx, Fields, Timing};
use crate::kind::Kinds;
use crate::node::{Node, Value};
use crate::peers::Peers;
use crate::rule::Rule;
use crate::server::{Agent, Defaults, Heartbeats, Log, Network, Server};
use crate::service::{Service, ServiceKeys};

/// Most rules, receivers and routes.
pub const MAX_RULES: usize = 1000;

/// The whole configuration, checked. `C`: what checks are decoded to, `R`: what receivers are decoded to.
#[derive(Debug, Clone, PartialEq)]
pub struct Config<C, R> {
    /// The server.
    pub server: Server,
    /// The agent.
    pub agent: Agent,
    /// What services get that do not say otherwise.
    pub defaults: Timing,
    /// Roles and tokens.
    pub access: Access,
    /// What is watched.
    pub services: Vec<Service<C>>,
    /// Alerts from metrics.
    pub rules: Vec<Rule>,
    /// Who is told.
    pub receivers: Vec<Receiver<R>>,
    /// Of what.
    pub routes: Vec<Route>,
    /// lifesign's own log.
    pub log: Log,
    /// Heartbeats in general.
    pub heartbeats: Heartbeats,
    /// What is opened for clients of other monitors.
    pub peers: Peers,
    /// Proxies whose word about the client's address is taken.
    pub trusted_proxies: Vec<Network>,
    /// Units that are watched although no service names them.
    pub discover: Discover,
    /// What such a unit's service has for keys, beside id and unit.
    pub(crate) discovered: ServiceKeys,
}

impl<C, R> Config<C, R> {
    /// Reads the merged tree. `None` or errors in `cx`: it is wrong.
    pub(crate) fn decode(node: &Node, kinds: &Kinds<C, R>, cx: &mut Cx) -> Option<Self> {
        // An empty file is a configuration: everything has a default.
        let empty = Node { value: Value::Map(Vec::new()), span: node.span, secret: false };
        let node = if node.value == Value::Null { &empty } else { node };
        let mut fields = Fields::of(node, "a map with keys such as `services`", cx)?;

        let server = section(&mut fields, "server", cx);
        let agent = section(&mut fields, "agent", cx);
        let defaults: Option<Defaults> = section(&mut fields, "defaults", cx);
        if let Some(defaults) = &defaults {
            cx.defaults = defaults.timing();
        }
        let access = section(&mut fields, "access", cx);
        let services = list(&mut fields, "services", usize::MAX, cx, |node, cx| {
            Service::decode(node, &kinds.checks, cx)
        });
        let rules = list(&mut fields, "rules", MAX_RULES, cx, Rule::decode);
        let receivers = list(&mut fields, "receivers", MAX_RULES, cx, |node, cx| {
            Receiver::decode(node, &kinds.receivers, cx)
        });
        let routes = list(&mut fields, "routes", MAX_RULES, cx, Route::decode);
        let log = section(&mut fields, "log", cx);
        let heartbeats = section(&mut fields, "heartbeats", cx);
        let peers = section(&mut fields, "peers", cx);
        let trusted_proxies = list(&mut fields, "trusted_proxies", MAX_RULES, cx, Network::decode);
        let discover = section(&mut fields, "discover", cx);
        let discovered = ServiceKeys::decode(&Node::from(&serde_json::json!({ "id": "discovered" })), cx);
        fields.finish(cx);

        let config = Partial { access, services, rules, receivers, routes };
        config.check(node, cx);
        Some(Self {
            server: server?,
            agent: agent?,
            defaults: cx.defaults,
            access: config.access?,
            services: config.services.complete()?,
            rules: config.rules.complete()?,
            receivers: config.receivers.complete()?,
            routes: config.routes.complete()?,
            log: log?,
            heartbeats: heartbeats?,
            peers: peers?,
            trusted_proxies: trusted_proxies.complete()?,
            discover: discover?,
            discovered: discovered?,
        })
        .inspect(|config| {
            if cx.errors() == 0 {
                config.warn(node, cx);
            }
        })
    }

    /// The service with this id.
    pub fn service(&self, id: &ServiceId) -> Option<&Service<C>> {
        self.services.iter().find(|service| service.id() == id)
    }
}

/// A section with defaults for all its keys.
fn section<T: Decode>(fields: &mut Fields<'_>, key: &'static str, cx: &mut Cx) -> Option<T> {
    match fields.take(key) {
        Some(entry) => T::decode(&entry.node, cx),
        None => T::decode(&Node::unwritten(Value::Map(Vec::new())), cx),
    }
}

/// The entries of a list, `None` for each that is wrong: what is right can still be cross-checked.
pub(crate) struct Entries<T> {
    pub(crate) items: Vec<Option<T>>,
    whole: bool,
}

impl<T> Entries<T> {
    pub(crate) fn right(&self) -> impl Iterator<Item = &T> + Clone {
        self.items.iter().flatten()
    }

    /// All entries; `None` when one is wrong.
    fn complete(self) -> Option<Vec<T>> {
        if self.whole { self.items.into_iter().collect() } else { None }
    }
}

fn list<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    most: usize,
    cx: &mut Cx,
    read: impl Fn(&Node, &mut Cx) -> Option<T>,
) -> Entries<T> {
    let Some(entry) = fields.take(key) else { return Entries { items: Vec::new(), whole: true } };
    match &entry.node.value {
        Value::List(items) if items.len() > most => {
            cx.error(entry.key_span, format!("`{key}` has {} entries", items.len()))
                .hint(format!("at most {most}"));
            Entries { items: Vec::new(), whole: false }
        }
        Value::List(items) => {
            Entries { items: items.iter().map(|item| read(item, cx)).collect(), whole: true }
        }
        Value::Null => {
            cx.error(entry.key_span, format!("`{key}` has no entries"))
                .hint("write `[]`, or take the key out");
            Entries { items: Vec::new(), whole: false }
        }
        _ => {
            cx.expected(&entry.node, "a list");
            Entries { items: Vec::new(), whole: false }
        }
    }
}

/// The parts that refer to each other, as far as they are right.
pub(crate) struct Partial<C, R> {
    pub(crate) access: Option<Access>,
    pub(crate) services: Entries<Service<C>>,
    pub(crate) rules: Entries<Rule>,
    pub(crate) receivers: Entries<Receiver<R>>,
    pub(crate) routes: Entries<Route>,
}
