//! What an agent is given to do.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::Action;
use lifesign_core::model::ServiceId;
use lifesign_os::process::ProcessSpec;
use lifesign_probe::Probe;
use tokio::sync::Notify;

/// Everything one agent watches. Ids are unique.
#[derive(Debug, Clone, Default)]
pub struct Assignments {
    /// The services.
    pub services: Vec<Assignment>,
}

/// One service as its host sees it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Its id.
    pub id: ServiceId,
    /// What the OS runs for it.
    pub unit: Option<UnitKind>,
    /// How often its systemd unit says `WATCHDOG=1` to systemd, where that is its heart.
    pub watchdog: Option<Duration>,
    /// Its active checks, in the order of [`lifesign_core::spec::Terms::checks`].
    pub checks: Vec<Check>,
}

/// Who runs the service's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitKind {
    /// systemd, by the name of the unit.
    Systemd(String),
    /// The Windows service control manager, by the name of the service.
    Scm(String),
    /// The agent itself. The folder of the log is made if it is missing.
    Process(ProcessSpec),
}

/// One active check and when it is run.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name, as in [`lifesign_core::spec::CheckSpec::name`].
    pub name: Arc<str>,
    /// Between two turns; positive.
    pub interval: Duration,
    /// How long one look may take; shorter than `interval`.
    pub timeout: Duration,
    /// Each turn is put off by a part of this, so that checks do not march in step. At most a tenth of
    /// `interval` is used.
    pub jitter: Duration,
    /// What is run.
    pub probe: Probe,
}

/// What an agent may be told while it runs.
#[derive(Debug, Clone)]
pub enum Command {
    /// Watch this from now on. What is the same as before is not touched: its processes go on, its checks
    /// keep their turns. Supervised processes that are gone from it are stopped cleanly.
    Assign(Assignments),
    /// Do something to a unit. Answered by [`lifesign_core::input::Input::ActionDone`], always.
    Act(Action),
    /// Look at a service's unit and run its checks at once.
    LookNow(ServiceId),
    /// Notify this: a proof that the agent's loop turns.
    Echo(Arc<Notify>),
}
