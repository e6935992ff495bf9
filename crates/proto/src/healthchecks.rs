//! Pings of Healthchecks: what the path says, and which heartbeat that is.
//!
//! ```text
//! /ping/<uuid>              /ping/<key>/<slug>              success
//! /ping/<uuid>/start        /ping/<key>/<slug>/start        a run begins
//! /ping/<uuid>/fail         …                               failure
//! /ping/<uuid>/log          …                               an event, no state
//! /ping/<uuid>/<0..255>     …                               exit code: 0 is success
//! ```
//!
//! The method says nothing; a body is text for people. Source: <https://healthchecks.io/docs/http_api/>.

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;

use crate::limits::Limits;
use crate::local::fit;

/// Most bytes of a ping's body that are read for their text, as Healthchecks keeps them (`PING_BODY_LIMIT`).
pub const MAX_BODY: usize = 10_000;

/// Whose ping it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// By the check's own number, a UUID.
    Id(u128),
    /// By the project's key and the check's name.
    Slug {
        /// The key.
        key: String,
        /// The name: `[a-z0-9_-]`; a dot is taken too, since our ids have it.
        slug: String,
    },
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// All is well, or the run has ended well.
    Success,
    /// A run begins. No sign that one ever ends.
    Start,
    /// Something failed.
    Fail,
    /// A remark.
    Log,
    /// A run ended with this exit code.
    Exit(u8),
}

/// One ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Whose it is.
    pub check: Check,
    /// What it says.
    pub signal: Signal,
}

/// Why a request is no ping, in Healthchecks' own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// The path names no check: 404.
    #[error("not found")]
    NotFound,
    /// An exit code beyond 255, or a name that cannot be one: 400.
    #[error("invalid url format")]
    Path,
    /// `rid` is no UUID: 400.
    #[error("invalid uuid format")]
    Run,
}

impl Ping {
    /// Reads what follows `/ping/`, and the query without its question mark.
    ///
    /// # Errors
    /// [`PingError`], as Healthchecks answers it.
    pub fn read(path: &str, query: &str) -> Result<Self, PingError> {
        let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        let (check, rest) = match *parts.as_slice() {
            [first, ref rest @ ..] if uuid(first).is_some() => {
                (Check::Id(uuid(first).unwrap_or_default()), rest)
            }
            [key, slug, ref rest @ ..] if !key.is_empty() && !slug.is_empty() => {
                let is_slug = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
                if !slug.bytes().all(is_slug) {
                    return Err(PingError::Path);
                }
                (Check::Slug { key: key.to_owned(), slug: slug.to_owned() }, rest)
            }
            _ => return Err(PingError::NotFound),
        };
        let signal = match *rest {
            [] => Signal::Success,
            [word] => signal(word)?,
            _ => return Err(PingError::NotFound),
        };
        let run = query.split('&').find_map(|pair| pair.strip_prefix("rid="));
        if run.is_some_and(|run| uuid(run).is_none()) {
            return Err(PingError::Run);
        }
        Ok(Self { check, signal })
    }

    /// The heartbeat of `service` that it is, with the text of `body`. `None`: it is none. A start is none either,
    /// or a job that starts again and again without ever ending would seem well.
    pub fn beat(&self, service: ServiceId, body: &[u8], limits: &Limits) -> Option<Beat> {
        let status = match self.signal {
            Signal::Success | Signal::Exit(0) => BeatStatus::Alive,
            Signal::Fail | Signal::Exit(_) => BeatStatus::Fail,
            Signal::Start | Signal::Log => return None,
        };
        let body = body.get(..MAX_BODY).unwrap_or(body);
        let text = String::from_utf8_lossy(body);
        let text = match (self.signal, text.trim()) {
            (Signal::Exit(code @ 1..), "") => format!("exit code {code}"),
            (Signal::Exit(code @ 1..), text) => format!("exit code {code}: {text}"),
            (_, text) => text.to_owned(),
        };
        let text = fit(&text, limits.message_bytes);
        let message = (!text.is_empty()).then(|| text.to_owned());
        Some(Beat { status, message, ..Beat::alive(service) })
    }
}

fn signal(word: &str) -> Result<Signal, PingError> {
    match word {
        "start" => Ok(Signal::Start),
        "fail" => Ok(Signal::Fail),
        "log" => Ok(Signal::Log),
        number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            number.parse().map(Signal::Exit).map_err(|_| PingError::Path)
        }
        _ => Err(PingError::NotFound),
    }
}

/// The number of a UUID as it is written: `8-4-4-4-12` hexadecimal digits.
fn uuid(text: &str) -> Option<u128> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let digits: String = text.chars().filter(|letter| *letter != '-').collect();
    let is_uuid = groups == [8, 4, 4, 4, 12] && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_uuid { u128::from_str_radix(&digits, 16).ok() } else { None }
}

/// `number` as a UUID is written.
pub fn write_uuid(number: u128) -> String {
    let digits = format!("{number:032x}");
    let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278";

    fn read(path: &str) -> Result<Ping, PingError> {
        Ping::read(path, "")
    }

    fn beat(path: &str, body: &[u8]) -> Option<Beat> {
        read(path).unwrap().beat(ServiceId::new("orders").unwrap(), body, &Limits::default())
    }

    #[test]
    fn every_form_of_a_ping_is_read() {
        let id = Check::Id(0x5bf6_6975_d4c7_4bf5_bcc8_b8d8_a82e_a278);
        let slug = Check::Slug { key: "k3y".to_owned(), slug: "db-backup".to_owned() };
        for (tail, signal) in [
            ("", Signal::Success),
            ("/", Signal::Success),
            ("/start", Signal::Start),
            ("/fail", Signal::Fail),
            ("/log", Signal::Log),
            ("/0", Signal::Exit(0)),
            ("/255", Signal::Exit(255)),
        ] {
            assert_eq!(read(&format!("{ID}{tail}")), Ok(Ping { check: id.clone(), signal }), "{tail}");
            assert_eq!(
                read(&format!("k3y/db-backup{tail}")),
                Ok(Ping { check: slug.clone(), signal }),
                "{tail}"
            );
        }
    }

    #[test]
    fn what_is_no_ping_is_refused_in_healthchecks_words() {
        for (path, error) in [
            ("", PingError::NotFound),
            ("/", PingError::NotFound),
            ("5bf66975", PingError::NotFound),
            (&format!("{ID}/done"), PingError::NotFound),
            (&format!("{ID}/fail/fail"), PingError::NotFound),
            (&format!("{ID}/256"), PingError::Path),
            ("k3y/DB-Backup", PingError::Path),
        ] {
            assert_eq!(read(path), Err(error), "{path}");
        }
        assert_eq!(Ping::read(ID, "create=1&rid=nonsense"), Err(PingError::Run));
        assert!(Ping::read(ID, &format!("rid={}", ID.to_uppercase())).is_ok());
    }

    #[test]
    fn success_and_failure_are_heartbeats_and_start_and_log_are_none() {
        assert_eq!(beat(ID, b"").unwrap(), Beat::alive(ServiceId::new("orders").unwrap()));
        assert_eq!(beat(&format!("{ID}/0"), b"done\n").unwrap().message.as_deref(), Some("done"));
        let failed = beat(&format!("{ID}/3"), b"no room \xff").unwrap();
        assert_eq!(failed.status, BeatStatus::Fail);
        assert_eq!(failed.message.as_deref(), Some("exit code 3: no room \u{fffd}"));
        assert_eq!(beat(&format!("{ID}/fail"), b"").unwrap().status, BeatStatus::Fail);
        assert_eq!(beat(&format!("{ID}/start"), b""), None);
        assert_eq!(beat(&format!("{ID}/log"), b"by the way"), None);
    }

    proptest! {
        #[test]
        fn any_path_is_answered_and_no_text_exceeds_its_limit(
            path in ".{0,80}", query in ".{0,40}", body in prop::collection::vec(any::<u8>(), 0..20_000),
        ) {
            let _ = Ping::read(&path, &query);
            let beat = beat(&format!("{ID}/1"), &body).unwrap();
            prop_assert!(beat.message.is_none_or(|text| text.len() <= Limits::default().message_bytes));
        }

        #[test]
        fn a_number_that_is_written_is_read(number: u128) {
            prop_assert_eq!(uuid(&write_uuid(number)), Some(number));
        }
    }
}
