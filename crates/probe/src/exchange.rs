//! One HTTP/1.1 request and its answer on a connection of their own.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::pin;

use futures_util::FutureExt;
use http::{Request, StatusCode, response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::attempt::{Attempt, Phase};
use crate::finding::Finding;
use crate::tls::broken;

/// Largest head of an answer, in bytes; a longer one is a wrong answer.
const MAX_HEAD: usize = 64 * 1024;

/// An answer, its body read as far as it was wanted.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: response::Parts,
    pub(crate) body: Body,
}

/// How much of the body was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nobody asked for it.
    Unread,
    /// All of it.
    Whole(Vec<u8>),
    /// The beginning; there was more than the limit.
    Cut(Vec<u8>),
}

/// Sends `request` over `stream` and reads the answer. `limit` decides by the head how many bytes of the
/// body are wanted (`None`: none); the rest is not read and the connection is closed. While the body is
/// read, `verdict` of the head stands for what is known if time runs out.
pub(crate) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    place: &str,
    attempt: &mut Attempt,
    limit: impl FnOnce(&response::Parts) -> Option<usize>,
    verdict: impl FnOnce(StatusCode) -> Option<Finding>,
) -> Result<Reply, Finding> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let started = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = started.map_err(|error| unanswered(place, &error))?;
    // The connection lives and ends with this function: no task outlives a probe that was cut off.
    let mut connection = pin!(connection.fuse());
    let sent = attempt.measure(Phase::FirstByte, beside(connection.as_mut(), sender.send_request(request)));
    let response = sent.await.map_err(|error| unanswered(place, &error))?;
    let (head, body) = response.into_parts();
    let Some(limit) = limit(&head) else {
        return Ok(Reply { head, body: Body::Unread });
    };
    attempt.if_cut_off(verdict(head.status));
    let read = attempt.measure(Phase::Rest, beside(connection, read(body, limit))).await;
    attempt.if_cut_off(None);
    let body = read.map_err(|error| {
        Finding::wrong(format!("{}: the body broke off: {}", shown(head.status), root(&error)))
    })?;
    Ok(Reply { head, body })
}

/// `503 Service Unavailable`
pub(crate) fn shown(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

async fn read(mut body: Incoming, limit: usize) -> hyper::Result<Body> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers are frames too; they are of no interest.
        if let Ok(data) = frame?.into_data() {
            let room = limit - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok(Body::Cut(bytes));
            }
        }
    }
    Ok(Body::Whole(bytes))
}

/// Does `work` and keeps `connection` going meanwhile. What breaks the connection also fails the work.
async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        _ended = connection => {}
    }
    work.await
}

/// There is no answer, or none that is HTTP.
fn unanswered(place: &str, error: &hyper::Error) -> Finding {
    if error.is_incomplete_message() {
        return Finding::refused(format!("{place}: closed the connection without an answer"));
    }
    if error.is_parse() {
        return Finding::wrong(format!("{place}: the answer is not HTTP/1.1: {}", root(error)));
    }
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) => broken(place, error),
        None => Finding::wrong(format!("{place}: {error}")),
    }
}

/// The innermost reason: hyper's own messages only name the layer.
fn root(error: &hyper::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What the probe makes of a server that says `answer` and closes.
    fn hear(answer: Vec<u8>, limit: usize) -> Result<Reply, Finding> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            let server = async move {
                let _ = theirs.read(&mut [0; 4096]).await;
                let _ = theirs.write_all(&answer).await;
            };
            let mut attempt = Attempt::begin();
            let request = Request::new(Full::default());
            let asked = exchange(ours, request, "here", &mut attempt, |_| Some(limit), |_| None);
            tokio::join!(asked, server).0
        })
    }

    #[test]
    fn an_answer_may_come_in_chunks() {
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(hear(answer.to_vec(), 5).unwrap().body, Body::Whole(b"abcde".to_vec()));
        assert_eq!(hear(answer.to_vec(), 4).unwrap().body, Body::Cut(b"abcd".to_vec()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_a_finding(
            head in "(HTTP/1.[01] [0-9]{1,4} [A-Z]{0,5}\r\n)?([a-z-]{1,9}: ?[a-z0-9]{0,9}\r\n){0,4}(\r\n)?",
            length in proptest::option::of(0usize..40),
            body in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let length = length.map_or(String::new(), |length| format!("content-length: {length}\r\n\r\n"));
            let answer = [head.as_bytes(), length.as_bytes(), &body].concat();
            if let Ok(Reply { body: Body::Whole(read) | Body::Cut(read), .. }) = hear(answer, 16) {
                prop_assert!(read.len() <= 16);
            }
        }
    }
}
