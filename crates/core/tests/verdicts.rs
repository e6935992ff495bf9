//! The whole verdict table, every combination of evidence, as `docs/verdicts.md` shows it.
//!
//! The page is the specification that people read; this test holds it against the code. After a wanted change:
//! `UPDATE_GOLDEN=1 cargo test -p lifesign-core --test verdicts`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may end where it stands, and writes its golden page"
)]

use std::fmt::Write as _;
use std::path::Path;

use lifesign_core::model::{Reason, State};
use lifesign_core::verdict::{HeartEvidence as H, ProbeEvidence as P, UnitEvidence as U, Verdict, judge};

const UNITS: &[(U, &str)] = &[
    (U::None, "No unit"),
    (U::Waiting, "Unit: nobody has looked yet"),
    (U::Blind, "Unit: could not be looked at"),
    (U::Running, "Unit runs"),
    (U::Changing, "Unit is starting or stopping"),
    (U::Stopped(Reason::Killed), "Unit stopped, unwanted (here: killed)"),
    (U::Stopped(Reason::StoppedByOperator), "Unit stopped, ordered"),
];

const HEARTS: &[(H, &str)] = &[
    (H::None, "none expected"),
    (H::Waiting, "none yet, in its fair chance"),
    (H::Beating, "beating"),
    (H::Late, "late"),
    (H::Stuck, "beating, work stands still"),
    (H::Silent, "silent"),
    (H::Failing, "says `fail`"),
    (H::Stopping, "says `stopping`"),
];

const PROBES: &[(P, &str)] = &[
    (P::None, "none"),
    (P::Waiting, "no result yet"),
    (P::Blind, "could not look"),
    (P::Pass, "pass"),
    (P::ComponentDown, "a component is down"),
    (P::Partly, "some of several fail"),
    (P::TimedOut, "time out"),
    (P::Failing, "refused, wrong"),
];

fn cell(verdict: Verdict) -> String {
    match (verdict.state, verdict.reason) {
        (None, _) => "–".to_owned(),
        (Some(state), None) => state.to_string(),
        (Some(state), Some(reason)) => format!("{state} / {reason}"),
    }
}

fn page() -> String {
    let mut page = String::from(
        "# The verdict table\n\n\
        What lifesign says of a service, for every combination of what its unit, its heartbeat and its probes say.\n\
        A dash: not enough for a judgement, what was true stays true. The table is generated from the code and held\n\
        against it by a test.\n",
    );
    for (unit, title) in UNITS {
        writeln!(page, "\n## {title}\n").unwrap();
        write!(page, "| heartbeat ↓ · probes →").unwrap();
        for (_, probe) in PROBES {
            write!(page, " | {probe}").unwrap();
        }
        writeln!(page, " |\n|{}", "---|".repeat(PROBES.len() + 1)).unwrap();
        for (heart, row) in HEARTS {
            write!(page, "| **{row}**").unwrap();
            for (probe, _) in PROBES {
                write!(page, " | {}", cell(judge(*unit, *heart, *probe))).unwrap();
            }
            writeln!(page, " |").unwrap();
        }
    }
    page
}

#[test]
fn the_table_in_the_documentation_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verdicts.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert_eq!(written, page, "docs/verdicts.md is stale; renew it with UPDATE_GOLDEN=1");
}

/// What must hold in every row, whatever the table says in detail.
#[test]
fn no_combination_contradicts_the_principles() {
    for (unit, _) in UNITS {
        for (heart, _) in HEARTS {
            for (probe, _) in PROBES {
                let verdict = judge(*unit, *heart, *probe);
                let at = format!("{unit:?} {heart:?} {probe:?}: {verdict:?}");
                if let U::Stopped(reason) = unit {
                    assert_eq!(verdict.reason, Some(*reason), "a stop outweighs all else: {at}");
                }
                if verdict.state == Some(State::Down) {
                    assert!(verdict.reason.is_some(), "nothing is down without a reason: {at}");
                }
                if verdict.state == Some(State::Up) {
                    assert!(
                        matches!(heart, H::None | H::Beating)
                            && matches!(probe, P::None | P::Pass | P::Blind)
                            && !matches!(unit, U::Stopped(_) | U::Waiting | U::Changing),
                        "up needs every source content: {at}"
                    );
                }
                if *heart == H::Late && !matches!(unit, U::Stopped(_) | U::Waiting | U::Changing) {
                    assert_eq!(verdict.state, Some(State::Suspect), "late is never more than suspect: {at}");
                }
            }
        }
    }
}
