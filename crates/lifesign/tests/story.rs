//! The main job, end to end, on whatever system this runs: watch, detect, restart, tell, show.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

mod support;

use std::time::Instant;

use serde_json::json;
use support::mailbox::Mailbox;
use support::{Hook, Lifesign, free_port, kill_process, wait_for};

fn configuration(web_port: u16, hook: &str, hang_file: &str) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
services:
  - id: web
    unit: {{ process: ["${{self}}", sample, web, --port, "{web_port}"] }}
    checks:
      - tcp: {{ address: "127.0.0.1:{web_port}", interval: 500ms, timeout: 200ms }}
      - http: {{ url: "http://127.0.0.1:{web_port}/health", interval: 500ms, timeout: 300ms, json: {{ "$.status": UP }} }}
    restart: {{ budget: 5 per 10m, backoff: 200ms..5s }}
    start_grace: 5s
  - id: worker
    unit: {{ process: ["${{self}}", sample, worker, --id, worker, --interval, 300ms, --hang-while, {hang_file:?}] }}
    heartbeat: {{ interval: 300ms, timeout: 1s, retries: 2 }}
    restart: {{ budget: 5 per 10m, backoff: 200ms..5s }}
    start_grace: 10s
receivers:
  - {{ name: hook, webhook: {{ url: "{hook}" }} }}
"#
    )
}

/// Who is told of a death need not go to the machine to read what the program said last.
#[test]
fn the_mail_about_a_dead_process_carries_its_last_lines_in_the_receivers_language() {
    let dir = tempfile::tempdir().unwrap();
    let (mailbox, mut hook) = (Mailbox::start(), Hook::start());
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
services:
  - id: worker
    unit: {{ process: ["${{self}}", sample, worker, --id, worker, --exit, "3@2"] }}
receivers:
  - {{ name: mail, lang: zh, email: {{ to: [ops@example.com], smtp: "{}" }} }}
  - {{ name: hook, webhook: {{ url: "{}" }} }}
"#,
        mailbox.url, hook.url
    );
    let _lifesign = Lifesign::start(dir.path(), &configuration);
    let mail = mailbox.next();
    // In both of its forms.
    for part in ["  ending with exit code 3, as asked\n", "<pre>ended (exit code 3)\n", " MiB of memory"] {
        assert!(mail.contains(part), "{part:?} is missing in {mail}");
    }
    let told = hook.wait_for("worker", 1);
    let evidence = told[0].1["alerts"][0]["annotations"]["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("ended (exit code 3)\nprocess "), "{evidence}");
    assert!(evidence.ends_with("\nending with exit code 3, as asked"), "{evidence}");
}

/// Issue by issue what a new user must see: a kill is noticed at once, repaired, proven, told once each way.
#[test]
fn a_killed_process_comes_back_and_is_told_once_each_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start();
    let hang_file = dir.path().join("hang");
    let lifesign =
        Lifesign::start(dir.path(), &configuration(free_port(), &hook.url, &hang_file.to_string_lossy()));
    assert!(lifesign.banner.contains(&lifesign.token), "the fresh token is shown: {}", lifesign.banner);
    assert!(lifesign.banner.contains("worker"), "what is watched is shown: {}", lifesign.banner);
    let web = lifesign.wait_for_state("web", "up", None);
    lifesign.wait_for_state("worker", "up", None);

    let old = web["pid"].as_u64().unwrap();
    let begin = Instant::now();
    kill_process(old);
    let down = wait_for("the kill is seen", || {
        let incidents = lifesign.incidents();
        incidents.iter().find(|incident| incident["service_id"] == "web").cloned()
    });
    println!("kill to incident, asked over HTTP: {:?}", begin.elapsed());
    let reason = down["reason"].as_str().unwrap();
    assert!(support::KILL_REASONS.contains(&reason), "{down}");
    let closed = wait_for("the incident is closed", || {
        let incident = lifesign.incident(&down["id"]);
        incident["closed_at"].is_string().then_some(incident)
    });
    let web = lifesign.wait_for_state("web", "up", None);
    assert_ne!(web["pid"].as_u64().unwrap(), old);
    let timeline: Vec<&str> =
        closed["timeline"].as_array().unwrap().iter().filter_map(|entry| entry["what"].as_str()).collect();
    for what in ["opened", "restart_scheduled", "restart_started", "restart_done", "proven", "closed"] {
        assert!(timeline.contains(&what), "{what} is missing in {timeline:?}");
    }

    let told = hook.wait_for("web", 2);
    assert_eq!(told[0].1["status"], "firing");
    assert_eq!(told[0].1["version"], "4");
    assert_eq!(told[0].1["commonLabels"]["reason"], reason);
    assert_eq!(told[1].1["status"], "resolved");
    assert_ne!(told[0].0, told[1].0, "each has its own idempotency key");
    assert_eq!(told.len(), 2, "once each");

    let (code, text, _) = lifesign.cli(&["explain", "web"]);
    assert_eq!(code, 0);
    assert!(text.contains("process"), "{text}");

    // The same of a past moment, for people and for programs.
    let then = closed["detected_at"].as_str().unwrap();
    let (code, text, error) = lifesign.cli(&["explain", "web", "--at", then]);
    assert_eq!(code, 0, "{error}");
    for part in ["down", "as of ", "As judged at", "Incident", "Opened"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let (code, text, _) = lifesign.cli(&["--json", "explain", "web", "--at", then]);
    let explanation: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &explanation["at"], &explanation["state"]), (0, &then.into(), &"down".into()));
    let (code, text, _) = lifesign.cli(&["explain", "web", "--at", "-365d"]);
    assert!(code == 0 && text.contains("Nothing was recorded about it by then"), "{text}");
    let (code, _, error) = lifesign.cli(&["explain", "web", "--at", "9999-01-01T00:00:00Z"]);
    assert!(code == 1 && error.contains("future"), "{error}");
    let (code, _, error) = lifesign.cli(&["explain", "web", "--at", "yesterday"]);
    assert!(code == 2 && error.contains("10m ago"), "{error}");
    let (code, _, error) = lifesign.cli(&["explain", "nobody", "--at", "10m ago"]);
    assert_eq!(code, 3, "{error}");
}

/// The process lives and its heart is silent: suspect, then hung, then restarted.
#[test]
fn a_silent_process_is_suspect_then_hung_then_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start();
    let hang_file = dir.path().join("hang");
    let lifesign =
        Lifesign::start(dir.path(), &configuration(free_port(), &hook.url, &hang_file.to_string_lossy()));
    let worker = lifesign.wait_for_state("worker", "up", None);
    let pid = worker["pid"].as_u64().unwrap();
    hang(pid, &hang_file);
    lifesign.wait_for_state("worker", "suspect", Some("missed_heartbeat"));
    lifesign.wait_for_state("worker", "down", Some("hung"));
    unhang(&hang_file);
    let worker = lifesign.wait_for_state("worker", "up", None);
    assert_ne!(worker["pid"].as_u64().unwrap(), pid, "it is another process");
    let told = hook.wait_for("worker", 2);
    assert_eq!(told[0].1["commonLabels"]["reason"], "hung");
    assert_eq!(told[1].1["status"], "resolved");
}

/// Linux can stop a process for real; elsewhere the sample itself plays dead.
#[cfg(unix)]
fn hang(pid: u64, _file: &std::path::Path) {
    assert!(std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap().success());
}

#[cfg(windows)]
fn hang(_pid: u64, file: &std::path::Path) {
    std::fs::write(file, "").unwrap();
}

fn unhang(file: &std::path::Path) {
    let _ = std::fs::remove_file(file);
}

/// The command line on a running lifesign, for people and with `--json`, with the contract's exit codes.
#[test]
fn the_command_line_answers_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::start();
    let hang_file = dir.path().join("hang");
    let lifesign =
        Lifesign::start(dir.path(), &configuration(free_port(), &hook.url, &hang_file.to_string_lossy()));
    lifesign.wait_for_state("web", "up", None);
    lifesign.wait_for_state("worker", "up", None);

    let (code, text, error) = lifesign.cli(&["status"]);
    assert_eq!((code, error.as_str()), (0, ""), "the token is found by itself");
    assert!(text.contains("web") && text.contains("worker") && text.contains("up"), "{text}");
    let (code, text, _) = lifesign.cli(&["--json", "status"]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, list["items"].as_array().unwrap().len()), (0, 2));
    let (code, text, _) = lifesign.cli(&["status", "web"]);
    assert_eq!(code, 0);
    assert!(text.contains("127.0.0.1"), "{text}");
    let (code, text, _) = lifesign.cli(&["--json", "explain", "worker"]);
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    assert!(facts["facts"].as_array().unwrap().len() > 3, "{facts}");
    let (code, text, _) = lifesign.cli(&["beat", "worker", "--metric", "queue=7"]);
    assert_eq!(code, 0, "{text}");
    let (code, _, error) = lifesign.cli(&["status", "nobody"]);
    assert_eq!(code, 3, "{error}");
    let (code, _, error) = lifesign.cli(&["--token", "of-nobody-7", "status"]);
    assert_eq!(code, 4, "{error}");
    assert!(!error.contains("of-nobody-7"), "a token is never repeated: {error}");
    let (code, _, error) = lifesign.cli(&["beat", "worker", "--metric", "queue=many"]);
    assert_eq!(code, 2, "{error}");
    let (code, text, _) = lifesign.cli(&["incidents"]);
    assert_eq!(code, 0, "{text}");

    let before = lifesign.service("worker")["pid"].clone();
    let (code, text, error) = lifesign.cli(&["restart", "worker"]);
    assert_eq!(code, 0, "{text}{error}");
    wait_for("another process", || (lifesign.service("worker")["pid"] != before).then_some(()));
    assert_eq!(lifesign.incidents().len(), 0, "a restart that was ordered is no incident");

    let (code, _, _) = lifesign.cli(&["pause", "worker"]);
    assert_eq!(code, 0);
    assert_eq!(lifesign.service("worker")["paused"], true);
    let (code, _, error) = lifesign.cli(&["restart", "worker"]);
    assert_eq!(code, 1, "refused while paused: {error}");
    let (code, _, _) = lifesign.cli(&["resume", "worker"]);
    assert_eq!(code, 0);
}

#[test]
fn nobody_at_home_and_wrong_files_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lifesign"))
            .args(arguments)
            .env_remove("LIFESIGN_TOKEN")
            .env_remove("LIFESIGN_SERVER")
            .env_remove("LIFESIGN_ENV")
            .current_dir(dir.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let (code, error) = run(&["--server", &nobody, "--token", "t", "status"]);
    assert_eq!(code, Some(5), "{error}");
    let (code, error) = run(&["config", "check", "missing.yaml"]);
    assert_eq!(code, Some(2), "{error}");
    std::fs::write(dir.path().join("bad.yaml"), "services:\n  - id: Web\n    chekcs: []\n").unwrap();
    let (code, error) = run(&["config", "check", "bad.yaml"]);
    assert_eq!(code, Some(2));
    assert!(
        error.contains("bad.yaml:2:9") && error.contains("bad.yaml:3:5") && error.contains("checks"),
        "{error}"
    );
    let (code, _) = run(&["frobnicate"]);
    assert_eq!(code, Some(2));
}

/// A reload changes what the file says and loses nothing; a bad file changes nothing and says why.
#[test]
fn a_reload_keeps_processes_and_state_and_refuses_a_bad_file() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::start();
    let text = configuration(free_port(), &hook.url, &dir.path().join("hang").to_string_lossy());
    let lifesign = Lifesign::start(dir.path(), &text);
    lifesign.wait_for_state("web", "up", None);
    let worker = lifesign.wait_for_state("worker", "up", None);
    let file = dir.path().join("lifesign.yaml");

    std::fs::write(&file, format!("{text}rules: [ {{ alert: A, when: \"queue ?? 3\" }} ]\n")).unwrap();
    let (status, problem) = lifesign.post("/api/v1/reload", &json!({}));
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("lifesign.yaml:"), "{problem}");

    let more = text.replace("receivers:", "  - id: extra\n    heartbeat: { interval: 1s }\nreceivers:");
    std::fs::write(&file, more).unwrap();
    let (status, answer) = lifesign.post("/api/v1/reload", &json!({}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(lifesign.service("extra")["state"], "pending");
    let after = lifesign.service("worker");
    assert_eq!(after["pid"], worker["pid"], "its process goes on");
    assert_eq!(after["since"], worker["since"], "its state too");
    reload_by_signal(&lifesign, &file, &text);
    let (status, ack) = lifesign.post("/api/v1/heartbeats", &json!({ "service_id": "extra" }));
    assert_eq!((status, ack["acks"][0]["state"].as_str()), (200, Some("up")));
}

/// SIGHUP does the same as the API call; Windows has no such signal.
#[cfg(unix)]
fn reload_by_signal(lifesign: &Lifesign, file: &std::path::Path, text: &str) {
    let more = text.replace(
        "receivers:",
        "  - id: by-signal\n  - id: extra\n    heartbeat: { interval: 1s }\nreceivers:",
    );
    std::fs::write(file, more).unwrap();
    assert!(
        std::process::Command::new("kill")
            .args(["-HUP", &lifesign.pid().to_string()])
            .status()
            .unwrap()
            .success()
    );
    wait_for("the service that came by SIGHUP", || {
        (lifesign.service("by-signal")["state"] == "pending").then_some(())
    });
}

#[cfg(windows)]
fn reload_by_signal(_lifesign: &Lifesign, _file: &std::path::Path, _text: &str) {}

/// When lifesign itself is killed, what it supervises goes on, and the next lifesign adopts it.
#[test]
fn supervised_processes_outlive_a_killed_lifesign_and_are_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::start();
    let text = configuration(free_port(), &hook.url, &dir.path().join("hang").to_string_lossy());
    let lifesign = Lifesign::start(dir.path(), &text);
    let web = lifesign.wait_for_state("web", "up", None);
    lifesign.kill();
    let lifesign = Lifesign::start(dir.path(), &text);
    assert!(!lifesign.banner.contains(&lifesign.token), "a kept token is not shown again");
    let again = lifesign.wait_for_state("web", "up", None);
    assert_eq!(again["pid"], web["pid"], "the same process");
    assert_eq!(lifesign.incidents().len(), 0);
}
