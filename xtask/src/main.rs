//! The workbench: `cargo xtask test` is what CI runs, and everything it needs it installs itself.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod bench;
mod browser;
mod check;
mod coverage;
mod fresh;
mod instructions;
mod notices;
mod real_windows;
mod shell;
mod sim;
mod test;
mod wine;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Tests, benches and rules of lifesign")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Format, lints for both targets, all tests; installs what is missing
    Test {
        /// Only what needs no other system: format, lints, unit, property and simulation tests
        #[arg(long)]
        quick: bool,
    },
    /// One rule of the house
    #[command(subcommand)]
    Check(check::Check),
    /// The benchmarks, as tables
    Bench {
        /// Which: engine, scale, detection, local, ingest; without it all
        name: Option<String>,
    },
    /// Browser tests alone, against a lifesign started for them
    Browser {
        /// Also write the screenshots of README and guide
        #[arg(long)]
        screenshots: bool,
    },
    /// What the pieces of the hot path cost in instructions, against what is written down
    Instructions,
    /// Branches of the engine that its tests reach, and those they do not
    Coverage,
    /// Clones the repository into an empty folder and runs README's commands there
    Fresh,
    /// Random worlds against an oracle that knows the truth
    Sim(sim::Sim),
    /// Writes THIRD-PARTY-NOTICES.md from the crates that are linked
    Notices,
}

fn main() -> anyhow::Result<()> {
    std::env::set_current_dir(shell::root())?;
    match Cli::parse().command {
        Command::Test { quick } => test::run(quick),
        Command::Check(check) => check::run(&check),
        Command::Bench { name } => bench::run(name.as_deref()),
        Command::Browser { screenshots } => browser::run(screenshots).map(|summary| println!("{summary}")),
        Command::Instructions => instructions::run(),
        Command::Coverage => coverage::run(),
        Command::Fresh => fresh::run(),
        Command::Sim(asked) => sim::run(&asked),
        Command::Notices => notices::write(),
    }
}
