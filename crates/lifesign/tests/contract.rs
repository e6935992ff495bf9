//! The outside that users script against: names, shapes, status codes and exit codes. What fails here breaks
//! somebody's script, so it needs a note in the changelog rather than a new expectation.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Hook, Lifesign, PATIENCE, free_port, wait_for};

const GUEST: &str = "guest-of-the-contract-0123456789";
const SENDER: &str = "sender-of-the-contract-0123456789";

/// Nobody listens on `closed`.
fn configuration(closed: u16, hook: &str) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
heartbeats: {{ rate_per_second: 10 }}
access:
  roles: [ {{ name: sender, privileges: [write] }} ]
  tokens:
    - {{ name: visitor, role: guest, token: "{GUEST}" }}
    - {{ name: machine, role: sender, token: "{SENDER}" }}
services:
  - {{ id: orders, heartbeat: {{ interval: 60s }} }}
  - {{ id: quick, heartbeat: {{ interval: 200ms, timeout: 400ms, retries: 2 }} }}
  - {{ id: below, heartbeat: {{ interval: 200ms, timeout: 400ms, retries: 2 }}, depends_on: [quick] }}
  - {{ id: refused, checks: [ {{ tcp: {{ address: "127.0.0.1:{closed}", interval: 200ms, timeout: 100ms, fall: 2 }} }} ] }}
  - id: half
    heartbeat: {{ interval: 60s }}
    checks: [ {{ tcp: {{ address: "127.0.0.1:{closed}", interval: 200ms, timeout: 100ms, fall: 2 }} }} ]
rules: [ {{ alert: HighCpu, when: "cpu > 90", for: 1s, severity: warning }} ]
receivers: [ {{ name: hook, webhook: {{ url: "{hook}" }} }} ]
"#
    )
}

struct Answer {
    status: u16,
    kind: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// One request with exactly this body and these credentials, which the helpers of the other stories choose themselves.
fn ask(lifesign: &Lifesign, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", lifesign.base));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let request =
        request.header("Content-Type", "application/json").body(body.unwrap_or_default().to_owned()).unwrap();
    let mut response = agent.run(request).unwrap();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let text = response.body_mut().read_to_string().unwrap();
    Answer { status: response.status().as_u16(), kind: kind.unwrap_or_default(), text }
}

/// An error as RFC 9457 wants it, with the status of the answer in the body too.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.kind, "application/problem+json", "{}", answer.text);
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-22T09:00:00.000Z`.
#[track_caller]
fn assert_time(time: &Value) {
    let text = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
}

fn start(hook: &Hook) -> (tempfile::TempDir, Lifesign) {
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), &configuration(free_port(), &hook.url));
    (dir, lifesign)
}

#[test]
fn every_answer_to_a_heartbeat_has_its_status_code() {
    let (_dir, lifesign) = start(&Hook::start());
    let path = "/api/v1/heartbeats";
    let beat = |token: Option<&str>, body: &str| ask(&lifesign, "POST", path, token, Some(body));
    let (admin, good) = (lifesign.token.as_str(), r#"{"service_id":"orders"}"#);

    let answer = beat(
        Some(SENDER),
        r#"{"service_id":"orders","timestamp":1732262400,"status":"alive","metrics":{"cpu":12.5}}"#,
    );
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({ "acks": [{ "service_id": "orders", "state": "up", "accepted": true }] })
    );
    let orders = lifesign.service("orders");
    assert_eq!((&orders["state"], &orders["metrics"]["cpu"]), (&json!("up"), &json!(12.5)));
    assert!(
        orders["clock_skew_ms"].as_i64().unwrap() < -1000,
        "an old timestamp is skew, no silence: {orders}"
    );
    assert_eq!(
        beat(Some(admin), r#"{"service_id":"orders","timestamp":"2030-01-01T00:00:00+08:00"}"#).status,
        200
    );

    assert_problem(&beat(None, good), 401);
    let wrong = beat(Some("of-nobody-4711"), good);
    assert_problem(&wrong, 401);
    assert!(!wrong.text.contains("of-nobody-4711"), "a token is never repeated: {}", wrong.text);
    assert_problem(&beat(Some(GUEST), good), 403);
    assert_problem(&beat(Some(admin), r#"{"service_id":"nobody"}"#), 404);
    let malformed = beat(Some(admin), r#"{"service_id":"#);
    assert_problem(&malformed, 400);
    assert!(malformed.text.contains("line 1, column"), "with the place: {}", malformed.text);
    assert_problem(&beat(Some(admin), &format!(r#"{{"service_id":"{}"}}"#, "a".repeat(65 * 1024))), 413);
    for body in [
        r#"{"status":"alive"}"#,
        r#"{"service_id":"orders","status":"dead"}"#,
        r#"{"service_id":"orders","metrics":{"cpu":"high"}}"#,
        r#"{"service_id":"orders","metrics":{"cpu":1e999}}"#,
        r#"{"service_id":"orders","timestamp":"yesterday"}"#,
        r#"{"service_id":"No Id"}"#,
    ] {
        assert_problem(&beat(Some(admin), body), 422);
    }

    let answer =
        beat(Some(admin), r#"[{"service_id":"orders"},{"service_id":"nobody"},{"service_id":"half"}]"#);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let acks = answer.json()["acks"].clone();
    let accepted: Vec<bool> = (0..3).map(|at| acks[at]["accepted"].as_bool().unwrap()).collect();
    assert_eq!(accepted, [true, false, true], "{acks}");
    assert!(acks[1]["error"].as_str().unwrap().contains("nobody"), "{acks}");

    let many = format!("[{}]", vec![good; 200].join(","));
    let limited = wait_for("more than the rate allows", || {
        assert_eq!(beat(Some(admin), &many).status, 200, "in an array each is accepted or refused by itself");
        let answer = beat(Some(admin), good);
        (answer.status != 200).then_some(answer)
    });
    assert_problem(&limited, 429);
    for secret in [admin, GUEST, SENDER, "of-nobody-4711"] {
        let log = std::fs::read_to_string(lifesign.dir.join("stderr.log")).unwrap();
        assert!(!log.contains(secret), "a secret is in the log: {log}");
    }
}

#[test]
fn what_is_open_what_is_guarded_and_what_is_not_there_yet() {
    let (_dir, lifesign) = start(&Hook::start());
    let get = |path: &str, token| ask(&lifesign, "GET", path, token, None);
    for path in ["/livez", "/readyz", "/api/v1/openapi.json"] {
        assert_eq!(get(path, None).status, 200, "{path} is open");
    }
    let ready = get("/readyz", None).json();
    assert_eq!((&ready["status"], &ready["details"]["store"]["status"]), (&json!("UP"), &json!("UP")));

    for list in ["services", "incidents", "alerts", "rules", "notifications", "hosts", "audit"] {
        let path = format!("/api/v1/{list}");
        assert_problem(&get(&path, None), 401);
        assert_problem(&get(&path, Some(SENDER)), 403);
        let answer = get(&path, Some(GUEST));
        assert_eq!((answer.status, answer.kind.as_str()), (200, "application/json"), "{path}");
        let page = answer.json();
        assert!(page["items"].is_array() && page.get("next").is_some(), "{path}: {page}");
    }
    for path in ["/api/v1/services/orders/pause", "/api/v1/services/orders/restart", "/api/v1/reload"] {
        assert_problem(&ask(&lifesign, "POST", path, None, None), 401);
        assert_problem(&ask(&lifesign, "POST", path, Some(GUEST), None), 403);
    }
    for path in ["services/nobody", "services/nobody/explain", "incidents/999999", "nothing-like-this"] {
        assert_problem(&get(&format!("/api/v1/{path}"), Some(GUEST)), 404);
    }
    let restart = ask(&lifesign, "POST", "/api/v1/services/orders/restart", Some(&lifesign.token), None);
    assert_problem(&restart, 409);
    assert!(restart.text.contains("no unit"), "with the reason: {}", restart.text);

    let described = get("/api/v1/openapi.json", None).json();
    for path in ["/api/v1/auth/token", "/api/v1/silences", "/api/v1/plans", "/api/v1/tokens", "/api/v1/users"]
    {
        let answer = get(path, Some(GUEST));
        let is_described = described["paths"].get(path).is_some();
        assert_eq!(answer.status == 404, !is_described, "{path} is built and described, or neither");
    }

    let page = get("/api/v1/services?limit=2", Some(GUEST)).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let next =
        get(&format!("/api/v1/services?limit=9&cursor={}", page["next"].as_str().unwrap()), Some(GUEST))
            .json();
    assert_eq!((next["items"].as_array().unwrap().len(), &next["next"]), (3, &Value::Null));

    let metrics = get("/metrics", Some(GUEST)).text;
    for state in ["pending", "up", "degraded", "suspect", "down", "unknown"] {
        let sample = format!(r#"lifesign_service_state{{service="orders",state="{state}"}}"#);
        assert!(metrics.contains(&sample), "every state has its sample: {state} has none");
    }
}

#[test]
fn silence_is_suspected_then_told_once_and_not_for_what_depends_on_it() {
    let mut hook = Hook::start();
    let (_dir, lifesign) = start(&hook);
    let events = follow_events(&lifesign);
    let both = json!([{ "service_id": "quick" }, { "service_id": "below" }, { "service_id": "half" }]);
    assert_eq!(lifesign.post("/api/v1/heartbeats", &both).0, 200);
    lifesign.wait_for_state("quick", "down", Some("missed_heartbeat"));
    lifesign.wait_for_state("below", "down", Some("dependency_down"));
    lifesign.wait_for_state("refused", "down", Some("check_failed"));
    let half = lifesign.wait_for_state("half", "degraded", Some("check_failed"));
    assert_eq!(half["incident_id"], Value::Null, "degraded opens no incident unless the service says so");
    assert_time(&half["since"]);
    for key in
        ["id", "host", "state", "reason", "since", "last_heartbeat_at", "checks", "metrics", "incident_id"]
    {
        assert!(half.get(key).is_some(), "{key} is missing: {half}");
    }
    for key in ["kind", "name", "state", "output"] {
        assert!(half["checks"][1].get(key).is_some(), "{key} is missing: {half}");
    }

    let seen: Vec<String> = wait_for("quick is down in the events", || {
        let seen = events.lock().unwrap().clone();
        let quick: Vec<String> = seen
            .iter()
            .filter(|event| event["service_id"] == "quick" && event.get("from").is_some())
            .map(|event| event["state"].as_str().unwrap().to_owned())
            .collect();
        quick.iter().any(|state| state == "down").then_some(quick)
    });
    assert_eq!(seen, ["up", "suspect", "down"], "suspect comes before down");

    let incident = &lifesign.get("/api/v1/incidents?open=true").1["items"];
    let incident =
        incident.as_array().unwrap().iter().find(|incident| incident["service_id"] == "quick").unwrap();
    let incident = lifesign.incident(&incident["id"]);
    for key in ["opened_at", "detected_at"] {
        assert_time(&incident[key]);
    }
    assert_eq!((&incident["closed_at"], &incident["acknowledged_by"]), (&Value::Null, &Value::Null));
    assert!(
        incident["opened_at"].as_str() < incident["detected_at"].as_str(),
        "the last beat, then the deadline"
    );
    assert_eq!(incident["timeline"][0]["what"], "opened");
    let (status, acknowledged) =
        lifesign.post(&format!("/api/v1/incidents/{}/ack", incident["id"]), &json!({}));
    assert_eq!((status, acknowledged["acknowledged_by"].is_string()), (200, true), "{acknowledged}");

    assert_eq!(lifesign.post("/api/v1/heartbeats", &both).0, 200);
    lifesign.wait_for_state("quick", "up", None);
    let told = hook.wait_for("quick", 2);
    let alert = &told[0].1["alerts"][0];
    for (key, value) in
        [("alertname", "ServiceDown"), ("reason", "missed_heartbeat"), ("severity", "critical")]
    {
        assert_eq!(alert["labels"][key], value, "{alert}");
    }
    assert_eq!(told[0].1["groupLabels"], json!({ "service": "quick" }));
    assert_eq!((&told[0].1["version"], &told[0].1["status"]), (&json!("4"), &json!("firing")));
    assert_eq!(told[1].1["status"], "resolved");
    assert!(!told[0].0.is_empty() && told[0].0 != told[1].0, "each has a key of its own");
    assert!(
        hook.all.iter().all(|(_, body)| body["commonLabels"]["service"] != "below"),
        "told of the cause alone"
    );
}

/// The data of every event from now on.
fn follow_events(lifesign: &Lifesign) -> std::sync::Arc<std::sync::Mutex<Vec<Value>>> {
    let address = lifesign.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = &lifesign.token;
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("200"), "{line}");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = std::sync::Arc::clone(&events);
    // It ends with the stream, so with lifesign.
    std::thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            if let Some(data) = line.strip_prefix("data:")
                && let Ok(event) = serde_json::from_str(data)
            {
                list.lock().unwrap().push(event);
            }
        }
    });
    events
}

#[test]
fn a_configuration_shows_all_its_errors_with_place_and_nearest_key_and_never_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], env: &[(&str, &str)]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lifesign"))
            .args(arguments)
            .env_remove("LIFESIGN_ENV")
            .envs(env.iter().copied())
            .current_dir(dir.path())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();

    write(
        "wrong.yaml",
        "services:\n  - id: a\n    hartbeat: {}\n    depends_on: [nobody]\n  - id: a\n    heartbeat: { interval: 5s, timeout: 2s }\nroutes: [ { receivers: [nowhere] } ]\n",
    );
    let (code, text) = run(&["config", "check", "wrong.yaml"], &[]);
    assert_eq!(code, Some(2), "{text}");
    for place in [
        "wrong.yaml:3:5",
        "did you mean `heartbeat`",
        "wrong.yaml:4:18",
        "wrong.yaml:6:41",
        "wrong.yaml:7:25",
    ] {
        assert!(text.contains(place), "{place} is missing: {text}");
    }
    write("twice.json", r#"{"services":[{"id":"a","heartbeat":{},"heartbeat":{}}]}"#);
    let (code, text) = run(&["config", "check", "twice.json"], &[]);
    assert_eq!((code, text.contains("twice.json:1:39")), (Some(2), true), "{text}");
    write(
        "bomb.yaml",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
    );
    assert_eq!(run(&["config", "check", "bomb.yaml"], &[]).0, Some(2), "aliases have a budget");

    write("secret.txt", "from-the-file\n");
    write(
        "ok.yaml",
        "\u{feff}server: { listen: \"127.0.0.1:7001\" }\naccess: { tokens: [ { name: f, role: guest, token: \"${file:secret.txt}\" }, { name: e, role: guest, token: \"${env:CONTRACT_SECRET}\" } ] }\nservices: [ { id: a, heartbeat: {} } ]\n",
    );
    write("ok.prod.yaml", "server: { listen: \"127.0.0.1:7002\" }\n");
    let secret = ("CONTRACT_SECRET", "from-the-environment");
    let (code, text) = run(&["config", "check", "ok.yaml"], &[secret]);
    assert_eq!(code, Some(0), "a byte-order mark is accepted: {text}");
    for (arguments, env) in [
        (&["config", "show", "ok.yaml", "--env", "prod"][..], &[secret][..]),
        (&["config", "show", "ok.yaml"][..], &[secret, ("LIFESIGN_ENV", "prod")][..]),
    ] {
        let (code, text) = run(arguments, env);
        assert_eq!((code, text.contains("7002"), text.contains("7001")), (Some(0), true, false), "{text}");
        assert!(!text.contains("from-the-file") && !text.contains("from-the-environment"), "{text}");
    }
    let (code, text) = run(&["config", "check", "ok.yaml"], &[]);
    assert_eq!(
        (code, text.contains("CONTRACT_SECRET")),
        (Some(2), true),
        "the missing variable is named: {text}"
    );
    let (code, text) = run(&["config", "schema"], &[]);
    assert_eq!(code, Some(0));
    assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
}
