//! The short way of ordinary heartbeats: nobody can tell it from the long one, but by the time it takes.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use http::StatusCode;
use lifesign_proto::batch::HEARTBEATS;
use lifesign_server::auth::AccessTable;
use lifesign_server::limits::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::batch::{batch, beat};
use crate::house::{ADMIN, GUEST, House, Plan, SENDER, WITHIN};

/// A header that no ordinary request has: it sends a request the long way.
const THE_LONG_WAY: &str = "X-Way: long\r\n";

/// A connection that is kept.
struct Line(BufReader<TcpStream>);

/// An answer as it came over the line, without its date.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    status: u16,
    /// In the order of their names.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Line {
    async fn to(house: &House) -> Self {
        Self(BufReader::new(TcpStream::connect(house.address).await.unwrap()))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    async fn hear(&mut self) -> Heard {
        timeout(WITHIN, self.hear_slowly()).await.expect("an answer comes")
    }

    async fn hear_slowly(&mut self) -> Heard {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("the connection is kept"));
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        headers.sort();
        let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        let dates = headers.len();
        headers.retain(|(name, value)| name != "date" || httpdate::parse_http_date(value).is_err());
        assert_eq!(dates, headers.len() + 1, "one date that is one: {head}");
        Heard { status, headers, body }
    }

    /// Whether the server has closed it.
    async fn is_closed(&mut self) -> bool {
        let end = timeout(WITHIN, self.0.read_u8()).await.expect("the server closes the connection");
        end.is_err()
    }
}

fn post(token: &str, more: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST /api/v1/heartbeats HTTP/1.1\r\nHost: life\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const BEAT: &str = r#"{"service_id":"orders","metrics":{"queue":3}}"#;

#[tokio::test]
async fn both_ways_answer_alike_whatever_is_sent() {
    let house = House::new().await;
    let bytes = batch(&[beat("orders"), beat("nobody")]);
    let in_bytes = format!("Content-Type: {HEARTBEATS}\r\n");
    let in_bytes_to_json = format!("{in_bytes}Accept: application/json\r\n");
    let json = "Content-Type: application/json\r\nAccept: */*\r\n";
    let cases: Vec<(&str, &str, Vec<u8>, u16)> = vec![
        (SENDER, json, BEAT.into(), 200),
        (ADMIN, "", "[]".into(), 200),
        (ADMIN, json, format!(r#"[{BEAT},{{"service_id":"nobody"}},{{"service":1}}]"#).into(), 200),
        (ADMIN, json, r#"{"service_id":"ord\u0065rs","message":"\"\u00e4\n"}"#.into(), 200),
        (ADMIN, json, r#"{"service_id":"nobody"}"#.into(), 404),
        (ADMIN, json, r#"{"service_id":"orders","sttus":"alive"}"#.into(), 422),
        (ADMIN, json, r#"{"service_id":"#.into(), 400),
        (ADMIN, json, Vec::new(), 400),
        (ADMIN, &in_bytes, bytes.clone(), 200),
        (ADMIN, &in_bytes_to_json, bytes, 200),
        (ADMIN, &in_bytes, b"no batch".into(), 400),
        (GUEST, json, BEAT.into(), 403),
        ("nonsense", json, BEAT.into(), 401),
        (ADMIN, json, " ".repeat(70_000).into(), 413),
    ];
    for (token, headers, body, status) in cases {
        let (mut short, mut long) = (Line::to(&house).await, Line::to(&house).await);
        short.send(&post(token, headers, &body)).await;
        long.send(&post(token, &format!("{headers}{THE_LONG_WAY}"), &body)).await;
        let (short, long) = (short.hear().await, long.hear().await);
        assert_eq!(short, long);
        assert_eq!(short.status, status, "{}", String::from_utf8_lossy(&short.body));
    }
    let counted = house.get("/metrics").await.body;
    let line = r#"lifesign_http_requests_total{route="/api/v1/heartbeats",status="200"} 12"#;
    assert!(counted.contains(line), "{counted}");
}

#[tokio::test]
async fn too_many_of_one_service_are_told_alike_when_to_come_again() {
    let limits = Limits { beats_per_second: NonZeroU32::new(1), ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    for more in ["", THE_LONG_WAY] {
        let mut line = Line::to(&house).await;
        let refused = loop {
            line.send(&post(ADMIN, more, BEAT)).await;
            let heard = line.hear().await;
            if heard.status != 200 {
                break heard;
            }
        };
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS.as_u16());
        assert!(refused.headers.contains(&("retry-after".into(), "1".into())), "{refused:?}");
    }
}

#[tokio::test]
async fn requests_are_answered_in_their_order_however_the_network_cuts_them() {
    let house = House::new().await;
    let services: Vec<&str> = ["orders", "billing"].into_iter().cycle().take(20).collect();
    let together: Vec<u8> =
        services.iter().flat_map(|id| post(ADMIN, "", format!(r#"{{"service_id":"{id}"}}"#))).collect();
    for piece in [together.len(), 1000, 7] {
        let mut line = Line::to(&house).await;
        for bytes in together.chunks(piece) {
            line.send(bytes).await;
            // Pieces that small are to arrive as they are.
            tokio::task::yield_now().await;
        }
        for id in &services {
            let heard = String::from_utf8(line.hear().await.body).unwrap();
            assert!(heard.contains(&format!(r#""service_id":"{id}""#)), "{heard}");
        }
    }
}

#[tokio::test]
async fn a_connection_goes_from_heartbeats_to_anything_else_and_back() {
    let house = House::new().await;
    let mut line = Line::to(&house).await;
    let look = format!(
        "GET /api/v1/services/orders HTTP/1.1\r\nHost: life\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    );
    // All of it lies there before the first is answered.
    let all = [post(ADMIN, "", BEAT), look.into_bytes(), post(ADMIN, "", BEAT)].concat();
    line.send(&all).await;
    assert_eq!(line.hear().await.status, 200);
    let seen = String::from_utf8(line.hear().await.body).unwrap();
    assert!(seen.contains(r#""metrics":{"queue":3.0}"#), "{seen}");
    assert!(String::from_utf8(line.hear().await.body).unwrap().starts_with(r#"{"acks""#));
}

#[tokio::test]
async fn a_token_that_is_taken_away_is_refused_on_connections_that_it_opened() {
    let house = House::new().await;
    let mut line = Line::to(&house).await;
    line.send(&post(ADMIN, "", BEAT)).await;
    assert_eq!(line.hear().await.status, 200);
    house.state.access.exchange(AccessTable::default());
    line.send(&post(ADMIN, "", BEAT)).await;
    assert_eq!(line.hear().await.status, 401);
}

#[tokio::test]
async fn another_token_on_the_same_connection_is_looked_at_anew() {
    let house = House::new().await;
    for (token, status) in [(ADMIN, 200), (SENDER, 200), (ADMIN, 200), ("admin-secre", 401)] {
        let mut line = Line::to(&house).await;
        line.send(&post(ADMIN, "", BEAT)).await;
        assert_eq!(line.hear().await.status, 200);
        line.send(&post(token, "", BEAT)).await;
        assert_eq!(line.hear().await.status, status, "{token}");
    }
}

#[tokio::test]
async fn who_is_silent_or_sends_drop_by_drop_is_cut_off_and_counted() {
    let limits = Limits { headers_within: Duration::from_millis(100), ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    let (mut silent, mut once, mut dripping) =
        (Line::to(&house).await, Line::to(&house).await, Line::to(&house).await);
    once.send(&post(ADMIN, "", BEAT)).await;
    assert_eq!(once.hear().await.status, 200);
    let begun = Instant::now();
    let head = post(ADMIN, &format!("User-Agent: {}\r\n", "x".repeat(4000)), BEAT);
    let mut drops = head.iter();
    let dripped = timeout(WITHIN, async {
        while let Some(drop) = drops.next()
            && dripping.0.get_mut().write_all(&[*drop]).await.is_ok()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    dripped.await.expect("the server does not wait for the last drop");
    assert!(drops.next().is_some(), "cut off after {:?}, before the last drop", begun.elapsed());
    assert!(silent.is_closed().await && once.is_closed().await);
    let counted = house.get("/metrics").await.body;
    let line = r#"lifesign_http_connections_refused_total{reason="slow"} 3"#;
    assert!(counted.contains(line), "{counted}");
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_connection_that_asks_nothing() {
    let house = House::new().await;
    let mut line = Line::to(&house).await;
    line.send(&post(ADMIN, "", BEAT)).await;
    assert_eq!(line.hear().await.status, 200);
    let begun = Instant::now();
    house.stop().await;
    assert!(line.is_closed().await);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "requests under way are given that long: {:?}",
        begun.elapsed()
    );
}
