//! A batch of heartbeats in a datagram that shows who sent it, and that it is no copy of an earlier one.
//!
//! ```text
//! datagram:  u8 version, 1 | 8 bytes id of the key | 8 bytes id of the sender | u64 its time | u64 its count | batch
//!            | 16 bytes MAC of all before it
//! ```
//!
//! The key belongs to a token: with `d` the SHA-256 of the token, it is HMAC-SHA-256 of `lifesign datagram key 1` under
//! `d`, and its id the first 8 bytes of HMAC-SHA-256 of `lifesign datagram id 1` under `d`. The MAC is the first half of
//! HMAC-SHA-256 under the key. A sender gives itself an id by chance at each start, counts its datagrams, and tells its
//! time in milliseconds since 1970. Numbers are little-endian; the batch is a [`batch`](crate::batch).
//!
//! [`Guard`] says which datagrams are heard once and no more.

use std::collections::HashMap;
use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Longest datagram, in bytes.
pub const MAX_DATAGRAM: usize = 8 * 1024;
/// How far the sender's clock may be from ours, in milliseconds.
pub const SKEW: u64 = 30_000;
/// Senders that are remembered at once; further ones are refused until others have been silent for [`SKEW`].
pub const MAX_SENDERS: usize = 65_536;
/// Datagrams of one sender that may overtake each other.
const WINDOW: u64 = 128;

/// The version that is written and read.
const VERSION: u8 = 1;
const HEAD: usize = 33;
const MAC: usize = 16;

/// The id of a key, or of a sender.
pub type Id = [u8; 8];

/// What a token makes of itself for datagrams.
#[derive(Clone)]
pub struct Key {
    id: Id,
    mac: Hmac<Sha256>,
}

/// Shows the id alone: everybody on the way sees it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Key {
    /// The key of `token`.
    pub fn of(token: &str) -> Self {
        Self::of_digest(Sha256::digest(token.as_bytes()).into())
    }

    /// The key of the token that has this SHA-256.
    pub fn of_digest(digest: [u8; 32]) -> Self {
        let derive = |label: &[u8]| -> [u8; 32] {
            let mut mac = keyed(digest);
            mac.update(label);
            mac.finalize().into_bytes().into()
        };
        let [a, b, c, d, e, f, g, h, ..] = derive(b"lifesign datagram id 1");
        Self { id: [a, b, c, d, e, f, g, h], mac: keyed(derive(b"lifesign datagram key 1")) }
    }

    /// Its id.
    pub const fn id(&self) -> Id {
        self.id
    }
}

fn keyed(key: [u8; 32]) -> Hmac<Sha256> {
    // HMAC fills a key up to a block with zeros.
    let mut block = [0; 64];
    block[..32].copy_from_slice(&key);
    Hmac::new(&block.into())
}

/// The sender's side.
#[derive(Debug)]
pub struct Sealer {
    key: Key,
    sender: Id,
    count: u64,
}

impl Sealer {
    /// Begins to send under `key`, with an id by chance.
    pub const fn new(key: Key, sender: Id) -> Self {
        Self { key, sender, count: 0 }
    }

    /// The datagram that carries `batch`, sent at `now` (milliseconds since 1970).
    pub fn seal(&mut self, now: u64, batch: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + batch.len() + MAC);
        bytes.push(VERSION);
        bytes.extend(self.key.id);
        bytes.extend(self.sender);
        bytes.extend(now.to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(batch);
        self.count += 1;
        let mut mac = self.key.mac.clone();
        mac.update(&bytes);
        bytes.extend(&mac.finalize().into_bytes()[..MAC]);
        bytes
    }
}

/// A datagram whose MAC is still to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// Under which key.
    pub key: Id,
    sender: Id,
    time: u64,
    count: u64,
    signed: &'a [u8],
    batch: &'a [u8],
    mac: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Takes a datagram apart; `None`: it is none of this version, or longer than [`MAX_DATAGRAM`].
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        if datagram.len() > MAX_DATAGRAM {
            return None;
        }
        let (signed, mac) = datagram.split_last_chunk::<MAC>()?;
        let (head, batch) = signed.split_first_chunk::<HEAD>()?;
        let (version, head) = head.split_first()?;
        let ([key, sender, time, count], []) = head.as_chunks::<8>() else { return None };
        let (time, count) = (u64::from_le_bytes(*time), u64::from_le_bytes(*count));
        (*version == VERSION).then_some(Self { key: *key, sender: *sender, time, count, signed, batch, mac })
    }

    /// The batch, when the datagram was made with `key` and is heard for the first time, at `now` (milliseconds since
    /// 1970).
    ///
    /// # Errors
    /// Why it is not heard.
    pub fn open(&self, key: &Key, guard: &mut Guard, now: u64) -> Result<&'a [u8], Unheard> {
        let mut mac = key.mac.clone();
        mac.update(self.signed);
        mac.verify_truncated_left(self.mac).map_err(|_| Unheard::Forged)?;
        guard.admit((self.key, self.sender), self.time, self.count, now)?;
        Ok(self.batch)
    }
}

/// Why a datagram is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Its MAC is not the key's.
    #[error("it was not made with its key")]
    Forged,
    /// Its time is too far from ours, or before our start.
    #[error("its time is too far from ours")]
    Time,
    /// It was heard before, or so many came between that nobody knows.
    #[error("it was heard before")]
    Replayed,
    /// [`MAX_SENDERS`] are remembered.
    #[error("there are too many senders")]
    Senders,
}

/// What was heard of one sender.
#[derive(Debug)]
struct Heard {
    /// The highest count, and which of those before it came: bit 0 is itself.
    newest: u64,
    came: u128,
    /// The latest time it told.
    time: u64,
}

/// Hears each datagram once.
///
/// A datagram is heard when its time is within [`SKEW`] of ours and after our start, and its count has not come from its
/// sender before. So a sender's start needs nothing (it has another id then), and after a start of ours nothing of
/// before is heard again: a sender whose clock is behind ours is not heard for as long as it is behind, [`SKEW`] at most.
/// A sender can be forgotten when all it ever told is older than [`SKEW`]. Where our clock is set back, nothing is heard
/// until it has come as far again: the past stays past.
#[derive(Debug)]
pub struct Guard {
    /// Whatever is not later is not heard.
    floor: u64,
    /// The floor when the forgotten were last looked for.
    swept: u64,
    senders: HashMap<(Id, Id), Heard>,
    most: usize,
}

impl Guard {
    /// Begins to listen at `now`, in milliseconds since 1970.
    pub fn new(now: u64) -> Self {
        Self { floor: now, swept: now, senders: HashMap::new(), most: MAX_SENDERS }
    }

    fn admit(&mut self, who: (Id, Id), time: u64, count: u64, now: u64) -> Result<(), Unheard> {
        self.floor = self.floor.max(now.saturating_sub(SKEW));
        if time <= self.floor || time > now.saturating_add(SKEW) {
            return Err(Unheard::Time);
        }
        if let Some(heard) = self.senders.get_mut(&who) {
            return heard.admit(time, count);
        }
        if self.senders.len() >= self.most && self.floor > self.swept {
            let floor = self.floor;
            self.swept = floor;
            self.senders.retain(|_, heard| heard.time > floor);
        }
        if self.senders.len() >= self.most {
            return Err(Unheard::Senders);
        }
        self.senders.insert(who, Heard { newest: count, came: 1, time });
        Ok(())
    }
}

impl Heard {
    fn admit(&mut self, time: u64, count: u64) -> Result<(), Unheard> {
        if let Some(ahead) = count.checked_sub(self.newest).filter(|ahead| *ahead > 0) {
            self.came = if ahead < WINDOW { self.came << ahead | 1 } else { 1 };
            self.newest = count;
        } else {
            let behind = self.newest - count;
            if behind >= WINDOW || self.came >> behind & 1 == 1 {
                return Err(Unheard::Replayed);
            }
            self.came |= 1 << behind;
        }
        self.time = self.time.max(time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_732_262_400_000;

    fn open(guard: &mut Guard, datagram: &[u8], now: u64) -> Result<Vec<u8>, Unheard> {
        Sealed::read(datagram).unwrap().open(&Key::of("token"), guard, now).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_datagram_is_heard_once() {
        let (mut guard, mut sealer) = (Guard::new(NOW), Sealer::new(Key::of("token"), [7; 8]));
        let datagram = sealer.seal(NOW + 1, b"batch");
        assert_eq!(open(&mut guard, &datagram, NOW + 1).unwrap(), b"batch");
        assert_eq!(open(&mut guard, &datagram, NOW + 1), Err(Unheard::Replayed));
        assert!(open(&mut guard, &sealer.seal(NOW + 1, b"next"), NOW + 1).is_ok());
    }

    #[test]
    fn a_start_of_either_side_opens_no_hole_and_locks_nobody_out() {
        let key = || Key::of("token");
        let (mut guard, mut sealer) = (Guard::new(NOW), Sealer::new(key(), [1; 8]));
        let before = sealer.seal(NOW + 5, b"");
        assert!(open(&mut guard, &before, NOW + 5).is_ok());
        // The sender starts anew.
        let mut sealer = Sealer::new(key(), [2; 8]);
        assert!(open(&mut guard, &sealer.seal(NOW + 6, b""), NOW + 6).is_ok());
        // The server does.
        let mut guard = Guard::new(NOW + 10);
        assert_eq!(open(&mut guard, &before, NOW + 11), Err(Unheard::Time));
        assert!(open(&mut guard, &sealer.seal(NOW + 11, b""), NOW + 11).is_ok());
    }

    #[test]
    fn a_time_too_far_away_is_not_heard_and_a_clock_set_back_hears_nothing_old() {
        let (mut guard, mut sealer) = (Guard::new(NOW), Sealer::new(Key::of("token"), [1; 8]));
        let now = NOW + 100_000;
        let old = sealer.seal(now - SKEW + 1, b"");
        assert!(open(&mut guard, &old, now).is_ok());
        assert!(open(&mut guard, &sealer.seal(now + SKEW, b""), now).is_ok());
        assert_eq!(open(&mut guard, &sealer.seal(now - SKEW, b""), now), Err(Unheard::Time));
        assert_eq!(open(&mut guard, &sealer.seal(now + SKEW + 1, b""), now), Err(Unheard::Time));
        assert_eq!(open(&mut guard, &sealer.seal(NOW + 1, b""), NOW + 1), Err(Unheard::Time));
    }

    #[test]
    fn a_full_memory_forgets_those_whose_datagrams_are_all_too_old_and_nobody_else() {
        let mut guard = Guard { most: 2, ..Guard::new(NOW) };
        let first = Sealer::new(Key::of("token"), [1; 8]).seal(NOW + 1, b"");
        assert!(open(&mut guard, &first, NOW + 1).is_ok());
        assert!(open(&mut guard, &Sealer::new(Key::of("token"), [2; 8]).seal(NOW + 9, b""), NOW + 9).is_ok());
        let mut third = Sealer::new(Key::of("token"), [3; 8]);
        assert_eq!(open(&mut guard, &third.seal(NOW + 9, b""), NOW + 9), Err(Unheard::Senders));
        let later = NOW + 1 + SKEW;
        assert!(open(&mut guard, &third.seal(later, b""), later).is_ok());
        assert_eq!(open(&mut guard, &first, later), Err(Unheard::Time));
    }

    #[test]
    fn what_was_changed_on_the_way_or_made_with_another_key_is_not_heard() {
        let datagram = Sealer::new(Key::of("token"), [1; 8]).seal(NOW + 1, b"batch");
        for at in 9..datagram.len() {
            let mut changed = datagram.clone();
            changed[at] ^= 1;
            assert_eq!(open(&mut Guard::new(NOW), &changed, NOW + 1), Err(Unheard::Forged), "{at}");
        }
        let other = Sealer::new(Key::of("other"), [1; 8]).seal(NOW + 1, b"batch");
        assert_eq!(open(&mut Guard::new(NOW), &other, NOW + 1), Err(Unheard::Forged));
        assert!(Sealed::read(&datagram[..HEAD + MAC - 1]).is_none());
        assert!(Sealed::read(&[1; MAX_DATAGRAM + 1]).is_none());
        assert!(Sealed::read(&[2; HEAD + MAC]).is_none());
    }

    #[test]
    fn the_layout_is_what_it_always_was() {
        let datagram = Sealer::new(Key::of("token"), *b"a sender").seal(NOW, b"\x01\x00\x00");
        let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    /// Made by another implementation of HMAC.
    const GOLDEN: &str = "0141107967d629c559612073656e6465720090e252930100000000000000000000010000bf371bb62477fc7ba44b686407923663";

    proptest! {
        #[test]
        fn no_count_is_heard_twice_and_none_of_the_window_is_lost(counts in prop::collection::vec(0_u64..300, 1..200)) {
            let mut guard = Guard::new(NOW);
            let (mut heard, mut newest) = (HashSet::new(), 0);
            for count in counts {
                let is_in_window = heard.is_empty() || count + WINDOW > newest;
                let is_heard = guard.admit(([0; 8], [0; 8]), NOW + 1, count, NOW + 1).is_ok();
                prop_assert_eq!(is_heard, is_in_window && !heard.contains(&count), "{}", count);
                heard.insert(count);
                newest = newest.max(count);
            }
        }

        #[test]
        fn any_bytes_are_taken_apart(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(sealed) = Sealed::read(&bytes) {
                prop_assert!(sealed.open(&Key::of("token"), &mut Guard::new(NOW), NOW + 1).is_err());
            }
        }
    }
}
