//! What the project gives away works: the examples are valid.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_example_is_a_valid_configuration() {
    let mut checked = 0;
    let folders =
        ["examples", "examples/traces"].map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    for entry in folders.into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_configuration = path.extension().is_some_and(|ending| ending == "yaml" || ending == "json");
        // An overlay is no configuration by itself.
        if !is_configuration || name.matches('.').count() > 1 {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_lifesign"))
            .args(["--lang", "en", "config", "check"])
            .arg(&path)
            .env_remove("LIFESIGN_ENV")
            // The examples name secrets that a user would have.
            .envs([("LIFESIGN_TOKEN", "t"), ("SMTP_PASSWORD", "p")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} examples were found");
}
