//! `tcp`: a connection can be made, and says what it should.
//!
//! ```yaml
//! - tcp: { address: "127.0.0.1:6379", send: "PING\r\n", expect: "+PONG" }
//! ```

use lifesign_config::{Cx, Decode, Fields, HostPort, Kind, Node, Record, Target, record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attempt::{Attempt, Phase};
use crate::dial::dial;
use crate::finding::{Finding, one_line};
use crate::judge::{MAX_QUOTE, contains};
use crate::payload::{MAX_NEEDLE, MAX_PAYLOAD, Payload};
use crate::probe::{Look, Looked, Probe};
use crate::tls::broken;

/// The kind, for [`crate::kinds`].
pub(crate) const KIND: Kind<Vec<Target<Probe>>> = Kind { name: "tcp", decode, schema: TcpCheck::schema };

/// Most bytes that are searched for `expect`; an answer that is longer and does not hold it is wrong.
const MAX_ANSWER: usize = 64 * 1024;

record! {
    /// A TCP connection, and if wanted a short dialogue on it.
    pub struct TcpCheck {
        /// Where to connect to.
        address: Option<HostPort>,
        /// Several addresses of the same service; see `need`.
        addresses: Option<Vec<HostPort>> [1..=64],
        /// Sent as soon as the connection stands. In double quotes `\r\n` is a line end.
        send: Option<Payload> [1..=MAX_PAYLOAD],
        /// Must come back, anywhere in the first 64 KiB of the answer.
        expect: Option<Payload> [1..=MAX_NEEDLE],
    }
    check TcpCheck::check
}

impl TcpCheck {
    fn check(&self, node: &Node, cx: &mut Cx) {
        match (&self.address, &self.addresses) {
            (Some(_), Some(_)) => {
                cx.error(node.at("addresses"), "`address` and `addresses` exclude each other");
            }
            (None, None) => {
                cx.error(node.span, "the key `address` is missing here")
                    .hint(format!("it takes {}", HostPort::what()));
            }
            _ => {}
        }
    }
}

fn decode(fields: &mut Fields<'_>, cx: &mut Cx) -> Option<Vec<Target<Probe>>> {
    let TcpCheck { address, addresses, send, expect } = TcpCheck::from_fields(fields, cx)?;
    let places = addresses.unwrap_or_default().into_iter().chain(address);
    let target = |place: HostPort| Target {
        label: place.to_string(),
        probe: Probe::new(Tcp { place, send: send.clone(), expect: expect.clone() }),
    };
    Some(places.map(target).collect())
}

#[derive(Debug)]
struct Tcp {
    place: HostPort,
    send: Option<Payload>,
    expect: Option<Payload>,
}

impl Look for Tcp {
    fn look<'a>(&'a self, attempt: &'a mut Attempt) -> Looked<'a> {
        Box::pin(async {
            let mut stream = dial(&self.place, attempt).await?;
            let connected = attempt.elapsed();
            let broken = |error| broken(&self.place.to_string(), &error);
            if let Some(send) = &self.send {
                attempt.measure(Phase::Rest, stream.write_all(send.bytes())).await.map_err(broken)?;
            }
            let Some(expect) = &self.expect else {
                return Ok(Finding::pass(format!("connected in {}", millis(connected))));
            };
            self.listen(&mut stream, expect.bytes(), attempt).await
        })
    }
}

impl Tcp {
    /// Reads until `expect` has come, or cannot come any more.
    async fn listen(
        &self,
        stream: &mut TcpStream,
        expect: &[u8],
        attempt: &mut Attempt,
    ) -> Result<Finding, Finding> {
        let place = self.place.to_string();
        let mut answer = Vec::new();
        let mut phase = Phase::FirstByte;
        loop {
            let mut chunk = [0; 4096];
            let read = attempt.measure(phase, stream.read(&mut chunk)).await;
            let count = read.map_err(|error| broken(&place, &error))?;
            phase = Phase::Rest;
            // What has been searched is searched again only where the wanted text could begin.
            let from = answer.len().saturating_sub(expect.len());
            answer.extend_from_slice(&chunk[..count]);
            if contains(&answer[from..], expect) {
                return Ok(Finding::pass(format!("expected answer in {}", millis(attempt.elapsed()))));
            }
            match count {
                0 if answer.is_empty() => {
                    return Err(Finding::refused(format!(
                        "{place}: closed the connection without an answer"
                    )));
                }
                0 => break,
                _ if answer.len() >= MAX_ANSWER => break,
                _ => attempt.if_cut_off(Some(Finding::wrong(self.unexpected(&answer)))),
            }
        }
        Err(Finding::wrong(self.unexpected(&answer)))
    }

    /// What came instead. What was expected stays unsaid: it may be secret. So may what came, when it could
    /// be an echo of a secret that was sent.
    fn unexpected(&self, answer: &[u8]) -> String {
        let place = &self.place;
        if self.send.as_ref().is_some_and(|send| send.secret) {
            return format!("{place}: answered something else, not shown since a secret was sent");
        }
        let beginning = String::from_utf8_lossy(&answer[..answer.len().min(MAX_QUOTE)]).into_owned();
        format!("{place}: answered something else: {:?}", one_line(&beginning, MAX_QUOTE))
    }
}

/// `12 ms`, `0.4 ms`
pub(crate) fn millis(time: std::time::Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lifesign_config::{Span, Value};

    use super::*;

    #[test]
    fn an_answer_to_a_secret_is_not_shown_since_it_may_be_an_echo() {
        let sending = |secret| {
            let node = Node { value: Value::Text("AUTH hunter2".into()), span: Span::NONE, secret };
            let send = Payload::decode(&node, &mut Cx::new(Path::new("")));
            Tcp { place: HostPort::parse("a:1").unwrap(), send, expect: None }
        };
        let echo = b"-ERR unknown command AUTH hunter2";
        assert!(sending(false).unexpected(echo).contains("hunter2"));
        let hidden = sending(true);
        assert_eq!(
            hidden.unexpected(echo),
            "a:1: answered something else, not shown since a secret was sent"
        );
        assert!(!format!("{hidden:?}").contains("hunter2"));
    }
}
