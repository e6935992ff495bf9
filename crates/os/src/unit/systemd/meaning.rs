//! What systemd's properties mean in our words. Pure: properties in, reports out.
//!
//! **Ordered or not.** systemd leaves `active` for `deactivating` *before* it signals a process it was told to
//! stop, and *after* it has seen a process end by itself. So a stop was ordered exactly when the unit left
//! `active` before its main process ended. Unlike a job seen on the bus this can be read afterwards, when the
//! job is long gone and also when the bus was away. Where systemd itself gave the order (watchdog, out of
//! memory, run time over), `Result` says so.

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};

use super::properties::Properties;

const CLD_EXITED: i32 = 1;
const SIGKILL: i32 = 9;
/// Exit codes that systemd itself uses for a process it could not set up (`systemd.exec(5)`, 200 to 245).
const SETUP_CODES: std::ops::RangeInclusive<i32> = 200..=245;

/// The state these properties describe. `main` is the main process, where it could be looked up.
pub(crate) fn state(unit: &Properties, main: Option<Process>) -> UnitState {
    match unit.active_state.as_str() {
        "active" | "reloading" | "refreshing" => UnitState::Running(main),
        "activating" => UnitState::Starting,
        // A crash with clearing up to do (`ExecStopPost=`, processes left over) is told at once; a stop that
        // was ordered is over only when the unit is.
        "deactivating" if died_by_itself(unit) => ended(unit),
        "deactivating" | "maintenance" => UnitState::Stopping,
        _ if unit.load_state == "not-found" => UnitState::NotFound,
        _ => ended(unit),
    }
}

/// systemd's own words: `active (running)`, `failed (Result: signal, status 9)`.
pub(crate) fn words(unit: &Properties) -> String {
    let (active, sub) = (&unit.active_state, &unit.sub_state);
    if unit.load_state != "loaded" && unit.active_state == "inactive" {
        return format!("{active} ({})", unit.load_state);
    }
    let result = unit.result.as_str();
    if matches!(result, "" | "success") {
        return format!("{active} ({sub})");
    }
    if unit.main_has_ended() {
        return format!("{active} ({sub}, Result: {result}, status {})", unit.exec_status);
    }
    format!("{active} ({sub}, Result: {result})")
}

/// The unit has ended: how, and whether on order.
fn ended(unit: &Properties) -> UnitState {
    match unit.load_state.as_str() {
        // Masking is an order never to run.
        "masked" => UnitState::Stopped { ordered: true, exit: Exit::Clean },
        "bad-setting" | "error" => UnitState::Stopped {
            ordered: false,
            exit: Exit::StartFailed(format!("systemd cannot load the unit: {}", unit.load_state)),
        },
        _ => UnitState::Stopped { ordered: ordered(unit), exit: exit(unit) },
    }
}

/// How the main process of this activation ended, else what kept the unit from running.
pub(crate) fn exit(unit: &Properties) -> Exit {
    match unit.result.as_str() {
        "watchdog" => Exit::Watchdog,
        "start-limit-hit" => {
            Exit::StartFailed("start-limit-hit: it was started too often too fast".to_owned())
        }
        "protocol" => Exit::StartFailed("protocol: it did not announce itself as its unit says".to_owned()),
        "resources" => Exit::StartFailed("resources: systemd could not set it up".to_owned()),
        "timeout" if !unit.became_active() => {
            Exit::StartFailed("timeout: it was not ready in time".to_owned())
        }
        "oom-kill" if !unit.main_has_ended() => Exit::Signal(SIGKILL),
        // What systemd counts as success (`SuccessExitStatus=`) is no crash.
        "success" if unit.main_has_ended() && unit.exec_code == CLD_EXITED => Exit::Clean,
        _ if !unit.main_has_ended() => match unit.result.as_str() {
            "" | "success" => Exit::Unseen,
            // systemd keeps the first failure as the result when it then refuses to start once more.
            other if unit.exec_code != 0 => Exit::StartFailed(format!(
                "{other}: not started again, because it was started too often too fast (start limit) or because \
                 a command before its main process failed"
            )),
            other => Exit::StartFailed(format!("{other}: a command before its main process failed")),
        },
        _ if unit.exec_code != CLD_EXITED => Exit::Signal(unit.exec_status),
        _ if unit.exec_status == 203 => {
            Exit::StartFailed("status 203/EXEC: systemd could not execute the program".to_owned())
        }
        _ if SETUP_CODES.contains(&unit.exec_status) => {
            Exit::StartFailed(format!("status {}: systemd could not set the process up", unit.exec_status))
        }
        _ => Exit::Code(i64::from(unit.exec_status)),
    }
}

/// Whether the end was ordered; see the head of this file.
pub(crate) fn ordered(unit: &Properties) -> bool {
    match unit.result.as_str() {
        "watchdog" | "oom-kill" | "start-limit-hit" | "protocol" | "resources" => return false,
        // Either the stop took too long, or systemd ended what was too slow to start or ran too long.
        "timeout" if !unit.became_active() || unit.runtime_max != u64::MAX => return false,
        // An ordered stop is never followed by systemd's own restart.
        _ if unit.awaits_restart() => return false,
        _ => {}
    }
    let left_active = unit.became_active() && unit.active_exit >= unit.active_enter;
    match unit.main_has_ended() {
        // Nothing but an order ends `active (exited)`.
        _ if unit.remain_after_exit && unit.result == "success" => left_active,
        true if left_active => unit.active_exit < unit.exec_exit,
        // Stopped on its way up: an end by a signal that still counts as success.
        true => !unit.became_active() && unit.result == "success" && unit.exec_code != CLD_EXITED,
        false => false,
    }
}

/// Its main process ended while the unit was not being stopped.
fn died_by_itself(unit: &Properties) -> bool {
    unit.main_pid == 0 && unit.main_has_ended() && !ordered(unit) && !unit.remain_after_exit
}

/// Turns successive readings of one unit into reports, each a difference.
///
/// Each main process is one *life*, known by its start. systemd merges changes it has not yet sent, so a quick
/// crash and restart may show only as a new life; the end of the old one is then put in by us.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    last: Option<UnitReport>,
    /// The end last reported, as long as nothing has started since.
    end: Option<UnitReport>,
    /// The life last reported as running.
    alive: Option<u64>,
    /// The life last reported as ended, with systemd's word for it.
    dead: Option<u64>,
    /// The life whose process was seen to be gone before systemd said so.
    gone: Option<u64>,
}

impl Tracker {
    /// The reports that `unit` adds to what was said before: none, one, or the end of a life and what followed.
    pub(crate) fn read(&mut self, unit: &Properties, main: Option<Process>) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        let state = state(unit, main);
        let is_end = matches!(state, UnitState::Stopped { .. });
        if is_end
            && unit.is_blank()
            && let Some(end) = self.end.clone()
        {
            // systemd forgets units that stand still; what was said about the end is still true.
            self.say(end, &mut reports);
            return reports;
        }
        if !is_end && let Some(missed) = self.missed_end(unit, &state) {
            self.say(missed, &mut reports);
        }
        let life = unit.exec_start;
        if matches!(state, UnitState::Running(Some(_))) {
            self.alive = Some(life);
        } else if is_end || (self.last.is_none() && unit.main_has_ended()) {
            self.dead = Some(life);
        }
        self.say(UnitReport { state, os: words(unit), last_output: None }, &mut reports);
        reports
    }

    /// The end that lies between the last report and `unit`, which itself is no end.
    fn missed_end(&mut self, unit: &Properties, state: &UnitState) -> Option<UnitReport> {
        let life = unit.exec_start;
        let told = self.alive == Some(life) || unit.awaits_restart();
        let (state, os) = if self.last.is_none() || unit.remain_after_exit || *state == UnitState::Stopping {
            return None;
        } else if unit.main_has_ended() && told && self.dead != Some(life) {
            self.dead = Some(life);
            (UnitState::Stopped { ordered: ordered(unit), exit: exit(unit) }, words(unit))
        } else if let Some(before) = self.alive.filter(|before| *before != life)
            && self.dead != Some(before)
        {
            self.dead = Some(before);
            if self.gone == Some(before) {
                return None;
            }
            let os = "ended and was started again before systemd could say how".to_owned();
            (UnitState::Stopped { ordered: self.was_stopping(), exit: Exit::Unseen }, os)
        } else {
            return None;
        };
        Some(UnitReport { state, os, last_output: None })
    }

    /// Says that the main process is gone although systemd has not yet said anything.
    pub(crate) fn lost(&mut self) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        self.gone = self.alive;
        let state = UnitState::Stopped { ordered: self.was_stopping(), exit: Exit::Unseen };
        let os = "the main process is gone; systemd has not yet said why".to_owned();
        self.say(UnitReport { state, os, last_output: None }, &mut reports);
        reports
    }

    /// Says that nobody could look. What was known stays known, for when looking is possible again.
    pub(crate) fn blind(&mut self, why: String) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        self.say(
            UnitReport { os: why.clone(), state: UnitState::CouldNotLook(why), last_output: None },
            &mut reports,
        );
        reports
    }

    /// Says that there is no such unit.
    pub(crate) fn absent(&mut self, report: UnitReport) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        self.say(report, &mut reports);
        reports
    }

    fn say(&mut self, report: UnitReport, reports: &mut Vec<UnitReport>) {
        if self.last.as_ref() == Some(&report) {
            return;
        }
        match report.state {
            UnitState::Stopped { .. } => self.end = Some(report.clone()),
            UnitState::CouldNotLook(_) => {}
            _ => self.end = None,
        }
        self.last = Some(report.clone());
        reports.push(report);
    }

    fn was_stopping(&self) -> bool {
        matches!(&self.last, Some(UnitReport { state: UnitState::Stopping, .. }))
    }
}
