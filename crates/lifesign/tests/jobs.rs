//! Jobs as their owners see them: real commands under `lifesign exec`, against a real lifesign.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Lifesign, free_port, wait_for};

const CONFIGURATION: &str = r#"
server: { listen: "127.0.0.1:0" }
services:
  - { id: never, job: { every: 2s, grace: 1s } }
  - { id: backup, job: { schedule: "0 3 * * *", timezone: Europe/Berlin, grace: 30m } }
  - { id: long, job: { every: 1h, max_runtime: 1s } }
"#;

/// `lifesign exec` as a crontab has it, without being told a token.
fn exec(dir: &Path, server: &str, options: &[&str], command: &[&str]) -> Command {
    let mut exec = Command::new(env!("CARGO_BIN_EXE_lifesign"));
    exec.args(["--lang", "en", "--server", server, "exec"])
        .args(options)
        .arg("--")
        .args(command)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("LOCALAPPDATA", dir.join("state"))
        .env_remove("LIFESIGN_TOKEN")
        .env_remove("LIFESIGN_SERVER")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    exec
}

fn run(lifesign: &Lifesign, id: &str, command: &[&str]) -> Output {
    exec(&lifesign.dir, &lifesign.base, &[id], command).output().unwrap()
}

/// A line of the system's own shell.
fn shell<'a>(unix: &'a str, windows: &'a str) -> Vec<&'a str> {
    if cfg!(windows) { vec!["cmd", "/d", "/c", windows] } else { vec!["sh", "-c", unix] }
}

/// The run that ended last, once it is another than `before`.
#[track_caller]
fn last_run(lifesign: &Lifesign, id: &str, before: &Value) -> Value {
    wait_for("the end of a run", || {
        let run = lifesign.service(id)["job"]["last_run"].clone();
        (!run.is_null() && run["ended_at"] != *before).then_some(run)
    })
}

#[track_caller]
fn finished(mut child: Child) -> Output {
    wait_for("the end of lifesign exec", || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}

#[test]
fn a_job_that_never_starts_is_overdue_until_somebody_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let down = lifesign.wait_for_state("never", "down", Some("missed_heartbeat"));
    assert!(down["detail"].as_str().unwrap().starts_with("no run was heard of: one was due at 20"), "{down}");
    assert!(down["job"]["missed"].is_string() && down["job"]["last_run"].is_null(), "{down}");
    let incident = down["incident_id"].clone();
    assert!(incident.is_u64(), "{down}");
    let (code, explained, _) = lifesign.cli(&["explain", "never"]);
    assert_eq!(code, 0);
    assert!(explained.contains("No run was heard of that was due at "), "{explained}");

    // A plain heartbeat is the end of a run.
    assert_eq!(lifesign.cli(&["beat", "never"]).0, 0);
    assert_eq!(lifesign.service("never")["state"], "up");
    wait_for("the incident is closed", || {
        lifesign.incident(&incident)["closed_at"].is_string().then_some(())
    });
    lifesign.wait_for_state("never", "down", Some("missed_heartbeat"));

    // It is known, and the same incident, after a crash of lifesign itself.
    let open = lifesign.service("never")["incident_id"].clone();
    wait_for("it is written down", || {
        let written = lifesign.incidents().iter().any(|incident| incident["id"] == open);
        written.then_some(())
    });
    lifesign.kill();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let down = lifesign.wait_for_state("never", "down", Some("missed_heartbeat"));
    assert_eq!(down["incident_id"], open, "{down}");
    assert!(down["job"]["last_run"]["ok"].as_bool().unwrap(), "{down}");
}

#[test]
fn a_job_passes_through_and_its_failure_is_told_with_code_time_and_output() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let output = run(
        &lifesign,
        "backup",
        &shell("echo dumping; echo 'disk full' >&2; exit 3", "echo dumping& echo disk full>&2& exit 3"),
    );
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "dumping", "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "disk full", "{output:?}");
    // The report was made before the command ended.
    let service = lifesign.service("backup");
    assert_eq!(service["state"], "down", "{service}");
    assert_eq!(service["reason"], "crashed", "{service}");
    let run_of = service["job"]["last_run"].clone();
    assert_eq!((&run_of["ok"], &run_of["exit_code"]), (&json!(false), &json!(3)), "{service}");
    let said = run_of["output"].as_str().unwrap();
    assert!(said.contains("dumping") && said.contains("disk full"), "{said}");
    assert!(run_of["reported_duration_seconds"].as_f64().unwrap() > 0.0, "{run_of}");
    assert!(run_of["started_at"].is_string() && run_of["duration_seconds"].is_f64(), "{run_of}");
    let timeline = lifesign.incident(&service["incident_id"])["timeline"].to_string();
    assert!(timeline.contains("disk full"), "{timeline}");
    let (_, status, _) = lifesign.cli(&["status", "backup"]);
    assert!(status.contains("failed with exit code 3") && status.contains("disk full"), "{status}");
    assert!(status.contains("0 3 * * * Europe/Berlin"), "{status}");

    // The next one is well.
    let well = run(&lifesign, "backup", &shell("true", "exit 0"));
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    let service = lifesign.service("backup");
    assert_eq!(service["state"], "up", "{service}");
    assert!(service["incident_id"].is_null(), "{service}");
    let due = service["job"]["next_due"].as_str().unwrap();
    assert!(due.ends_with("T02:00:00.000Z") || due.ends_with("T01:00:00.000Z"), "three in Berlin: {due}");
}

#[test]
fn a_command_that_cannot_be_started_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let output = run(&lifesign, "backup", &["/there/is/no/such-command"]);
    assert_eq!(output.status.code(), Some(127), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("such-command"), "{output:?}");
    let service = lifesign.wait_for_state("backup", "down", Some("start_failed"));
    assert!(
        service["job"]["last_run"]["start_error"].as_str().unwrap().contains("such-command"),
        "{service}"
    );
}

#[test]
fn of_a_flood_of_output_all_passes_and_the_end_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let flood = "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done";
    let output = run(&lifesign, "backup", &shell(flood, "for /L %i in (0,1,19999) do @echo line-%i"));
    assert_eq!(output.status.code(), Some(0), "{:?}", output.status);
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(lines, 20_000);
    let kept = lifesign.service("backup")["job"]["last_run"]["output"].as_str().unwrap().to_owned();
    assert!(kept.len() <= 4096 && kept.ends_with("line-19999"), "{kept}");
}

#[test]
fn a_server_that_does_not_answer_keeps_no_job_from_running() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let command = shell("echo done > ran; exit 5", "echo done> ran& exit 5");
    let output = exec(dir.path(), &nobody, &["backup", "--report-for", "1s"], &command).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(dir.path().join("ran").exists());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the end of this run could not be reported"), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_server_that_refuses_keeps_no_job_from_running_and_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let output = run(&lifesign, "nobody-knows-it", &shell("exit 4", "exit 4"));
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nobody-knows-it"), "{said}");
}

#[test]
fn the_end_of_a_run_is_told_to_a_server_that_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let configuration = CONFIGURATION.replace("127.0.0.1:0", &address);
    let first = Lifesign::start(dir.path(), &configuration);
    let base = first.base.clone();
    first.kill();
    let command = shell("echo ended > ended", "echo ended> ended");
    let child = exec(dir.path(), &base, &["backup", "--report-for", "60s"], &command).spawn().unwrap();
    wait_for("the job has ended", || dir.path().join("ended").exists().then_some(()));
    let lifesign = Lifesign::start(dir.path(), &configuration);
    let output = finished(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let run = last_run(&lifesign, "backup", &Value::Null);
    assert_eq!(run["ok"], true, "{run}");
    assert_eq!(lifesign.service("backup")["state"], "up");
}

#[cfg(unix)]
#[test]
fn a_job_that_takes_too_long_is_hung_and_a_kill_is_told_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let command = ["sh", "-c", "echo $$ > pid; exec sleep 600"];
    let child = exec(dir.path(), &lifesign.base, &["long"], &command).spawn().unwrap();
    let hung = lifesign.wait_for_state("long", "down", Some("hung"));
    assert_eq!(hung["job"]["running"][0]["too_long"], true, "{hung}");
    let pid: u64 = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
    support::kill_process(pid);
    let output = finished(child);
    assert_eq!(output.status.code(), Some(137), "{output:?}");
    let killed = lifesign.wait_for_state("long", "down", Some("killed"));
    assert_eq!(killed["job"]["last_run"]["signal"], 9, "{killed}");
    assert_eq!(killed["incident_id"], hung["incident_id"], "one trouble, one incident");
}

#[cfg(unix)]
#[test]
fn a_killed_exec_tells_no_end_and_that_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let command = ["sh", "-c", "echo $$ > pid; exec sleep 600"];
    let mut child = exec(dir.path(), &lifesign.base, &["long"], &command).spawn().unwrap();
    wait_for("the start is told", || lifesign.service("long")["job"]["running"].get(0).cloned());
    child.kill().unwrap();
    child.wait().unwrap();
    lifesign.wait_for_state("long", "down", Some("hung"));
    let pid: u64 = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
    support::kill_process(pid);
}

#[cfg(unix)]
#[test]
fn signals_reach_the_job_and_its_answer_is_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    for (signal, name) in [("-TERM", "TERM"), ("-INT", "INT"), ("-USR1", "USR1"), ("-HUP", "HUP")] {
        let ready = dir.path().join(format!("ready-{name}"));
        let script = format!(
            "trap 'echo got {name}; exit 7' {name}; echo > {}; while :; do sleep 0.05; done",
            ready.display()
        );
        let child = exec(dir.path(), &lifesign.base, &["backup"], &["sh", "-c", &script]).spawn().unwrap();
        wait_for("the job is ready", || ready.exists().then_some(()));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = finished(child);
        assert_eq!(output.status.code(), Some(7), "{name}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("got {name}"));
    }
    assert_eq!(lifesign.service("backup")["job"]["last_run"]["exit_code"], 7);
}

#[cfg(unix)]
#[test]
fn what_a_job_leaves_in_the_background_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let child =
        exec(dir.path(), &lifesign.base, &["backup"], &["sh", "-c", "sleep 600 & echo $! > left; echo over"])
            .spawn()
            .unwrap();
    let output = finished(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "over");
    let left: u64 = std::fs::read_to_string(dir.path().join("left")).unwrap().trim().parse().unwrap();
    support::kill_process(left);
}

#[test]
fn runs_can_be_told_by_any_client_in_plain_json() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let tell = |body: Value| lifesign.post("/api/v1/heartbeats", &body).0;
    assert_eq!(tell(json!({ "service_id": "backup", "run": "started", "run_id": "a" })), 200);
    assert_eq!(tell(json!({ "service_id": "backup", "run": "started", "run_id": "b" })), 200);
    assert_eq!(lifesign.service("backup")["job"]["running"].as_array().unwrap().len(), 2);
    assert_eq!(
        tell(
            json!({ "service_id": "backup", "run": "ended", "run_id": "b", "exit_code": 0, "duration": 90 })
        ),
        200
    );
    let service = lifesign.service("backup");
    assert_eq!(service["state"], "up", "{service}");
    assert_eq!(service["job"]["last_run"]["reported_duration_seconds"], 90.0);
    assert_eq!(tell(json!({ "service_id": "backup", "run": "ended", "status": "fail" })), 200);
    assert_eq!(lifesign.service("backup")["reason"], "check_failed");
    assert_eq!(tell(json!({ "service_id": "backup", "exit_code": 1 })), 422);
}
