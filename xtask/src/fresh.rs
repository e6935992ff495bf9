//! README's two commands in a fresh clone, as a new user runs them.

use anyhow::Context;

use crate::shell;

pub(crate) fn run() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("lifesign-fresh-{}", std::process::id()));
    let source = shell::root();
    shell::step(
        "clone",
        shell::command("git", &["clone", "--quiet", &source.to_string_lossy(), &folder.to_string_lossy()]),
    )?;
    let mut build = shell::cargo(&["build", "--release"]);
    build.current_dir(&folder).env_remove("CARGO_TARGET_DIR");
    shell::step("cold build of the binary", build)?;
    let mut check = shell::cargo(&["run", "--release", "--", "config", "check", "examples/quickstart.yaml"]);
    check.current_dir(&folder).env_remove("CARGO_TARGET_DIR");
    shell::step("the quickstart's configuration", check)?;
    let mut test = shell::cargo(&["xtask", "test"]);
    test.current_dir(&folder).env_remove("CARGO_TARGET_DIR");
    shell::step("all tests", test)?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))
}
