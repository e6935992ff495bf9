//! Ways on which one must wait: a thread waits, the program only leaves word. Beats that come while the thread
//! is busy become one, with the newest words.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Way;
use super::words::Words;
use crate::beat::Beat;
use crate::send::Connection;

/// Time for one answer by HTTP.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A thread that sends, and where word is left for it.
pub(super) struct Mailbox {
    shared: Arc<Shared>,
    way: Way,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    words: Words,
    is_due: bool,
    is_last: bool,
    has_ended: bool,
    left_out: u64,
}

impl Mailbox {
    /// By HTTP, as the environment says.
    pub(super) fn http(service: &str) -> Result<Self, String> {
        let token = std::env::var("LIFESIGN_TOKEN").unwrap_or_default();
        if token.is_empty() {
            return Err("LIFESIGN_TOKEN is not set".to_owned());
        }
        let url = std::env::var("LIFESIGN_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7700".to_owned());
        let connection = Connection::new(&url, &token, None).map_err(|error| error.to_string())?;
        let service = service.to_owned();
        Self::start(Way::Http, move |words| {
            let mut beat = Beat::alive(service.clone());
            beat.status = words.status;
            beat.progress = words.progress;
            beat.metrics.clone_from(&words.metrics);
            beat.message = Some(words.message.clone()).filter(|text| !text.is_empty());
            connection.send(&beat, ANSWER_WITHIN).is_ok()
        })
    }

    /// A thread that calls `send` for each beat; `false` from it: the beat was not sent.
    pub(super) fn start(
        way: Way,
        mut send: impl FnMut(&Words) -> bool + Send + 'static,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let body = Arc::clone(&shared);
        let run = move || {
            let _ended = Ended(Arc::clone(&body));
            loop {
                let mut state = body.lock();
                while !state.is_due && !state.is_last {
                    state = body.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                let (words, is_due, is_last) = (state.words.clone(), state.is_due, state.is_last);
                state.is_due = false;
                drop(state);
                if is_due && !send(&words) {
                    body.lock().left_out += 1;
                }
                if is_last {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("lifesign-pulse".to_owned())
            .spawn(run)
            .map_err(|error| format!("no thread for the heartbeats: {error}"))?;
        Ok(Self { shared, way })
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Words) -> T) -> T {
        change(&mut self.shared.lock().words)
    }

    pub(super) fn beat(&self) {
        let mut state = self.shared.lock();
        if state.is_due {
            state.left_out += 1;
        }
        state.is_due = true;
        drop(state);
        self.shared.changed.notify_all();
    }

    pub(super) fn left_out(&self) -> u64 {
        self.shared.lock().left_out
    }

    /// Sends a last beat and waits for it, at most `limit`.
    pub(super) fn say_goodbye(&self, limit: Duration) {
        let until = Instant::now().checked_add(limit);
        let mut state = self.shared.lock();
        state.is_due = true;
        state.is_last = true;
        self.shared.changed.notify_all();
        while !state.has_ended {
            let left = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                // The thread ends by itself as soon as its waiting does.
                return;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.lock().is_last = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it did.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn beats_that_come_while_the_thread_is_busy_become_one_and_the_program_never_waits() {
        let (let_go, gate) = mpsc::channel::<()>();
        let (sent, seen) = mpsc::channel();
        let mailbox = Mailbox::start(Way::Http, move |words| {
            sent.send(words.progress).unwrap();
            gate.recv().is_ok()
        })
        .unwrap();
        mailbox.change(|words| words.progress = Some(0));
        mailbox.beat();
        assert_eq!(seen.recv().unwrap(), Some(0));
        let begun = Instant::now();
        for n in 1..=1000 {
            mailbox.change(|words| words.progress = Some(n));
            mailbox.beat();
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        let_go.send(()).unwrap();
        assert_eq!(seen.recv().unwrap(), Some(1000));
        assert_eq!(mailbox.left_out(), 999);
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        mailbox.say_goodbye(Duration::from_secs(60));
        assert_eq!(seen.recv().unwrap(), Some(1000));
    }

    #[test]
    fn a_goodbye_that_nobody_takes_costs_no_more_than_its_limit() {
        let (_never, gate) = mpsc::channel::<()>();
        let mailbox = Mailbox::start(Way::Http, move |_| gate.recv().is_ok()).unwrap();
        let begun = Instant::now();
        mailbox.say_goodbye(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
