//! `cargo xtask bench`: every benchmark prints a table with its ratios side by side.

use anyhow::bail;

use crate::{shell, wine};

/// Name, package and bench target.
const BENCHES: &[(&str, &str)] =
    &[("engine", "lifesign-core"), ("detection", "lifesign-sim"), ("local", "lifesign-agent")];

pub(crate) fn run(name: Option<&str>) -> anyhow::Result<()> {
    let wanted: Vec<_> = BENCHES.iter().filter(|(bench, _)| name.is_none_or(|name| name == *bench)).collect();
    if wanted.is_empty() {
        let known: Vec<&str> = BENCHES.iter().map(|(bench, _)| *bench).collect();
        bail!("no benchmark of this name; there are: {}", known.join(", "));
    }
    for (bench, package) in wanted {
        if *bench == "local" {
            local()?;
        } else {
            shell::step(
                bench,
                shell::cargo(&["bench", "--profile", "dist", "-p", package, "--bench", bench]),
            )?;
        }
    }
    Ok(())
}

/// What this host hears and sees, on both systems: each local way, then each death.
fn local() -> anyhow::Result<()> {
    ways(None)?;
    let death = ["bench", "--profile", "dist", "-p", "lifesign-os", "--bench", "death"];
    shell::step("deaths on Linux", shell::cargo(&death))?;
    wine::set_up()?;
    let _server = wine::Server::start()?;
    ways(Some(wine::TARGET))?;
    let windows = |command: &str, what: &[&str]| {
        let built = ["--profile", "dist", "-p", "lifesign-os", "--target", wine::TARGET];
        let mut cargo = shell::cargo(&[&[command], &built[..], what].concat());
        wine::environment(&mut cargo);
        cargo
    };
    // The bench starts and ends the programs of the examples.
    shell::step("build the programs that die under Wine", windows("build", &["--examples"]))?;
    shell::step("deaths on Windows (Wine)", windows("bench", &["--bench", "death"]))
}

/// One table of all ways of a system: that of the agent, with the row that only the whole of lifesign can give.
fn ways(target: Option<&str>) -> anyhow::Result<()> {
    let bench = |package, bench: &str, more: &[&str]| {
        let mut cargo = shell::cargo(&["bench", "--profile", "dist", "-p", package, "--bench", bench]);
        if let Some(target) = target {
            cargo.args(["--target", target]);
            wine::environment(&mut cargo);
        }
        cargo.arg("--").args(more);
        cargo
    };
    let said = shell::output(bench("lifesign", "http", &[]))?;
    let rows: Vec<String> = said
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| format!("--row={}", line.trim_end()))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let system = if target.is_some() { "Windows (Wine)" } else { "Linux" };
    shell::step(&format!("local ways on {system}"), bench("lifesign-agent", "local", &rows))
}
