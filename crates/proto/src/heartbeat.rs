//! The body of `POST /api/v1/heartbeats`: one heartbeat or an array of them.
//!
//! Strict where a typing mistake would hide (unknown and repeated keys are faults), liberal where senders
//! differ without meaning anything by it: `null` is the same as leaving an optional key out, a time is
//! seconds or RFC 3339, an interval seconds or `1m30s`, an empty array is an empty answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::duration::parse_duration;
use lifesign_core::evidence::{Beat, BeatStatus, Exit};
use lifesign_core::model::{MAX_ID, ServiceId};
use lifesign_core::time::Wall;
use serde_json::value::RawValue;

use crate::json::{self, Kind, Malformed, cut, step};
use crate::limits::Limits;
use crate::problem::{Fault, Problem};
use crate::quick;
use crate::run::Told;

/// Faults named for one heartbeat; what comes after is not looked for.
pub const MAX_FAULTS: usize = 16;

const KEYS: [&str; 15] = [
    "service_id",
    "timestamp",
    "status",
    "metrics",
    "message",
    "interval",
    "hears",
    "progress",
    "run",
    "run_id",
    "exit_code",
    "signal",
    "start_error",
    "duration",
    "output",
];

/// The times a sender may claim, in seconds: the years that RFC 3339 can write (and ours can print).
pub(crate) const SECONDS: std::ops::RangeInclusive<f64> = -62_135_596_800.0..=253_402_207_200.0;

/// The intervals a sender may announce, in seconds: up to a year, as in the configuration.
pub(crate) const INTERVALS: std::ops::RangeInclusive<f64> = 0.001..=31_536_000.0;

/// A body that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeats {
    /// Whether the body was an array. A lone heartbeat that is refused is the answer's status; one in an
    /// array is a line of its acknowledgements.
    pub array: bool,
    /// The heartbeats in their order, each taken or refused by itself.
    pub beats: Vec<Result<Beat, ItemError>>,
}

/// Why no heartbeat of a body could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is not JSON: 400.
    #[error("the body is not JSON: {0}")]
    Malformed(#[from] Malformed),
    /// It is JSON, but neither a heartbeat nor an array of at most [`Limits::beats`]: 422.
    #[error("{0}")]
    Invalid(Fault),
}

/// Why one heartbeat was refused: 422.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct ItemError {
    /// The `service_id` it carried, for the acknowledgement, when that is a text.
    pub service_id: Option<String>,
    /// What is wrong, at most [`MAX_FAULTS`]; never empty.
    pub faults: Vec<Fault>,
}

/// Reads `body`.
///
/// # Errors
/// When the body as a whole cannot be read. What is wrong with single heartbeats stands in their place.
pub fn read(body: &[u8], limits: &Limits) -> Result<Heartbeats, BodyError> {
    quick::read(body, limits).map_or_else(|| read_with_care(body, limits), Ok)
}

/// The same as [`read`] without the shorter way of ordinary bodies, which tests hold against it.
///
/// # Errors
/// Those of [`read`].
#[doc(hidden)]
pub fn read_with_care(body: &[u8], limits: &Limits) -> Result<Heartbeats, BodyError> {
    let raw = json::parse(body)?;
    let invalid = |detail| BodyError::Invalid(Fault { pointer: String::new(), detail });
    match Kind::of(raw) {
        Kind::Object => Ok(Heartbeats { array: false, beats: vec![beat(raw, "", limits)] }),
        Kind::Array => {
            let elements = json::elements(raw);
            if elements.len() > limits.beats {
                let (many, limit) = (elements.len(), limits.beats);
                return Err(invalid(format!(
                    "{many} heartbeats in one array, at most {limit}; send several bodies"
                )));
            }
            let beats = elements
                .iter()
                .enumerate()
                .map(|(index, raw)| beat(raw, &format!("/{index}"), limits))
                .collect();
            Ok(Heartbeats { array: true, beats })
        }
        other @ (Kind::String | Kind::Number | Kind::Bool | Kind::Null) => {
            Err(invalid(format!("expected a heartbeat object or an array of them, found {other}")))
        }
    }
}

fn beat(raw: &RawValue, pointer: &str, limits: &Limits) -> Result<Beat, ItemError> {
    let mut reader = Reader { limits, faults: Vec::new(), named: None };
    match reader.beat(raw, pointer) {
        Some(beat) if reader.faults.is_empty() => Ok(beat),
        _ => Err(ItemError { service_id: reader.named, faults: reader.faults }),
    }
}

/// Reads one heartbeat and gathers its faults.
struct Reader<'a> {
    limits: &'a Limits,
    faults: Vec<Fault>,
    named: Option<String>,
}

impl Reader<'_> {
    fn fault<T>(&mut self, pointer: String, detail: impl Into<String>) -> Option<T> {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { pointer, detail: detail.into() });
        }
        None
    }

    fn beat(&mut self, raw: &RawValue, pointer: &str) -> Option<Beat> {
        if Kind::of(raw) != Kind::Object {
            return self
                .fault(pointer.into(), format!("expected a heartbeat object, found {}", Kind::of(raw)));
        }
        let Some(members) = json::members(raw) else {
            return self.fault(pointer.into(), "a key is not Unicode text (half of a surrogate pair)");
        };
        let (mut service, mut status, mut sent_at, mut metrics, mut message) = (None, None, None, None, None);
        let (mut interval, mut hears, mut progress) = (None, None, None);
        let mut run = Told::default();
        let mut seen = HashSet::new();
        for (key, raw) in &members {
            let place = step(pointer, key);
            if !seen.insert(key.as_str()) {
                self.fault::<()>(place, "the key stands there twice");
                continue;
            }
            let absent = Kind::of(raw) == Kind::Null;
            match key.as_str() {
                "service_id" => service = self.service(raw, place),
                known if absent && KEYS.contains(&known) => {}
                "timestamp" => sent_at = self.time(raw, place),
                "status" => status = self.status(raw, place),
                "metrics" => metrics = self.metrics(raw, &place),
                "message" => message = self.message(raw, place),
                "interval" => interval = self.interval(raw, place),
                "hears" => hears = self.hears(raw, place),
                "progress" => progress = self.progress(raw, place),
                "run" | "run_id" | "exit_code" | "signal" | "start_error" | "duration" | "output" => {
                    if let Err(detail) = run.take(key, raw) {
                        self.fault::<()>(place, detail);
                    }
                }
                unknown => {
                    self.fault::<()>(place, unknown_key(unknown));
                }
            }
        }
        if !seen.contains("service_id") {
            return self.fault(step(pointer, "service_id"), "is missing; it names the service that lives");
        }
        let run = match run.finish() {
            Ok(run) => run,
            Err((key, detail)) => return self.fault(step(pointer, key), detail),
        };
        let failed = run.as_ref().and_then(|run| run.exit.as_ref()).is_some_and(|exit| *exit != Exit::Clean);
        Some(Beat {
            service: service?,
            status: status.unwrap_or(if failed { BeatStatus::Fail } else { BeatStatus::Alive }),
            sent_at,
            metrics: metrics.unwrap_or_default(),
            message,
            interval,
            hears,
            progress,
            run: run.map(Into::into),
            age: Duration::ZERO,
        })
    }

    fn service(&mut self, raw: &RawValue, place: String) -> Option<ServiceId> {
        let text = self.text(raw, &place)?;
        let id = ServiceId::new(&text);
        self.named = Some(if text.len() > MAX_ID { cut(&text) } else { text });
        match id {
            Ok(id) => Some(id),
            Err(error) => self.fault(place, error.to_string()),
        }
    }

    fn status(&mut self, raw: &RawValue, place: String) -> Option<BeatStatus> {
        match self.text(raw, &place)?.as_str() {
            "alive" => Some(BeatStatus::Alive),
            "stopping" => Some(BeatStatus::Stopping),
            "fail" => Some(BeatStatus::Fail),
            other => self.fault(
                place,
                format!("expected \"alive\", \"stopping\" or \"fail\", found {:?}", cut(other)),
            ),
        }
    }

    fn time(&mut self, raw: &RawValue, place: String) -> Option<Wall> {
        if Kind::of(raw) == Kind::String {
            let text = self.text(raw, &place)?;
            return match Wall::parse(&text) {
                Some(at) => Some(at),
                None => {
                    self.fault(place, format!("{:?} is no RFC 3339 time (2026-11-22T09:00:00Z)", cut(&text)))
                }
            };
        }
        let Some(seconds) = json::number(raw) else {
            let found = Kind::of(raw);
            return self
                .fault(place, format!("expected seconds since 1970 or an RFC 3339 time, found {found}"));
        };
        if SECONDS.contains(&seconds) {
            #[expect(clippy::cast_possible_truncation, reason = "the range above is far inside i64")]
            return Some(Wall::from_millis((seconds * 1000.0).round() as i64));
        }
        let hint = if SECONDS.contains(&(seconds / 1000.0)) { "; are these milliseconds?" } else { "" };
        self.fault(place, format!("{} seconds are beyond the year 9999{hint}", cut(raw.get())))
    }

    fn interval(&mut self, raw: &RawValue, place: String) -> Option<Duration> {
        let seconds = if Kind::of(raw) == Kind::String {
            let text = self.text(raw, &place)?;
            let Some(span) = parse_duration(&text) else {
                return self.fault(place, format!("{:?} is no duration (5s, 1m30s)", cut(&text)));
            };
            span.as_secs_f64()
        } else if let Some(seconds) = json::number(raw) {
            seconds
        } else {
            let found = Kind::of(raw);
            return self
                .fault(place, format!("expected seconds or a duration such as \"1m30s\", found {found}"));
        };
        if INTERVALS.contains(&seconds) {
            return Some(Duration::from_secs_f64(seconds));
        }
        let found = cut(raw.get());
        self.fault(
            place,
            format!("the next heartbeat is announced in a millisecond to a year, found {found}"),
        )
    }

    fn hears(&mut self, raw: &RawValue, place: String) -> Option<bool> {
        match raw.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.fault(place, format!("expected true or false, found {}", Kind::of(raw))),
        }
    }

    fn progress(&mut self, raw: &RawValue, place: String) -> Option<u64> {
        if Kind::of(raw) != Kind::Number {
            return self.fault(place, format!("expected a whole number, found {}", Kind::of(raw)));
        }
        match raw.get().parse() {
            Ok(count) => Some(count),
            Err(_) => self.fault(
                place,
                format!("expected a whole number from 0 to 2^64 - 1, found {}", cut(raw.get())),
            ),
        }
    }

    fn metrics(&mut self, raw: &RawValue, place: &str) -> Option<Vec<(Arc<str>, f64)>> {
        if Kind::of(raw) != Kind::Object {
            let found = Kind::of(raw);
            return self
                .fault(place.into(), format!("expected an object of names and numbers, found {found}"));
        }
        let Some(members) = json::members(raw) else {
            return self.fault(place.into(), "a name is not Unicode text (half of a surrogate pair)");
        };
        if members.len() > self.limits.metrics {
            let (many, limit) = (members.len(), self.limits.metrics);
            return self.fault(place.into(), format!("{many} metrics in one heartbeat, at most {limit}"));
        }
        let mut metrics: Vec<(Arc<str>, f64)> = Vec::with_capacity(members.len());
        let mut seen = HashSet::with_capacity(members.len());
        for (name, raw) in &members {
            let place = step(place, name);
            if !seen.insert(name.as_str()) {
                self.fault::<()>(place, "the metric stands there twice");
            } else if let Some(detail) = wrong_name(name, self.limits.metric_name_bytes) {
                self.fault::<()>(place, detail);
            } else if let Some(value) = self.metric(raw, place) {
                metrics.push((name.as_str().into(), value));
            }
        }
        Some(metrics)
    }

    fn metric(&mut self, raw: &RawValue, place: String) -> Option<f64> {
        match json::number(raw) {
            Some(value) if value.is_finite() => Some(value),
            Some(_) => self.fault(place, format!("{} is too large for a double", cut(raw.get()))),
            None if Kind::of(raw) == Kind::Null => {
                self.fault(place, "expected a number, found null; leave out a metric without a value")
            }
            None => self.fault(place, format!("expected a number, found {}", Kind::of(raw))),
        }
    }

    fn message(&mut self, raw: &RawValue, place: String) -> Option<String> {
        let text = self.text(raw, &place)?;
        let limit = self.limits.message_bytes;
        if text.len() > limit {
            return self.fault(place, format!("{} bytes of message, at most {limit}", text.len()));
        }
        Some(text)
    }

    fn text(&mut self, raw: &RawValue, place: &str) -> Option<String> {
        match json::string(raw) {
            Some(text) => Some(text),
            None if Kind::of(raw) == Kind::String => {
                self.fault(place.into(), "is not Unicode text (half of a surrogate pair)")
            }
            None => self.fault(place.into(), format!("expected a string, found {}", Kind::of(raw))),
        }
    }
}

/// What is wrong with a metric's name; `None`: nothing.
pub(crate) fn wrong_name(name: &str, limit: usize) -> Option<String> {
    if name.len() > limit {
        return Some(format!("{} bytes of metric name, at most {limit}", name.len()));
    }
    // Byte by byte: nearly every name is right, and every heartbeat comes this way.
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':');
    let (first, is_host) = (name.bytes().next().is_some_and(is_letter), name.starts_with("host_"));
    if first
        && !is_host
        && name.bytes().all(|byte| is_letter(byte) || matches!(byte, b'0'..=b'9' | b'.' | b'-'))
    {
        return None;
    }
    if is_host {
        return Some(format!("{name:?} is a metric of the host; a service's own begins with something else"));
    }
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    let further = |c: char| first(c) || c.is_ascii_digit() || c == '.' || c == '-';
    let Some(head) = name.chars().next() else {
        return Some("a metric's name must not be empty".to_owned());
    };
    if !first(head) {
        return Some(format!("a metric's name does not begin with {head:?} (a letter, '_' or ':')"));
    }
    let wrong = name.chars().find(|c| !further(*c))?;
    Some(format!("{wrong:?} may not stand in a metric's name (a-z, A-Z, 0-9, '_', ':', '.', '-')"))
}

fn unknown_key(key: &str) -> String {
    let near = KEYS
        .iter()
        .filter(|_| key.len() <= 32)
        .map(|known| (strsim::normalized_damerau_levenshtein(&key.to_ascii_lowercase(), known), known))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, known)) => format!("unknown key; did you mean {known:?}?"),
        None => format!("unknown key; a heartbeat has {}", KEYS.join(", ")),
    }
}

impl ItemError {
    /// All faults in one line, for an acknowledgement.
    pub fn summary(&self) -> String {
        self.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// As the answer to a lone heartbeat.
    pub fn problem(&self) -> Problem {
        Problem::new(422, "the heartbeat is not valid").detail(self.summary()).errors(self.faults.clone())
    }
}

impl BodyError {
    /// The HTTP status: 400 or 422.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Invalid(_) => 422,
        }
    }

    /// As an answer.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Malformed(place) => {
                Problem::new(self.status(), "the body is not JSON").detail(place.to_string())
            }
            Self::Invalid(fault) => Problem::new(self.status(), "the body is not a list of heartbeats")
                .detail(fault.to_string())
                .errors(vec![fault.clone()]),
        }
    }
}
