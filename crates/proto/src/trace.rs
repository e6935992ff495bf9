//! A trace: what became of the heartbeats of some services over time, one JSON object a line.
//!
//! ```text
//! {"service":"a","sent":12.0,"received":12.15}      a heartbeat; `received` is null where it was lost
//! {"service":"a","crash":9000.0}                    from here on the service is dead …
//! {"service":"a","recover":9100.0}                  … until here
//! {"outage":[100.0,160.0]}                          the network carried nothing
//! ```
//!
//! Times are seconds from the start of the trace, all by one clock. Lines may stand in any order; a trace is
//! sorted when it has been read. Strict where a typing mistake would hide (an unknown or repeated key, a
//! heartbeat without `received`), liberal where nothing else can be meant: empty lines, `\r\n`, a byte-order
//! mark, the same heartbeat twice (a network may duplicate; its first arrival counts).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use lifesign_core::model::ServiceId;
use lifesign_core::time::Mono;
use serde::Deserialize;

use crate::json::cut;

/// Heartbeats of one trace. Each takes 16 bytes of memory when it has been read, so a full trace takes 320 MB, and
/// for a moment up to twice that. A longer one is refused; play it in parts.
pub const MAX_BEATS: usize = 20_000_000;
/// Services of one trace.
pub const MAX_SERVICES: usize = 100_000;
/// Crashes, recoveries and outages of one trace, together.
pub const MAX_EVENTS: usize = 1_000_000;
/// Bytes of one line: much more than the longest id and three numbers need. A longer one is refused before it
/// is read to its end, so that a file that is no trace does not fill the memory.
pub const MAX_LINE: usize = 4096;
/// The latest time, in seconds: 317 years, far enough for a trace whose times count from 1970.
pub const MAX_SECONDS: f64 = 1e10;

/// A trace that has been read: complete, sorted, and free of contradictions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// The services, in the order in which the trace first names them.
    pub services: Vec<ServiceTrace>,
    /// When the network carried nothing: sorted, none touching another.
    pub outages: Vec<Outage>,
}

/// What a trace says about one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTrace {
    /// Its id.
    pub id: ServiceId,
    /// The line that first names it, for errors about it.
    pub line: u64,
    /// Its heartbeats, by the time they were sent; no two at the same time.
    pub beats: Vec<TraceBeat>,
    /// When it was dead: sorted, none touching another.
    pub crashes: Vec<Crash>,
    /// Heartbeats that were left out because they were sent while it was dead.
    pub ignored: u64,
}

/// One heartbeat of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceBeat {
    /// When it was sent.
    pub sent: Mono,
    /// [`Mono::NEVER`]: it was lost.
    arrival: Mono,
}

impl TraceBeat {
    /// When it arrived; `None`: it was lost.
    pub fn received(&self) -> Option<Mono> {
        (self.arrival != Mono::NEVER).then_some(self.arrival)
    }
}

/// One stretch in which a service was dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// When it died.
    pub at: Mono,
    /// When it came back; `None`: not within the trace.
    pub until: Option<Mono>,
}

/// One stretch in which the network carried nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outage {
    /// Its begin.
    pub from: Mono,
    /// Its end.
    pub until: Mono,
}

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A line is wrong, or contradicts another one.
    #[error("line {line}: {reason}")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it, and what helps.
        reason: String,
    },
    /// There is no heartbeat in it.
    #[error(
        "the trace has no heartbeat; a line of one is {{\"service\":\"a\",\"sent\":12.0,\"received\":12.15}}"
    )]
    Empty,
    /// Its bytes could not be had.
    #[error("failed to read the trace")]
    Io(#[from] io::Error),
}

/// Reads a whole trace.
///
/// # Errors
/// At the first line that is wrong, when a limit of this module is reached, when lines contradict each other,
/// when there is no heartbeat, or when `source` fails.
pub fn read(mut source: impl BufRead) -> Result<Trace, TraceError> {
    let mut reader = Reader::default();
    let mut buffer = Vec::new();
    let mut line = 0;
    loop {
        line += 1;
        buffer.clear();
        if source.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut buffer)? == 0 {
            return reader.finish();
        }
        if buffer.len() > MAX_LINE && buffer.last() != Some(&b'\n') {
            let reason = format!("longer than {MAX_LINE} bytes; a trace has one JSON object on each line");
            return Err(TraceError::Line { line, reason });
        }
        let mut bytes = buffer.trim_ascii();
        if line == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
        }
        if !bytes.is_empty() {
            reader.line(line, bytes).map_err(|reason| TraceError::Line { line, reason })?;
        }
    }
}

/// A line as written. Which keys may stand together is told by [`Reader::line`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow, default)]
    service: Cow<'a, str>,
    #[serde(default, deserialize_with = "written")]
    sent: Option<f64>,
    #[serde(default, deserialize_with = "written")]
    received: Option<Option<f64>>,
    #[serde(default, deserialize_with = "written")]
    crash: Option<f64>,
    #[serde(default, deserialize_with = "written")]
    recover: Option<f64>,
    #[serde(default, deserialize_with = "written")]
    outage: Option<[f64; 2]>,
}

/// A key that stands there has a value: `null` is one only for `received`.
fn written<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(source: D) -> Result<Option<T>, D::Error> {
    T::deserialize(source).map(Some)
}

/// A change in a service's life, with the line that says so.
#[derive(Debug, Clone, Copy)]
struct Event {
    at: Mono,
    line: u64,
    dies: bool,
}

/// The lines read so far.
#[derive(Default)]
struct Reader {
    services: Vec<(ServiceTrace, Vec<Event>)>,
    index: HashMap<String, usize>,
    outages: Vec<Outage>,
    beats: usize,
    events: usize,
}

impl Reader {
    fn line(&mut self, number: u64, bytes: &[u8]) -> Result<(), String> {
        // The parser would take an array of the values too.
        if bytes.first() != Some(&b'{') {
            return Err(format!("no JSON object: {}", cut(&String::from_utf8_lossy(bytes))));
        }
        let line: Line<'_> = serde_json::from_slice(bytes).map_err(|error| explain(bytes, &error))?;
        match line {
            Line { sent: None, received: None, crash: None, recover: None, outage: Some([from, until]), service }
                if service.is_empty() =>
            {
                let outage = Outage { from: time("outage", from)?, until: time("outage", until)? };
                if until < from {
                    return Err(format!("the outage ends at {until} s, before it begins at {from} s"));
                }
                self.count_event()?;
                self.outages.push(outage);
                Ok(())
            }
            Line { outage: Some(_), .. } => {
                Err("an outage is the network's, so nothing else stands in its line: {\"outage\":[100.0,160.0]}"
                    .to_owned())
            }
            Line { service, .. } if service.is_empty() => {
                Err("no `service` is named; only an outage is about all of them".to_owned())
            }
            Line { service, sent: Some(sent), received, crash: None, recover: None, .. } => {
                let Some(received) = received else {
                    return Err("a heartbeat without `received`; write null where it was lost".to_owned());
                };
                let beat = TraceBeat {
                    sent: time("sent", sent)?,
                    arrival: received.map_or(Ok(Mono::NEVER), |at| time("received", at))?,
                };
                if let Some(received) = received.filter(|_| beat.arrival < beat.sent) {
                    return Err(format!(
                        "received at {received} s, before it was sent at {sent} s; both times must be of one clock"
                    ));
                }
                if self.beats >= MAX_BEATS {
                    return Err(format!("more than {MAX_BEATS} heartbeats in one trace; play it in parts"));
                }
                self.beats += 1;
                self.service(&service, number)?.0.beats.push(beat);
                Ok(())
            }
            Line { service, sent: None, received: None, crash, recover, .. } if crash.is_some() != recover.is_some() => {
                let (key, dies) = if crash.is_some() { ("crash", true) } else { ("recover", false) };
                let at = time(key, crash.or(recover).unwrap_or_default())?;
                self.count_event()?;
                self.service(&service, number)?.1.push(Event { at, line: number, dies });
                Ok(())
            }
            Line { sent: None, received: Some(_), .. } => Err("`received` without `sent`".to_owned()),
            Line { sent: None, crash: None, recover: None, .. } => {
                Err("nothing is said about the service; expected `sent` and `received`, `crash` or `recover`".to_owned())
            }
            Line { .. } => {
                Err("several things in one line; write `sent` with `received`, `crash` and `recover` on lines of their own"
                    .to_owned())
            }
        }
    }

    fn count_event(&mut self) -> Result<(), String> {
        self.events += 1;
        if self.events > MAX_EVENTS {
            return Err(format!("more than {MAX_EVENTS} crashes, recoveries and outages in one trace"));
        }
        Ok(())
    }

    fn service(&mut self, id: &str, line: u64) -> Result<&mut (ServiceTrace, Vec<Event>), String> {
        let next = self.services.len();
        let index = match self.index.get(id) {
            Some(index) => *index,
            None => {
                let known =
                    ServiceId::new(id).map_err(|error| format!("`service` {:?}: {error}", cut(id)))?;
                if next >= MAX_SERVICES {
                    return Err(format!("more than {MAX_SERVICES} services in one trace"));
                }
                self.index.insert(id.to_owned(), next);
                let service =
                    ServiceTrace { id: known, line, beats: Vec::new(), crashes: Vec::new(), ignored: 0 };
                self.services.push((service, Vec::new()));
                next
            }
        };
        self.services.get_mut(index).ok_or_else(|| "no such service".to_owned())
    }

    fn finish(mut self) -> Result<Trace, TraceError> {
        if self.beats == 0 {
            return Err(TraceError::Empty);
        }
        self.outages.sort_unstable();
        let mut outages: Vec<Outage> = Vec::with_capacity(self.outages.len());
        for next in self.outages {
            match outages.last_mut().filter(|last| next.from <= last.until) {
                Some(last) => last.until = last.until.max(next.until),
                None => outages.push(next),
            }
        }
        let services = self.services.into_iter().map(|(service, events)| live(service, events));
        Ok(Trace { services: services.collect::<Result<_, _>>()?, outages })
    }
}

/// Sorts a service's heartbeats and puts its crashes and recoveries together.
fn live(mut service: ServiceTrace, mut events: Vec<Event>) -> Result<ServiceTrace, TraceError> {
    let id = service.id.clone();
    let wrong = |line, reason| Err(TraceError::Line { line, reason });
    events.sort_by_key(|event| (event.at, event.dies));
    for event in events {
        let seconds = event.at.as_nanos() as f64 / 1e9;
        let open = service.crashes.last_mut().filter(|last| last.until.is_none());
        match (event.dies, open) {
            (true, None) => service.crashes.push(Crash { at: event.at, until: None }),
            (false, Some(crash)) if crash.at < event.at => crash.until = Some(event.at),
            (true, Some(_)) => {
                let reason =
                    format!("{id} crashes at {seconds} s and is dead already; is a `recover` missing?");
                return wrong(event.line, reason);
            }
            (false, _) => {
                let reason = format!("{id} recovers at {seconds} s without a `crash` before that");
                return wrong(event.line, reason);
            }
        }
    }
    // By the time sent, then by the time received: of two copies the first to arrive is kept.
    service.beats.sort_unstable();
    service.beats.dedup_by_key(|beat| beat.sent);
    let all = service.beats.len();
    let mut crashes = service.crashes.iter().peekable();
    service.beats.retain(|beat| {
        while crashes.next_if(|crash| crash.until.is_some_and(|until| until <= beat.sent)).is_some() {}
        crashes.peek().is_none_or(|crash| beat.sent < crash.at)
    });
    service.ignored = (all - service.beats.len()) as u64;
    Ok(service)
}

fn time(key: &str, seconds: f64) -> Result<Mono, String> {
    if seconds < 0.0 {
        return Err(format!("`{key}` is {seconds} s; times count from the start of the trace"));
    }
    if seconds > MAX_SECONDS {
        let hint = if seconds / 1000.0 <= MAX_SECONDS { "; are these milliseconds?" } else { "" };
        return Err(format!("`{key}` is {seconds} s, later than {MAX_SECONDS} s{hint}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1e19")]
    Ok(Mono::from_nanos((seconds * 1e9).round() as u64))
}

/// The parser's words in ours.
fn explain(bytes: &[u8], error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    // A key or a text of the file stands in it, as long as a line may be.
    let message: String = message.chars().take(200).collect();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return format!("unknown key {rest}");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return format!("the key {rest} stands there twice");
    }
    if message.starts_with("invalid type") || message.starts_with("invalid length") {
        return message.replace("expected f64", "expected a number of seconds");
    }
    let text = String::from_utf8_lossy(bytes);
    format!("not JSON: {message} (column {}): {}", error.column(), cut(&text))
}
