//! The service control manager: a service with its recovery actions, an identity of its own, a source in the event
//! log, and a data folder for it alone.
//!
//! What an older Windows, or Wine, does not offer (error 124) is told as such and left out; the service works
//! without it.

mod extras;
mod registry;
mod security;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windows_service::Error;
use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceExitCode, ServiceInfo, ServiceStartType,
    ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_INVALID_LEVEL, ERROR_SERVICE_ALREADY_RUNNING,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_MARKED_FOR_DELETE, ERROR_SERVICE_NOT_ACTIVE,
};

use self::extras::Extras;
use super::{
    Definition, Mode, Outcome, ServiceError, StartType, Status, Step, folders_made, remove_made, sddl,
};

pub(super) const ADMINISTRATOR: &str = "an administrator";
pub(super) const AS_ADMINISTRATOR: &str =
    "open the terminal with \"Run as administrator\", or add --dry-run to see what it would do";

/// Where the service control manager keeps what it knows of services.
const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";
/// Where sources of events are registered.
const EVENT_LOG: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
/// Where an installation writes down which folders it made; unlike the service's own key, this stays until they go.
const INSTALLED: &str = r"SOFTWARE\lifesign\services";
/// The value there.
const MADE: &str = "Made";
/// Holds the message `%1` for every number from 1 to 1000, so that no message file of our own is needed.
const EVENT_MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Between two looks at a service that starts or stops.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn default_data_dir(name: &str) -> PathBuf {
    let base = std::env::var_os("ProgramData").unwrap_or_else(|| OsString::from(r"C:\ProgramData"));
    let base = PathBuf::from(base).join("lifesign");
    if name == "lifesign" { base.join("data") } else { base.join(name) }
}

/// The service this process runs as. The manager tells its name only to the process's main function.
pub(super) fn own_name() -> Option<String> {
    super::host::name()
}

/// Like `default_data_dir`, and the account that a service gets.
fn account(definition: &Definition) -> String {
    definition.account.clone().unwrap_or_else(|| format!(r"NT SERVICE\{}", definition.name))
}

pub(super) fn install(definition: &Definition, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let name = &definition.name;
    let account = account(definition);
    let info = info(definition, &account);
    let mut steps = Vec::new();
    let present = open(name, ServiceAccess::QUERY_CONFIG).ok();
    let what = format!("make the service {name} as {account}, start {}", definition.start.word());
    let command = command_line(&definition.argv);
    if mode == Mode::DryRun {
        let same = present.as_ref().is_some_and(|service| is_as_wanted(service, definition, &account));
        let outcome = if same { Outcome::Unchanged } else { Outcome::Planned };
        steps.push(Step::new(what, outcome).with_text(command));
        let wanted = Extras::of(definition);
        let same = present.as_ref().map_or([false; extras::COUNT], |service| wanted.are(service));
        for (what, same) in wanted.words().into_iter().zip(same) {
            steps.push(Step::new(what, if same { Outcome::Unchanged } else { Outcome::Planned }));
        }
        let source = format!(r"register the event source HKLM\{EVENT_LOG}\{name}");
        let reads = definition.reads.iter().map(|file| may_read(file, name));
        for what in [source, for_it_alone(&definition.data_dir, name)].into_iter().chain(reads) {
            steps.push(Step::new(what, Outcome::Planned));
        }
        for folder in &definition.writes {
            steps.push(make_missing(folder, name, mode)?);
        }
        for service in &definition.controls {
            steps.extend(grant(name, std::slice::from_ref(service), mode)?);
        }
        return Ok(steps);
    }
    let doing = "installing a service";
    let outcome = match &present {
        Some(service) if is_as_wanted(service, definition, &account) => Outcome::Unchanged,
        Some(_) => {
            let service =
                open(name, ServiceAccess::CHANGE_CONFIG).map_err(|error| told(&error, doing, name))?;
            service.change_config(&info).map_err(|error| told(&error, doing, name))?;
            Outcome::Done
        }
        None => {
            let manager =
                manager(ServiceManagerAccess::CREATE_SERVICE).map_err(|error| told(&error, doing, name))?;
            manager
                .create_service(&info, ServiceAccess::QUERY_STATUS)
                .map_err(|error| told(&error, doing, name))?;
            Outcome::Done
        }
    };
    steps.push(Step::new(what, outcome).with_text(command));
    drop(present);
    let service =
        open(name, ServiceAccess::CHANGE_CONFIG | ServiceAccess::QUERY_CONFIG | ServiceAccess::START)
            .map_err(|error| told(&error, doing, name))?;
    let wanted = Extras::of(definition);
    for (what, done) in wanted.words().into_iter().zip(wanted.set(&service)) {
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(error) if number(&error) == Some(ERROR_INVALID_LEVEL) => Outcome::NotOffered,
            Err(error) => return Err(ServiceError::failed(what, words(&error))),
        };
        steps.push(Step::new(what, outcome));
    }
    steps.push(register_events(name)?);
    write_down(name, &folders_made(definition, recorded(name)))?;
    steps.push(make_folder(&definition.data_dir, name)?);
    for folder in &definition.writes {
        steps.push(make_missing(folder, name, mode)?);
    }
    for file in &definition.reads {
        steps.push(let_read(file, name)?);
    }
    if !definition.controls.is_empty() {
        steps.extend(grant(name, &definition.controls, mode)?);
    }
    Ok(steps)
}

fn info(definition: &Definition, account: &str) -> ServiceInfo {
    ServiceInfo {
        name: OsString::from(&definition.name),
        display_name: OsString::from(&definition.display_name),
        service_type: ServiceType::OWN_PROCESS,
        start_type: match definition.start {
            StartType::Auto | StartType::Delayed => ServiceStartType::AutoStart,
            StartType::Manual => ServiceStartType::OnDemand,
            StartType::Disabled => ServiceStartType::Disabled,
        },
        error_control: ServiceErrorControl::Normal,
        executable_path: PathBuf::from(definition.argv.first().map_or("", String::as_str)),
        launch_arguments: definition.argv.iter().skip(1).map(OsString::from).collect(),
        dependencies: Vec::new(),
        account_name: Some(OsString::from(account)),
        account_password: None,
    }
}

fn is_as_wanted(service: &Service, definition: &Definition, account: &str) -> bool {
    let wanted = info(definition, account);
    service.query_config().is_ok_and(|config| {
        config.start_type == wanted.start_type
            && config.display_name == wanted.display_name
            && config.account_name.as_ref().is_some_and(|is| is.eq_ignore_ascii_case(account))
            && config.executable_path.as_os_str() == command_line(&definition.argv).as_str()
    })
}

fn register_events(name: &str) -> Result<Step, ServiceError> {
    let key = format!(r"{EVENT_LOG}\{name}");
    let what = format!(r"register the event source HKLM\{key}");
    if registry::read(&key, "EventMessageFile").as_deref() == Some(EVENT_MESSAGES) {
        return Ok(Step::new(what, Outcome::Unchanged));
    }
    // Errors, warnings and information.
    let done = registry::write_path(&key, "EventMessageFile", EVENT_MESSAGES)
        .and_then(|()| registry::write_number(&key, "TypesSupported", 7));
    done.map_err(|error| ServiceError::failed(&what, error))?;
    Ok(Step::new(what, Outcome::Done))
}

/// The folders that an installation has made.
fn recorded(name: &str) -> Vec<PathBuf> {
    let list = registry::read_list(&format!(r"{INSTALLED}\{name}"), MADE);
    list.unwrap_or_default().into_iter().map(PathBuf::from).collect()
}

/// Before they are made, so that none is forgotten.
fn write_down(name: &str, made: &[PathBuf]) -> Result<(), ServiceError> {
    if made == recorded(name) {
        return Ok(());
    }
    let key = format!(r"{INSTALLED}\{name}");
    let list: Vec<String> = made.iter().map(|folder| folder.display().to_string()).collect();
    registry::write_list(&key, MADE, &list)
        .map_err(|error| ServiceError::failed(format!(r"write down in HKLM\{key} what is made"), error))
}

/// The identities that a folder or file of the service is for.
fn sid(name: &str) -> Result<String, ServiceError> {
    security::service_sid(name)
        .map_err(|error| ServiceError::failed("work out the service's identity", error))
}

fn for_it_alone(path: &Path, name: &str) -> String {
    format!("make {} for {name}, SYSTEM and administrators alone", path.display())
}

fn may_read(path: &Path, name: &str) -> String {
    format!("let {name} read {}", path.display())
}

fn make_folder(path: &Path, name: &str) -> Result<Step, ServiceError> {
    let what = for_it_alone(path, name);
    let access = sddl::folder(&sid(name)?);
    if security::access_of(path).is_ok_and(|is| sddl::is_same_list(&is, &access)) {
        return Ok(Step::new(what, Outcome::Unchanged));
    }
    let done = std::fs::create_dir_all(path).and_then(|()| security::set_folder_access(path, &access));
    done.map_err(|error| ServiceError::failed(&what, error))?;
    Ok(Step::new(what, Outcome::Done))
}

/// A folder that others may use, too: made for the service alone where it is missing, else left as it is.
fn make_missing(path: &Path, name: &str, mode: Mode) -> Result<Step, ServiceError> {
    if path.exists() {
        let what = format!("keep {} as it is; {name} must be allowed to write there", path.display());
        return Ok(Step::new(what, Outcome::Unchanged));
    }
    match mode {
        Mode::DryRun => Ok(Step::new(for_it_alone(path, name), Outcome::Planned)),
        Mode::Apply => make_folder(path, name),
    }
}

fn let_read(path: &Path, name: &str) -> Result<Step, ServiceError> {
    let what = may_read(path, name);
    let entry = format!("(A;;FR;;;{})", sid(name)?);
    let changed = security::add_to_file(path, &entry).map_err(|error| ServiceError::failed(&what, error))?;
    Ok(Step::new(what, if changed { Outcome::Done } else { Outcome::Unchanged }))
}

pub(super) fn uninstall(name: &str, purge: bool, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let doing = "removing a service";
    let mut steps = Vec::new();
    match open(name, ServiceAccess::QUERY_STATUS) {
        Ok(_) if mode == Mode::DryRun => {
            steps.push(Step::new(format!("stop and remove the service {name}"), Outcome::Planned));
        }
        Ok(probe) => {
            drop(probe);
            stop(name, Duration::from_secs(60))?;
            let service = open(name, ServiceAccess::DELETE).map_err(|error| told(&error, doing, name))?;
            match service.delete() {
                Ok(()) => {}
                Err(error) if number(&error) == Some(ERROR_SERVICE_MARKED_FOR_DELETE) => {}
                Err(error) => return Err(told(&error, doing, name)),
            }
            drop(service);
            wait_gone(name);
            steps.push(Step::new(format!("stop and remove the service {name}"), Outcome::Done));
        }
        Err(error) if number(&error) == Some(ERROR_SERVICE_DOES_NOT_EXIST) => {}
        Err(error) => return Err(told(&error, doing, name)),
    }
    let key = format!(r"{EVENT_LOG}\{name}");
    if registry::read(&key, "EventMessageFile").is_some() {
        let what = format!(r"remove the event source HKLM\{key}");
        if mode == Mode::Apply {
            registry::remove(&key).map_err(|error| ServiceError::failed(&what, error))?;
        }
        let outcome = if mode == Mode::Apply { Outcome::Done } else { Outcome::Planned };
        steps.push(Step::new(what, outcome));
    }
    let usual = default_data_dir(name);
    let folders: Vec<PathBuf> = recorded(name).into_iter().chain([usual]).collect();
    steps.extend(remove_made(&folders, purge, mode)?);
    let key = format!(r"{INSTALLED}\{name}");
    if purge && mode == Mode::Apply && registry::read_list(&key, MADE).is_some() {
        let gone = registry::remove(&key).and_then(|()| registry::remove_empty(INSTALLED));
        gone.and_then(|()| {
            INSTALLED.rsplit_once('\\').map_or(Ok(()), |(all, _)| registry::remove_empty(all))
        })
        .map_err(|error| ServiceError::failed(format!(r"remove HKLM\{key}"), error))?;
    }
    Ok(steps)
}

/// A deleted service goes when the last handle is closed, which may be another program's; so not for ever.
fn wait_gone(name: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    while open(name, ServiceAccess::QUERY_STATUS).is_ok() && Instant::now() < end {
        std::thread::sleep(LOOK);
    }
}

pub(super) fn start(name: &str, limit: Duration) -> Result<(), ServiceError> {
    let doing = format!("start {name}");
    let service = open(name, ServiceAccess::START | ServiceAccess::QUERY_STATUS)
        .map_err(|error| told(&error, "starting a service", name))?;
    match service.start::<&str>(&[]) {
        Ok(()) => {}
        Err(error) if number(&error) == Some(ERROR_SERVICE_ALREADY_RUNNING) => {}
        Err(error) => return Err(told(&error, "starting a service", name)),
    }
    let end = Instant::now() + limit;
    loop {
        let status = service.query_status().map_err(|error| told(&error, "asking a service", name))?;
        match status.current_state {
            ServiceState::Running | ServiceState::Paused => return Ok(()),
            ServiceState::Stopped => {
                let why =
                    format!("it stopped with {}; its log and the event log say why", exit(status.exit_code));
                return Err(ServiceError::failed(doing, why));
            }
            ServiceState::StartPending
            | ServiceState::StopPending
            | ServiceState::ContinuePending
            | ServiceState::PausePending => {}
        }
        if Instant::now() > end {
            return Err(ServiceError::failed(doing, format!("it is not running after {limit:?}")));
        }
        std::thread::sleep(LOOK);
    }
}

pub(super) fn stop(name: &str, limit: Duration) -> Result<(), ServiceError> {
    let doing = format!("stop {name}");
    let service = open(name, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)
        .map_err(|error| told(&error, "stopping a service", name))?;
    let end = Instant::now() + limit;
    let mut asked = false;
    loop {
        let status = service.query_status().map_err(|error| told(&error, "asking a service", name))?;
        if status.current_state == ServiceState::Stopped {
            return Ok(());
        }
        if !asked && !matches!(status.current_state, ServiceState::StartPending | ServiceState::StopPending) {
            match service.stop() {
                Ok(_) => {}
                Err(error) if number(&error) == Some(ERROR_SERVICE_NOT_ACTIVE) => return Ok(()),
                Err(error) => return Err(told(&error, "stopping a service", name)),
            }
            asked = true;
        }
        if Instant::now() > end {
            return Err(ServiceError::failed(doing, format!("it has not stopped after {limit:?}")));
        }
        std::thread::sleep(LOOK);
    }
}

pub(super) fn status(name: &str) -> Result<Status, ServiceError> {
    let service = open(name, ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG)
        .map_err(|error| told(&error, "asking a service", name))?;
    let status = service.query_status().map_err(|error| told(&error, "asking a service", name))?;
    let config = service.query_config().map_err(|error| told(&error, "asking a service", name))?;
    let state = match status.current_state {
        ServiceState::Stopped => "STOPPED",
        ServiceState::StartPending => "START_PENDING",
        ServiceState::StopPending => "STOP_PENDING",
        ServiceState::Running => "RUNNING",
        ServiceState::ContinuePending => "CONTINUE_PENDING",
        ServiceState::PausePending => "PAUSE_PENDING",
        ServiceState::Paused => "PAUSED",
    };
    let delayed =
        registry::read_number(&format!(r"SYSTEM\CurrentControlSet\Services\{name}"), "DelayedAutostart");
    let start = match config.start_type {
        ServiceStartType::AutoStart if delayed == Some(1) => Some(StartType::Delayed),
        ServiceStartType::AutoStart => Some(StartType::Auto),
        ServiceStartType::OnDemand => Some(StartType::Manual),
        ServiceStartType::Disabled => Some(StartType::Disabled),
        ServiceStartType::SystemStart | ServiceStartType::BootStart => None,
    };
    let is_stopped = status.current_state == ServiceState::Stopped;
    let detail = if is_stopped {
        Some(format!("ended with {}", exit(status.exit_code)))
    } else if status.checkpoint > 0 {
        Some(format!("checkpoint {}, within {:?}", status.checkpoint, status.wait_hint))
    } else {
        None
    };
    Ok(Status {
        name: name.to_owned(),
        display_name: config.display_name.to_string_lossy().into_owned(),
        state: state.to_owned(),
        is_running: matches!(status.current_state, ServiceState::Running | ServiceState::Paused),
        pid: status.process_id.filter(|pid| *pid != 0),
        start,
        command: config.executable_path.to_string_lossy().into_owned(),
        detail,
    })
}

fn exit(code: ServiceExitCode) -> String {
    match code {
        ServiceExitCode::Win32(code) => format!("Win32 code {code}"),
        ServiceExitCode::ServiceSpecific(code) => format!("service-specific code {code}"),
    }
}

pub(super) fn grant(name: &str, units: &[String], mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let entry = sddl::control_entry(&sid(name)?);
    let mut steps = Vec::new();
    for unit in units {
        let what = format!("let {name} start and stop the service {unit}");
        let failed = |error: std::io::Error| match error.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_SERVICE_DOES_NOT_EXIST) => ServiceError::NotFound { name: unit.clone() },
            Some(ERROR_ACCESS_DENIED) => {
                ServiceError::NotAdministrator { doing: "granting rights".to_owned() }
            }
            _ => ServiceError::failed(&what, error),
        };
        let present = security::service_descriptor(unit);
        let present = match (present, mode) {
            (Ok(present), _) => present,
            // What cannot be read can still be described.
            (Err(_), Mode::DryRun) => {
                steps.push(Step::new(what, Outcome::Planned).with_text(entry.clone()));
                continue;
            }
            (Err(error), Mode::Apply) => return Err(failed(error)),
        };
        let Some(wanted) = sddl::with_entry(&present, &entry) else {
            steps.push(Step::new(what, Outcome::Unchanged).with_text(present));
            continue;
        };
        let text = format!("sc sdset \"{unit}\" {wanted}");
        if mode == Mode::Apply {
            security::set_service_descriptor(unit, &wanted).map_err(failed)?;
        }
        let outcome = if mode == Mode::Apply { Outcome::Done } else { Outcome::Planned };
        steps.push(Step::new(what, outcome).with_text(text));
    }
    Ok(steps)
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, Error> {
    ServiceManager::local_computer(None::<&str>, access)
}

fn open(name: &str, access: ServiceAccess) -> Result<Service, Error> {
    manager(ServiceManagerAccess::CONNECT)?.open_service(name, access)
}

fn number(error: &Error) -> Option<u32> {
    match error {
        Error::Winapi(error) => error.raw_os_error().map(i32::cast_unsigned),
        _ => None,
    }
}

/// The system's words with the number that an administrator looks up.
fn words(error: &Error) -> String {
    match error {
        Error::Winapi(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn told(error: &Error, doing: &str, name: &str) -> ServiceError {
    // The words are those of a refusal, "starting a service needs …"; a failure reads "failed to finish starting …".
    let failed = |why: String| ServiceError::failed(format!("finish {doing}"), why);
    match number(error) {
        Some(ERROR_ACCESS_DENIED) => ServiceError::NotAdministrator { doing: doing.to_owned() },
        Some(ERROR_SERVICE_DOES_NOT_EXIST) => ServiceError::NotFound { name: name.to_owned() },
        Some(ERROR_SERVICE_MARKED_FOR_DELETE) => failed(format!(
            "{name} is still being removed; close programs that look at it, such as the services console"
        )),
        Some(ERROR_ALREADY_EXISTS) => failed(format!("the name {name} is taken")),
        _ => failed(words(error)),
    }
}

/// A command line as programs take it apart again (`CommandLineToArgvW`).
fn command_line(argv: &[String]) -> String {
    argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = !word.is_empty() && !word.contains([' ', '\t', '\n', '\u{b}', '"']);
    if plain {
        return word.to_owned();
    }
    let mut text = String::from('"');
    let mut backslashes = 0;
    for c in word.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                // Backslashes before a quote count double, and the quote takes one of its own.
                text.push_str(&"\\".repeat(backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        text.push(c);
    }
    text.push_str(&"\\".repeat(backslashes));
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_cannot_start_another_program() {
        let argv = [r"C:\Program Files\lifesign\lifesign.exe", "-c", r"C:\my files\"].map(str::to_owned);
        assert_eq!(command_line(&argv), r#""C:\Program Files\lifesign\lifesign.exe" -c "C:\my files\\""#);
        assert_eq!(quote(r#"say "x""#), r#""say \"x\"""#);
    }

    #[test]
    fn the_identity_of_a_service_is_that_which_windows_works_out() {
        // Known of every Windows.
        assert_eq!(
            security::service_sid("TrustedInstaller").unwrap(),
            "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
        );
    }
}
