//! When the system starts a service again that has failed.
//!
//! Windows has a list of waits, the last of which holds for all further failures, and a time after which failures are
//! counted anew. systemd has one wait, grows it in steps from version 254 on, and counts failures only to give up.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the system does about failures of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Waits before the first, the second and further starts; the last is that of all after it. At most
    /// [`Recovery::MOST`], each at most a day.
    pub after: Vec<Duration>,
    /// It stays stopped after the failure that follows the last wait.
    pub gives_up: bool,
    /// Failures are counted anew after this long without one: whole seconds, from one second to a year. systemd knows it
    /// only as the time within which it counts the failures before it gives up.
    pub reset: Duration,
}

impl Default for Recovery {
    /// It is started again for as long as it takes.
    fn default() -> Self {
        let seconds: &[u64] = if cfg!(windows) { &[5, 30, 60] } else { &[5] };
        let after = seconds.iter().copied().map(Duration::from_secs).collect();
        Self { after, gives_up: false, reset: Self::RESET }
    }
}

impl Recovery {
    /// Most waits in the list.
    pub const MOST: usize = 16;
    /// Where nobody says after which time failures are counted anew.
    pub const RESET: Duration = DAY;

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        let (longest, second) = (365 * DAY, Duration::from_secs(1));
        if self.after.len() > Self::MOST {
            return Some(format!("{} waits before a restart are more than {}", self.after.len(), Self::MOST));
        }
        if self.after.is_empty() && !self.gives_up {
            return Some("a service that is started again needs a wait before that".to_owned());
        }
        if let Some(wait) = self.after.iter().find(|wait| **wait > DAY) {
            return Some(format!("a wait of {wait:?} before a restart is longer than a day"));
        }
        let is_good = self.reset >= second && self.reset <= longest && self.reset.subsec_nanos() == 0;
        (!is_good).then(|| format!("{:?} is not from one second to a year, in whole seconds", self.reset))
    }

    /// In words, for people: the step of an installation.
    #[cfg(any(windows, test))]
    pub(super) fn words(&self) -> String {
        let waits: Vec<String> = self.after.iter().map(|wait| format!("{wait:?}")).collect();
        let reset = match self.reset {
            DAY => "a day".to_owned(),
            other => format!("{other:?}"),
        };
        match (waits.as_slice(), self.gives_up) {
            ([], _) => "leave it stopped after a failure".to_owned(),
            (waits, true) => {
                format!(
                    "restart it {} after a failure, then leave it; count anew after {reset} without one",
                    waits.join(", ")
                )
            }
            (waits, false) => {
                format!(
                    "restart it {} after a failure; count anew after {reset} without one",
                    waits.join(", ")
                )
            }
        }
    }

    /// As lines of a unit: of its section `[Unit]`, and of `[Service]`.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn of_unit(&self) -> [Vec<String>; 2] {
        let span = |time: Duration| match time.subsec_millis() {
            0 => format!("{}s", time.as_secs()),
            _ => format!("{}ms", time.as_millis()),
        };
        let mut unit = Vec::new();
        if self.gives_up {
            // The first start counts, too.
            unit.push(format!("StartLimitIntervalSec={}", span(self.reset)));
            unit.push(format!("StartLimitBurst={}", self.after.len() + 1));
        } else {
            unit.push(
                "# It never gives up: it is started again every RestartSec for as long as it takes."
                    .to_owned(),
            );
            unit.push("StartLimitIntervalSec=0".to_owned());
        }
        let Some(first) = self.after.first() else {
            return [unit, vec!["Restart=no".to_owned()]];
        };
        let mut service = vec!["Restart=on-failure".to_owned(), format!("RestartSec={}", span(*first))];
        if let Some(last) = self.after.last().filter(|last| *last > first) {
            service.push(
                "# systemd 254 grows the wait in steps; an older one passes over the next two lines."
                    .to_owned(),
            );
            service.push(format!("RestartSteps={}", self.after.len() - 1));
            service.push(format!("RestartMaxDelaySec={}", span(*last)));
        }
        [unit, service]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovery(seconds: &[u64], gives_up: bool) -> Recovery {
        let after = seconds.iter().copied().map(Duration::from_secs).collect();
        Recovery { after, gives_up, reset: Duration::from_secs(3600) }
    }

    #[test]
    fn a_list_of_waits_becomes_the_steps_of_systemd_and_its_end_a_limit_of_starts() {
        let [unit, service] = recovery(&[5, 30, 60], false).of_unit();
        assert!(unit.contains(&"StartLimitIntervalSec=0".to_owned()), "{unit:?}");
        let lines = ["Restart=on-failure", "RestartSec=5s", "RestartSteps=2", "RestartMaxDelaySec=60s"];
        let written: Vec<&String> = service.iter().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(written, lines);
        let [unit, service] = recovery(&[5, 5], true).of_unit();
        assert_eq!(unit, ["StartLimitIntervalSec=3600s", "StartLimitBurst=3"]);
        assert_eq!(
            service,
            ["Restart=on-failure", "RestartSec=5s"],
            "a wait that does not grow needs no steps"
        );
        assert_eq!(recovery(&[], true).of_unit()[1], ["Restart=no"]);
        let quick = Recovery { after: vec![Duration::from_millis(1500)], ..Recovery::default() };
        assert!(quick.of_unit()[1].contains(&"RestartSec=1500ms".to_owned()));
    }

    #[test]
    fn a_person_reads_the_waits_and_when_they_begin_anew() {
        assert_eq!(
            recovery(&[5, 90], false).words(),
            "restart it 5s, 90s after a failure; count anew after 3600s without one"
        );
        assert!(recovery(&[5], true).words().contains("5s after a failure, then leave it;"));
        assert_eq!(recovery(&[], true).words(), "leave it stopped after a failure");
        assert!(Recovery::default().words().ends_with("count anew after a day without one"));
    }

    #[test]
    fn what_no_system_could_hold_is_refused() {
        assert_eq!(Recovery::default().fault(), None);
        assert_eq!(recovery(&[], true).fault(), None);
        let reset = |reset| Recovery { reset, ..Recovery::default() };
        for wrong in [
            recovery(&[], false),
            recovery(&[5; 17], false),
            recovery(&[24 * 3600 + 1], false),
            reset(Duration::ZERO),
            reset(Duration::from_millis(1500)),
            reset(366 * DAY),
        ] {
            assert!(wrong.fault().is_some(), "{wrong:?}");
        }
    }
}
