//! Rules of the house that a machine can check.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use serde_json::Value;

use crate::{notices, real_windows, shell};

#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    /// The last column of ARCHITECTURE.md's table: what a crate must never reach
    Deps,
    /// Licences of all linked crates against deny.toml; THIRD-PARTY-NOTICES.md up to date
    Licences,
    /// Each dependency stands in the root with its reason
    Reasons,
    /// Tests for real Windows are listed in docs/not-proven-under-wine.md and run by the workflow
    RealWindows,
}

pub(crate) fn run(check: &Check) -> anyhow::Result<()> {
    match check {
        Check::Deps => deps(),
        Check::Licences => licences(),
        Check::Reasons => reasons(),
        Check::RealWindows => real_windows::check(),
    }
}

/// All rules.
pub(crate) fn all() -> anyhow::Result<()> {
    deps()?;
    licences()?;
    reasons()?;
    real_windows::check()
}

/// Crate, and what it must never reach. Checked for all targets, or a Windows-only edge stays unseen.
const NEVER: &[(&str, &[&str])] = &[
    ("lifesign-core", &["tokio", "lifesign-*"]),
    ("lifesign-proto", &["tokio", "lifesign-store"]),
    ("lifesign-config", &["tokio", "lifesign-os"]),
    ("lifesign-os", &["lifesign-* except lifesign-core"]),
    ("lifesign-probe", &["lifesign-server", "lifesign-store"]),
    ("lifesign-store", &["lifesign-notify", "lifesign-probe"]),
    ("lifesign-notify", &["lifesign-store", "lifesign-probe"]),
    ("lifesign-lang", &["tokio"]),
    ("lifesign-component", &["lifesign-*"]),
    ("lifesign-tunnel", &["lifesign-*"]),
    ("lifesign-agent", &["lifesign-server"]),
    ("lifesign-server", &["lifesign-agent"]),
    ("lifesign-sim", &["tokio", "lifesign-* except lifesign-core"]),
    ("lifesign-client", &["lifesign-server", "lifesign-agent", "lifesign-store", "tokio"]),
    ("lifesign-client-ffi", &["lifesign-server", "lifesign-agent", "lifesign-store", "tokio"]),
];

/// What is built for users: the one binary, the libraries for senders, the component.
const SHIPPED: &[&str] = &["lifesign", "lifesign-client", "lifesign-client-ffi", "lifesign-component"];

/// What a selection of packages is built from, for all targets: one line each, the name first and the features
/// that are on behind a bar.
fn tree(selection: &[&str]) -> anyhow::Result<String> {
    let form =
        ["tree", "--target", "all", "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{f}"];
    shell::output(shell::cargo(&[&form, selection].concat()))
}

/// What must not be shipped, if the tree holds any: the proving ground, or an engine whose rules can be switched
/// off.
fn unshippable(tree: &str) -> Option<&'static str> {
    tree.lines().find_map(|line| {
        let (package, features) = line.rsplit_once('|').unwrap_or((line, ""));
        let mut features = features.trim_end_matches(" (*)").split(',');
        match package.split_whitespace().next()? {
            "lifesign-sim" => Some("lifesign-sim, the proving ground"),
            "lifesign-core" if features.any(|feature| feature == "mutation") => {
                Some("lifesign-core with the feature mutation: its rules could be switched off")
            }
            _ => None,
        }
    })
}

fn shipped() -> anyhow::Result<()> {
    for package in SHIPPED {
        let tree = tree(&["-p", package])?;
        ensure!(tree.starts_with(package), "cargo tree told nothing about {package}");
        if let Some(what) = unshippable(&tree) {
            bail!(
                "{package} must not be shipped with {what}: cargo tree --target all -e features -p {package}"
            );
        }
    }
    println!("    what is shipped: {} packages, with every rule of the engine fixed", SHIPPED.len());
    Ok(())
}

fn deps() -> anyhow::Result<()> {
    shipped()?;
    for (package, never) in NEVER {
        let tree = tree(&["-p", package])?;
        let reached: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| name != package)
            .collect();
        ensure!(
            !reached.is_empty() || *package == "lifesign-lang",
            "cargo tree told nothing about {package}"
        );
        for rule in *never {
            let (pattern, except) = rule.split_once(" except ").unwrap_or((rule, ""));
            let broken = reached.iter().find(|name| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start) && **name != except,
                None => **name == pattern,
            });
            if let Some(name) = broken {
                bail!("{package} must never reach {name}: cargo tree --target all -p {package} -i {name}");
            }
        }
    }
    println!("    dependency rules: {} crates keep theirs", NEVER.len());
    Ok(())
}

/// Reads a list of strings from a TOML file, as far as our own files need it.
fn toml_list(text: &str, key: &str) -> Vec<String> {
    let Some(start) = text.find(&format!("{key} = [")) else { return Vec::new() };
    let list = &text[start..];
    let end = list.find(']').unwrap_or(list.len());
    list[..end].split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn licences() -> anyhow::Result<()> {
    let deny = std::fs::read_to_string("deny.toml").context("deny.toml is missing")?;
    let allowed: BTreeSet<String> = toml_list(&deny, "allow").into_iter().collect();
    ensure!(!allowed.is_empty(), "deny.toml allows no licence at all");
    for package in notices::linked()? {
        // "A OR B" needs one allowed, "A AND B" all; the old form "A/B" means OR.
        let text = package.licence.replace('/', " OR ").replace(['(', ')'], "");
        let fine =
            text.split(" OR ").any(|choice| choice.split(" AND ").all(|name| allowed.contains(name.trim())));
        ensure!(
            fine,
            "{} {} has the licence {:?}, which deny.toml does not allow",
            package.name,
            package.version,
            package.licence
        );
    }
    notices::check()?;
    println!("    licences: all allowed by deny.toml, notices up to date");
    Ok(())
}

/// Every line of `[workspace.dependencies]` that names an outside crate ends in a comment.
fn reasons() -> anyhow::Result<()> {
    let text = std::fs::read_to_string("Cargo.toml")?;
    let section = text.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    for line in section.lines().filter(|line| line.contains(" = ") && !line.starts_with("lifesign-")) {
        ensure!(line.contains(" # "), "say in one line why this dependency is ours to carry: {line}");
    }
    let metadata: Value = serde_json::from_str(&shell::output(shell::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?)?;
    let packages = metadata["packages"].as_array().map_or(0, Vec::len);
    println!("    dependencies: every one has its reason ({packages} packages)");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_has_no_rule_that_can_be_switched_off_and_the_mutation_run_has() {
        let core = "lifesign v0.1.0 (/src/a|b)|\nlifesign-core v0.1.0 (/src/core)|";
        assert_eq!(unshippable(core), None);
        assert!(unshippable(&format!("{core}alloc,mutation (*)")).is_some());
        assert!(unshippable(&format!("{core}\nlifesign-sim v0.1.0 (/src/sim)|")).is_some());
        // As cargo itself writes it.
        let mutants = tree(&["-p", "lifesign-sim", "--features", "mutants"]).unwrap();
        let below = mutants.split_once('\n').unwrap().1;
        assert!(unshippable(below).is_some_and(|what| what.contains("mutation")), "{mutants}");
        shipped().unwrap();
    }

    #[test]
    fn a_list_of_strings_is_read_from_toml() {
        assert_eq!(
            toml_list("allow = [\n \"MIT\", # why\n \"ISC\",\n]\nother = [\"X\"]", "allow"),
            ["MIT", "ISC"]
        );
    }
}
