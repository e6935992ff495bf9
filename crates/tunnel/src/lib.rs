//! A stream of bytes inside a WebSocket: the way through load balancers and proxies that pass HTTP and nothing else.
//!
//! Both sides of the link use it and may not know each other, so it is a crate of its own. It gives no protection
//! whatever: what goes through it is a TLS connection from end to end, so that whoever ends the outer TLS sees
//! ciphertext only, and the certificates of both sides are shown as on the direct way.
//!
//! | message | is |
//! |---|---|
//! | binary | the next bytes of the stream, in pieces of any size up to [`MAX_MESSAGE`] |
//! | ping, pong | answered by the library; no bytes |
//! | close | the end of the stream |
//! | text | a mistake: it ends the stream with an error |

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink as _, Stream as _};
use http::{HeaderMap, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Largest message that is taken, in bytes; a larger one ends the tunnel.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// Most bytes that one message is given: a record of TLS and a little more.
const PIECE: usize = 32 * 1024;
/// Bytes that may wait for the stream below; more makes the writer wait.
const WAITING: usize = 128 * 1024;

/// Why there is no tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// An HTTP server answered, and not with a WebSocket.
    #[error("it answered {0} where a WebSocket was asked for")]
    Answered(u16),
    /// The connection did not speak WebSocket, or broke.
    #[error("{0}")]
    Broken(String),
}

/// Asks for a tunnel over `stream`, which leads to an HTTP server: `host` (with its port) and `path` are what it is
/// asked for. On success `stream` carries messages.
///
/// # Errors
/// When the other side does not make a WebSocket of it.
pub async fn connect<S>(stream: S, host: &str, path: &str) -> Result<Tunnel<S>, Unopened>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Whether TLS is spoken below is not this handshake's affair; the scheme goes nowhere.
    let request = format!("ws://{host}{path}").into_client_request().map_err(broken)?;
    match tokio_tungstenite::client_async_with_config(request, stream, Some(limits())).await {
        Ok((socket, _answer)) => Ok(Tunnel::new(socket)),
        Err(WsError::Http(answer)) => Err(Unopened::Answered(answer.status().as_u16())),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: impl ToString) -> Unopened {
    Unopened::Broken(error.to_string())
}

/// The key of a request for a WebSocket in the form that `Sec-WebSocket-Accept` wants; `None`: this is no such request.
pub fn accept_key(headers: &HeaderMap) -> Option<String> {
    let says = |name: header::HeaderName, word: &str| {
        let words = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        words.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    let is_asked = says(header::UPGRADE, "websocket")
        && says(header::CONNECTION, "upgrade")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_asked)?;
    Some(derive_accept_key(key.as_bytes()))
}

/// The server's end of a tunnel: `stream` has answered 101 and carries messages from here on.
pub async fn accepted<S>(stream: S) -> Tunnel<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Tunnel::new(WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits())).await)
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        // Each message goes down at once: those above put their bytes together themselves.
        .write_buffer_size(0)
        .max_write_buffer_size(WAITING)
}

/// One end of a tunnel: a stream of bytes like any other.
#[derive(Debug)]
pub struct Tunnel<S> {
    socket: WebSocketStream<S>,
    /// What of a message was not read yet.
    rest: Bytes,
}

impl<S> Tunnel<S> {
    fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, rest: Bytes::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_))) => {
                    let words = "a text came where only binary messages are taken";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
                }
                // Many who go say no goodbye, and what is inside knows its own end.
                Some(Err(error)) if is_end(&error) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(in_words(error))),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(in_words)?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        let message = Message::Binary(Bytes::copy_from_slice(piece));
        Pin::new(&mut self.socket).start_send(message).map_err(in_words)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(in_words)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Err(error) if !is_end(&error) => Poll::Ready(Err(in_words(error))),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn is_end(error: &WsError) -> bool {
    matches!(
        error,
        WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
    )
}

fn in_words(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A server that makes a tunnel of whatever asks for one.
    async fn answer(mut stream: DuplexStream) -> Tunnel<DuplexStream> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1).take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            let name: header::HeaderName = name.parse().unwrap();
            headers.append(name, value.trim().parse().unwrap());
        }
        let key = accept_key(&headers).unwrap();
        let words = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {key}\r\n\r\n"
        );
        stream.write_all(words.as_bytes()).await.unwrap();
        accepted(stream).await
    }

    async fn pair(room: usize) -> (Tunnel<DuplexStream>, Tunnel<DuplexStream>) {
        let (here, there) = duplex(room);
        let (client, server) = tokio::join!(connect(here, "hq.example:443", "/way"), answer(there));
        (client.unwrap(), server)
    }

    #[tokio::test]
    async fn bytes_arrive_as_they_were_sent_both_ways_also_through_a_narrow_place() {
        let (client, server) = pair(1000).await;
        let sent: Vec<u8> = (0..500_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let (mut client_reads, mut client_writes) = tokio::io::split(client);
        let (mut server_reads, mut server_writes) = tokio::io::split(server);
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let writing = async {
            let up = async {
                client_writes.write_all(&sent).await.unwrap();
                client_writes.flush().await.unwrap();
            };
            let down = async {
                server_writes.write_all(&sent).await.unwrap();
                server_writes.flush().await.unwrap();
            };
            tokio::join!(up, down);
        };
        let reading = async {
            up.resize(sent.len(), 0);
            down.resize(sent.len(), 0);
            let (one, two) =
                tokio::join!(server_reads.read_exact(&mut up), client_reads.read_exact(&mut down));
            one.and(two).unwrap();
        };
        tokio::join!(writing, reading);
        assert!(up == sent && down == sent);
        // The end of one side is the end of what the other one reads.
        let (ended, end) = tokio::join!(client_writes.shutdown(), server_reads.read_u8());
        ended.unwrap();
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_text_or_a_message_that_is_too_long_ends_it_with_an_error() {
        use futures_util::SinkExt as _;
        for message in [Message::text("hello"), Message::binary(vec![0; MAX_MESSAGE + 1])] {
            let (here, there) = duplex(MAX_MESSAGE * 2);
            // A client of another make, with limits of its own.
            let mut client = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
            let mut server = accepted(there).await;
            client.send(message).await.unwrap();
            assert!(server.read_u8().await.unwrap_err().kind() != io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn a_server_that_answers_otherwise_is_told_from_one_that_speaks_no_http() {
        for (said, expected) in [
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Some(403)),
            ("SSH-2.0-OpenSSH_9.2\r\n", None),
            ("", None),
        ] {
            let (here, mut there) = duplex(4096);
            there.write_all(said.as_bytes()).await.unwrap();
            there.shutdown().await.unwrap();
            let why = connect(here, "hq.example:443", "/way").await.unwrap_err();
            match expected {
                Some(status) => assert_eq!(why, Unopened::Answered(status)),
                None => assert!(matches!(why, Unopened::Broken(_)), "{why}"),
            }
        }
    }

    #[test]
    fn only_a_request_for_a_websocket_has_a_key() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let whole = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            // The example of RFC 6455, section 1.3.
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(accept_key(&headers(&whole)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for left_out in 0..whole.len() {
            let mut some = whole.to_vec();
            some.remove(left_out);
            assert_eq!(accept_key(&headers(&some)), None, "without {}", whole[left_out].0);
        }
    }
}
