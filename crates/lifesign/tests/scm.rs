//! The same story with a service of the real Windows service control manager.
//!
//! The service is the test program of `crates/os/examples`; build it first:
//! `cargo build -p lifesign-os --examples --target x86_64-pc-windows-gnu`.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]
#![cfg(windows)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Hook, Lifesign, kill_process, wait_for};

/// A service made with the system's own tool; gone with the test.
struct Service {
    name: String,
}

impl Service {
    fn create() -> Self {
        // A name as Windows has them: with a space and a dollar sign.
        let name = format!("lifesign story$ {}", std::process::id());
        let binaries = Path::new(env!("CARGO_BIN_EXE_lifesign")).parent().unwrap();
        let program = binaries.join("examples").join("test_service.exe");
        assert!(
            program.exists(),
            "{} is missing: cargo build -p lifesign-os --examples --target x86_64-pc-windows-gnu",
            program.display()
        );
        let service = Self { name };
        service.sc(&["create", &service.name, "binPath=", &format!("\"{}\" normal", program.display())]);
        service.sc(&["start", &service.name]);
        service
    }

    fn sc(&self, arguments: &[&str]) {
        let output = Command::new("sc").args(arguments).output().unwrap();
        assert!(output.status.success(), "sc {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for verb in ["stop", "delete"] {
            let _ = Command::new("sc").args([verb, &self.name]).output();
        }
    }
}

#[test]
fn a_windows_service_is_watched_restarted_proven_and_told_of() {
    let service = Service::create();
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start();
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
services:
  - id: shop
    unit: {{ scm: "{}" }}
    heartbeat: {{ interval: 500ms, timeout: 3s, retries: 2 }}
    restart: {{ budget: 5 per 10m, backoff: 200ms..5s }}
receivers: [ {{ name: hook, webhook: {{ url: "{}" }} }} ]
"#,
        service.name, hook.url
    );
    let lifesign = Lifesign::start(dir.path(), &configuration);
    let beat = || {
        let (status, ack) =
            lifesign.post("/api/v1/heartbeats", &json!({ "service_id": "shop", "metrics": { "queue": 3 } }));
        assert_eq!(status, 200, "{ack}");
    };
    let beat_until = |what: &str, done: &dyn Fn() -> bool| {
        let mut last = Instant::now() - Duration::from_secs(1);
        wait_for(what, || {
            if last.elapsed() > Duration::from_millis(400) {
                beat();
                last = Instant::now();
            }
            done().then_some(())
        });
    };
    beat_until("shop is up", &|| lifesign.service("shop")["state"] == "up");
    let old = lifesign.service("shop")["pid"].as_u64().unwrap();

    // Killed: Windows tells a kill only by the exit code it left.
    let begin = Instant::now();
    kill_process(old);
    let incident = wait_for("the kill is seen", || lifesign.incidents().into_iter().next());
    println!("kill of a Windows service to incident, asked over HTTP: {:?}", begin.elapsed());
    assert!(support::KILL_REASONS.contains(&incident["reason"].as_str().unwrap()), "{incident}");
    beat_until("the incident is closed", &|| lifesign.incident(&incident["id"])["closed_at"].is_string());
    assert_ne!(lifesign.service("shop")["pid"].as_u64().unwrap(), old, "it is another process");
    let told = hook.wait_for("shop", 2);
    assert_eq!((&told[0].1["status"], &told[1].1["status"]), (&json!("firing"), &json!("resolved")));

    // Stopped by an operator: down, and nobody is alarmed.
    service.sc(&["stop", &service.name]);
    lifesign.wait_for_state("shop", "down", Some("stopped_by_operator"));
    service.sc(&["start", &service.name]);
    beat_until("shop is up again", &|| lifesign.service("shop")["state"] == "up");
    assert_eq!(lifesign.incidents().len(), 1);

    // Silent: the process lives, nobody beats. Suspect, hung, restarted.
    let old = lifesign.service("shop")["pid"].as_u64().unwrap();
    lifesign.wait_for_state("shop", "suspect", Some("missed_heartbeat"));
    lifesign.wait_for_state("shop", "down", Some("hung"));
    wait_for("another process", || {
        let pid = lifesign.service("shop")["pid"].as_u64();
        pid.is_some_and(|pid| pid != old).then_some(())
    });
    beat_until("shop is up once more", &|| lifesign.service("shop")["state"] == "up");
}
