//! The page of shared memory: `docs/heartbeats.md` has its layout, and so has `lifesign_proto::local::page`. The
//! two are held together by one golden file.
//!
//! A beat is one addition to a word; nothing is called, locked or waited for. Only when lifesign has not
//! acknowledged for a while it is looked whether the page is still the one that lifesign reads.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::map::{Map, WORDS};
use super::words::one_line;
use crate::beat::Status;

const MAGIC: u64 = u64::from_le_bytes(*b"LIFESIGN");
/// Version 1, 4096 bytes.
const VERSION: u64 = 1 | (4096 << 32);
/// Places of words, in words.
const HEARD: usize = 2;
const SEQUENCE: usize = 8;
const BEATS: usize = 9;
const PROGRESS: usize = 10;
/// Process number, status, whether progress counts, how many metrics.
const HEAD: usize = 11;
const MESSAGE_LENGTH: usize = 12;
const MESSAGE: usize = 16;
const MAX_MESSAGE: usize = 256;
const FIRST_METRIC: usize = 48;
const METRIC: usize = 8;
const MAX_METRICS: usize = (WORDS - FIRST_METRIC) / METRIC;
const MAX_NAME: usize = 55;

/// Beats without acknowledgement from which on only every so many the clock is asked: a program that beats in a
/// tight loop is ahead of lifesign all the time.
const TIGHT: u64 = 4096;
/// Silence of lifesign after which the page is opened again.
const UNHEARD_FOR: Duration = Duration::from_secs(2);

/// The page of one service.
pub(super) struct Memory {
    /// The page that counts. INVARIANT: points at one of `Inner::maps`, none of which moves or goes while `self`
    /// lives.
    current: AtomicPtr<Map>,
    is_unheard: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    service: String,
    #[expect(clippy::vec_box, reason = "a map must not move when the list grows: `current` points at it")]
    maps: Vec<Box<Map>>,
    names: Vec<String>,
    status: Status,
    counts_progress: bool,
    unheard_since: Option<Instant>,
}

impl Memory {
    pub(super) fn open(service: &str) -> Result<Self, String> {
        let mut map = open(service)?;
        let mut inner = Inner {
            service: service.to_owned(),
            maps: Vec::new(),
            names: Vec::new(),
            status: Status::Alive,
            counts_progress: false,
            unheard_since: None,
        };
        let words = map.words();
        guarded(words, || {
            store(words, HEAD, inner.head());
            store(words, MESSAGE_LENGTH, 0);
        });
        let current = AtomicPtr::new(&raw mut *map);
        inner.maps.push(map);
        Ok(Self { current, is_unheard: AtomicBool::new(false), inner: Mutex::new(inner) })
    }

    pub(super) fn beat(&self) {
        let words = self.words();
        let before = word(words, BEATS).fetch_add(1, Ordering::Release);
        let ahead = before.wrapping_sub(word(words, HEARD).load(Ordering::Relaxed));
        if ahead == 0 {
            if self.is_unheard.load(Ordering::Relaxed) {
                self.is_unheard.store(false, Ordering::Relaxed);
            }
        } else if ahead < TIGHT || ahead.is_multiple_of(TIGHT) {
            self.unheard();
        }
    }

    /// lifesign has not heard the beat before this one yet.
    #[cold]
    fn unheard(&self) {
        // Another thread is at it, or changes something; there will be a next beat.
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let now = Instant::now();
        if !self.is_unheard.swap(true, Ordering::Relaxed) {
            inner.unheard_since = Some(now);
        }
        let Some(since) = inner.unheard_since else { return };
        if now.saturating_duration_since(since) < UNHEARD_FOR {
            return;
        }
        inner.unheard_since = Some(now);
        let old = self.words();
        let Ok(mut fresh) = open(&inner.service) else { return };
        if inner.maps.last().is_some_and(|map| map.is_same(&fresh)) {
            return;
        }
        // lifesign made a new page: everything said so far is said there again.
        let words = fresh.words();
        guarded(words, || {
            for (to, from) in words.iter().zip(old).skip(PROGRESS) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        });
        word(words, BEATS).fetch_add(1, Ordering::Release);
        self.current.store(&raw mut *fresh, Ordering::Release);
        inner.maps.push(fresh);
    }

    pub(super) fn progress(&self, count: u64) {
        let words = self.words();
        word(words, PROGRESS).store(count.to_le(), Ordering::Release);
        // The byte behind the status says whether progress counts; it is set once and stays.
        if word(words, HEAD).load(Ordering::Relaxed) & (1 << 40) == 0 {
            let mut inner = self.lock();
            inner.counts_progress = true;
            store(self.words(), HEAD, inner.head());
        }
    }

    pub(super) fn status(&self, status: Status) {
        let mut inner = self.lock();
        inner.status = status;
        store(self.words(), HEAD, inner.head());
    }

    pub(super) fn message(&self, text: &str) {
        let text = one_line(text);
        let text = text.get(..text.floor_char_boundary(MAX_MESSAGE)).unwrap_or_default();
        let _inner = self.lock();
        let words = self.words();
        guarded(words, || {
            put(words, MESSAGE, text.as_bytes());
            store(words, MESSAGE_LENGTH, text.len() as u64);
        });
    }

    pub(super) fn metric(&self, name: &str, value: f64) -> bool {
        if name.len() > MAX_NAME {
            return false;
        }
        let mut inner = self.lock();
        let words = self.words();
        let slot = inner.names.iter().position(|known| known == name);
        let at = FIRST_METRIC + slot.unwrap_or(inner.names.len()) * METRIC;
        if slot.is_some() {
            store(words, at, value.to_bits());
            return true;
        }
        if inner.names.len() >= MAX_METRICS {
            return false;
        }
        inner.names.push(name.to_owned());
        let mut bytes = [0; MAX_NAME + 1];
        for (to, from) in bytes.iter_mut().zip([name.len() as u8].iter().chain(name.as_bytes())) {
            *to = *from;
        }
        guarded(words, || {
            store(words, at, value.to_bits());
            put(words, at + 1, &bytes);
            store(words, HEAD, inner.head());
        });
        true
    }

    fn words(&self) -> &[AtomicU64; WORDS] {
        let map = self.current.load(Ordering::Acquire);
        #[expect(unsafe_code, reason = "one load instead of a lock on the way of every beat")]
        // SAFETY: by the invariant of `current` the map lives as long as `self`, and nobody borrows it mutably.
        let map = unsafe { &*map };
        map.words()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn head(&self) -> u64 {
        let status = match self.status {
            Status::Alive => 1,
            Status::Stopping => 2,
            Status::Fail => 3,
        };
        u64::from(std::process::id())
            | status << 32
            | u64::from(self.counts_progress) << 40
            | (self.names.len() as u64) << 48
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

fn open(service: &str) -> Result<Box<Map>, String> {
    let map = Map::open(&super::place(), service).map_err(|error| error.to_string())?;
    let words = map.words();
    let load = |at: usize| u64::from_le(word(words, at).load(Ordering::Acquire));
    if load(0) != MAGIC || load(1) != VERSION {
        return Err("this shared memory is not lifesign's, or of another version".to_owned());
    }
    Ok(Box::new(map))
}

/// Makes the sequence odd, changes, makes it even. Callers hold the lock.
fn guarded(words: &[AtomicU64; WORDS], change: impl FnOnce()) {
    let sequence = word(words, SEQUENCE);
    // A sender that died in the middle of a change left an odd one.
    let odd = u64::from_le(sequence.load(Ordering::Relaxed)) | 1;
    sequence.store(odd.to_le(), Ordering::Relaxed);
    fence(Ordering::SeqCst);
    change();
    sequence.store(odd.wrapping_add(1).to_le(), Ordering::Release);
}

fn word(words: &[AtomicU64; WORDS], at: usize) -> &AtomicU64 {
    // Every place is a constant below WORDS.
    words.get(at).unwrap_or(&words[WORDS - 1])
}

fn store(words: &[AtomicU64; WORDS], at: usize, value: u64) {
    word(words, at).store(value.to_le(), Ordering::Release);
}

/// Writes bytes from a word on; the rest of the last word becomes 0.
fn put(words: &[AtomicU64; WORDS], at: usize, bytes: &[u8]) {
    for (offset, chunk) in bytes.chunks(8).enumerate() {
        let mut eight = [0; 8];
        eight.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        store(words, at + offset, u64::from_le_bytes(eight));
    }
}
