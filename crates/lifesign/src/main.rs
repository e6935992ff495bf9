//! lifesign: the only binary. Command line and composition; no domain logic.

mod cli;
mod command;
mod data;
mod event_id;
mod failure;
mod logging;
mod moment;
mod print;
mod remote;
mod sample;
mod service_main;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are answers, everything else is wrong usage.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let lang = cli.lang();
    let result = command::run(cli);
    logging::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::error(lang, &failure);
            failure.exit_code()
        }
    }
}
