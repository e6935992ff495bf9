//! Small servers on loopback that behave in exactly one way. They end with the test's runtime.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A server that answers every request in the same way.
pub(crate) struct Answering {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Answering {
    /// The requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A server with a certificate for `localhost`, and the authority that signed it as PEM.
pub(crate) struct Tls {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
}

async fn serve<F, R>(mut each: F) -> SocketAddr
where
    F: FnMut(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Accepts and says nothing.
pub(crate) async fn silent() -> SocketAddr {
    serve(async |stream: TcpStream| {
        let _held = stream;
        std::future::pending().await
    })
    .await
}

/// Reads a little and closes without a word.
pub(crate) async fn closing() -> SocketAddr {
    serve(async |mut stream: TcpStream| {
        let _ = stream.shutdown().await;
        // Reading to the end keeps the close from becoming a reset.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// Reads a little and resets the connection.
pub(crate) async fn resetting() -> SocketAddr {
    serve(async |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 16]).await;
        // Closing with unread data resets (RFC 9293 §3.6).
    })
    .await
}

/// Says `head`, then `x` for ever.
pub(crate) async fn flooding(head: &'static [u8]) -> SocketAddr {
    serve(move |mut stream: TcpStream| async move {
        let mut said = stream.write_all(head).await;
        while said.is_ok() {
            said = stream.write_all(&[b'x'; 8192]).await;
        }
    })
    .await
}

/// Waits for `question` and says `answers`, one by one.
pub(crate) async fn talking(question: &'static [u8], answers: &'static [&'static [u8]]) -> SocketAddr {
    serve(move |mut stream: TcpStream| async move {
        let mut heard = vec![0; question.len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, question);
        for answer in answers {
            stream.write_all(answer).await.unwrap();
            tokio::task::yield_now().await;
        }
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// Says `answer` and holds the connection open.
pub(crate) async fn hanging_after(answer: &'static str) -> SocketAddr {
    serve(move |mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending().await
    })
    .await
}

/// Reads a request and gives this answer, byte for byte.
pub(crate) async fn answering(answer: &str) -> Answering {
    let answer: Arc<str> = answer.into();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    let address = serve(move |stream| {
        let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
        async move { answer_on(stream, &answer, &log).await }
    })
    .await;
    Answering { address, requests }
}

/// The same over TLS.
pub(crate) async fn tls(answer: &'static str) -> Tls {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let log = Arc::new(Mutex::new(Vec::new()));
    let address = serve(move |stream| {
        let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
        async move {
            // A client that does not trust us breaks off here.
            if let Ok(stream) = acceptor.accept(stream).await {
                answer_on(stream, answer, &log).await;
            }
        }
    })
    .await;
    Tls { address, authority: root.pem() }
}

/// An answer with a JSON body.
pub(crate) fn json(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn answer_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, log: &Mutex<Vec<String>>) {
    let request = read_request(&mut stream).await;
    log.lock().unwrap().push(request);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// The head of a request and as much body as its `content-length` says.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut request = String::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        request.push_str(&String::from_utf8_lossy(&chunk[..count]));
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.map_or(0, |length| length.parse().unwrap()) <= body.len() {
                break;
            }
        }
    }
    request
}
