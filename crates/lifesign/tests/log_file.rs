//! `log.file` as a user has it: the log of a running lifesign in files of a stated size, for its owner alone; and what
//! a reload says about keys that it cannot take over.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Lifesign, free_port, refused, wait_for};

fn configuration(more: &str) -> String {
    format!(
        "server: {{ listen: \"127.0.0.1:0\" }}\naccess: {{ tokens: [ {{ name: ci, role: admin, token: \"written-out\" }} ] }}\n\
         services: [ {{ id: orders, heartbeat: {{ interval: 5s }} }} ]\n{more}\n"
    )
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn standard_error(lifesign: &Lifesign) -> String {
    text(&lifesign.dir.join("stderr.log"))
}

/// Reads the configuration again; what the answer warns of.
fn reload(lifesign: &Lifesign) -> Vec<String> {
    let (status, answer) = lifesign.post("/api/v1/reload", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    answer["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_log_file_has_the_lines_of_standard_error_as_json_without_a_secret_and_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign =
        Lifesign::start(dir.path(), &configuration("log: { file: logs/lifesign.log, format: json }"));
    let path = dir.path().join("logs/lifesign.log");
    wait_for("the line that it is ready", || text(&path).contains("Lifesign is ready").then_some(()));
    lifesign.post("/api/v1/services/orders/restart", &json!({}));
    reload(&lifesign);
    wait_for("the reload's line", || text(&path).contains("Configuration reloaded").then_some(()));
    for line in text(&path).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    for secret in [lifesign.token.as_str(), "written-out"] {
        assert!(!text(&path).contains(secret), "a token stands in the log file");
    }
    wait_for("standard error has them, too", || {
        standard_error(&lifesign).contains("Configuration reloaded").then_some(())
    });
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_log_file_is_turned_over_at_its_size_and_only_so_many_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 64 * 1024;
    let more = "log: { file: lifesign.log, file_size: 64KiB, files: 2, level: trace }";
    let lifesign = Lifesign::start(dir.path(), &configuration(more));
    let file = |name: &str| -> PathBuf { dir.path().join(name) };
    wait_for("three files' worth of lines", || {
        let beat = json!({ "service_id": "orders" });
        let all: Vec<&Value> = std::iter::repeat_n(&beat, 50).collect();
        lifesign.post("/api/v1/heartbeats", &json!(all));
        reload(&lifesign);
        (standard_error(&lifesign).len() > 4 * limit).then_some(())
    });
    wait_for("the newest line", || file("lifesign.log.1").exists().then_some(()));
    assert!(!file("lifesign.log.2").exists());
    for name in ["lifesign.log", "lifesign.log.1"] {
        // For a moment there is no newest file: it has become the older one.
        let length = wait_for(name, || std::fs::metadata(file(name)).ok()).len();
        assert!(length <= limit as u64, "{name} has {length} bytes");
    }
    // Whole lines, and no escape sequences of a terminal.
    assert!(
        text(&file("lifesign.log.1")).ends_with('\n') && !text(&file("lifesign.log.1")).contains('\u{1b}')
    );
}

#[test]
fn a_log_file_that_cannot_be_written_is_a_warning_and_lifesign_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("taken")).unwrap();
    let lifesign = Lifesign::start(dir.path(), &configuration("log: { file: taken }"));
    let warning = wait_for("the warning", || {
        let said = standard_error(&lifesign);
        said.lines().find(|line| line.contains("log file cannot be written")).map(str::to_owned)
    });
    assert!(warning.contains("WARN") && warning.contains("taken"), "{warning}");
    assert_eq!(lifesign.get("/readyz").0, 200);
}

#[test]
fn why_it_could_not_start_stands_in_the_log_file() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let written = format!("server: {{ listen: \"127.0.0.1:{port}\" }}\nlog: {{ file: lifesign.log }}\n");
    let (code, said) = refused(dir.path(), &written, |_| {});
    assert_eq!(code, Some(1));
    assert_eq!(
        said.matches(&format!("failed to listen on 127.0.0.1:{port}")).count(),
        1,
        "told once: {said}"
    );
    let log = text(&dir.path().join("lifesign.log"));
    assert!(log.contains("Lifesign could not start") && log.contains("failed to listen on"), "{log}");
}

#[test]
fn a_reload_names_the_keys_that_only_a_new_start_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), &configuration(""));
    let file = dir.path().join("lifesign.yaml");
    let late = |warnings: &[String]| warnings.iter().find(|line| line.contains("new start")).cloned();
    assert_eq!(late(&reload(&lifesign)), None);

    let changed = "agent: { local: { touched: { orders: ./note }, files_every: 1s } }\nlog: { level: debug }\n\
                   trusted_proxies: [ 10.0.0.0/8 ]";
    std::fs::write(&file, configuration(changed)).unwrap();
    let warning = late(&reload(&lifesign)).unwrap();
    for key in ["`agent.local.touched`", "`agent.local.files_every`", "`log.level`", "`trusted_proxies`"] {
        assert!(warning.contains(key), "{key} in {warning}");
    }
    assert!(!warning.contains("access") && !warning.contains("services"), "{warning}");
    // In the log, too: whoever sends SIGHUP gets no answer.
    wait_for("the warning in the log", || {
        standard_error(&lifesign).contains("`agent.local.touched`").then_some(())
    });

    // A file of heartbeats for nobody changes nothing at all.
    std::fs::write(&file, configuration("agent: { local: { touched: { order: ./note } } }")).unwrap();
    let (status, answer) = lifesign.post("/api/v1/reload", &Value::Null);
    assert_eq!(status, 422);
    assert!(answer.to_string().contains("did you mean `orders`?"), "{answer}");

    // Put back, there is nothing to say.
    std::fs::write(&file, configuration("")).unwrap();
    assert_eq!(late(&reload(&lifesign)), None);
}
