//! What a heartbeat costs, beside the least that any table of services could do: one hash look-up and one
//! write. Ratios count; the nanoseconds are this machine's.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark looks at the clock and prints its table; the engine does neither"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::engine::Engine;
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::spec::{HeartbeatSpec, ServiceSpec, Spec, Terms};
use lifesign_core::time::{Mono, Now, Wall};

const ROUNDS: usize = 5;
const BEATS: usize = 500_000;

fn main() {
    println!(
        "{:>9}  {:>12}  {:>12}  {:>6}  {:>14}",
        "services", "bare table", "engine", "ratio", "all fall silent"
    );
    for services in [1_000, 10_000, 100_000] {
        let ids: Vec<ServiceId> =
            (0..services).filter_map(|n| ServiceId::new(&format!("service-{n}")).ok()).collect();
        // Beats arrive in no order that a cache would like.
        let order: Vec<usize> = (0..BEATS).map(|n| n.wrapping_mul(2_654_435_761) % services).collect();
        let (mut bare, mut engine) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(bare_table(&ids, &order));
            engine.push(engine_beats(&ids, &order));
        }
        let (bare, engine) = (median(bare), median(engine));
        let silent = everything_falls_silent(&ids);
        println!(
            "{services:>9}  {:>9.1} ns  {:>9.1} ns  {:>6.2}  {:>11.1} ms",
            bare,
            engine,
            engine / bare,
            silent.as_secs_f64() * 1e3
        );
    }
    println!(
        "per heartbeat, medians of {ROUNDS} rounds of {BEATS} beats; without parsing, network and store"
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A name look-up and a write of the time, with a fresh name as a parser would make it.
fn bare_table(ids: &[ServiceId], order: &[usize]) -> f64 {
    let mut table: HashMap<ServiceId, u64> = ids.iter().map(|id| (id.clone(), 0)).collect();
    let begin = Instant::now();
    for (now, at) in order.iter().enumerate() {
        let id = black_box(ids[*at].clone());
        if let Some(last) = table.get_mut(&id) {
            *last = now as u64;
        }
    }
    let spent = begin.elapsed();
    black_box(&table);
    spent.as_nanos() as f64 / order.len() as f64
}

fn engine_beats(ids: &[ServiceId], order: &[usize]) -> f64 {
    let (mut engine, mut effects) = watching(ids);
    let begin = Instant::now();
    for (n, at) in order.iter().enumerate() {
        let id = black_box(ids[*at].clone());
        engine.step(at_millis(2 + n as u64 / 1000), Input::Beat(beat(id)), &mut effects);
    }
    let spent = begin.elapsed();
    assert!(effects.is_empty(), "a heartbeat that changes nothing asks for nothing");
    spent.as_nanos() as f64 / order.len() as f64
}

/// Every service is overdue in the same moment: the time until all incidents are opened.
fn everything_falls_silent(ids: &[ServiceId]) -> Duration {
    let (mut engine, mut effects) = watching(ids);
    let mut millis = 1;
    let mut worst = Duration::ZERO;
    while engine.counts().down as usize != ids.len() {
        millis += 400;
        let begin = Instant::now();
        engine.step(at_millis(millis), Input::Tick, &mut effects);
        worst = worst.max(begin.elapsed());
        effects.clear();
    }
    worst
}

fn watching(ids: &[ServiceId]) -> (Engine, Vec<lifesign_core::effect::Effect>) {
    let services = ids.iter().map(|id| service(id.clone())).collect();
    let mut engine = Engine::new();
    let mut effects = Vec::new();
    let spec = Spec { services, ..Spec::default() };
    engine.step(at_millis(1), Input::Configure(Arc::new(spec)), &mut effects);
    for id in ids {
        engine.step(at_millis(1), Input::Beat(beat(id.clone())), &mut effects);
    }
    effects.clear();
    (engine, effects)
}

fn service(id: ServiceId) -> ServiceSpec {
    ServiceSpec::new(
        id,
        Terms {
            heartbeat: Some(HeartbeatSpec {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(15),
                retries: 2,
                ..HeartbeatSpec::never()
            }),
            start_grace: Duration::from_secs(30),
            ..Terms::on("bench".into())
        },
    )
}

fn beat(service: ServiceId) -> Beat {
    Beat::alive(service)
}

fn at_millis(millis: u64) -> Now {
    Now { mono: Mono::from_millis(millis), wall: Wall::from_millis(millis as i64) }
}
