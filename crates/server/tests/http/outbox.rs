//! Notifications reach their receivers: in order, until they are taken, over restarts and reloads.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Exit, UnitState};
use lifesign_notify::Delivery;
use serde_json::Value;

use crate::house::{Hook, House, Plan, told, wait_for};

fn plan(hook: &Arc<Hook>) -> Plan {
    Plan {
        spec: told(&["orders", "billing"], &["hook"]),
        recipients: vec![hook.recipient("hook")],
        ..Plan::default()
    }
}

fn retry(why: &str) -> Delivery {
    Delivery::Retry { why: why.to_owned(), after: None }
}

async fn crash(house: &House, service: &str) {
    house.see_unit(service, UnitState::Stopped { ordered: false, exit: Exit::Code(1) }).await;
    house.wait_for_state(service, "down").await;
}

async fn notifications(house: &House) -> Vec<Value> {
    house.get("/api/v1/notifications").await.json()["items"].as_array().unwrap().clone()
}

async fn wait_for_status(house: &House, status: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} {status}"), async || {
        let seen: Vec<Value> =
            notifications(house).await.into_iter().filter(|seen| seen["status"] == status).collect();
        (seen.len() == count).then_some(seen)
    })
    .await
}

#[tokio::test]
async fn an_incident_is_told_once_when_it_opens_and_once_when_it_closes() {
    let hook = Arc::new(Hook::default());
    let house = House::build(plan(&hook)).await;
    crash(&house, "orders").await;
    wait_for_status(&house, "delivered", 1).await;
    house.see_running("orders", 8).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    let delivered = wait_for_status(&house, "delivered", 2).await;
    assert_eq!(delivered[0]["reason"], "all_resolved", "newest first");
    assert_eq!(delivered[1]["reason"], "first_firing");
    assert_eq!((&delivered[1]["receiver"], &delivered[1]["attempts"]), (&"hook".into(), &1.into()));
    assert_eq!(delivered[1]["answer"], "200 OK");
    let got = hook.got();
    assert_eq!(got.len(), 2, "{got:?}");
    assert_eq!(got[0].0, delivered[1]["id"].as_str().unwrap());
    let incident = house.get("/api/v1/incidents/1").await.json();
    assert!(incident["timeline"].as_array().unwrap().iter().any(|line| line["what"] == "notified"));
}

#[tokio::test]
async fn what_the_receiver_does_not_take_is_sent_again_under_the_same_id_before_anything_else() {
    let hook = Arc::new(Hook::default());
    hook.answers.lock().unwrap().push(retry("connection refused"));
    let house = House::build(plan(&hook)).await;
    crash(&house, "orders").await;
    wait_for("the first attempt", async || (!hook.got().is_empty()).then_some(())).await;
    crash(&house, "billing").await;
    wait_for_status(&house, "delivered", 2).await;
    let got = hook.got();
    assert_eq!(got.len(), 3, "{got:?}");
    assert_eq!((&got[0].0, got[0].1, got[1].1), (&got[1].0, 1, 2), "the same, again");
    assert_ne!(got[2].0, got[1].0, "only then the next");
    let metrics = house.get("/metrics").await.body;
    assert!(
        metrics.contains("lifesign_notifications_total{receiver=\"hook\",result=\"retried\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_restart_goes_on_with_what_is_not_yet_taken() {
    let hook = Arc::new(Hook::default());
    hook.answers
        .lock()
        .unwrap()
        .push(Delivery::Retry { why: "busy".to_owned(), after: Some(Duration::from_secs(1)) });
    let house = House::build(plan(&hook)).await;
    crash(&house, "orders").await;
    wait_for_status(&house, "pending", 1).await;
    wait_for("the first attempt", async || (!hook.got().is_empty()).then_some(())).await;
    let dir = house.stop().await;
    let house = House::build(Plan { dir: Some(dir), ..plan(&hook) }).await;
    let delivered = wait_for_status(&house, "delivered", 1).await;
    assert_eq!(delivered[0]["attempts"], 2);
    let got = hook.got();
    assert_eq!((got.len(), &got[0].0), (2, &got[1].0));
}

#[tokio::test]
async fn what_waits_for_a_receiver_that_is_gone_is_marked_as_refused() {
    let hook = Arc::new(Hook::default());
    hook.answers
        .lock()
        .unwrap()
        .push(Delivery::Retry { why: "busy".to_owned(), after: Some(Duration::from_secs(3000)) });
    let house = House::build(plan(&hook)).await;
    crash(&house, "orders").await;
    wait_for("the first attempt", async || (!hook.got().is_empty()).then_some(())).await;
    *house.next_configuration.lock().unwrap() = Some(Ok(told(&["orders", "billing"], &[])));
    assert_eq!(house.post("/api/v1/reload", "").await.status, 200);
    let refused = wait_for_status(&house, "refused", 1).await;
    assert!(refused[0]["answer"].as_str().unwrap().contains("no receiver hook"), "{refused:?}");
    assert_eq!(hook.got().len(), 1);
}

#[tokio::test]
async fn one_deaf_receiver_does_not_hold_up_another() {
    let (deaf, hook) = (Arc::new(Hook::default()), Arc::new(Hook::default()));
    deaf.answers.lock().unwrap().extend((0..50).map(|_| retry("no answer")));
    let house = House::build(Plan {
        spec: told(&["orders"], &["deaf", "hook"]),
        recipients: vec![deaf.recipient("deaf"), hook.recipient("hook")],
        ..Plan::default()
    })
    .await;
    crash(&house, "orders").await;
    wait_for("the hook to be told", async || (!hook.got().is_empty()).then_some(())).await;
    assert_eq!(wait_for_status(&house, "pending", 1).await[0]["receiver"], "deaf");
}
