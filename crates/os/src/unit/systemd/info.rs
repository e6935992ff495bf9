//! All that systemd tells of a unit, in the model of both systems.

use std::collections::HashMap;

use lifesign_core::evidence::{Process, UnitState};
use lifesign_core::time::Wall;
use zbus::{OwnedVariant, Variant};

use super::meaning::{state, words};
use super::policy::policy;
use super::properties::Properties;
use crate::unit::info::{Codes, StartType, UnitInfo};

const CLD_EXITED: i32 = 1;

/// What a state of a unit file means (`systemctl(1)`, `is-enabled`). `None`: it is only another name of a unit.
pub(crate) fn start_type(unit_file_state: &str) -> Option<StartType> {
    match unit_file_state {
        "alias" => None,
        "enabled" | "enabled-runtime" => Some(StartType::Automatic),
        "masked" | "masked-runtime" => Some(StartType::Disabled),
        _ => Some(StartType::Manual),
    }
}

/// The unit of which systemd has told `values`, of all its interfaces.
pub(crate) fn info(name: &str, values: &HashMap<String, OwnedVariant>, main: Option<Process>) -> UnitInfo {
    let mut unit = Properties::default();
    unit.take(values);
    let text = |key: &str| match values.get(key).map(|value| &**value) {
        Some(Variant::Str(text)) => text.to_string(),
        _ => String::new(),
    };
    let units = |keys: [&str; 4]| {
        let mut names: Vec<String> = keys.iter().flat_map(|key| texts(values.get(*key))).collect();
        names.sort();
        names.dedup();
        names
    };
    let since = match values.get("StateChangeTimestamp").map(|value| &**value) {
        Some(Variant::U64(micros @ 1..)) => Some(Wall::from_millis((micros / 1000).cast_signed())),
        _ => None,
    };
    let ended = unit.exec_code != 0;
    let state = state(&unit, main);
    UnitInfo {
        name: name.to_owned(),
        title: text("Description"),
        process: if let UnitState::Running(process) = state { process } else { main },
        os: words(&unit),
        state,
        since,
        start: start_type(&text("UnitFileState")).unwrap_or(StartType::Manual),
        start_os: text("UnitFileState"),
        lasts: !unit.recovery.is_oneshot || unit.remain_after_exit,
        codes: Codes {
            result: Some(unit.result.clone()).filter(|result| !result.is_empty()),
            status: (ended && unit.exec_code == CLD_EXITED).then_some(unit.exec_status),
            signal: (ended && unit.exec_code != CLD_EXITED).then_some(unit.exec_status),
            ..Codes::default()
        },
        restarts: Some(unit.restarts),
        program: commands(values.get("ExecStart")),
        account: text("User"),
        needs: units(["Requires", "Requisite", "BindsTo", "Wants"]),
        needed_by: units(["RequiredBy", "RequisiteOf", "BoundBy", "WantedBy"]),
        policy: Some(policy(&unit.recovery)),
    }
}

/// The command lines of `ExecStart`, an `a(sasbttttuii)`: each begins with its file and its arguments.
fn commands(value: Option<&OwnedVariant>) -> String {
    let Some(Variant::Array(commands)) = value.map(|value| &**value) else { return String::new() };
    let line = |command: &Variant<'_>| match command {
        Variant::Structure(command) => match command.fields().get(1) {
            Some(Variant::Array(words)) => {
                let word = |word: &Variant<'_>| {
                    if let Variant::Str(word) = word { word.to_string() } else { String::new() }
                };
                words.iter().map(word).collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        },
        _ => String::new(),
    };
    commands.iter().map(line).collect::<Vec<_>>().join("; ")
}

fn texts(value: Option<&OwnedVariant>) -> Vec<String> {
    match value.map(|value| &**value) {
        Some(Variant::Array(items)) => items
            .iter()
            .filter_map(|item| if let Variant::Str(text) = item { Some(text.to_string()) } else { None })
            .collect(),
        _ => Vec::new(),
    }
}
