//! `cargo xtask bench`: every benchmark prints a table with its ratios side by side.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::{shell, wine};

/// Name, package and bench target.
const BENCHES: &[(&str, &str)] = &[
    ("engine", "lifesign-core"),
    ("scale", "lifesign-core"),
    ("detection", "lifesign-sim"),
    ("local", "lifesign-agent"),
    ("ingest", "lifesign"),
];

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
            if *bench == "ingest" {
                nginx()?;
            }
            shell::step(
                bench,
                shell::cargo(&["bench", "--profile", "dist", "-p", package, "--bench", bench]),
            )?;
        }
    }
    Ok(())
}

/// Installs nginx, which heartbeats over HTTP are measured against, and keeps its package from starting it as a service
/// of this host: the bench starts one of its own.
fn nginx() -> anyhow::Result<()> {
    // How Debian's packages ask whether they may start what they install; 101 says no.
    const POLICY: &str = "/usr/sbin/policy-rc.d";
    let packages = ["nginx-light", "util-linux"];
    if Path::new("/usr/sbin/nginx").exists() || Path::new(POLICY).exists() {
        return shell::need_packages(&packages);
    }
    std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
    let installed = shell::output(shell::command("chmod", &["755", POLICY]))
        .and_then(|_| shell::need_packages(&packages));
    std::fs::remove_file(POLICY)?;
    installed
}

/// What this host hears and sees, on both systems: each local way, each death, and what watching costs. All tables come
/// once more at the end, with the targets.
fn local() -> anyhow::Result<()> {
    let mut report = Report::default();
    ways(None, &mut report)?;
    let death = ["bench", "--profile", "dist", "-p", "lifesign-os", "--bench", "death"];
    report.step("Deaths on Linux", shell::cargo(&death))?;
    let idle = ["bench", "--profile", "dist", "-p", "lifesign", "--bench", "idle"];
    report.step("An idle agent", shell::cargo(&idle))?;
    wine::set_up()?;
    let _server = wine::Server::start()?;
    ways(Some(wine::TARGET), &mut report)?;
    let windows = |command: &str, what: &[&str]| {
        let built = ["--profile", "dist", "-p", "lifesign-os", "--target", wine::TARGET];
        let mut cargo = shell::cargo(&[&[command], &built[..], what].concat());
        wine::environment(&mut cargo);
        cargo
    };
    // The bench starts and ends the programs of the examples.
    shell::step("build the programs that die under Wine", windows("build", &["--examples"]))?;
    report.step("Deaths on Windows (Wine)", windows("bench", &["--bench", "death"]))?;
    report.print();
    Ok(())
}

/// The tables of all benches and what they say of their targets.
#[derive(Default)]
struct Report {
    tables: String,
    targets: String,
}

impl Report {
    /// Runs a bench and keeps its table (lines with `|`) and verdicts (`PASS`, `MISS`).
    fn step(&mut self, title: &str, bench: Command) -> anyhow::Result<()> {
        let said = shell::step_with_output(title, bench)?;
        let mut is_first = true;
        for line in said.lines().map(str::trim_end) {
            if line.starts_with('|') {
                if std::mem::take(&mut is_first) {
                    self.tables += &format!("\n## {title}\n");
                }
                self.tables += &format!("{line}\n");
            } else if line.starts_with("PASS  ") || line.starts_with("MISS  ") {
                self.targets += &format!("{line}\n");
            }
        }
        Ok(())
    }

    fn print(&self) {
        println!("{}\n## Targets\n{}", self.tables, self.targets);
    }
}

/// One table of all ways of a system: that of the agent, with the row that only the whole of lifesign can give.
fn ways(target: Option<&str>, report: &mut Report) -> anyhow::Result<()> {
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
    report.step(&format!("Local ways on {system}"), bench("lifesign-agent", "local", &rows))
}
