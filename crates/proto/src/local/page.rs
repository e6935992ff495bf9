//! The page of shared memory through which one service beats: its layout, and how lifesign reads it.
//!
//! One page of 4096 bytes for each service, every number little-endian. The first cache line belongs to
//! lifesign, the second is all that a heartbeat touches, the rest changes rarely.
//!
//! | offset | size | what | written by |
//! |---|---|---|---|
//! | 0 | 8 | `LIFESIGN` | lifesign |
//! | 8 | 4 | version: 1 | lifesign |
//! | 12 | 4 | size of the page: 4096 | lifesign |
//! | 16 | 8 | heard: the last value of *beats* that lifesign has seen | lifesign |
//! | 24 | 4 | the number of lifesign's process | lifesign |
//! | 28 | 36 | 0 | – |
//! | 64 | 8 | sequence: odd while the sender changes what stands from 88 on | sender |
//! | 72 | 8 | beats: one more with every heartbeat | sender |
//! | 80 | 8 | progress: the sender's own count of its work | sender |
//! | 88 | 4 | the number of the sender's process | sender |
//! | 92 | 1 | status: 1 alive, 2 stopping, 3 fail (0: alive) | sender |
//! | 93 | 1 | 1 when *progress* counts, else 0 | sender |
//! | 94 | 2 | how many metric slots are in use, at most 58 | sender |
//! | 96 | 2 | length of the message in bytes, at most 256 | sender |
//! | 98 | 30 | 0 | – |
//! | 128 | 256 | message, UTF-8 | sender |
//! | 384 | 58 × 64 | metrics: value (an IEEE double, 8 bytes), length of the name (1), name (55) | sender |
//!
//! *beats*, *progress* and the values of metrics are single words and change alone: a heartbeat is one
//! addition. All the rest is guarded by the sequence: a sender makes it odd, writes, and makes it even; who
//! reads takes only what was read between two equal even values.
//!
//! INVARIANT: nothing of what a sender wrote is trusted: every length is held to its limit, every number to
//! being finite, every text to being UTF-8.

use std::sync::Arc;

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;

use super::Refused;
use crate::heartbeat::wrong_name;
use crate::limits::Limits;

/// Bytes of a page.
pub const SIZE: usize = 4096;
/// What a page begins with.
pub const MAGIC: [u8; 8] = *b"LIFESIGN";
/// The version of this layout. Another one may change everything behind the first 16 bytes.
pub const VERSION: u32 = 1;
/// Offset of *heard*.
pub const HEARD: usize = 16;
/// Offset of the number of lifesign's process.
pub const OWNER: usize = 24;
/// Offset of the sequence.
pub const SEQUENCE: usize = 64;
/// Offset of the count of heartbeats.
pub const BEATS: usize = 72;
/// Offset of the sender's count of its work.
pub const PROGRESS: usize = 80;
/// Offset of the number of the sender's process.
pub const PID: usize = 88;
/// Offset of the status.
pub const STATUS: usize = 92;
/// Offset of the byte that says whether progress counts.
pub const COUNTS: usize = 93;
/// Offset of the number of metrics.
pub const METRICS: usize = 94;
/// Offset of the message's length.
pub const MESSAGE_LENGTH: usize = 96;
/// Offset of the message.
pub const MESSAGE: usize = 128;
/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 256;
/// Offset of the first metric.
pub const FIRST_METRIC: usize = 384;
/// Bytes of one metric.
pub const METRIC_SIZE: usize = 64;
/// Most metrics.
pub const MAX_METRICS: usize = (SIZE - FIRST_METRIC) / METRIC_SIZE;
/// Longest name of a metric, in bytes.
pub const MAX_NAME: usize = METRIC_SIZE - 9;

/// A fresh page, as lifesign (process `owner`) lays it out.
pub fn fresh(owner: u32) -> [u8; SIZE] {
    let mut page = [0; SIZE];
    put(&mut page, 0, &MAGIC);
    put(&mut page, 8, &VERSION.to_le_bytes());
    put(&mut page, 12, &4096_u32.to_le_bytes());
    put(&mut page, OWNER, &owner.to_le_bytes());
    page
}

/// Whether `page` is one of this version.
pub fn is_page(page: &[u8; SIZE]) -> bool {
    bytes::<8>(page, 0) == MAGIC && u32::from_le_bytes(bytes(page, 8)) == VERSION
}

/// How many heartbeats have been written into `page` so far.
pub fn beats(page: &[u8; SIZE]) -> u64 {
    word(page, BEATS)
}

/// The process that says it wrote `page`; `None` where it does not say.
pub fn pid(page: &[u8; SIZE]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes(page, PID))).filter(|pid| *pid != 0)
}

/// What `page`, read between two equal even values of the sequence, says of `service`.
///
/// # Errors
/// When a sender wrote what no sender writes.
pub fn read(service: &ServiceId, page: &[u8; SIZE], limits: &Limits) -> Result<Beat, Refused> {
    let status = match bytes::<1>(page, STATUS) {
        [0 | 1] => BeatStatus::Alive,
        [2] => BeatStatus::Stopping,
        [3] => BeatStatus::Fail,
        [other] => return Err(Refused(format!("{other} is no status in shared memory (1, 2 or 3)"))),
    };
    let progress = (bytes::<1>(page, COUNTS) == [1]).then(|| word(page, PROGRESS));
    let many = usize::from(u16::from_le_bytes(bytes(page, METRICS)));
    if many > MAX_METRICS.min(limits.metrics) {
        let most = MAX_METRICS.min(limits.metrics);
        return Err(Refused(format!("{many} metrics in shared memory, at most {most}")));
    }
    let mut metrics = Vec::with_capacity(many);
    for slot in 0..many {
        metrics.extend(metric(page, FIRST_METRIC + slot * METRIC_SIZE, limits)?);
    }
    Ok(Beat { metrics, progress, message: message(page, limits)?, ..super::beat(service, status) })
}

fn metric(page: &[u8; SIZE], at: usize, limits: &Limits) -> Result<Option<(Arc<str>, f64)>, Refused> {
    let [length] = bytes::<1>(page, at + 8);
    let name = text(page, at + 9, usize::from(length), MAX_NAME, "name of a metric")?;
    if let Some(wrong) = wrong_name(name, limits.metric_name_bytes) {
        return Err(Refused(wrong));
    }
    let value = f64::from_le_bytes(bytes(page, at));
    // A value that is no number is one that its sender has just taken away.
    Ok(value.is_finite().then(|| (name.into(), value)))
}

fn message(page: &[u8; SIZE], limits: &Limits) -> Result<Option<String>, Refused> {
    let length = usize::from(u16::from_le_bytes(bytes(page, MESSAGE_LENGTH)));
    let text = text(page, MESSAGE, length, MAX_MESSAGE.min(limits.message_bytes), "message")?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn text<'a>(
    page: &'a [u8; SIZE],
    at: usize,
    length: usize,
    limit: usize,
    what: &str,
) -> Result<&'a str, Refused> {
    if length > limit {
        return Err(Refused(format!("{length} bytes of {what} in shared memory, at most {limit}")));
    }
    let bytes = page.get(at..at + length).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| Refused(format!("the {what} in shared memory is not UTF-8")))
}

fn word(page: &[u8; SIZE], at: usize) -> u64 {
    u64::from_le_bytes(bytes(page, at))
}

/// `N` bytes from `at`; zeros beyond the end, where no constant above points.
fn bytes<const N: usize>(page: &[u8; SIZE], at: usize) -> [u8; N] {
    page.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn put(page: &mut [u8; SIZE], at: usize, bytes: &[u8]) {
    if let Some(place) = page.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> ServiceId {
        ServiceId::new("orders").unwrap()
    }

    /// A page as a sender leaves it.
    fn written() -> [u8; SIZE] {
        let mut page = fresh(7);
        put(&mut page, SEQUENCE, &6_u64.to_le_bytes());
        put(&mut page, BEATS, &3_u64.to_le_bytes());
        put(&mut page, PROGRESS, &42_u64.to_le_bytes());
        put(&mut page, PID, &4711_u32.to_le_bytes());
        put(&mut page, STATUS, &[3, 1]);
        put(&mut page, METRICS, &2_u16.to_le_bytes());
        put(&mut page, MESSAGE_LENGTH, &9_u16.to_le_bytes());
        put(&mut page, MESSAGE, b"disk full");
        for (slot, (name, value)) in [("queue", 12.0_f64), ("load", f64::NAN)].into_iter().enumerate() {
            let at = FIRST_METRIC + slot * METRIC_SIZE;
            put(&mut page, at, &value.to_le_bytes());
            put(&mut page, at + 8, &[name.len() as u8]);
            put(&mut page, at + 9, name.as_bytes());
        }
        page
    }

    #[test]
    fn a_page_is_read_as_its_table_says() {
        let page = written();
        assert!(is_page(&page));
        assert_eq!((beats(&page), pid(&page)), (3, Some(4711)));
        let beat = read(&id(), &page, &Limits::default()).unwrap();
        assert_eq!(beat.status, BeatStatus::Fail);
        assert_eq!(beat.progress, Some(42));
        assert_eq!(beat.message.as_deref(), Some("disk full"));
        assert_eq!(beat.metrics, [("queue".into(), 12.0)]);
    }

    #[test]
    fn the_layout_is_the_one_of_version_1_byte_by_byte() {
        let golden = include_str!("../../tests/golden/local/page.hex");
        let page = written();
        let mut lines = String::new();
        for (row, bytes) in page.chunks(16).enumerate().filter(|(_, bytes)| bytes.iter().any(|b| *b != 0)) {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push_str(&format!("{:04x}  {}\n", row * 16, hex.join(" ")));
        }
        assert_eq!(lines, golden.replace("\r\n", "\n"));
    }

    #[test]
    fn a_fresh_page_is_alive_and_says_nothing() {
        let beat = read(&id(), &fresh(1), &Limits::default()).unwrap();
        assert_eq!(beat, Beat::alive(id()));
        assert_eq!((beats(&fresh(1)), pid(&fresh(1))), (0, None));
        assert!(!is_page(&[0; SIZE]));
    }

    #[test]
    fn what_no_sender_writes_is_refused() {
        let wrong = |at: usize, bytes: &[u8]| {
            let mut page = written();
            put(&mut page, at, bytes);
            read(&id(), &page, &Limits::default()).unwrap_err().to_string()
        };
        assert!(wrong(STATUS, &[4]).contains("no status"));
        assert!(wrong(METRICS, &[59, 0]).contains("at most 58"));
        assert!(wrong(MESSAGE_LENGTH, &[1, 1]).contains("at most 256"));
        assert!(wrong(MESSAGE, &[0xff]).contains("not UTF-8"));
        assert!(wrong(FIRST_METRIC + 8, &[56]).contains("at most 55"));
        assert!(wrong(FIRST_METRIC + 8, &[0]).contains("must not be empty"));
    }

    proptest! {
        #[test]
        fn any_page_is_answered(bytes in prop::collection::vec(any::<u8>(), SIZE), from in 0..SIZE) {
            let mut page = written();
            page[from..].copy_from_slice(&bytes[from..]);
            if let Ok(beat) = read(&id(), &page, &Limits::default()) {
                prop_assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
                prop_assert!(beat.message.is_none_or(|text| text.len() <= MAX_MESSAGE));
            }
        }
    }
}
