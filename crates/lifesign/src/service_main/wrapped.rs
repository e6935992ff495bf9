//! Any program as a service: started, watched, started again with growing waits, stopped in good order.
//!
//! Supervision is that of `process:` units. A program whose [`Heart`] is silent past `--heartbeat` hangs, and is stopped
//! and started again. The wrapper stops with the program's own failure when
//! it is not to be started again, so that the service manager sees it as it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use lifesign_config::Bytes;
use lifesign_config::server::{Log, LogFormat, LogLevel};
use lifesign_core::evidence::{Exit, UnitReport, UnitState};
use lifesign_os::process::{ProcessSpec, Supervised};
use lifesign_os::service::host::{Host, Reporter, Request, Requests};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::heart::{Heart, News};
use crate::cli::service::{Again, RunWrapped};
use crate::failure::Failure;
use crate::{event_id, logging};

/// Wait before the first start again; doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait before a start again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A program that ran this long was well; its next end is a first one.
const WELL_AFTER: Duration = Duration::from_secs(600);
/// Reports of the supervisor that may wait; it sends two for each end.
const REPORTS: usize = 64;

pub(super) fn run(host: Host, wrapped: &RunWrapped) -> Result<(), Failure> {
    let log = Log {
        format: LogFormat::Plain,
        level: LogLevel::Info,
        file: None,
        file_size: Bytes(10 << 20),
        files: 1,
    };
    logging::start(&log);
    std::fs::create_dir_all(&wrapped.data_dir)
        .with_context(|| format!("failed to make the folder {}", wrapped.data_dir.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(serve(host, wrapped)).map_err(Failure::from)
}

async fn serve(host: Host, wrapped: &RunWrapped) -> anyhow::Result<()> {
    let mut requests = host.requests().context("failed to listen for signals")?;
    let (sender, mut reports) = mpsc::channel(REPORTS);
    let sink = Arc::new(move |report| {
        // Full only when nobody has read for a long time; the latest state is asked for by itself.
        let _ = sender.try_send(report);
    });
    let folder = std::path::absolute(&wrapped.data_dir).context("the data folder has no absolute path")?;
    let mut heart = Heart::listen(&wrapped.name, &folder, wrapped.care.heartbeat).await?;
    let program = Supervised::new(spec(wrapped, &folder, &heart), sink);
    let reporter = host.reporter;
    let mut wait = FIRST_WAIT;
    loop {
        reporter.starting("Starting the program");
        let started = Instant::now();
        let end = match program.start().await {
            Ok(process) => {
                tracing::info!(event_id = event_id::WRAPPED_STARTED, pid = process.pid, "Program started");
                reporter.ready(&format!("Running (process {})", process.pid));
                heart.started();
                live(&mut requests, &reporter, &mut reports, &mut heart).await
            }
            Err(error) => End::Own(Exit::StartFailed(format!("{:#}", anyhow::Error::new(error)))),
        };
        let exit = match end {
            End::Ordered => return stop(&reporter, &program).await,
            End::Own(exit) => exit,
            End::Hangs => {
                tracing::error!(event_id = event_id::WRAPPED_HANGS, limit = ?wrapped.care.heartbeat, "Program hangs");
                reporter.status("The program hangs; stopping it");
                program.stop().await.context("failed to stop a program that hangs")?;
                Exit::Watchdog
            }
        };
        // Of this stretch everything has been said; the next begins with an empty list.
        while reports.try_recv().is_ok() {}
        let is_failure = exit != Exit::Clean;
        if !is_failure && wrapped.care.restart == Again::OnFailure {
            reporter.stopping("The program has ended");
            return Ok(());
        }
        if started.elapsed() >= WELL_AFTER {
            wait = FIRST_WAIT;
        }
        tracing::warn!(event_id = event_id::WRAPPED_ENDED, ?exit, again_in = ?wait, "Program ended");
        reporter.status(&format!("Ended ({exit:?}); starting it again in {wait:?}"));
        if pause(&mut requests, &reporter, wait).await {
            return stop(&reporter, &program).await;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn spec(wrapped: &RunWrapped, folder: &Path, heart: &Heart) -> ProcessSpec {
    ProcessSpec {
        argv: wrapped.program.clone(),
        cwd: Some(wrapped.care.dir.clone().unwrap_or_else(|| folder.to_owned())),
        env: heart.env.clone(),
        stop_timeout: wrapped.care.stop_within,
        log: folder.join("output.log"),
        log_limit: wrapped.care.log_size * 1024 * 1024,
    }
}

/// How a stretch of running ended.
enum End {
    /// The service is to stop.
    Ordered,
    /// By itself.
    Own(Exit),
    /// Not at all, but its heart is silent.
    Hangs,
}

/// Feeds the manager's watchdog until the program ends or is to end.
async fn live(
    requests: &mut Requests,
    reporter: &Reporter,
    reports: &mut mpsc::Receiver<UnitReport>,
    heart: &mut Heart,
) -> End {
    let mut feed =
        tokio::time::interval(reporter.watchdog().map_or(Duration::from_secs(10), |limit| limit / 4));
    loop {
        tokio::select! {
            request = requests.next() => if asks_for_stop(request, reporter) { return End::Ordered },
            report = reports.recv() => match report.map(|report| report.state) {
                Some(UnitState::Stopped { ordered: false, exit }) => return End::Own(exit),
                Some(_) => {}
                None => return End::Own(Exit::Unseen),
            },
            news = heart.news() => match news {
                News::Hangs => return End::Hangs,
                News::Ready(said) => reporter.status(said.as_deref().unwrap_or("The program is ready")),
                News::Stopping(said) => reporter.status(said.as_deref().unwrap_or("The program is stopping")),
                News::Status(said) => reporter.status(&said),
            },
            _ = feed.tick() => reporter.alive(),
        }
    }
}

/// Waits; `true` when the service is to stop meanwhile.
async fn pause(requests: &mut Requests, reporter: &Reporter, wait: Duration) -> bool {
    let end = Instant::now() + wait;
    let mut feed =
        tokio::time::interval(reporter.watchdog().map_or(Duration::from_secs(10), |limit| limit / 4));
    loop {
        tokio::select! {
            () = sleep_until(end) => return false,
            request = requests.next() => if asks_for_stop(request, reporter) { return true },
            _ = feed.tick() => reporter.alive(),
        }
    }
}

/// A wrapped program knows no pause and no reload: the manager gets its answer, the program nothing.
fn asks_for_stop(request: Request, reporter: &Reporter) -> bool {
    match request {
        Request::Stop => return true,
        Request::Pause => reporter.paused("Running; a wrapped program cannot be paused"),
        Request::Continue | Request::Reload => reporter.ready("Running"),
        Request::Sleep | Request::Wake => {}
    }
    false
}

async fn stop(reporter: &Reporter, program: &Supervised) -> anyhow::Result<()> {
    reporter.stopping("Stopping the program");
    program.stop().await.map_err(|error| anyhow!(error))
}
