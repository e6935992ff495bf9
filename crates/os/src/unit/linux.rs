//! The facade over systemd; the watching itself is in `systemd/`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::info::{Listed, UnitInfo};
use super::{Scope, Sink, UnitError};
use crate::proc_stat::Stat;

mod obstacle;
mod systemd;

pub(super) use systemd::Pulse;
pub(crate) use systemd::full_name;
use systemd::{Link, Session, Watcher, means_not_found};

pub(super) const KIND: &str = "systemd";
pub(super) const LIST_COMMAND: &str = "systemctl list-unit-files";

/// What systemd answers whoever has not the right, without and with polkit.
const DENIALS: [&str; 2] = [
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
];

/// How long [`Manager::look`] waits for a first connection.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a restart of what is none of systemd's waits for systemd to say that it shuts down.
const OBSTACLE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Manager {
    link: watch::Receiver<Link>,
    /// Where the journal lies, if not in its usual place.
    journal: Option<Arc<Path>>,
}

/// Ends its task when dropped.
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells that the list of units may have changed: systemd reads its files anew at a `daemon-reload`.
pub(crate) struct ListChanges {
    link: watch::Receiver<Link>,
    reloads: Option<watch::Receiver<u64>>,
}

impl ListChanges {
    /// Waits for the next sign of a change. A new connection is one too.
    pub(super) async fn next(&mut self) {
        loop {
            let session = if let Link::Up(session) = &*self.link.borrow_and_update() {
                Some(session.clone())
            } else {
                None
            };
            if let (Some(session), None) = (session, &self.reloads) {
                self.reloads = Some(session.reloads());
                return;
            }
            tokio::select! {
                changed = self.link.changed() => match changed {
                    Ok(()) => self.reloads = None,
                    Err(_) => return std::future::pending().await,
                },
                has_reloaded = reloaded(&mut self.reloads) => {
                    if has_reloaded {
                        return;
                    }
                    // Its connection is gone; there may be another one already.
                    self.reloads = None;
                }
            }
        }
    }
}

/// Waits until systemd has read its files anew; false when the connection that would tell is gone.
async fn reloaded(reloads: &mut Option<watch::Receiver<u64>>) -> bool {
    match reloads {
        Some(reloads) => reloads.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

impl Manager {
    pub(super) fn new(scope: Scope) -> Self {
        Self { link: systemd::keep(scope), journal: None }
    }

    pub(super) fn with_journal_in(mut self, folder: &Path) -> Self {
        self.journal = Some(folder.into());
        self
    }

    pub(super) fn watch(&self, name: &str, sink: Sink) -> Watch {
        let watcher = Watcher::new(name, sink, self.journal.clone());
        Watch(tokio::spawn(watcher.run(self.link.clone())).abort_handle())
    }

    pub(super) fn pulse(&self, name: &str, interval: Duration) -> Pulse {
        Pulse::new(name, interval, self.link.clone())
    }

    pub(super) async fn look(&self, name: &str) -> UnitReport {
        let looked = match timeout(LOOK_TIMEOUT, self.session()).await {
            Ok(Ok(session)) => look(&session, name).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("systemd cannot be reached: no answer within {LOOK_TIMEOUT:?}")),
        };
        looked.unwrap_or_else(|why| UnitReport::new(UnitState::CouldNotLook(why.clone()), why))
    }

    pub(super) async fn start(&self, name: &str, limit: Duration) -> Result<Option<Process>, UnitError> {
        self.bring_up("StartUnit", name, limit).await
    }

    pub(super) async fn restart(&self, name: &str, limit: Duration) -> Result<Option<Process>, UnitError> {
        if let Some(why) = self.shutdown().await? {
            return Err(UnitError::Refused { name: name.to_owned(), why });
        }
        self.bring_up("RestartUnit", name, limit).await
    }

    pub(super) async fn obstacle(&self, is_remedy: bool) -> Option<String> {
        let shutdown = timeout(OBSTACLE_TIMEOUT, self.shutdown()).await;
        let shutdown = shutdown.ok().and_then(Result::ok).flatten();
        shutdown.or_else(|| obstacle::update().filter(|_| is_remedy))
    }

    pub(super) async fn repair(&self, name: &str, limit: Duration) -> Result<Option<Process>, UnitError> {
        let deadline = Instant::now() + limit;
        let refused = |why| Err(UnitError::Refused { name: name.to_owned(), why });
        if let Some(why) = self.shutdown().await? {
            return refused(why);
        }
        if let Some(why) = obstacle::update() {
            return refused(why);
        }
        match timeout_at(deadline, self.settled(name)).await {
            // systemd has done it itself.
            Ok(Ok(Some(process))) => return Ok(Some(process)),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let report = self.look(name).await;
                return refused(format!("systemd itself is at it: {}", report.os));
            }
        }
        self.bring_up("RestartUnit", name, deadline.saturating_duration_since(Instant::now())).await
    }

    /// Why nothing is restarted any more.
    async fn shutdown(&self) -> Result<Option<String>, UnitError> {
        let unreachable = |error: zbus::Error| UnitError::Unreachable { why: error.to_string() };
        let state = self.session().await?.system_state().await.map_err(unreachable)?;
        Ok((state == "stopping").then(|| "systemd is shutting down".to_owned()))
    }

    /// Waits while a job or systemd's own restart is under way. Gives the process that runs after such a wait.
    async fn settled(&self, name: &str) -> Result<Option<Process>, UnitError> {
        let session = self.session().await?;
        let failed = |error: zbus::Error| refusal(name, &error);
        let path = session.load(&full_name(name)).await.map_err(failed)?;
        let mut changes = session.changes(&path);
        let mut has_waited = false;
        loop {
            let unit = session.read(&path).await.map_err(failed)?.properties;
            let is_pending =
                unit.job != 0 || matches!(unit.active_state.as_str(), "activating" | "deactivating");
            if !is_pending {
                let state = systemd::state(&unit, main_process(&unit));
                return Ok(match state {
                    UnitState::Running(process) if has_waited => process,
                    _ => None,
                });
            }
            has_waited = true;
            // Any change, or a second: the end of a job is no change of the unit's own.
            let _ = timeout(Duration::from_secs(1), changes.recv()).await;
        }
    }

    pub(super) async fn info(&self, name: &str) -> Result<UnitInfo, UnitError> {
        let session = self.session().await?;
        let reading = async {
            let full = full_name(name);
            let path = session.load(&full).await?;
            let values = session.values(&path).await?;
            let mut unit = systemd::Properties::default();
            unit.take(&values);
            Ok::<_, zbus::Error>((systemd::info(&full, &values, main_process(&unit)), unit.load_state))
        };
        match reading.await {
            Ok((_, load_state)) if load_state == "not-found" => {
                Err(UnitError::NotFound { name: name.to_owned() })
            }
            Ok((info, _)) => Ok(info),
            Err(error) => Err(refusal(name, &error)),
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, UnitError> {
        let session = self.session().await?;
        let reading = async {
            let mut services = std::collections::BTreeMap::new();
            for (path, state) in session.unit_files().await? {
                let Some(name) = path.rsplit('/').next().filter(|name| name.ends_with(".service")) else {
                    continue;
                };
                // A template is none itself; its instances are among the units in memory.
                if !name.ends_with("@.service")
                    && let Some(start) = systemd::start_type(&state)
                {
                    services.insert(name.to_owned(), start);
                }
            }
            for (name, load_state) in session.units().await? {
                let is_instance = name.ends_with(".service") && name.contains('@') && load_state == "loaded";
                if is_instance && !services.contains_key(&name) {
                    let state = session.unit_file_state(&name).await.unwrap_or_default();
                    if let Some(start) = systemd::start_type(&state) {
                        services.insert(name, start);
                    }
                }
            }
            Ok::<_, zbus::Error>(services)
        };
        let services = reading.await.map_err(|error| UnitError::Unreachable { why: error.to_string() })?;
        Ok(services.into_iter().map(|(name, start)| Listed { name, start }).collect())
    }

    pub(super) fn list_changes(&self) -> ListChanges {
        ListChanges { link: self.link.clone(), reloads: None }
    }

    pub(super) async fn stop(&self, name: &str, limit: Duration) -> Result<(), UnitError> {
        match self.carry_out("StopUnit", name, limit).await {
            Ok(_) => Ok(()),
            // systemd says the same about a unit that exists and stands still.
            Err(UnitError::NotFound { .. }) if self.look(name).await.state != UnitState::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn bring_up(
        &self,
        method: &str,
        name: &str,
        limit: Duration,
    ) -> Result<Option<Process>, UnitError> {
        let report = self.carry_out(method, name, limit).await?;
        match report.state {
            UnitState::Running(process) => Ok(process),
            // On its way, and the watcher tells how it ends.
            UnitState::Starting => Ok(None),
            // A oneshot unit that has done its work; systemd may have forgotten it already.
            UnitState::Stopped { exit: Exit::Clean | Exit::Unseen, .. } => Ok(None),
            _ => Err(UnitError::Failed {
                name: name.to_owned(),
                why: format!("it was started and is now {}", report.os),
            }),
        }
    }

    /// Queues the job, waits for its end, and looks what has come of it.
    async fn carry_out(&self, method: &str, name: &str, limit: Duration) -> Result<UnitReport, UnitError> {
        let order = async {
            let session = self.session().await?;
            let mut jobs = session.jobs();
            let job = session.queue(method, &full_name(name)).await.map_err(|error| refusal(name, &error))?;
            let result = loop {
                match jobs.recv().await {
                    Ok(ended) if ended.job == job => break ended.result,
                    Ok(_) => {}
                    // The unit's state will tell.
                    Err(RecvError::Lagged(_)) => break "done".to_owned(),
                    Err(RecvError::Closed) => {
                        return Err(UnitError::Unreachable { why: "the connection was lost".to_owned() });
                    }
                }
            };
            let report =
                look(&session, name).await.map_err(|why| UnitError::Failed { name: name.to_owned(), why })?;
            match result.as_str() {
                "done" | "skipped" => Ok(report),
                _ => Err(UnitError::Failed {
                    name: name.to_owned(),
                    why: format!("the job ended as {result:?}; the unit is now {}", report.os),
                }),
            }
        };
        let timed_out = |_| Err(UnitError::TimedOut { name: name.to_owned(), after: limit });
        timeout(limit, order).await.unwrap_or_else(timed_out)
    }

    /// The connection, waiting for the first attempt to end.
    async fn session(&self) -> Result<Session, UnitError> {
        let mut link = self.link.clone();
        let settled = link.wait_for(|link| !matches!(link, Link::Connecting)).await;
        match settled.as_deref() {
            Ok(Link::Up(session)) => Ok(session.clone()),
            Ok(Link::Down(why)) => Err(UnitError::Unreachable { why: why.to_string() }),
            Ok(Link::Connecting) | Err(_) => {
                Err(UnitError::Unreachable { why: "the runtime is shutting down".to_owned() })
            }
        }
    }
}

/// One look at a unit.
async fn look(session: &Session, name: &str) -> Result<UnitReport, String> {
    let reading = async {
        let path = session.load(&full_name(name)).await?;
        session.read(&path).await
    };
    match reading.await {
        Ok(reading) => {
            let unit = reading.properties;
            let main = main_process(&unit);
            Ok(UnitReport::new(systemd::state(&unit, main), systemd::words(&unit)))
        }
        Err(error) if means_not_found(&error) => {
            Ok(UnitReport::new(UnitState::NotFound, format!("systemd knows no unit {name:?}")))
        }
        Err(error) => Err(format!("systemd does not answer about the unit: {error}")),
    }
}

/// The main process that systemd names, told apart by its start.
fn main_process(unit: &systemd::Properties) -> Option<Process> {
    let stat = Stat::read(unit.main_pid).ok().filter(|_| unit.main_pid != 0)?;
    Some(Process { pid: stat.pid, started: stat.started })
}

/// systemd's refusal in our words.
fn refusal(name: &str, error: &zbus::Error) -> UnitError {
    let name = name.to_owned();
    if means_not_found(error) {
        return UnitError::NotFound { name };
    }
    match error {
        zbus::Error::MethodError(refusal, why, _) if DENIALS.contains(&refusal.as_str()) => {
            UnitError::Denied { name, why: why.clone().unwrap_or_else(|| error.to_string()) }
        }
        zbus::Error::MethodError(_, why, _) => {
            UnitError::Failed { name, why: why.clone().unwrap_or_else(|| error.to_string()) }
        }
        zbus::Error::FDO(refused) => match &**refused {
            zbus::fdo::Error::AccessDenied(why) | zbus::fdo::Error::InteractiveAuthorizationRequired(why) => {
                UnitError::Denied { name, why: why.clone() }
            }
            other => UnitError::Failed { name, why: other.to_string() },
        },
        other => UnitError::Unreachable { why: other.to_string() },
    }
}
