//! One heartbeat of a batch, read in place.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus, Exit, Run, RunPhase};
use lifesign_core::model::{MAX_ID, ServiceId};
use lifesign_core::time::Wall;

use super::{field, run_field};
use crate::heartbeat::{INTERVALS, SECONDS, wrong_name};
use crate::json::cut;
use crate::limits::Limits;
use crate::run::{CODES, LONGEST, SIGNALS, last, wrong_id};
use crate::{Fault, ItemError};

/// A heartbeat that borrows its texts from the body. All of it is checked.
#[derive(Debug, Clone)]
pub struct BeatRef<'a> {
    /// Whose heart beats; the one thing that is made anew.
    pub service: ServiceId,
    /// What it says.
    pub status: BeatStatus,
    /// The sender's own time.
    pub sent_at: Option<Wall>,
    /// How long until the sender's next one.
    pub interval: Option<Duration>,
    /// How far its sender has come.
    pub progress: Option<u64>,
    /// Whether its sender hears our answers.
    pub hears: Option<bool>,
    /// Free text.
    pub message: Option<&'a str>,
    /// Metrics by name.
    pub metrics: MetricsRef<'a>,
    /// What it says of a run of a job.
    pub run: Option<RunRef<'a>>,
}

/// The metrics of a heartbeat, in the body.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsRef<'a> {
    bytes: &'a [u8],
    many: usize,
}

/// What a heartbeat says of a run, in the body.
#[derive(Debug, Clone)]
pub struct RunRef<'a> {
    /// Which moment this is.
    pub phase: RunPhase,
    /// Tells runs apart that overlap.
    pub id: Option<&'a str>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// How long it took.
    pub took: Option<Duration>,
    /// The last it wrote.
    pub output: Option<&'a str>,
}

/// What is wrong with a heartbeat.
pub(super) struct Wrong {
    service: Option<String>,
    key: &'static str,
    detail: Cow<'static, str>,
}

impl Wrong {
    /// As the fault of the heartbeat at `index` of its batch.
    pub(super) fn at(self, index: usize) -> ItemError {
        let pointer =
            if self.key.is_empty() { format!("/{index}") } else { format!("/{index}/{}", self.key) };
        let detail = self.detail.into_owned();
        ItemError { service_id: self.service, faults: vec![Fault { pointer, detail }] }
    }
}

/// What is wrong with one field, under its name in JSON.
fn wrong<T>(key: &'static str, detail: impl Into<Cow<'static, str>>) -> Result<T, Wrong> {
    Err(Wrong { service: None, key, detail: detail.into() })
}

/// What is left to read of a heartbeat.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let Some((chunk, rest)) = self.0.split_first_chunk() else { return wrong("", "it ends too early") };
        self.0 = rest;
        Ok(*chunk)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        self.chunk().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, Wrong> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn text(&mut self, key: &'static str, length: usize) -> Result<&'a str, Wrong> {
        let Some((text, rest)) = self.0.split_at_checked(length) else {
            return wrong("", "it ends too early");
        };
        self.0 = rest;
        std::str::from_utf8(text).or_else(|_| wrong(key, "is not UTF-8"))
    }

    /// A text of at most 255 bytes.
    fn short(&mut self, key: &'static str) -> Result<&'a str, Wrong> {
        let length = self.byte()?;
        self.text(key, usize::from(length))
    }

    fn long(&mut self, key: &'static str) -> Result<&'a str, Wrong> {
        let length = self.chunk().map(u16::from_le_bytes)?;
        self.text(key, usize::from(length))
    }
}

/// Reads one heartbeat.
pub(super) fn beat<'a>(bytes: &'a [u8], limits: &Limits) -> Result<BeatRef<'a>, Wrong> {
    let mut rest = Rest(bytes);
    let [status, fields] = rest.chunk()?;
    let service = rest.short("service_id")?;
    checked(service, status, fields, rest, limits).map_err(|wrong| {
        let named = if service.len() > MAX_ID { cut(service) } else { service.to_owned() };
        Wrong { service: Some(named), ..wrong }
    })
}

fn checked<'a>(
    service: &'a str,
    status: u8,
    fields: u8,
    mut rest: Rest<'a>,
    limits: &Limits,
) -> Result<BeatRef<'a>, Wrong> {
    let id = ServiceId::new(service).or_else(|error| wrong("service_id", error.to_string()))?;
    let status = match status {
        0 => BeatStatus::Alive,
        1 => BeatStatus::Stopping,
        2 => BeatStatus::Fail,
        other => return wrong("status", format!("expected 0, 1 or 2, found {other}")),
    };
    let mut beat = BeatRef {
        service: id,
        status,
        sent_at: None,
        interval: None,
        progress: None,
        hears: None,
        message: None,
        metrics: MetricsRef::default(),
        run: None,
    };
    read_fields(&mut beat, fields, &mut rest, limits)?;
    if rest.0.is_empty() {
        Ok(beat)
    } else {
        wrong("", format!("{} bytes stand behind its fields", rest.0.len()))
    }
}

fn read_fields<'a>(
    beat: &mut BeatRef<'a>,
    fields: u8,
    rest: &mut Rest<'a>,
    limits: &Limits,
) -> Result<(), Wrong> {
    let has = |bit| fields & bit != 0;
    if has(field::SENT_AT) {
        let millis = i64::from_le_bytes(rest.chunk()?);
        #[expect(
            clippy::cast_precision_loss,
            reason = "beside the bounds a millisecond more or less is nothing"
        )]
        if !SECONDS.contains(&(millis as f64 / 1000.0)) {
            return wrong("timestamp", format!("{millis} milliseconds are beyond the year 9999"));
        }
        beat.sent_at = Some(Wall::from_millis(millis));
    }
    if has(field::INTERVAL) {
        let interval = Duration::from_millis(rest.number()?);
        if !INTERVALS.contains(&interval.as_secs_f64()) {
            return wrong("interval", "the next heartbeat is announced in a millisecond to a year");
        }
        beat.interval = Some(interval);
    }
    if has(field::PROGRESS) {
        beat.progress = Some(rest.number()?);
    }
    if has(field::HEARS_TOLD) {
        beat.hears = Some(has(field::HEARS));
    } else if has(field::HEARS) {
        return wrong("hears", "the bit 16 means nothing without the bit 8");
    }
    if has(field::MESSAGE) {
        let message = rest.long("message")?;
        if message.len() > limits.message_bytes {
            let (many, limit) = (message.len(), limits.message_bytes);
            return wrong("message", format!("{many} bytes of message, at most {limit}"));
        }
        beat.message = Some(message);
    }
    if has(field::METRICS) {
        beat.metrics = metrics(rest, limits)?;
    }
    if has(field::RUN) {
        beat.run = Some(run(rest)?);
    }
    Ok(())
}

fn metrics<'a>(rest: &mut Rest<'a>, limits: &Limits) -> Result<MetricsRef<'a>, Wrong> {
    let many = usize::from(rest.byte()?);
    if many > limits.metrics {
        return wrong("metrics", format!("{many} metrics in one heartbeat, at most {}", limits.metrics));
    }
    let begin = rest.0;
    let read = |end: usize, many| MetricsRef { bytes: begin.get(..end).unwrap_or_default(), many };
    for index in 0..many {
        let so_far = read(begin.len() - rest.0.len(), index);
        let name = rest.short("metrics")?;
        if let Some(detail) = wrong_name(name, limits.metric_name_bytes) {
            return wrong("metrics", detail);
        }
        if so_far.iter().any(|(other, _)| other == name) {
            return wrong("metrics", format!("the metric {name:?} stands there twice"));
        }
        if !f64::from_le_bytes(rest.chunk()?).is_finite() {
            return wrong("metrics", format!("the value of {name:?} is not finite"));
        }
    }
    Ok(read(begin.len() - rest.0.len(), many))
}

fn run<'a>(rest: &mut Rest<'a>) -> Result<RunRef<'a>, Wrong> {
    let [phase, fields] = rest.chunk()?;
    let phase = match phase {
        0 => RunPhase::Started,
        1 => RunPhase::Ended,
        2 => RunPhase::Noted,
        other => return wrong("run", format!("expected 0, 1 or 2, found {other}")),
    };
    if fields & !(run_field::EXIT | run_field::ID | run_field::DURATION | run_field::OUTPUT) != 0 {
        return wrong("run", format!("it has fields that there are not: {fields:#010b}"));
    }
    let exit = match fields & run_field::EXIT {
        0 => None,
        _ if phase != RunPhase::Ended => return wrong("run", "only a run that has ended has an exit"),
        1 => Some(match i64::from_le_bytes(rest.chunk()?) {
            0 => Exit::Clean,
            code if CODES.contains(&code) => Exit::Code(code),
            code => {
                return wrong(
                    "exit_code",
                    format!("{code} is not from {} to {}", CODES.start(), CODES.end()),
                );
            }
        }),
        2 => Some(match i64::from(rest.byte()?) {
            #[expect(clippy::cast_possible_truncation, reason = "it is a byte")]
            signal if SIGNALS.contains(&signal) => Exit::Signal(signal as i32),
            signal => return wrong("signal", format!("{signal} is no signal, 1 to 128")),
        }),
        _ => Some(Exit::StartFailed(last(rest.long("start_error")?).to_owned())),
    };
    let id = if fields & run_field::ID != 0 {
        let id = rest.short("run_id")?;
        if let Some(detail) = wrong_id(id) {
            return wrong("run_id", detail);
        }
        Some(id)
    } else {
        None
    };
    let took = if fields & run_field::DURATION != 0 {
        let took = Duration::from_millis(rest.number()?);
        if took.as_secs_f64() > LONGEST {
            return wrong("duration", format!("expected 0 to {LONGEST} seconds, found {}", took.as_secs()));
        }
        Some(took)
    } else {
        None
    };
    let output = if fields & run_field::OUTPUT != 0 { Some(last(rest.long("output")?)) } else { None };
    Ok(RunRef { phase, id, exit, took, output })
}

impl<'a> MetricsRef<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.many
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.many == 0
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, f64)> + use<'a> {
        let mut rest = Rest(self.bytes);
        // They were checked when the heartbeat was read.
        (0..self.many).map_while(move |_| {
            let name = rest.short("").ok()?;
            Some((name, f64::from_le_bytes(rest.chunk().ok()?)))
        })
    }
}

impl BeatRef<'_> {
    /// What the engine takes. Nearly always it has the metrics of the one `before`, and their names need no memory of
    /// their own then.
    pub fn into_beat(self, before: Option<&Beat>) -> Beat {
        let known = before.map_or(&[][..], |before| &before.metrics);
        Beat {
            service: self.service,
            status: self.status,
            sent_at: self.sent_at,
            metrics: self
                .metrics
                .iter()
                .enumerate()
                .map(|(at, (name, value))| (shared(name, known.get(at)), value))
                .collect(),
            message: self.message.map(str::to_owned),
            interval: self.interval,
            hears: self.hears,
            progress: self.progress,
            run: self.run.map(|run| {
                Box::new(Run {
                    phase: run.phase,
                    id: run.id.map(Arc::from),
                    exit: run.exit,
                    took: run.took,
                    output: run.output.map(str::to_owned),
                })
            }),
            age: Duration::ZERO,
        }
    }
}

/// `name`, as the same text where `known` is the metric of that name.
fn shared(name: &str, known: Option<&(Arc<str>, f64)>) -> Arc<str> {
    known
        .filter(|(known, _)| known.as_ref() == name)
        .map_or_else(|| name.into(), |(known, _)| Arc::clone(known))
}
