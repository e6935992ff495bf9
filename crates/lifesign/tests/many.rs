//! Many heartbeats at once, as a whole `lifesign up` hears them on this system: an array, bytes over HTTP, and signed
//! datagrams.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

mod support;

use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lifesign_core::evidence::Beat;
use lifesign_core::model::{ServiceId, State};
use lifesign_proto::batch::{Answer, Writer, read_answer};
use lifesign_proto::datagram::{Key, Sealer};
use serde_json::json;
use support::{Lifesign, free_port, wait_for};

const BYTES: &str = "application/vnd.lifesign.heartbeats";

fn batch(services: &[&str]) -> Vec<u8> {
    let mut writer = Writer::default();
    for service in services {
        writer.push(&Beat::alive(ServiceId::new(service).unwrap())).unwrap();
    }
    writer.into_bytes()
}

#[test]
fn an_array_bytes_and_signed_datagrams_are_heard_and_what_is_wrong_in_them_costs_the_others_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let configuration = format!(
        "server: {{ listen: \"127.0.0.1:0\" }}
heartbeats: {{ udp: \"127.0.0.1:{port}\" }}
services:
  - {{ id: by-array, heartbeat: {{ interval: 60s }} }}
  - {{ id: by-bytes, heartbeat: {{ interval: 60s }} }}
  - {{ id: by-datagram, heartbeat: {{ interval: 60s }} }}
  - {{ id: silent, heartbeat: {{ interval: 60s }} }}
"
    );
    let lifesign = Lifesign::start(dir.path(), &configuration);
    let is = |service: &str, state: &str| lifesign.service(service)["state"] == state;
    for service in ["by-array", "by-bytes", "by-datagram"] {
        assert!(is(service, "pending"), "{service}");
    }

    let both = json!([{ "service_id": "by-array" }, { "service_id": "nobody" }]);
    let (status, acks) = lifesign.post("/api/v1/heartbeats", &both);
    assert!(status < 300, "{status}: {acks}");
    assert!(is("by-array", "up"), "{acks}");

    let mut answer = ureq::post(format!("{}/api/v1/heartbeats", lifesign.base))
        .header("Authorization", format!("Bearer {}", lifesign.token))
        .header("Content-Type", BYTES)
        .send(batch(&["nobody", "by-bytes"]))
        .unwrap();
    let answers = read_answer(&answer.body_mut().read_to_vec().unwrap()).unwrap();
    assert_eq!(answers, [Answer::Unknown, Answer::Taken(State::Up)]);
    assert!(is("by-bytes", "up"));

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send =
        |datagram: &[u8]| assert_eq!(socket.send_to(datagram, ("127.0.0.1", port)).unwrap(), datagram.len());
    let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let mut sender = Sealer::new(Key::of(&lifesign.token), [1; 8]);
    let mut stranger = Sealer::new(Key::of("a token of nobody's"), [2; 8]);
    send(b"junk");
    send(&stranger.seal(now(), &batch(&["silent"])));
    // Sent until it is heard: nobody answers a datagram.
    wait_for("a signed datagram is heard", || {
        send(&sender.seal(now(), &batch(&["nobody", "by-datagram"])));
        std::thread::sleep(Duration::from_millis(20));
        is("by-datagram", "up").then_some(())
    });
    assert!(is("silent", "pending"), "only who has the token is heard");
    let metrics = lifesign.get("/metrics").1;
    for reason in ["malformed_datagram", "unknown_key", "unknown_service"] {
        let is_counted = |line: &str| {
            line.starts_with("lifesign_heartbeats_refused_total")
                && line.contains(reason)
                && !line.ends_with(" 0")
        };
        assert!(metrics.as_str().unwrap().lines().any(is_counted), "{reason}: {metrics}");
    }
}
