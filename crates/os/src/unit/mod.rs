//! The system's own service manager: systemd on Linux, the service control manager (SCM) on Windows.
//!
//! Three sources are laid over each other, because each has a hole the others fill: a handle on the main
//! process tells of its death within a millisecond but not why; the manager's notifications tell why, later,
//! and can be lost when its bus restarts; a slow poll finds what both missed. A watcher hears differences
//! only, never the same report twice in a row.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Process, UnitReport};

pub mod info;
pub mod policy;

mod vitals;

pub(crate) use vitals::Vitals;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

#[cfg(target_os = "linux")]
pub(crate) use imp::full_name;
use info::{ListChange, Listed, UnitInfo};

/// How often a watched unit is looked at although nothing was heard: the bound on how long a lost
/// notification stays lost. Costs one call to the manager per unit and round, which is nearly all that idle watching
/// costs. With systemd it is a net below a net: a lost connection, signals that came too fast and units that were
/// read anew are noticed by themselves. The service control manager tells less, and under Wine nothing of a deletion.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(if cfg!(windows) { 10 } else { 30 });

/// Takes the reports about one unit, in order. It is called from the observer's own task or thread, so it
/// must return quickly: put the report into a channel.
pub type Sink = Arc<dyn Fn(UnitReport) + Send + Sync>;

/// Which service manager of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// The machine's own: systemd as PID 1 over the system bus, or the SCM.
    #[default]
    System,
    /// The calling user's: `systemd --user` over the session bus. Windows has none, and takes the SCM.
    User,
    /// The one on the bus at this D-Bus address, such as `unix:path=/run/user/1000/bus`. Windows takes the SCM.
    Address(String),
}

/// Why an order to the service manager was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The manager knows no unit of this name.
    #[error("{manager} knows no unit {name:?}; check the name with `{command}`", manager = ServiceManager::KIND, command = imp::LIST_COMMAND)]
    NotFound {
        /// The unit as it was asked for.
        name: String,
    },
    /// lifesign has not the right to do this.
    #[error("not allowed to control unit {name:?}: {why}; give lifesign the right: {command}", command = crate::service::grant_command(name))]
    Denied {
        /// The unit.
        name: String,
        /// The manager's words.
        why: String,
    },
    /// The manager tried and failed, or refused the order.
    #[error("unit {name:?}: {why}")]
    Failed {
        /// The unit.
        name: String,
        /// The manager's words.
        why: String,
    },
    /// The manager has not finished in time; it may still do so.
    #[error("unit {name:?} did not get there within {after:?}; {manager} may still be at it", manager = ServiceManager::KIND)]
    TimedOut {
        /// The unit.
        name: String,
        /// How long was waited.
        after: Duration,
    },
    /// lifesign itself does not give the order now.
    #[error("unit {name:?} is not touched now: {why}")]
    Refused {
        /// The unit.
        name: String,
        /// What stands in the way: a shutdown, an update, the manager's own restart.
        why: String,
    },
    /// The manager itself cannot be reached.
    #[error("{manager} cannot be reached: {why}", manager = ServiceManager::KIND)]
    Unreachable {
        /// What went wrong.
        why: String,
    },
}

/// The connection to the service manager. Clones share it.
///
/// It connects and reconnects by itself; while it cannot, reports say
/// [`CouldNotLook`](lifesign_core::evidence::UnitState::CouldNotLook).
#[derive(Clone)]
pub struct ServiceManager(imp::Manager);

impl ServiceManager {
    /// What it is called on this system: `systemd` or `scm`, the key of `unit:` in the configuration.
    pub const KIND: &str = imp::KIND;

    /// The machine's own service manager. Never fails; the first contact is made in the background.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Self {
        Self::of(Scope::System)
    }

    /// The service manager of this scope.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn of(scope: Scope) -> Self {
        Self(imp::Manager::new(scope))
    }

    /// Reports about the unit `name` to `sink`: its state at once, then each change, until the returned
    /// [`Watch`] is dropped. `name` is any legal name (systemd: with or without its `.service`).
    pub fn watch(&self, name: &str, sink: Sink) -> Watch {
        Watch { _watch: self.0.watch(name, sink) }
    }

    /// The heart of the unit `name` as systemd's watchdog hears it, of which a beat is expected every `interval`. The SCM
    /// has nothing like it.
    pub fn pulse(&self, name: &str, interval: Duration) -> Pulse {
        Pulse(self.0.pulse(name, interval))
    }

    /// Looks once, now.
    pub async fn look(&self, name: &str) -> UnitReport {
        self.0.look(name).await
    }

    /// Starts the unit and waits until it runs. One that runs already is left alone. Gives its main
    /// process where the manager names one.
    ///
    /// # Errors
    /// See [`UnitError`]; after [`UnitError::TimedOut`] the start may still succeed.
    pub async fn start(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        self.0.start(name, timeout).await
    }

    /// Stops the unit and waits until it stands still.
    ///
    /// # Errors
    /// See [`UnitError`].
    pub async fn stop(&self, name: &str, timeout: Duration) -> Result<(), UnitError> {
        self.0.stop(name, timeout).await
    }

    /// Stops the unit if it runs, starts it, and waits until it runs. Gives its main process where the
    /// manager names one. What needs the unit is stopped before it and started after it (Windows; systemd does
    /// that by itself). This is the order of a person: only a shutdown of the machine stands in its way.
    ///
    /// # Errors
    /// See [`UnitError`].
    pub async fn restart(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        self.0.restart(name, timeout).await
    }

    /// Like [`restart`](Self::restart), as a remedy that nobody has asked for. While the manager itself is at it (its
    /// own restart is due, a start or stop is pending) that is waited for, and when the unit runs then, nothing
    /// more is done.
    ///
    /// # Errors
    /// [`UnitError::Refused`] while the machine shuts down or is being updated, and when the manager is at it for
    /// longer than `timeout`; else see [`UnitError`].
    pub async fn repair(&self, name: &str, timeout: Duration) -> Result<Option<Process>, UnitError> {
        self.0.repair(name, timeout).await
    }

    /// Why nothing on this machine is to be restarted now: it shuts down, or, for what nobody has asked for
    /// (`is_remedy`), it is being updated. A manager that cannot be reached within a second knows of nothing.
    pub async fn obstacle(&self, is_remedy: bool) -> Option<String> {
        self.0.obstacle(is_remedy).await
    }

    /// Everything the manager knows about the unit.
    ///
    /// # Errors
    /// [`UnitError::NotFound`], [`UnitError::Denied`], [`UnitError::Unreachable`].
    pub async fn info(&self, name: &str) -> Result<UnitInfo, UnitError> {
        self.0.info(name).await
    }

    /// The services of this machine, sorted by name; no drivers, and no templates of systemd units.
    ///
    /// # Errors
    /// [`UnitError::Unreachable`], with an empty name.
    pub async fn list(&self) -> Result<Vec<Listed>, UnitError> {
        self.0.list().await
    }

    /// Tells `sink` of services that are created, deleted, or started otherwise than `known` says, until the
    /// result is dropped: as soon as the manager says that something has changed, and at each
    /// [`LIST_EVERY`](Self::LIST_EVERY) in any case.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch_list(
        &self,
        mut known: Vec<Listed>,
        sink: impl Fn(ListChange) + Send + 'static,
    ) -> ListWatch {
        let manager = self.clone();
        // Before anything else, so that no change falls between.
        let mut changes = self.0.list_changes();
        let task = tokio::spawn(async move {
            let mut wait = Self::LIST_EVERY;
            loop {
                // Either way the list is read.
                let _ = tokio::time::timeout(wait, changes.next()).await;
                match manager.list().await {
                    Ok(list) => {
                        info::changes(&known, &list).into_iter().for_each(&sink);
                        known = list;
                        wait = Self::LIST_EVERY;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "Cannot read the list of services");
                        wait = Self::LIST_AGAIN;
                    }
                }
            }
        });
        ListWatch(task.abort_handle())
    }

    /// Tells when somebody may have configured services otherwise.
    pub fn config_changes(&self) -> ConfigChanges {
        ConfigChanges(self.0.list_changes())
    }

    /// How often the list of services is read although nothing was heard.
    pub const LIST_EVERY: Duration = Duration::from_secs(60);
    /// How long after a failed reading the next one follows.
    pub const LIST_AGAIN: Duration = Duration::from_secs(5);

    /// The same manager, with the journal's files in this folder instead of their usual place. Windows has no
    /// such files, and ignores it.
    #[must_use]
    pub fn with_journal_in(self, folder: impl AsRef<Path>) -> Self {
        Self(self.0.with_journal_in(folder.as_ref()))
    }
}

/// Signs that services may be configured otherwise than before.
pub struct ConfigChanges(imp::ListChanges);

impl ConfigChanges {
    /// Waits for the next one. The first comes at once: what happened before the watching is news, too.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

impl fmt::Debug for ConfigChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigChanges")
    }
}

/// The heart of one unit, heard by way of systemd: what its program says to systemd's watchdog (`WATCHDOG=1`).
pub struct Pulse(imp::Pulse);

impl Pulse {
    /// Waits for the next beat, and gives how old it is beyond the time that finding it takes. systemd itself counts
    /// the start of a unit as its first beat. Never returns where the manager hears none.
    pub async fn next(&mut self) -> Duration {
        self.0.next().await
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pulse")
    }
}

/// A watch on the list of services. Dropping it ends the watching.
#[derive(Debug)]
#[must_use = "dropping a watch ends it"]
pub struct ListWatch(tokio::task::AbortHandle);

impl Drop for ListWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Default for ServiceManager {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ServiceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceManager(")?;
        f.write_str(Self::KIND)?;
        f.write_str(")")
    }
}

/// A unit being watched. Dropping it ends the watching; no report comes after the drop has returned,
/// except one that was being delivered at that moment.
#[must_use = "dropping a watch ends it"]
pub struct Watch {
    _watch: imp::Watch,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
