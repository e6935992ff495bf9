//! Clients of other monitors: what they call a service (`services[].peers`), and what is opened for them (`peers`).
//!
//! A service that names a peer is heard from that peer's clients; without a name that peer's ways stay shut. Where the
//! peer knows a key of each service (Healthchecks, Uptime Kuma), that key is a secret here: whoever has it may send
//! heartbeats of this one service and nothing else. Where the peer knows only one token for all (Vigil, Consul, Nagios,
//! Gatus), it is a token of `access.tokens` with the privilege `write`.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::config::Config;
use crate::decode::Located;
use crate::fields::Cx;
use crate::node::Node;
use crate::record;
use crate::secret::Secret;
use crate::server::Network;
use crate::source::Span;

/// Characters of a push token and of a ping key; a shorter one could be guessed.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 16..=64;

record! {
    /// What clients of other monitors call this service.
    pub struct PeerNames {
        /// Healthchecks: the check's UUID. A secret: whoever has it may ping.
        healthchecks: Option<Located<Secret>>,
        /// Uptime Kuma: the push token, 16 to 64 letters, digits, `_`, `-`. A secret: whoever has it may push.
        uptime_kuma: Option<Located<Secret>>,
        /// Gatus: an external endpoint.
        gatus: Option<GatusEndpoint>,
        /// Vigil: `PROBE/NODE`, or `PROBE/NODE/REPLICA` for one replica alone.
        vigil: Option<Located<String>> [3..=255],
        /// Consul: the id of the TTL check.
        consul: Option<Located<String>> [1..=255],
        /// Nagios and Icinga: `HOST;SERVICE`, or `HOST` for the host itself.
        nagios: Option<Located<String>> [1..=255],
        /// StatsD: gauges and service checks whose name is this, or begins with this and a dot; or whose tag `service` is this. Needs `peers.statsd`.
        statsd: Option<Located<String>> [1..=255],
        /// Zabbix: trapper items. Needs `peers.zabbix`.
        zabbix: Option<ZabbixItems>,
    }
    check PeerNames::check
}

record! {
    /// An external endpoint of Gatus.
    pub struct GatusEndpoint {
        /// Its key, `GROUP_NAME` as Gatus makes it: small letters, and `-` for each of `/ _ . , space # + &`.
        key: Located<String> [2..=255],
        /// Its own token; where unset, and beside it, every token of `access.tokens` that may write.
        token: Option<Secret>,
    }
    check GatusEndpoint::check
}

record! {
    /// Trapper items of Zabbix that are this service's.
    pub struct ZabbixItems {
        /// The host's name in Zabbix.
        host: Located<String> [1..=255],
        /// What the keys of the items begin with; the rest is the metric's name, or `status` or `message`. All items of the host where empty.
        prefix: String [0..=255] = "",
    }
}

record! {
    /// What is opened for clients of other monitors, beside the port of the API.
    pub struct Peers {
        /// Healthchecks: ping keys. With one of them each service can be pinged by its id: `/ping/KEY/ID`. 16 to 64 letters, digits, `_`, `-` each. Secrets.
        ping_keys: Vec<Secret> [0..=100] = [],
        /// Consul: networks whose clients need no token; many of them (python-consul) send none with a TTL check. Requests of browsers are not among them.
        consul_from: Vec<Network> [0..=100] = [],
        /// StatsD and DogStatsD by UDP.
        statsd: Option<Listening>,
        /// Zabbix trapper by TCP.
        zabbix: Option<Listening>,
    }
    check Peers::check
}

record! {
    /// A socket of a protocol that knows no authentication.
    pub struct Listening {
        /// Where it listens.
        listen: SocketAddr,
        /// Networks whose senders are heard; required where others than this host can reach the address. Everybody where empty.
        from: Vec<Network> [0..=100] = [],
    }
    check Listening::check
}

impl PeerNames {
    /// Whether any client of another monitor knows this service.
    pub const fn is_any(&self) -> bool {
        self.healthchecks.is_some()
            || self.uptime_kuma.is_some()
            || self.gatus.is_some()
            || self.vigil.is_some()
            || self.consul.is_some()
            || self.nagios.is_some()
            || self.statsd.is_some()
            || self.zabbix.is_some()
    }

    fn check(&self, _node: &Node, cx: &mut Cx) {
        if let Some(uuid) = &self.healthchecks
            && !is_uuid(uuid.expose())
        {
            cx.error(uuid.span, "this is no UUID").hint("such as `f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4e`");
        }
        if let Some(token) = &self.uptime_kuma {
            check_key(token, token.span, cx);
        }
        if let Some(vigil) = &self.vigil {
            let parts: Vec<&str> = vigil.split('/').collect();
            if !(2..=3).contains(&parts.len()) || parts.contains(&"") {
                cx.error(vigil.span, "expected `PROBE/NODE` or `PROBE/NODE/REPLICA`");
            }
        }
    }

    /// Each name with the peer it belongs to, as it must be unique. Secrets among them.
    fn unique(&self) -> impl Iterator<Item = (&'static str, String, Span)> {
        let text = |peer, name: &Option<Located<String>>| {
            name.as_ref().map(|name| (peer, name.value.clone(), name.span))
        };
        let secret = |peer, name: &Option<Located<Secret>>| {
            name.as_ref().map(|name| (peer, name.expose().to_lowercase(), name.span))
        };
        [
            secret("healthchecks", &self.healthchecks),
            self.uptime_kuma.as_ref().map(|token| ("uptime_kuma", token.expose().to_owned(), token.span)),
            self.gatus.as_ref().map(|gatus| ("gatus", gatus.key.value.clone(), gatus.key.span)),
            text("vigil", &self.vigil),
            text("consul", &self.consul),
            text("nagios", &self.nagios),
            text("statsd", &self.statsd),
            self.zabbix
                .as_ref()
                .map(|items| ("zabbix", format!("{}\0{}", *items.host, items.prefix), items.host.span)),
        ]
        .into_iter()
        .flatten()
    }
}

impl GatusEndpoint {
    fn check(&self, _node: &Node, cx: &mut Cx) {
        let is_right =
            self.key.contains('_') && !self.key.chars().any(|c| c.is_uppercase() || "/., #+&".contains(c));
        if !is_right {
            cx.error(self.key.span, "this cannot be the key of an endpoint")
                .hint("group and name in small letters with `_` between, such as `core_night-backup`");
        }
    }
}

impl Peers {
    fn check(&self, node: &Node, cx: &mut Cx) {
        for key in &self.ping_keys {
            check_key(key, node.at("ping_keys"), cx);
        }
    }
}

impl Listening {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if !self.listen.ip().to_canonical().is_loopback() && self.from.is_empty() {
            cx.error(
                node.at("listen"),
                format!(
                    "{} can be reached by other machines, and this protocol knows no tokens",
                    self.listen
                ),
            )
            .hint("write `from` with the networks whose senders are heard, or listen on 127.0.0.1");
        }
    }
}

/// Whether a text is a UUID, in letters of any size.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Reports a key that could not stand in a URL, or could be guessed. The key itself is not shown.
fn check_key(key: &Secret, span: Span, cx: &mut Cx) {
    let text = key.expose();
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !fits || !KEY_LENGTH.contains(&text.len()) {
        let (least, most) = (KEY_LENGTH.start(), KEY_LENGTH.end());
        cx.error(span, "this key does not fit")
            .hint(format!("{least} to {most} letters, digits, `_` and `-`"));
    }
}

impl<C, R> Config<C, R> {
    /// Reports names that two services share, and names that nothing listens for.
    pub(crate) fn check_peers(&self, cx: &mut Cx) {
        let mut seen: HashMap<(&str, String), (&str, Span)> = HashMap::new();
        for service in &self.services {
            let Some(names) = &service.keys.peers else { continue };
            let id = service.id().as_str();
            for (peer, name, span) in names.unique() {
                if let Some((other, first)) = seen.insert((peer, name), (id, span)) {
                    let place = cx.sources.place(first);
                    cx.error(span, format!("`{other}` and `{id}` have the same name for {peer}"))
                        .hint(format!("first at {place}"));
                }
            }
            let unheard = [
                (names.statsd.as_ref().map(|name| name.span), self.peers.statsd.is_none(), "statsd"),
                (names.zabbix.as_ref().map(|items| items.host.span), self.peers.zabbix.is_none(), "zabbix"),
            ];
            for (span, is_shut, peer) in unheard {
                if let Some(span) = span.filter(|_| is_shut) {
                    cx.warn(span, format!("nothing listens for `{peer}`"))
                        .hint(format!("write `peers: {{ {peer}: {{ listen: … }} }}` at the top"));
                }
            }
            if names.is_any() && service.keys.heartbeat.is_none() && service.keys.job.is_none() {
                cx.warn(
                    service.keys.id.span,
                    format!("`{id}` has `peers`, and neither `heartbeat` nor `job`"),
                )
                .hint("their silence is not noticed; write `heartbeat: {}`");
            }
        }
    }
}
