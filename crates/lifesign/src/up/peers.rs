//! Clients of other monitors: from the configuration to what the server is told.

use std::net::SocketAddr;

use anyhow::Context;
use lifesign_config::peers::Listening;
use lifesign_server::auth::Digest;
use lifesign_server::limits::Network;
use lifesign_server::peer::{GatusEndpoint, Opened, PeerTable, Sockets};
use tokio::net::{TcpListener, UdpSocket};

use super::kinds::Configuration;

/// What clients call the services.
pub(super) fn table(config: &Configuration) -> PeerTable {
    let mut table = PeerTable::default();
    for key in &config.peers.ping_keys {
        table.ping_keys.insert(key.expose(), ());
    }
    table.consul_from = networks(&config.peers.consul_from);
    for service in &config.services {
        let Some(names) = &service.keys.peers else { continue };
        let id = service.id();
        if let Some(uuid) = &names.healthchecks {
            table.healthchecks.insert(&uuid.expose().to_lowercase(), id.clone());
        }
        if let Some(token) = &names.uptime_kuma {
            table.uptime_kuma.insert(token.expose(), id.clone());
        }
        if let Some(gatus) = &names.gatus {
            let token = gatus.token.as_ref().map(|token| Digest::of(token.expose()));
            table.gatus.insert(gatus.key.value.clone(), GatusEndpoint { service: id.clone(), token });
        }
        let named = [
            (&names.vigil, &mut table.vigil),
            (&names.consul, &mut table.consul),
            (&names.nagios, &mut table.nagios),
            (&names.statsd, &mut table.statsd),
        ];
        for (name, known) in named {
            known.extend(name.as_ref().map(|name| (name.value.clone(), id.clone())));
        }
        if let Some(items) = &names.zabbix {
            let host = table.zabbix.entry(items.host.value.clone()).or_default();
            host.push((items.prefix.clone(), id.clone()));
        }
    }
    table
}

/// Opens what is not on the port of the API.
pub(super) async fn open(config: &Configuration) -> anyhow::Result<Sockets> {
    let mut sockets = Sockets::default();
    if let Some(address) = config.heartbeats.udp {
        let socket = UdpSocket::bind(address).await.with_context(|| {
            format!(
                "failed to listen on {address}; is another program there? Choose another `heartbeats.udp`"
            )
        })?;
        sockets.heartbeats = Some(socket);
    }
    if let Some(written) = &config.peers.statsd {
        let socket =
            UdpSocket::bind(written.listen).await.with_context(|| taken("statsd", written.listen))?;
        sockets.statsd = Some(Opened { socket, from: from(written) });
    }
    if let Some(written) = &config.peers.zabbix {
        let socket =
            TcpListener::bind(written.listen).await.with_context(|| taken("zabbix", written.listen))?;
        sockets.zabbix = Some(Opened { socket, from: from(written) });
    }
    Ok(sockets)
}

fn taken(peer: &str, address: SocketAddr) -> String {
    format!("failed to listen on {address}; is another program there? Choose another `peers.{peer}.listen`")
}

fn from(written: &Listening) -> Vec<Network> {
    networks(&written.from)
}

fn networks(written: &[lifesign_config::server::Network]) -> Vec<Network> {
    written.iter().filter_map(|network| network.to_string().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lifesign_config::placeholder::Outside;

    use super::super::kinds;
    use super::*;

    #[test]
    fn every_name_of_a_service_is_found() {
        let text = r#"
services:
  - id: backup
    heartbeat: {}
    peers:
      healthchecks: "F3B1C9F0-7D54-4F7E-9F1C-2F0A1B2C3D4E"
      uptime_kuma: a-token-of-many-letters
      gatus: { key: core_backup, token: its-own }
      vigil: store/db-01
      consul: "service:backup"
      nagios: "db-01;Backup"
      statsd: db.backup
      zabbix: { host: db-01, prefix: backup. }
  - { id: other, heartbeat: {}, peers: { zabbix: { host: db-01 } } }
peers: { ping_keys: [ a-key-of-many-letters ] }
"#;
        let outside = Outside { variable: &|_| None };
        let folder = Path::new(if cfg!(windows) { "C:\\x" } else { "/x" });
        let loaded =
            lifesign_config::load::load_text("x.yaml", folder, text.as_bytes(), &kinds::all(), &outside);
        let table = table(&loaded.unwrap().config);
        assert_eq!(
            table.healthchecks.find("f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4e").unwrap().as_str(),
            "backup"
        );
        assert_eq!(table.uptime_kuma.find("a-token-of-many-letters").unwrap().as_str(), "backup");
        assert!(table.ping_keys.find("a-key-of-many-letters").is_some());
        assert!(table.gatus["core_backup"].token.unwrap().is_of("its-own"));
        for (known, name) in [
            (&table.vigil, "store/db-01"),
            (&table.consul, "service:backup"),
            (&table.nagios, "db-01;Backup"),
            (&table.statsd, "db.backup"),
        ] {
            assert_eq!(known[name].as_str(), "backup", "{name}");
        }
        assert_eq!(table.zabbix["db-01"].len(), 2);
        let shown = format!("{table:?}");
        assert!(
            !shown.contains("its-own") && !shown.contains("a-token") && !shown.contains("7d54"),
            "{shown}"
        );
    }
}
