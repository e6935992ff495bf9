//! Clients of other monitors, by their own words and against their own answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Request};
use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::zabbix;
use lifesign_server::auth::Digest;
use lifesign_server::engine::Unreached;
use lifesign_server::limits::Limits;
use lifesign_server::peer::{GatusEndpoint, Opened, PeerTable, Sockets};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::house::{GUEST, House, Plan, Reply, SENDER, spec, wait_for};
use crate::overload::hold_up;

const UUID: &str = "f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4e";
const PUSH: &str = "a-push-token-of-32-letters-long1";
const PING_KEY: &str = "a-ping-key-of-22-chars";

fn id(text: &str) -> ServiceId {
    ServiceId::new(text).unwrap()
}

fn table() -> PeerTable {
    let mut table = PeerTable::default();
    table.healthchecks.insert(UUID, id("orders"));
    table.ping_keys.insert(PING_KEY, ());
    table.uptime_kuma.insert(PUSH, id("orders"));
    let token = Some(Digest::of("gatus-own-token"));
    table.gatus.insert("core_orders".to_owned(), GatusEndpoint { service: id("orders"), token });
    table.vigil.insert("shop/web-01".to_owned(), id("orders"));
    table.vigil.insert("shop/web-01/second".to_owned(), id("billing"));
    table.consul.insert("service:orders".to_owned(), id("orders"));
    table.nagios.insert("web-01;Orders".to_owned(), id("orders"));
    table.nagios.insert("web-01".to_owned(), id("billing"));
    table.statsd.insert("shop.orders".to_owned(), id("orders"));
    let items = vec![("orders.".to_owned(), id("orders")), ("billing.".to_owned(), id("billing"))];
    table.zabbix.insert("web-01".to_owned(), items);
    table
}

async fn house() -> House {
    House::build(Plan { peers: table(), ..Plan::default() }).await
}

async fn call(house: &House, method: Method, path: &str, header: Option<(&str, &str)>, body: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    house.request(request, body).await
}

/// What the heartbeat of a service says.
async fn heart(house: &House, service: &str) -> (Value, String) {
    let shown = house.get(&format!("/api/v1/services/{service}")).await.json();
    let checks = shown["checks"].as_array().unwrap();
    let heart = checks.iter().find(|check| check["kind"] == "heartbeat").unwrap();
    (shown["metrics"].clone(), heart["output"].as_str().unwrap().to_owned())
}

async fn is_beating(house: &House, service: &str) -> bool {
    !house.get(&format!("/api/v1/services/{service}")).await.json()["last_heartbeat_at"].is_null()
}

#[tokio::test]
async fn a_ping_is_answered_as_healthchecks_answers_it() {
    let house = house().await;
    let ping = async |method: Method, path: &str, body: &str| {
        let reply =
            call(&house, method, &path.replace("UUID", UUID).replace("KEY", PING_KEY), None, body).await;
        assert_eq!(reply.header("ping-body-limit"), "10000", "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        assert!(reply.header("cache-control").contains("no-store"), "{path}");
        (reply.status.as_u16(), reply.body)
    };
    let ok = (200, "OK".to_owned());
    for silent in ["/ping/UUID/start", "/ping/UUID/log", "/ping/KEY/orders/start?rid=UUID"] {
        assert_eq!(ping(Method::POST, silent, "").await, ok, "{silent}");
    }
    assert!(!is_beating(&house, "orders").await, "a start is no sign that a run ever ends");
    assert_eq!(ping(Method::GET, "/ping/UUID", "").await, ok);
    assert!(is_beating(&house, "orders").await);
    assert_eq!(ping(Method::HEAD, "/ping/UUID/", "").await, (200, String::new()));
    assert_eq!(ping(Method::POST, "/ping/UUID/7", "no room").await, ok);
    assert_eq!(heart(&house, "orders").await.1, "exit code 7: no room");
    assert_eq!(ping(Method::PUT, "/ping/KEY/billing/0?rid=UUID", "").await, ok);
    assert!(is_beating(&house, "billing").await);
    for (path, status, words) in [
        ("/ping/UUID/256", 400, "invalid url format"),
        ("/ping/KEY/Orders", 400, "invalid url format"),
        ("/ping/UUID?rid=7", 400, "invalid uuid format"),
        ("/ping/f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4f/256", 404, "not found"),
        ("/ping/KEY/nobody", 404, "not found"),
        ("/ping/KEY/nobody?create=1", 404, "not found"),
        ("/ping/wrong-key-of-22-chars/orders", 404, "not found"),
    ] {
        assert_eq!(ping(Method::GET, path, "").await, (status, words.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_ping_tells_a_job_of_its_run_and_rid_pairs_beginning_and_end() {
    let mut spec = spec(&["orders", "billing"]);
    let every = lifesign_core::job::Schedule::Every(Duration::from_secs(86_400));
    spec.services[0].unit = None;
    spec.services[0].heartbeat = None;
    spec.services[0].job = Some(lifesign_core::job::JobSpec {
        schedule: every,
        grace: Duration::from_secs(60),
        max_runtime: None,
    });
    let house = House::build(Plan { peers: table(), spec, ..Plan::default() }).await;
    let ping = async |tail: &str, body: &str| {
        let reply = call(&house, Method::POST, &format!("/ping/{UUID}{tail}"), None, body).await;
        assert_eq!(reply.status, 200, "{tail}");
        house.get("/api/v1/services/orders").await.json()
    };
    let other = UUID.replace("f3b1", "aaaa");
    ping(&format!("/start?rid={UUID}"), "").await;
    let shown = ping(&format!("/start?rid={other}"), "").await;
    assert_eq!(shown["job"]["running"].as_array().unwrap().len(), 2, "{shown}");
    let shown = ping(&format!("/0?rid={UUID}"), "4 tables").await;
    assert_eq!(shown["job"]["running"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["job"]["running"][0]["id"], *other);
    assert_eq!(shown["job"]["last_run"]["output"], "4 tables");
    assert_eq!(shown["state"], "up");
    let noted = ping("/log", "half way").await;
    assert_eq!((&noted["state"], &noted["job"]["last_run"]), (&shown["state"], &shown["job"]["last_run"]));
    let shown = ping(&format!("/9?rid={other}"), "no space left").await;
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("down"), &json!("crashed")));
    assert_eq!(shown["job"]["last_run"]["exit_code"], 9);
}

#[tokio::test]
async fn a_slug_makes_its_service_where_heartbeats_may() {
    let house = House::build(Plan { peers: table(), create_unknown: true, ..Plan::default() }).await;
    let ping = async |path: &str| {
        let reply = call(&house, Method::POST, &format!("/ping/{PING_KEY}/{path}"), None, "").await;
        (reply.status.as_u16(), reply.body)
    };
    assert_eq!(ping("night-backup").await, (404, "not found".to_owned()), "it was not asked for");
    assert_eq!(ping("night-backup?create=1").await, (201, "Created".to_owned()));
    assert_eq!(ping("night-backup?create=1").await, (200, "OK".to_owned()));
    assert!(is_beating(&house, "night-backup").await);
}

#[tokio::test]
async fn a_body_is_read_to_its_end_and_kept_to_its_limit() {
    let house = house().await;
    let body = "x".repeat(300_000);
    let reply = call(&house, Method::POST, &format!("/ping/{UUID}/fail"), None, &body).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, "OK"));
    assert_eq!(heart(&house, "orders").await.1.len(), 1024, "the limit of every message");
}

#[tokio::test]
async fn a_push_is_answered_as_uptime_kuma_answers_it() {
    let house = house().await;
    let push = async |query: &str| {
        let reply = call(&house, Method::GET, &format!("/api/push/{PUSH}{query}"), None, "").await;
        (reply.status.as_u16(), reply.body)
    };
    assert_eq!(push("?status=up&msg=OK&ping=12.5").await, (200, r#"{"ok":true}"#.to_owned()));
    assert_eq!(heart(&house, "orders").await, (json!({"ping_seconds": 0.0125}), "OK".to_owned()));
    assert_eq!(push("?status=down&msg=disk%20full").await.0, 200);
    assert_eq!(heart(&house, "orders").await.1, "disk full");
    let invalid = r#"{"ok":false,"msg":"Invalid ping value. Must be between 0 and 100000000000 ms."}"#;
    assert_eq!(push("?ping=-1").await, (404, invalid.to_owned()));
    let other = call(&house, Method::POST, "/api/push/another-token-of-many-letters", None, "").await;
    assert_eq!(other.body, r#"{"ok":false,"msg":"Monitor not found or not active."}"#);
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn an_external_endpoint_is_answered_as_gatus_answers_it() {
    let house = house().await;
    let report = async |path: &str, token: Option<&str>| {
        let header = token.map(|token| format!("Bearer {token}"));
        let header = header.as_deref().map(|header| ("authorization", header));
        let reply = call(&house, Method::POST, &format!("/api/v1/endpoints/{path}"), header, "").await;
        (reply.status.as_u16(), reply.body)
    };
    let own = Some("gatus-own-token");
    assert_eq!(report("core_orders/external?success=true&duration=250ms", own).await, (200, String::new()));
    assert_eq!(heart(&house, "orders").await.0, json!({"duration_seconds": 0.25}));
    let failing = "core_orders/external?success=false&error=no%20answer";
    assert_eq!(report(failing, Some(SENDER)).await, (200, String::new()));
    assert_eq!(heart(&house, "orders").await.1, "no answer");
    for (path, token, status, words) in [
        ("core_orders/external", None, 400, "missing or invalid success query parameter"),
        ("core_orders/external?success=true", None, 401, "invalid Authorization header"),
        ("core_orders/external?success=true", Some(" "), 401, "bearer token must not be empty"),
        ("nobody_here/external?success=true", Some("wrong"), 404, "not found"),
        ("core_orders/external?success=true", Some("wrong"), 401, "invalid token"),
        ("core_orders/external?success=true", Some(GUEST), 401, "invalid token"),
        (
            "core_orders/external?success=true&duration=5",
            own,
            400,
            "invalid duration: time: missing unit in duration \"5\"",
        ),
    ] {
        // A header's value loses the blanks at its end.
        let words = if token == Some(" ") { "invalid Authorization header" } else { words };
        assert_eq!(report(path, token).await, (status, words.to_owned()), "{path}");
    }
}

/// `Authorization` with this password, whoever's it is.
fn basic(password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!(":{password}");
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * place) & 63];
            encoded.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    format!("Basic {encoded}")
}

#[tokio::test]
async fn a_reporter_of_vigil_is_heard_by_node_and_by_replica() {
    let house = house().await;
    let header = basic(SENDER);
    let report = async |path: &str, body: &str| {
        let header = Some(("authorization", header.as_str()));
        call(&house, Method::POST, path, header, body).await.status.as_u16()
    };
    let load = r#"{"replica":"first","interval":30,"load":{"cpu":0.5,"ram":0.25}}"#;
    assert_eq!(report("/reporter/shop/web-01/", load).await, 200);
    assert_eq!(heart(&house, "orders").await.0, json!({"cpu": 50.0, "memory": 25.0}));
    assert_eq!(report("/reporter/shop/web-01", &load.replace("first", "second")).await, 200);
    assert!(is_beating(&house, "billing").await);
    assert_eq!(report("/reporter/shop/web-01/", "{}").await, 400);
    assert_eq!(report("/reporter/shop/web-02/", load).await, 404);
    let weak = basic(GUEST);
    for header in [None, Some(("authorization", weak.as_str()))] {
        let reply = call(&house, Method::POST, "/reporter/shop/web-01/", header, load).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"lifesign\"");
    }
    let leave = Some(("authorization", header.as_str()));
    let reply = call(&house, Method::DELETE, "/reporter/shop/web-01/first/", leave, "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(heart(&house, "orders").await.1, "it said goodbye");
}

#[tokio::test]
async fn a_ttl_check_of_consul_passes_warns_fails_and_is_listed() {
    let house = house().await;
    let put = async |path: &str, body: &str| {
        let header = Some(("x-consul-token", SENDER));
        let reply = call(&house, Method::PUT, &format!("/v1/agent/check/{path}"), header, body).await;
        (reply.status.as_u16(), reply.body)
    };
    let ok = (200, String::new());
    let ttl = r#"{"ID":"service:orders","Name":"orders","TTL":"30s"}"#;
    assert_eq!(put("register", ttl).await, ok);
    assert_eq!(put("pass/service:orders?note=all%20is%20well", "").await, ok);
    assert_eq!(heart(&house, "orders").await.1, "all is well");
    assert_eq!(put("fail/service:orders?note=no", "").await, ok);
    assert_eq!(heart(&house, "orders").await.1, "no");
    assert_eq!(put("update/service:orders", r#"{"Status":"warning","Output":"slow"}"#).await, ok);
    assert_eq!(heart(&house, "orders").await.1, "warning: slow");
    assert_eq!(put("update/service:orders", r#"{"Status":"good"}"#).await.0, 400);
    assert_eq!(put("pass/nobody", "").await.0, 404);
    assert_eq!(put("register", &ttl.replace("service:orders", "other")).await.0, 404);
    let none = call(&house, Method::PUT, "/v1/agent/check/pass/service:orders", None, "").await;
    assert_eq!(none.status, 403);
    let in_query = format!("/v1/agent/check/pass/service:orders?token={SENDER}");
    assert_eq!(call(&house, Method::PUT, &in_query, None, "").await.status, 200);
    let listed =
        call(&house, Method::GET, "/v1/agent/checks", Some(("x-consul-token", GUEST)), "").await.json();
    assert_eq!(listed["service:orders"]["CheckID"], "service:orders");
    assert_eq!(listed["service:orders"]["Name"], "orders");
    assert_eq!(put("deregister/service:orders", "").await, ok);
}

#[tokio::test]
async fn clients_of_consul_need_no_token_where_that_is_configured_and_browsers_always_do() {
    let from = vec!["127.0.0.1".parse().unwrap()];
    let peers = PeerTable { consul_from: from, ..table() };
    let house = House::build(Plan { peers, ..Plan::default() }).await;
    let pass = "/v1/agent/check/pass/service:orders";
    // As an older client does it.
    assert_eq!(call(&house, Method::GET, pass, None, "").await.status, 200);
    assert!(is_beating(&house, "orders").await);
    for header in
        [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("x-consul-token", "wrong")]
    {
        assert_eq!(call(&house, Method::GET, pass, Some(header), "").await.status, 403, "{header:?}");
    }
}

#[tokio::test]
async fn passive_results_of_nagios_come_as_lines_and_as_icingas_action() {
    let house = house().await;
    let token = format!("Bearer {SENDER}");
    let post = async |path: &str, body: &str| {
        call(&house, Method::POST, path, Some(("authorization", token.as_str())), body).await
    };
    let lines = "[1732262400] PROCESS_SERVICE_CHECK_RESULT;web-01;Orders;1;WARNING: slow | time=0.5s\n\
                 [1732262400] PROCESS_HOST_CHECK_RESULT;web-01;0;PING OK\n\
                 [1732262400] PROCESS_HOST_CHECK_RESULT;web-02;0;PING OK\nnonsense\n";
    let reply = post("/nagios/commands", lines).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["taken"], 2);
    assert_eq!(reply.json()["refused"].as_array().unwrap().len(), 2, "{}", reply.body);
    assert_eq!(heart(&house, "orders").await, (json!({"time": 0.5}), "WARNING: slow".to_owned()));
    assert!(is_beating(&house, "billing").await);
    assert_eq!(post("/nagios/commands", "nonsense").await.status, 400);
    let action = r#"{"exit_status":2,"plugin_output":"CRITICAL: gone"}"#;
    let reply = post("/v1/actions/process-check-result?service=web-01!Orders", action).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json()["results"][0]["status"],
        "Successfully processed check result for object 'web-01!Orders'."
    );
    assert_eq!(heart(&house, "orders").await.1, "CRITICAL: gone");
    assert_eq!(post("/v1/actions/process-check-result?service=web-01!Other", action).await.status, 404);
    assert_eq!(call(&house, Method::POST, "/nagios/commands", None, lines).await.status, 401);
}

/// A house with both sockets open on the loopback, and their addresses.
async fn house_with_sockets(from: &str) -> (House, SocketAddr, SocketAddr) {
    let from = vec![from.parse().unwrap()];
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (statsd, zabbix) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let sockets = Sockets {
        statsd: Some(Opened { socket: udp, from: from.clone() }),
        zabbix: Some(Opened { socket: tcp, from }),
        ..Sockets::default()
    };
    (House::build(Plan { peers: table(), sockets, ..Plan::default() }).await, statsd, zabbix)
}

async fn refused(house: &House, reason: &str) -> bool {
    house.get("/metrics").await.body.contains(&format!("heartbeats_refused_total{{reason=\"{reason}\"}}"))
}

#[tokio::test]
async fn gauges_and_service_checks_come_by_udp() {
    let (house, statsd, _) = house_with_sockets("127.0.0.0/8").await;
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.send_to(b"shop.orders.queue:12|g\nshop.orders.age:0.5|g\nhits:1|c", statsd).await.unwrap();
    wait_for("the gauges", async || {
        (heart(&house, "orders").await.0 == json!({"queue": 12.0, "age": 0.5})).then_some(())
    })
    .await;
    assert!(refused(&house, "invalid").await, "a counter is refused and counted");
    sender.send_to(b"_sc|shop.orders|2|m:no database", statsd).await.unwrap();
    wait_for("the service check", async || (heart(&house, "orders").await.1 == "no database").then_some(()))
        .await;
    house.stop().await;
}

#[tokio::test]
async fn strangers_are_not_heard_and_counted() {
    let (house, statsd, zabbix) = house_with_sockets("192.0.2.0/24").await;
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.send_to(b"shop.orders.queue:12|g", statsd).await.unwrap();
    wait_for("the stranger to be counted", async || refused(&house, "stranger").await.then_some(())).await;
    let mut stream = TcpStream::connect(zabbix).await.unwrap();
    let mut answer = Vec::new();
    // Closed at once: nothing, or a reset.
    drop(stream.read_to_end(&mut answer).await);
    assert!(answer.is_empty());
    assert!(!is_beating(&house, "orders").await);
}

/// Sends bytes to the trapper and reads its answer.
async fn trap(address: SocketAddr, bytes: &[u8]) -> Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(&answer[..5], b"ZBXD\x01");
    serde_json::from_slice(&answer[13..]).unwrap()
}

#[tokio::test]
async fn values_of_trapper_items_are_counted_in_the_answer() {
    let (house, _, zabbix) = house_with_sockets("127.0.0.0/8").await;
    let request = json!({"request": "sender data", "data": [
        {"host": "web-01", "key": "orders.queue", "value": "12"},
        {"host": "web-01", "key": "orders.message", "value": "fine"},
        {"host": "web-01", "key": "billing.status", "value": "1"},
        {"host": "web-01", "key": "orders.queue.age", "value": "old"},
        {"host": "web-02", "key": "x", "value": "1"},
    ]});
    let answer = trap(zabbix, &zabbix::frame(request.to_string().as_bytes())).await;
    assert_eq!(answer["response"], "success");
    assert!(answer["info"].as_str().unwrap().starts_with("processed: 3; failed: 2; total: 5; "), "{answer}");
    assert_eq!(heart(&house, "orders").await, (json!({"queue": 12.0}), "fine".to_owned()));
    assert!(is_beating(&house, "billing").await);
    for wrong in [&zabbix::frame(b"{}")[..], b"GET / HTTP/1.1\r\n\r\n", b"ZBXD\x03\x05\0\0\0\x05\0\0\0"] {
        assert_eq!(trap(zabbix, wrong).await["response"], "failed");
    }
}

#[tokio::test]
async fn a_rate_is_held_with_429_and_a_time_to_wait() {
    let limits = Limits { beats_per_second: std::num::NonZeroU32::new(1), ..Limits::default() };
    let plan = Plan { peers: table(), limits, spec: spec(&["orders", "billing"]), ..Plan::default() };
    let house = House::build(plan).await;
    let mut statuses = BTreeMap::new();
    for path in [format!("/ping/{UUID}"), format!("/api/push/{PUSH}"), format!("/ping/{PING_KEY}/orders")] {
        let reply = call(&house, Method::GET, &path, None, "").await;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
        }
        *statuses.entry(reply.status.as_u16()).or_insert(0) += 1;
    }
    assert!(statuses[&429] >= 1 && statuses[&200] >= 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_is_said_in_every_peers_way_and_nothing_is_lost_silently() {
    let (house, _, zabbix) = house_with_sockets("127.0.0.0/8").await;
    let release = hold_up(&house.state.engine).await;
    let engine = house.state.engine.clone();
    // Whoever finds no room ends the filling; the others wait for their answers.
    let (full, is_full) = tokio::sync::oneshot::channel();
    let filling = tokio::spawn(async move {
        let mut waiting = tokio::task::JoinSet::new();
        loop {
            let filler = engine.clone();
            waiting.spawn(async move { filler.beats(vec![Beat::alive(id("billing"))]).await });
            tokio::task::yield_now().await;
            if waiting.try_join_next().is_some_and(|refused| refused.unwrap() == Err(Unreached::Busy)) {
                full.send(()).unwrap();
                return waiting.join_all().await;
            }
        }
    });
    is_full.await.unwrap();
    let token = format!("Bearer {SENDER}");
    for (method, path, body) in [
        (Method::GET, format!("/ping/{UUID}"), ""),
        (Method::POST, format!("/ping/{UUID}/3"), "no room"),
        (Method::GET, format!("/api/push/{PUSH}"), ""),
        (Method::POST, "/api/v1/endpoints/core_orders/external?success=true".to_owned(), ""),
        (Method::PUT, "/v1/agent/check/pass/service:orders".to_owned(), ""),
        (
            Method::POST,
            "/reporter/shop/web-01/".to_owned(),
            r#"{"replica":"a","interval":30,"health":"healthy"}"#,
        ),
        (Method::POST, "/nagios/commands".to_owned(), "[1] PROCESS_HOST_CHECK_RESULT;web-01;0;OK"),
    ] {
        let reply = call(&house, method, &path, Some(("authorization", token.as_str())), body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("retry-after")),
            (429, "1"),
            "{path}: {}",
            reply.body
        );
    }
    let request =
        json!({"request": "sender data", "data": [{"host": "web-01", "key": "orders.queue", "value": "1"}]});
    let answer = trap(zabbix, &zabbix::frame(request.to_string().as_bytes())).await;
    assert_eq!(answer["response"], "failed", "{answer}");
    drop(release);
    filling.await.unwrap();
    // All of these were counted: seven by HTTP, one by TCP.
    wait_for("the refusals to be counted", async || {
        let metrics = house.get("/metrics").await.body;
        let busy = metrics.lines().find(|line| line.contains("heartbeats_refused_total{reason=\"busy\"}"))?;
        (busy.rsplit(' ').next().unwrap().parse::<u32>().unwrap() >= 8).then_some(())
    })
    .await;
    assert_eq!(call(&house, Method::GET, &format!("/ping/{UUID}"), None, "").await.status, 200);
}
