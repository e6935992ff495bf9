//! The webhook against real servers on the loopback interface, well-behaved and not.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

#[expect(dead_code, reason = "one opening is enough here")]
#[path = "../src/samples.rs"]
mod samples;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lifesign_lang::Lang;
use lifesign_notify::{Context, Delivery, Receiver, kinds};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a server heard: method and path, headers as lines, body.
type Heard = (String, Vec<String>, String);

fn webhook(text: &str) -> Receiver {
    let kinds = kinds();
    let kind = kinds.iter().find(|kind| kind.name == "webhook").unwrap();
    kind.read(text).unwrap_or_else(|report| panic!("{report}"))
}

async fn deliver(receiver: &Receiver, attempt: u32) -> Delivery {
    let context = Context { attempt, external_url: "http://127.0.0.1:7700", lang: Lang::En };
    receiver.deliver(&samples::opening(), &context).await
}

/// Answers every request on `io` with `status`, `headers` and `body`, and tells `heard` about it.
async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    heard: mpsc::Sender<Heard>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let (head, incoming) = request.into_parts();
            let bytes = incoming.collect().await.unwrap().to_bytes();
            let lines = head
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            heard.send((format!("{} {}", head.method, head.uri), lines, text)).await.unwrap();
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
        }
    });
    // The client closes when it has its answer; that is no failure of the server.
    let _closed = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
}

/// A plain server that always answers the same.
async fn answering(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> (SocketAddr, mpsc::Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, status, headers, body, sender.clone()));
        }
    });
    (address, heard)
}

/// A server that does with each connection what `behaviour` says.
async fn misbehaving<F>(behaviour: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(behaviour(stream));
        }
    });
    address
}

/// Reads until the request's JSON has come.
async fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\"truncatedAlerts\":0}") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "the request ended early");
    }
}

#[tokio::test]
async fn an_answer_of_200_is_delivered_and_the_request_is_whole() {
    let (address, mut heard) = answering(200, &[], "thanks").await;
    let receiver = webhook(&format!("{{ url: 'http://{address}/x?y=1', token: t0ken }}"));
    assert_eq!(deliver(&receiver, 1).await, Delivery::Delivered { answer: "200 OK thanks".to_owned() });
    let (line, headers, body) = heard.recv().await.unwrap();
    assert_eq!(line, "POST /x?y=1");
    assert!(headers.contains(&format!("host: {address}")), "{headers:?}");
    assert!(headers.contains(&"authorization: Bearer t0ken".to_owned()), "{headers:?}");
    assert!(headers.contains(&"idempotency-key: 9f86d081884c7d65".to_owned()), "{headers:?}");
    assert!(headers.contains(&format!("content-length: {}", body.len())), "{headers:?}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((body["version"].as_str(), body["status"].as_str()), (Some("4"), Some("firing")));
}

#[tokio::test]
async fn every_attempt_says_the_same_under_the_same_id() {
    let (address, mut heard) = answering(500, &[], "no").await;
    let receiver = webhook(&format!("{{ url: 'http://{address}/' }}"));
    for attempt in 1..=3 {
        let answer = deliver(&receiver, attempt).await;
        assert_eq!(answer, Delivery::Retry { why: "500 Internal Server Error no".to_owned(), after: None });
    }
    let first = heard.recv().await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), first);
    assert_eq!(heard.recv().await.unwrap(), first);
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_gets_it() {
    let (address, _heard) = answering(429, &[("retry-after", "17")], "slow down").await;
    let Delivery::Retry { why, after } =
        deliver(&webhook(&format!("{{ url: 'http://{address}/' }}")), 1).await
    else {
        panic!("429 is to be retried");
    };
    assert_eq!((why.as_str(), after), ("429 Too Many Requests slow down", Some(Duration::from_secs(17))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, mut heard_elsewhere) = answering(200, &[], "").await;
    let location: &'static str = Box::leak(format!("http://{elsewhere}/").into_boxed_str());
    let headers: &'static [(&str, &str)] = Box::leak(Box::new([("location", location)]));
    let (address, _heard) = answering(307, headers, "").await;
    let answer = deliver(&webhook(&format!("{{ url: 'http://{address}/', token: t0ken }}")), 1).await;
    assert!(
        matches!(&answer, Delivery::Retry { why, .. } if why.contains("redirects are not followed")),
        "{answer:?}"
    );
    assert!(heard_elsewhere.try_recv().is_err(), "the token went elsewhere");
}

#[tokio::test]
async fn silence_ends_at_the_timeout_whether_before_or_inside_the_answer() {
    let silent = misbehaving(|mut stream| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let dripping = misbehaving(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    for address in [silent, dripping] {
        let start = Instant::now();
        let receiver = webhook(&format!("{{ url: 'http://{address}/', timeout: 200ms }}"));
        let answer = deliver(&receiver, 1).await;
        assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("within 200ms")), "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn once_the_status_says_taken_a_body_that_never_comes_changes_nothing() {
    let address = misbehaving(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nok").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let answer = deliver(&webhook(&format!("{{ url: 'http://{address}/', timeout: 200ms }}")), 1).await;
    assert_eq!(answer, Delivery::Delivered { answer: "202 Accepted ok".to_owned() });
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let address = misbehaving(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
    })
    .await;
    let answer = deliver(&webhook(&format!("{{ url: 'http://{address}/' }}")), 1).await;
    assert!(answer.is_delivered() && answer.text().chars().count() < 400, "{answer:?}");
}

#[tokio::test]
async fn a_reset_a_close_garbage_and_an_empty_port_are_tried_again() {
    let reset = misbehaving(|mut stream| async move {
        read_request(&mut stream).await;
        let _unread = stream.write_all(b"HTTP/1.1 2").await;
        socket_reset(stream);
    })
    .await;
    let close = misbehaving(|mut stream| async move { read_request(&mut stream).await }).await;
    let garbage = misbehaving(|mut stream| async move {
        let _reset = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (address, part) in
        [(reset, ""), (close, "closed before an answer"), (garbage, "no HTTP"), (nobody, "cannot connect")]
    {
        let answer = deliver(&webhook(&format!("{{ url: 'http://{address}/' }}")), 99).await;
        assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains(part)), "{part}: {answer:?}");
    }
}

/// Closes with RST instead of FIN.
fn socket_reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn https_trusts_the_configured_authority_and_no_other() {
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let chain = vec![certified.cert.der().clone()];
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut heard) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, 200, &[], "secure", sender).await;
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let text = format!("{{ url: 'https://{host}:{port}/', ca_file: '{}' }}", ca_file.display());
        let answer = deliver(&webhook(&text), 1).await;
        assert_eq!(answer.text(), "200 OK secure");
        assert!(heard.recv().await.is_some());
    }
    let answer = deliver(&webhook(&format!("{{ url: 'https://localhost:{port}/' }}")), 1).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("certificate")), "{answer:?}");
    assert!(heard.try_recv().is_err(), "sent to somebody we do not trust");
}
