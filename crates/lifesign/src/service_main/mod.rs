//! Being a service: what `lifesign up` does for the service manager while it works, and the wrapper of other programs.

mod care;
mod heart;
mod hold;
mod wrapped;

use std::io;

use lifesign_lang::Lang;
use lifesign_os::service::host;

pub(crate) use self::care::{take_care, take_care_of_agent};
pub(crate) use self::hold::Hold;

use crate::cli::service::{Role, Run, RunWrapped};
use crate::failure::Failure;
use crate::{event_id, logging, print, up};

/// How a service manager is to start lifesign in a role: Windows through [`run`], whose first act is to connect to it;
/// systemd like anybody, as its protocol needs no preparation.
pub(crate) fn command_of(name: &str, role: Role) -> Vec<String> {
    let words: &[&str] =
        if cfg!(windows) { &["service", "run", name, "--role", role.word()] } else { &[role.word()] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs lifesign as the service manager started it.
pub(crate) fn run(what: &Run, lang: Lang) -> Result<(), Failure> {
    logging::open_system_log(&what.name);
    let (up, role) = (what.up.clone(), what.role);
    end(host::run(&what.name, move |host| {
        let result = match role {
            Role::Up | Role::Server => up::run_under(host, &up, role, lang),
            Role::Agent => up::agent::run_under(host, &up, lang),
        };
        outcome(lang, result)
    }))
}

/// Runs a wrapped program as the service manager started its wrapper.
pub(crate) fn run_wrapped(what: &RunWrapped, lang: Lang) -> Result<(), Failure> {
    logging::open_system_log(&what.name);
    let wrapped = what.clone();
    end(host::run(&what.name, move |host| {
        let result = wrapped::run(host, &wrapped);
        if let Err(failure) = &result {
            logging::fail(event_id::START_FAILED, &failure.to_string());
        }
        outcome(lang, result)
    }))
}

/// The exit code; what went wrong stands in the log by then.
fn outcome(lang: Lang, result: Result<(), Failure>) -> u8 {
    let code = match result {
        Ok(()) => 0,
        Err(failure) => {
            print::error(lang, &failure);
            failure.code()
        }
    };
    // Before the manager hears of the end, as it may end the process then.
    logging::finish();
    code
}

/// The process ends with the code that the service manager was told.
fn end(code: io::Result<u8>) -> Result<(), Failure> {
    match code {
        Ok(0) => Ok(()),
        Ok(code) => std::process::exit(code.into()),
        Err(error) => Err(Failure::Failed(
            anyhow::Error::new(error).context("the service manager did not take lifesign"),
        )),
    }
}
