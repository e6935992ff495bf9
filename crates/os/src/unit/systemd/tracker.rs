//! One unit over time: which reports a new reading adds to what was said before.

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};

use super::meaning::{exit, ordered, state, words};
use super::properties::Properties;

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
        self.say(UnitReport::new(state, words(unit)), &mut reports);
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
            let os = match unit.restarts {
                0 => "ended and was started again before systemd could say how".to_owned(),
                count => {
                    format!("ended and was started again before systemd could say how (NRestarts {count})")
                }
            };
            (UnitState::Stopped { ordered: self.was_stopping(), exit: Exit::Unseen }, os)
        } else {
            return None;
        };
        Some(UnitReport::new(state, os))
    }

    /// Says that a signal which systemd does not send has ended the main process. systemd has not said so yet.
    pub(crate) fn fell(&mut self, signal: i32) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        self.gone = self.alive;
        let state = UnitState::Stopped { ordered: false, exit: Exit::Signal(signal) };
        let os = format!("the main process was ended by signal {signal}");
        self.say(UnitReport::new(state, os), &mut reports);
        reports
    }

    /// Says that the main process is gone although systemd has not yet said anything.
    pub(crate) fn lost(&mut self) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        if self.gone.is_some() && self.gone == self.alive {
            return reports; // said already
        }
        self.gone = self.alive;
        let state = UnitState::Stopped { ordered: self.was_stopping(), exit: Exit::Unseen };
        let os = "the main process is gone; systemd has not yet said why".to_owned();
        self.say(UnitReport::new(state, os), &mut reports);
        reports
    }

    /// Says that nobody could look. What was known stays known, for when looking is possible again.
    pub(crate) fn blind(&mut self, why: String) -> Vec<UnitReport> {
        let mut reports = Vec::new();
        self.say(UnitReport::new(UnitState::CouldNotLook(why.clone()), why), &mut reports);
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

    /// What was said last.
    pub(crate) fn last(&self) -> Option<&UnitReport> {
        self.last.as_ref()
    }

    /// Whether what was said last is that its main process runs.
    pub(crate) fn runs(&self) -> bool {
        matches!(&self.last, Some(UnitReport { state: UnitState::Running(Some(_)), .. }))
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
    use super::super::properties::samples::{BY_ITSELF, BY_ORDER, ended_as, running};
    use super::*;

    const PROCESS: Process = Process { pid: 10, started: 1 };

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
