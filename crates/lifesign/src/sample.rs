//! Small real services to watch. The quickstart supervises them; break them and see what happens.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use axum::http::StatusCode;
use axum::{Json, Router, routing::get};
use lifesign_client::{Hearing, Heart, Mode, Status};
use lifesign_os::local::Place;
use lifesign_os::signal::{Signal, Signals};
use serde_json::{Value, json};

use crate::cli::{Global, Sample};

/// Runs a sample service until it is told to stop.
pub(crate) fn run(sample: &Sample, global: &Global) -> anyhow::Result<()> {
    match sample {
        Sample::Web { port, down } => web(*port, down),
        // Under an agent of its own there is no server on this host, and the agent's local ways are.
        Sample::Worker { id, interval, .. }
            if global.token.is_none() && std::env::var_os(Place::VARIABLE).is_some() =>
        {
            local_worker(id, *interval)
        }
        Sample::Worker { id, interval, mode, hang_while, exit } => {
            let heart = heart(global, id, *mode, *interval)?;
            worker(heart, hang_while.as_deref(), exit.as_deref())
        }
        Sample::Batch { id, every } => batch(global, id, *every),
    }
}

/// Waits for the signal to stop, at most `limit`. Returns whether it came.
async fn stop_signal(signals: &mut Signals, limit: Duration) -> bool {
    let stop = async { while signals.next().await != Signal::Stop {} };
    tokio::time::timeout(limit, stop).await.is_ok()
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the runtime")
}

/// An HTTP server whose `/health` names its components, as Spring's Actuator does.
fn web(port: u16, down: &[String]) -> anyhow::Result<()> {
    let components: serde_json::Map<String, Value> = ["db", "cache"]
        .into_iter()
        .chain(down.iter().map(String::as_str))
        .map(|name| {
            let status = if down.iter().any(|down| down == name) { "DOWN" } else { "UP" };
            (name.to_owned(), json!({ "status": status }))
        })
        .collect();
    let health = Arc::new(json!({ "status": "UP", "details": components }));
    let app = Router::new()
        .route("/", get(|| async { "lifesign sample web\n" }))
        .route("/health", get(move || async move { (StatusCode::OK, Json(health.as_ref().clone())) }));
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("failed to listen on {address}; choose another --port"))?;
        say(&format!("listening on {address}"));
        let stop = async move { while signals.next().await != Signal::Stop {} };
        axum::serve(listener, app).with_graceful_shutdown(stop).await.context("the web server ended")
    })
}

/// The server and token that `lifesign up` gives its processes, or those of the command line.
fn heart(global: &Global, id: &str, mode: Mode, interval: Duration) -> anyhow::Result<Heart> {
    let server = global.server.clone().unwrap_or_else(|| "http://127.0.0.1:7700".to_owned());
    let token = global.token.clone().ok_or_else(|| {
        anyhow!("a heartbeat needs a token: --token, or LIFESIGN_TOKEN as `lifesign up` sets it")
    })?;
    Ok(Heart::builder(&server, &token, id).mode(mode).interval(interval).start())
}

/// Beats by the best local way.
fn local_worker(id: &str, interval: Duration) -> anyhow::Result<()> {
    let pulse = Heart::connect(id)?;
    say("working");
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        for round in 0u64.. {
            pulse.progress(round);
            pulse.beat();
            if stop_signal(&mut signals, interval).await {
                break;
            }
        }
        Ok(())
    })
}

/// Sends heartbeats with metrics of a pretended queue.
fn worker(heart: Heart, hang_while: Option<&Path>, exit: Option<&str>) -> anyhow::Result<()> {
    let ending = exit.map(parse_exit).transpose()?;
    let mut heard = Hearing::Unknown;
    say("working");
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let begin = Instant::now();
        for round in 0u64.. {
            if hang_while.is_some_and(Path::exists) {
                say("playing dead");
                heart.fall_silent();
                std::future::pending::<()>().await;
                unreachable!("nothing wakes the dead");
            }
            let hearing = heart.hearing();
            if hearing != std::mem::replace(&mut heard, hearing) {
                say(who_hears(hearing));
            }
            heart.progress(round);
            // A slow wave, so that the dashboard has something to draw.
            let wave = (round as f64 / 30.0).sin();
            heart.metric("queue", (20.0 + 15.0 * wave).round());
            heart.metric("cpu", (30.0 + 20.0 * wave * wave).round());
            if let Some((code, after)) = ending
                && begin.elapsed() >= after
            {
                say(&format!("ending with exit code {code}, as asked"));
                // Without a farewell, as a crash would.
                std::process::exit(code);
            }
            if stop_signal(&mut signals, Duration::from_millis(500)).await {
                break;
            }
        }
        drop(heart);
        Ok(())
    })
}

const fn who_hears(hearing: Hearing) -> &'static str {
    match hearing {
        Hearing::Unknown => "nobody has heard anybody yet",
        Hearing::Both => "lifesign hears me, and I hear lifesign",
        Hearing::OnlyLifesign => "I do not hear lifesign; it may hear me",
        Hearing::OnlyProgram => "I hear lifesign, and it does not hear me",
        Hearing::Neither => "lifesign and I do not hear each other",
    }
}

/// Works in rounds; each round is reported with its duration.
fn batch(global: &Global, id: &str, every: Duration) -> anyhow::Result<()> {
    let heart = heart(global, id, Mode::Fixed, every)?;
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        for round in 1u64.. {
            let begin = Instant::now();
            let primes =
                (2..20_000u32).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count();
            heart.progress(round);
            heart.metric("round", round as f64);
            heart.metric("round_seconds", begin.elapsed().as_secs_f64());
            heart.status(Status::Alive);
            heart.message(&format!("round {round}: {primes} primes"));
            if stop_signal(&mut signals, every).await {
                break;
            }
        }
        Ok(())
    })
}

/// `3@20`: exit code 3 after 20 seconds.
fn parse_exit(text: &str) -> anyhow::Result<(i32, Duration)> {
    let parsed = text
        .split_once('@')
        .and_then(|(code, seconds)| Some((code.parse().ok()?, Duration::from_secs(seconds.parse().ok()?))));
    parsed.ok_or_else(|| anyhow!("{text:?} is no exit; write it as CODE@SECONDS, for example 3@20"))
}

/// A line for the log. A reader that is gone is no reason to end.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
