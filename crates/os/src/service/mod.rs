//! A program as a service of the operating system: made, changed, removed, started, stopped, and ([`host`]) run.
//!
//! Every change is a list of [`Step`]s in words an administrator can check, and the same list is what a dry run
//! shows. Each step looks first and changes only what differs, so that a second installation does nothing.
//!
//! Differences between the systems, on purpose:
//!
//! - The account. Windows: the virtual account `NT SERVICE\NAME`, which exists as soon as the service does.
//!   Linux: a system user of the service's name for lifesign itself, because a polkit rule and the owner of the data
//!   need a name that stays; a dynamic user for a wrapped program, which needs neither.
//! - A delayed start. Windows has it as a flag; on Linux it is a timer that starts the unit two minutes after boot.
//! - A disabled service. Windows has it as a start type; on Linux the unit says `RefuseManualStart=yes`.

pub mod host;
mod recovery;
pub mod system_log;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use recovery::Recovery;

#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
mod imp;
// The texts of both systems are made on both, so that each is tested wherever the tests run.
#[cfg(any(windows, test))]
mod sddl;

/// Longest name of a service: what Windows takes, and short enough for a Linux user to be named after it.
const LONGEST_NAME: usize = 80;

/// When the system starts a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartType {
    /// With the machine.
    Auto,
    /// About two minutes after the machine, when other services have come up.
    Delayed,
    /// When somebody starts it.
    Manual,
    /// Never, not even by hand.
    Disabled,
}

impl StartType {
    /// The word used on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Delayed => "delayed",
            Self::Manual => "manual",
            Self::Disabled => "disabled",
        }
    }
}

/// What kind of program a service runs; it decides how narrow its sandbox may be (Linux), and whether it keeps all
/// privileges of its account (Windows).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// lifesign, which starts no programs: everything it does not need is shut.
    Monitor,
    /// lifesign, which supervises programs of its own. They inherit its sandbox, so only what no program should
    /// need is shut; and they outlive a stop of lifesign, as the next one adopts them.
    Host,
    /// A wrapped program under lifesign's wrapper, about which nothing is known.
    Wrapper,
}

/// A service as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// What the system calls it.
    pub name: String,
    /// What people see in lists.
    pub display_name: String,
    /// One sentence for people.
    pub description: String,
    /// The program, as an absolute path, and its arguments.
    pub argv: Vec<String>,
    /// When it starts.
    pub start: StartType,
    /// The account it runs under; `None`: one of its own with no rights but those given here.
    pub account: Option<String>,
    /// The folder it writes to, absolute. Made for the account alone when missing.
    pub data_dir: PathBuf,
    /// Files it must be able to read: its configuration.
    pub reads: Vec<PathBuf>,
    /// Further folders it writes to, absolute: that of its log file. Made for the account alone when missing; one that
    /// is there keeps its owner and its rights.
    pub writes: Vec<PathBuf>,
    /// Units or services it may start and stop. On Linux also patterns of services: `*` stands for any letters, and
    /// what fits a pattern that begins with `!` is left out of the others.
    pub controls: Vec<String>,
    /// What it runs.
    pub kind: Kind,
    /// When the system starts it again.
    pub recovery: Recovery,
    /// Whether to leave room for programs of its own ([`Kind::Host`]) although `kind` asks for none; `None`: as the last
    /// installation said (Linux; on Windows it is as if `false`).
    pub programs: Option<bool>,
    /// What the agent in it needs; `None`: there is no agent in it.
    pub agent: Option<Agent>,
    /// A file of environment variables, `NAME=VALUE` a line, that the manager reads for it (Linux).
    pub environment_file: Option<PathBuf>,
}

impl Definition {
    /// What there must be room for.
    pub(crate) fn kind(&self) -> Kind {
        if self.programs == Some(true) && self.kind == Kind::Monitor { Kind::Host } else { self.kind }
    }
}

/// What an agent needs that hears programs of this host, and keeps what dying units leave in the system's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    /// The folder of its local ways; `None`: the system's own place for it.
    pub dir: Option<PathBuf>,
    /// The group whose members may write there, beside its own user.
    pub writers: Option<String>,
}

/// Whether to change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carry the steps out.
    Apply,
    /// Only say what would be done; needs no special rights.
    DryRun,
}

/// How one step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A dry run: it would be done.
    Planned,
    /// Done.
    Done,
    /// Nothing to do: it was so already.
    Unchanged,
    /// This system does not offer it; the service works without it.
    NotOffered,
}

/// One thing that an installation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What, in words that name the file, key or command.
    pub what: String,
    /// What is written, where a person would want to read it: a unit, a rule, an access list.
    pub text: Option<String>,
    /// How it went.
    pub outcome: Outcome,
}

impl Step {
    fn new(what: impl Into<String>, outcome: Outcome) -> Self {
        Self { what: what.into(), text: None, outcome }
    }

    fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }
}

/// Why a service could not be made, changed or asked about.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Only an administrator may.
    #[error("{doing} needs {}: {}", imp::ADMINISTRATOR, imp::AS_ADMINISTRATOR)]
    NotAdministrator {
        /// What was wanted.
        doing: String,
    },
    /// The definition cannot work as it is.
    #[error("{0}")]
    Invalid(String),
    /// There is no such service.
    #[error("no service {name:?} is installed; install it with `lifesign service install`")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// No service manager answers.
    #[error("no service manager answers here: {why}")]
    NoManager {
        /// The system's words.
        why: String,
    },
    /// The system refused, or something went wrong on the way. Steps before it are done; installing again goes on.
    #[error("failed to {doing}: {why}")]
    Failed {
        /// What was being done.
        doing: String,
        /// The system's words.
        why: String,
    },
}

impl ServiceError {
    fn failed(doing: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Failed { doing: doing.into(), why: why.to_string() }
    }
}

/// How a service stands, in the system's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// What people see in lists.
    pub display_name: String,
    /// The manager's word: `RUNNING`, `START_PENDING`; `active (running)`, `failed (watchdog)`.
    pub state: String,
    /// Whether it does its work now.
    pub is_running: bool,
    /// Its main process.
    pub pid: Option<u32>,
    /// When the system starts it.
    pub start: Option<StartType>,
    /// What it runs.
    pub command: String,
    /// How it ended the last time, or what it says about itself.
    pub detail: Option<String>,
}

/// Makes the service, or changes it to what `definition` says.
///
/// # Errors
/// See [`ServiceError`]. A definition that could not start is refused before anything is changed.
pub fn install(definition: &Definition, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    check(definition)?;
    imp::install(definition, mode)
}

/// Stops the service and removes what [`install`] wrote. The data, the folders made for it, and the account that owns
/// them stay unless `purge`; nothing to remove is no error.
///
/// # Errors
/// See [`ServiceError`].
pub fn uninstall(name: &str, purge: bool, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    check_name(name)?;
    imp::uninstall(name, purge, mode)
}

/// Starts the service and waits until it says that it is ready. A running one is no error.
///
/// # Errors
/// [`ServiceError::Failed`] with the reason when it does not become ready within `limit`.
pub fn start(name: &str, limit: Duration) -> Result<(), ServiceError> {
    check_name(name)?;
    imp::start(name, limit)
}

/// Stops the service and waits until it has. A stopped one is no error.
///
/// # Errors
/// [`ServiceError::Failed`] when it does not stop within `limit`.
pub fn stop(name: &str, limit: Duration) -> Result<(), ServiceError> {
    check_name(name)?;
    imp::stop(name, limit)
}

/// How the service stands.
///
/// # Errors
/// [`ServiceError::NotFound`].
pub fn status(name: &str) -> Result<Status, ServiceError> {
    check_name(name)?;
    imp::status(name)
}

/// Lets the service `name` start and stop `units`, in the system's own means: an entry in each service's access
/// list, or one polkit rule. Rights given earlier stay.
///
/// # Errors
/// See [`ServiceError`].
pub fn grant(name: &str, units: &[String], mode: Mode) -> Result<Vec<Step>, ServiceError> {
    check_name(name)?;
    imp::grant(name, units, mode)
}

/// What an administrator types to let the service that this process is (else the usual one) control `unit`.
pub(crate) fn grant_command(unit: &str) -> String {
    let quoted = if unit.chars().all(|c| c.is_ascii_alphanumeric() || "@._-:".contains(c)) {
        unit.to_owned()
    } else if cfg!(windows) {
        format!("\"{unit}\"")
    } else {
        format!("'{unit}'")
    };
    let name = imp::own_name().filter(|name| name != "lifesign");
    let name = name.map(|name| format!(" --name {name}")).unwrap_or_default();
    format!("lifesign service grant {quoted} --apply{name}")
}

/// Where a service of this name keeps its data when nobody says otherwise.
pub fn default_data_dir(name: &str) -> PathBuf {
    imp::default_data_dir(name)
}

/// The folders that installing makes, or has made, beside the one that the system knows by the service's name. One
/// that was there before is somebody else's, and one of `recorded` that has gone is no longer ours.
fn folders_made(definition: &Definition, recorded: Vec<PathBuf>) -> Vec<PathBuf> {
    let usual = default_data_dir(&definition.name);
    let wanted = definition.writes.iter().chain([&definition.data_dir]);
    let new = wanted.filter(|folder| **folder != usual && !folder.exists()).cloned();
    let mut made: Vec<PathBuf> = recorded.into_iter().filter(|folder| folder.is_dir()).chain(new).collect();
    made.sort();
    made.dedup();
    made
}

/// Removes the folders that an installation made, where `purge`; a link to one is left alone.
fn remove_made(made: &[PathBuf], purge: bool, mode: Mode) -> Result<Vec<Step>, ServiceError> {
    let mut steps = Vec::new();
    for folder in made {
        if !std::fs::symlink_metadata(folder).is_ok_and(|is| is.is_dir()) {
            continue;
        }
        if !purge {
            steps.push(Step::new(
                format!("keep {}; --purge removes it", folder.display()),
                Outcome::Unchanged,
            ));
            continue;
        }
        let what = format!("remove {}", folder.display());
        if mode == Mode::DryRun {
            steps.push(Step::new(what, Outcome::Planned));
            continue;
        }
        std::fs::remove_dir_all(folder).map_err(|error| ServiceError::failed(&what, error))?;
        steps.push(Step::new(what, Outcome::Done));
    }
    Ok(steps)
}

fn check(definition: &Definition) -> Result<(), ServiceError> {
    check_name(&definition.name)?;
    let Some(program) = definition.argv.first() else {
        return Err(ServiceError::Invalid("a service needs a program".to_owned()));
    };
    if let Some(fault) = definition.recovery.fault() {
        return Err(ServiceError::Invalid(fault));
    }
    let paths = std::iter::once(std::path::Path::new(program))
        .chain([definition.data_dir.as_path()])
        .chain(definition.reads.iter().chain(&definition.writes).map(PathBuf::as_path))
        .chain(definition.environment_file.as_deref())
        .chain(definition.agent.iter().filter_map(|agent| agent.dir.as_deref()));
    for path in paths {
        if !path.is_absolute() {
            return Err(ServiceError::Invalid(format!("{} is not an absolute path", path.display())));
        }
        // It would end a line of what is written down.
        if path.to_string_lossy().chars().any(char::is_control) {
            return Err(ServiceError::Invalid(format!("{} holds a control character", path.display())));
        }
    }
    let texts = [&definition.display_name, &definition.description].into_iter().chain(&definition.argv);
    let writers = definition.agent.iter().filter_map(|agent| agent.writers.as_ref());
    for text in texts.chain(&definition.controls).chain(writers) {
        if text.chars().any(char::is_control) {
            return Err(ServiceError::Invalid(format!("{text:?} holds a control character")));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= LONGEST_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if good {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "{name:?} cannot be the name of a service: take letters, digits, `.`, `_` and `-`, at most {LONGEST_NAME} of them"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(folder: &std::path::Path) -> Definition {
        Definition {
            name: "lifesign".to_owned(),
            display_name: "Lifesign".to_owned(),
            description: "Watches services".to_owned(),
            argv: vec![folder.join("lifesign").to_str().unwrap().to_owned()],
            start: StartType::Auto,
            account: None,
            data_dir: folder.join("data"),
            reads: Vec::new(),
            writes: vec![folder.join("log"), folder.join("shared")],
            controls: Vec::new(),
            kind: Kind::Monitor,
            recovery: Recovery::default(),
            programs: None,
            agent: None,
            environment_file: None,
        }
    }

    #[test]
    fn folders_that_were_there_before_are_not_ours_to_remove_and_those_made_are() {
        let dir = tempfile::tempdir().unwrap();
        let definition = definition(dir.path());
        let [log, shared, data] = ["log", "shared", "data"].map(|name| dir.path().join(name));
        std::fs::create_dir(&shared).unwrap();
        let made = folders_made(&definition, Vec::new());
        assert_eq!(made, [data.clone(), log.clone()]);
        for folder in &made {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("x"), "x").unwrap();
        }
        // Installed again: what was written down stays so.
        assert_eq!(folders_made(&definition, made.clone()), made);
        assert_eq!(folders_made(&definition, Vec::new()), Vec::<PathBuf>::new());

        let kept = remove_made(&made, false, Mode::Apply).unwrap();
        assert!(kept.iter().all(|step| step.outcome == Outcome::Unchanged) && log.exists());
        let planned = remove_made(&made, true, Mode::DryRun).unwrap();
        assert!(planned.iter().all(|step| step.outcome == Outcome::Planned) && log.exists());
        assert_eq!(remove_made(&made, true, Mode::Apply).unwrap().len(), 2);
        assert!(!log.exists() && !data.exists() && shared.exists());
        assert!(remove_made(&made, true, Mode::Apply).unwrap().is_empty(), "nothing left is no error");
    }

    #[test]
    fn the_command_that_grants_a_right_can_be_typed_as_it_stands() {
        let plain = grant_command("orders.service");
        assert!(plain.starts_with("lifesign service grant orders.service --apply"), "{plain}");
        let odd = grant_command("MSSQL$X");
        assert!(odd.contains("\"MSSQL$X\"") || odd.contains("'MSSQL$X'"), "{odd}");
    }

    #[test]
    fn a_path_that_would_end_a_line_of_a_unit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut definition = definition(dir.path());
        check(&definition).unwrap();
        definition.writes = vec![dir.path().join("log\nUser=root")];
        let refused = check(&definition).unwrap_err().to_string();
        assert!(refused.contains("control character"), "{refused}");
    }

    #[test]
    fn a_name_that_would_reach_into_a_path_or_a_rule_is_refused() {
        for good in ["lifesign", "orders-2", "Web.Front_end"] {
            check_name(good).unwrap();
        }
        for bad in ["", "../x", "a b", "-x", "a\"b", "a\\b", "bestellung€", &"x".repeat(81)] {
            let refused = check_name(bad).unwrap_err().to_string();
            assert!(refused.contains("cannot be the name"), "{refused}");
        }
    }
}
