//! `lifesign simulate`: a configuration tried against a trace of heartbeats. How fast would it have noticed
//! each crash, how often would it have been wrong, and how much would it have asked?
//!
//! Here files come in; [`play`] plays a service, [`figures`] counts what came of it, [`tables`] tells it to people,
//! and [`suggest`] knows what else would be worth a try.

mod figures;
mod play;
mod suggest;
mod tables;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use lifesign_core::spec::{HeartbeatSpec, Mode};
use lifesign_lang::Lang;
use lifesign_proto::trace::{self, ServiceTrace, Trace, TraceError};
use serde_json::json;

use self::figures::Figures;
use self::play::Player;
use crate::cli::Simulation;
use crate::failure::Failure;
use crate::print;
use crate::up::kinds::Configuration;

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
        let mut player = Player::new(service, &outages, what.seed);
        let qos = player.play(spec);
        let mut figures = Figures::of(&player, spec, &qos);
        if what.suggest {
            figures.alternatives = suggest::play_all(&mut player, spec.interval);
        }
        told.push(figures);
    }
    if json {
        print::json(&json!({ "services": told, "seed": what.seed }));
    } else {
        tables::print(&told, what.seed, lang);
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
