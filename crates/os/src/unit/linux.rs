//! The facade over systemd; the watching itself is in `systemd/`.

use std::time::Duration;

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::{Scope, Sink, UnitError};
use crate::proc_stat::Stat;

mod systemd;

use systemd::{Link, Session, Watcher, full_name, means_not_found};

pub(super) const KIND: &str = "systemd";
pub(super) const LIST_COMMAND: &str = "systemctl list-unit-files";

/// How long [`Manager::look`] waits for a first connection.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Manager {
    link: watch::Receiver<Link>,
}

/// Ends its task when dropped.
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Manager {
    pub(super) fn new(scope: Scope) -> Self {
        Self { link: systemd::keep(scope) }
    }

    pub(super) fn watch(&self, name: &str, sink: Sink) -> Watch {
        let watcher = Watcher::new(name, sink);
        Watch(tokio::spawn(watcher.run(self.link.clone())).abort_handle())
    }

    pub(super) async fn look(&self, name: &str) -> UnitReport {
        let looked = match timeout(LOOK_TIMEOUT, self.session()).await {
            Ok(Ok(session)) => look(&session, name).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("systemd cannot be reached: no answer within {LOOK_TIMEOUT:?}")),
        };
        looked.unwrap_or_else(|why| UnitReport {
            os: why.clone(),
            state: UnitState::CouldNotLook(why),
            last_output: None,
            notes: Vec::new(),
        })
    }

    pub(super) async fn start(&self, name: &str, limit: Duration) -> Result<Option<Process>, UnitError> {
        self.bring_up("StartUnit", name, limit).await
    }

    pub(super) async fn restart(&self, name: &str, limit: Duration) -> Result<Option<Process>, UnitError> {
        self.bring_up("RestartUnit", name, limit).await
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
            let main = Stat::read(unit.main_pid)
                .ok()
                .filter(|_| unit.main_pid != 0)
                .map(|stat| Process { pid: stat.pid, started: stat.started });
            Ok(UnitReport {
                state: systemd::state(&unit, main),
                os: systemd::words(&unit),
                last_output: None,
                notes: Vec::new(),
            })
        }
        Err(error) if means_not_found(&error) => Ok(UnitReport {
            state: UnitState::NotFound,
            os: format!("systemd knows no unit {name:?}"),
            last_output: None,
            notes: Vec::new(),
        }),
        Err(error) => Err(format!("systemd does not answer about the unit: {error}")),
    }
}

/// systemd's refusal in our words.
fn refusal(name: &str, error: &zbus::Error) -> UnitError {
    let name = name.to_owned();
    if means_not_found(error) {
        return UnitError::NotFound { name };
    }
    match error {
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
