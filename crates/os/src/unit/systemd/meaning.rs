//! What systemd's properties mean in our words. Pure: properties in, reports out.
//!
//! **Ordered or not.** systemd leaves `active` for `deactivating` *before* it signals a process it was told to
//! stop, and *after* it has seen a process end by itself. So a stop was ordered exactly when the unit left
//! `active` before its main process ended. Unlike a job seen on the bus this can be read afterwards, when the
//! job is long gone and also when the bus was away. Where systemd itself gave the order (watchdog, out of
//! memory, run time over), `Result` says so.

use lifesign_core::evidence::{Exit, Process, UnitState};

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

#[cfg(test)]
mod tests {
    use super::super::properties::samples::{BY_ITSELF, BY_ORDER, ended_as, running};
    use super::*;

    fn end(unit: &Properties) -> (bool, Exit) {
        match state(unit, None) {
            UnitState::Stopped { ordered, exit } => (ordered, exit),
            other => panic!("{other:?}"),
        }
    }

    const PROCESS: Process = Process { pid: 10, started: 1 };

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
}
