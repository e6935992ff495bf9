//! The modes of a heart against a real server that keeps its connections: back-off, mutual, fixed.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lifesign_client::{Builder, Hearing, Heart, Link, Mode};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(10);
/// Time for one answer that a busy machine does not exceed.
const PATIENT: Duration = Duration::from_secs(5);

/// What the server does with a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Acknowledges it.
    Acknowledge,
    /// Takes it and says nothing.
    Silent,
    /// Refuses it.
    Refuse,
}

/// A heartbeat as it arrived.
#[derive(Debug)]
struct Heard {
    at: Instant,
    body: Value,
    /// The number of the connection it came over, from 1.
    connection: usize,
}

struct Server {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    heard: mpsc::Receiver<Heard>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(Manner::Acknowledge));
        let (sender, heard) = mpsc::channel();
        let shared = Arc::clone(&manner);
        // The threads end with the test's process.
        thread::spawn(move || {
            for (connection, stream) in (1..).zip(listener.incoming()) {
                let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                thread::spawn(move || serve(stream.unwrap(), connection, &shared, &sender));
            }
        });
        Self { address, manner, heard }
    }

    fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn heart(&self, mode: Mode, interval: u64) -> Builder {
        Heart::builder(format!("http://{}", self.address), "t0ken", "orders")
            .mode(mode)
            .interval(Duration::from_millis(interval))
    }

    fn next(&self) -> Heard {
        self.heard.recv_timeout(WITHIN).expect("no heartbeat within 10 s")
    }

    /// The next one of which this holds.
    fn next_with(&self, wanted: impl Fn(&Value) -> bool) -> Heard {
        std::iter::repeat_with(|| self.next()).find(|heard| wanted(&heard.body)).unwrap()
    }
}

/// Answers heartbeat after heartbeat over one connection.
fn serve(stream: TcpStream, connection: usize, manner: &Mutex<Manner>, heard: &mpsc::Sender<Heard>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(body) = request(&mut reader) {
        // The test may have seen enough.
        let _unheard = heard.send(Heard { at: Instant::now(), body, connection });
        let (status, text) = match *manner.lock().unwrap() {
            Manner::Acknowledge => {
                let ack = json!({ "acks": [{ "service_id": "orders", "state": "up", "accepted": true }] });
                ("200 OK", ack.to_string())
            }
            Manner::Silent => continue,
            Manner::Refuse => ("503 Service Unavailable", "{\"detail\":\"busy\"}".to_owned()),
        };
        let length = text.len();
        let _gone = stream
            .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes());
    }
}

/// The body of the next request; `None`: the connection is over.
fn request(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_lowercase();
        if let Some(digits) = line.strip_prefix("content-length: ") {
            length = digits.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < WITHIN, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_fixed_heart_says_nothing_about_its_next_beat_and_keeps_its_connection() {
    let server = Server::start();
    let heart = server.heart(Mode::Fixed, 20).timeout(PATIENT).start();
    for _ in 0..5 {
        let heard = server.next();
        assert_eq!(heard.connection, 1);
        assert!(heard.body.get("interval").is_none() && heard.body.get("hears").is_none(), "{heard:?}");
    }
    wait_for("both to be heard", || heart.hearing() == Hearing::Both);
}

#[test]
fn back_off_announces_each_next_beat_and_keeps_to_it() {
    let server = Server::start();
    let _heart = server.heart(Mode::Backoff, 1500).start();
    let beats: Vec<Heard> = (0..4).map(|_| server.next()).collect();
    let announced: Vec<f64> = beats.iter().map(|heard| heard.body["interval"].as_f64().unwrap()).collect();
    assert_eq!(announced, [1.0, 1.5, 1.5, 1.5]);
    for (pair, announced) in beats.windows(2).zip(&announced) {
        let waited = (pair[1].at - pair[0].at).as_secs_f64();
        // A busy machine may be late; nothing may come early.
        assert!((announced - 0.1..announced + 3.0).contains(&waited), "{waited} instead of {announced}");
    }
}

#[test]
fn back_off_begins_anew_when_an_answer_is_missing() {
    let server = Server::start();
    let heart = server.heart(Mode::Backoff, 1200).timeout(Duration::from_millis(300)).send_retries(1).start();
    server.next_with(|body| body["interval"] == 1.2);
    server.be(Manner::Silent);
    server.next_with(|body| body["interval"] == 1.0);
    wait_for("offline", || heart.link() == Link::Offline);
    server.be(Manner::Acknowledge);
    wait_for("online", || heart.link() == Link::Online);
    server.next_with(|body| body["interval"] == 1.2);
}

#[test]
fn a_mutual_heart_says_in_each_beat_whether_the_answer_before_it_arrived() {
    let server = Server::start();
    let heart = server.heart(Mode::Mutual, 60).timeout(Duration::from_millis(300)).start();
    assert!(server.next().body.get("hears").is_none(), "nothing is known before the first answer");
    assert_eq!(server.next().body["hears"], true);
    server.be(Manner::Silent);
    server.next_with(|body| body["hears"] == false);
    wait_for("the silence to be seen", || heart.hearing() == Hearing::OnlyLifesign);
    wait_for("offline", || heart.link() == Link::Offline);
    server.be(Manner::Acknowledge);
    server.next_with(|body| body["hears"] == true);
    wait_for("the answer to be seen", || heart.hearing() == Hearing::Both);
}

#[test]
fn a_missing_answer_drops_the_connection_of_a_mutual_heart_and_a_refusal_does_not() {
    let server = Server::start();
    let heart = server.heart(Mode::Mutual, 40).timeout(Duration::from_millis(300)).start();
    assert_eq!([server.next().connection, server.next().connection], [1, 1]);
    server.be(Manner::Refuse);
    wait_for("offline", || heart.link() == Link::Offline);
    assert_eq!(heart.hearing(), Hearing::Both, "a refusal is an answer");
    let refused = server.next_with(|body| body["hears"] == true);
    assert_eq!(refused.connection, 1);
    server.be(Manner::Silent);
    let mut connections: Vec<usize> = Vec::new();
    while connections.last().is_none_or(|last| *last < 4) {
        connections.push(server.next().connection);
    }
    connections.retain(|connection| *connection > 1);
    assert!(connections.windows(2).all(|pair| pair[0] < pair[1]), "one try each: {connections:?}");
}

#[test]
fn without_a_server_neither_hears_the_other() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let heart = Heart::builder(format!("http://{nobody}"), "t0ken", "orders")
        .mode(Mode::Mutual)
        .interval(Duration::from_millis(30))
        .start();
    wait_for("offline", || heart.link() == Link::Offline);
    assert_eq!(heart.hearing(), Hearing::Neither);
    assert_eq!(heart.hearing().hears(), Some(false));
}

#[test]
fn progress_goes_with_every_beat_after_it_was_told() {
    let server = Server::start();
    let heart = server.heart(Mode::Fixed, 20).start();
    assert!(server.next().body.get("progress").is_none());
    heart.progress(7);
    server.next_with(|body| body["progress"] == 7);
    assert_eq!(server.next().body["progress"], 7);
}
