//! `cargo xtask coverage`: how many branches of the engine its tests reach, and which they do not.
//!
//! Branch coverage needs the nightly compiler and `cargo-llvm-cov`; both are installed when they are missing.
//! Counted are core's own tests, the simulator's quick ones, and some hundred of its worlds. What nothing reaches
//! is printed with its line, and must stand with its reason in `docs/coverage.md`: under a heading that names the
//! file, the line in backticks. A reason for something that is reached, or gone, is an error too.
//!
//! The switches of the mutation run (`on(Rule::…)`) are no branches of the engine: in what is shipped they are
//! constants. That each of them matters is what `cargo xtask sim --mutants` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::shell;

/// The page with the reasons.
const REASONS: &str = "docs/coverage.md";
/// Worlds that are run: few enough for a build that is not optimised.
const WORLDS: &str = "300";

/// One condition.
#[derive(Debug)]
struct Condition {
    line: usize,
    /// How often it was true, and false.
    taken: (u64, u64),
    /// The line it begins on.
    text: String,
}

impl Condition {
    /// Which way it never went.
    fn missing(&self) -> Option<&'static str> {
        match self.taken {
            (0, 0) => Some("looked at"),
            (0, _) => Some("true"),
            (_, 0) => Some("false"),
            _ => None,
        }
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    install()?;
    let report = measure()?;
    let report: Value = serde_json::from_str(&fs::read_to_string(report)?)?;
    let page = fs::read_to_string(shell::root().join(REASONS)).unwrap_or_default();
    let mut reasons = reasons(&page);

    println!("\n{:<36} {:>8} {:>16}", "file", "lines", "branches");
    let (mut reached, mut all, mut gaps) = (0, 0, Vec::new());
    let files = report["data"][0]["files"].as_array().context("the report names no files")?;
    for file in files {
        let name = file["filename"].as_str().unwrap_or_default().replace('\\', "/");
        let Some((_, short)) = name.split_once("crates/core/src/") else { continue };
        if is_test(Path::new(&name)) {
            continue;
        }
        let source = fs::read_to_string(&name).with_context(|| format!("failed to read {name}"))?;
        let conditions = conditions(file, &source);
        let ways =
            |condition: &Condition| usize::from(condition.taken.0 > 0) + usize::from(condition.taken.1 > 0);
        let (here, of) = (conditions.iter().map(ways).sum::<usize>(), conditions.len() * 2);
        reached += here;
        all += of;
        println!(
            "{short:<36} {:>7.1}% {here:>9}/{of:<4} {:>3}%",
            file["summary"]["lines"]["percent"].as_f64().unwrap_or_default(),
            (here * 100).checked_div(of).unwrap_or(100)
        );
        let found = conditions.into_iter().filter(|condition| condition.missing().is_some());
        gaps.extend(found.map(|condition| (short.to_owned(), condition)));
    }
    println!("{:<36} {:>8} {reached:>9}/{all:<4} {:>3}%", "all of core", "", reached * 100 / all.max(1));

    println!("\nNot reached (reasons: {REASONS}):");
    let (mut without, mut used) = (0, BTreeSet::new());
    for (file, gap) in &gaps {
        let place = (file.clone(), gap.text.clone());
        let known = reasons.contains(&place);
        without += usize::from(!known);
        used.insert(place);
        let mark = if known { " " } else { "!" };
        println!("{mark} {file}:{}: never {}: {}", gap.line, gap.missing().unwrap_or_default(), gap.text);
    }
    reasons.retain(|place| !used.contains(place));
    for (file, text) in &reasons {
        println!("? {file}: reached, or gone: {text}");
    }
    ensure!(
        without == 0,
        "{without} conditions marked ! have no reason in {REASONS}: write a test, or under the file's heading the \
         line in backticks and why"
    );
    ensure!(reasons.is_empty(), "{} reasons marked ? in {REASONS} are needed no more", reasons.len());
    Ok(())
}

/// Runs the tests; returns the report's path.
fn measure() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| shell::root().join("target"), |folder| shell::root().join(folder));
    fs::create_dir_all(&folder)?;
    let report = folder.join("coverage.json");
    let path = report.display().to_string();
    let llvm_cov = |arguments: &[&str]| -> Command {
        let mut command = shell::command("cargo", &["+nightly", "llvm-cov"]);
        command.args(arguments);
        // The compiler that runs us must not choose the one that measures.
        for name in ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(name);
        }
        command
    };
    shell::step("forget what was counted before", llvm_cov(&["clean", "--workspace", "--profraw-only"]))?;
    let counted = ["--branch", "--no-report"];
    let mut tests = llvm_cov(&["test"]);
    tests.args(counted).args(["-p", "lifesign-core"]);
    shell::step("tests of core, every branch counted", tests)?;
    let mut quick = llvm_cov(&["test"]);
    quick.args(counted).args(["-p", "lifesign-sim", "--lib", "--test", "own_absence"]);
    shell::step("quick tests of the simulator, every branch counted", quick)?;
    let mut worlds = llvm_cov(&["run"]);
    worlds.args(counted).args(["-p", "lifesign-sim", "--", "--seeds", WORLDS]);
    shell::step("worlds of the simulator, every branch counted", worlds)?;
    let report_it = llvm_cov(&["report", "--branch", "--json", "--output-path", &path]);
    shell::step("the report", report_it)?;
    Ok(report)
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

/// The conditions of one file, its tests and the switches of the mutation run left out.
fn conditions(file: &Value, source: &str) -> Vec<Condition> {
    let lines: Vec<&str> = source.lines().collect();
    // Tests inside the file are no part of what is measured.
    let tests = lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1].ends_with('{'));
    let tests = tests.unwrap_or(lines.len());
    // A function is listed once for each type and each program: a branch taken in one of them is taken.
    let mut places: BTreeMap<(usize, usize), (u64, u64)> = BTreeMap::new();
    for branch in file["branches"].as_array().into_iter().flatten() {
        let place = |at: usize| usize::try_from(number(&branch[at])).unwrap_or_default().wrapping_sub(1);
        let taken = places.entry((place(0), place(1))).or_default();
        taken.0 += number(&branch[4]);
        taken.1 += number(&branch[5]);
    }
    places
        .into_iter()
        .filter(|((line, _), _)| *line < tests)
        .filter_map(|((line, column), taken)| {
            let text = lines.get(line)?;
            let switch =
                text.get(column..).is_some_and(|rest| rest.trim_start_matches('!').starts_with("on(Rule::"));
            (!switch).then(|| Condition { line: line + 1, taken, text: text.trim().to_owned() })
        })
        .collect()
}

/// Whether a file is compiled for tests only, as the module above it says.
fn is_test(file: &Path) -> bool {
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem().and_then(|stem| stem.to_str())) else {
        return false;
    };
    let says = format!("#[cfg(test)]\nmod {stem};");
    ["mod.rs", "lib.rs"]
        .iter()
        .any(|above| fs::read_to_string(folder.join(above)).is_ok_and(|source| source.contains(&says)))
}

/// File and line of each reason: what stands in backticks at the beginning of an item, below a heading in
/// backticks.
fn reasons(page: &str) -> BTreeSet<(String, String)> {
    let mut file = String::new();
    let mut found = BTreeSet::new();
    for line in page.lines() {
        let quoted = |start: &str| {
            let rest = line.strip_prefix(start)?.strip_prefix('`')?;
            rest.split_once('`').map(|(text, _)| text.to_owned())
        };
        if let Some(name) = quoted("### ") {
            file = name;
        } else if let Some(text) = quoted("- ") {
            found.insert((file.clone(), text));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_belongs_to_its_file_and_to_the_line_in_backticks() {
        let page = "# Title\n\n### `engine/mod.rs`\n\n- `if a {`: why, `b`\n- no code\n\n### `flap.rs`\n- `x` - so\n";
        let found: Vec<(String, String)> = reasons(page).into_iter().collect();
        let place = |file: &str, text: &str| (file.to_owned(), text.to_owned());
        assert_eq!(found, [place("engine/mod.rs", "if a {"), place("flap.rs", "x")]);
    }

    #[test]
    fn conditions_of_all_instances_are_one_and_switches_and_tests_are_none() {
        let source = "fn f() {\n    if a && on(Rule::Cap) {\n    }\n    if b {}\n}\n#[cfg(test)]\nmod tests {\n    if c {}\n}\n";
        let file = serde_json::json!({ "branches": [
            [2, 8, 2, 9, 3, 0], [2, 8, 2, 9, 0, 1], [2, 13, 2, 26, 5, 0], [4, 8, 4, 9, 2, 0], [8, 8, 8, 9, 0, 0],
        ] });
        let found = conditions(&file, source);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].missing(), found[1].missing()), (None, Some("false")));
        assert_eq!((found[1].line, found[1].text.as_str()), (4, "if b {}"));
    }
}
