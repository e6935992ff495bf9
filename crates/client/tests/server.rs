//! Hearts against real servers on the loopback interface: good, absent, silent and refusing.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lifesign_client::{Beat, Heart, Link, MAX_METRICS, SendError, Status, send, send_trusting};
use serde_json::Value;

const GOOD: &str =
    "200 OK\r\n\r\n{\"acks\":[{\"service_id\":\"orders\",\"state\":\"up\",\"accepted\":true}]}";
const TOKEN: &str = "t0ken-t0ken";

/// What a server heard and when: the head's lines and the body.
struct Heard {
    at: Instant,
    head: Vec<String>,
    body: Value,
}

/// A server whose answer can be changed while it runs. An empty answer is none: the connection hangs.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<&'static str>>,
    heard: mpsc::Receiver<Heard>,
}

impl Server {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let (sender, heard) = mpsc::channel();
        let shared = Arc::clone(&answer);
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                thread::spawn(move || serve(stream.unwrap(), &shared, &sender));
            }
        });
        Self { address, answer, heard }
    }

    fn answer(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }

    fn heart(&self, interval: u64) -> lifesign_client::Builder {
        Heart::builder(format!("http://{}", self.address), TOKEN, "orders")
            .interval(Duration::from_millis(interval))
    }

    fn next(&self) -> Heard {
        self.heard.recv_timeout(Duration::from_secs(10)).expect("no heartbeat within 10 s")
    }
}

fn serve(stream: TcpStream, answer: &Mutex<&'static str>, heard: &mpsc::Sender<Heard>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let length =
        head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).unwrap();
    // The test may have seen enough.
    let _unheard =
        heard.send(Heard { at: Instant::now(), head, body: serde_json::from_slice(&body).unwrap() });
    let answer = *answer.lock().unwrap();
    if answer.is_empty() {
        // Until the other side gives up.
        let _gone = reader.read(&mut [0]);
    } else {
        let _gone = stream.write_all(
            format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nConnection: close\r\n", 1)).as_bytes(),
        );
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_heart_beats_at_its_rate_and_says_what_it_was_told() {
    let server = Server::start(GOOD);
    let heart = server.heart(100).start();
    let first = server.next();
    assert_eq!(first.head[0], "POST /api/v1/heartbeats HTTP/1.1");
    assert!(
        first.head.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}")))
    );
    assert_eq!((&first.body["service_id"], &first.body["status"]), (&"orders".into(), &"alive".into()));
    assert!(first.body["timestamp"].as_f64().unwrap() > 1.7e9);
    wait_for("online", || heart.link() == Link::Online);

    assert!(heart.metric("queue", 12.5));
    heart.status(Status::Fail);
    heart.message("disk full");
    let told = std::iter::repeat_with(|| server.next()).find(|heard| heard.body["status"] == "fail").unwrap();
    assert_eq!((&told.body["metrics"]["queue"], &told.body["message"]), (&12.5.into(), &"disk full".into()));
    let beats: Vec<Instant> = (0..10).map(|_| server.next().at).collect();
    let took = beats[9] - beats[0];
    // A busy machine may miss a beat; none may come early.
    assert!((Duration::from_millis(850)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

#[test]
fn a_server_that_is_absent_then_comes_then_goes_is_seen_as_such() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let heart = Heart::builder(format!("http://{address}"), TOKEN, "orders")
        .interval(Duration::from_millis(50))
        .start();
    assert_ne!(heart.link(), Link::Online);
    wait_for("offline", || heart.link() == Link::Offline);
    assert!(heart.trouble().unwrap().contains("does not answer"), "{:?}", heart.trouble());

    let server = Server::start(GOOD);
    let heart = server.heart(50).start();
    wait_for("online", || heart.link() == Link::Online);
    server.answer("500 Internal Server Error\r\n\r\n{\"detail\":\"disk full\"}");
    wait_for("offline", || heart.link() == Link::Offline);
    assert_eq!(heart.trouble().unwrap(), "lifesign refused the heartbeat with 500: disk full");
    server.answer(GOOD);
    wait_for("online again", || heart.link() == Link::Online);
    assert_eq!(heart.trouble(), None);
}

#[test]
fn a_server_that_hangs_blocks_neither_the_host_program_nor_its_end() {
    let server = Server::start("");
    let heart =
        server.heart(50).timeout(Duration::from_secs(60)).farewell(Duration::from_millis(200)).start();
    server.next();
    let start = Instant::now();
    for round in 0..1000 {
        heart.metric("round", f64::from(round));
        heart.message("busy");
        assert_eq!(heart.link(), Link::Connecting);
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    let start = Instant::now();
    drop(heart);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_hangs_is_offline_after_the_repeats() {
    let server = Server::start("");
    let heart = server.heart(60).timeout(Duration::from_millis(50)).send_retries(2).start();
    wait_for("offline", || heart.link() == Link::Offline);
    for _ in 0..3 {
        server.next();
    }
    server.answer(GOOD);
    wait_for("online", || heart.link() == Link::Online);
}

#[test]
fn the_first_beat_comes_at_once_and_the_last_one_says_stopping() {
    let server = Server::start(GOOD);
    // An interval that never comes again: the first beat is sent at once, and only the farewell can follow.
    let heart = server.heart(3_600_000).start();
    assert_eq!(server.next().body["status"], "alive");
    wait_for("online", || heart.link() == Link::Online);
    drop(heart);
    assert_eq!(server.next().body["status"], "stopping");
    assert!(server.heard.try_recv().is_err());
}

#[test]
fn a_program_that_panics_does_not_claim_to_stop_on_purpose() {
    let server = Server::start(GOOD);
    let builder = server.heart(3_600_000);
    let panicked = thread::spawn(move || {
        let heart = builder.start();
        wait_for("online", || heart.link() == Link::Online);
        panic!("on purpose");
    })
    .join();
    assert!(panicked.is_err());
    assert_eq!(server.next().body["status"], "alive");
    assert!(server.heard.recv_timeout(Duration::from_millis(100)).is_err());
}

#[test]
fn a_server_that_asks_for_patience_is_not_asked_again_before() {
    let server = Server::start("429 Too Many Requests\r\nRetry-After: 1\r\n\r\n{}");
    let _heart = server.heart(20).start();
    let (first, second) = (server.next(), server.next());
    assert!(second.at - first.at >= Duration::from_millis(950), "{:?}", second.at - first.at);
}

#[test]
fn a_wrong_address_or_token_does_not_keep_the_program_from_starting() {
    for (url, token) in [("nonsense", TOKEN), ("http://127.0.0.1:1", "line\nbreak")] {
        let heart = Heart::builder(url, token, "orders").start();
        wait_for("offline", || heart.link() == Link::Offline);
        assert!(heart.trouble().is_some());
    }
}

#[test]
fn metrics_are_bounded_and_only_what_the_server_takes() {
    let server = Server::start(GOOD);
    let heart = server.heart(3_600_000).start();
    assert!(!heart.metric("", 1.0) && !heart.metric("a b", 1.0) && !heart.metric("温度", 1.0));
    assert!(!heart.metric("cpu", f64::NAN) && !heart.metric("cpu", f64::INFINITY));
    for index in 0..MAX_METRICS {
        assert!(heart.metric(&format!("m{index}"), 1.0));
    }
    assert!(!heart.metric("one_more", 1.0) && heart.metric("m7", 2.0));
    heart.forget_metric("m7");
    assert!(heart.metric("one_more", 1.0));
}

#[test]
fn no_token_is_shown() {
    let server =
        Server::start("401 Unauthorized\r\n\r\n{\"title\":\"unauthorised\",\"detail\":\"no such token\"}");
    let builder = server.heart(20);
    let shown = format!("{builder:?}");
    let heart = builder.start();
    wait_for("offline", || heart.link() == Link::Offline);
    let shown = format!("{shown} {heart:?} {:?}", heart.trouble());
    assert!(!shown.contains(TOKEN) && shown.contains("401"), "{shown}");
}

#[test]
fn one_heartbeat_is_sent_and_its_answer_told_apart() {
    let server = Server::start(GOOD);
    let url = format!("http://{}/", server.address);
    assert_eq!(send(&url, TOKEN, &Beat::alive("orders")).unwrap().state.as_deref(), Some("up"));
    for (answer, status) in [
        ("401 Unauthorized\r\n\r\n", 401),
        ("404 Not Found\r\n\r\n{\"detail\":\"no service orders\"}", 404),
        ("429 Too Many Requests\r\nRetry-After: 3\r\n\r\n", 429),
        ("500 Internal Server Error\r\n\r\n", 500),
        ("302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 302),
    ] {
        server.answer(answer);
        let error = send(&url, TOKEN, &Beat::alive("orders")).unwrap_err();
        let SendError::Refused { status: said, retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!((said, retry_after.is_some()), (status, status == 429));
    }
    server.answer("200 OK\r\n\r\nIt works!");
    assert!(matches!(send(&url, TOKEN, &Beat::alive("orders")), Err(SendError::Strange(_))));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = send(&format!("http://{nobody}"), TOKEN, &Beat::alive("orders")).unwrap_err();
    assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
}

#[test]
fn https_trusts_the_given_authority_and_no_other() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answered);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            let mut seen = Vec::new();
            let mut chunk = [0; 1024];
            while !seen.ends_with(b"}") {
                match stream.read(&mut chunk) {
                    Ok(read @ 1..) => seen.extend_from_slice(&chunk[..read]),
                    _ => break,
                }
            }
            if seen.ends_with(b"}") {
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = GOOD.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
                stream.conn.send_close_notify();
                let _flushed = stream.flush();
            }
        }
    });
    let pem = certified.cert.pem();
    let ack = send_trusting(pem.as_bytes(), &url, TOKEN, &Beat::alive("orders")).unwrap();
    assert!(ack.accepted);
    let error = send(&url, TOKEN, &Beat::alive("orders")).unwrap_err();
    assert!(matches!(&error, SendError::Unreachable(why) if why.contains("ertificate")), "{error:?}");
    let heart = Heart::builder(url, TOKEN, "orders").authorities(pem).start();
    wait_for("online", || heart.link() == Link::Online);
    assert_eq!(answered.load(Ordering::SeqCst), 2);
}
