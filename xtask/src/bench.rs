//! `cargo xtask bench`: every benchmark prints a table with its ratios side by side.

use anyhow::bail;

use crate::shell;

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
        shell::step(bench, shell::cargo(&["bench", "--profile", "dist", "-p", package, "--bench", bench]))?;
    }
    Ok(())
}
