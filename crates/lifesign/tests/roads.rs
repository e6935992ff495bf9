//! The link where the direct way is not let through: by HTTP proxies, and behind a balancer that ends TLS.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use support::hosts::{Host, end, enrolled, pid, server, token};
use support::{Lifesign, free_port, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Something between agents and the server, on threads of its own until it is dropped.
struct Between {
    address: SocketAddr,
    /// Connections it let through.
    passed: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Between {
    /// Hands each connection to `pass`, which says whether it let it through before it carries its bytes.
    fn new<F, Work>(pass: F) -> Self
    where
        F: Fn(TcpStream, Arc<AtomicU64>) -> Work + Send + Sync + 'static,
        Work: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (address, passed) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
        let count = Arc::clone(&passed);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, Arc::clone(&count)));
            }
        });
        Self { address, passed, _runtime: runtime }
    }

    fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// A proxy that takes `CONNECT` to `target` from who has this login, and goes to `port` of this host then: the
    /// name of the target is known to it alone.
    fn proxy(target: String, port: u16, login: &str) -> Self {
        let login = base64::engine::general_purpose::STANDARD.encode(login);
        let line = format!("connect {target} http/1.1\r\n").to_lowercase();
        let login = format!("\r\nproxy-authorization: basic {login}\r\n").to_lowercase();
        Self::new(move |mut stream, passed| {
            let (line, login) = (line.clone(), login.clone());
            async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                if !head.contains(&login) {
                    let no = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                    return stream.write_all(no).await;
                }
                if !head.starts_with(&line) {
                    return stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                }
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                passed.fetch_add(1, Ordering::Relaxed);
                copy_bidirectional(&mut stream, &mut server).await.map(drop)
            }
        })
    }

    /// A balancer that ends TLS, with a certificate of nobody's, and speaks HTTP with `port` of this host.
    fn balancer(port: u16) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        Self::new(move |stream, passed| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                passed.fetch_add(1, Ordering::Relaxed);
                copy_bidirectional(&mut stream, &mut server).await.map(drop)
            }
        })
    }
}

#[test]
fn a_host_is_enrolled_and_watched_through_a_proxy_that_wants_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, tls) = (free_port(), free_port());
    let server = Lifesign::start(dir.path(), &server(listen, tls, ""));
    // Nobody but the proxy knows this name.
    let proxy = Between::proxy("hq.invalid:443".to_owned(), tls, "anna:p@ss word");
    let at = proxy.address;

    // By the environment, as other programs have it.
    let mut host = Host::new(dir.path(), "web-01");
    let fresh = token(&server, &[]);
    host.environment = vec![("HTTPS_PROXY", format!("http://{at}"))];
    let (code, said) = host.enroll("https://hq.invalid:443", &fresh);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("it wants a user and a password; write them in `agent.proxy`"), "{said}");
    host.environment = vec![("HTTPS_PROXY", format!("http://anna:p%40ss%20word@{at}"))];
    host.enrolled("https://hq.invalid:443", &fresh);
    let agent = host.run();
    server.wait_for_state("web", "up", None);
    wait_for("the list to say so", || (enrolled(&server, "web-01")["connected"] == true).then_some(()));
    drop(agent);

    // By the configuration, which counts before the environment; the password is told nobody.
    let text = format!(
        "agent: {{ host: web-01, server: \"https://hq.invalid:443\", \
         proxy: {{ url: \"http://{at}\", user: anna, password: \"${{env:PROXY_PASSWORD}}\" }} }}\nlog: {{ level: debug }}\n"
    );
    std::fs::write(host.file(), text).unwrap();
    host.environment =
        vec![("HTTPS_PROXY", "http://127.0.0.1:1".to_owned()), ("PROXY_PASSWORD", "p@ss word".to_owned())];
    let before = proxy.passed();
    let agent = host.run();
    wait_for("a link through the proxy", || (proxy.passed() > before).then_some(()));
    server.wait_for_state("web", "up", None);
    let process = wait_for("its process", || pid(&server, "web"));
    assert!(process > 0);
    let said = std::fs::read_to_string(host.log()).unwrap();
    assert!(!said.contains("p@ss word"), "{said}");
    end(&server, [agent]);
}

#[test]
fn behind_a_balancer_that_ends_tls_the_link_goes_through_a_websocket_and_the_certificate_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, tls) = (free_port(), free_port());
    let configuration = server(listen, tls, "");
    let first = Lifesign::start(dir.path(), &configuration);
    let balancer = Between::balancer(listen);
    let address = format!("https://localhost:{}", balancer.address.port());

    // The token's authority is still the one that is believed: another server behind the same balancer is told nothing.
    let other = dir.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    let stranger = Lifesign::start(&other, &server(free_port(), free_port(), ""));
    let host = Host::new(dir.path(), "web-01");
    let (code, said) = host.enroll(&address, &token(&stranger, &[]));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("through a WebSocket") && said.contains("nothing was said to it"), "{said}");
    drop(stranger);

    host.enrolled(&address, &token(&first, &[]));
    let agent = host.run();
    first.wait_for_state("web", "up", None);
    wait_for("the list to say so", || (enrolled(&first, "web-01")["connected"] == true).then_some(()));
    let process = wait_for("its process", || pid(&first, "web"));

    // The server starts anew; the same way is found again.
    first.kill();
    let server = Lifesign::start(dir.path(), &configuration);
    assert_eq!(wait_for("the same process", || pid(&server, "web")), process);

    // Revoked is revoked, by this way too.
    let (status, answer) = server.post("/api/v1/hosts/web-01/revoke", &serde_json::Value::Null);
    assert!(status == 200 && answer["connected"] == false, "{answer}");
    host.wait_until_it_says("was revoked or replaced; enrol it anew");
    end(&server, [agent]);
}

#[test]
fn a_server_without_tls_says_so_to_who_asks_for_a_websocket() {
    let dir = tempfile::tempdir().unwrap();
    let listen = free_port();
    let server = Lifesign::start(dir.path(), &format!("server: {{ listen: \"127.0.0.1:{listen}\" }}\n"));
    let (status, answer) = server.get("/api/v1/link/websocket");
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("tls: {}"), "{answer}");
}
