//! `cargo xtask test`: everything CI runs, in the order in which it fails fastest.

use std::process::Command;
use std::time::Instant;

use anyhow::Context;

use crate::{browser, check, instructions, shell, sim, wine};

/// Crates whose tests run under Wine too: what has a Windows half, and the parts everything stands on.
const ON_WINDOWS: &[&str] = &[
    "lifesign-core",
    "lifesign-os",
    "lifesign-store",
    "lifesign-agent",
    "lifesign-client",
    "lifesign-client-ffi",
    "lifesign",
];

pub(crate) fn run(quick: bool) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut summaries: Vec<String> = Vec::new();

    need_nextest()?;
    if !quick {
        // A real systemd, a real SMTP server, a balancer and a proxy for the link, and what their scripts call.
        let packages = [
            "systemd",
            "dbus",
            "polkitd",
            "util-linux",
            "procps",
            "iproute2",
            "python3",
            "opensmtpd",
            "nginx-light",
            "tinyproxy",
        ];
        shell::need_packages(&packages)?;
        shell::step("tools of the examples", shell::command("sh", &["scripts/examples-setup.sh"]))?;
        shell::step("clients of other monitors", shell::command("sh", &["scripts/peers-setup.sh"]))?;
        wine::set_up()?;
        browser::set_up()?;
    }

    shell::step("format", shell::cargo(&["fmt", "--all", "--check"]))?;
    println!("\n==> rules of the house");
    if !quick {
        check::all()?;
    }
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    shell::step("lints (Linux)", shell::cargo(&clippy))?;

    if quick {
        let mut nextest = shell::cargo(&["nextest", "run", "--workspace", "--profile", "quick"]);
        nextest.env("RUST_BACKTRACE", "1");
        summaries.push(summary(&shell::step_with_output("unit, property and simulation tests", nextest)?));
        return finish(begin, &summaries);
    }

    let mut clippy = shell::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--target",
        wine::TARGET,
        "--",
        "-D",
        "warnings",
    ]);
    wine::environment(&mut clippy);
    shell::step("lints (Windows)", clippy)?;
    let mut doc = shell::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    // Headers name the private modules of their own folder; the book is for those who change it.
    doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    shell::step("documentation", doc)?;

    shell::step("build the binary", shell::cargo(&["build", "--workspace", "--all-targets"]))?;
    let nextest = shell::cargo(&["nextest", "run", "--workspace", "--profile", "ci"]);
    summaries.push(summary(&shell::step_with_output(
        "tests on Linux: unit, property, systemd, SMTP, kills",
        nextest,
    )?));
    let doctests =
        shell::step_with_output("documentation tests", shell::cargo(&["test", "--workspace", "--doc"]))?;
    summaries.push(doctest_summary(&doctests));

    println!("\n==> instructions of the hot path");
    instructions::run()?;
    println!("\n==> ten thousand worlds against the oracle");
    sim::run(&sim::Sim::of_ci())?;
    summaries.push(on_windows()?);
    summaries.push(browser::run(false)?);
    finish(begin, &summaries)
}

/// Tests and the main story under Wine.
fn on_windows() -> anyhow::Result<String> {
    let packages = ON_WINDOWS.iter().flat_map(|package| ["-p", package]);
    let mut build = shell::cargo(&["build", "--all-targets", "--target", wine::TARGET]);
    build.args(packages.clone());
    wine::environment(&mut build);
    shell::step("build for Windows", build)?;
    let mut example = shell::command("sh", &["scripts/c-example-windows.sh"]);
    wine::environment(&mut example);
    shell::step("the example in C for Windows", example)?;
    let _server = wine::Server::start()?;
    let mut nextest: Command =
        shell::cargo(&["nextest", "run", "--target", wine::TARGET, "--profile", "wine"]);
    nextest.args(packages);
    wine::environment(&mut nextest);
    Ok(summary(&shell::step_with_output("tests on Windows (Wine)", nextest)?))
}

fn finish(begin: Instant, summaries: &[String]) -> anyhow::Result<()> {
    println!("\n==> all passed in {:.0} s", begin.elapsed().as_secs_f64());
    for summary in summaries {
        println!("{summary}");
    }
    Ok(())
}

/// nextest's own closing line.
fn summary(output: &str) -> String {
    output
        .lines()
        .map(plain)
        .rfind(|line| line.trim_start().starts_with("Summary ["))
        .unwrap_or_else(|| "the test runner closed without a summary".to_owned())
}

fn doctest_summary(output: &str) -> String {
    output
        .lines()
        .rfind(|line| line.starts_with("test result:"))
        .unwrap_or("no documentation tests")
        .to_owned()
}

/// `text` without terminal colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for c in text.chars() {
        match (inside, c) {
            (false, '\u{1b}') => inside = true,
            (true, 'm') => inside = false,
            (false, c) => plain.push(c),
            (true, _) => {}
        }
    }
    plain
}

fn need_nextest() -> anyhow::Result<()> {
    let there = shell::cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    if there {
        return Ok(());
    }
    shell::step("install the test runner", shell::cargo(&["install", "--locked", "cargo-nextest"]))
        .context("cargo-nextest is needed: cargo install --locked cargo-nextest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_runners_own_closing_line() {
        let output = "PASS x\n\u{1b}[32;1m     Summary\u{1b}[0m [   1.0s] 7 tests run: 7 passed, 0 skipped\n";
        assert_eq!(summary(output).trim(), "Summary [   1.0s] 7 tests run: 7 passed, 0 skipped");
    }
}
