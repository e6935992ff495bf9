//! Pings as Healthchecks takes them.

use http::{Method, Request};
use lifesign_core::model::ServiceId;
use lifesign_server::ping;

use crate::house::House;

const NUMBER: u128 = 0x5bf6_6975_d4c7_4bf5_bcc8_b8d8_a82e_a278;
const ID: &str = "/ping/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278";

async fn house() -> House {
    let house = House::new().await;
    house.pings.replace([(NUMBER, ServiceId::new("orders").unwrap())]);
    assert_eq!(ping::url("", NUMBER), ID);
    house
}

async fn ping(house: &House, method: Method, path: &str, body: &str) -> (u16, String) {
    let reply = house.request(Request::builder().method(method).uri(path), body).await;
    (reply.status.as_u16(), reply.body)
}

async fn state(house: &House) -> (String, serde_json::Value) {
    let shown = house.get("/api/v1/services/orders").await.json();
    (shown["state"].as_str().unwrap().to_owned(), shown)
}

#[tokio::test]
async fn a_ping_of_any_method_is_ok_and_a_heartbeat() {
    let house = house().await;
    assert_eq!(ping(&house, Method::POST, &format!("{ID}/start"), "").await, (200, "OK".into()));
    assert_eq!(ping(&house, Method::GET, &format!("{ID}/log"), "").await, (200, "OK".into()));
    assert!(state(&house).await.1["last_heartbeat_at"].is_null(), "neither is a sign of life");
    assert_eq!(ping(&house, Method::GET, ID, "").await, (200, "OK".into()));
    assert!(state(&house).await.1["last_heartbeat_at"].is_string());
    assert_eq!(ping(&house, Method::HEAD, &format!("{ID}/"), "").await, (200, String::new()));
    assert_eq!(ping(&house, Method::POST, &format!("{ID}/7"), "no room").await, (200, "OK".into()));
    let (_, shown) = state(&house).await;
    assert!(shown.to_string().contains("exit code 7: no room"), "{shown}");
    let slug = "/ping/5bf66975d4c74bf5bcc8b8d8a82ea278/orders/0";
    assert_eq!(ping(&house, Method::POST, slug, "done").await, (200, "OK".into()));
}

#[tokio::test]
async fn an_unknown_check_and_a_malformed_one_are_answered_in_healthchecks_words() {
    let house = house().await;
    let other = ID.replace("5bf6", "5bf7");
    for (path, answer) in [
        (other, (404, "not found")),
        ("/ping/orders".to_owned(), (404, "not found")),
        ("/ping/5bf66975d4c74bf5bcc8b8d8a82ea278/billing".to_owned(), (404, "not found")),
        (format!("{ID}/256"), (400, "invalid url format")),
        (format!("{ID}?rid=1"), (400, "invalid uuid format")),
    ] {
        let told = ping(&house, Method::GET, &path, "").await;
        assert_eq!(told, (answer.0, answer.1.to_owned()), "{path}");
    }
    assert!(state(&house).await.1["last_heartbeat_at"].is_null());
}

#[tokio::test]
async fn a_body_beyond_all_limits_is_cut_and_the_ping_counts() {
    let house = house().await;
    let big = "x".repeat(60_000);
    let reply = house.request(Request::builder().method(Method::POST).uri(ID), &big).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "OK"));
    assert_eq!(reply.headers["ping-body-limit"], "10000");
    assert!(state(&house).await.1["last_heartbeat_at"].is_string());
}
