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
        let unit = &self.of_the_life_we_saw(unit);
        let mut state = state(unit, main);
        if unit.is_about_to_start() && !self.is_up() {
            state = UnitState::Starting;
        }
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

    /// `unit`, where an end that was not told yet is not taken for one of an earlier activation, because the
    /// next one has begun meanwhile.
    fn of_the_life_we_saw(&self, unit: &Properties) -> Properties {
        let mut unit = unit.clone();
        if self.alive == Some(unit.exec_start) && self.dead != self.alive {
            unit.inactive_exit = unit.inactive_exit.min(unit.exec_start);
        }
        unit
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

    /// Whether what was said last is that it is up, or on its way down.
    fn is_up(&self) -> bool {
        let last = self.last.as_ref().map(|report| &report.state);
        matches!(last, Some(UnitState::Running(_) | UnitState::Stopping))
    }

    fn was_stopping(&self) -> bool {
        matches!(&self.last, Some(UnitReport { state: UnitState::Stopping, .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A simple service that became active at 100 with process 10.
    fn running() -> Properties {
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
    fn ended_as(result: &str, code: i32, status: i32, left: u64) -> Properties {
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

    fn end(unit: &Properties) -> (bool, Exit) {
        match state(unit, None) {
            UnitState::Stopped { ordered, exit } => (ordered, exit),
            other => panic!("{other:?}"),
        }
    }

    const PROCESS: Process = Process { pid: 10, started: 1 };
    const BY_ITSELF: u64 = 201;
    const BY_ORDER: u64 = 199;

    #[test]
    fn each_way_to_end_has_its_meaning() {
        let cases = [
            (ended_as("success", 1, 0, BY_ITSELF), (false, Exit::Clean)),
            (ended_as("success", 1, 0, BY_ORDER), (true, Exit::Clean)),
            (ended_as("success", 2, 15, BY_ORDER), (true, Exit::Signal(15))),
            (ended_as("success", 2, 15, BY_ITSELF), (false, Exit::Signal(15))),
            (ended_as("exit-code", 1, 3, BY_ITSELF), (false, Exit::Code(3))),
            (ended_as("exit-code", 1, 143, BY_ORDER), (true, Exit::Code(143))),
            (ended_as("signal", 2, 9, BY_ITSELF), (false, Exit::Signal(9))),
            (ended_as("core-dump", 3, 11, BY_ITSELF), (false, Exit::Signal(11))),
            (ended_as("watchdog", 2, 6, BY_ORDER), (false, Exit::Watchdog)),
            (ended_as("oom-kill", 2, 9, BY_ORDER), (false, Exit::Signal(9))),
            // A stop that took too long.
            (ended_as("timeout", 2, 9, BY_ORDER), (true, Exit::Signal(9))),
            // What systemd counts as success is no crash.
            (ended_as("success", 1, 75, BY_ITSELF), (false, Exit::Clean)),
        ];
        for (unit, expected) in cases {
            assert_eq!(end(&unit), expected, "{unit:?}");
        }
        let too_long = Properties { runtime_max: 50, ..ended_as("timeout", 2, 15, BY_ORDER) };
        assert_eq!(end(&too_long), (false, Exit::Signal(15)), "the run time was over");
    }

    #[test]
    fn a_unit_that_never_ran_has_failed_to_start() {
        let no_program = ended_as("exit-code", 1, 203, BY_ITSELF);
        assert!(matches!(end(&no_program), (false, Exit::StartFailed(why)) if why.contains("203")));
        // The last known main process is of an earlier activation, which somebody had stopped.
        let before = Properties { inactive_exit: 300, ..ended_as("success", 2, 15, BY_ORDER) };
        let before =
            Properties { active_state: "failed".to_owned(), result: "exit-code".to_owned(), ..before };
        assert!(matches!(end(&before), (false, Exit::StartFailed(_))));
        let slow = Properties { active_enter: 0, active_exit: 0, ..ended_as("timeout", 2, 15, 0) };
        assert!(matches!(end(&slow), (false, Exit::StartFailed(why)) if why.contains("timeout")));
        let stopped_meanwhile =
            Properties { active_enter: 0, active_exit: 0, ..ended_as("success", 2, 15, 0) };
        assert_eq!(end(&stopped_meanwhile), (true, Exit::Signal(15)));
    }

    #[test]
    fn load_states_come_before_states() {
        let with = |load: &str| Properties {
            load_state: load.to_owned(),
            active_state: "inactive".to_owned(),
            ..Properties::default()
        };
        assert_eq!(state(&with("not-found"), None), UnitState::NotFound);
        assert_eq!(state(&with("masked"), None), UnitState::Stopped { ordered: true, exit: Exit::Clean });
        assert!(matches!(end(&with("bad-setting")), (false, Exit::StartFailed(_))));
        assert_eq!(end(&with("loaded")), (false, Exit::Unseen), "never started: nobody can say why");
        let deleted_while_running = Properties { load_state: "not-found".to_owned(), ..running() };
        assert_eq!(state(&deleted_while_running, Some(PROCESS)), UnitState::Running(Some(PROCESS)));
    }

    #[test]
    fn a_crash_is_told_before_its_clearing_up_ends_and_a_stop_only_after() {
        let clearing = |left| Properties {
            active_state: "deactivating".to_owned(),
            sub_state: "stop-post".to_owned(),
            ..ended_as("exit-code", 1, 3, left)
        };
        assert_eq!(end(&clearing(BY_ITSELF)), (false, Exit::Code(3)));
        assert_eq!(state(&clearing(BY_ORDER), None), UnitState::Stopping);
    }

    #[test]
    fn a_death_is_told_although_systemd_is_about_to_restart_the_unit() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.read(&running(), Some(PROCESS)).len(), 1);
        assert_eq!(tracker.read(&running(), Some(PROCESS)), [], "nothing new, nothing said");
        let waiting = Properties {
            active_state: "activating".to_owned(),
            sub_state: "auto-restart".to_owned(),
            inactive_exit: 202,
            ..ended_as("signal", 2, 9, BY_ITSELF)
        };
        let said = tracker.read(&waiting, None);
        let states: Vec<_> = said.into_iter().map(|report| report.state).collect();
        assert_eq!(
            states,
            [UnitState::Stopped { ordered: false, exit: Exit::Signal(9) }, UnitState::Starting]
        );
        assert_eq!(tracker.read(&waiting, None), [], "one death is told once");
    }

    #[test]
    fn a_new_life_betrays_a_death_that_nobody_saw() {
        let mut tracker = Tracker::default();
        tracker.read(&running(), Some(PROCESS));
        let next = Properties { main_pid: 11, exec_pid: 11, exec_start: 300, active_enter: 301, ..running() };
        let reborn = Process { pid: 11, started: 2 };
        let said = tracker.read(&next, Some(reborn));
        let states: Vec<_> = said.into_iter().map(|report| report.state).collect();
        let missed = UnitState::Stopped { ordered: false, exit: Exit::Unseen };
        assert_eq!(states, [missed, UnitState::Running(Some(reborn))]);
    }

    #[test]
    fn a_picture_from_the_middle_of_a_start_is_no_end() {
        let mut tracker = Tracker::default();
        let end = ended_as("signal", 2, 9, BY_ITSELF);
        tracker.read(&running(), Some(PROCESS));
        tracker.read(&end, None);
        let new = Properties { main_pid: 11, exec_pid: 11, exec_start: 300, exec_code: 0, ..running() };
        let half =
            Properties { active_state: "failed".to_owned(), sub_state: "failed".to_owned(), ..new.clone() };
        let half = Properties { exec_exit: 0, state_change: 201, ..half };
        let queued = Properties { job: 7, ..end };
        for picture in [queued, half] {
            let said = tracker.read(&picture, None);
            assert!(said.iter().all(|report| report.state == UnitState::Starting), "{said:?}");
        }
        let said = tracker.read(&Properties { inactive_exit: 301, active_enter: 301, ..new }, Some(PROCESS));
        assert!(matches!(said[..], [UnitReport { state: UnitState::Running(_), .. }]), "{said:?}");
    }

    #[test]
    fn a_death_is_known_by_its_cause_although_the_next_start_has_begun() {
        let mut tracker = Tracker::default();
        tracker.read(&running(), Some(PROCESS));
        let next = Properties { inactive_exit: 202, job: 7, ..ended_as("signal", 2, 9, BY_ITSELF) };
        let said = tracker.read(&next, None);
        let expected = UnitState::Stopped { ordered: false, exit: Exit::Signal(9) };
        assert!(matches!(&said[..], [report] if report.state == expected), "{said:?}");
    }

    #[test]
    fn a_unit_that_systemd_has_forgotten_keeps_its_last_end() {
        let blank = Properties {
            load_state: "loaded".to_owned(),
            active_state: "inactive".to_owned(),
            sub_state: "dead".to_owned(),
            result: "success".to_owned(),
            ..Properties::default()
        };
        let mut tracker = Tracker::default();
        tracker.read(&running(), Some(PROCESS));
        let end = tracker.read(&ended_as("success", 2, 15, BY_ORDER), None);
        assert_eq!(tracker.read(&blank, None), []);
        tracker.blind("the bus is away".to_owned());
        assert_eq!(tracker.read(&blank, None), end, "after a blindness it is said again");
    }

    #[test]
    fn a_death_seen_before_systemd_spoke_is_refined_and_not_told_twice() {
        let mut tracker = Tracker::default();
        tracker.read(&running(), Some(PROCESS));
        assert!(matches!(
            tracker.lost()[..],
            [UnitReport { state: UnitState::Stopped { exit: Exit::Unseen, .. }, .. }]
        ));
        let said = tracker.read(&ended_as("signal", 2, 9, BY_ITSELF), None);
        assert!(matches!(
            said[..],
            [UnitReport { state: UnitState::Stopped { exit: Exit::Signal(9), .. }, .. }]
        ));

        let mut tracker = Tracker::default();
        tracker.read(&running(), Some(PROCESS));
        tracker.lost();
        let next = Properties { main_pid: 11, exec_pid: 11, exec_start: 300, active_enter: 301, ..running() };
        let said = tracker.read(&next, Some(Process { pid: 11, started: 2 }));
        assert!(matches!(said[..], [UnitReport { state: UnitState::Running(_), .. }]), "{said:?}");
    }
}
