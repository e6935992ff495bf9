//! Heartbeats in authenticated datagrams. What is wrong with one is counted and never answered: whoever forges a sender
//! gets nothing sent to it.

use std::collections::HashMap;
use std::sync::Arc;

use lifesign_component::{Error, Ready, Stop};
use lifesign_core::evidence::Beat;
use lifesign_proto::batch;
use lifesign_proto::datagram::{Guard, Id, Key, MAX_DATAGRAM, Sealed, Unheard};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::AppState;
use crate::auth::{AccessTable, Privilege};

/// Most datagrams whose heartbeats are handed to the engine at once.
const TOGETHER: usize = 64;

/// Hears datagrams until told to stop.
pub(crate) async fn serve(
    socket: UdpSocket,
    state: AppState,
    mut ready: Ready,
    mut stop: Stop,
) -> Result<(), Error> {
    // One byte more than is taken, so that a larger one is noticed.
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    let mut ear = Ear::new(&state);
    ready.tell();
    loop {
        let received = tokio::select! {
            () = stop.given() => return Ok(()),
            received = socket.recv(&mut buffer) => received,
        };
        ear.know(&state);
        let mut beats = Vec::new();
        ear.hear(received, &buffer, &state, &mut beats);
        for _ in 1..TOGETHER {
            match socket.try_recv(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                received => ear.hear(received, &buffer, &state, &mut beats),
            }
        }
        if !beats.is_empty() {
            // What was not taken has been counted, and nobody can be told.
            drop(state.take_beats(beats).await);
        }
    }
}

/// Who may be heard, and what was heard already.
struct Ear {
    table: watch::Receiver<Arc<AccessTable>>,
    /// Keys by their id, and whether their role may write.
    keys: HashMap<Id, (Key, bool)>,
    guard: Guard,
}

impl Ear {
    fn new(state: &AppState) -> Self {
        let mut table = state.access.changes();
        table.mark_changed();
        Self { table, keys: HashMap::new(), guard: Guard::new(millis(state)) }
    }

    /// Learns the keys anew when tokens have changed.
    fn know(&mut self, _state: &AppState) {
        if !self.table.has_changed().unwrap_or(false) {
            return;
        }
        let table = Arc::clone(&self.table.borrow_and_update());
        let keys = table.entries().map(|(digest, caller)| {
            let key = Key::of_digest(digest.into_bytes());
            (key.id(), (key, caller.may(Privilege::Write)))
        });
        self.keys = keys.collect();
    }

    /// Adds the heartbeats of one datagram, or counts why it was not heard.
    fn hear(
        &mut self,
        received: std::io::Result<usize>,
        buffer: &[u8],
        state: &AppState,
        beats: &mut Vec<Beat>,
    ) {
        // On Windows one that is too long is an error.
        let datagram = received.ok().and_then(|length| buffer.get(..length)).unwrap_or_default();
        match self.judge(datagram, millis(state)) {
            Ok(body) => match batch::read(body, &state.limits.heartbeats) {
                Ok(heard) => {
                    for beat in heard.beats {
                        match beat {
                            Ok(beat) => beats.push(beat),
                            Err(_) => state.refuse_beats("invalid", 1),
                        }
                    }
                }
                Err(_) => state.refuse_beats("invalid", 1),
            },
            Err(reason) => state.refuse_beats(reason, 1),
        }
    }

    fn judge<'a>(&mut self, datagram: &'a [u8], now: u64) -> Result<&'a [u8], &'static str> {
        let sealed = Sealed::read(datagram).ok_or("malformed_datagram")?;
        let (key, may_write) = self.keys.get(&sealed.key).ok_or("unknown_key")?;
        let body = sealed.open(key, &mut self.guard, now).map_err(|unheard| match unheard {
            Unheard::Forged => "forged",
            Unheard::Time => "clock",
            Unheard::Replayed => "replayed",
            Unheard::Senders => "senders",
        })?;
        if *may_write { Ok(body) } else { Err("forbidden") }
    }
}

fn millis(state: &AppState) -> u64 {
    u64::try_from(state.clock.now().wall.as_millis()).unwrap_or(0)
}
