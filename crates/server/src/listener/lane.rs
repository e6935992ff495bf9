//! The short way of heartbeats: requests that are nothing out of the ordinary are read and answered here, on their
//! connection, with the handler that the router would have called, and none of the layers in between.
//!
//! A sender keeps its connection and sends the same few headers for years; routing, header maps and the state that
//! handlers are given cost several times what the heartbeat itself costs. Every connection begins here. At its first
//! request that is not ordinary ([`request`]), or that this does not let in, it is handed over with all
//! that was read of it, and stays with hyper from then on. So whatever is difficult (other headers, slow senders,
//! refusals of tokens and their log lines, upgrades) has one place, and it is not here.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use lifesign_component::Stop;
use lifesign_proto::PROBLEM_JSON;
use lifesign_proto::request::{self, Begun, Ordinary, PATH};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use super::SECURITY;
use crate::AppState;
use crate::api::heartbeats::{Form, answer};
use crate::auth::{AccessTable, Privilege};
use crate::figures::{Answered, Why};

/// Room for what is read at first. A request that needs more gets it.
const ROOM: usize = 4096;
/// Room that a connection may keep when it waits.
const KEPT: usize = 16 * 1024;
/// Room for the head of an answer.
const HEAD: usize = 640;
/// Answers to requests that came together are sent together, up to this.
const TOGETHER: usize = 64 * 1024;
/// How long the rest of a request is waited for here; whoever is slower is handed over to be slow there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the lanes of all connections share.
#[derive(Debug)]
pub(crate) struct Lanes {
    state: AppState,
    /// Heartbeats answered with 200: the counter is looked up once.
    answered: Counter,
}

/// What became of a connection.
pub(super) enum Left {
    /// It is over.
    Ended,
    /// It goes on elsewhere, with what was read of it.
    Elsewhere(Bytes),
}

impl Lanes {
    pub(crate) fn new(state: AppState) -> Self {
        let ok = Answered { route: PATH.into(), status: StatusCode::OK.as_u16() };
        let answered = state.figures.requests.get_or_create(&ok).clone();
        Self { state, answered }
    }

    /// Serves `stream` as long as its requests are ordinary.
    ///
    /// # Errors
    /// Those of the stream.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        peer: SocketAddr,
        closing: &mut Stop,
    ) -> io::Result<Left> {
        let mut lane = Lane {
            lanes: self,
            gate: Gate { tables: self.state.access.changes(), known: None },
            last: None,
            read: Vec::with_capacity(ROOM),
            done: 0,
            answers: Answers { peer, date: Date::default(), waiting: Vec::new() },
        };
        lane.serve(stream, closing).await
    }
}

/// One connection.
struct Lane<'a> {
    lanes: &'a Lanes,
    gate: Gate,
    /// The head that came last, if it was let in: the next one is often the same.
    last: Option<Head>,
    read: Vec<u8>,
    /// How much of that is done with.
    done: usize,
    answers: Answers,
}

/// The head of a request that was let in.
struct Head {
    bytes: Box<[u8]>,
    form: Form,
    /// Bytes of the body.
    body: usize,
}

/// What stands at the beginning of what was read.
enum Next {
    /// A whole request: where its body begins and ends, and what it is.
    Request { body: Range<usize>, form: Form },
    /// Nothing, or too little to tell.
    More,
    /// What is not for this place.
    Elsewhere,
}

impl Lane<'_> {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        closing: &mut Stop,
    ) -> io::Result<Left> {
        let state = &self.lanes.state;
        let within = state.limits.headers_within;
        let mut closing = pin!(closing.given());
        let mut limit = pin!(sleep(within));
        // Whether something was answered since the limit was set. To set it anew each time would cost more than it
        // is worth: a silent connection is kept for the limit at least, and less than twice that.
        let mut is_active = false;
        // Whether the limit is already that for the rest of a request: drop by drop is not faster.
        let mut is_begun = false;
        loop {
            match self.next() {
                Next::Request { body, form } => {
                    self.done = body.end;
                    let body = self.read.get(body).unwrap_or_default();
                    self.answers.add(self.lanes, form, body).await;
                    (is_active, is_begun) = (true, false);
                    if self.answers.waiting.len() >= TOGETHER {
                        self.answers.send(stream).await?;
                    }
                    continue;
                }
                Next::More => self.answers.send(stream).await?,
                Next::Elsewhere => {
                    self.answers.send(stream).await?;
                    return Ok(self.elsewhere());
                }
            }
            let is_part = self.make_room();
            if is_part && !is_begun {
                set(limit.as_mut(), PATIENCE);
                is_begun = true;
            }
            tokio::select! {
                biased;
                () = closing.as_mut() => {
                    // What has begun is finished.
                    return Ok(if is_part { self.elsewhere() } else { Left::Ended });
                }
                read = stream.read_buf(&mut self.read) => {
                    if read? == 0 {
                        return Ok(Left::Ended);
                    }
                }
                () = limit.as_mut() => {
                    if is_part {
                        return Ok(self.elsewhere());
                    }
                    if !is_active {
                        state.figures.connections_refused.get_or_create(&Why { reason: "slow" }).inc();
                        return Ok(Left::Ended);
                    }
                    is_active = false;
                    set(limit.as_mut(), within);
                }
            }
        }
    }

    /// Looks at what was read and is not done with.
    fn next(&mut self) -> Next {
        let rest = self.read.get(self.done..).unwrap_or_default();
        if rest.is_empty() {
            return Next::More;
        }
        let is_last = self.last.as_ref().is_some_and(|last| rest.starts_with(&last.bytes));
        if self.gate.has_changed() || !is_last {
            let limits = &self.lanes.state.limits;
            match request::begun(rest, limits.header_bytes) {
                Begun::Ordinary(Ordinary { token, is_batch, accepts_json, head, body }) => {
                    if body > limits.body_bytes || !self.gate.lets_in(&self.lanes.state, token) {
                        return Next::Elsewhere;
                    }
                    let bytes = rest.get(..head).unwrap_or_default().into();
                    self.last = Some(Head { bytes, form: Form { is_batch, accepts_json }, body });
                }
                Begun::Unknown => return Next::More,
                Begun::Other => return Next::Elsewhere,
            }
        }
        let Some(head) = &self.last else { return Next::Elsewhere };
        let begin = self.done + head.bytes.len();
        let end = begin + head.body;
        if self.read.len() < end {
            self.read.reserve(end - self.read.len());
            return Next::More;
        }
        Next::Request { body: begin..end, form: head.form }
    }

    /// Forgets what is done with, and makes room for more. Returns whether a part of a request is left.
    fn make_room(&mut self) -> bool {
        self.read.drain(..self.done);
        self.done = 0;
        if self.read.is_empty() {
            self.read.shrink_to(KEPT);
        }
        self.read.reserve(ROOM / 2);
        !self.read.is_empty()
    }

    fn elsewhere(&mut self) -> Left {
        self.read.drain(..self.done);
        Left::Elsewhere(std::mem::take(&mut self.read).into())
    }
}

/// Answers that wait to be sent.
struct Answers {
    peer: SocketAddr,
    date: Date,
    waiting: Vec<u8>,
}

impl Answers {
    /// Answers one request, as the route does.
    async fn add(&mut self, lanes: &Lanes, form: Form, body: &[u8]) {
        // Nobody reads the clock for a line that nobody reads.
        let begun = tracing::enabled!(tracing::Level::DEBUG).then(Instant::now);
        let status = match answer(&lanes.state, form, body).await {
            Ok((content_type, body)) => {
                lanes.answered.inc();
                self.write(StatusCode::OK, content_type, None, &body);
                StatusCode::OK
            }
            Err(failure) => {
                let (status, header, body) = failure.at(PATH);
                let answered = Answered { route: PATH.into(), status: status.as_u16() };
                lanes.state.figures.requests.get_or_create(&answered).inc();
                self.write(status, PROBLEM_JSON, header, &body);
                status
            }
        };
        if let Some(begun) = begun {
            let client = self.peer.ip().to_canonical();
            let (path, status) = (PATH, status.as_u16());
            tracing::debug!(%client, method = "POST", path, status, took = ?begun.elapsed(), "Answered");
        }
    }

    fn write(
        &mut self,
        status: StatusCode,
        content_type: &str,
        header: Option<(HeaderName, HeaderValue)>,
        body: &[u8],
    ) {
        self.date.set(SystemTime::now());
        let out = &mut self.waiting;
        out.reserve(HEAD + body.len());
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        put(out, "content-type", content_type.as_bytes());
        if let Some((name, value)) = header {
            put(out, name.as_str(), value.as_bytes());
        }
        for (name, value) in &SECURITY {
            put(out, name.as_str(), value.as_bytes());
        }
        put(out, "date", self.date.text.as_bytes());
        out.extend_from_slice(b"\r\ncontent-length: ");
        // Into memory: that does not fail.
        let _written = write!(out, "{}\r\n\r\n", body.len());
        out.extend_from_slice(body);
    }

    /// Sends what waits.
    async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        stream.write_all(&self.waiting).await?;
        // What encrypts keeps things back until it is told.
        stream.flush().await?;
        self.waiting.clear();
        self.waiting.shrink_to(KEPT);
        Ok(())
    }
}

/// Knows who may send heartbeats.
struct Gate {
    /// Tells when tokens have changed.
    tables: watch::Receiver<Arc<AccessTable>>,
    /// The token that was let in last. It is in what was read anyway, again and again.
    known: Option<Box<[u8]>>,
}

impl Gate {
    /// Whether tokens have changed since somebody was let in.
    fn has_changed(&self) -> bool {
        self.tables.has_changed().unwrap_or(true)
    }

    /// Whether whoever shows `token` may send heartbeats. A refusal is told by the guard of the routes, who asks again.
    fn lets_in(&mut self, state: &AppState, token: &str) -> bool {
        if self.has_changed() {
            self.tables.mark_unchanged();
            self.known = None;
        }
        // Who guesses could learn from the time that this takes, but the first wrong guess ends the lane.
        if self.known.as_deref() == Some(token.as_bytes()) {
            return true;
        }
        let is_let_in = state.access.by_token(token).is_some_and(|caller| caller.may(Privilege::Write));
        self.known = is_let_in.then(|| token.as_bytes().into());
        is_let_in
    }
}

fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
}

fn set(limit: std::pin::Pin<&mut Sleep>, after: Duration) {
    limit.reset(tokio::time::Instant::now() + after);
}

/// The time as the header `Date` has it (RFC 9110 §5.6.7), written once a second.
#[derive(Debug, Default)]
struct Date {
    second: Option<u64>,
    text: String,
}

impl Date {
    fn set(&mut self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok();
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(now);
        }
    }
}
