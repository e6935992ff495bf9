//! Heartbeats that say more than *alive*, from the socket to the verdict.

use std::time::Duration;

use lifesign_core::spec::{HeartbeatSpec, Mode};
use serde_json::{Value, json};

use crate::house::{Hand, House, Plan, spec};

/// One service with these heartbeats and nothing else, on a clock moved by hand.
async fn house(hand: &Hand, heartbeat: HeartbeatSpec) -> House {
    let mut spec = spec(&["orders"]);
    for service in &mut spec.services {
        (service.unit, service.restart) = (None, None);
        service.heartbeat = Some(heartbeat.clone());
    }
    House::build(Plan { spec, clock: Some(hand.clock()), ..Plan::default() }).await
}

async fn beat(house: &House, more: Value) {
    let mut body = json!({ "service_id": "orders" });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let reply = house.post("/api/v1/heartbeats", &body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Lets time pass, slowly enough that the engine is not taken for stalled.
async fn pass(house: &House, hand: &Hand, span: Duration) {
    let mut left = u64::try_from(span.as_millis()).unwrap();
    while left > 0 {
        let step = left.min(100);
        hand.advance(step);
        house.state.engine.durable(lifesign_core::input::Input::Tick).await.unwrap();
        left -= step;
    }
}

async fn state(house: &House) -> Value {
    house.get("/api/v1/services/orders").await.json()["state"].clone()
}

#[tokio::test]
async fn in_back_off_the_time_limit_follows_the_interval_that_the_heartbeat_announced() {
    let hand = Hand::new();
    let backoff = HeartbeatSpec {
        interval: Duration::from_secs(60),
        mode: Mode::Backoff,
        timeout: Duration::from_secs(180),
        retries: 2,
        ..HeartbeatSpec::never()
    };
    let house = house(&hand, backoff).await;
    beat(&house, json!({ "interval": "1s" })).await;
    pass(&house, &hand, Duration::from_millis(2500)).await;
    assert_eq!(state(&house).await, "up");
    pass(&house, &hand, Duration::from_secs(1)).await;
    assert_eq!(state(&house).await, "suspect", "three announced intervals have passed");
    beat(&house, json!({ "interval": 4 })).await;
    pass(&house, &hand, Duration::from_secs(11)).await;
    assert_eq!(state(&house).await, "up", "it announced a longer one");
    house.stop().await;
}

#[tokio::test]
async fn in_fixed_mode_what_a_heartbeat_announces_changes_nothing() {
    let hand = Hand::new();
    let fixed = HeartbeatSpec {
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(15),
        retries: 2,
        ..HeartbeatSpec::never()
    };
    let house = house(&hand, fixed).await;
    beat(&house, json!({ "interval": 1, "hears": false })).await;
    pass(&house, &hand, Duration::from_secs(14)).await;
    assert_eq!(state(&house).await, "up");
    pass(&house, &hand, Duration::from_secs(2)).await;
    assert_eq!(state(&house).await, "suspect");
    house.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_the_new_keys_is_said_with_its_place() {
    let house = House::new().await;
    let body = r#"{"service_id":"orders","interval":"0s","hears":"yes","progress":-1}"#;
    let reply = house.post("/api/v1/heartbeats", body).await;
    let detail = reply.problem(422);
    let pointers: Vec<Value> =
        reply.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, ["/interval", "/hears", "/progress"], "{detail}");
}
