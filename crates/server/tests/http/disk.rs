//! The disk refuses: lifesign says so, goes on, and catches up.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Exit, UnitState};
use rusqlite::Connection;

use crate::house::{Hook, House, Plan, told, wait_for};

#[tokio::test]
async fn while_the_database_is_locked_detection_and_alerts_go_on_and_readyz_says_why() {
    let hook = Arc::new(Hook::default());
    let plan = Plan {
        spec: told(&["orders"], &["hook"]),
        recipients: vec![hook.recipient("hook")],
        ..Plan::default()
    };
    let house = House::build(plan).await;
    house.see_running("orders", 7).await;

    let other = Connection::open(house.dir.path().join("lifesign.db")).unwrap();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    house.see_unit("orders", UnitState::Stopped { ordered: false, exit: Exit::Code(1) }).await;
    house.wait_for_state("orders", "down").await;
    let ready = wait_for("readyz to tell of the disk", async || {
        let ready = house.get("/readyz").await;
        (ready.status == 503).then_some(ready)
    })
    .await;
    let store = &ready.json()["details"]["store"];
    assert_eq!(store["status"], "DOWN");
    assert!(store["error"].as_str().unwrap().contains("lifesign.db"), "{store}");
    assert_eq!(ready.json()["details"]["engine"]["status"], "UP");
    assert_eq!(house.get("/livez").await.status, 200);
    let beat = house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    assert_eq!(beat.status, 200, "a heartbeat does not wait for the disk");
    wait_for("people to be told all the same", async || (!hook.got().is_empty()).then_some(())).await;
    let open = house.get("/api/v1/incidents").await.json();
    assert_eq!(open["items"][0]["service_id"], "orders", "the engine knows it, the disk does not");

    other.execute_batch("ROLLBACK").unwrap();
    wait_for("readyz to be well again", async || (house.get("/readyz").await.status == 200).then_some(()))
        .await;
    wait_for("the incident to be on the disk", async || {
        let count: i64 = other.query_row("SELECT count(*) FROM incidents", [], |row| row.get(0)).ok()?;
        (count == 1).then_some(())
    })
    .await;
    assert_eq!(hook.got().len(), 1, "told once");
}
