//! Heartbeats in authenticated datagrams: each is heard once, and nothing is ever answered.

use std::time::Duration;

use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_proto::batch::Writer;
use lifesign_proto::datagram::{Key, MAX_DATAGRAM, SKEW, Sealer};
use lifesign_server::peer::Sockets;
use tokio::net::UdpSocket;

use crate::house::{ADMIN, GUEST, House, Plan, wait_for};

/// A server that hears datagrams, and a socket that is connected to it.
async fn house() -> (House, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let sockets = Sockets { heartbeats: Some(socket), ..Sockets::default() };
    let house = House::build(Plan { sockets, ..Plan::default() }).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    (house, client)
}

fn batch(ids: &[&str]) -> Vec<u8> {
    let mut writer = Writer::default();
    for id in ids {
        writer.push(&Beat::alive(ServiceId::new(id).unwrap())).unwrap();
    }
    writer.into_bytes()
}

fn millis(house: &House) -> u64 {
    u64::try_from(house.state.clock.now().wall.as_millis()).unwrap()
}

/// Waits until `/metrics` has this line.
async fn counted(house: &House, line: &str) {
    wait_for(line, async || house.get("/metrics").await.body.contains(line).then_some(())).await;
}

async fn refused(house: &House, reason: &str, many: u32) {
    counted(house, &format!("lifesign_heartbeats_refused_total{{reason=\"{reason}\"}} {many}\n")).await;
}

#[tokio::test]
async fn a_datagram_is_heard_once_and_what_is_wrong_is_counted_and_not_answered() {
    let (house, client) = house().await;
    let mut sealer = Sealer::new(Key::of(ADMIN), [1; 8]);
    // A clock that is not behind the start of the server.
    let now = millis(&house) + 1000;
    let datagram = sealer.seal(now, &batch(&["orders", "nobody", "billing"]));
    client.send(&datagram).await.unwrap();
    counted(&house, "lifesign_heartbeats_total 2\n").await;
    refused(&house, "unknown_service", 1).await;

    client.send(&datagram).await.unwrap();
    refused(&house, "replayed", 1).await;
    let mut forged = datagram.clone();
    forged[40] ^= 1;
    client.send(&forged).await.unwrap();
    refused(&house, "forged", 1).await;
    client.send(&Sealer::new(Key::of(GUEST), [1; 8]).seal(now, &batch(&["orders"]))).await.unwrap();
    refused(&house, "forbidden", 1).await;
    client.send(&Sealer::new(Key::of("nobody"), [1; 8]).seal(now, &batch(&["orders"]))).await.unwrap();
    refused(&house, "unknown_key", 1).await;
    client.send(&sealer.seal(now + 10 * SKEW, &batch(&["orders"]))).await.unwrap();
    client.send(&sealer.seal(now - 10 * SKEW, &batch(&["orders"]))).await.unwrap();
    refused(&house, "clock", 2).await;
    client.send(&sealer.seal(now, b"no batch")).await.unwrap();
    refused(&house, "invalid", 1).await;
    for junk in [&b""[..], b"junk", &[0; MAX_DATAGRAM], &[1; MAX_DATAGRAM + 1], &[1; 20_000]] {
        client.send(junk).await.unwrap();
    }
    refused(&house, "malformed_datagram", 5).await;

    counted(&house, "lifesign_heartbeats_total 2\n").await;
    client.send(&sealer.seal(now, &batch(&["orders"]))).await.unwrap();
    counted(&house, "lifesign_heartbeats_total 3\n").await;
    let mut answer = [0; 1];
    let heard = tokio::time::timeout(Duration::from_millis(100), client.recv(&mut answer)).await;
    assert!(heard.is_err(), "{heard:?}");
}
