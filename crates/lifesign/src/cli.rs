//! The command line as it is written.

pub(crate) mod service;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lifesign_lang::Lang;

use crate::moment::Moment;

/// Heartbeat and health monitor for Windows services and systemd units.
#[derive(Debug, Parser)]
#[command(name = "lifesign", version, about, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lifesign up -c lifesign.yaml        watch what the file names, with a dashboard
  lifesign config check lifesign.yaml every error, with its place
  lifesign status                     all services, worst first
  lifesign explain orders             why it is in its state
  lifesign explain orders --at 03:12  why it was in its state then

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no such service or incident,
4 refused (no or wrong token, missing privilege), 5 server unreachable.";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The server to ask; default: http://127.0.0.1:7700
    #[arg(long, global = true, env = "LIFESIGN_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token to ask with; default: the admin token kept in the data directory
    #[arg(long, global = true, env = "LIFESIGN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Language of what people read: en or zh; default: from LANG
    #[arg(long, global = true, value_name = "LANG", value_parser = parse_lang)]
    pub(crate) lang: Option<Lang>,
}

fn parse_lang(name: &str) -> Result<Lang, String> {
    Lang::parse(name).ok_or_else(|| format!("no catalogue for {name:?}; there are en and zh"))
}

impl Cli {
    /// The language to answer in.
    pub(crate) fn lang(&self) -> Lang {
        self.global.lang.unwrap_or_else(|| Lang::from_environment(|name| std::env::var(name).ok()))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run server and agent in one process, with the embedded store
    Up(Up),
    /// Run the server: as `up`, for this host and for agents of others
    Server(Up),
    /// Run the agent of a host alone; what it watches comes from its server
    Agent(Agent),
    /// Hosts that are enrolled with a certificate; without more, list them
    Hosts {
        #[command(subcommand)]
        command: Option<HostsCommand>,
    },
    /// Look at a configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show all services, or one
    Status {
        /// The service; without it all of them
        id: Option<String>,
    },
    /// Show incidents, newest first
    Incidents {
        /// Only those still open
        #[arg(long)]
        open: bool,
        /// One incident with its timeline
        id: Option<u64>,
    },
    /// Say why a service is in its state, was or was not restarted, and who was or was not told
    Explain {
        /// The service
        id: String,
        /// A past moment, from the journal: 2026-11-22T09:00:00Z, 09:00 (today), 10m ago or -10m
        #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
        at: Option<Moment>,
    },
    /// Take care of an incident: its repeats go on, others see your name
    Ack {
        /// The incident's number
        id: u64,
    },
    /// Restart a service
    Restart {
        /// The service
        id: String,
    },
    /// Hold alerts and restarts of a service; watching goes on
    Pause {
        /// The service
        id: String,
    },
    /// End a pause
    Resume {
        /// The service
        id: String,
    },
    /// Watch a service no longer that its own heartbeat has made
    Forget {
        /// The service
        id: String,
    },
    /// Send one heartbeat
    Beat {
        /// The service
        id: String,
        /// What it says
        #[arg(long, value_enum, default_value_t = BeatStatus::Alive)]
        status: BeatStatus,
        /// A metric of the service; may be given several times
        #[arg(long = "metric", value_name = "NAME=VALUE", value_parser = parse_metric)]
        metrics: Vec<(String, f64)>,
        /// Words shown with the service
        #[arg(long)]
        message: Option<String>,
    },
    /// Run a job and report its start, its success or failure, how long it took and the last it wrote
    ///
    /// The job's output passes through, signals reach it, and its exit code is that of this command. A server that
    /// does not answer never keeps it from running.
    Exec {
        /// The service
        id: String,
        /// Tells this run apart from others; made up where not given
        #[arg(long, value_name = "ID")]
        run_id: Option<String>,
        /// How long its end is reported to a server that does not answer
        #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_interval)]
        report_for: std::time::Duration,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Read the configuration file again without losing state
    Reload,
    /// List this machine's services with the holes in the system's own recovery, and write them as configuration
    Discover(Discovery),
    /// Turn what another monitor watches into configuration: `lifesign import gatus config.yaml > lifesign.yaml`
    Import(Import),
    /// Try a configuration on a trace of heartbeats: how soon it notices a crash, how often it is wrong
    Simulate(Simulation),
    /// lifesign, or any program wrapped by it, as a service of this system
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Small real services to watch, as the quickstart does
    #[command(subcommand)]
    Sample(Sample),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Keep the data here, whatever the configuration says; `service install` sets it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) up: Up,
    #[command(subcommand)]
    pub(crate) command: Option<AgentCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Get a certificate for this host: lifesign agent enroll --server https://HOST:7701 --token ONE-TIME
    ///
    /// The one-time token is made on the server: lifesign hosts token. It tells the agent its server, too: another one
    /// is never told anything. The certificate is renewed by itself from then on. Where FILE does not exist, it is
    /// written.
    Enroll(Enroll),
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// What the host is called; default: `agent.host`, else the machine's own name
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Keep key and certificate here, whatever the configuration says
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// Make a one-time token for `lifesign agent enroll`; it ends after 15 minutes
    Token {
        /// The one host that may use it, which may have been enrolled before; without it any that is new
        host: Option<String>,
    },
    /// Turn a host out, at once: its link is cut, its certificates count no more
    Revoke {
        /// The host
        host: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigFile {
    /// The configuration: YAML or JSON, by its ending
    #[arg(short, long, value_name = "FILE", default_value = "lifesign.yaml")]
    pub(crate) config: PathBuf,
    /// Merge FILE's stem + `.NAME` over it
    #[arg(long, env = "LIFESIGN_ENV", value_name = "NAME")]
    pub(crate) env: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Discovery {
    /// Names, `*` for any letters; without any all services
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Write configuration in this format
    #[arg(long, value_enum)]
    pub(crate) format: Option<DiscoveryFormat>,
    /// Also those that do not start by themselves, or end by themselves
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Whose file it is
    #[arg(value_enum)]
    pub(crate) peer: Peer,
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Peer {
    /// The answer of its `GET /api/v3/checks/`
    Healthchecks,
    /// The JSON backup of version 1, or its table `monitor` as JSON
    UptimeKuma,
    /// Its configuration in YAML
    Gatus,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DiscoveryFormat {
    /// Lines for a file such as lifesign.yaml
    Yaml,
    /// The same in JSON
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Simulation {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The trace: JSON Lines such as {"service":"a","sent":12.0,"received":12.15}, seconds from its start; `-` is
    /// standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Draws the answers to questions; the same seed draws the same ones
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Play a few other settings on the same trace too, to choose from
    #[arg(long)]
    pub(crate) suggest: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every error, with file, line and column
    Check(NamedFile),
    /// The merged result, secrets masked
    Show(NamedFile),
    /// The JSON Schema, for editors
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct NamedFile {
    /// The configuration: YAML or JSON, by its ending
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Merge FILE's stem + `.NAME` over it
    #[arg(long, env = "LIFESIGN_ENV", value_name = "NAME")]
    pub(crate) env: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BeatStatus {
    /// I am well
    Alive,
    /// I am about to stop, on purpose
    Stopping,
    /// I cannot do my work
    Fail,
}

fn parse_metric(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, for example queue=12")?;
    let number: f64 = value.parse().map_err(|_| format!("{value:?} is not a number"))?;
    if number.is_finite() { Ok((name.to_owned(), number)) } else { Err(format!("{value} is not finite")) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sample {
    /// An HTTP server with component health on /health
    Web {
        /// The port on 127.0.0.1
        #[arg(long, default_value_t = 7781)]
        port: u16,
        /// Components that report DOWN
        #[arg(long = "down", value_name = "COMPONENT")]
        down: Vec<String>,
    },
    /// A program that sends heartbeats with metrics
    Worker {
        /// The service it is
        #[arg(long, default_value = "worker")]
        id: String,
        /// Between two heartbeats
        #[arg(long, default_value = "1s", value_parser = parse_interval)]
        interval: std::time::Duration,
        /// How they are spaced: fixed, backoff or mutual, as `mode` in the configuration
        #[arg(long, default_value = "fixed", value_parser = parse_mode)]
        mode: lifesign_client::Mode,
        /// Play dead while this file exists: the process lives, its heart is silent
        #[arg(long, value_name = "FILE")]
        hang_while: Option<PathBuf>,
        /// End with this exit code after some seconds: `3@20`
        #[arg(long, value_name = "CODE@SECONDS")]
        exit: Option<String>,
    },
    /// A job that works in rounds and says how each went
    Batch {
        /// The service it is
        #[arg(long, default_value = "batch")]
        id: String,
        /// Between two rounds
        #[arg(long, default_value = "2s", value_parser = parse_interval)]
        every: std::time::Duration,
    },
}

fn parse_interval(text: &str) -> Result<std::time::Duration, String> {
    lifesign_config::time::parse_duration(text).ok_or_else(|| "write it as 250ms, 5s or 1m30s".to_owned())
}

fn parse_mode(text: &str) -> Result<lifesign_client::Mode, String> {
    match text {
        "fixed" => Ok(lifesign_client::Mode::Fixed),
        "backoff" => Ok(lifesign_client::Mode::Backoff),
        "mutual" => Ok(lifesign_client::Mode::Mutual),
        _ => Err("expected fixed, backoff or mutual".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_past_moment_may_begin_with_a_hyphen_and_a_wrong_one_is_told_the_forms() {
        let explain = |at: &str| Cli::try_parse_from(["lifesign", "explain", "orders", "--at", at]);
        for text in ["-10m", "10m ago", "09:00", "2026-11-22T09:00:00Z"] {
            let command = explain(text).unwrap().command;
            assert!(matches!(command, Command::Explain { at: Some(_), .. }), "{text}");
        }
        let error = explain("yesterday").unwrap_err().to_string();
        assert!(error.contains("10m ago"), "{error}");
    }

    #[test]
    fn a_metric_is_a_name_and_a_finite_number() {
        assert_eq!(parse_metric("queue=12.5"), Ok(("queue".to_owned(), 12.5)));
        for bad in ["queue", "queue=", "queue=many", "queue=inf", "queue=NaN"] {
            assert!(parse_metric(bad).is_err(), "{bad}");
        }
    }
}
