//! Heartbeats on the host: what programs write into sockets, pipes, files, registry values and shared memory.
//!
//! | form | used by | read by |
//! |---|---|---|
//! | a line, `orders alive queue=12`, or a JSON body as over HTTP | sockets, pipe, UDP | [`read_letter`] |
//! | the same line without the service's id, or nothing at all | file, registry value | [`read_note`] |
//! | `READY=1`, `WATCHDOG=1`, … of `sd_notify(3)` | the notify socket | [`read_notify`] |
//! | a page of shared memory | shared memory | [`page`] |
//!
//! Who wrote it is not told here: the receiver of each way asks the operating system.

mod notify;
pub mod page;
mod text;

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;

use crate::heartbeat::{self, BodyError, ItemError};
use crate::limits::Limits;

pub use notify::read_notify;
pub use text::read_note;

/// Largest letter of a local way, in bytes: one datagram, one line of a stream, one message of a pipe, one
/// file or registry value. A larger one is refused as a whole. Less than a body over HTTP, since each of many
/// senders may have a letter waiting.
pub const MAX_LETTER: usize = 8 * 1024;

/// Most heartbeats of one letter.
pub const MAX_BEATS: usize = 64;

/// Why a letter, or one heartbeat of it, was refused. One line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub(crate) String);

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Self(error.to_string())
    }
}

impl From<ItemError> for Refused {
    fn from(error: ItemError) -> Self {
        Self(error.to_string())
    }
}

/// Reads a letter that names its services: JSON when it begins with `{` or `[`, else lines of text.
/// Each heartbeat is taken or refused by itself; empty lines count for nothing.
pub fn read_letter(letter: &[u8], limits: &Limits) -> Vec<Result<Beat, Refused>> {
    if letter.len() > MAX_LETTER {
        return vec![Err(Refused(format!("{} bytes in one letter, at most {MAX_LETTER}", letter.len())))];
    }
    let letter = letter.trim_ascii();
    if matches!(letter.first(), Some(b'{' | b'[')) {
        let limits = Limits { beats: limits.beats.min(MAX_BEATS), ..*limits };
        return match heartbeat::read(letter, &limits) {
            Ok(heartbeats) => heartbeats.beats.into_iter().map(|beat| beat.map_err(Refused::from)).collect(),
            Err(error) => vec![Err(error.into())],
        };
    }
    let Ok(lines) = std::str::from_utf8(letter) else {
        return vec![Err(Refused("neither JSON nor a line of UTF-8 text".to_owned()))];
    };
    let mut lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut beats: Vec<_> = lines.by_ref().take(MAX_BEATS).map(|line| text::line(line, limits)).collect();
    if lines.next().is_some() {
        beats.push(Err(Refused(format!("more than {MAX_BEATS} lines in one letter"))));
    }
    beats
}

/// A heartbeat of `service` that says `status`.
fn beat(service: &ServiceId, status: BeatStatus) -> Beat {
    Beat { status, ..Beat::alive(service.clone()) }
}

/// `text`, cut on a character border to at most `limit` bytes.
pub(crate) fn fit(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(letter: &str) -> Vec<Result<Beat, Refused>> {
        read_letter(letter.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_letter_is_json_or_lines_and_each_heartbeat_stands_for_itself() {
        let json = read(r#"[{"service_id":"a"},{"service_id":"B"}]"#);
        assert!(json[0].is_ok() && json[1].is_err(), "{json:?}");
        let lines = read("a\n\n  b fail \r\nC\n");
        assert_eq!(lines.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
        assert!(read("").is_empty());
        assert!(read(" \n").is_empty());
    }

    #[test]
    fn what_is_too_much_is_refused_and_said() {
        assert!(read(&"a".repeat(MAX_LETTER + 1))[0].is_err());
        let many = read(&"a\n".repeat(MAX_BEATS + 1));
        assert_eq!(many.len(), MAX_BEATS + 1);
        assert_eq!(many.iter().filter(|beat| beat.is_err()).count(), 1);
        assert!(read_letter(&[0xff, 0xfe], &Limits::default())[0].is_err());
    }
}
