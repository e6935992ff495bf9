//! Programs on the same host are heard unchanged by `lifesign up`: one written for systemd, one for SvcWatchDog, one
//! that writes a line; and one that beats while its work stands still is hung.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;

use support::{Lifesign, free_port, wait_for};

/// As `sd_notify(3)` and `sd_watchdog_enabled(3)` ask a program to do it.
const FOR_SYSTEMD: &str = "
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
s.send(b'READY=1\\nSTATUS=Serving')
while True:
    time.sleep(int(os.environ['WATCHDOG_USEC']) / 2e6)
    s.send(b'WATCHDOG=1')
";

const FOR_SVCWATCHDOG: &str = "
import os, socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    s.sendto(os.environ['WATCHDOG_SECRET'].encode(), ('127.0.0.1', int(os.environ['WATCHDOG_PORT'])))
    time.sleep(0.2)
";

/// Pings by curl's own rules: any method, nothing but the address.
const FOR_HEALTHCHECKS: &str = "
import os, time, urllib.request
while True:
    urllib.request.urlopen(os.environ['HC_PING_URL'])
    time.sleep(0.2)
";

fn python(program: &str) -> String {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok();
    assert!(there, "python3 is missing; install it with: sh scripts/examples-setup.sh");
    serde_json::to_string(&["python3", "-c", program]).unwrap()
}

#[test]
fn programs_for_systemd_svcwatchdog_and_healthchecks_are_heard_unchanged_and_their_silence_too() {
    let dir = tempfile::tempdir().unwrap();
    let heartbeat = "{ interval: 200ms, timeout: 2s, retries: 1 }";
    let configuration = format!(
        "server: {{ listen: \"127.0.0.1:0\" }}
agent: {{ local: {{ udp: \"127.0.0.1:{}\" }} }}
services:
  - {{ id: notified, unit: {{ process: {} }}, heartbeat: {heartbeat} }}
  - {{ id: guarded, unit: {{ process: {} }}, heartbeat: {heartbeat} }}
  - {{ id: pinging, unit: {{ process: {} }}, heartbeat: {heartbeat} }}
",
        free_port(),
        python(FOR_SYSTEMD),
        python(FOR_SVCWATCHDOG),
        python(FOR_HEALTHCHECKS),
    );
    let lifesign = Lifesign::start(dir.path(), &configuration);
    lifesign.wait_for_state("guarded", "up", None);
    lifesign.wait_for_state("pinging", "up", None);
    let notified = lifesign.wait_for_state("notified", "up", None);
    assert!(notified["last_heartbeat_at"].is_string(), "{notified}");
    // It hangs: the process lives, and says nothing any more.
    let pid = wait_for("the process shows", || {
        let heard = std::fs::read_to_string(dir.path().join("data/processes/notified.log.state")).ok()?;
        heard.split_whitespace().next()?.parse::<u32>().ok()
    });
    let stopped = std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
    assert!(stopped.success());
    lifesign.wait_for_state("notified", "down", Some("hung"));
    assert_eq!(lifesign.service("guarded")["state"], "up");
}

#[test]
fn a_line_is_a_heartbeat_and_work_that_stands_still_is_hung() {
    let dir = tempfile::tempdir().unwrap();
    let configuration = "server: { listen: \"127.0.0.1:0\" }
services:
  - { id: orders, heartbeat: { interval: 500ms, timeout: 30m, progress_within: 1s } }
";
    let lifesign = Lifesign::start(dir.path(), configuration);
    let path = dir.path().join("data/local/stream");
    let mut heart = wait_for("the socket", || UnixStream::connect(&path).ok());
    heart.write_all(b"orders alive progress=1 queue=12.5\n").unwrap();
    lifesign.wait_for_state("orders", "up", None);
    assert_eq!(lifesign.service("orders")["metrics"]["queue"], 12.5);
    // It goes on beating.
    let mut beats = 0;
    let hung = wait_for("hung", || {
        heart.write_all(b"orders alive progress=1\n").unwrap();
        beats += 1;
        let service = lifesign.service("orders");
        (service["reason"] == "hung").then_some(service)
    });
    assert!(beats > 1 && hung["state"] == "down", "{hung}");
    heart.write_all(b"orders alive progress=2\n").unwrap();
    lifesign.wait_for_state("orders", "up", None);
}
