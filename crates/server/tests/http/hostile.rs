//! Slow, greedy and broken clients.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use http::{Method, Request};
use lifesign_core::input::Input;
use lifesign_server::limits::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{ADMIN, House, Plan, WITHIN};

async fn house(limits: Limits) -> House {
    House::build(Plan { limits, ..Plan::default() }).await
}

/// Everything the server sends until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(WITHIN, async {
        let mut buffer = [0; 4096];
        // A connection may end with a reset, too: closed is closed.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            text.extend_from_slice(&buffer[..read]);
        }
    })
    .await
    .expect("the server closes the connection");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let house = House::new().await;
    let big = format!("[{}]", " ".repeat(64 * 1024));
    assert!(house.post("/api/v1/heartbeats", &big).await.problem(413).contains("65536"));
    let fits = format!("[{}]", " ".repeat(64 * 1024 - 2));
    assert_eq!(house.post("/api/v1/heartbeats", &fits).await.status, 200);
}

#[tokio::test]
async fn a_big_body_without_a_token_is_not_even_read() {
    let house = House::new().await;
    let big = "x".repeat(10 * 1024 * 1024);
    let reply = house.send(Method::POST, "/api/v1/heartbeats", None, &big[..100]).await;
    reply.problem(401);
}

#[tokio::test]
async fn more_heartbeats_than_the_rate_allows_are_429_for_that_service_only() {
    let house = house(Limits { beats_per_second: NonZeroU32::new(2), ..Limits::default() }).await;
    let beat = |id: &str| format!(r#"{{"service_id":"{id}"}}"#);
    let mut refused = None;
    for _ in 0..50 {
        let reply = house.post("/api/v1/heartbeats", &beat("orders")).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("fifty beats in less than 24 seconds are more than two a second");
    refused.problem(429);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(house.post("/api/v1/heartbeats", &beat("billing")).await.status, 200);
    let both = format!("[{},{},{},{}]", beat("orders"), beat("orders"), beat("orders"), beat("orders"));
    let acks = house.post("/api/v1/heartbeats", &both).await.json();
    assert_eq!(acks["acks"][3]["accepted"], false, "in an array it is a line of the answer: {acks}");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_headers_is_cut_off() {
    let house = house(Limits { headers_within: Duration::from_millis(200), ..Limits::default() }).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    let mut slow = TcpStream::connect(house.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-").await.unwrap();
    until_closed(&mut silent).await;
    until_closed(&mut slow).await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(house.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_body_that_never_arrives_is_408() {
    let house = house(Limits { body_within: Duration::from_millis(200), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/heartbeats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_431() {
    let house = House::new().await;
    let mut many = Request::builder().uri("/livez");
    for n in 0..100 {
        many = many.header(format!("x-{n}"), "1");
    }
    assert_eq!(house.request(many, "").await.status, 431);
    let long = Request::builder().uri("/livez").header("x-long", "x".repeat(20 * 1024));
    assert_eq!(house.request(long, "").await.status, 431);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_next_one_fits_again() {
    let house = house(Limits { connections: 2, ..Limits::default() }).await;
    let idle =
        [TcpStream::connect(house.address).await.unwrap(), TcpStream::connect(house.address).await.unwrap()];
    let mut third = TcpStream::connect(house.address).await.unwrap();
    let answer = until_closed(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(idle);
    crate::house::wait_for("a place to be free", async || {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok()?;
        until_closed(&mut stream).await.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn nonsense_on_the_port_is_answered_or_closed_and_harms_nobody() {
    let house = House::new().await;
    for nonsense in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"GET /%ff HTTP/1.1\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        until_closed(&mut stream).await;
    }
    for path in [
        "/api/v1/services/%ff",
        "/api/v1/services/%00",
        "/api/v1/services/..%2f..",
        "/api/v1/incidents/-1",
        "/api/v1/incidents/99999999999999999999",
    ] {
        let reply = house.get(path).await;
        assert!(matches!(reply.status.as_u16(), 400 | 404), "{path}: {reply:?}");
        reply.problem(reply.status.as_u16());
    }
    assert_eq!(house.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_engine_cannot_keep_up_heartbeats_are_429_and_nothing_else_breaks() {
    let house = House::new().await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let engine = house.state.engine.clone();
    let stuck = tokio::spawn(async move {
        // In place, so that the runtime goes on with everything but the engine.
        engine.read(move |_, _| tokio::task::block_in_place(|| released.recv())).await
    });
    while let Ok(taken) =
        tokio::time::timeout(Duration::from_millis(500), house.state.engine.tell(Input::Tick)).await
    {
        taken.unwrap();
    }
    let beat = r#"{"service_id":"orders"}"#;
    let refused = house.post("/api/v1/heartbeats", beat).await;
    refused.problem(429);
    assert_eq!(refused.header("retry-after"), "1");
    release.send(()).unwrap();
    stuck.await.unwrap().unwrap().unwrap();
    // What had piled up is worked off first; until then the answer is the same.
    let taken = async { while house.post("/api/v1/heartbeats", beat).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(30), taken).await.expect("heartbeats are taken again");
}
