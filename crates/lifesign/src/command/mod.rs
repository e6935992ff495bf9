//! The commands, one file for each kind.

mod act;
mod beat;
mod config;
mod discover;
mod enroll;
mod exec;
mod explain;
mod hosts;
mod import;
mod incidents;
mod service;
mod simulate;
mod status;

use crate::cli::service::Role;
use crate::cli::{AgentCommand, Cli, Command, HostsCommand};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::{sample, up};

pub(crate) use config::{lines as problem_lines, load as load_configuration};

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let lang = cli.lang();
    let json = cli.global.json;
    if let Some(server) = cli.global.server.as_deref()
        && !server.starts_with("http://")
        && !server.starts_with("https://")
    {
        let text = format!("error: {server:?} is no address of a server; write it as http://HOST:PORT");
        return Err(Failure::Configuration(text));
    }
    let remote = || Remote::new(&cli.global);
    match &cli.command {
        Command::Up(up) => up::run(up, Role::Up, lang),
        Command::Server(up) => up::run(up, Role::Server, lang),
        Command::Agent(agent) => match &agent.command {
            None => up::agent::run(&agent.up, lang),
            Some(AgentCommand::Enroll(what)) => enroll::run(what, &cli.global, lang),
        },
        Command::Hosts { command: None } => hosts::all(&remote(), lang, json),
        Command::Hosts { command: Some(HostsCommand::Token { host }) } => {
            hosts::token(&remote(), host.as_deref(), lang, json)
        }
        Command::Hosts { command: Some(HostsCommand::Revoke { host }) } => {
            hosts::revoke(&remote(), host, lang, json)
        }
        Command::Config(command) => config::run(command, lang, json),
        Command::Status { id: None } => status::all(&remote(), lang, json),
        Command::Status { id: Some(id) } => status::one(&remote(), id, lang, json),
        Command::Incidents { id: None, open } => incidents::all(&remote(), *open, lang, json),
        Command::Incidents { id: Some(id), .. } => incidents::one(&remote(), *id, lang, json),
        Command::Explain { id, at } => explain::run(&remote(), id, *at, lang, json),
        Command::Ack { id } => act::acknowledge(&remote(), *id, lang, json),
        Command::Restart { id } => act::service(&remote(), id, "restart", lang, json),
        Command::Pause { id } => act::service(&remote(), id, "pause", lang, json),
        Command::Resume { id } => act::service(&remote(), id, "resume", lang, json),
        Command::Forget { id } => act::service(&remote(), id, "forget", lang, json),
        Command::Beat { id, status, metrics, message } => {
            beat::run(&remote(), id, *status, metrics, message.as_deref(), lang, json)
        }
        Command::Exec { id, run_id, report_for, command } => {
            let job = exec::Job { id, run_id: run_id.as_deref(), report_for: *report_for, command };
            exec::run(remote(), &job, lang)
        }
        Command::Reload => act::reload(&remote(), lang, json),
        Command::Service(what) => service::run(what, lang, json),
        Command::Discover(what) => discover::run(what, lang, json),
        Command::Import(what) => import::run(what, lang, json),
        Command::Simulate(what) => simulate::run(what, lang, json),
        Command::Sample(sample) => sample::run(sample, &cli.global).map_err(Failure::from),
    }
}
