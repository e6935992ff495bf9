//! `lifesign import` from outside: what it prints is taken by `config check`, and refusals name the place.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

use std::path::Path;
use std::process::{Command, Output};

fn lifesign(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifesign"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    command.current_dir(folder).args(args).env_remove("LIFESIGN_ENV").env("LANG", "C").env_remove("LC_ALL");
    command.output().unwrap()
}

#[test]
fn what_is_printed_is_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lifesign.yaml");
    for (peer, input, summary) in [
        ("healthchecks", "healthchecks.json", "3 services, 1 left out, 5 details not taken over."),
        ("uptime-kuma", "uptime-kuma.json", "5 services, 1 left out, 2 details not taken over."),
        ("gatus", "gatus-config.yaml", "4 services, 2 left out, 3 details not taken over."),
    ] {
        let output = lifesign(&["import", peer, input]);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap().trim_end(), summary);
        std::fs::write(&file, &output.stdout).unwrap();
        let check = lifesign(&["config", "check", file.to_str().unwrap()]);
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
}

#[test]
fn a_file_that_is_missing_or_of_another_kind_is_refused_by_name() {
    for (args, says) in [
        (["import", "gatus", "nothing.yaml"], "nothing.yaml"),
        (["import", "gatus", "healthchecks.json"], "expected a configuration of Gatus"),
        (["import", "uptime-kuma", "gatus-config.yaml"], "expected a backup of Uptime Kuma"),
        (["import", "nagios", "gatus-config.yaml"], "possible values: healthchecks, uptime-kuma, gatus"),
    ] {
        let output = lifesign(&args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(output.stdout.is_empty());
    }
}
