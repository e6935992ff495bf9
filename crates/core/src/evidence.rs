//! What observers report: units, heartbeats, probes. Facts only; judging is the engine's work.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{HostName, Reason, ServiceId};
use crate::time::Wall;

/// Most components one answer may name; further ones are dropped and counted in the output.
pub const MAX_COMPONENTS: usize = 64;
/// Longest output text of a check that is kept, in bytes; the rest is cut on a character border.
pub const MAX_OUTPUT: usize = 4096;
/// Most notes one report carries.
pub const MAX_NOTES: usize = 8;

/// One process, told apart from a later one with the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The number the OS gave.
    pub pid: u32,
    /// The OS's own start stamp (Linux: clock ticks since boot, `/proc/PID/stat` field 22;
    /// Windows: `FILETIME` of creation). Compared for equality only.
    pub started: u64,
}

/// How a unit ended, in the OS's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// Exit code 0, or the OS's word for success.
    Clean,
    /// A non-zero exit code (Windows: also an NTSTATUS fault such as 0xC0000005).
    Code(i64),
    /// Ended by this signal (Unix only).
    Signal(i32),
    /// The program could not be started: the OS's words.
    StartFailed(String),
    /// The OS's own watchdog ended it because it no longer answered.
    Watchdog,
    /// It is gone and nobody could tell how.
    Unseen,
}

impl Exit {
    /// The contract's word for an end that nobody ordered. Crash signals are faults of the program itself; any
    /// other signal came from outside (signal(7), "core" and "ill/abrt/fpe/segv/bus/trap/sys/quit/xcpu/xfsz").
    pub fn reason(&self) -> Reason {
        const FAULTS: &[i32] = &[3, 4, 5, 6, 7, 8, 11, 24, 25, 31];
        match self {
            Self::Clean | Self::Unseen => Reason::Exited,
            Self::Code(_) => Reason::Crashed,
            Self::Signal(signal) if FAULTS.contains(signal) => Reason::Crashed,
            Self::Signal(_) => Reason::Killed,
            Self::StartFailed(_) => Reason::StartFailed,
            Self::Watchdog => Reason::Hung,
        }
    }
}

/// What the OS says a unit is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitState {
    /// Running, with its main process where the OS names one.
    Running(Option<Process>),
    /// On its way up (start pending, continue pending, activating, the OS's own restart wait).
    Starting,
    /// On its way down (stop pending, pause pending, deactivating).
    Stopping,
    /// Paused (SCM only).
    Paused,
    /// Not running.
    Stopped {
        /// Whether somebody ordered the stop (`systemctl stop`, an SCM stop control, lifesign's own stop).
        ordered: bool,
        /// How it ended.
        exit: Exit,
    },
    /// The OS knows no unit of this name.
    NotFound,
    /// The observer could not look (bus away, access denied): its words. Changes no state.
    CouldNotLook(String),
}

/// One look at a unit, or one event about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReport {
    /// The state in our words.
    pub state: UnitState,
    /// The state in the OS's words: `active (running)`, `SERVICE_STOPPED 1067`.
    pub os: String,
    /// The last output or log lines, kept when the unit ended; at most [`MAX_OUTPUT`] bytes.
    pub last_output: Option<String>,
    /// What else people should know of it: holes in the OS's own recovery policy, a restart of the OS's own that
    /// is under way. One sentence each, at most [`MAX_NOTES`].
    #[serde(default)]
    pub notes: Vec<String>,
    /// What its process used when it was last looked at before its end: memory, processor time, handles. One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// Whether the report of an end is all there is to tell of it.
    #[serde(default, skip_serializing_if = "Remains::is_unsaid")]
    pub remains: Remains,
}

/// Whether there is more to come about an end than its report says: last lines are read after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remains {
    /// The report says nothing of that.
    #[default]
    Unsaid,
    /// The observer looks for more and will tell, also when it finds nothing.
    Follow,
    /// This is what it found.
    Complete,
}

impl Remains {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
    const fn is_unsaid(&self) -> bool {
        matches!(self, Self::Unsaid)
    }
}

impl UnitReport {
    /// A report of nothing but the state, in our words and in the OS's.
    pub fn new(state: UnitState, os: impl Into<String>) -> Self {
        Self {
            state,
            os: os.into(),
            last_output: None,
            notes: Vec::new(),
            usage: None,
            remains: Remains::Unsaid,
        }
    }
}

/// How a unit last ended, in the OS's own numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExitCodes {
    /// Windows: `dwWin32ExitCode`.
    pub win32: Option<u32>,
    /// Windows: `dwServiceSpecificExitCode`, where the service has given one (`win32` is 1066 then).
    pub specific: Option<u32>,
    /// systemd: `Result`.
    pub result: Option<String>,
    /// systemd: the exit code of the main process.
    pub status: Option<i32>,
    /// systemd: the signal that ended the main process.
    pub signal: Option<i32>,
}

impl ExitCodes {
    /// The Win32 code of a service that was not started since boot.
    const NEVER_STARTED: u32 = 1077;

    /// `Win32 code 1067`, `Result=signal, signal 9`; `None` where it ended well or not at all.
    pub fn in_words(&self) -> Option<String> {
        let mut words = Vec::new();
        if let Some(win32) = self.win32.filter(|code| *code != 0 && *code != Self::NEVER_STARTED) {
            let specific =
                self.specific.map(|code| format!(" (service-specific {code})")).unwrap_or_default();
            words.push(format!("Win32 code {win32}{specific}"));
        }
        words.extend(
            self.result
                .as_ref()
                .filter(|result| *result != "success")
                .map(|result| format!("Result={result}")),
        );
        words.extend(self.status.filter(|status| *status != 0).map(|status| format!("exit code {status}")));
        words.extend(self.signal.filter(|signal| *signal != 0).map(|signal| format!("signal {signal}")));
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// Most names of units that [`UnitFacts`] hold on either side; further ones are dropped.
pub const MAX_NEIGHBOURS: usize = 64;

/// What the OS knows of a unit beside its state. Decides nothing; people see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnitFacts {
    /// What it calls itself for people; empty where it does not.
    pub title: String,
    /// When it is started: `automatic`, `delayed`, `manual` or `disabled`.
    pub start: String,
    /// The same in the OS's own words: `enabled`, `SERVICE_AUTO_START (delayed)`.
    pub start_os: String,
    /// Since when the OS has it in its present state, where it says so.
    pub since: Option<Wall>,
    /// How it last ended.
    pub exit: ExitCodes,
    /// How often the OS itself has restarted it since somebody last started it, where the OS says so.
    pub restarts: Option<u32>,
    /// What it needs to run; at most [`MAX_NEIGHBOURS`].
    pub needs: Vec<String>,
    /// What needs it; at most [`MAX_NEIGHBOURS`].
    pub needed_by: Vec<String>,
    /// The OS's own recovery policy in its own words; `None` where the OS offers none.
    pub recovery: Option<String>,
    /// What it runs, without what looks like a secret; empty where the OS does not say.
    #[serde(default)]
    pub program: String,
    /// As whom; empty where the unit names nobody.
    #[serde(default)]
    pub account: String,
    /// What of all this somebody has changed while it was watched, and when that was last noticed.
    #[serde(default)]
    pub changed: Vec<(Setting, Wall)>,
}

/// A part of a unit's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// What it runs.
    Program,
    /// As whom.
    Account,
    /// When it is started.
    Start,
    /// What it needs to run.
    Dependencies,
    /// The OS's own recovery policy.
    Recovery,
}

impl Setting {
    /// The word for it: `program`, `account`, `start`, `dependencies`, `recovery`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Account => "account",
            Self::Start => "start",
            Self::Dependencies => "dependencies",
            Self::Recovery => "recovery",
        }
    }
}

/// Why a probe failed. The verdict table tells a silent target from a wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailKind {
    /// No answer in time.
    Timeout,
    /// The connection was refused or reset, or the name does not resolve.
    Refused,
    /// It answered, and the answer was wrong.
    Wrong,
}

/// The result of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckOutcome {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Fail(FailKind),
    /// The check itself could not look. Changes no state.
    Unknown,
}

/// One component of a service, as the service itself reports it (`db`, `redis`, `db.replica`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Path of the component, dots between the levels.
    pub name: String,
    /// The service's own word: `UP`, `DOWN`, `OUT_OF_SERVICE`, …
    pub status: String,
    /// Whether that word means it works.
    pub up: bool,
}

/// How long each phase of a probe took; `None` for a phase that did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Resolving the name.
    pub dns: Option<Duration>,
    /// Connecting.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// All of it.
    pub total: Duration,
}

/// One finished probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Pass, fail or unknown.
    pub outcome: CheckOutcome,
    /// One line for people: `200 OK in 12 ms`, `connection refused`. At most [`MAX_OUTPUT`] bytes.
    pub output: String,
    /// Where the time went.
    pub phases: Phases,
    /// The service's components, when the answer named any; at most [`MAX_COMPONENTS`].
    pub components: Vec<Component>,
}

/// What a heartbeat says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeatStatus {
    /// I am well.
    Alive,
    /// I am about to stop, on purpose.
    Stopping,
    /// I run, but I cannot do my work.
    Fail,
}

/// Longest id of a run, in bytes.
pub const MAX_RUN_ID: usize = 64;

/// Which moment of a run a report tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// It begins.
    Started,
    /// It has ended; whether well, [`Run::exit`] and [`Beat::status`] say.
    Ended,
    /// Neither: something to be kept with it. Changes no state.
    Noted,
}

/// What a report says of one run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which moment this is.
    pub phase: RunPhase,
    /// Tells runs apart that overlap; at most [`MAX_RUN_ID`] bytes.
    pub id: Option<Arc<str>>,
    /// How it ended, where the reporter knows. Anything but [`Exit::Clean`] is a failure.
    pub exit: Option<Exit>,
    /// How long it took, by the clock of its reporter.
    pub took: Option<Duration>,
    /// The last it wrote; at most [`MAX_OUTPUT`] bytes.
    pub output: Option<String>,
}

impl Run {
    /// The beginning of a run.
    pub const fn started() -> Self {
        Self { phase: RunPhase::Started, id: None, exit: None, took: None, output: None }
    }

    /// The end of a run of which no more is known.
    pub fn ended() -> Self {
        Self { phase: RunPhase::Ended, ..Self::started() }
    }
}

/// One heartbeat, already authorised and parsed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Whose heart beats.
    pub service: ServiceId,
    /// What it says.
    pub status: BeatStatus,
    /// The sender's own time, shown as clock skew and never used for liveness.
    pub sent_at: Option<Wall>,
    /// Metrics by name; values are finite.
    pub metrics: Vec<(Arc<str>, f64)>,
    /// Free text of the sender, shown with the service.
    pub message: Option<String>,
    /// How long until the sender's next one, where it says so (back-off mode).
    pub interval: Option<Duration>,
    /// Whether its sender hears our answers, where it says so (mutual mode).
    pub hears: Option<bool>,
    /// How far its sender has come with its work, where it counts that: any number that changes while it works.
    pub progress: Option<u64>,
    /// What it says of a run of a job. Few do, so it does not make all the others large.
    #[serde(default)]
    pub run: Option<Box<Run>>,
    /// How long it waited on the way in a spool of our own, by the spool's monotonic clock.
    pub age: Duration,
}

impl Beat {
    /// A heartbeat that says nothing but *I am well*.
    pub fn alive(service: ServiceId) -> Self {
        Self {
            service,
            status: BeatStatus::Alive,
            sent_at: None,
            metrics: Vec::new(),
            message: None,
            interval: None,
            hears: None,
            progress: None,
            run: None,
            age: Duration::ZERO,
        }
    }
}

/// A sample of a host's own metrics (`host_cpu`, `host_memory`, …).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// The host.
    pub host: HostName,
    /// Metrics by name; values are finite.
    pub metrics: Vec<(Arc<str>, f64)>,
}
