//! A webhook receiver that outlives every lifesign and stops at a chosen point of a delivery, so that lifesign
//! can be killed exactly there.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use super::{PATIENCE, read_request};

/// A sender that has said nothing for this long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Where a delivery can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The connection stands, nothing has been read. What is on it is never read.
    Accepted,
    /// The message has been read and is not answered; it never will be.
    Read,
    /// The answer has been written.
    Answered,
}

/// A message that came.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Of which lifesign, counted by [`TrapHook::next_life`].
    pub life: usize,
    /// Its `Idempotency-Key`.
    pub key: String,
    pub body: Value,
}

/// The receiver. It takes one connection after the other, in the order they come.
pub struct TrapHook {
    pub url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    life: AtomicUsize,
    receipts: Mutex<Vec<Receipt>>,
    trap: Mutex<Option<Trap>>,
}

struct Trap {
    point: Point,
    sprung: mpsc::Sender<()>,
    release: mpsc::Receiver<()>,
}

/// A trap that is set. The delivery in it goes on when this is dropped.
pub struct Set {
    sprung: mpsc::Receiver<()>,
    _release: mpsc::Sender<()>,
}

impl Set {
    /// Waits until a delivery is in the trap.
    #[track_caller]
    pub fn wait(&self) {
        self.sprung.recv_timeout(PATIENCE).expect("no delivery came to the point where it is waited for");
    }
}

impl TrapHook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            listener.incoming().map_while(Result::ok).for_each(|stream| serving.serve(&stream));
        });
        Self { url: format!("http://{address}/hook"), address, shared }
    }

    /// Sets a trap for the next delivery that comes to `point`.
    pub fn set(&self, point: Point) -> Set {
        let ((sprung, is_sprung), (release, released)) = (mpsc::channel(), mpsc::channel());
        *self.shared.trap.lock().unwrap() = Some(Trap { point, sprung, release: released });
        Set { sprung: is_sprung, _release: release }
    }

    /// The lifesign that sent until now is dead: takes in all it has sent, then counts the next one. Returns
    /// the number of the next one.
    pub fn next_life(&self) -> usize {
        // Behind whatever still waits to be accepted. It is an empty request: read, and nothing more.
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read(&mut [0]);
        self.shared.life.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// All messages in the order they came.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.shared.receipts.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(&self, mut stream: &TcpStream) {
        if self.spring(Point::Accepted) {
            return;
        }
        // Should a killed sender's connection stay open, it must not hold up the next one's.
        stream.set_read_timeout(Some(DEAD_AFTER)).unwrap();
        let Some((key, body)) = read_request(stream) else { return };
        let life = self.life.load(Ordering::SeqCst);
        self.receipts.lock().unwrap().push(Receipt { life, key, body });
        if self.spring(Point::Read) {
            return;
        }
        // Whoever sent it may be dead.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        self.spring(Point::Answered);
    }

    fn spring(&self, point: Point) -> bool {
        let Some(trap) = self.trap.lock().unwrap().take_if(|trap| trap.point == point) else { return false };
        let _ = trap.sprung.send(());
        let _ = trap.release.recv();
        true
    }
}
