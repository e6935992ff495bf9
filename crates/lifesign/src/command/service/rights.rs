//! Which services an installed lifesign may start and stop: those it restarts by itself, and those it is told of.

use lifesign_config::service::Service;
use lifesign_config::unit::Unit;
use lifesign_lang::Lang;
use lifesign_os::service::Step;
use lifesign_probe::Probe;

use crate::cli::service::{Install, Role};
use crate::failure::Failure;
use crate::print;
use crate::up;
use crate::up::kinds::Configuration;

/// The services that run on this host.
pub(super) fn here(config: &Configuration) -> impl Iterator<Item = &Service<Probe>> {
    let host = up::host_name(config);
    let placed = lifesign_config::spec::placed(config, &host, &[]);
    placed.into_iter().filter(move |placed| placed.host == host).map(|placed| placed.service)
}

/// What an installation grants: the services with `restart:`, those that `discover` restarts, and `--may-control`. A
/// server alone restarts nothing on its own host.
pub(super) fn of(what: &Install, config: &Configuration) -> Vec<String> {
    let mut controls = Vec::new();
    if what.role == Role::Up {
        let restarted = here(config).filter(|service| service.keys.restart.is_some());
        controls.extend(restarted.filter_map(|service| match service.keys.unit.as_ref()? {
            Unit::Systemd(name) if cfg!(unix) => Some(name.clone()),
            Unit::Scm(name) if cfg!(windows) => Some(name.clone()),
            Unit::Systemd(_) | Unit::Scm(_) | Unit::Process(_) => None,
        }));
        // On Windows each service has its own list, so patterns follow by their names.
        if cfg!(unix) && config.discover.restart.is_some() {
            controls.extend(config.discover.include.iter().cloned());
            controls.extend(config.discover.exclude.iter().map(|pattern| format!("!{pattern}")));
        }
    }
    let asked = what.may_control.iter().filter(|name| cfg!(unix) || !is_pattern(name));
    controls.extend(asked.cloned());
    controls
}

fn is_pattern(name: &str) -> bool {
    name.contains('*') || name.starts_with('!')
}

/// What is granted by pattern on a system without patterns: each service that fits now. One that does not let itself be
/// changed, as Windows' own, stays as it is.
#[cfg(windows)]
pub(super) fn by_pattern(what: &Install) -> Result<Vec<Step>, Failure> {
    use anyhow::Context as _;
    use lifesign_config::discover::fits;
    use lifesign_os::service::{self, Outcome};
    use lifesign_os::unit::ServiceManager;

    let config = super::super::load_configuration(&what.config, what.env.as_deref())?.config;
    let (spared, wanted): (Vec<_>, Vec<_>) =
        what.may_control.iter().filter(|name| is_pattern(name)).partition(|name| name.starts_with('!'));
    let discover = Some(&config.discover).filter(|found| found.restart.is_some() && what.role == Role::Up);
    if wanted.is_empty() && discover.is_none() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let listed = runtime.block_on(async { ServiceManager::new().list().await });
    let listed = listed.context("failed to list the services that fit the patterns")?;
    let mut steps = Vec::new();
    for found in listed {
        let asked = wanted.iter().any(|pattern| fits(pattern, &found.name))
            && !spared.iter().any(|pattern| fits(pattern.trim_start_matches('!'), &found.name));
        let is_discovered =
            found.start.is_automatic() && discover.is_some_and(|discover| discover.takes(&found.name));
        if !asked && !is_discovered {
            continue;
        }
        match service::grant(&what.name, std::slice::from_ref(&found.name), super::mode(what.dry_run)) {
            Ok(granted) => steps.extend(granted),
            Err(error) => steps.push(Step {
                what: format!("let {} start and stop the service {}: {error}", what.name, found.name),
                text: None,
                outcome: Outcome::NotOffered,
            }),
        }
    }
    Ok(steps)
}

/// polkit's rule takes patterns as they are.
#[cfg(not(windows))]
#[expect(clippy::unnecessary_wraps, reason = "it is Windows that may fail")]
pub(super) const fn by_pattern(_what: &Install) -> Result<Vec<Step>, Failure> {
    Ok(Vec::new())
}

/// Says what was not granted, and how it is.
pub(super) fn explain(what: &Install, lang: Lang) {
    let grant = match what.name.as_str() {
        "lifesign" => "lifesign service grant SERVICE --apply".to_owned(),
        name => format!("lifesign service grant SERVICE --apply --name {name}"),
    };
    print::line("");
    print::line(lang.text("service-rights", &[("grant", grant.into())]));
    if what.role == Role::Agent && what.processes != Some(true) {
        print::line(lang.word("service-no-programs"));
    }
}
