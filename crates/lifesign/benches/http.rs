//! The row *HTTP on loopback* of `cargo xtask bench local`: a running `lifesign up`, and a client that waits for each
//! answer, which comes when the engine has judged. Its way back is in the figures.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Beats whose delay is measured, and the time between them.
const PACED: usize = 1000;
const PACE: Duration = Duration::from_millis(2);
/// Beats sent as fast as the answers come.
const BURST: u32 = 10_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let configuration = "server: { listen: \"127.0.0.1:0\" }
heartbeats: { rate_per_second: 100000 }
services: [ { id: orders, heartbeat: { interval: 1h } } ]
";
    let lifesign = support::Lifesign::start(dir.path(), configuration);
    let host = lifesign.base.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut answers = BufReader::new(TcpStream::connect(&host).unwrap());
    answers.get_ref().set_nodelay(true).unwrap();
    let mut beat = |n: usize| {
        let body = format!("{{\"service_id\":\"orders\",\"status\":\"alive\",\"progress\":{n}}}");
        let request = format!(
            "POST /api/v1/heartbeats HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            lifesign.token,
            body.len()
        );
        answers.get_ref().write_all(request.as_bytes()).unwrap();
        let (mut line, mut length, mut is_first) = (String::new(), 0, true);
        loop {
            line.clear();
            answers.read_line(&mut line).unwrap();
            if std::mem::take(&mut is_first) {
                assert!(line.contains(" 200 "), "{line}");
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        answers.read_exact(&mut vec![0; length]).unwrap();
    };
    let mut delays: Vec<Duration> = (0..PACED)
        .map(|n| {
            std::thread::sleep(PACE);
            let begun = Instant::now();
            beat(n);
            begun.elapsed()
        })
        .collect();
    delays.sort();
    let begun = Instant::now();
    for n in 0..BURST {
        beat(n as usize);
    }
    let each = begun.elapsed() / BURST;
    let per_second = 1.0 / each.as_secs_f64();
    println!(
        "| HTTP on loopback, each answered | {each:.1?} | {per_second:.0} | {per_second:.0} | {:.1?} | {:.1?} |",
        delays[PACED / 2],
        delays[PACED * 99 / 100]
    );
}
