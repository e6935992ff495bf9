//! The simulation, built for speed and run on every core.

use std::process::Stdio;

use anyhow::ensure;

use crate::shell;

/// What is passed on to `lifesign-sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sim {
    /// How many worlds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One world alone
    #[arg(long, conflicts_with_all = ["seeds", "from", "mutants"])]
    seed: Option<u64>,
    /// Print what happens in it
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Without this kind of fault; may be given again
    #[arg(long)]
    without: Vec<String>,
    /// Go on after a violation and list them all
    #[arg(long)]
    keep_going: bool,
    /// Switch each rule of the engine off in turn: the worlds must notice
    #[arg(long)]
    mutants: bool,
}

impl Sim {
    /// What CI runs.
    pub(crate) fn of_ci() -> Self {
        Self {
            seeds: 10_000,
            from: 0,
            seed: None,
            trace: false,
            without: Vec::new(),
            keep_going: false,
            mutants: false,
        }
    }
}

/// Builds and runs it.
pub(crate) fn run(asked: &Sim) -> anyhow::Result<()> {
    let mut args: Vec<String> =
        ["run", "--release", "--quiet", "-p", "lifesign-sim"].map(str::to_owned).into();
    if asked.mutants {
        args.extend(["--features".to_owned(), "mutants".to_owned()]);
    }
    args.push("--".to_owned());
    match asked.seed {
        Some(seed) => args.extend(["--seed".to_owned(), seed.to_string()]),
        None => args.extend([
            "--seeds".to_owned(),
            asked.seeds.to_string(),
            "--from".to_owned(),
            asked.from.to_string(),
        ]),
    }
    for (flag, on) in
        [("--trace", asked.trace), ("--keep-going", asked.keep_going), ("--mutants", asked.mutants)]
    {
        if on {
            args.push(flag.to_owned());
        }
    }
    for fault in &asked.without {
        args.extend(["--without".to_owned(), fault.clone()]);
    }
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let status = shell::cargo(&words).stdout(Stdio::inherit()).status()?;
    ensure!(status.success(), "the simulation found something, or could not be run");
    Ok(())
}
