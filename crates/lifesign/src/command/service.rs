//! `lifesign service`: install, uninstall, start, stop, status, grant.

mod environment;
mod rights;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use lifesign_config::unit::Unit;
use lifesign_lang::Lang;
use lifesign_os::service::{self, Definition, Kind, Mode, Outcome, Recovery, ServiceError, StartType, Step};
use serde_json::json;

use crate::cli::service::{Again, Install, Recover, Role, ServiceCommand, Start, Which};
use crate::failure::Failure;
use crate::up;
use crate::up::kinds::Configuration;
use crate::{print, service_main};

/// How long `start` and `stop` wait. Longer than the manager's own limits, so that its reason comes first.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(command: &ServiceCommand, lang: Lang, json: bool) -> Result<(), Failure> {
    match command {
        ServiceCommand::Install(what) => install(what, lang, json),
        ServiceCommand::Uninstall { which, purge, dry_run } => {
            let steps = service::uninstall(which.name(), *purge, mode(*dry_run)).map_err(failure)?;
            show(&steps, lang, json);
            Ok(())
        }
        ServiceCommand::Start(which) => carry_out(which, service::start, "service-started", lang, json),
        ServiceCommand::Stop(which) => carry_out(which, service::stop, "service-stopped", lang, json),
        ServiceCommand::Status(which) => status(which.name(), lang, json),
        ServiceCommand::Grant { services, name, apply } => {
            let steps = service::grant(name, services, mode(!apply)).map_err(failure)?;
            show(&steps, lang, json);
            Ok(())
        }
        ServiceCommand::Run(what) => service_main::run(what, lang),
        ServiceCommand::RunWrapped(what) => service_main::run_wrapped(what, lang),
    }
}

const fn mode(is_dry_run: bool) -> Mode {
    if is_dry_run { Mode::DryRun } else { Mode::Apply }
}

fn failure(error: ServiceError) -> Failure {
    match error {
        ServiceError::NotAdministrator { .. } => Failure::Refused(error.to_string()),
        ServiceError::Invalid(_) => Failure::Configuration(format!("error: {error}")),
        ServiceError::NotFound { .. } => Failure::NotFound(error.to_string()),
        ServiceError::NoManager { .. } => Failure::Unreachable(error.to_string()),
        ServiceError::Failed { .. } => Failure::Failed(error.into()),
    }
}

fn install(what: &Install, lang: Lang, json: bool) -> Result<(), Failure> {
    let definition = if what.wrap { wrapped(what)? } else { own(what)? };
    let mut steps = service::install(&definition, mode(what.dry_run)).map_err(failure)?;
    if !what.wrap {
        steps.extend(rights::by_pattern(what)?);
    }
    show(&steps, lang, json);
    if !json && definition.agent.is_some() {
        rights::explain(what, lang);
    }
    if !json && !what.dry_run {
        print::line("");
        let name = definition.name;
        let command = |verb: &str| match name.as_str() {
            "lifesign" => format!("lifesign service {verb}"),
            other => format!("lifesign service {verb} {other}"),
        };
        let (start, status) = (command("start"), command("status"));
        let words = [("name", name.into()), ("start", start.into()), ("status", status.into())];
        print::line(lang.text("service-installed", &words));
    }
    Ok(())
}

fn start_type(start: Start) -> StartType {
    match start {
        Start::Auto => StartType::Auto,
        Start::Delayed => StartType::Delayed,
        Start::Manual => StartType::Manual,
        Start::Disabled => StartType::Disabled,
    }
}

fn recovery(wanted: &Recover) -> Recovery {
    let usual = Recovery::default();
    let after = wanted.recover_after.clone().map_or(usual.after, |waits| waits.0);
    Recovery {
        gives_up: wanted.recover_give_up || after.is_empty(),
        after,
        reset: wanted.recover_reset.unwrap_or(usual.reset),
    }
}

/// lifesign itself as a service.
fn own(what: &Install) -> Result<Definition, Failure> {
    let file = absolute(&what.config)?;
    // A wrong configuration is told here, not by a service that does not start.
    let environment_file = what.environment_file.as_deref().map(absolute).transpose()?;
    let loaded = environment::load(&file, what.env.as_deref(), environment_file.as_deref())?;
    let config = &loaded.config;
    let beside = file.parent().map(|folder| folder.join("data"));
    let is_default = beside.as_ref() == Some(&config.server.data_dir);
    let data_dir =
        if is_default { service::default_data_dir(&what.name) } else { absolute(&config.server.data_dir)? };
    match what.role {
        Role::Up | Role::Server => up::refuse_remote_agent(config)?,
        Role::Agent => drop(up::agent::check(config, &data_dir)?),
    }
    let agent = (what.role != Role::Server).then(|| agent(config)).transpose()?;
    let writes = written_by(config, agent.as_ref(), &data_dir)?;
    let mut argv = vec![executable()?];
    argv.extend(service_main::command_of(&what.name, what.role));
    argv.extend(["-c".to_owned(), text(&file)?]);
    if let Some(env) = &what.env {
        argv.extend(["--env".to_owned(), env.clone()]);
    }
    argv.extend(["--data-dir".to_owned(), text(&data_dir)?]);
    Ok(Definition {
        name: what.name.clone(),
        display_name: what.display_name.clone().unwrap_or_else(|| "Lifesign".to_owned()),
        description: what
            .description
            .clone()
            .unwrap_or_else(|| "Watches services, restarts them, and tells people".to_owned()),
        argv,
        start: start_type(what.start),
        account: what.account.clone(),
        data_dir,
        reads: read_by(&file, what.env.as_deref()),
        writes,
        recovery: recovery(&what.recover),
        controls: rights::of(what, config),
        kind: kind(what.role, config),
        programs: what.processes,
        agent,
        environment_file,
    })
}

/// What its agent needs of the system.
fn agent(config: &Configuration) -> Result<service::Agent, Failure> {
    let local = &config.agent.local;
    let writers = match local.writers.as_str() {
        "owner" | "everyone" => None,
        group => Some(group.to_owned()),
    };
    Ok(service::Agent { dir: local.dir.as_deref().map(absolute).transpose()?, writers })
}

/// The configuration's own files. Secrets in files of their own are for their owners to share.
fn read_by(file: &Path, env: Option<&str>) -> Vec<PathBuf> {
    let overlay = env.and_then(|env| {
        let stem = file.file_stem()?.to_str()?;
        let ending = file.extension()?.to_str()?;
        Some(file.with_file_name(format!("{stem}.{env}.{ending}"))).filter(|overlay| overlay.exists())
    });
    std::iter::once(file.to_owned()).chain(overlay).collect()
}

/// The folders of the log file and of the local ways, unless they are in the data folder anyway, or (Linux) systemd
/// makes them.
fn written_by(
    config: &Configuration,
    agent: Option<&service::Agent>,
    data_dir: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    if let Some(log) = &config.log.file {
        folders.extend(absolute(log)?.parent().map(Path::to_owned));
    }
    let is_by_systemd = |dir: &Path| cfg!(unix) && dir.starts_with("/run");
    folders.extend(agent.and_then(|agent| agent.dir.clone()).filter(|dir| !is_by_systemd(dir)));
    folders.retain(|folder| !folder.starts_with(data_dir));
    Ok(folders)
}

/// What runs under it here: programs of its own, or none.
fn kind(role: Role, config: &Configuration) -> Kind {
    let hosts = rights::here(config).any(|service| matches!(service.keys.unit, Some(Unit::Process(_))));
    if hosts && role == Role::Up { Kind::Host } else { Kind::Monitor }
}

/// Any program as a service.
fn wrapped(what: &Install) -> Result<Definition, Failure> {
    let name = what.id.clone().unwrap_or_default();
    let program = what.program.first().cloned().unwrap_or_default();
    let data_dir = service::default_data_dir(&name);
    let care = &what.care;
    let mut argv = vec![executable()?, "service".to_owned(), "run-wrapped".to_owned(), name.clone()];
    argv.extend(["--data-dir".to_owned(), text(&data_dir)?]);
    if let Some(dir) = &care.dir {
        argv.extend(["--dir".to_owned(), text(&absolute(dir)?)?]);
    }
    argv.extend(["--stop-within".to_owned(), lifesign_config::time::write_duration(care.stop_within)]);
    if care.restart == Again::Always {
        argv.extend(["--restart".to_owned(), "always".to_owned()]);
    }
    if let Some(heartbeat) = care.heartbeat {
        argv.extend(["--heartbeat".to_owned(), lifesign_config::time::write_duration(heartbeat)]);
    }
    argv.extend(["--log-size".to_owned(), care.log_size.to_string(), "--".to_owned()]);
    argv.push(text(&found(&program)?)?);
    argv.extend(what.program.iter().skip(1).cloned());
    Ok(Definition {
        display_name: what.display_name.clone().unwrap_or_else(|| name.clone()),
        description: what
            .description
            .clone()
            .unwrap_or_else(|| format!("{program}, kept running by lifesign")),
        name,
        argv,
        start: start_type(what.start),
        account: what.account.clone(),
        data_dir,
        reads: Vec::new(),
        writes: Vec::new(),
        controls: Vec::new(),
        kind: Kind::Wrapper,
        recovery: recovery(&what.recover),
        programs: None,
        agent: None,
        environment_file: None,
    })
}

/// The program as an absolute path: a service has another `PATH` and another folder.
fn found(program: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(program);
    let candidates: Vec<PathBuf> = if path.components().count() > 1 {
        vec![absolute(path)?]
    } else {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders).map(|folder| folder.join(program)).collect()
    };
    let ending = std::env::consts::EXE_SUFFIX;
    candidates
        .into_iter()
        .flat_map(|path| {
            let mut with_ending = path.clone().into_os_string();
            with_ending.push(ending);
            [path, PathBuf::from(with_ending)]
        })
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Failure::Configuration(format!("error: there is no program {program:?}; write its whole path"))
        })
}

fn executable() -> Result<String, Failure> {
    text(&std::env::current_exe().context("failed to find lifesign's own path")?)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path).with_context(|| format!("{} has no absolute path", path.display()))?)
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::Configuration(format!(
            "error: {} is no text that a service manager could hold",
            path.display()
        ))
    })
}

fn carry_out(
    which: &Which,
    order: fn(&str, Duration) -> Result<(), ServiceError>,
    done: &str,
    lang: Lang,
    json: bool,
) -> Result<(), Failure> {
    let name = which.name();
    order(name, PATIENCE).map_err(failure)?;
    if json {
        return status(name, lang, true);
    }
    print::line(lang.text(done, &[("name", name.into())]));
    Ok(())
}

fn status(name: &str, lang: Lang, json: bool) -> Result<(), Failure> {
    let status = service::status(name).map_err(failure)?;
    let start = status.start.map(StartType::word);
    if json {
        print::json(&json!({
            "name": status.name,
            "display_name": status.display_name,
            "state": status.state,
            "running": status.is_running,
            "pid": status.pid,
            "start": start,
            "command": status.command,
            "detail": status.detail,
        }));
        return Ok(());
    }
    print::line(format!("{} ({})", status.display_name, status.name));
    let pid = status.pid.map(|pid| pid.to_string());
    let rows = [
        ("service-state", Some(status.state)),
        ("service-detail", status.detail),
        ("service-process", pid),
        ("service-start", start.map(str::to_owned)),
        ("service-command", Some(status.command)),
    ];
    for (key, value) in rows {
        if let Some(value) = value {
            let label = lang.word(key);
            let pad = " ".repeat(12_usize.saturating_sub(print::columns(&label)));
            print::line(format!("  {label}{pad} {}", print::one_line(&value, 500)));
        }
    }
    Ok(())
}

fn show(steps: &[Step], lang: Lang, json: bool) {
    let word = |outcome| match outcome {
        Outcome::Planned => "planned",
        Outcome::Done => "done",
        Outcome::Unchanged => "unchanged",
        Outcome::NotOffered => "not_offered",
    };
    if json {
        let steps: Vec<_> = steps
            .iter()
            .map(|step| json!({ "what": step.what, "text": step.text, "outcome": word(step.outcome) }))
            .collect();
        print::json(&json!({ "steps": steps }));
        return;
    }
    if steps.is_empty() {
        print::line(lang.word("service-nothing"));
    }
    for step in steps {
        let label = lang.word(&format!("service-{}", word(step.outcome).replace('_', "-")));
        print::line(format!("{label}: {}", step.what));
        if step.outcome == Outcome::Planned
            && let Some(text) = &step.text
        {
            for line in text.lines() {
                print::line(format!("    {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::service::Waits;

    #[test]
    fn what_nobody_says_about_recovery_is_as_usual_and_no_waits_are_no_restart() {
        let said = |waits: Option<&[u64]>, gives_up| {
            let seconds = |list: &[u64]| Waits(list.iter().copied().map(Duration::from_secs).collect());
            recovery(&Recover {
                recover_after: waits.map(seconds),
                recover_give_up: gives_up,
                recover_reset: None,
            })
        };
        assert_eq!(said(None, false), Recovery::default());
        assert_eq!(said(Some(&[1, 2]), true).after.len(), 2);
        assert!(said(None, true).gives_up && !said(Some(&[1]), false).gives_up);
        assert!(said(Some(&[]), false).gives_up, "never");
    }
}
