//! The local ways of heartbeats: what the agent opens, and what supervised programs are told of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::{Access, LocalSetup, Place, SecretOf};
use lifesign_config::unit::Unit;
use lifesign_core::model::{HostName, ServiceId};
use lifesign_server::ping;
use sha2::{Digest, Sha256};

use super::kinds::Configuration;
use super::translate::{self, Surroundings};

/// Where a program finds the address of its pings. Healthchecks itself leaves the name to its users.
pub(crate) const PING_URL: &str = "HC_PING_URL";
/// Where a program for SvcWatchDog finds the name of the event that asks it to stop (Windows).
pub(crate) const SHUTDOWN_EVENT: &str = "SHUTDOWN_EVENT";
/// Longest path of a Unix socket, in bytes.
const MAX_SOCKET_PATH: usize = 107;

/// What the agent on this host opens.
pub(super) fn setup(config: &Configuration, around: &Surroundings) -> LocalSetup {
    let written = &config.agent.local;
    let token = around.supervised_token.clone();
    LocalSetup {
        place: place(config, around),
        sockets: written.sockets,
        pipe: written.pipe,
        memory: written.memory.then_some(written.memory_every),
        registry: written.registry.clone(),
        notes: written.notes,
        touched: written
            .touched
            .iter()
            .filter_map(|(id, path)| Some((ServiceId::new(id).ok()?, path.clone())))
            .collect(),
        files_every: written.files_every,
        udp: written.udp,
        strangers: written.strangers,
        rate: written.rate_per_second,
        limits: translate::limits(config).heartbeats,
        secret: SecretOf(Arc::new(move |service| secret(&token, service))),
    }
}

fn place(config: &Configuration, around: &Surroundings) -> Place {
    let written = &config.agent.local;
    let by_systemd = || {
        // systemd gives several folders with colons in between.
        let folders = std::env::var("RUNTIME_DIRECTORY").ok()?;
        folders.split(':').next().filter(|folder| !folder.is_empty()).map(PathBuf::from)
    };
    let dir = written.dir.clone().or_else(by_systemd).unwrap_or_else(|| around.data_dir.join("local"));
    let access = match written.writers.as_str() {
        "owner" => Access::Owner,
        "everyone" => Access::Everyone,
        group => Access::Group(group.to_owned()),
    };
    // A supervised program has a working directory of its own.
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    Place { dir, name: written.name.clone(), access }
}

/// What a supervised program of `service` finds in its environment: where to beat, also if it knows only systemd
/// (`sd_notify`) or SvcWatchDog. `interval`: of its heartbeats, if any are expected.
pub(super) fn environment(
    config: &Configuration,
    around: &Surroundings,
    service: &ServiceId,
    interval: Option<Duration>,
) -> Vec<(String, String)> {
    let written = &config.agent.local;
    let place = place(config, around);
    let mut environment = vec![(Place::VARIABLE.to_owned(), place.address())];
    let notify = place.dir.join("notify").join(service.as_str());
    if cfg!(unix) && written.sockets && notify.as_os_str().len() <= MAX_SOCKET_PATH {
        environment.push(("NOTIFY_SOCKET".to_owned(), notify.to_string_lossy().into_owned()));
        if let Some(interval) = interval {
            // Programs beat at half of this, as systemd asks them to.
            let micros = (interval * 2).as_micros();
            environment.push(("WATCHDOG_USEC".to_owned(), micros.to_string()));
        }
    }
    if let Some(address) = written.udp {
        environment.push(("WATCHDOG_PORT".to_owned(), address.port().to_string()));
        environment.push(("WATCHDOG_SECRET".to_owned(), secret(&around.supervised_token, service)));
        if cfg!(windows) {
            let number = derived("shutdown event", &around.supervised_token, service);
            environment.push((SHUTDOWN_EVENT.to_owned(), shutdown_event(number)));
        }
    }
    if interval.is_some()
        && let Some(here) = around.local_url()
    {
        let url = ping::url(&here, number(&around.supervised_token, service));
        environment.push((PING_URL.to_owned(), url));
    }
    environment
}

/// The name of an event that nobody else has, as SvcWatchDog names them.
pub(crate) fn shutdown_event(number: u128) -> String {
    format!(r"Global\SvcWatchDog.{number:032x}")
}

/// Who is heard by pings: every supervised program that is to beat, by the number in its `HC_PING_URL`.
pub(super) fn checks(
    config: &Configuration,
    around: &Surroundings,
    others: &[HostName],
) -> Vec<(u128, ServiceId)> {
    lifesign_config::spec::placed(config, &around.host, others)
        .into_iter()
        .filter(|placed| placed.host == around.host && placed.service.keys.heartbeat.is_some())
        .filter(|placed| matches!(placed.service.keys.unit, Some(Unit::Process(_))))
        .map(|placed| (number(&around.supervised_token, &placed.id), placed.id))
        .collect()
}

/// The secret of `service` for UDP: nobody makes it who does not know `token`, and it is the same after a reload.
fn secret(token: &str, service: &ServiceId) -> String {
    format!("{:032x}", derived("heartbeats by udp", token, service))
}

/// The number of `service` in the path of its pings; made as the secret is.
fn number(token: &str, service: &ServiceId) -> u128 {
    derived("heartbeats by ping", token, service)
}

/// A number for one purpose, which tells nothing about `token` or the numbers for others.
pub(crate) fn derived(purpose: &str, token: &str, service: &ServiceId) -> u128 {
    let digest = Sha256::digest(format!("{purpose}\0{token}\0{service}").as_bytes());
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_a_secret_of_its_own_that_stays() {
        let id = |text| ServiceId::new(text).unwrap();
        assert_eq!(secret("t", &id("orders")), secret("t", &id("orders")));
        assert_eq!(secret("t", &id("orders")).len(), 32);
        assert_ne!(secret("t", &id("orders")), secret("t", &id("pay")));
        assert_ne!(secret("t", &id("orders")), secret("u", &id("orders")));
        assert_ne!(secret("t", &id("orders")), format!("{:032x}", number("t", &id("orders"))));
    }
}
