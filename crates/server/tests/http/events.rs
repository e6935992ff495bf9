//! Server-sent events: what is told, what a client that comes back gets, what a slow one is told.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use lifesign_core::evidence::{Exit, UnitState};
use lifesign_server::events::RING;
use lifesign_server::limits::Limits;
use serde_json::Value;

use crate::house::{ADMIN, House, Plan, Reply, WITHIN};

/// One event as it was sent.
#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// A reader of the stream, as a browser is one.
struct Stream {
    body: Incoming,
    buffer: String,
}

impl Stream {
    async fn open(house: &House, last_seen: Option<&str>) -> Self {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri("/api/v1/events")
            .header("authorization", format!("Bearer {ADMIN}"));
        if let Some(id) = last_seen {
            request = request.header("last-event-id", id);
        }
        let response = house.open_stream(request, "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { body: response.into_body(), buffer: String::new() };
        // The greeting says that everything from now on is heard.
        stream.block().await.expect("a greeting");
        stream
    }

    /// The text up to the next empty line; `None`: the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let block = block.to_owned();
                self.buffer = rest.to_owned();
                return Some(block);
            }
            let frame = tokio::time::timeout(WITHIN, self.body.frame()).await.expect("an event in time")?;
            let data = frame.ok()?.into_data().ok()?;
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            if let Some(name) = field("event") {
                let data = serde_json::from_str(&field("data").unwrap()).unwrap();
                return Some(Event { id: field("id").unwrap_or_default(), name, data });
            }
        }
    }

    async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == name {
                return event;
            }
        }
    }
}

async fn crash(house: &House, service: &str) {
    house.see_unit(service, UnitState::Stopped { ordered: false, exit: Exit::Code(1) }).await;
}

#[tokio::test]
async fn a_crash_is_told_as_state_incident_and_alert() {
    let house = House::new().await;
    let mut stream = Stream::open(&house, None).await;
    crash(&house, "orders").await;
    let state = stream.next_named("state").await;
    assert_eq!(state.data["service_id"], "orders");
    assert_eq!((&state.data["state"], &state.data["reason"]), (&"down".into(), &"crashed".into()));
    let incident = stream.next_named("incident").await;
    assert_eq!((&incident.data["service_id"], &incident.data["closed_at"]), (&"orders".into(), &Value::Null));
    let alert = stream.next_named("alert").await;
    assert_eq!(
        (&alert.data["state"], &alert.data["labels"]["alertname"]),
        (&"firing".into(), &"ServiceDown".into())
    );
    assert!(!alert.id.is_empty());
}

#[tokio::test]
async fn an_order_is_told_as_an_action() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    let mut stream = Stream::open(&house, None).await;
    let action = house.post("/api/v1/services/orders/restart", "").await.json()["action_id"].clone();
    let event = stream.next_named("action").await;
    assert_eq!((&event.data["id"], &event.data["status"]), (&action, &"ordered".into()));
    assert_eq!((&event.data["verb"], &event.data["by"]), (&"restart".into(), &"anna".into()));
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_in_order() {
    let house = House::new().await;
    let mut stream = Stream::open(&house, None).await;
    crash(&house, "orders").await;
    let first = stream.next_named("state").await;
    drop(stream);
    crash(&house, "billing").await;
    house.wait_for_state("billing", "down").await;
    let mut stream = Stream::open(&house, Some(&first.id)).await;
    let rest = stream.next().await.unwrap();
    assert_eq!((rest.name.as_str(), &rest.data["service_id"]), ("incident", &"orders".into()));
    assert_eq!(stream.next_named("state").await.data["service_id"], "billing");
}

#[tokio::test]
async fn a_client_from_an_earlier_life_is_told_to_start_afresh() {
    let house = House::new().await;
    let request = Request::builder()
        .uri("/api/v1/events")
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("last-event-id", "1-5");
    let response = house.open_stream(request, "").await;
    let mut stream = Stream { body: response.into_body(), buffer: String::new() };
    assert_eq!(stream.next().await.unwrap().name, "reset");
    crash(&house, "orders").await;
    stream.next_named("state").await;
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_told_so_and_let_go() {
    let house = House::new().await;
    let mut stream = Stream::open(&house, None).await;
    crash(&house, "orders").await;
    let state = stream.next_named("state").await;
    // Far more than the sockets between hold.
    let transition = lifesign_core::effect::Transition {
        at: lifesign_core::time::Wall::from_millis(0),
        service: lifesign_core::model::ServiceId::new("orders").unwrap(),
        from: lifesign_core::model::State::Up,
        to: lifesign_core::model::State::Down,
        reason: None,
        detail: "x".repeat(8192),
        facts: Vec::new(),
    };
    for _ in 0..4 * RING {
        house.state.events.publish(transition.at, lifesign_server::events::Live::State(transition.clone()));
    }
    let mut last = state;
    while let Some(event) = stream.next().await {
        last = event;
    }
    assert_eq!(last.name, "reset");
}

#[tokio::test]
async fn there_are_only_so_many_places() {
    let limits = Limits { followers: 1, ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    let stream = Stream::open(&house, None).await;
    let refused = house.get("/api/v1/events").await;
    refused.problem(503);
    assert!(!refused.header("retry-after").is_empty());
    drop(stream);
    crate::house::wait_for("the place to be free", async || {
        let request =
            Request::builder().uri("/api/v1/events").header("authorization", format!("Bearer {ADMIN}"));
        let response = house.open_stream(request, "").await;
        if response.status() == 200 {
            Some(())
        } else {
            drop(Reply::of(response).await);
            None
        }
    })
    .await;
}

#[tokio::test]
async fn the_stream_ends_when_the_server_stops() {
    let house = House::new().await;
    let mut stream = Stream::open(&house, None).await;
    let begun = std::time::Instant::now();
    house.stop().await;
    assert_eq!(stream.next().await, None);
    assert!(begun.elapsed() < Duration::from_secs(3), "nothing had to be cut off: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let house = House::new().await;
    let mut stream = Stream::open(&house, None).await;
    house.state.access.exchange(lifesign_server::auth::AccessTable::default());
    assert_eq!(stream.next().await, None);
    house.get("/api/v1/events").await.problem(401);
}
