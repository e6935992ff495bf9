//! From what the service control manager says, and what its process does, to reports. Pure: no handle, no clock.
//!
//! # What counts as an ordered stop
//! The service control manager does not tell who stopped a service, only in which steps it went. The rules, in
//! this order:
//!
//! 1. lifesign itself ordered the stop: ordered, whatever the exit code.
//! 2. `STOPPED` with 0: ordered. A service that says so through the service control manager takes part in an
//!    orderly stop, and the manager's own failure actions leave it alone too. Whether `STOP_PENDING` was seen
//!    before cannot decide: many services go straight from `RUNNING` to `STOPPED` on a stop control, many set
//!    `STOP_PENDING` when they end by themselves, and a quick stop shows no step between. So a service that
//!    ends itself *and* reports `STOPPED` 0 is taken for ordered; its checks or heartbeats tell if that is wrong.
//! 3. `STOPPED` with 1077, "not started since boot": ordered, nobody wants it.
//! 4. `STOPPED` with another code: not ordered; the code is the exit. 1067 ("ended unexpectedly") gives way to the
//!    process's own exit code where that is known.
//! 5. The process is gone without `STOPPED`: not ordered, unless `STOP_PENDING` was its last word. The exit is the
//!    process's exit code. A kill and an exit look alike here, so nothing is guessed. Code 0 is
//!    [`Exit::Clean`]: it left without a word, but with success.
//! 6. Whatever ends with an error before it was `RUNNING` has failed to start.

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use windows_sys::Win32::Foundation::{
    ERROR_PROCESS_ABORTED, ERROR_SERVICE_DEPENDENCY_FAIL, ERROR_SERVICE_LOGON_FAILED,
    ERROR_SERVICE_NEVER_STARTED, ERROR_SERVICE_REQUEST_TIMEOUT, ERROR_SERVICE_SPECIFIC_ERROR,
};
use windows_sys::Win32::System::Services::{
    SERVICE_CONTINUE_PENDING, SERVICE_PAUSE_PENDING, SERVICE_PAUSED, SERVICE_RUNNING, SERVICE_START_PENDING,
    SERVICE_STATUS_CURRENT_STATE, SERVICE_STOP_PENDING, SERVICE_STOPPED,
};

/// The main process behind a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Main {
    /// The service control manager names none (drivers; before the process exists; after the end).
    Unnamed,
    /// It lives.
    Alive(Process),
    /// The service control manager names it, and it is not ours to look at.
    Hidden(u32),
    /// The service control manager names it, and it has ended.
    Dead(Death),
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// Its number.
    pub(super) pid: u32,
    /// Its exit code; `None` when it was gone before anybody held it.
    pub(super) code: Option<u32>,
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// `SERVICE_RUNNING`, …
    pub(super) state: SERVICE_STATUS_CURRENT_STATE,
    /// `dwWin32ExitCode`.
    pub(super) win32: u32,
    /// `dwServiceSpecificExitCode`, meant when `win32` is 1066.
    pub(super) specific: u32,
    /// The process the status names.
    pub(super) main: Main,
    /// The process held since an earlier look has ended.
    pub(super) death: Option<Death>,
    /// lifesign is stopping it right now.
    pub(super) our_stop: bool,
}

/// From one start to its end.
#[derive(Debug, Default)]
struct Life {
    process: Option<Process>,
    /// Seen in `START_PENDING`.
    began: bool,
    /// Seen in a state that needs a start to have succeeded.
    ran: bool,
    /// `STOP_PENDING` was its last word.
    stopping: bool,
    end: Option<End>,
}

/// How a life ended, with the codes it was judged by.
#[derive(Debug)]
struct End {
    state: UnitState,
    codes: (u32, u32),
}

/// Follows one service.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    life: Life,
    last: Option<UnitReport>,
}

impl Tracker {
    /// The newest report.
    pub(super) fn last(&self) -> Option<&UnitReport> {
        self.last.as_ref()
    }

    /// A notification named this state, which may be over already.
    pub(super) fn heard(&mut self, state: SERVICE_STATUS_CURRENT_STATE) {
        if state == SERVICE_STOP_PENDING && self.life.end.is_none() {
            self.life.stopping = true;
        }
    }

    /// There is no such service.
    pub(super) fn not_found(&mut self, why: &str) -> Option<UnitReport> {
        self.life = Life::default();
        self.keep(UnitState::NotFound, why.to_owned())
    }

    /// Nothing could be seen.
    pub(super) fn blind(&mut self, why: &str) -> Option<UnitReport> {
        self.keep(UnitState::CouldNotLook(why.to_owned()), why.to_owned())
    }

    /// Takes a look into account. Gives what is new: nothing, a report, or the end of one process and the
    /// start of the next.
    pub(super) fn see(&mut self, sight: &Sight) -> Vec<UnitReport> {
        let os = in_words(sight);
        if sight.state == SERVICE_STOPPED || matches!(sight.main, Main::Dead(_)) {
            let state = self.end(sight);
            return self.keep(state, os).into_iter().collect();
        }
        let mut news = Vec::new();
        let process = match sight.main {
            Main::Alive(process) => Some(process),
            // Its start stamp is unknown; the number alone tells most restarts.
            Main::Hidden(pid) => Some(Process { pid, started: 0 }),
            Main::Unnamed | Main::Dead(_) => None,
        };
        let other = matches!((self.life.process, process), (Some(old), Some(new)) if old != new);
        if other && self.life.end.is_none() {
            // A restart quicker than our look: its end is told before the new start.
            let (ordered, exit) = self.departure(sight);
            news.extend(
                self.keep(UnitState::Stopped { ordered, exit }, format!("{os}, restarted meanwhile")),
            );
        }
        if other || self.life.end.is_some() {
            self.life = Life::default();
        }
        self.life.process = process.or(self.life.process);
        self.life.stopping = sight.state == SERVICE_STOP_PENDING;
        let state = match sight.state {
            SERVICE_RUNNING => UnitState::Running(process),
            SERVICE_START_PENDING | SERVICE_CONTINUE_PENDING => UnitState::Starting,
            SERVICE_STOP_PENDING | SERVICE_PAUSE_PENDING => UnitState::Stopping,
            SERVICE_PAUSED => UnitState::Paused,
            unknown => UnitState::CouldNotLook(format!("unknown service state {unknown}")),
        };
        if sight.state == SERVICE_START_PENDING {
            self.life.began = true;
        } else if sight.state != SERVICE_STOP_PENDING {
            self.life.ran = true;
        }
        news.extend(self.keep(state, os));
        news
    }

    /// The state after an end. It stays as it was judged first: when the service control manager notices a
    /// death that was reported already, that is no news.
    fn end(&mut self, sight: &Sight) -> UnitState {
        let codes = (sight.win32, sight.specific);
        if let Some(end) = &self.life.end
            && (sight.state != SERVICE_STOPPED || sight.win32 == ERROR_PROCESS_ABORTED || end.codes == codes)
        {
            return end.state.clone();
        }
        let (ordered, exit) =
            if sight.state == SERVICE_STOPPED { self.stopped(sight) } else { self.departure(sight) };
        let state = UnitState::Stopped { ordered, exit };
        self.life.end = Some(End { state: state.clone(), codes });
        state
    }

    /// The service control manager says `STOPPED`.
    fn stopped(&self, sight: &Sight) -> (bool, Exit) {
        let code = match (sight.win32, sight.specific) {
            (0 | ERROR_SERVICE_NEVER_STARTED, _) => return (true, Exit::Clean),
            (ERROR_PROCESS_ABORTED, _) => return self.departure(sight),
            (ERROR_SERVICE_SPECIFIC_ERROR, specific) if specific != 0 => specific,
            (win32, _) => win32,
        };
        let never_began = matches!(
            code,
            ERROR_SERVICE_REQUEST_TIMEOUT | ERROR_SERVICE_DEPENDENCY_FAIL | ERROR_SERVICE_LOGON_FAILED
        ) && !self.life.ran;
        let exit = if never_began || (self.life.began && !self.life.ran) {
            Exit::StartFailed(format!("stopped with code {code} before it was running"))
        } else {
            Exit::Code(code.into())
        };
        (sight.our_stop, exit)
    }

    /// The process is gone without having said `STOPPED`.
    fn departure(&self, sight: &Sight) -> (bool, Exit) {
        let ordered = sight.our_stop || self.life.stopping;
        let death = match sight.main {
            Main::Dead(death) => Some(death),
            Main::Unnamed | Main::Alive(_) | Main::Hidden(_) => sight.death,
        };
        let code = death.and_then(|death| death.code);
        let began = self.life.began || sight.state == SERVICE_START_PENDING;
        let exit = match code {
            Some(code) if began && !self.life.ran => {
                Exit::StartFailed(format!("its process ended with code {code} before it was running"))
            }
            Some(0) => Exit::Clean,
            Some(code) => Exit::Code(code.into()),
            None if sight.state == SERVICE_STOPPED => Exit::Code(sight.win32.into()),
            None => Exit::Unseen,
        };
        (ordered, exit)
    }

    /// Makes it the newest report; gives it back when the state is new.
    fn keep(&mut self, state: UnitState, os: String) -> Option<UnitReport> {
        let is_new = self.last.as_ref().is_none_or(|last| last.state != state);
        let report = UnitReport::new(state, os);
        self.last = Some(report.clone());
        is_new.then_some(report)
    }
}

/// The state in the system's words.
fn in_words(sight: &Sight) -> String {
    let state = match sight.state {
        SERVICE_STOPPED => "SERVICE_STOPPED",
        SERVICE_START_PENDING => "SERVICE_START_PENDING",
        SERVICE_STOP_PENDING => "SERVICE_STOP_PENDING",
        SERVICE_RUNNING => "SERVICE_RUNNING",
        SERVICE_CONTINUE_PENDING => "SERVICE_CONTINUE_PENDING",
        SERVICE_PAUSE_PENDING => "SERVICE_PAUSE_PENDING",
        SERVICE_PAUSED => "SERVICE_PAUSED",
        unknown => return format!("service state {unknown}"),
    };
    match (sight.state, sight.main) {
        (SERVICE_STOPPED, _) if sight.win32 == ERROR_SERVICE_SPECIFIC_ERROR => {
            format!("{state} {} (service-specific {})", sight.win32, sight.specific)
        }
        (SERVICE_STOPPED, _) => format!("{state} {}", sight.win32),
        (_, Main::Dead(Death { pid, code: Some(code) })) => {
            format!("{state}, but its process {pid} ended with code {code}")
        }
        (_, Main::Dead(Death { pid, code: None })) => format!("{state}, but its process {pid} is gone"),
        _ => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Process = Process { pid: 8, started: 100 };
    const NEW: Process = Process { pid: 12, started: 200 };

    fn sight(state: u32, main: Main) -> Sight {
        Sight { state, win32: 0, specific: 0, main, death: None, our_stop: false }
    }

    fn running(process: Process) -> Sight {
        sight(SERVICE_RUNNING, Main::Alive(process))
    }

    fn stopped(win32: u32) -> Sight {
        Sight { win32, ..sight(SERVICE_STOPPED, Main::Unnamed) }
    }

    fn gone(code: Option<u32>) -> Sight {
        sight(SERVICE_RUNNING, Main::Dead(Death { pid: OLD.pid, code }))
    }

    fn ended(ordered: bool, exit: Exit) -> UnitState {
        UnitState::Stopped { ordered, exit }
    }

    /// The states reported for these looks, in order.
    fn states(sights: &[Sight]) -> Vec<UnitState> {
        let mut tracker = Tracker::default();
        sights.iter().flat_map(|sight| tracker.see(sight)).map(|report| report.state).collect()
    }

    #[test]
    fn all_seven_states_are_told_in_our_words() {
        let main = Main::Alive(OLD);
        for (state, expected) in [
            (SERVICE_RUNNING, UnitState::Running(Some(OLD))),
            (SERVICE_START_PENDING, UnitState::Starting),
            (SERVICE_CONTINUE_PENDING, UnitState::Starting),
            (SERVICE_STOP_PENDING, UnitState::Stopping),
            (SERVICE_PAUSE_PENDING, UnitState::Stopping),
            (SERVICE_PAUSED, UnitState::Paused),
            (SERVICE_STOPPED, ended(true, Exit::Clean)),
        ] {
            assert_eq!(states(&[sight(state, main)]), [expected]);
        }
    }

    #[test]
    fn the_same_state_twice_is_reported_once() {
        assert_eq!(states(&[running(OLD), running(OLD)]).len(), 1);
    }

    #[test]
    fn a_stop_with_code_0_is_ordered_with_and_without_a_pending_step() {
        let stopping = sight(SERVICE_STOP_PENDING, Main::Alive(OLD));
        assert_eq!(states(&[running(OLD), stopped(0)])[1..], [ended(true, Exit::Clean)]);
        assert_eq!(
            states(&[running(OLD), stopping, stopped(0)])[1..],
            [UnitState::Stopping, ended(true, Exit::Clean)]
        );
    }

    #[test]
    fn a_service_not_started_since_boot_is_not_wanted() {
        assert_eq!(states(&[stopped(ERROR_SERVICE_NEVER_STARTED)]), [ended(true, Exit::Clean)]);
    }

    #[test]
    fn an_error_code_of_the_service_is_its_exit() {
        assert_eq!(states(&[running(OLD), stopped(5)])[1..], [ended(false, Exit::Code(5))]);
        let specific = Sight { specific: 42, ..stopped(ERROR_SERVICE_SPECIFIC_ERROR) };
        assert_eq!(states(&[running(OLD), specific])[1..], [ended(false, Exit::Code(42))]);
    }

    #[test]
    fn a_death_the_manager_does_not_see_is_reported_once_with_the_exit_code() {
        let crash = gone(Some(0xC000_0005));
        let seen_late = stopped(ERROR_PROCESS_ABORTED);
        assert_eq!(
            states(&[running(OLD), crash, crash, seen_late])[1..],
            [ended(false, Exit::Code(0xC000_0005))]
        );
        assert_eq!(states(&[running(OLD), gone(Some(0))])[1..], [ended(false, Exit::Clean)]);
        assert_eq!(states(&[gone(None)]), [ended(false, Exit::Unseen)]);
    }

    #[test]
    fn an_unexpected_end_shows_the_code_of_the_process_where_it_is_known() {
        let seen =
            Sight { death: Some(Death { pid: OLD.pid, code: Some(3) }), ..stopped(ERROR_PROCESS_ABORTED) };
        assert_eq!(states(&[running(OLD), seen])[1..], [ended(false, Exit::Code(3))]);
        assert_eq!(states(&[stopped(ERROR_PROCESS_ABORTED)]), [ended(false, Exit::Code(1067))]);
    }

    #[test]
    fn a_death_in_the_middle_of_an_ordered_stop_stays_ordered() {
        let stopping = sight(SERVICE_STOP_PENDING, Main::Alive(OLD));
        let dead = sight(SERVICE_STOP_PENDING, Main::Dead(Death { pid: OLD.pid, code: Some(1) }));
        assert_eq!(states(&[running(OLD), stopping, dead])[2..], [ended(true, Exit::Code(1))]);
    }

    #[test]
    fn a_stop_pending_that_only_the_notification_saw_counts() {
        let mut tracker = Tracker::default();
        tracker.see(&running(OLD));
        tracker.heard(SERVICE_STOP_PENDING);
        assert_eq!(tracker.see(&gone(Some(1)))[0].state, ended(true, Exit::Code(1)));
    }

    #[test]
    fn what_lifesign_stops_is_ordered_also_when_it_had_to_be_killed() {
        let killed = Sight { our_stop: true, ..gone(Some(1)) };
        assert_eq!(states(&[running(OLD), killed, gone(Some(1))])[1..], [ended(true, Exit::Code(1))]);
    }

    #[test]
    fn a_restart_quicker_than_our_look_is_an_end_and_a_start() {
        let restarted = Sight { death: Some(Death { pid: OLD.pid, code: Some(7) }), ..running(NEW) };
        assert_eq!(
            states(&[running(OLD), restarted])[1..],
            [ended(false, Exit::Code(7)), UnitState::Running(Some(NEW))]
        );
        let reused = Process { started: 300, ..OLD };
        assert_eq!(
            states(&[running(OLD), running(reused)])[1..],
            [ended(false, Exit::Unseen), UnitState::Running(Some(reused))]
        );
    }

    #[test]
    fn an_error_before_the_service_ran_is_a_failed_start() {
        let starting = sight(SERVICE_START_PENDING, Main::Alive(OLD));
        let died = sight(SERVICE_START_PENDING, Main::Dead(Death { pid: OLD.pid, code: Some(3) }));
        for end in [stopped(3), died] {
            let states = states(&[starting, end]);
            assert!(
                matches!(&states[1], UnitState::Stopped { ordered: false, exit: Exit::StartFailed(why) } if why.contains('3')),
                "{states:?}"
            );
        }
    }

    #[test]
    fn a_second_end_with_another_code_is_told_although_no_start_was_seen() {
        assert_eq!(
            states(&[running(OLD), stopped(0), stopped(5)])[1..],
            [ended(true, Exit::Clean), ended(false, Exit::Code(5))]
        );
    }

    #[test]
    fn a_crash_after_an_ordered_stop_and_a_new_start_is_a_crash() {
        let dead = sight(SERVICE_RUNNING, Main::Dead(Death { pid: NEW.pid, code: Some(9) }));
        let stopping = sight(SERVICE_STOP_PENDING, Main::Alive(OLD));
        assert_eq!(
            states(&[running(OLD), stopping, stopped(0), running(NEW), dead]).last(),
            Some(&ended(false, Exit::Code(9)))
        );
    }

    #[test]
    fn looking_again_after_blindness_repeats_the_state() {
        let mut tracker = Tracker::default();
        tracker.see(&running(OLD));
        assert!(tracker.blind("access denied").is_some());
        assert!(tracker.blind("access denied").is_none());
        assert_eq!(tracker.see(&running(OLD))[0].state, UnitState::Running(Some(OLD)));
    }
}
