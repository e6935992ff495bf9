//! Clients of other monitors: which of their names and keys stands for which service, and the sockets opened for those
//! that do not speak HTTP. Their HTTP routes are in `api::peer`.

mod statsd;
mod zabbix;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use lifesign_component::Component;
use lifesign_core::model::ServiceId;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use crate::AppState;
use crate::auth::{Digest, Keys};
use crate::datagram;
use crate::limits::Network;

/// What clients of other monitors call the services.
#[derive(Debug, Clone, Default)]
pub struct PeerTable {
    /// Healthchecks: UUIDs, in small letters.
    pub healthchecks: Keys<ServiceId>,
    /// Healthchecks: ping keys, each of which opens every service by its id.
    pub ping_keys: Keys<()>,
    /// Uptime Kuma: push tokens.
    pub uptime_kuma: Keys<ServiceId>,
    /// Gatus: endpoints by their key.
    pub gatus: BTreeMap<String, GatusEndpoint>,
    /// Vigil: `PROBE/NODE` and `PROBE/NODE/REPLICA`.
    pub vigil: BTreeMap<String, ServiceId>,
    /// Consul: ids of TTL checks.
    pub consul: BTreeMap<String, ServiceId>,
    /// Consul: networks whose clients need no token.
    pub consul_from: Vec<Network>,
    /// Nagios: `HOST;SERVICE` and `HOST`.
    pub nagios: BTreeMap<String, ServiceId>,
    /// StatsD: names, of which others begin with a dot behind.
    pub statsd: BTreeMap<String, ServiceId>,
    /// Zabbix: hosts, each with what its items' keys begin with.
    pub zabbix: BTreeMap<String, Vec<(String, ServiceId)>>,
}

/// An external endpoint of Gatus.
#[derive(Debug, Clone)]
pub struct GatusEndpoint {
    /// Whose it is.
    pub service: ServiceId,
    /// Its own token, beside those that may write.
    pub token: Option<Digest>,
}

/// The table that holds now; a reload exchanges it whole.
#[derive(Debug, Clone)]
pub struct Peers(Arc<watch::Sender<Arc<PeerTable>>>);

impl Peers {
    /// Begins with `table`.
    pub fn new(table: PeerTable) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(table))))
    }

    /// Puts `table` in the place of the present one.
    pub fn exchange(&self, table: PeerTable) {
        self.0.send_replace(Arc::new(table));
    }

    /// The table that holds now.
    pub(crate) fn table(&self) -> Arc<PeerTable> {
        Arc::clone(&self.0.borrow())
    }
}

/// What is opened for clients that do not speak HTTP.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Heartbeats in authenticated datagrams.
    pub heartbeats: Option<UdpSocket>,
    /// StatsD and DogStatsD.
    pub statsd: Option<Opened<UdpSocket>>,
    /// Zabbix trapper.
    pub zabbix: Option<Opened<TcpListener>>,
}

/// A socket and who is heard on it.
#[derive(Debug)]
pub struct Opened<S> {
    /// The socket, bound.
    pub socket: S,
    /// Networks whose senders are heard; everybody where empty.
    pub from: Vec<Network>,
}

impl<S> Opened<S> {
    fn hears(&self, sender: std::net::IpAddr) -> bool {
        self.from.is_empty() || self.from.iter().any(|network| network.contains(sender))
    }
}

impl Sockets {
    /// What serves them.
    pub(crate) fn components(self, state: &AppState) -> impl Iterator<Item = Component> + use<> {
        let (for_statsd, for_zabbix, for_heartbeats) = (state.clone(), state.clone(), state.clone());
        let heartbeats = self.heartbeats.map(|socket| {
            Component::essential("datagrams", move |ready, stop| {
                datagram::serve(socket, for_heartbeats, ready, stop)
            })
        });
        let statsd = self.statsd.map(|opened| {
            Component::essential("statsd", move |ready, stop| statsd::serve(opened, for_statsd, ready, stop))
        });
        let zabbix = self.zabbix.map(|opened| {
            Component::essential("zabbix", move |ready, stop| zabbix::serve(opened, for_zabbix, ready, stop))
        });
        heartbeats.into_iter().chain(statsd).chain(zabbix)
    }
}

/// A request's path as it may be shown: keys of Healthchecks and Uptime Kuma stand in paths.
pub(crate) fn without_key(path: &str) -> Cow<'_, str> {
    for prefix in ["/ping/", "/api/push/"] {
        if path.starts_with(prefix) {
            return format!("{prefix}…").into();
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_its_key() {
        assert_eq!(without_key("/ping/f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4e/start"), "/ping/…");
        assert_eq!(without_key("/api/push/secret"), "/api/push/…");
        assert_eq!(without_key("/api/v1/services/orders"), "/api/v1/services/orders");
    }
}
