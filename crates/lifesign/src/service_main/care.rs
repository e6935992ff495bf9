//! Signs of life for the service manager: the watchdog, and a line that says how things stand.

use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::Command;
use lifesign_core::view::Counts;
use lifesign_os::service::host::Reporter;
use lifesign_server::AppState;
use tokio::sync::{Notify, mpsc};

/// Between two looks where there is no watchdog.
const LOOK: Duration = Duration::from_secs(10);

/// Feeds the watchdog for as long as the engine turns, and for no longer; never returns.
///
/// What is asked goes the way of every heartbeat, through the engine's own loop. A process whose timer task lives
/// while its engine stands still is just what the watchdog is for.
pub(crate) async fn take_care(reporter: Reporter, state: AppState) {
    let watchdog = reporter.watchdog();
    // Two of four signs may be late before the manager acts.
    let pause = watchdog.map_or(LOOK, |limit| (limit / 4).min(LOOK));
    loop {
        let counts = tokio::time::timeout(pause, state.engine.read(|engine, _now| engine.counts())).await;
        match counts {
            Ok(Ok(counts)) => {
                reporter.alive();
                reporter.status(&line(&counts, state.hold.is_set()));
            }
            // The engine is gone: everything stops anyway.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => {
                tracing::warn!(within = ?pause, "The engine does not turn; the watchdog gets no sign of life")
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// The same for an agent, which has no engine while a server hears it: its loop must turn.
pub(crate) async fn take_care_of_agent(reporter: Reporter, commands: mpsc::Sender<Command>) {
    let pause = reporter.watchdog().map_or(LOOK, |limit| (limit / 4).min(LOOK));
    loop {
        let turns = Arc::new(Notify::new());
        let echo = async {
            commands.send(Command::Echo(Arc::clone(&turns))).await?;
            turns.notified().await;
            Ok::<(), mpsc::error::SendError<Command>>(())
        };
        match tokio::time::timeout(pause, echo).await {
            Ok(Ok(())) => reporter.alive(),
            // The agent is gone: everything stops anyway.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => {
                tracing::warn!(within = ?pause, "The agent's loop does not turn; the watchdog gets no sign of life")
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// `12 services: 10 up, 1 degraded, 1 down`; states without a service are left out.
fn line(counts: &Counts, is_paused: bool) -> String {
    let states = [
        (counts.up, "up"),
        (counts.degraded, "degraded"),
        (counts.suspect, "suspect"),
        (counts.down, "down"),
        (counts.pending, "pending"),
        (counts.unknown, "unknown"),
    ];
    let all: u32 = states.iter().map(|(count, _)| count).sum();
    let parts: Vec<String> = states
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    let paused = if is_paused { "Paused: alerts and restarts are held. " } else { "" };
    let services = if all == 1 { "service" } else { "services" };
    if parts.is_empty() {
        return format!("{paused}No services");
    }
    format!("{paused}{all} {services}: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_states_that_there_are() {
        let counts = Counts { up: 10, down: 1, ..Counts::default() };
        assert_eq!(line(&counts, false), "11 services: 10 up, 1 down");
        assert_eq!(line(&Counts::default(), true), "Paused: alerts and restarts are held. No services");
    }
}
