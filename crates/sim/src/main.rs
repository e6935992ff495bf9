//! `lifesign-sim`: runs worlds by their seeds. Usually called by `cargo xtask sim`.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its terminal")]

mod mutants;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lifesign_sim::fault::{Fault, Faults};
use lifesign_sim::oracle::Violation;
use lifesign_sim::world::plan::Plan;
use lifesign_sim::world::{Figures, World};

/// What is asked for.
struct Asked {
    seeds: u64,
    from: u64,
    trace: bool,
    without: Vec<Fault>,
    keep_going: bool,
    mutants: bool,
    /// Of the rules only this one.
    rule: Option<String>,
}

fn main() -> ExitCode {
    let asked = match read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            println!("{why}");
            return ExitCode::from(2);
        }
    };
    let fine = if asked.mutants {
        mutants::run(asked.from, asked.seeds, asked.rule.as_deref())
    } else {
        run(&asked)
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked {
        seeds: 1,
        from: 0,
        trace: false,
        without: Vec::new(),
        keep_going: false,
        mutants: false,
        rule: None,
    };
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        match arg.as_str() {
            "--seeds" => asked.seeds = number(value()?)?,
            "--from" => asked.from = number(value()?)?,
            "--seed" => {
                asked.from = number(value()?)?;
                asked.seeds = 1;
            }
            "--without" => {
                let word = value()?;
                let fault = Fault::ALL.iter().copied().find(|fault| fault.word() == word);
                asked.without.push(fault.ok_or_else(|| format!("no kind of fault is called {word:?}"))?);
            }
            "--trace" => asked.trace = true,
            "--mutants" => asked.mutants = true,
            "--rule" => asked.rule = Some(value()?),
            "--keep-going" => asked.keep_going = true,
            _ => {
                return Err(format!(
                    "{arg}: what is that? --seeds N [--from S] | --seed S [--trace], --without FAULT, --keep-going, --mutants [--rule NAME]"
                ));
            }
        }
    }
    Ok(asked)
}

fn world(seed: u64, faults: Faults, trace: bool) -> (Figures, Result<(), Violation>, String) {
    World::new(Plan::of_seed(seed, faults), trace).run()
}

fn run(asked: &Asked) -> bool {
    let began = Instant::now();
    let next = AtomicU64::new(asked.from);
    let end = asked.from.saturating_add(asked.seeds);
    let stop = AtomicBool::new(false);
    let total = Mutex::new((Figures::default(), Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut figures = Figures::default();
                let mut found = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let faults =
                        asked.without.iter().fold(Faults::of_seed(seed), |all, one| all.without(*one));
                    let (one, result, trace) = world(seed, faults, asked.trace);
                    figures.add(&one);
                    if asked.trace {
                        println!("{trace}");
                    }
                    if let Err(violation) = result {
                        found.push((seed, violation));
                        stop.store(!asked.keep_going, Ordering::Relaxed);
                    }
                }
                if let Ok(mut total) = total.lock() {
                    total.0.add(&figures);
                    total.1.append(&mut found);
                }
            });
        }
    });
    let Ok((figures, mut found)) = total.into_inner() else { return false };
    found.sort_by_key(|(seed, _)| *seed);
    print_figures(&figures, began.elapsed());
    for (seed, violation) in &found {
        println!("seed {seed}: {violation}");
    }
    for (seed, _) in found.iter().take(if asked.keep_going { 0 } else { 1 }) {
        explain(*seed, asked);
    }
    found.is_empty()
}

fn print_figures(figures: &Figures, took: Duration) {
    println!(
        "{} worlds, {:.0} a second, {:.0} days of virtual time, {} steps",
        figures.worlds,
        figures.worlds as f64 / took.as_secs_f64(),
        figures.simulated.as_secs_f64() / 86_400.0,
        figures.steps
    );
    println!(
        "{} heartbeats, {} deaths, {} hangs and lies; lifesign itself: {} stalls, {} restarts",
        figures.beats, figures.deaths, figures.hangs, figures.stalls, figures.restarts
    );
    println!(
        "{} closed incidents ({} of hosts and networks), {} restarts of services, {} notifications",
        figures.incidents, figures.group_incidents, figures.actions, figures.notifications
    );
}

/// Which kinds of fault a violation needs, and what happened before it.
fn explain(seed: u64, asked: &Asked) {
    let all = asked.without.iter().fold(Faults::of_seed(seed), |all, one| all.without(*one));
    let Err(first) = world(seed, all, false).1 else { return };
    let mut needed = all;
    for fault in all.iter() {
        let still = world(seed, needed.without(fault), false).1;
        if still.is_err_and(|violation| violation.rule == first.rule) {
            needed = needed.without(fault);
        }
    }
    let (_, result, trace) = world(seed, needed, true);
    let lines: Vec<&str> = trace.lines().collect();
    println!("\nthe last of what happened:");
    for line in &lines[lines.len().saturating_sub(40)..] {
        println!("{line}");
    }
    if let Err(violation) = result {
        println!("\nseed {seed}: {violation}");
    }
    println!("needs these kinds of fault: {needed}");
    let without: Vec<String> =
        all.iter().filter(|fault| !needed.has(*fault)).map(|fault| format!(" --without {fault}")).collect();
    println!("again with: cargo xtask sim --seed {seed} --trace{}", without.concat());
}
