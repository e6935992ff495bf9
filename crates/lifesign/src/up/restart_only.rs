//! Which keys of a changed configuration a reload cannot take over.
//!
//! Each section is taken apart with all its keys, so that a new key does not compile until it is said here which
//! sort it is.

use lifesign_config::local::Local;
use lifesign_config::peers::Peers;
use lifesign_config::server::{Agent, Heartbeats, Limits, Log, Retention, Server};

use super::kinds::Configuration;

/// Puts the names of the keys that differ into `$changed`. `live`: what a reload takes over.
macro_rules! compare {
    ($changed:ident, $section:literal, $type:ident, $old:expr, $new:expr, [$($key:ident),* $(,)?], live [$($live:ident),* $(,)?]) => {
        let $type { $($key,)* $($live: _,)* } = $old;
        $(if *$key != $new.$key {
            $changed.push(concat!($section, ".", stringify!($key)));
        })*
    };
}

/// The keys, by their whole name, that are another in `new` than in `old`, with which lifesign was started, and that
/// change only with a new start.
pub(super) fn changed(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let (server, was) = (&new.server, &old.server);
    compare!(changed, "server", Server, was, server, [listen, tls, data_dir, open_metrics], live [limits, retention]);
    compare!(
        changed, "server.limits", Limits, &was.limits, server.limits,
        [
            connections, header_size, headers, headers_within, body_size, body_within, stalled_within, followers,
            array_entries, metrics, metric_name, message,
        ],
        live [services, confirmations]
    );
    compare!(
        changed, "server.retention", Retention, &was.retention, server.retention,
        [incidents, history, audit], live []
    );
    // Under `up` an address and a token of a server are refused before this.
    compare!(
        changed,
        "agent",
        Agent,
        &old.agent,
        new.agent,
        [host, server, fallbacks, proxy, ca, spool, token],
        live[local]
    );
    compare!(
        changed, "agent.local", Local, &old.agent.local, new.agent.local,
        [
            dir, name, writers, sockets, pipe, memory, memory_every, registry, notes, touched, files_every, udp,
            strangers, rate_per_second,
        ],
        live []
    );
    compare!(changed, "log", Log, &old.log, new.log, [format, level, file, file_size, files], live []);
    compare!(
        changed, "heartbeats", Heartbeats, &old.heartbeats, new.heartbeats,
        [udp], live [create_unknown, rate_per_second]
    );
    compare!(changed, "peers", Peers, &old.peers, new.peers, [statsd, zabbix], live[ping_keys, consul_from]);
    if old.trusted_proxies != new.trusted_proxies {
        changed.push("trusted_proxies");
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lifesign_config::placeholder::Outside;

    use super::super::kinds;
    use super::*;

    fn read(text: &str) -> Configuration {
        let outside = Outside { variable: &|_| None };
        let folder = Path::new(if cfg!(windows) { "C:\\x" } else { "/x" });
        lifesign_config::load::load_text("x.yaml", folder, text.as_bytes(), &kinds::all(), &outside)
            .unwrap()
            .config
    }

    #[test]
    fn a_key_that_needs_a_new_start_is_named_whole_and_what_a_reload_takes_over_is_not() {
        let old = read("services: [ { id: a, heartbeat: {} } ]");
        assert_eq!(changed(&old, &old), Vec::<&str>::new());
        for (text, key) in [
            ("server: { listen: \"127.0.0.1:1\" }", "server.listen"),
            ("server: { open_metrics: true }", "server.open_metrics"),
            ("server: { limits: { body_size: 2KiB } }", "server.limits.body_size"),
            ("server: { retention: { audit: 30d } }", "server.retention.audit"),
            ("agent: { host: other }", "agent.host"),
            ("agent: { local: { udp: \"127.0.0.1:7702\" } }", "agent.local.udp"),
            ("agent: { local: { touched: { a: ./note } } }\nservices: [ { id: a } ]", "agent.local.touched"),
            ("heartbeats: { udp: \"127.0.0.1:7702\" }", "heartbeats.udp"),
            ("log: { level: debug }", "log.level"),
            ("log: { file: x.log }", "log.file"),
            ("peers: { statsd: { listen: \"127.0.0.1:8125\" } }", "peers.statsd"),
            ("peers: { zabbix: { listen: \"127.0.0.1:10051\" } }", "peers.zabbix"),
            ("trusted_proxies: [ 10.0.0.0/8 ]", "trusted_proxies"),
        ] {
            assert_eq!(changed(&old, &read(text)), [key], "{text}");
        }
        for text in [
            "services: [ { id: b } ]",
            "discover: { include: [\"*\"] }",
            "heartbeats: { create_unknown: true, rate_per_second: 5 }",
            "server: { limits: { services: 7, confirmations: 3 } }",
            "defaults: { interval: 3s }",
            "peers: { ping_keys: [ a-key-of-many-letters ] }",
            "receivers: [ { name: hook, webhook: { url: \"http://127.0.0.1:9000/\" } } ]",
        ] {
            assert_eq!(changed(&old, &read(text)), Vec::<&str>::new(), "{text}");
        }
    }
}
