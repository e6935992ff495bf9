//! The properties of a unit that we keep, filled from `GetAll` and from `PropertiesChanged`
//! (`org.freedesktop.systemd1(5)`, interfaces `Unit` and `Service`).

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

/// What systemd says about one unit. Times are its monotonic microseconds; 0 is "never".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties {
    /// `loaded`, `not-found`, `bad-setting`, `error`, `masked`.
    pub(crate) load_state: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`, …
    pub(crate) active_state: String,
    /// The unit type's own state: `running`, `exited`, `auto-restart`, `stop-sigterm`, …
    pub(crate) sub_state: String,
    /// Any change of the three above.
    pub(crate) state_change: u64,
    /// Left `inactive` or `failed`: this activation began.
    pub(crate) inactive_exit: u64,
    /// Became `active`.
    pub(crate) active_enter: u64,
    /// Left `active`.
    pub(crate) active_exit: u64,
    /// The job queued for it, or being carried out; 0: none.
    pub(crate) job: u32,
    pub(crate) main_pid: u32,
    /// `success`, `exit-code`, `signal`, `core-dump`, `watchdog`, `timeout`, `start-limit-hit`, …
    pub(crate) result: String,
    /// The main process last known, alive or dead.
    pub(crate) exec_pid: u32,
    pub(crate) exec_start: u64,
    pub(crate) exec_exit: u64,
    /// `CLD_EXITED` (1), `CLD_KILLED` (2), `CLD_DUMPED` (3); 0 while it lives.
    pub(crate) exec_code: i32,
    /// The exit code or the signal.
    pub(crate) exec_status: i32,
    /// `active (exited)` is a state of health (oneshot units).
    pub(crate) remain_after_exit: bool,
    /// Limit after which systemd stops the unit by itself; all ones: none.
    pub(crate) runtime_max: u64,
    /// How often systemd has restarted it by itself since somebody last started it.
    pub(crate) restarts: u32,
    /// How systemd stops it.
    pub(crate) stop: StopManner,
    /// Which start of the unit this is: marks its lines in the journal.
    pub(crate) invocation: [u8; 16],
    /// What systemd does about its end.
    pub(crate) recovery: Recovery,
}

/// `Restart=` and what belongs to it. Times are microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Recovery {
    /// `no`, `always`, `on-failure`, …
    pub(crate) restart: String,
    /// `RestartSec=`.
    pub(crate) pause: u64,
    /// `StartLimitBurst=`; 0: no limit.
    pub(crate) burst: u32,
    /// `StartLimitIntervalSec=`; 0: no limit.
    pub(crate) interval: u64,
    /// `Type=oneshot`.
    pub(crate) is_oneshot: bool,
}

/// How systemd stops a unit, as far as an end by a signal can be told from that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StopManner {
    /// `KillSignal=`, `RestartKillSignal=`, `WatchdogSignal=`.
    signals: [i32; 3],
    /// `SendSIGHUP=`.
    hangs_up: bool,
    /// `ExecStop=` names a command, which may do anything.
    commands: bool,
    /// `TimeoutStopSec=` in microseconds: after it comes `SIGKILL`.
    timeout: u64,
}

/// An ordered stop that is about to end in `SIGKILL` has been told by systemd this long before.
const STOP_IS_TOLD_WITHIN: u64 = 2_000_000;

impl StopManner {
    /// Whether a process that ended by this signal, without a word of systemd before, cannot have been stopped by
    /// systemd.
    pub(crate) fn never_sends(&self, signal: i32) -> bool {
        let may = self.commands
            || self.timeout < STOP_IS_TOLD_WITHIN
            || self.signals.contains(&signal)
            || (self.hangs_up && signal == SIGHUP);
        !may
    }
}

const SIGHUP: i32 = 1;

impl Properties {
    /// Takes over what is known to us of `values`; the rest and values of another type are left out.
    pub(crate) fn take(&mut self, values: &HashMap<String, OwnedVariant>) {
        for (name, value) in values {
            self.take_one(name, value);
        }
    }

    fn take_one(&mut self, name: &str, value: &Variant<'_>) {
        match (name, value) {
            ("LoadState", Variant::Str(text)) => self.load_state = text.to_string(),
            ("ActiveState", Variant::Str(text)) => self.active_state = text.to_string(),
            ("SubState", Variant::Str(text)) => self.sub_state = text.to_string(),
            ("Result", Variant::Str(text)) => self.result = text.to_string(),
            ("StateChangeTimestampMonotonic", Variant::U64(at)) => self.state_change = *at,
            ("InactiveExitTimestampMonotonic", Variant::U64(at)) => self.inactive_exit = *at,
            ("ActiveEnterTimestampMonotonic", Variant::U64(at)) => self.active_enter = *at,
            ("ActiveExitTimestampMonotonic", Variant::U64(at)) => self.active_exit = *at,
            ("ExecMainStartTimestampMonotonic", Variant::U64(at)) => self.exec_start = *at,
            ("ExecMainExitTimestampMonotonic", Variant::U64(at)) => self.exec_exit = *at,
            ("RuntimeMaxUSec", Variant::U64(span)) => self.runtime_max = *span,
            ("MainPID", Variant::U32(pid)) => self.main_pid = *pid,
            ("ExecMainPID", Variant::U32(pid)) => self.exec_pid = *pid,
            ("ExecMainCode", Variant::I32(code)) => self.exec_code = *code,
            ("ExecMainStatus", Variant::I32(status)) => self.exec_status = *status,
            ("Job", Variant::Structure(job)) => {
                if let Some(Variant::U32(id)) = job.fields().first() {
                    self.job = *id;
                }
            }
            ("RemainAfterExit", Variant::Bool(yes)) => self.remain_after_exit = *yes,
            ("Restart", Variant::Str(when)) => self.recovery.restart = when.to_string(),
            ("RestartUSec", Variant::U64(span)) => self.recovery.pause = *span,
            ("StartLimitBurst", Variant::U32(starts)) => self.recovery.burst = *starts,
            ("StartLimitIntervalUSec", Variant::U64(span)) => self.recovery.interval = *span,
            ("Type", Variant::Str(kind)) => self.recovery.is_oneshot = kind.as_str() == "oneshot",
            ("NRestarts", Variant::U32(count)) => self.restarts = *count,
            ("KillSignal", Variant::I32(signal)) => self.stop.signals[0] = *signal,
            ("RestartKillSignal", Variant::I32(signal)) => self.stop.signals[1] = *signal,
            ("WatchdogSignal", Variant::I32(signal)) => self.stop.signals[2] = *signal,
            ("SendSIGHUP", Variant::Bool(yes)) => self.stop.hangs_up = *yes,
            ("ExecStop", Variant::Array(commands)) => self.stop.commands = !commands.is_empty(),
            ("TimeoutStopUSec", Variant::U64(span)) => self.stop.timeout = *span,
            ("InvocationID", Variant::Array(bytes)) => {
                let byte = |value: &Variant<'_>| if let Variant::U8(byte) = value { *byte } else { 0 };
                let mut id = bytes.iter().map(byte);
                self.invocation = std::array::from_fn(|_| id.next().unwrap_or(0));
            }
            _ => {}
        }
    }

    /// Whether systemd waits to start it again by itself.
    pub(crate) fn awaits_restart(&self) -> bool {
        self.sub_state.starts_with("auto-restart")
    }

    /// Whether it stands still and is about to start: a job waits for it, or its process is there already. (In
    /// the middle of a start systemd sends a picture with the new process and the old state.)
    pub(crate) fn is_about_to_start(&self) -> bool {
        let process_first = self.main_pid != 0 && self.exec_code == 0 && self.exec_start > self.state_change;
        matches!(self.active_state.as_str(), "inactive" | "failed") && (self.job != 0 || process_first)
    }

    /// Whether the last known main process has ended, and ran in the present or last activation. (Otherwise it
    /// is an old one, and this time the unit did not get as far as its main process.)
    pub(crate) fn main_has_ended(&self) -> bool {
        // The wait for a restart counts as a new activation already, and is about the process before it.
        let of_this_time = self.awaits_restart() || self.exec_exit >= self.inactive_exit;
        self.exec_code != 0 && self.exec_exit >= self.exec_start && of_this_time
    }

    /// Whether the unit got to `active` with its last known main process, or without one in this activation.
    pub(crate) fn became_active(&self) -> bool {
        let begun = if self.main_has_ended() { self.exec_start } else { self.inactive_exit };
        self.active_enter != 0 && self.active_enter >= begun
    }

    /// Whether this is a unit systemd has no memory of: never started since boot, or forgotten since.
    pub(crate) fn is_blank(&self) -> bool {
        self.active_state == "inactive" && self.inactive_exit == 0 && self.exec_pid == 0
    }
}

/// Pictures of units for the tests of this folder.
#[cfg(test)]
pub(super) mod samples {
    use super::Properties;

    /// When a unit left `active` whose process ended, at 200, by itself.
    pub(crate) const BY_ITSELF: u64 = 201;
    /// When one left it that somebody had ordered to stop.
    pub(crate) const BY_ORDER: u64 = 199;

    /// A simple service that became active at 100 with process 10.
    pub(crate) fn running() -> Properties {
        Properties {
            load_state: "loaded".to_owned(),
            active_state: "active".to_owned(),
            sub_state: "running".to_owned(),
            inactive_exit: 100,
            active_enter: 100,
            main_pid: 10,
            result: "success".to_owned(),
            exec_pid: 10,
            exec_start: 100,
            runtime_max: u64::MAX,
            ..Properties::default()
        }
    }

    /// The same, ended with `result` and this code and status; it left `active` at `left`, the process ended at 200.
    pub(crate) fn ended_as(result: &str, code: i32, status: i32, left: u64) -> Properties {
        let active_state = if result == "success" { "inactive" } else { "failed" };
        Properties {
            active_state: active_state.to_owned(),
            sub_state: if result == "success" { "dead" } else { "failed" }.to_owned(),
            active_exit: left,
            main_pid: 0,
            result: result.to_owned(),
            exec_exit: 200,
            exec_code: code,
            exec_status: status,
            ..running()
        }
    }
}
