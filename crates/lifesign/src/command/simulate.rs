//! `lifesign simulate`: a configuration tried against a trace of heartbeats. How fast would it have noticed
//! each crash, how often would it have been wrong, and how much would it have asked?
//!
//! Files come in and figures go out; the playing itself is [`play`]'s.

mod play;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Mode, Profile};
use lifesign_lang::Lang;
use lifesign_proto::trace::{self, ServiceTrace, Trace, TraceError};
use serde::Serialize;
use serde_json::json;

use self::play::Outcome;
use crate::cli::Simulation;
use crate::failure::Failure;
use crate::print::{self, Colour};
use crate::up::kinds::Configuration;

const DAY: f64 = 86_400.0;

/// One service as it is told, in JSON word for word.
#[derive(Debug, Serialize)]
struct Told {
    id: String,
    detector: &'static str,
    profile: Option<&'static str>,
    confirm: bool,
    interval_s: f64,
    beats: u64,
    lost: u64,
    ignored: u64,
    days: f64,
    detection: Detection,
    worst_phase: Times,
    mistakes: Mistakes,
    query_accuracy: Option<f64>,
    questions_per_day: Option<f64>,
}

/// From a crash to `down`.
#[derive(Debug, Serialize)]
struct Detection {
    /// Crashes in the trace.
    crashes: u64,
    /// Those that were over, or out of the trace, before they were noticed.
    missed: u64,
    #[serde(flatten)]
    times: Times,
}

/// Seconds; `None` where there was nothing to measure.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Times {
    mean_s: Option<f64>,
    p99_s: Option<f64>,
    max_s: Option<f64>,
}

/// `down` while the service was alive.
#[derive(Debug, Serialize)]
struct Mistakes {
    count: u64,
    per_day: Option<f64>,
    during_outage_per_day: Option<f64>,
    avoidable_per_day: Option<f64>,
    mean_duration_s: Option<f64>,
}

pub(super) fn run(what: &Simulation, lang: Lang, json: bool) -> Result<(), Failure> {
    let loaded = super::load_configuration(&what.file.config, what.file.env.as_deref())?;
    let trace = read(&what.trace)?;
    let name = name_of(&what.trace);
    let specs = trace
        .services
        .iter()
        .map(|service| {
            expected(&loaded.config, service)
                .map_err(|reason| Failure::Configuration(format!("error: {name}:{}: {reason}", service.line)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let Trace { services, outages } = trace;
    let mut told = Vec::with_capacity(services.len());
    for (service, spec) in services.into_iter().zip(&specs) {
        warn(&service, spec, lang);
        let outcome = play::play(&service, &outages, spec, what.seed);
        told.push(figures(&service, spec, outcome));
    }
    if json {
        print::json(&json!({ "services": told, "seed": what.seed }));
    } else {
        tables(&told, what.seed, lang);
    }
    Ok(())
}

/// Reads the trace; `-` is standard input.
fn read(path: &Path) -> Result<Trace, Failure> {
    let name = name_of(path);
    let trace = if path == Path::new("-") {
        trace::read(io::stdin().lock())
    } else {
        File::open(path).map_err(TraceError::Io).and_then(|file| trace::read(BufReader::new(file)))
    };
    trace.map_err(|error| {
        Failure::Configuration(match error {
            TraceError::Line { line, reason } => format!("error: {name}:{line}: {reason}"),
            TraceError::Io(error) => format!("error: cannot read the trace {name}: {error}"),
            TraceError::Empty => format!("error: {name}: {error}"),
        })
    })
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// What the configuration expects of a service of the trace.
fn expected(config: &Configuration, trace: &ServiceTrace) -> Result<HeartbeatSpec, String> {
    let id = &trace.id;
    let service = config
        .services
        .iter()
        .find(|service| service.id() == id)
        .ok_or_else(|| format!("the configuration has no service `{id}`"))?;
    let heartbeat = service.keys.heartbeat.as_ref().ok_or_else(|| {
        format!("`{id}` expects no heartbeats in the configuration; give it `heartbeat: {{ interval: 10s }}`")
    })?;
    Ok(heartbeat.spec(&config.defaults))
}

/// Says on standard error what makes the figures of a service doubtful.
fn warn(service: &ServiceTrace, spec: &HeartbeatSpec, lang: Lang) {
    let id = || service.id.to_string().into();
    if service.ignored > 0 {
        let args = [("count", service.ignored.into()), ("id", id())];
        print::hint(lang.text("cli-simulate-ignored", &args));
    }
    let Some(sent) = usual_gap(service) else { return };
    let ratio = sent.as_secs_f64() / spec.interval.as_secs_f64();
    if spec.mode != Mode::Backoff && !(0.8..=1.25).contains(&ratio) {
        let span = |span| lang.duration(span).into();
        let args = [("id", id()), ("sent", span(sent)), ("expected", span(spec.interval))];
        print::hint(lang.text("cli-simulate-other-interval", &args));
    }
}

/// The median gap between heartbeats sent, from the first ten thousand.
fn usual_gap(service: &ServiceTrace) -> Option<Duration> {
    let beats = service.beats.get(..service.beats.len().min(10_000))?;
    let mut gaps: Vec<Duration> =
        beats.windows(2).filter_map(|pair| Some(pair.get(1)?.sent.since(pair.first()?.sent))).collect();
    let middle = gaps.len() / 2;
    (!gaps.is_empty()).then(|| *gaps.select_nth_unstable(middle).1)
}

fn figures(service: &ServiceTrace, spec: &HeartbeatSpec, outcome: Outcome) -> Told {
    let (detector, profile) = detector_of(spec);
    let days = outcome.length.as_secs_f64() / DAY;
    let per_day = |count: u64| (days > 0.0).then(|| tidy(count as f64 / days));
    let count = outcome.in_outages + outcome.avoidable;
    let mistaken = outcome.mistaken.as_secs_f64();
    let alive = outcome.length.saturating_sub(outcome.dead).as_secs_f64();
    Told {
        id: service.id.to_string(),
        detector,
        profile,
        confirm: spec.confirm,
        interval_s: spec.interval.as_secs_f64(),
        beats: service.beats.len() as u64,
        lost: service.beats.iter().filter(|beat| beat.received().is_none()).count() as u64,
        ignored: service.ignored,
        days: tidy(days),
        detection: Detection {
            crashes: service.crashes.len() as u64,
            missed: outcome.missed,
            times: Times::of(outcome.detected),
        },
        worst_phase: Times::of(outcome.worst_phase),
        mistakes: Mistakes {
            count,
            per_day: per_day(count),
            during_outage_per_day: per_day(outcome.in_outages),
            avoidable_per_day: per_day(outcome.avoidable),
            mean_duration_s: (count > 0).then(|| tidy(mistaken / count as f64)),
        },
        query_accuracy: (alive > 0.0).then(|| ((1.0 - mistaken / alive).max(0.0) * 1e9).round() / 1e9),
        questions_per_day: per_day(outcome.questions),
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        let Some(last) = times.len().checked_sub(1) else { return Self::default() };
        times.sort_unstable();
        let seconds = |time: &Duration| tidy(time.as_secs_f64());
        let sum: f64 = times.iter().map(Duration::as_secs_f64).sum();
        Self {
            mean_s: Some(tidy(sum / times.len() as f64)),
            // The nearest rank: the smallest that 99 of 100 do not exceed.
            p99_s: times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).map(seconds),
            max_s: times.get(last).map(seconds),
        }
    }
}

/// Microseconds are more than anybody measures; what a `f64` adds behind them is noise.
fn tidy(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

fn detector_of(spec: &HeartbeatSpec) -> (&'static str, Option<&'static str>) {
    match spec.detector {
        DetectorSpec::Fixed => ("fixed", None),
        DetectorSpec::Chen { .. } => ("chen", None),
        DetectorSpec::Accrual { .. } => ("phi", None),
        DetectorSpec::Adaptive(Profile::Fast) => ("adaptive", Some("fast")),
        DetectorSpec::Adaptive(Profile::Default) => ("adaptive", Some("default")),
        DetectorSpec::Adaptive(Profile::Strict) => ("adaptive", Some("strict")),
    }
}

/// A table each for what was played, for detection and for mistakes.
fn tables(told: &[Told], seed: u64, lang: Lang) {
    let section = |title: &str, columns: &[&str], rows: Vec<Vec<String>>| {
        print::line(print::coloured(&lang.word(&format!("cli-simulate-{title}")), Colour::Bold));
        let head: Vec<String> =
            columns.iter().map(|column| lang.word(&format!("cli-column-{column}"))).collect();
        print::table(&head, &rows);
    };
    let rows = told
        .iter()
        .map(|one| {
            vec![
                one.id.clone(),
                detector_words(one, lang),
                lang.duration(Duration::from_secs_f64(one.interval_s)),
                one.beats.to_string(),
                share(one.lost, one.beats),
                format!("{:.2}", one.days),
            ]
        })
        .collect();
    section("trace", &["id", "detector", "interval", "heartbeats", "lost", "days"], rows);

    print::line("");
    let rows = told
        .iter()
        .flat_map(|one| {
            let crashes = one.detection.crashes;
            let case = lang.text("cli-simulate-crashes", &[("count", crashes.into())]);
            let missed = match one.detection.missed {
                0 if crashes == 0 => "-".to_owned(),
                0 => "0".to_owned(),
                missed => print::coloured(&missed.to_string(), Colour::Red),
            };
            let worst = lang.word("cli-simulate-worst-phase");
            [(worst, one.worst_phase, "-".to_owned()), (case, one.detection.times, missed)].map(
                |(case, times, missed)| {
                    let mut row = vec![one.id.clone(), case];
                    row.extend([times.mean_s, times.p99_s, times.max_s].map(|time| seconds(time, lang)));
                    row.push(missed);
                    row
                },
            )
        })
        .collect();
    section("detection", &["id", "crash", "mean", "p99", "most", "missed"], rows);

    print::line("");
    let rows = told
        .iter()
        .map(|one| {
            let mistakes = &one.mistakes;
            vec![
                one.id.clone(),
                mistakes.count.to_string(),
                rate(mistakes.during_outage_per_day),
                rate(mistakes.avoidable_per_day),
                seconds(mistakes.mean_duration_s, lang),
                one.query_accuracy.map_or_else(|| "-".to_owned(), |share| format!("{:.4} %", share * 100.0)),
                rate(one.questions_per_day),
            ]
        })
        .collect();
    let columns = ["id", "mistakes", "in-outages", "avoidable", "lasting", "accuracy", "questions"];
    section("mistakes", &columns, rows);

    if told.iter().any(|one| one.confirm) {
        print::line("");
        let text = lang.text("cli-simulate-seed", &[("seed", seed.to_string().into())]);
        print::line(print::coloured(&text, Colour::Dim));
    }
}

fn detector_words(one: &Told, lang: Lang) -> String {
    let detector = match one.profile {
        None | Some("default") => lang.word(&format!("cli-simulate-{}", one.detector)),
        Some(profile) => lang.word(&format!("cli-simulate-{}-{profile}", one.detector)),
    };
    if one.confirm { lang.text("cli-simulate-asks", &[("detector", detector.into())]) } else { detector }
}

fn seconds(time: Option<f64>, lang: Lang) -> String {
    let Some(time) = time else { return "-".to_owned() };
    // Three digits tell people enough, and hundredths of a second below ten.
    let digits = if time < 9.995 { 2 } else { 1 };
    lang.text("cli-simulate-seconds", &[("seconds", format!("{time:.digits$}").into())])
}

fn rate(per_day: Option<f64>) -> String {
    match per_day {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 0.0995 => format!("{rate:.3}"),
        Some(rate) if rate < 99.5 => format!("{rate:.2}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

fn share(part: u64, of: u64) -> String {
    if of == 0 { "-".to_owned() } else { format!("{:.2} %", 100.0 * part as f64 / of as f64) }
}
