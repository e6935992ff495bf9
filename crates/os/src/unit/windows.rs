//! The service control manager.
//!
//! [`observer`] is the thread that watches, [`watched`] one service on it; [`tracker`] makes reports of what is
//! seen, and says what counts as an ordered stop; [`orders`] starts and stops; [`scm`] holds the calls;
//! [`list_changes`] tells of services that come and go, [`event_log`] what was written about one that died.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Process, UnitReport, UnitState};
use lifesign_core::time::Wall;
pub(crate) use list_changes::ListChanges;
use scm::{Access, Scm};
use windows_sys::Win32::Foundation::ERROR_SERVICE_SPECIFIC_ERROR;
use windows_sys::Win32::System::Services::SERVICE_STOPPED;

use super::info::{Codes, Listed, UnitInfo};
use super::{Scope, Sink, UnitError};

#[path = "windows/config.rs"]
mod config;
#[path = "windows/event_log.rs"]
mod event_log;
#[path = "windows/list_changes.rs"]
mod list_changes;
#[path = "windows/observer.rs"]
mod observer;
#[path = "windows/obstacle.rs"]
mod obstacle;
#[path = "windows/orders.rs"]
mod orders;
#[path = "windows/scm.rs"]
mod scm;
#[path = "windows/tracker.rs"]
mod tracker;
#[path = "windows/watched.rs"]
mod watched;

pub(super) const KIND: &str = "scm";
pub(super) const LIST_COMMAND: &str = "sc query state= all";

/// Between two looks while the service control manager's own restart is due.
const SETTLE: Duration = Duration::from_millis(250);
/// How much longer than its time an order may take in a call that cannot be cut short.
const MARGIN: Duration = Duration::from_secs(1);

/// The observer, or why there is none.
#[derive(Clone)]
pub(super) struct Manager(Result<Arc<observer::Observer>, Arc<str>>);

pub(super) struct Watch {
    _watching: Option<observer::Watching>,
}

/// The service control manager hears no hearts.
pub(super) struct Pulse;

impl Pulse {
    pub(super) async fn next(&mut self) -> Duration {
        std::future::pending().await
    }
}

impl Manager {
    pub(super) fn new(_scope: Scope) -> Self {
        Self(observer::Observer::spawn().map(Arc::new).map_err(|error| {
            tracing::error!(%error, "No thread to watch services");
            format!("no thread to watch services: {error}").into()
        }))
    }

    pub(super) fn watch(&self, name: &str, sink: Sink) -> Watch {
        match &self.0 {
            Ok(observer) => Watch { _watching: Some(observer.watch(name, sink)) },
            Err(why) => {
                sink(observer::blind_report(why));
                Watch { _watching: None }
            }
        }
    }

    pub(super) const fn pulse(&self, _name: &str, _interval: Duration) -> Pulse {
        Pulse
    }

    pub(super) async fn look(&self, name: &str) -> UnitReport {
        match &self.0 {
            Ok(observer) => observer.look(name).await.report,
            Err(why) => observer::blind_report(why),
        }
    }

    pub(super) async fn start(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        self.carry_out(name, timeout, orders::start).await
    }

    pub(super) async fn stop(&self, name: &str, timeout: Duration) -> Result<(), UnitError> {
        let _announced = self.0.as_ref().ok().map(|observer| observer.our_stop(name));
        let stopped = self.carry_out(name, timeout, orders::stop).await;
        // The watchers must see the end while it is known to be ours.
        self.look(name).await;
        stopped
    }

    pub(super) async fn restart(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        if let Some(why) = obstacle::shutdown() {
            return Err(UnitError::Refused { name: name.to_owned(), why });
        }
        let _announced = self.0.as_ref().ok().map(|observer| observer.our_stop(name));
        let restarted = self.carry_out(name, timeout, orders::restart).await;
        // The watchers must see the end while it is known to be ours.
        self.look(name).await;
        restarted
    }

    pub(super) async fn obstacle(&self, is_remedy: bool) -> Option<String> {
        obstacle::shutdown().or_else(|| obstacle::update().filter(|_| is_remedy))
    }

    pub(super) async fn repair(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        let begun = tokio::time::Instant::now();
        let refused = |why| Err(UnitError::Refused { name: name.to_owned(), why });
        if let Some(why) = obstacle::shutdown().or_else(obstacle::update) {
            return refused(why);
        }
        let mut has_waited = false;
        loop {
            let rest = timeout.saturating_sub(begun.elapsed());
            match self.carry_out(name, rest, orders::settle).await {
                // Somebody else has done it.
                Ok(Some(process)) => return Ok(Some(process)),
                Ok(None) => {}
                Err(UnitError::TimedOut { .. }) => {
                    let report = self.look(name).await;
                    return refused(format!("it is in a pending state: {}", report.os));
                }
                Err(error) => return Err(error),
            }
            // Its own restart is due, as far as the failure actions tell.
            let report = self.look(name).await;
            if report.state != UnitState::Starting {
                break;
            }
            if rest.is_zero() {
                return refused(format!(
                    "the service control manager restarts it itself: {}",
                    report.notes.join("; ")
                ));
            }
            has_waited = true;
            tokio::time::sleep(SETTLE).await;
        }
        match self.look(name).await.state {
            // The manager's own restart has come meanwhile.
            UnitState::Running(Some(process)) if has_waited => Ok(Some(process)),
            _ => self.restart(name, timeout.saturating_sub(begun.elapsed())).await,
        }
    }

    pub(super) fn with_journal_in(self, _folder: &Path) -> Self {
        self
    }

    pub(super) async fn info(&self, name: &str) -> Result<UnitInfo, UnitError> {
        let report = self.look(name).await;
        let owned = name.to_owned();
        blocking(move || info(&owned, report)).await
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, UnitError> {
        blocking(list).await
    }

    pub(super) fn list_changes(&self) -> ListChanges {
        ListChanges::new()
    }

    /// Runs an order on a thread that may block. Some calls cannot be cut short; the caller is not kept by them.
    async fn carry_out<T: Send + 'static>(
        &self,
        name: &str,
        timeout: Duration,
        order: fn(&str, Option<u32>, Duration) -> Result<T, UnitError>,
    ) -> Result<T, UnitError> {
        let gone = match &self.0 {
            Ok(observer) => observer.look(name).await.gone,
            Err(_) => None,
        };
        let owned = name.to_owned();
        let done = tokio::task::spawn_blocking(move || order(&owned, gone, timeout));
        match tokio::time::timeout(timeout + MARGIN, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(UnitError::Unreachable { why: "the runtime is shutting down".to_owned() }),
            Err(_) => Err(UnitError::TimedOut { name: name.to_owned(), after: timeout }),
        }
    }
}

/// Runs something that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UnitError> + Send + 'static,
) -> Result<T, UnitError> {
    let shutting_down = |_| Err(UnitError::Unreachable { why: "the runtime is shutting down".to_owned() });
    tokio::task::spawn_blocking(work).await.unwrap_or_else(shutting_down)
}

fn info(name: &str, report: UnitReport) -> Result<UnitInfo, UnitError> {
    let in_words = |error| orders::in_words(name, error);
    let service = Scm::connect().and_then(|scm| scm.open(name, Access::Config)).map_err(in_words)?;
    let config = service.config().map_err(in_words)?;
    let status = service.status().map_err(in_words)?;
    let process = if let UnitState::Running(process) = report.state { process } else { None };
    let has_ended = status.dwCurrentState == SERVICE_STOPPED;
    Ok(UnitInfo {
        name: name.to_owned(),
        title: config.title,
        process,
        // The creation time is a FILETIME: tenths of microseconds since 1601.
        since: process
            .filter(|process| process.started > 0)
            .map(|process| Wall::from_millis((process.started / 10_000).cast_signed() - 11_644_473_600_000)),
        state: report.state,
        os: report.os,
        start: config.start,
        start_os: config.start_os,
        lasts: !config.has_triggers,
        codes: Codes {
            win32: has_ended.then_some(status.dwWin32ExitCode),
            specific: (has_ended && status.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR)
                .then_some(status.dwServiceSpecificExitCode),
            ..Codes::default()
        },
        restarts: None,
        program: config.program,
        account: config.account,
        needs: config.needs,
        needed_by: service.dependents(false).unwrap_or_default(),
        policy: service.policy().map_err(in_words)?,
    })
}

fn list() -> Result<Vec<Listed>, UnitError> {
    let unreachable = |error: scm::ScmError| UnitError::Unreachable { why: error.to_string() };
    let scm = Scm::connect_to_list().map_err(unreachable)?;
    let mut services = Vec::new();
    for name in scm.names().map_err(unreachable)? {
        match scm.open(&name, Access::Config).and_then(|service| service.config()) {
            Ok(config) => services.push(Listed { name, start: config.start }),
            Err(error) if config::is_denied(error) => {
                tracing::debug!(service = name, "Its configuration is not ours to read");
            }
            // Deleted since the list was made.
            Err(_) => {}
        }
    }
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(services)
}
