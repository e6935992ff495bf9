//! The crates that are linked into lifesign, and the notices their licences ask for.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{shell, wine};

const FILE: &str = "THIRD-PARTY-NOTICES.md";

/// An outside crate that is part of the binary on Linux or Windows.
pub(crate) struct Linked {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
    authors: String,
}

/// All of them, sorted by name.
pub(crate) fn linked() -> anyhow::Result<Vec<Linked>> {
    let metadata: Value =
        serde_json::from_str(&shell::output(shell::cargo(&["metadata", "--format-version", "1"]))?)?;
    let mut about: BTreeMap<(String, String), &Value> = BTreeMap::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists no packages")? {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        about.insert((text("name"), text("version")), package);
    }
    let mut names: Vec<(String, String)> = Vec::new();
    for target in ["x86_64-unknown-linux-gnu", wine::TARGET] {
        let tree = shell::output(shell::cargo(&[
            "tree", "--target", target, "--edges", "normal", "--prefix", "none", "--format", "{p}", "-p",
            "lifesign",
        ]))?;
        for line in tree.lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(version)) = (words.next(), words.next()) {
                names.push((name.to_owned(), version.trim_start_matches('v').to_owned()));
            }
        }
    }
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|(name, _)| name != "lifesign" && !name.starts_with("lifesign-"))
        .map(|key| {
            let package =
                about.get(&key).with_context(|| format!("cargo metadata knows no {} {}", key.0, key.1))?;
            let licence = package["license"].as_str().unwrap_or_default().to_owned();
            ensure!(!licence.is_empty(), "{} {} names no licence", key.0, key.1);
            let authors: Vec<&str> =
                package["authors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            // Addresses of people have no place in our files.
            let authors = authors
                .iter()
                .map(|author| author.split('<').next().unwrap_or_default().trim())
                .collect::<Vec<_>>()
                .join(", ");
            Ok(Linked { name: key.0, version: key.1, licence, authors })
        })
        .collect()
}

fn text() -> anyhow::Result<String> {
    let mut text = String::from(
        "# Third-party notices\n\nlifesign is linked from these crates. Each is used under the licence named here; where several are\noffered, under one of those that `deny.toml` allows. Written by `cargo xtask notices`.\n\n| crate | licence | authors |\n|---|---|---|\n",
    );
    for package in linked()? {
        let authors = if package.authors.is_empty() { "its contributors" } else { &package.authors };
        text.push_str(&format!("| {} | {} | {authors} |\n", package.name, package.licence));
    }
    Ok(text)
}

/// Writes the file.
pub(crate) fn write() -> anyhow::Result<()> {
    std::fs::write(FILE, text()?).with_context(|| format!("failed to write {FILE}"))
}

/// Fails when the file does not say what is linked.
pub(crate) fn check() -> anyhow::Result<()> {
    let written = std::fs::read_to_string(FILE).unwrap_or_default();
    ensure!(written == text()?, "{FILE} is out of date; write it anew: cargo xtask notices");
    Ok(())
}
