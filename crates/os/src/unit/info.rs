//! Everything the system knows about one unit, in one model for systemd and the service control manager, with the
//! system's own words beside ours.

pub use lifesign_core::evidence::ExitCodes as Codes;
use lifesign_core::evidence::{MAX_NEIGHBOURS, Process, Setting, UnitFacts, UnitState};
use lifesign_core::secret::masked;
use lifesign_core::time::Wall;

use super::policy::Policy;

/// Longest command line that people see, in characters.
const MAX_PROGRAM: usize = 1000;

/// When a unit is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartType {
    /// At boot (systemd: `enabled`; Windows: auto, boot and system start).
    Automatic,
    /// At boot, some minutes after the others (Windows only).
    Delayed,
    /// When somebody or something asks for it (systemd: `disabled`, `static`, `indirect`, `generated`).
    Manual,
    /// Never (systemd: `masked`).
    Disabled,
}

impl StartType {
    /// The word for it: `automatic`, `delayed`, `manual`, `disabled`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Delayed => "delayed",
            Self::Manual => "manual",
            Self::Disabled => "disabled",
        }
    }

    /// Whether it ought to run without anybody asking for it.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Automatic | Self::Delayed)
    }
}

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitInfo {
    /// Its name, as orders take it.
    pub name: String,
    /// What it calls itself for people; empty where it does not.
    pub title: String,
    /// Its state in our words.
    pub state: UnitState,
    /// Its state in the system's words.
    pub os: String,
    /// Its main process.
    pub process: Option<Process>,
    /// Since when it is in this state; the service control manager knows it of running ones only.
    pub since: Option<Wall>,
    /// When it is started.
    pub start: StartType,
    /// The system's own word for that: `enabled`, `SERVICE_AUTO_START (delayed)`.
    pub start_os: String,
    /// Whether it runs until it is stopped. Others do their work and end by themselves (systemd: `Type=oneshot`;
    /// Windows: started by a trigger), so that standing still is no fault.
    pub lasts: bool,
    /// How it last ended.
    pub codes: Codes,
    /// How often the system itself has restarted it since it was last started by hand; the service control manager
    /// does not say.
    pub restarts: Option<u32>,
    /// What it runs, as it is written.
    pub program: String,
    /// As whom; empty where the unit names nobody.
    pub account: String,
    /// What it needs to run.
    pub needs: Vec<String>,
    /// What needs it.
    pub needed_by: Vec<String>,
    /// The system's own recovery policy; `None` where the system does not offer one.
    pub policy: Option<Policy>,
}

impl UnitInfo {
    /// What of its configuration is not as it was `before`.
    pub fn changed_since(&self, before: &Self) -> Vec<Setting> {
        let words = |info: &Self| info.policy.as_ref().map(|policy| policy.words.clone());
        [
            (Setting::Program, self.program != before.program),
            (Setting::Account, self.account != before.account),
            (Setting::Start, self.start_os != before.start_os),
            (Setting::Dependencies, self.needs != before.needs),
            (Setting::Recovery, words(self) != words(before)),
        ]
        .into_iter()
        .filter_map(|(setting, has_changed)| has_changed.then_some(setting))
        .collect()
    }

    /// What people see of it beside its state.
    pub fn facts(self) -> UnitFacts {
        let first = |mut names: Vec<String>| {
            names.truncate(MAX_NEIGHBOURS);
            names
        };
        UnitFacts {
            title: self.title,
            start: self.start.word().to_owned(),
            start_os: self.start_os,
            since: self.since,
            exit: self.codes,
            restarts: self.restarts,
            needs: first(self.needs),
            needed_by: first(self.needed_by),
            recovery: self.policy.map(|policy| policy.words),
            program: masked(&self.program).join(" ").chars().take(MAX_PROGRAM).collect(),
            account: self.account,
            changed: Vec::new(),
        }
    }
}

/// A change in the list of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListChange {
    /// There is a unit that was not there before.
    Created(Listed),
    /// A unit is gone.
    Deleted(String),
    /// A unit's start type has changed.
    Reconfigured(Listed),
}

/// One line of the list of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, as orders take it.
    pub name: String,
    /// When it is started.
    pub start: StartType,
}

/// What has changed from one list to the next. Both are sorted by name.
pub fn changes(before: &[Listed], after: &[Listed]) -> Vec<ListChange> {
    let find = |list: &'_ [Listed], name: &str| {
        list.binary_search_by(|listed| listed.name.as_str().cmp(name)).ok().map(|place| list[place].clone())
    };
    let gone = before.iter().filter(|listed| find(after, &listed.name).is_none());
    let there = after.iter().filter_map(|listed| match find(before, &listed.name) {
        None => Some(ListChange::Created(listed.clone())),
        Some(old) if old != *listed => Some(ListChange::Reconfigured(listed.clone())),
        Some(_) => None,
    });
    gone.map(|listed| ListChange::Deleted(listed.name.clone())).chain(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lists_differ_by_what_came_what_went_and_what_is_started_otherwise() {
        let listed = |name: &str, start| Listed { name: name.to_owned(), start };
        let before = [
            listed("a", StartType::Automatic),
            listed("b", StartType::Automatic),
            listed("c", StartType::Manual),
        ];
        let after = [
            listed("b", StartType::Automatic),
            listed("c", StartType::Delayed),
            listed("d", StartType::Manual),
        ];
        assert_eq!(
            changes(&before, &after),
            [
                ListChange::Deleted("a".to_owned()),
                ListChange::Reconfigured(listed("c", StartType::Delayed)),
                ListChange::Created(listed("d", StartType::Manual)),
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }
}
