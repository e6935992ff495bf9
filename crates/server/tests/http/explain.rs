//! Past moments are explained from the journal, also after a restart and of services that left.

use http::{Method, Request};
use lifesign_core::evidence::{Exit, UnitState};
use serde_json::{Value, json};

use crate::house::*;

const CRASHED: UnitState = UnitState::Stopped { ordered: false, exit: Exit::Code(3) };

/// A page, as somebody who has logged in with `cookie` sees it.
pub(crate) async fn page(house: &House, path: &str, cookie: &str) -> Reply {
    house.request(Request::builder().uri(path).header("cookie", cookie), "").await
}

/// The cookie of somebody who has logged in as admin.
pub(crate) async fn log_in(house: &House) -> String {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", format!("http://{}", house.address));
    let reply = house.request(request, &format!("token={ADMIN}&next=/")).await;
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn texts(explanation: &Value, about: &str) -> Vec<String> {
    explanation["facts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|fact| fact["about"] == about)
        .map(|fact| fact["text"].as_str().unwrap().to_owned())
        .collect()
}

async fn explain(house: &House, id: &str, at: &str) -> Value {
    house.get(&format!("/api/v1/services/{id}/explain?at={at}")).await.json()
}

/// Waits until times written from now on differ from those before.
async fn next_millisecond() {
    let begun = now();
    wait_for("the next millisecond", async || (now() > begun).then_some(())).await;
}

fn now() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_millis()
}

/// A house in which `orders` was up, crashed, and is up again: with the incident and the three moments.
async fn house_with_a_past() -> (House, u64, [String; 3]) {
    let house = House::build(Plan { spec: told(&["orders", "billing"], &["hook"]), ..Plan::default() }).await;
    house.see_running("orders", 7).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    let up = house.wait_for_state("orders", "up").await;
    next_millisecond().await;
    house.see_unit("orders", CRASHED).await;
    let down = house.wait_for_state("orders", "down").await;
    let id = down["incident_id"].as_u64().unwrap();
    next_millisecond().await;
    house.see_running("orders", 8).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    let again = house.wait_for_state("orders", "up").await;
    let since = |service: &Value| service["since"].as_str().unwrap().to_owned();
    let moments = [since(&up), since(&down), since(&again)];
    let newest = moments[2].clone();
    wait_for("the last change to be in the journal", async || {
        let answer = explain(&house, "orders", &newest).await;
        texts(&answer, "evidence").iter().any(|text| text.contains("As judged")).then_some(())
    })
    .await;
    (house, id, moments)
}

#[tokio::test]
async fn a_past_moment_is_told_with_its_evidence_and_its_incident() {
    let (house, incident, [up, down, again]) = house_with_a_past().await;

    let then = explain(&house, "orders", &down).await;
    assert_eq!((&then["state"], &then["reason"]), (&json!("down"), &json!("crashed")));
    assert_eq!((&then["at"], &then["since"]), (&json!(down), &json!(down)));
    let verdict = texts(&then, "verdict");
    assert!(
        verdict[0].starts_with("It had just become down (crashed)") && verdict[1].contains(&down),
        "{verdict:?}"
    );
    let evidence = texts(&then, "evidence");
    assert!(evidence[0].starts_with("As judged at"), "{evidence:?}");
    assert!(evidence.iter().any(|text| text.contains("orders.service")), "{evidence:?}");
    let story = texts(&then, "incident");
    assert!(story[0].starts_with(&format!("Incident {incident} was open")), "{story:?}");
    assert!(story.iter().any(|line| line.contains("opened")), "{story:?}");
    assert!(!story.iter().any(|line| line.contains(" closed")), "that was to come: {story:?}");

    for moment in [&up, &again] {
        let then = explain(&house, "orders", moment).await;
        assert_eq!((&then["state"], &then["since"]), (&json!("up"), &json!(moment)));
        assert_eq!(texts(&then, "incident"), ["No incident of it was open then."]);
    }
    let present = house.get("/api/v1/services/orders/explain").await.json();
    assert_eq!(present["at"], Value::Null);
}

#[tokio::test]
async fn before_the_first_change_the_answer_says_how_far_the_journal_reaches() {
    let (house, _, [up, ..]) = house_with_a_past().await;
    let then = explain(&house, "orders", "2001-09-09T01:46:40Z").await;
    assert_eq!(then["state"], "pending", "its first change was from pending");
    assert_eq!(then["at"], "2001-09-09T01:46:40.000Z");
    let verdict = texts(&then, "verdict");
    assert!(verdict[0].starts_with("Nothing was recorded about it by then"), "{verdict:?}");
    assert!(verdict[0].contains("kept for 90 d") && verdict[0].contains(&up[..10]), "{verdict:?}");

    assert_eq!(explain(&house, "orders", "1000000000").await, then, "seconds are a time too");
    // Known to the configuration only: nothing has happened to it yet.
    let never = explain(&house, "billing", "1000000000").await;
    assert!(texts(&never, "verdict")[0].contains("the journal has no change of it"), "{never}");
}

#[tokio::test]
async fn a_wrong_time_is_400_the_future_422_and_each_says_the_way_out() {
    let house = House::new().await;
    let path = "/api/v1/services/orders/explain";
    for wrong in ["yesterday", "", "09:00", "2026-13-01T00:00:00Z", "99999999999999"] {
        let detail = house.get(&format!("{path}?at={wrong}")).await.problem(400);
        assert!(detail.contains("write it as"), "{detail}");
    }
    house.get(&format!("{path}?when=0")).await.problem(400);
    let detail = house.get(&format!("{path}?at=9999-01-01T00:00:00Z")).await.problem(422);
    assert!(detail.contains("leave `at` away"), "{detail}");
    house.get("/api/v1/services/nobody/explain?at=0").await.problem(404);
    house.send(Method::GET, &format!("{path}?at=0"), Some(SENDER), "").await.problem(403);
}

#[tokio::test]
async fn a_service_that_left_the_configuration_is_explained_from_the_journal() {
    let (house, _, [_, down, _]) = house_with_a_past().await;
    let dir = house.stop().await;
    let house = House::build(Plan { spec: spec(&["billing"]), dir: Some(dir), ..Plan::default() }).await;
    house.get("/api/v1/services/orders/explain").await.problem(404);
    let then = explain(&house, "orders", &down).await;
    assert_eq!(then["state"], "down");
    assert!(!texts(&then, "evidence").is_empty());
}

#[tokio::test]
async fn a_service_says_how_soon_its_death_is_noticed() {
    let house = House::new().await;
    let service = house.get("/api/v1/services/orders").await.json();
    assert_eq!(
        service["detection"],
        json!({"suspect_after": 180.0, "down_after": 300.0, "at_most": 300.0, "hung_after": 300.0})
    );
    let explanation = house.get("/api/v1/services/orders/explain").await.json();
    let next = texts(&explanation, "deadline");
    assert!(next.contains(&"A crash is noticed after 5 min at the latest.".to_owned()), "{next:?}");
}

#[tokio::test]
async fn the_page_of_a_service_leads_to_each_past_moment() {
    let (house, incident, [_, down, _]) = house_with_a_past().await;
    let cookie = log_in(&house).await;
    let present = page(&house, "/services/orders", &cookie).await;
    assert_eq!(present.status, 200);
    let link = format!("/services/orders/explain?at={}", down.replace(':', "%3A"));
    assert!(present.body.contains(&link), "{link}\n{}", present.body);
    assert!(present.body.contains("A crash is noticed after 5 min at the latest."));

    let then = page(&house, &link, &cookie).await;
    assert_eq!(then.status, 200);
    assert!(then.header("content-security-policy").starts_with("default-src 'self'"));
    for part in
        ["Why: orders", "It had just become down (crashed)", &format!("href=\"/incidents/{incident}\"")]
    {
        assert!(then.body.contains(part), "{part}\n{}", then.body);
    }
    for (path, status) in [
        ("/services/orders/explain?at=yesterday", 400),
        ("/services/orders/explain?at=9999-01-01T00:00:00Z", 422),
        ("/services/nobody/explain?at=0", 404),
        ("/services/No%20Body/explain?at=0", 404),
        ("/services/orders/explain", 303),
    ] {
        assert_eq!(page(&house, path, &cookie).await.status.as_u16(), status, "{path}");
    }
}
