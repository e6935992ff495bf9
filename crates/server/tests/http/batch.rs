//! Heartbeats as bytes over HTTP: the same rules as in JSON, answered in kind.

use std::num::NonZeroU32;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use lifesign_core::evidence::Beat;
use lifesign_core::model::{ServiceId, State};
use lifesign_proto::batch::{Answer, HEARTBEATS, Writer, read_answer};
use lifesign_server::limits::Limits;
use serde_json::json;

use crate::house::{ADMIN, GUEST, House, Plan, wait_for};

pub(crate) fn beat(id: &str) -> Beat {
    Beat::alive(ServiceId::new(id).unwrap())
}

pub(crate) fn batch(beats: &[Beat]) -> Vec<u8> {
    let mut writer = Writer::default();
    for beat in beats {
        writer.push(beat).unwrap();
    }
    writer.into_bytes()
}

fn asking(token: &str) -> http::request::Builder {
    let request = Request::builder().method(Method::POST).uri("/api/v1/heartbeats");
    request.header("authorization", format!("Bearer {token}")).header("content-type", HEARTBEATS)
}

/// Sends a batch and reads the answer in kind.
async fn send(house: &House, body: &[u8]) -> Vec<Answer> {
    let answer = house.open_stream(asking(ADMIN), body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], HEARTBEATS);
    read_answer(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn a_batch_counts_and_each_of_its_heartbeats_is_answered_in_a_byte() {
    let house = House::new().await;
    let mut sent = beat("orders");
    sent.metrics = vec![("cpu".into(), 1.5)];
    let body = batch(&[sent, beat("nobody"), beat("billing")]);
    let pending = Answer::Taken(State::Pending);
    assert_eq!(send(&house, &body).await, [pending, Answer::Unknown, pending]);
    house.see_running("orders", 7).await;
    wait_for("orders to be up", async || {
        (send(&house, &body).await == [Answer::Taken(State::Up), Answer::Unknown, pending]).then_some(())
    })
    .await;
    let orders = house.get("/api/v1/services/orders").await.json();
    assert_eq!((&orders["state"], &orders["metrics"]["cpu"]), (&json!("up"), &json!(1.5)));
    assert!(send(&house, &batch(&[])).await.is_empty());
}

#[tokio::test]
async fn who_accepts_json_gets_the_words() {
    let house = House::new().await;
    // The second says a status that there is not.
    let mut body = batch(&[beat("orders"), beat("billing")]);
    let second = 3 + 2 + 3 + "orders".len();
    body[second + 2] = 7;
    let reply =
        house.request(asking(ADMIN).header("accept", "text/html, application/json; q=0.9"), &body).await;
    assert_eq!(
        reply.json(),
        json!({"acks": [
            {"service_id": "orders", "state": "pending", "accepted": true},
            {"service_id": "billing", "accepted": false, "error": "/1/status: expected 0, 1 or 2, found 7"},
        ]})
    );
    assert_eq!(send(&house, &body).await, [Answer::Taken(State::Pending), Answer::Invalid]);
    let metrics = house.get("/metrics").await.body;
    assert!(metrics.contains("lifesign_heartbeats_refused_total{reason=\"invalid\"} 2"), "{metrics}");
}

#[tokio::test]
async fn what_is_no_batch_or_not_allowed_is_a_problem() {
    let house = House::new().await;
    let post = async |body: &[u8]| house.request(asking(ADMIN), body).await;
    assert!(post(br#"{"service_id":"orders"}"#).await.problem(400).contains("version 123"));
    assert!(post(b"\x01\x01\0\x09\0\0").await.problem(400).contains("ends within heartbeat 0"));
    let many = batch(&vec![beat("orders"); 1001]);
    assert!(post(&many).await.problem(422).contains("1001 heartbeats in one batch, at most 1000"));
    let full = batch(&vec![beat("orders"); 1000]);
    assert_eq!(send(&house, &full).await.len(), 1000);
    house.request(asking(GUEST), &full).await.problem(403);
    house.request(asking("nobody"), &full).await.problem(401);
    assert!(post(&[0; 65_537]).await.problem(413).contains("65536"));
}

#[tokio::test]
async fn more_than_the_rate_is_said_for_each_heartbeat() {
    let limits = Limits { beats_per_second: NonZeroU32::new(1), ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    let answers = send(&house, &batch(&vec![beat("orders"); 4])).await;
    assert_eq!(answers[0], Answer::Taken(State::Pending));
    assert_eq!(answers.last(), Some(&Answer::TooFast));
}
