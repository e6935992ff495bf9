//! Real clients of other monitors against a real lifesign, with nothing changed but where they send.
//!
//! A client that is missing is an error that names the command which installs it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{Lifesign, free_port, wait_for};

const UUID: &str = "f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4e";
const PUSH: &str = "a-push-token-of-32-letters-long1";
const TOKEN: &str = "token-of-the-clients";

/// A lifesign that every client knows something of, and its ports for StatsD and Zabbix.
fn start(dir: &std::path::Path) -> (Lifesign, String, String) {
    let (statsd, zabbix) = (free_port().to_string(), free_port().to_string());
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
access: {{ tokens: [ {{ name: clients, role: admin, token: {TOKEN} }} ] }}
heartbeats: {{ create_unknown: true }}
services:
  - {{ id: backup, job: {{ every: 24h }}, peers: {{ healthchecks: "{UUID}" }} }}
  - id: orders
    heartbeat: {{ interval: 1h }}
    peers:
      uptime_kuma: {PUSH}
      gatus: {{ key: shop_orders, token: gatus-token }}
      consul: "service:orders"
      nagios: "web-01;Orders"
      statsd: shop.orders
      zabbix: {{ host: web-01, prefix: "orders." }}
peers:
  consul_from: [ 127.0.0.0/8 ]
  ping_keys: [ a-ping-key-of-22-chars ]
  statsd: {{ listen: "127.0.0.1:{statsd}" }}
  zabbix: {{ listen: "127.0.0.1:{zabbix}" }}
"#
    );
    (Lifesign::start(dir, &configuration), statsd, zabbix)
}

/// Runs a client to its end.
#[track_caller]
fn client(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it with: sh scripts/peers-setup.sh"))
}

/// The same, for one that is to succeed; what it said.
#[track_caller]
fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = client(program, arguments);
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{complained}; are all clients there? sh scripts/peers-setup.sh --check"
    );
    said.into_owned()
}

/// Metrics of a service, and what its heartbeat says.
fn heart(lifesign: &Lifesign, id: &str) -> (Value, String) {
    let shown = lifesign.service(id);
    let checks = shown["checks"].as_array().unwrap();
    let heart = checks.iter().find(|check| check["kind"] == "heartbeat").unwrap();
    (shown["metrics"].clone(), heart["output"].as_str().unwrap().to_owned())
}

/// A line of a crontab or a script, as the documentation of Healthchecks has it.
fn line(lifesign: &Lifesign, line: &str) -> String {
    let line = line.replace("https://hc-ping.com", &format!("{}/ping", lifesign.base));
    let line = line.replace("your-uuid-here", UUID).replace("your-ping-key", "a-ping-key-of-22-chars");
    succeeds("sh", &["-c", &line])
}

#[test]
fn the_documented_lines_of_healthchecks_tell_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, ..) = start(dir.path());
    assert_eq!(line(&lifesign, "curl -fsS -m 10 --retry 5 https://hc-ping.com/your-uuid-here/start"), "OK");
    let going = lifesign.service("backup")["job"]["running"].clone();
    assert_eq!(going.as_array().unwrap().len(), 1, "{going}");
    line(&lifesign, "curl -fsS -m 10 --retry 5 -o /dev/null https://hc-ping.com/your-uuid-here");
    let shown = lifesign.service("backup");
    assert_eq!(shown["state"], "up", "{shown}");
    assert_eq!(shown["job"]["running"], json!([]), "{shown}");
    // A script reports its own exit code and output.
    line(
        &lifesign,
        "m=$(sh -c 'echo no space left; exit 3' 2>&1) || code=$?; \
         curl -fsS -m 10 --retry 5 --data-raw \"$m\" https://hc-ping.com/your-uuid-here/$code",
    );
    let shown = lifesign.wait_for_state("backup", "down", Some("crashed"));
    let last = &shown["job"]["last_run"];
    assert_eq!((&last["exit_code"], &last["output"]), (&json!(3), &json!("no space left")), "{shown}");
    let head = line(&lifesign, "curl -fsS -m 10 -I https://hc-ping.com/your-uuid-here");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    lifesign.wait_for_state("backup", "up", None);
    // Two runs at once, each with its id.
    let rids = ["728b3763-fbe8-4d3c-b1a5-7e0a1f2b3c4d", "AAAA3763-FBE8-4D3C-B1A5-7E0A1F2B3C4D"];
    for rid in rids {
        line(&lifesign, &format!("curl -fsS https://hc-ping.com/your-uuid-here/start?rid={rid}"));
    }
    line(&lifesign, &format!("curl -fsS https://hc-ping.com/your-uuid-here/0?rid={}", rids[0]));
    let going = lifesign.service("backup")["job"]["running"].clone();
    assert_eq!(going.as_array().unwrap().len(), 1, "{going}");
    assert_eq!(going[0]["id"], rids[1].to_lowercase(), "{going}");
}

#[test]
fn a_slug_makes_its_service() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, ..) = start(dir.path());
    let made = "curl -fsS -m 10 --retry 5 'https://hc-ping.com/your-ping-key/database-backup?create=1'";
    assert_eq!(line(&lifesign, made), "Created");
    assert_eq!(line(&lifesign, made), "OK");
    assert_eq!(lifesign.service("database-backup")["state"], "up");
}

#[test]
fn pushes_and_external_endpoints_come_by_curl() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, ..) = start(dir.path());
    let url = format!("{}/api/push/{PUSH}?status=up&msg=OK&ping=12", lifesign.base);
    assert_eq!(succeeds("curl", &["-fsS", &url]), r#"{"ok":true}"#);
    let url = format!("{}/api/v1/endpoints/shop_orders/external?success=true&duration=10s", lifesign.base);
    succeeds("curl", &["-fsS", "-X", "POST", &url, "-H", "Authorization: Bearer gatus-token"]);
    assert_eq!(heart(&lifesign, "orders").0, json!({"ping_seconds": 0.012, "duration_seconds": 10.0}));
    let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    assert!(!log.contains(UUID) && !log.contains("a-ping-key") && !log.contains(TOKEN), "{log}");
}

#[test]
fn zabbix_sender_is_told_how_many_values_were_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, _, port) = start(dir.path());
    let to = ["-z", "127.0.0.1", "-p", &port, "-vv"];
    let one = [&to[..], &["-s", "web-01", "-k", "orders.queue", "-o", "12"]].concat();
    let said = succeeds("zabbix_sender", &one);
    assert!(said.contains("processed: 1; failed: 0; total: 1; seconds spent: 0."), "{said}");
    assert_eq!(heart(&lifesign, "orders").0, json!({"queue": 12.0}));
    // A file of more values than fit into one request.
    let file = dir.path().join("values");
    let values: String = (0..600).map(|n| format!("web-01 orders.m{} {n}\n", n % 50)).collect();
    std::fs::write(&file, values + "web-01 orders.message \"all is well\"\n").unwrap();
    let said = succeeds("zabbix_sender", &[&to[..], &["-i", file.to_str().unwrap()]].concat());
    assert!(said.contains("sent: 601; skipped: 0; total: 601"), "{said}");
    let (metrics, message) = heart(&lifesign, "orders");
    assert_eq!((&metrics["m49"], &*message), (&json!(599.0), "all is well"));
    // Exit code 2: the server did not take some of the values.
    let stranger = [&to[..], &["-s", "web-02", "-k", "orders.queue", "-o", "12"]].concat();
    let output = client("zabbix_sender", &stranger);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_client_of_consul_for_python_keeps_its_ttl_check() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, ..) = start(dir.path());
    let port = lifesign.base.rsplit(':').next().unwrap();
    let script = format!(
        r#"
import consul
agent = consul.Consul(host="127.0.0.1", port={port}, token="{TOKEN}").agent
assert agent.check.register("orders", check=consul.Check.ttl("30s"), check_id="service:orders")
assert agent.check.ttl_pass("service:orders", notes="all is well")
checks = agent.checks()
assert checks["service:orders"]["Status"] == "passing", checks
assert checks["service:orders"]["Output"] == "all is well", checks
assert agent.check.ttl_fail("service:orders", notes="no database")
# It says so by the answer, not by an exception.
assert not agent.check.ttl_pass("nobody")
"#
    );
    succeeds("/usr/bin/python3", &["-c", &script]);
    assert_eq!(heart(&lifesign, "orders").1, "no database");
}

#[test]
fn the_client_of_statsd_for_python_sets_gauges() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, port, _) = start(dir.path());
    let script = format!(
        r#"
import statsd
client = statsd.StatsClient("127.0.0.1", {port}, prefix="shop.orders")
client.incr("hits")
client.gauge("queue", 12)
with client.pipeline() as pipe:
    pipe.gauge("age", 0.5)
    pipe.gauge("workers", 4)
    pipe.timing("answer", 320)
"#
    );
    succeeds("/usr/bin/python3", &["-c", &script]);
    let wanted = json!({"queue": 12.0, "age": 0.5, "workers": 4.0});
    wait_for("the gauges", || (heart(&lifesign, "orders").0 == wanted).then_some(()));
}

#[test]
fn passive_results_of_nagios_come_as_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (lifesign, ..) = start(dir.path());
    let line = format!(
        "printf '[%s] PROCESS_SERVICE_CHECK_RESULT;web-01;Orders;2;CRITICAL: no answer | time=5s\\n' \"$(date +%s)\" | \
         curl -fsS -H 'Authorization: Bearer {TOKEN}' --data-binary @- {}/nagios/commands",
        lifesign.base
    );
    assert_eq!(succeeds("sh", &["-c", &line]), r#"{"refused":[],"taken":1}"#);
    assert_eq!(heart(&lifesign, "orders"), (json!({"time": 5.0}), "CRITICAL: no answer".to_owned()));
    let action = r#"{"exit_status":0,"plugin_output":"OK: answers","performance_data":["time=0.1s"]}"#;
    let url = format!("{}/v1/actions/process-check-result?service=web-01!Orders", lifesign.base);
    let said = succeeds("curl", &["-fsS", "-u", &format!("icinga:{TOKEN}"), "-d", action, &url]);
    assert!(said.contains("Successfully processed check result for object 'web-01!Orders'."), "{said}");
    assert_eq!(heart(&lifesign, "orders").1, "OK: answers");
}
