//! `lifesign discover`: the services of this machine, the system's own recovery of each with its holes, and ready
//! configuration.

use std::fmt::Write as _;

use anyhow::Context as _;
use lifesign_config::discover::{fits, id_of};
use lifesign_lang::Lang;
use lifesign_os::unit::info::UnitInfo;
use lifesign_os::unit::policy::{Hole, holes};
use lifesign_os::unit::{ServiceManager, UnitError};
use serde_json::json;

use crate::cli::{Discovery, DiscoveryFormat};
use crate::failure::Failure;
use crate::print;

/// One service, and what is to be said of it.
struct Found {
    info: UnitInfo,
    holes: Vec<Hole>,
}

pub(super) fn run(what: &Discovery, lang: Lang, json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let found = runtime.block_on(look(what)).map_err(anyhow::Error::from)?;
    match what.format {
        Some(DiscoveryFormat::Yaml) => print::line(yaml(&found).trim_end()),
        Some(DiscoveryFormat::Json) => print::json(&configuration(&found)),
        None if json => print::json(&as_json(&found)),
        None => table(&found, lang),
    }
    Ok(())
}

async fn look(what: &Discovery) -> Result<Vec<Found>, UnitError> {
    let manager = ServiceManager::new();
    let mut found = Vec::new();
    for listed in manager.list().await? {
        let is_wanted =
            what.patterns.is_empty() || what.patterns.iter().any(|pattern| fits(pattern, &listed.name));
        if !is_wanted || !(what.all || listed.start.is_automatic()) {
            continue;
        }
        match manager.info(&listed.name).await {
            Ok(info) if what.all || info.lasts => {
                let holes = info.policy.as_ref().map(holes).unwrap_or_default();
                found.push(Found { info, holes });
            }
            // Gone since the list was made, or not ours to read.
            Ok(_) | Err(UnitError::NotFound { .. } | UnitError::Denied { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// One line for each service: name, state, start type, recovery, holes.
fn table(found: &[Found], lang: Lang) {
    if found.is_empty() {
        print::line(lang.word("cli-discover-none"));
        return;
    }
    let widest = |width: fn(&Found) -> usize| found.iter().map(width).max().unwrap_or(0);
    let name = widest(|found| found.info.name.chars().count());
    let os = widest(|found| found.info.os.chars().count());
    for Found { info, holes } in found {
        let recovery = info.policy.as_ref().map_or("-", |policy| &policy.words);
        let start = info.start.word();
        print::line(format!("{:name$}  {:os$}  {start:9}  {recovery}", info.name, info.os));
        for hole in holes.iter().filter(|hole| hole.is_worth_a_warning()) {
            print::line(format!("{:name$}  ! {hole}", ""));
        }
    }
}

fn as_json(found: &[Found]) -> serde_json::Value {
    let services: Vec<_> = found
        .iter()
        .map(|Found { info, holes }| {
            json!({
                "name": info.name,
                "title": info.title,
                "state": info.os,
                "pid": info.process.map(|process| process.pid),
                "since": info.since.map(|since| since.to_string()),
                "start": info.start.word(),
                "start_os": info.start_os,
                "lasts": info.lasts,
                "exit": {
                    "win32": info.codes.win32,
                    "specific": info.codes.specific,
                    "result": info.codes.result,
                    "status": info.codes.status,
                    "signal": info.codes.signal,
                },
                "restarts": info.restarts,
                "needs": info.needs,
                "needed_by": info.needed_by,
                "recovery": info.policy.as_ref().map(|policy| &policy.words),
                "holes": holes.iter().map(|hole| json!({ "hole": hole.word(), "words": hole.to_string() })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "services": services })
}

/// The services as a configuration has them, with ids that no two of them share.
fn entries(found: &[Found]) -> Vec<(String, &Found)> {
    let mut taken = std::collections::HashSet::new();
    let numbered =
        |id: &str, number: usize| if number < 2 { id.to_owned() } else { format!("{id}-{number}") };
    found
        .iter()
        .filter_map(|found| {
            let id = id_of(&found.info.name)?;
            let free = (1..).map(|number| numbered(id.as_str(), number)).find(|id| !taken.contains(id))?;
            taken.insert(free.clone());
            Some((free, found))
        })
        .collect()
}

fn configuration(found: &[Found]) -> serde_json::Value {
    let services: Vec<_> = entries(found)
        .into_iter()
        .map(|(id, found)| json!({ "id": id, "unit": { ServiceManager::KIND: found.info.name } }))
        .collect();
    json!({ "services": services })
}

fn yaml(found: &[Found]) -> String {
    let mut text = "services:\n".to_owned();
    if found.is_empty() {
        text = "services: []\n".to_owned();
    }
    for (id, Found { info, holes }) in entries(found) {
        // A text in JSON is one in YAML too, whatever letters a name has.
        let name = json!(info.name);
        // Writing to a String never fails.
        let _ = writeln!(text, "  - id: {}", json!(id));
        let _ = writeln!(text, "    unit: {{ {}: {name} }}", ServiceManager::KIND);
        for hole in holes.iter().filter(|hole| hole.is_worth_a_warning()) {
            let _ = writeln!(text, "    # {hole}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use lifesign_core::evidence::{Exit, UnitState};
    use lifesign_os::unit::info::{Codes, StartType};
    use lifesign_os::unit::policy::{Answer, Covers, Policy};

    use super::*;

    fn found(name: &str) -> Found {
        let policy = Policy {
            covers: Covers { success: false, ..Covers::ALL },
            answers: vec![Answer::Restart(std::time::Duration::from_secs(1))],
            limit: Some((5, std::time::Duration::from_secs(10))),
            ..Policy::default()
        };
        let info = UnitInfo {
            name: name.to_owned(),
            title: String::new(),
            state: UnitState::Stopped { ordered: true, exit: Exit::Clean },
            os: "inactive (dead)".to_owned(),
            process: None,
            since: None,
            start: StartType::Automatic,
            start_os: "enabled".to_owned(),
            lasts: true,
            codes: Codes::default(),
            restarts: None,
            program: String::new(),
            account: String::new(),
            needs: Vec::new(),
            needed_by: Vec::new(),
            policy: Some(policy.clone()),
        };
        Found { info, holes: holes(&policy) }
    }

    #[test]
    fn what_is_written_is_a_configuration_that_lifesign_takes() {
        // Escapes are systemd's; the SCM has no such names.
        let (odd, odd_id) =
            if cfg!(windows) { ("odd@ab.service", "odd-ab") } else { ("odd@a\\x2fb.service", "odd-a-x2fb") };
        let all = [found("web.service"), found("web$"), found(odd), found("$$")];
        let kinds = crate::up::kinds::all();
        for (file, text) in
            [("a.yaml", yaml(&all)), ("a.json", configuration(&all).to_string()), ("b.yaml", yaml(&[]))]
        {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(file);
            std::fs::write(&path, &text).unwrap();
            let loaded = lifesign_config::load::load(&path, None, &kinds);
            let loaded = loaded.unwrap_or_else(|report| panic!("{report}\n{text}"));
            let ids: Vec<_> = loaded.config.services.iter().map(|service| service.id().as_str()).collect();
            let expected: &[&str] = if file == "b.yaml" { &[] } else { &["web", "web-2", odd_id] };
            assert_eq!(ids, expected);
        }
        assert!(
            yaml(&all).contains("    # the system does not restart it when it ends by itself with success")
        );
    }
}
