//! From the configuration to what each part is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::{Assignment, Assignments, Check, ProcessSpec, UnitKind};
use lifesign_config::access::Privilege as Allowed;
use lifesign_config::alerting::Language;
use lifesign_config::spec::{self, Placed};
use lifesign_config::unit::Unit;
use lifesign_core::model::{HostName, ServiceId};
use lifesign_lang::Lang;
use lifesign_server::auth::{AccessTable, Digest, NoSuchRole, Privilege, Role, Token};
use lifesign_server::limits::{Limits, Network};
use lifesign_server::outbox::Recipient;
use lifesign_server::ping::Pings;
use lifesign_store::Options;

use super::kinds::Configuration;
use super::local;

/// The role of the processes that lifesign itself supervises: they may send heartbeats.
const SUPERVISED: &str = "supervised";

/// What is the same for the whole life of this process.
pub(super) struct Surroundings {
    /// The host's name.
    pub(super) host: HostName,
    /// This executable: `${self}` in a configuration.
    pub(super) executable: PathBuf,
    /// The data directory.
    pub(super) data_dir: PathBuf,
    /// Where the API listens; `None`: this process has none.
    pub(super) listening: Option<SocketAddr>,
    /// The token people use.
    pub(super) admin_token: String,
    /// The token that supervised processes get.
    pub(super) supervised_token: String,
    /// Who is heard by pings.
    pub(super) pings: Pings,
}

impl Surroundings {
    /// The API's address as seen from this host.
    pub(super) fn local_url(&self) -> Option<String> {
        let mut address = self.listening?;
        if address.ip().is_unspecified() {
            let loopback = match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            };
            address.set_ip(loopback);
        }
        Some(format!("http://{address}"))
    }
}

/// What the agent on this host watches, when `others` are known beside it.
pub(super) fn assignments(config: &Configuration, around: &Surroundings, others: &[HostName]) -> Assignments {
    let intervals: BTreeMap<ServiceId, Duration> = spec::spec(config, &around.host, others)
        .services
        .into_iter()
        .filter_map(|service| Some((service.id.clone(), service.heartbeat.as_ref()?.interval)))
        .collect();
    let told = |id: &ServiceId| local::environment(config, around, id, intervals.get(id).copied());
    let placed = spec::placed(config, &around.host, others);
    let services = placed
        .into_iter()
        .filter(|placed| placed.host == around.host)
        .map(|Placed { service, id, .. }| Assignment {
            unit: service.keys.unit.as_ref().map(|unit| unit_kind(unit, &id, told(&id), around)),
            watchdog: service
                .keys
                .heartbeat
                .as_ref()
                .filter(|heartbeat| heartbeat.watchdog)
                .and_then(|_| intervals.get(&id).copied()),
            checks: service
                .checks
                .iter()
                .zip(service.check_names())
                .flat_map(|(check, names)| {
                    check.targets.iter().zip(names).map(|(target, name)| Check {
                        name: name.as_str().into(),
                        interval: check.interval,
                        timeout: check.timeout,
                        jitter: check.interval / 20,
                        probe: target.probe.clone(),
                    })
                })
                .collect(),
            id,
        })
        .collect();
    Assignments { services }
}

fn unit_kind(unit: &Unit, id: &ServiceId, told: Vec<(String, String)>, around: &Surroundings) -> UnitKind {
    match unit {
        Unit::Systemd(name) => UnitKind::Systemd(name.clone()),
        Unit::Scm(name) => UnitKind::Scm(name.clone()),
        Unit::Process(process) => {
            let mut env = vec![("LIFESIGN_SERVICE".to_owned(), id.to_string())];
            if let Some(url) = around.local_url() {
                env.push(("LIFESIGN_SERVER".to_owned(), url));
                env.push(("LIFESIGN_TOKEN".to_owned(), around.supervised_token.clone()));
            }
            env.extend(told);
            env.extend(process.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())));
            UnitKind::Process(ProcessSpec {
                argv: process.argv(&around.executable),
                cwd: Some(process.cwd.clone()),
                env,
                stop_timeout: process.stop_timeout,
                log: process_log(&around.data_dir, id.as_str()),
                log_limit: process.output.get(),
            })
        }
    }
}

fn process_log(data_dir: &Path, id: &str) -> PathBuf {
    data_dir.join("processes").join(format!("{id}.log"))
}

/// Who may do what.
pub(super) fn access(config: &Configuration, around: &Surroundings) -> Result<AccessTable, NoSuchRole> {
    let privilege = |allowed: &Allowed| match allowed {
        Allowed::Read => Privilege::Read,
        Allowed::Write => Privilege::Write,
        Allowed::Delete => Privilege::Delete,
    };
    let mut roles: Vec<Role> = config
        .access
        .roles
        .iter()
        .map(|role| Role {
            name: role.name.as_str().into(),
            privileges: role.privileges.iter().map(privilege).collect(),
        })
        .collect();
    roles.push(Role { name: SUPERVISED.into(), privileges: vec![Privilege::Write] });
    let own = [("admin", "admin", &around.admin_token), (SUPERVISED, SUPERVISED, &around.supervised_token)]
        .map(|(name, role, token)| Token { name: name.into(), role: role.into(), digest: Digest::of(token) });
    let written = config.access.tokens.iter().map(|token| Token {
        name: token.name.as_str().into(),
        role: token.role.as_str().into(),
        digest: Digest::of(token.token.expose()),
    });
    let tokens: Vec<Token> = own.into_iter().chain(written).collect();
    AccessTable::new(&roles, &tokens)
}

/// Who is told.
pub(super) fn recipients(config: &Configuration) -> Vec<Recipient> {
    config
        .receivers
        .iter()
        .map(|receiver| Recipient {
            name: receiver.name().into(),
            lang: match receiver.keys.lang {
                Language::English => Lang::En,
                Language::Chinese => Lang::Zh,
            },
            how: Arc::new(receiver.target.clone()),
        })
        .collect()
}

/// Heartbeats a second of one service.
pub(super) fn beats_per_second(config: &Configuration) -> Option<NonZeroU32> {
    NonZeroU32::new(config.heartbeats.rate_per_second)
}

/// Limits of the HTTP side.
pub(super) fn limits(config: &Configuration) -> Limits {
    let written = &config.server.limits;
    let bytes = |size: lifesign_config::Bytes| usize::try_from(size.get()).unwrap_or(usize::MAX);
    Limits {
        connections: written.connections as usize,
        headers_within: written.headers_within,
        header_bytes: bytes(written.header_size),
        headers: written.headers as usize,
        body_bytes: bytes(written.body_size),
        body_within: written.body_within,
        stalled_within: written.stalled_within,
        followers: written.followers as usize,
        heartbeats: lifesign_proto::Limits {
            body_bytes: bytes(written.body_size),
            beats: written.array_entries as usize,
            metrics: written.metrics as usize,
            metric_name_bytes: written.metric_name as usize,
            message_bytes: written.message as usize,
        },
        beats_per_second: beats_per_second(config),
    }
}

/// Proxies whose `X-Forwarded-*` headers are believed.
pub(super) fn trusted_proxies(config: &Configuration) -> Vec<Network> {
    config.trusted_proxies.iter().filter_map(|network| network.to_string().parse().ok()).collect()
}

/// How long the store keeps the past.
pub(super) fn store_options(config: &Configuration) -> Options {
    let mut options = Options::default();
    let written = &config.server.retention;
    options.retention.incidents.age = written.incidents;
    options.retention.transitions.age = written.history;
    options.retention.audit.age = written.audit;
    options
}
