//! systemd: a unit, a timer where the start is delayed, a system user, a polkit rule.
//!
//! Files are written, everything else is done by systemd's own commands: they are the documented interface for it,
//! and an administrator can repeat each by hand. The user comes from `systemd-sysusers`: it is declarative, so
//! installing twice is nothing special; it is on every machine with systemd, where `useradd` is not; and the file
//! shows who made the user.

mod polkit;
mod unit_file;

use std::ffi::CString;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::system_log::START_FAILED;
use super::{
    Definition, Kind, Mode, Outcome, ServiceError, StartType, Status, Step, folders_made, remove_made,
};

pub(super) const ADMINISTRATOR: &str = "root";
pub(super) const AS_ADMINISTRATOR: &str = "run it with sudo, or add --dry-run to see what it would do";

const UNITS: &str = "/etc/systemd/system";
const RULES: &str = "/etc/polkit-1/rules.d";
const USERS: &str = "/etc/sysusers.d";
/// The first line of every file of ours; only such files are replaced or removed.
const MARK: &str = "Written by `lifesign service install`";
/// Begins a line that names a folder which the installation made. It stands in the file that declares the user, which
/// stays as long as the user and the data do.
const MADE: &str = "# Made: ";
/// Begins a line there that names a user of whom the folders are, and who is not ours.
const FOR: &str = "# For: ";
/// The group that may read the journal (`systemd-journald(8)`).
const JOURNAL: &str = "systemd-journal";
/// Places that a service with `ProtectHome=` and `PrivateTmp=` does not see.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

pub(super) fn default_data_dir(name: &str) -> PathBuf {
    Path::new("/var/lib").join(name)
}

/// The unit this process runs as: the last part of its control group.
pub(super) fn own_name() -> Option<String> {
    let group = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let last = group.lines().last()?.rsplit('/').next()?;
    last.strip_suffix(".service").map(str::to_owned)
}

pub(super) fn install(definition: &Definition, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    refuse_hidden(definition)?;
    need_root("installing a service", mode)?;
    let groups = groups(definition)?;
    let name = &definition.name;
    let account = account(definition);
    let mut steps = Vec::new();
    if let Some(user) = account.name() {
        steps.extend(declare(definition, &account, user, mode)?);
    }
    if definition.data_dir != default_data_dir(name)
        && let Some(user) = account.name()
    {
        steps.push(make_folder(&definition.data_dir, user, mode)?);
    }
    for folder in &definition.writes {
        steps.push(make_missing(folder, account.name(), mode)?);
    }
    for file in &definition.reads {
        if let Some(user) = account.name() {
            steps.push(let_read(file, user, mode)?);
        }
    }
    if !definition.controls.is_empty()
        && let Some(user) = account.name()
    {
        steps.push(write_rule(name, user, &definition.controls, mode)?);
    }
    let service = Path::new(UNITS).join(format!("{name}.service"));
    let mut definition = definition.clone();
    if definition.programs.is_none() {
        definition.programs =
            std::fs::read_to_string(&service).ok().and_then(|text| unit_file::programs(&text));
    }
    let definition = &definition;
    let timer = Path::new(UNITS).join(format!("{name}.timer"));
    steps.push(write(&service, &unit_file::unit(definition, &account, &groups), mode)?);
    if definition.start == StartType::Delayed {
        steps.push(write(&timer, &unit_file::timer(definition), mode)?);
    } else if timer.exists() {
        steps.push(systemctl_step(&["disable", "--now", &format!("{name}.timer")], mode)?);
        steps.push(remove(&timer, mode)?);
    }
    let changed = |step: &Step| step.outcome != Outcome::Unchanged && step.what.contains(UNITS);
    if steps.iter().any(changed) {
        steps.push(systemctl_step(&["daemon-reload"], mode)?);
    }
    steps.extend(enable(name, definition.start, mode)?);
    Ok(steps)
}

/// Declares the user, and writes down which folders the installation makes. Where the user is not ours, an earlier
/// declaration stays, as that user may still be there.
fn declare(
    definition: &Definition,
    account: &Account,
    user: &str,
    mode: Mode,
) -> Result<Vec<Step>, ServiceError> {
    let name = &definition.name;
    let path = Path::new(USERS).join(format!("{name}.conf"));
    let made = folders_made(definition, recorded(name));
    let before = std::fs::read_to_string(&path).ok();
    let mut text = format!("# {MARK}.\n");
    let declared = before.as_deref().and_then(declared_user);
    let own = match account {
        // One that is there undeclared was made by others, and is not ours to remove some day.
        Account::Own(user) if declared.as_ref() == Some(user) || user_id(user).is_none() => {
            Some(user.clone())
        }
        Account::Own(_) | Account::Given(_) | Account::Dynamic => declared,
    };
    if let Some(own) = &own {
        // Not the display name: quotes and `%` mean something in this file.
        text.push_str(&format!("u {own} - \"The service {name}\" /nonexistent -\n"));
    }
    let mut others: Vec<&str> = before.iter().flat_map(|text| lines_of(text, FOR)).collect();
    if own.as_deref() != Some(user) {
        others.push(user);
    }
    others.sort_unstable();
    others.dedup();
    others.iter().for_each(|user| text.push_str(&format!("{FOR}{user}\n")));
    made.iter().for_each(|folder| text.push_str(&format!("{MADE}{}\n", folder.display())));
    let mut steps = vec![write(&path, &text, mode)?];
    if let Account::Own(user) = account {
        steps.push(make_user(user, &path, mode)?);
    }
    Ok(steps)
}

/// What stands behind `begin` in the lines of a file of ours.
fn lines_of<'t>(text: &'t str, begin: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.strip_prefix(begin))
}

/// The groups of which the service is a member besides its own.
fn groups(definition: &Definition) -> Result<Vec<String>, ServiceError> {
    let Some(agent) = &definition.agent else { return Ok(Vec::new()) };
    let mut groups = Vec::new();
    // A machine without it has no journal that others may read.
    if crate::local::group_number(JOURNAL).is_ok() {
        groups.push(JOURNAL.to_owned());
    }
    if let Some(writers) = &agent.writers {
        crate::local::group_number(writers).map_err(|error| {
            ServiceError::Invalid(format!(
                "`agent.local.writers`: {error}; make it: groupadd --system {writers}"
            ))
        })?;
        groups.push(writers.clone());
    }
    Ok(groups)
}

pub(super) fn uninstall(name: &str, purge: bool, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    need_root("removing a service", mode)?;
    let service = Path::new(UNITS).join(format!("{name}.service"));
    let timer = Path::new(UNITS).join(format!("{name}.timer"));
    let rule = rule_file(name);
    let users = Path::new(USERS).join(format!("{name}.conf"));
    let declared = std::fs::read_to_string(&users).unwrap_or_default();
    let user = declared_user(&declared);
    let runs_as = std::fs::read_to_string(&service).ok().and_then(|text| unit_file::user(&text));
    let owners: Vec<u32> = user
        .iter()
        .chain(&runs_as)
        .map(String::as_str)
        .chain(lines_of(&declared, FOR))
        .filter_map(user_id)
        .map(|(uid, _)| uid)
        .collect();
    // One that was given to somebody else is no longer the service's.
    let is_its_own =
        |folder: &PathBuf| std::fs::metadata(folder).is_ok_and(|meta| owners.contains(&meta.uid()));
    let made: Vec<PathBuf> = recorded(name).into_iter().filter(is_its_own).collect();
    let mut steps = Vec::new();
    let mut units = false;
    for (path, unit) in [(&timer, format!("{name}.timer")), (&service, format!("{name}.service"))] {
        if path.exists() {
            refuse_foreign(path)?;
            steps.push(systemctl_step(&["disable", "--now", &unit], mode)?);
            steps.push(remove(path, mode)?);
            units = true;
        }
    }
    let drop_ins = Path::new(UNITS).join(format!("{name}.service.d"));
    if units {
        steps.push(systemctl_step(&["daemon-reload"], mode)?);
        if mode == Mode::Apply {
            // A failed unit would stay in systemd's list; one that has not failed refuses, which is fine.
            let _ = systemctl(&["reset-failed", &format!("{name}.service")]);
        }
    }
    if drop_ins.exists() {
        steps.push(Step::new(
            format!("keep {}, which lifesign has not written", drop_ins.display()),
            Outcome::Unchanged,
        ));
    }
    if rule.exists() {
        steps.push(remove(&rule, mode)?);
    }
    steps.extend(remove_made(&made, purge, mode)?);
    if purge {
        steps.extend(purge_data(name, user.as_deref(), mode)?);
        if users.exists() {
            steps.push(remove(&users, mode)?);
        }
    } else {
        let data = default_data_dir(name);
        let keep = match user {
            Some(user) => Some(format!(
                "keep {} and the user {user}, who owns it; --purge removes both",
                data.display()
            )),
            None if data.exists() => Some(format!("keep {}; --purge removes it", data.display())),
            None => None,
        };
        steps.extend(keep.map(|keep| Step::new(keep, Outcome::Unchanged)));
    }
    Ok(steps)
}

fn purge_data(name: &str, user: Option<&str>, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let mut steps = Vec::new();
    // A dynamic user's folder is a link into `private`.
    for data in [default_data_dir(name), Path::new("/var/lib/private").join(name)] {
        let what = format!("remove {}", data.display());
        let Ok(meta) = std::fs::symlink_metadata(&data) else { continue };
        if mode == Mode::DryRun {
            steps.push(Step::new(what, Outcome::Planned));
            continue;
        }
        let gone = if meta.is_dir() { std::fs::remove_dir_all(&data) } else { std::fs::remove_file(&data) };
        gone.map_err(|error| ServiceError::failed(&what, error))?;
        steps.push(Step::new(what, Outcome::Done));
    }
    if let Some(user) = user
        && user_id(user).is_some()
    {
        steps.push(command_step(&["userdel", user], mode)?);
    }
    Ok(steps)
}

pub(super) fn start(name: &str, limit: Duration) -> Result<(), ServiceError> {
    carry_out("start", name, limit)
}

pub(super) fn stop(name: &str, limit: Duration) -> Result<(), ServiceError> {
    carry_out("stop", name, limit)
}

/// `systemctl` waits for `READY=1` by itself; `limit` ends the waiting, not the order.
fn carry_out(verb: &str, name: &str, limit: Duration) -> Result<(), ServiceError> {
    status(name)?;
    need_root(&format!("{verb}ing a service").replace("stoping", "stopping"), Mode::Apply)?;
    let unit = format!("{name}.service");
    let doing = format!("{verb} {name}");
    let seconds = limit.as_secs().max(1).to_string();
    let output = run(&["timeout", &seconds, "systemctl", verb, &unit])?;
    if output.status.success() {
        return Ok(());
    }
    if output.status.code() == Some(124) {
        let why = format!("it takes longer than {limit:?}; `systemctl status {unit}` shows how far it is");
        return Err(ServiceError::failed(doing, why));
    }
    let hint = format!("`journalctl -u {unit}` shows all it said");
    let why = last_words(&unit).unwrap_or_else(|| {
        // systemd's second line names commands; ours follow.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines().next().unwrap_or("systemd gives no reason").trim_end_matches('.').to_owned()
    });
    Err(ServiceError::failed(doing, format!("{why}; {hint}")))
}

/// What the process that systemd tried last wrote down as the reason why it could not start.
///
/// Found by its number: which unit and which run of it a line belongs to the journal looks up when it takes the line,
/// and of a process that has ended by then it finds nothing.
fn last_words(unit: &str) -> Option<String> {
    let shown = systemctl(&["show", "-p", "ExecMainPID,ExecMainStartTimestamp", unit]).ok()?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let process = format!("_PID={}", value("ExecMainPID")?);
    let since = format!("--since={}", value("ExecMainStartTimestamp")?);
    // What has just been written may not have arrived.
    let _ = run(&["journalctl", "--sync"]);
    let event = format!("LIFESIGN_EVENT={START_FAILED}");
    let found =
        run(&["journalctl", "--no-pager", "-q", "-n", "1", "-o", "cat", &since, &process, &event]).ok()?;
    let text = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    (found.status.success() && !text.is_empty()).then_some(text)
}

pub(super) fn status(name: &str) -> Result<Status, ServiceError> {
    const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,MainPID,UnitFileState,Description,StatusText,\
                              ExecMainCode,ExecMainStatus,ExecMainExitTimestampMonotonic,RefuseManualStart,NRestarts,ExecStart";
    let unit = format!("{name}.service");
    let text = answer(&systemctl(&["show", "-p", PROPERTIES, &unit])?, "ask systemd")?;
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_owned()
    };
    if value("LoadState") == "not-found" {
        return Err(ServiceError::NotFound { name: name.to_owned() });
    }
    let (active, result) = (value("ActiveState"), value("Result"));
    let sub = if active == "failed" { result.clone() } else { value("SubState") };
    let timer =
        systemctl(&["is-enabled", &format!("{name}.timer")]).is_ok_and(|output| output.status.success());
    let start = match value("UnitFileState").as_str() {
        _ if value("RefuseManualStart") == "yes" => Some(StartType::Disabled),
        _ if timer => Some(StartType::Delayed),
        "enabled" | "enabled-runtime" => Some(StartType::Auto),
        "masked" | "masked-runtime" => Some(StartType::Disabled),
        "" => None,
        _ => Some(StartType::Manual),
    };
    let said = value("StatusText");
    let has_ended = value("ExecMainExitTimestampMonotonic") != "0" && value("MainPID") == "0";
    let detail = if !said.is_empty() && active == "active" {
        Some(said)
    } else if has_ended {
        Some(format!("{result}, exit status {}, {} restarts", value("ExecMainStatus"), value("NRestarts")))
    } else {
        None
    };
    // `{ path=… ; argv[]=… ; ignore_errors=… }`
    let exec = value("ExecStart");
    let command =
        exec.split_once("argv[]=").and_then(|(_, rest)| rest.split_once(" ; ")).map_or("", |(argv, _)| argv);
    Ok(Status {
        name: name.to_owned(),
        display_name: value("Description"),
        is_running: matches!(active.as_str(), "active" | "reloading"),
        state: format!("{active} ({sub})"),
        pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
        start,
        command: command.to_owned(),
        detail,
    })
}

pub(super) fn grant(name: &str, units: &[String], mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let path = Path::new(UNITS).join(format!("{name}.service"));
    let text = std::fs::read_to_string(&path).ok();
    let Some(user) = text.as_deref().and_then(unit_file::user) else {
        if mode == Mode::Apply {
            status(name)?;
        }
        return Ok(vec![write_rule(name, name, units, Mode::DryRun)?]);
    };
    need_root("granting rights", mode)?;
    Ok(vec![write_rule(name, &user, units, mode)?])
}

/// Whom a unit runs as.
pub(super) enum Account {
    /// A system user made for it.
    Own(String),
    /// One that exists.
    Given(String),
    /// A user for the time it runs.
    Dynamic,
}

impl Account {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Own(user) | Self::Given(user) => Some(user),
            Self::Dynamic => None,
        }
    }
}

fn account(definition: &Definition) -> Account {
    match (&definition.account, definition.kind) {
        (Some(user), _) => Account::Given(user.clone()),
        (None, Kind::Wrapper) => Account::Dynamic,
        (None, Kind::Monitor | Kind::Host) => Account::Own(user_name(&definition.name)),
    }
}

/// The service's name where it can be that of a user (`useradd(8)`), else lifesign's.
fn user_name(service: &str) -> String {
    let good = service.len() <= 31
        && service.starts_with(|c: char| c.is_ascii_lowercase())
        && service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
    if good { service.to_owned() } else { "lifesign".to_owned() }
}

/// The folders that an installation has made.
fn recorded(name: &str) -> Vec<PathBuf> {
    let files =
        [Path::new(USERS).join(format!("{name}.conf")), Path::new(UNITS).join(format!("{name}.service"))];
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let ours = texts.filter(|text| text.contains(MARK));
    ours.flat_map(|text| lines_of(&text, MADE).map(PathBuf::from).collect::<Vec<_>>()).collect()
}

fn declared_user(sysusers: &str) -> Option<String> {
    sysusers.lines().find_map(|line| line.strip_prefix("u ")?.split(' ').next().map(str::to_owned))
}

fn need_root(doing: &str, mode: Mode) -> Result<(), ServiceError> {
    // SAFETY: takes nothing, cannot fail.
    if mode == Mode::DryRun || unsafe { libc::geteuid() } == 0 {
        return Ok(());
    }
    Err(ServiceError::NotAdministrator { doing: doing.to_owned() })
}

/// A service that cannot see its own program or configuration would fail at its start with a number.
fn refuse_hidden(definition: &Definition) -> Result<(), ServiceError> {
    let program = definition.argv.first().map(PathBuf::from);
    let paths =
        program.iter().chain(&definition.reads).chain(&definition.writes).chain([&definition.data_dir]);
    for path in paths {
        // A link may lead there.
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(hidden) = HIDDEN.iter().find(|hidden| real.starts_with(hidden)) {
            return Err(ServiceError::Invalid(format!(
                "{} lies in {hidden}, which a service does not see; put programs into /usr/local/bin and configuration \
                 into /etc/{}",
                path.display(),
                definition.name
            )));
        }
    }
    Ok(())
}

fn refuse_foreign(path: &Path) -> Result<(), ServiceError> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.contains(MARK) => Err(ServiceError::Invalid(format!(
            "{} is there and not lifesign's; choose another --name, or remove it",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str, mode: Mode) -> Result<Step, ServiceError> {
    refuse_foreign(path)?;
    let what = format!("write {}", path.display());
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(Step::new(what, Outcome::Unchanged).with_text(text));
    }
    if mode == Mode::DryRun {
        return Ok(Step::new(what, Outcome::Planned).with_text(text));
    }
    write_whole(path, text).map_err(|error| ServiceError::failed(&what, error))?;
    Ok(Step::new(what, Outcome::Done).with_text(text))
}

/// Readable by all, as the system's own units are: none of these files holds a secret.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    crate::file::write_public(path, text.as_bytes())
}

fn remove(path: &Path, mode: Mode) -> Result<Step, ServiceError> {
    refuse_foreign(path)?;
    let what = format!("remove {}", path.display());
    if mode == Mode::DryRun {
        return Ok(Step::new(what, Outcome::Planned));
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Step::new(what, Outcome::Done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Step::new(what, Outcome::Unchanged)),
        Err(error) => Err(ServiceError::failed(&what, error)),
    }
}

fn make_user(user: &str, declared: &Path, mode: Mode) -> Result<Step, ServiceError> {
    let declared = declared.display().to_string();
    let command = ["systemd-sysusers", declared.as_str()];
    if user_id(user).is_some() {
        return Ok(Step::new(format!("make the system user {user}"), Outcome::Unchanged));
    }
    command_step(&command, mode)
}

/// A folder for the account alone.
fn make_folder(path: &Path, user: &str, mode: Mode) -> Result<Step, ServiceError> {
    let what = format!("make {} for {user} alone", path.display());
    let owned = |id: (u32, u32)| {
        std::fs::metadata(path).is_ok_and(|meta| meta.uid() == id.0 && meta.mode() & 0o777 == 0o700)
    };
    if user_id(user).is_some_and(owned) {
        return Ok(Step::new(what, Outcome::Unchanged));
    }
    if mode == Mode::DryRun {
        return Ok(Step::new(what, Outcome::Planned));
    }
    let made = (|| {
        let id = user_id(user).ok_or_else(|| io::Error::other(format!("there is no user {user}")))?;
        std::fs::create_dir_all(path)?;
        std::os::unix::fs::chown(path, Some(id.0), Some(id.1))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
    })();
    made.map_err(|error: io::Error| ServiceError::failed(&what, error))?;
    Ok(Step::new(what, Outcome::Done))
}

/// A folder that others may use, too: made for the account alone where it is missing, else left as it is.
fn make_missing(path: &Path, user: Option<&str>, mode: Mode) -> Result<Step, ServiceError> {
    match user {
        Some(user) if !path.exists() => make_folder(path, user, mode),
        _ => Ok(Step::new(
            format!("keep {} as it is, and let the service write there", path.display()),
            Outcome::Unchanged,
        )),
    }
}

/// Lets the account's group read a file that not everybody may read. Who owns it, and others, keep their rights.
fn let_read(path: &Path, user: &str, mode: Mode) -> Result<Step, ServiceError> {
    let what = format!("let {user} read {}", path.display());
    let failed = |error: io::Error| ServiceError::failed(&what, error);
    let meta = std::fs::metadata(path).map_err(failed)?;
    let id = user_id(user);
    let may = meta.mode() & 0o004 != 0
        || id.is_some_and(|(uid, gid)| {
            uid == 0
                || (meta.uid() == uid && meta.mode() & 0o400 != 0)
                || (meta.gid() == gid && meta.mode() & 0o040 != 0)
        });
    if may {
        return Ok(Step::new(what, Outcome::Unchanged));
    }
    if mode == Mode::DryRun {
        return Ok(Step::new(what, Outcome::Planned));
    }
    let (_, gid) = id.ok_or_else(|| failed(io::Error::other(format!("there is no user {user}"))))?;
    std::os::unix::fs::chown(path, None, Some(gid)).map_err(failed)?;
    let mode = (meta.mode() & 0o707) | 0o040;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(Step::new(what, Outcome::Done))
}

fn rule_file(name: &str) -> PathBuf {
    Path::new(RULES).join(format!("50-{name}.rules"))
}

/// The rule for `units` and those that the present one allows.
fn write_rule(name: &str, user: &str, units: &[String], mode: Mode) -> Result<Step, ServiceError> {
    let path = rule_file(name);
    let mut all: Vec<String> =
        std::fs::read_to_string(&path).map(|text| polkit::units(&text)).unwrap_or_default();
    all.extend(units.iter().map(|unit| polkit::written(unit)));
    all.sort();
    all.dedup();
    write(&path, &polkit::rule(user, &all), mode)
}

fn enable(name: &str, start: StartType, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let (service, timer) = (format!("{name}.service"), format!("{name}.timer"));
    let wanted: &[(&str, bool)] = match start {
        StartType::Auto => &[(&service, true)],
        StartType::Delayed => &[(&service, false), (&timer, true)],
        StartType::Manual | StartType::Disabled => &[(&service, false)],
    };
    let mut steps = Vec::new();
    for (unit, enabled) in wanted {
        let is = systemctl(&["is-enabled", unit]).is_ok_and(|output| output.status.success());
        let verb = if *enabled { "enable" } else { "disable" };
        steps.push(if is == *enabled {
            Step::new(format!("systemctl {verb} {unit}"), Outcome::Unchanged)
        } else {
            systemctl_step(&[verb, unit], mode)?
        });
    }
    Ok(steps)
}

fn systemctl_step(arguments: &[&str], mode: Mode) -> Result<Step, ServiceError> {
    let mut command = vec!["systemctl"];
    command.extend(arguments);
    command_step(&command, mode)
}

fn command_step(command: &[&str], mode: Mode) -> Result<Step, ServiceError> {
    let what = command.join(" ");
    if mode == Mode::DryRun {
        return Ok(Step::new(what, Outcome::Planned));
    }
    answer(&run(command)?, &format!("run `{what}`"))?;
    Ok(Step::new(what, Outcome::Done))
}

fn systemctl(arguments: &[&str]) -> Result<Output, ServiceError> {
    let mut command = vec!["systemctl"];
    command.extend(arguments);
    run(&command)
}

fn run(command: &[&str]) -> Result<Output, ServiceError> {
    let program = command.first().copied().unwrap_or_default();
    let output = Command::new(program).args(command.iter().skip(1)).env("LC_ALL", "C").output();
    output.map_err(|error| ServiceError::NoManager { why: format!("failed to run `{program}`: {error}") })
}

fn answer(output: &Output, doing: &str) -> Result<String, ServiceError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if why.contains("has not been booted with systemd") || why.contains("Failed to connect to bus") {
        return Err(ServiceError::NoManager { why });
    }
    Err(ServiceError::failed(doing, why))
}

/// The numbers of a user and its group.
fn user_id(name: &str) -> Option<(u32, u32)> {
    let name = CString::new(name).ok()?;
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut found = std::ptr::null_mut();
    let mut buffer = vec![0; 16 * 1024];
    // SAFETY: name, entry and buffer outlive the call, and the buffer's length is passed along.
    let code = unsafe {
        libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found)
    };
    if code != 0 || found.is_null() {
        return None;
    }
    // SAFETY: `found` is not null, so the entry has been filled in.
    let entry = unsafe { entry.assume_init() };
    Some((entry.pw_uid, entry.pw_gid))
}

#[cfg(test)]
mod tests {
    use super::super::Agent;
    use super::*;

    fn definition() -> Definition {
        Definition {
            name: "lifesign".to_owned(),
            display_name: "Lifesign".to_owned(),
            description: "Watches services".to_owned(),
            argv: vec!["/usr/local/bin/lifesign".to_owned(), "up".to_owned()],
            start: StartType::Auto,
            account: None,
            data_dir: "/var/lib/lifesign".into(),
            reads: Vec::new(),
            writes: vec!["/var/log/lifesign-of-no-machine".into()],
            controls: vec!["orders.service".to_owned()],
            kind: Kind::Monitor,
            recovery: super::super::Recovery::default(),
            programs: None,
            agent: None,
            environment_file: None,
        }
    }

    #[test]
    fn a_dry_run_names_every_file_and_command_and_touches_nothing() {
        let steps = install(&definition(), Mode::DryRun).unwrap();
        let all: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
        let users = &steps[0].text;
        assert!(
            users.as_ref().is_some_and(|text| text.contains("\n# Made: /var/log/lifesign-of-no-machine\n"))
        );
        for part in [
            "write /etc/sysusers.d/lifesign.conf",
            "write /etc/polkit-1/rules.d/50-lifesign.rules",
            "write /etc/systemd/system/lifesign.service",
            "make /var/log/lifesign-of-no-machine for lifesign alone",
            "systemctl enable lifesign.service",
        ] {
            assert!(all.contains(&part), "{part}: {all:?}");
        }
        assert!(!Path::new("/etc/systemd/system/lifesign.service").exists());
    }

    #[test]
    fn a_program_that_the_sandbox_hides_is_refused_before_anything_is_written() {
        for hidden in ["/tmp/lifesign", "/home/ops/lifesign", "/root/lifesign"] {
            let mut definition = definition();
            definition.argv[0] = hidden.to_owned();
            let refused = install(&definition, Mode::DryRun).unwrap_err().to_string();
            assert!(refused.contains("does not see") && refused.contains("/usr/local/bin"), "{refused}");
        }
    }

    #[test]
    fn a_group_of_writers_that_is_not_there_is_refused_with_the_command_that_makes_it() {
        let mut definition = definition();
        definition.agent = Some(Agent { dir: None, writers: Some("no-such-group".to_owned()) });
        let refused = install(&definition, Mode::DryRun).unwrap_err().to_string();
        assert!(refused.contains("groupadd --system no-such-group"), "{refused}");
    }

    #[test]
    fn a_name_that_no_user_can_have_gets_lifesign_s_user() {
        assert_eq!(user_name("lifesign-2"), "lifesign-2");
        assert_eq!(user_name("Web.Front"), "lifesign");
        assert_eq!(
            declared_user("# x\nu lifesign-2 - \"x\" /nonexistent -\n").as_deref(),
            Some("lifesign-2")
        );
    }
}
