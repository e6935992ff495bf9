//! `cargo xtask coverage`: how many branches of the engine its tests reach, and which they do not.
//!
//! Branch coverage needs the nightly compiler and `cargo-llvm-cov`; both are installed when they are missing.
//! What no test reaches is printed with its line, and must stand with its reason in `docs/coverage.md`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::shell;

/// The page with the reasons.
const REASONS: &str = "docs/coverage.md";

/// One condition that was never both true and false.
struct Gap {
    line: usize,
    missing: &'static str,
    text: String,
}

pub(crate) fn run() -> anyhow::Result<()> {
    install()?;
    let report = shell::root().join("target/coverage.json");
    let path = report.display().to_string();
    let packages = ["-p", "lifesign-core"];
    let mut arguments = vec!["+nightly", "llvm-cov", "test", "--branch", "--json", "--output-path", &path];
    arguments.extend(packages);
    // The compiler that runs us must not choose the one that measures.
    let mut command = shell::command("cargo", &arguments);
    for name in ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    shell::step("tests of core and sim, every branch counted", command)?;
    let report: Value = serde_json::from_str(&fs::read_to_string(report)?)?;
    let reasons = fs::read_to_string(shell::root().join(REASONS)).unwrap_or_default();

    println!("\n{:<36} {:>8} {:>16}", "file", "lines", "branches");
    let (mut covered, mut count, mut gaps) = (0, 0, BTreeMap::new());
    let files = report["data"][0]["files"].as_array().context("the report names no files")?;
    for file in files {
        let name = file["filename"].as_str().unwrap_or_default().replace('\\', "/");
        let Some((_, short)) = name.split_once("crates/core/src/") else { continue };
        let summary = &file["summary"];
        let (reached, all) = (number(&summary["branches"]["covered"]), number(&summary["branches"]["count"]));
        covered += reached;
        count += all;
        println!(
            "{short:<36} {:>7.1}% {:>9}/{:<4} {:>3}%",
            summary["lines"]["percent"].as_f64().unwrap_or_default(),
            reached,
            all,
            (reached * 100).checked_div(all).unwrap_or(100)
        );
        let found = find_gaps(file, &name)?;
        if !found.is_empty() {
            gaps.insert(short.to_owned(), found);
        }
    }
    println!("{:<36} {:>8} {covered:>9}/{count:<4} {:>3}%", "all of core", "", covered * 100 / count.max(1));

    let mut without = 0;
    println!("\nNot reached (reasons: {REASONS}):");
    for (file, gaps) in &gaps {
        for gap in gaps {
            let known = reasons.contains(&format!("`{}`", gap.text));
            without += usize::from(!known);
            let mark = if known { " " } else { "!" };
            println!("{mark} {file}:{}: never {}: {}", gap.line, gap.missing, gap.text);
        }
    }
    ensure!(
        without == 0,
        "{without} conditions marked ! have no reason in {REASONS}: write a test, or the line in backticks and why"
    );
    Ok(())
}

fn install() -> anyhow::Result<()> {
    if !shell::command("cargo", &["llvm-cov", "--version"]).output().is_ok_and(|out| out.status.success()) {
        let install = shell::command("cargo", &["install", "--locked", "cargo-llvm-cov"]);
        shell::step("install cargo-llvm-cov", install)?;
    }
    let add = ["component", "add", "llvm-tools-preview", "--toolchain", "nightly"];
    shell::step("the nightly compiler's coverage tools", shell::command("rustup", &add))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The conditions of one file that only ever went one way, or none.
fn find_gaps(file: &Value, name: &str) -> anyhow::Result<Vec<Gap>> {
    let source = fs::read_to_string(name).with_context(|| format!("failed to read {name}"))?;
    let lines: Vec<&str> = source.lines().collect();
    // Tests inside the file are no part of what is measured.
    let tests = lines.iter().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(lines.len());
    // A generic function is listed once for each type: a branch taken for one of them is taken.
    let mut places: BTreeMap<(usize, u64), (u64, u64)> = BTreeMap::new();
    for branch in file["branches"].as_array().into_iter().flatten() {
        let line = usize::try_from(number(&branch[0])).unwrap_or_default();
        let taken = places.entry((line, number(&branch[1]))).or_default();
        taken.0 += number(&branch[4]);
        taken.1 += number(&branch[5]);
    }
    Ok(places
        .into_iter()
        .filter(|((line, _), (yes, no))| *line <= tests && (*yes == 0 || *no == 0))
        .map(|((line, _), (yes, no))| Gap {
            line,
            missing: match (yes, no) {
                (0, 0) => "looked at",
                (0, _) => "true",
                _ => "false",
            },
            text: lines.get(line.wrapping_sub(1)).unwrap_or(&"").trim().to_owned(),
        })
        .collect())
}
