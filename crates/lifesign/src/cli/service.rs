//! `lifesign service …` as it is written.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::parse_interval;

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Make lifesign a service of this system, or any program with --wrap; again: change it
    Install(Box<Install>),
    /// Stop a service and remove what `install` wrote
    Uninstall {
        #[command(flatten)]
        which: Which,
        /// Remove its data and its user, too
        #[arg(long)]
        purge: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Start it and wait until it is ready
    Start(Which),
    /// Stop it and wait until it has
    Stop(Which),
    /// How it stands, in the system's words
    Status(Which),
    /// Let lifesign start and stop these services: prints the access list or polkit rule
    Grant {
        /// The services or units
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        /// The service that gets the right
        #[arg(long, default_value = "lifesign")]
        name: String,
        /// Write it, not only print it
        #[arg(long)]
        apply: bool,
    },
    /// What the service manager starts
    #[command(hide = true)]
    Run(Run),
    /// What the service manager starts for a wrapped program
    #[command(hide = true)]
    RunWrapped(RunWrapped),
}

/// Which service is meant.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The service; lifesign itself where it is left out
    #[arg(value_name = "ID", conflicts_with = "name")]
    pub(crate) id: Option<String>,
    /// The same
    #[arg(long, default_value = "lifesign")]
    name: String,
    /// Its role
    #[arg(long, value_enum, default_value_t = Role::Up)]
    role: Role,
    /// Not needed; taken so that the line of `install` can be repeated
    #[arg(short, long, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
}

impl Which {
    pub(crate) fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The service of a wrapped program
    #[arg(value_name = "ID", requires = "wrap", conflicts_with = "name")]
    pub(crate) id: Option<String>,
    /// What it does
    #[arg(long, value_enum, default_value_t = Role::Up)]
    pub(crate) role: Role,
    /// The configuration: YAML or JSON, by its ending
    #[arg(short, long, value_name = "FILE", default_value = "lifesign.yaml")]
    pub(crate) config: PathBuf,
    /// Merge FILE's stem + `.NAME` over it
    #[arg(long, env = "LIFESIGN_ENV", value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// When the system starts it
    #[arg(long, value_enum, default_value_t = Start::Auto)]
    pub(crate) start: Start,
    /// What the system calls it
    #[arg(long, default_value = "lifesign")]
    pub(crate) name: String,
    /// What people see in lists
    #[arg(long, value_name = "TEXT")]
    pub(crate) display_name: Option<String>,
    /// One sentence for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The account it runs under; default: one of its own
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
    /// Let it start and stop these services besides those with `restart:`; `*` for any letters, `!PATTERN` leaves out
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "wrap")]
    pub(crate) may_control: Vec<String>,
    /// Leave room for programs that lifesign itself starts (`process:`), as an agent's server may order. Linux keeps
    /// it when installed again, and `--processes=false` ends it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", conflicts_with = "wrap")]
    pub(crate) processes: Option<bool>,
    /// A file of variables for `${env:…}`, NAME=VALUE a line, that systemd reads for the service (Linux)
    #[arg(long, value_name = "FILE", conflicts_with = "wrap")]
    pub(crate) environment_file: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wrap PROGRAM, which knows nothing of services
    #[arg(long, requires_all = ["id", "program"])]
    pub(crate) wrap: bool,
    #[command(flatten)]
    pub(crate) recover: Recover,
    #[command(flatten)]
    pub(crate) care: Care,
    /// The program to wrap, and its arguments
    #[arg(last = true, value_name = "PROGRAM", requires = "wrap")]
    pub(crate) program: Vec<String>,
}

/// What the system does when the service fails: it crashes, is killed, hangs, or ends with an error.
#[derive(Debug, Clone, Args)]
pub(crate) struct Recover {
    /// The system starts a failed service again after these waits, the last of them every further time, or never:
    /// `5s`, `5s,30s,1m`, `never`
    #[arg(long, value_name = "TIMES", value_parser = parse_waits)]
    pub(crate) recover_after: Option<Waits>,
    /// After the last of these waits and one more failure it stays stopped
    #[arg(long)]
    pub(crate) recover_give_up: bool,
    /// Failures are counted anew after this long without one; default: a day
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    pub(crate) recover_reset: Option<Duration>,
}

/// Waits before the first, the second and further starts; none: it is never started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits(pub(crate) Vec<Duration>);

fn parse_waits(text: &str) -> Result<Waits, String> {
    if text == "never" {
        return Ok(Waits(Vec::new()));
    }
    text.split(',').map(|wait| parse_interval(wait.trim())).collect::<Result<_, _>>().map(Waits)
}

/// How a wrapped program is cared for.
#[derive(Debug, Clone, Args)]
pub(crate) struct Care {
    /// Where a wrapped program runs; default: its data folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// How long a wrapped program may take to stop before it is killed
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_interval)]
    pub(crate) stop_within: Duration,
    /// Start a wrapped program again after it has ended: with a failure, or always
    #[arg(long, value_enum, default_value_t = Again::OnFailure)]
    pub(crate) restart: Again,
    /// A wrapped program that has sent no heartbeat (sd_notify WATCHDOG=1) for this long hangs and is started again
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    pub(crate) heartbeat: Option<Duration>,
    /// Its output is kept in files of this size, in MiB: the present one and the one before
    #[arg(long, value_name = "MIB", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) log_size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// What the system calls it
    pub(crate) name: String,
    /// As what
    #[arg(long, value_enum, default_value_t = Role::Up)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) up: super::Up,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunWrapped {
    /// What the system calls it
    pub(crate) name: String,
    /// Where its output and its state are kept
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) care: Care,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Server and agent in one process
    Up,
    /// The server alone
    Server,
    /// The agent alone
    Agent,
}

impl Role {
    /// The command that runs it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Server => "server",
            Self::Agent => "agent",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Start {
    /// With the machine
    Auto,
    /// About two minutes after it
    Delayed,
    /// By hand
    Manual,
    /// Not even by hand
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Again {
    /// After a crash, a kill, a hang, or an exit code other than 0
    OnFailure,
    /// After every end that nobody ordered
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_a_list_or_never() {
        let seconds = |list: &[u64]| Waits(list.iter().copied().map(Duration::from_secs).collect());
        assert_eq!(parse_waits("5s,30s, 1m"), Ok(seconds(&[5, 30, 60])));
        assert_eq!(parse_waits("never"), Ok(seconds(&[])));
        for wrong in ["", "5", "5s,", "5s,never", "soon"] {
            assert!(parse_waits(wrong).is_err(), "{wrong:?}");
        }
    }
}
