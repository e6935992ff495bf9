//! The disk is full, or another program holds the database: lifesign says so, goes on watching and telling, and
//! writes everything down once it can.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use rusqlite::Connection;
use serde_json::{Value, json};
use support::{Hook, Lifesign, wait_for};

fn configuration(hook: &str) -> String {
    let mut text = "server: { listen: \"127.0.0.1:0\" }\nservices:\n".to_owned();
    for service in ["noise", "orders", "after"] {
        // So slow that nothing but the test's own heartbeats ever changes a state.
        text += &format!("  - {{ id: {service}, heartbeat: {{ interval: 10m, timeout: 30m }} }}\n");
    }
    text + &format!("receivers:\n  - {{ name: hook, webhook: {{ url: \"{hook}\" }} }}\n")
}

fn beat(lifesign: &Lifesign, service: &str, status: &str) {
    let (code, answer) =
        lifesign.post("/api/v1/heartbeats", &json!({ "service_id": service, "status": status }));
    assert_eq!(code, 200, "a heartbeat does not wait for the disk: {answer}");
}

/// The store's trouble in the words of `/readyz`, once there is some.
fn trouble(lifesign: &Lifesign) -> Option<String> {
    let (status, ready) = lifesign.get("/readyz");
    let store = &ready["details"]["store"];
    (status == 503).then(|| {
        assert_eq!(ready["status"], "DOWN", "{ready}");
        assert_eq!(store["status"], "DOWN", "{ready}");
        assert_eq!(ready["details"]["engine"]["status"], "UP", "{ready}");
        store["error"].as_str().unwrap_or_else(|| panic!("no reason in {ready}")).to_owned()
    })
}

fn open_incident(lifesign: &Lifesign, service: &str) -> Option<Value> {
    lifesign.incidents().into_iter().find(|incident| incident["service_id"] == service)
}

/// While the disk refuses: an incident opens, shows, and is told.
fn goes_on(lifesign: &Lifesign, hook: &mut Hook) -> Value {
    assert_eq!(lifesign.get("/livez").0, 200, "it is not stuck");
    beat(lifesign, "orders", "fail");
    let orders = lifesign.wait_for_state("orders", "down", Some("check_failed"));
    let incident = open_incident(lifesign, "orders").expect("the incident shows in the list");
    assert_eq!(incident["id"], orders["incident_id"]);
    let told = hook.wait_for("orders", 1);
    assert_eq!(told[0].1["status"], "firing");
    assert!(trouble(lifesign).is_some(), "all that while the disk refused");
    incident
}

/// What was in memory is on the disk: a kill does not lose it, and nobody is told again.
fn is_kept(lifesign: Lifesign, hook: &mut Hook, incident: &Value) {
    wait_for("readyz is well again", || (lifesign.get("/readyz").0 == 200).then_some(()));
    let (dir, text) = (lifesign.dir.clone(), configuration(&hook.url));
    lifesign.kill();

    let written: String = Connection::open(dir.join("data").join("lifesign.db"))
        .unwrap()
        .query_row("SELECT service FROM incidents WHERE id = ?1", [incident["id"].as_i64()], |row| row.get(0))
        .unwrap();
    assert_eq!(written, "orders");
    let lifesign = Lifesign::start(&dir, &text);
    let kept = open_incident(&lifesign, "orders").expect("the next life knows the incident");
    assert_eq!((&kept["id"], &kept["opened_at"]), (&incident["id"], &incident["opened_at"]));
    beat(&lifesign, "after", "fail");
    hook.wait_for("after", 1);
    assert_eq!(hook.wait_for("orders", 1).len(), 1, "told once, before the kill");
    beat(&lifesign, "orders", "alive");
    assert_eq!(hook.wait_for("orders", 2)[1].1["status"], "resolved");
}

#[test]
fn a_database_that_another_program_holds_stops_neither_watching_nor_telling() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start();
    let lifesign = Lifesign::start(dir.path(), &configuration(&hook.url));
    assert_eq!(lifesign.get("/readyz").0, 200);

    // As a careless `sqlite3` session would.
    let other = Connection::open(dir.path().join("data").join("lifesign.db")).unwrap();
    other.busy_timeout(support::PATIENCE).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    beat(&lifesign, "noise", "fail");
    let said = wait_for("readyz tells of the lock", || trouble(&lifesign));
    assert!(said.contains("lifesign.db") && said.contains("lock"), "{said}");
    let incident = goes_on(&lifesign, &mut hook);

    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    is_kept(lifesign, &mut hook, &incident);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_neither_watching_nor_telling() {
    support::mounts::run_inside("inside_a_full_disk");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "the other half of a_full_disk_stops_neither_watching_nor_telling"]
fn inside_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    support::mounts::tmpfs(&data, "2m");
    let mut hook = Hook::start();
    let lifesign = Lifesign::start(dir.path(), &configuration(&hook.url));
    assert_eq!(lifesign.get("/readyz").0, 200);

    let ballast = fill(&data);
    // Room that the write-ahead log already has may take some more.
    let mut status = ["fail", "alive"].into_iter().cycle();
    let said = wait_for("readyz tells of the full disk", || {
        beat(&lifesign, "noise", status.next().unwrap());
        trouble(&lifesign)
    });
    assert!(said.contains("lifesign.db") && said.contains("full"), "{said}");
    let incident = goes_on(&lifesign, &mut hook);

    std::fs::remove_file(ballast).unwrap();
    is_kept(lifesign, &mut hook, &incident);
}

/// Takes all the room there is.
#[cfg(target_os = "linux")]
fn fill(dir: &std::path::Path) -> std::path::PathBuf {
    use std::io::Write as _;
    let ballast = dir.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    ballast
}
