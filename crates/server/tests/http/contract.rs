//! A client written from the contract alone.

use http::Method;
use lifesign_core::evidence::{Exit, UnitState};
use serde_json::{Value, json};

use crate::house::{ADMIN, GUEST, House, Plan, SENDER, wait_for};

const CRASHED: UnitState = UnitState::Stopped { ordered: false, exit: Exit::Code(1) };

fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    assert!(text.len() == 24 && text.ends_with('Z') && text.as_bytes()[19] == b'.', "{text}");
}

#[tokio::test]
async fn a_heartbeat_is_acknowledged_with_the_state_of_its_service() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    let body = r#"{"service_id":"orders","timestamp":1732262400,"status":"alive","metrics":{"cpu":12.5}}"#;
    let reply = house.post("/api/v1/heartbeats", body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json(), json!({"acks":[{"service_id":"orders","state":"up","accepted":true}]}));

    let service = house.get("/api/v1/services/orders").await.json();
    assert_eq!(service["id"], "orders");
    assert_eq!(service["host"], "web-01");
    assert_eq!(service["state"], "up");
    assert_eq!(service["reason"], Value::Null);
    assert_eq!(service["metrics"], json!({"cpu": 12.5}));
    assert_eq!(service["incident_id"], Value::Null);
    assert_eq!(service["paused"], false);
    assert_time(&service["since"]);
    assert_time(&service["last_heartbeat_at"]);
    let kinds: Vec<&Value> =
        service["checks"].as_array().unwrap().iter().map(|check| &check["kind"]).collect();
    assert_eq!(kinds, ["unit", "heartbeat"]);
    for check in service["checks"].as_array().unwrap() {
        assert!(check["name"].is_string() && check["state"].is_string() && check["output"].is_string());
    }
}

#[tokio::test]
async fn in_an_array_each_heartbeat_counts_by_itself() {
    let house = House::new().await;
    let body = r#"[{"service_id":"orders"},{"service_id":"nobody"},{"service_id":"billing","status":"zzz"},
        {"service_id":"billing","timestamp":"2026-11-22T09:00:00Z"}]"#;
    let acks = house.post("/api/v1/heartbeats", body).await.json();
    let accepted: Vec<&Value> = acks["acks"].as_array().unwrap().iter().map(|ack| &ack["accepted"]).collect();
    assert_eq!(accepted, [true, false, false, true]);
    assert_eq!(acks["acks"][1]["service_id"], "nobody");
    assert!(acks["acks"][1]["error"].as_str().unwrap().contains("no service"));
    assert!(acks["acks"][2]["error"].as_str().unwrap().contains("alive"));
    assert_eq!(house.post("/api/v1/heartbeats", "[]").await.json(), json!({"acks": []}));
}

#[tokio::test]
async fn a_wrong_heartbeat_is_told_what_is_wrong_and_where() {
    let house = House::new().await;
    let post = async |body: &str| house.post("/api/v1/heartbeats", body).await;
    let malformed = post("{\"service_id\":\n \"orders\",}").await.problem(400);
    assert!(malformed.contains("line 2"), "{malformed}");
    assert!(post(r#"{"service_id":"nobody"}"#).await.problem(404).contains("nobody"));
    let invalid = post(r#"{"service_id":"orders","metrics":{"cpu":"x"}}"#).await;
    invalid.problem(422);
    assert_eq!(invalid.json()["errors"][0]["pointer"], "/metrics/cpu");
    post("7").await.problem(422);
    post("").await.problem(400);
}

#[tokio::test]
async fn an_unknown_service_is_made_by_its_heartbeat_where_that_is_allowed_and_no_more_than_allowed() {
    let house = House::build(Plan { create_unknown: true, ..Plan::default() }).await;
    for id in ["new-1", "new-2"] {
        let reply = house.post("/api/v1/heartbeats", &format!(r#"{{"service_id":"{id}"}}"#)).await;
        assert_eq!(reply.json()["acks"][0]["accepted"], true, "{reply:?}");
        assert_eq!(house.get(&format!("/api/v1/services/{id}")).await.status, 200);
    }
    house.post("/api/v1/heartbeats", r#"{"service_id":"new-3"}"#).await.problem(404);
    let ids = house.get("/api/v1/services").await.json();
    assert_eq!(ids["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn services_are_listed_in_pages_and_by_state_and_host() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    house.wait_for_state("orders", "up").await;
    let first = house.get("/api/v1/services?limit=1").await.json();
    assert_eq!(first["items"][0]["id"], "orders");
    let next = first["next"].as_str().unwrap();
    let second = house.get(&format!("/api/v1/services?limit=1&cursor={next}")).await.json();
    assert_eq!(second["items"][0]["id"], "billing");
    assert_eq!(second["next"], Value::Null);
    let ids = async |query: &str| {
        let list = house.get(&format!("/api/v1/services?{query}")).await.json();
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("state=up").await, ["orders"]);
    assert_eq!(ids("host=web-01").await, ["orders", "billing"]);
    assert!(ids("host=elsewhere").await.is_empty());
    for wrong in ["state=fine", "limit=0", "limit=x", "cursor=gone", "stat=up"] {
        let detail = house.get(&format!("/api/v1/services?{wrong}")).await.problem(400);
        assert!(detail.contains("query"), "{detail}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_404_and_a_wrong_method_405() {
    let house = House::new().await;
    for path in [
        "/api/v1/services/nobody",
        "/api/v1/services/No%20Body",
        "/api/v1/services/nobody/explain",
        "/api/v1/incidents/99",
        "/api/v1/incidents/abc",
        "/api/v1/plans",
        "/api/v1/auth/token",
        "/api/v2",
        "/api",
    ] {
        house.get(path).await.problem(404);
    }
    for path in ["/api/v1/services/nobody/restart", "/api/v1/incidents/99/ack", "/api/v1/auth/token"] {
        house.post(path, "").await.problem(404);
    }
    let wrong = house.send(Method::DELETE, "/api/v1/services", Some(ADMIN), "").await;
    wrong.problem(405);
    assert_eq!(wrong.header("allow"), "GET");
    house.get("/api/v1/heartbeats").await.problem(405);
    let head = house.send(Method::HEAD, "/api/v1/services", Some(ADMIN), "").await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn an_incident_is_opened_acknowledged_closed_and_stays_readable() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    house.see_unit("orders", CRASHED).await;
    let service = house.wait_for_state("orders", "down").await;
    assert_eq!(service["reason"], "crashed");
    let id = service["incident_id"].as_u64().expect("an incident is open");

    let open = house.get("/api/v1/incidents?open=true").await.json();
    assert_eq!(open["items"].as_array().unwrap().len(), 1);
    assert_eq!(open["next"], Value::Null);
    let path = format!("/api/v1/incidents/{id}");
    let incident = house.get(&path).await.json();
    assert_eq!(incident["service_id"], "orders");
    assert_eq!(incident["state"], "down");
    assert_eq!(incident["reason"], "crashed");
    assert_time(&incident["opened_at"]);
    assert_time(&incident["detected_at"]);
    assert_eq!(incident["closed_at"], Value::Null);
    assert_eq!(incident["acknowledged_by"], Value::Null);
    let first = &incident["timeline"][0];
    assert_time(&first["at"]);
    assert!(first["what"].is_string() && first["detail"].is_string());

    let ack = house.post(&format!("{path}/ack"), "").await;
    assert_eq!(ack.status, 200, "{ack:?}");
    assert_eq!(ack.json()["acknowledged_by"], "anna");
    let alerts = house.get("/api/v1/alerts").await.json();
    let labels = &alerts["items"][0]["labels"];
    assert_eq!((&labels["alertname"], &labels["service"]), (&json!("ServiceDown"), &json!("orders")));

    house.see_running("orders", 8).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    house.wait_for_state("orders", "up").await;
    let closed = wait_for("the incident to be closed on the disk", async || {
        let closed = house.get("/api/v1/incidents?open=false").await.json()["items"][0].clone();
        (closed["id"] == id).then_some(closed)
    })
    .await;
    assert_time(&closed["closed_at"]);
    assert_eq!(
        house.get(&path).await.json()["timeline"].as_array().unwrap().last().unwrap()["what"],
        "closed"
    );
    assert!(house.get("/api/v1/incidents?open=true").await.json()["items"].as_array().unwrap().is_empty());
    let again = house.post(&format!("{path}/ack"), "").await.problem(409);
    assert!(again.contains("closed"), "{again}");
}

#[tokio::test]
async fn hosts_rules_and_explanations_can_be_read() {
    let house = House::new().await;
    let hosts = house.get("/api/v1/hosts").await.json();
    assert_eq!(hosts["items"][0]["host"], "web-01");
    assert_eq!(hosts["items"][0]["services"], 2);
    assert_eq!(house.get("/api/v1/rules").await.json(), json!({"items": [], "next": null}));
    assert_eq!(house.get("/api/v1/alerts").await.json(), json!({"items": [], "next": null}));
    assert_eq!(house.get("/api/v1/notifications").await.json(), json!({"items": [], "next": null}));
    let explanation = house.get("/api/v1/services/orders/explain").await.json();
    assert_eq!(explanation["id"], "orders");
    assert!(!explanation["facts"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn health_is_open_to_everybody_and_metrics_are_not() {
    let house = House::new().await;
    let open = async |path: &str| house.send(Method::GET, path, None, "").await;
    assert_eq!(open("/livez").await.status, 200);
    let ready = open("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.json()["status"], "UP");
    for part in ["store", "engine", "outbox", "api"] {
        assert_eq!(ready.json()["details"][part]["status"], "UP", "{part}");
    }
    assert_eq!(open("/api/v1/openapi.json").await.status, 200);
    open("/metrics").await.problem(401);
    let house = House::build(Plan { is_metrics_open: true, ..Plan::default() }).await;
    assert_eq!(house.send(Method::GET, "/metrics", None, "").await.status, 200);
}

#[tokio::test]
async fn metrics_show_every_state_of_every_service_as_0_or_1() {
    let house = House::new().await;
    house.see_running("orders", 7).await;
    house.post("/api/v1/heartbeats", r#"{"service_id":"orders"}"#).await;
    house.wait_for_state("orders", "up").await;
    let metrics = house.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "lifesign_service_state{service=\"orders\",state=\"up\"} 1",
        "lifesign_service_state{service=\"orders\",state=\"down\"} 0",
        "lifesign_service_state{service=\"orders\",state=\"unknown\"} 0",
        "lifesign_service_state{service=\"billing\",state=\"up\"} 0",
        "lifesign_incidents_open 0",
        "lifesign_heartbeats_total 1",
        "lifesign_store_healthy 1",
    ] {
        assert!(metrics.body.lines().any(|seen| seen == line), "{line}\n{}", metrics.body);
    }
    assert!(metrics.body.contains("lifesign_heartbeat_age_seconds{service=\"orders\"}"));
    assert!(metrics.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_heartbeat_needs_write_and_looking_needs_read() {
    let house = House::new().await;
    let beat = r#"{"service_id":"orders"}"#;
    assert_eq!(house.send(Method::POST, "/api/v1/heartbeats", Some(SENDER), beat).await.status, 200);
    house.send(Method::POST, "/api/v1/heartbeats", Some(GUEST), beat).await.problem(403);
    house.send(Method::GET, "/api/v1/services", Some(SENDER), "").await.problem(403);
    assert_eq!(house.send(Method::GET, "/api/v1/services", Some(GUEST), "").await.status, 200);
}
