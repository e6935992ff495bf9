//! The load: keep-alive connections, each with one request under way, served in turn by one thread.
//!
//! Reading the connections in a fixed order with blocking sockets costs two system calls a request and no more, so
//! that the load is cheaper than what it measures. An answer that is ready before its turn waits for it: the delays
//! here are never shorter than the true ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Longest wait for one answer. Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room for one answer, in bytes: a hundred acknowledgements need less than half of it.
const ANSWER: usize = 32 * 1024;

/// What one run came to.
pub(super) struct Load {
    pub(super) answered: u32,
    pub(super) took: Duration,
    /// From sending a request to having its answer, sorted.
    delays: Vec<Duration>,
}

impl Load {
    /// The delay that this part of all requests stayed within.
    pub(super) fn within(&self, percent: usize) -> Duration {
        self.delays[(self.delays.len() - 1) * percent / 100]
    }

    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.answered) / self.took.as_secs_f64()
    }
}

/// Where a load goes.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Encrypted, where it is.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    sent: Instant,
    answer: Vec<u8>,
}

impl Connection {
    fn open(to: &Target) -> Self {
        let stream = TcpStream::connect(to.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream: Box<dyn Stream> = match &to.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = "localhost".try_into().unwrap();
                let session = ClientConnection::new(Arc::clone(config), name).unwrap();
                Box::new(StreamOwned::new(session, stream))
            }
        };
        Self { stream, sent: Instant::now(), answer: vec![0; ANSWER] }
    }

    fn send(&mut self, request: &[u8]) {
        self.sent = Instant::now();
        self.stream.write_all(request).unwrap();
        self.stream.flush().unwrap();
    }

    /// Reads one whole answer; its delay.
    fn receive(&mut self) -> Duration {
        let mut had = 0;
        loop {
            let read = self.stream.read(&mut self.answer[had..]).unwrap();
            assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&self.answer[..had]));
            had += read;
            if whole(&self.answer[..had]).is_some_and(|whole| whole == had) {
                return self.sent.elapsed();
            }
        }
    }
}

/// The length of the answer that begins here, once its headers are there.
fn whole(answer: &[u8]) -> Option<usize> {
    let headers = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let is_success = answer.get(9).is_some_and(|first| *first == b'2');
    assert!(is_success, "{}", String::from_utf8_lossy(answer));
    let body = answer[..headers].split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(b"content-length:".len())?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    });
    let length = body.map_or(0, |value| std::str::from_utf8(value).unwrap().trim().parse().unwrap());
    Some(headers + 4 + length)
}

/// Sends `requests` over and over, for as long as said. Every answer must be a success.
pub(super) fn run(to: &Target, requests: &[Vec<u8>], connections: usize, lasting: Duration) -> Load {
    let mut all: Vec<Connection> = (0..connections).map(|_| Connection::open(to)).collect();
    let mut next = requests.iter().cycle();
    let mut delays = Vec::with_capacity(1 << 20);
    let begun = Instant::now();
    for (connection, request) in all.iter_mut().zip(next.by_ref()) {
        connection.send(request);
    }
    while begun.elapsed() < lasting {
        for (connection, request) in all.iter_mut().zip(next.by_ref()) {
            delays.push(connection.receive());
            connection.send(request);
        }
    }
    for connection in &mut all {
        delays.push(connection.receive());
    }
    let took = begun.elapsed();
    delays.sort_unstable();
    Load { answered: u32::try_from(delays.len()).unwrap(), took, delays }
}
