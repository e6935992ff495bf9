//! What people order: restart, pause, reload; and that it stands in the audit log.

use http::Method;
use lifesign_core::evidence::Process;
use lifesign_core::input::{ActionReport, Input};
use lifesign_server::engine::Work;
use serde_json::{Value, json};

use crate::house::{ADMIN, GUEST, House, spec, wait_for};

async fn audited(house: &House, action: &str) -> Value {
    wait_for(&format!("{action} in the audit log"), async || {
        let list = house.get("/api/v1/audit").await.json();
        list["items"].as_array().unwrap().iter().find(|entry| entry["action"] == action).cloned()
    })
    .await
}

#[tokio::test]
async fn a_restart_reaches_the_agent_and_a_second_one_is_refused_while_it_runs() {
    let mut house = House::new().await;
    house.see_running("orders", 7).await;
    let ordered = house.post("/api/v1/services/orders/restart", "").await;
    assert_eq!(ordered.status, 202, "{ordered:?}");
    let action = loop {
        match house.work.recv().await.unwrap() {
            Work::Act(action) => break action,
            Work::LookNow(_) => {}
        }
    };
    assert_eq!(ordered.json(), json!({"action_id": &*action.id, "service_id": "orders"}));
    assert_eq!((action.service.as_str(), &*action.by), ("orders", "anna"));
    let refused = house.post("/api/v1/services/orders/restart", "").await.problem(409);
    assert!(refused.contains("being restarted already"), "{refused}");

    let result = Ok(Some(Process { pid: 8, started: 8 }));
    let report = ActionReport { id: action.id, service: action.service, result, refused: false };
    house.agent.send(Input::ActionDone(report)).await.unwrap();
    let entry = audited(&house, "restart").await;
    assert_eq!((&entry["by"], &entry["target"]), (&json!("anna"), &json!("orders")));
}

#[tokio::test]
async fn an_action_that_no_agent_takes_is_reported_as_failed() {
    let mut house = House::new().await;
    house.see_running("orders", 7).await;
    house.work.close();
    assert_eq!(house.post("/api/v1/services/orders/restart", "").await.status, 202);
    wait_for("the restart to have failed", async || {
        let again = house.post("/api/v1/services/orders/restart", "").await;
        (again.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_paused_service_says_so_and_refuses_a_restart_until_it_is_resumed() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    assert_eq!(house.post("/api/v1/services/orders/pause", "").await.json()["paused"], true);
    let refused = house.post("/api/v1/services/orders/restart", "").await.problem(409);
    assert!(refused.contains("paused"), "{refused}");
    assert_eq!(house.post("/api/v1/services/orders/resume", "").await.json()["paused"], false);
    assert_eq!(house.post("/api/v1/services/orders/restart", "").await.status, 202);
    assert_eq!(audited(&house, "pause").await["by"], "anna");
}

#[tokio::test]
async fn a_pause_survives_a_restart_of_lifesign() {
    let house = House::new().await;
    assert_eq!(house.post("/api/v1/services/orders/pause", "").await.status, 200);
    let dir = house.stop().await;
    let plan = crate::house::Plan { dir: Some(dir), ..Default::default() };
    let house = House::build(plan).await;
    assert_eq!(house.get("/api/v1/services/orders").await.json()["paused"], true);
}

#[tokio::test]
async fn a_reload_keeps_state_and_a_bad_file_changes_nothing_and_says_why() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    house.wait_for_state("orders", "up").await;

    let errors = vec!["a.yaml:3:5: unknown key".to_owned(), "a.yaml:9:1: no such service".to_owned()];
    *house.next_configuration.lock().unwrap() = Some(Err(errors));
    let rejected = house.post("/api/v1/reload", "").await;
    rejected.problem(422);
    assert_eq!(rejected.json()["errors"][1]["detail"], "a.yaml:9:1: no such service");
    assert_eq!(house.get("/api/v1/services/billing").await.status, 200);

    *house.next_configuration.lock().unwrap() = Some(Ok(spec(&["orders", "stock"])));
    let reloaded = house.post("/api/v1/reload", "").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    assert_eq!(reloaded.json(), json!({"services": 2, "warnings": ["a secret stands in the file"]}));
    assert_eq!(house.get("/api/v1/services/orders").await.json()["state"], "up");
    assert_eq!(house.get("/api/v1/services/stock").await.status, 200);
    house.get("/api/v1/services/billing").await.problem(404);
    assert_eq!(audited(&house, "reload").await["by"], "anna");
    house.send(Method::POST, "/api/v1/reload", Some(GUEST), "").await.problem(403);
    assert_eq!(house.send(Method::GET, "/api/v1/rules", Some(ADMIN), "").await.status, 200);
}
