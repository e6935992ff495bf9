//! The engine at scale, without network and store: what a service costs in memory, what a heartbeat costs when there
//! are many, how long a start takes, and how long the engine is busy when all of them fall silent at once.
//! `cargo xtask bench scale`. Ratios count; the nanoseconds are this machine's.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark looks at the clock and prints its table; the engine does neither"
)]

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::effect::Memory;
use lifesign_core::engine::{Engine, Past};
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::{ServiceId, State};
use lifesign_core::spec::{HeartbeatSpec, ServiceSpec, Spec, Terms};
use lifesign_core::time::{Mono, Now, Wall};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many services are watched; the first is what growth is measured by.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Services on one host.
const ON_A_HOST: usize = 100;
const INTERVAL: Duration = Duration::from_secs(5);
/// Heartbeats that are timed.
const BEATS: usize = 1_000_000;
/// Heartbeats come together by so many.
const BATCH: usize = 100;
/// Each size is measured so often; medians are printed.
const ROUNDS: usize = 3;

fn main() {
    println!(
        "|{:>9} |{:>15} |{:>12} |{:>9} |{:>8} |{:>15} |{:>12} |{:>10} |",
        "services",
        "bytes a service",
        "ns per beat",
        "growth",
        "start",
        "silence: busy",
        "worst step",
        "effects"
    );
    let mut first = None;
    let mut last = None;
    for services in SIZES {
        let rounds: Vec<Round> = (0..ROUNDS).map(|_| round(services)).collect();
        let beat = median(rounds.iter().map(|round| round.beat));
        let growth = beat / *first.get_or_insert(beat);
        let bytes = rounds.first().map_or(0.0, |round| round.bytes);
        let start = median(rounds.iter().map(|round| round.start.as_secs_f64() * 1e3));
        let busy = median(rounds.iter().map(|round| round.busy.as_secs_f64() * 1e3));
        let worst = median(rounds.iter().map(|round| round.worst.as_secs_f64() * 1e3));
        let effects = rounds.first().map_or(0, |round| round.effects);
        println!(
            "|{services:>9} |{bytes:>15.0} |{beat:>12.1} |{growth:>9.2} |{start:>5.0} ms |{busy:>12.0} ms |{worst:>9.1} ms |{effects:>10} |",
        );
        last = Some((growth, start, busy));
    }
    if let Some((growth, start, busy)) = last {
        println!(
            "{}  a heartbeat with 1 000 000 services costs {growth:.2} x one with 1 000 (at most 1.5)",
            verdict(growth <= 1.5)
        );
        println!(
            "{}  from memories to all deadlines armed: {start:.0} ms (at most 500)",
            verdict(start <= 500.0)
        );
        println!(
            "{}  all fall silent at once: engine busy for {busy:.0} ms (at most 100)",
            verdict(busy <= 100.0)
        );
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "PASS" } else { "MISS" }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What one run at one size showed.
struct Round {
    bytes: f64,
    beat: f64,
    start: Duration,
    busy: Duration,
    worst: Duration,
    effects: usize,
}

fn round(services: usize) -> Round {
    let ids: Vec<ServiceId> =
        (0..services).filter_map(|n| ServiceId::new(&format!("device-{n:07}")).ok()).collect();
    let before = allocated();
    let spec = Arc::new(Spec { services: watched(&ids), ..Spec::default() });
    let past = Past { memories: ids.iter().map(memory).collect(), next_incident: 1, ..Past::default() };
    let mut effects = Vec::new();
    let begun = Instant::now();
    let mut engine = Engine::new();
    engine.restore(at(1), past);
    engine.step(at(1), Input::Configure(Arc::clone(&spec)), &mut effects);
    let start = begun.elapsed();
    drop(spec);
    effects = Vec::new();
    // The names are counted apart: they stand in the heap once, and here `ids` holds them.
    let names = 32.0;
    let bytes = (allocated() - before) as f64 / services as f64 + names;

    let mut millis = 1;
    for id in &ids {
        engine.step(at(millis), Input::Beat(Beat::alive(id.clone())), &mut effects);
    }
    effects.clear();
    // Beats arrive in no order that a cache would like, on time.
    let order: Vec<usize> = (0..BEATS).map(|n| n.wrapping_mul(2_654_435_761) % services).collect();
    let mut spent = Duration::ZERO;
    for (n, places) in order.chunks(BATCH).enumerate() {
        // As a parser would make them: with names of their own.
        let beats = places.iter().filter_map(|place| ServiceId::new(ids[*place].as_str()).ok());
        let beats: Vec<Beat> = black_box(beats.map(Beat::alive).collect());
        let begun = Instant::now();
        black_box(engine.step_beats(at(millis + (n * BATCH) as u64 / 1000), beats, &mut effects));
        spent += begun.elapsed();
    }
    let beat = spent.as_nanos() as f64 / BEATS as f64;
    millis += BEATS as u64 / 1000;
    effects.clear();

    // One punctual round, and then nothing more: every service is overdue at once.
    for id in &ids {
        engine.step(at(millis), Input::Beat(Beat::alive(id.clone())), &mut effects);
    }
    effects.clear();
    let (mut busy, mut worst, mut many) = (Duration::ZERO, Duration::ZERO, 0);
    let quiet = |engine: &Engine| engine.counts().up == 0 && engine.counts().suspect == 0;
    while !quiet(&engine) {
        // The shell steps it when it wants to be.
        let next = engine.next_deadline().as_nanos().div_ceil(1_000_000);
        millis = next.max(millis + 1);
        let begun = Instant::now();
        engine.step(at(millis), Input::Tick, &mut effects);
        let spent = begun.elapsed();
        // An empty tick is idling, not work for the silence.
        if !effects.is_empty() {
            busy += spent;
        }
        worst = worst.max(spent);
        many += effects.len();
        effects.clear();
    }
    Round { bytes, beat, start, busy, worst, effects: many }
}

/// Those on one host are watched alike, as the configuration gives them.
fn watched(ids: &[ServiceId]) -> Vec<ServiceSpec> {
    let on_a_host = |(n, ids): (usize, &[ServiceId])| {
        let terms = Arc::new(Terms {
            heartbeat: Some(HeartbeatSpec {
                interval: INTERVAL,
                timeout: INTERVAL * 3,
                retries: 2,
                ..HeartbeatSpec::never()
            }),
            start_grace: Duration::from_secs(30),
            ..Terms::on(format!("host-{n}").into())
        });
        ids.iter().map(|id| ServiceSpec { id: id.clone(), terms: Arc::clone(&terms) }).collect::<Vec<_>>()
    };
    ids.chunks(ON_A_HOST).enumerate().flat_map(on_a_host).collect()
}

/// What the store remembers of a service that was well.
fn memory(id: &ServiceId) -> Memory {
    Memory {
        service: id.clone(),
        state: State::Up,
        reason: None,
        since: Wall::from_millis(0),
        last_heartbeat_at: Some(Wall::from_millis(0)),
        silence: Duration::ZERO,
        process: None,
        paused: false,
        incident: None,
        restarts: Vec::new(),
        restarting: false,
        job: None,
        created: false,
    }
}

fn at(millis: u64) -> Now {
    Now { mono: Mono::from_millis(millis), wall: Wall::from_millis(millis.cast_signed()) }
}

/// Bytes that are allocated now.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
