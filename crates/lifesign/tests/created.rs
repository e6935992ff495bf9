//! Services that nobody has written down: their first heartbeat makes them, a kill of lifesign does not lose them, and one
//! that dies meanwhile is found.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use support::{Lifesign, wait_for};

const CONFIGURATION: &str = "server: { listen: \"127.0.0.1:0\" }
heartbeats: { create_unknown: true }
defaults: { interval: 500ms, timeout: 1s, retries: 1 }
services: [ { id: written, heartbeat: { interval: 1h, timeout: 3h } } ]
";

#[test]
fn a_service_that_dies_while_lifesign_is_away_is_found_though_nobody_wrote_it_down() {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    let beat =
        |lifesign: &Lifesign| lifesign.post("/api/v1/heartbeats", &json!({ "service_id": "device-7" })).0;
    assert_eq!(beat(&lifesign), 200);
    lifesign.wait_for_state("device-7", "up", None);
    // The answer did not wait for the disk; an order does, and what came before it is written by then.
    assert_eq!(lifesign.cli(&["pause", "written"]).0, 0);
    lifesign.kill();

    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    lifesign.wait_for_state("device-7", "down", Some("missed_heartbeat"));
    let incident = lifesign.incidents().remove(0);
    assert_eq!(incident["service_id"], "device-7");

    let (code, _, refused) = lifesign.cli(&["forget", "written"]);
    assert_ne!(code, 0);
    assert!(refused.contains("stands in the configuration"), "{refused}");
    let (code, said, _) = lifesign.cli(&["forget", "device-7"]);
    assert_eq!((code, said.trim()), (0, "device-7 is forgotten; its next heartbeat makes it anew."));
    wait_for("the incident is closed", || {
        (!lifesign.incident(&incident["id"])["closed_at"].is_null()).then_some(())
    });
    assert_eq!(lifesign.get("/api/v1/services/device-7").0, 404);
    lifesign.kill();

    let lifesign = Lifesign::start(dir.path(), CONFIGURATION);
    assert_eq!(lifesign.get("/api/v1/services/device-7").0, 404);
    assert_eq!(beat(&lifesign), 200);
    lifesign.wait_for_state("device-7", "up", None);
}
