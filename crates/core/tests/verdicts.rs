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
use lifesign_core::verdict::{
    HeartEvidence as H, JobEvidence as J, ProbeEvidence as P, UnitEvidence as U, Verdict, judge, judge_job,
};

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

const JOBS: &[(J, &str)] = &[
    (J::Waiting, "none has ended yet, none is overdue"),
    (J::Ok, "the last was well"),
    (J::Failed(Reason::Crashed), "the last failed (here: exit code)"),
    (J::Overdue, "none was heard of in time"),
    (J::TooLong, "one takes too long"),
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
        head(&mut page, "heartbeat");
        for (heart, row) in HEARTS {
            let cells = PROBES.iter().map(|(probe, _)| judge(*unit, *heart, *probe));
            line(&mut page, row, cells);
        }
    }
    page.push_str(
        "\n# Jobs\n\n\
        A job reports runs in the place of a heartbeat. Its unit mostly does not run, and only a failure of it counts.\n",
    );
    let failed = (U::Stopped(Reason::Killed), "Unit failed (here: killed)");
    for (unit, title) in [(U::None, "No unit, or none that failed"), failed] {
        writeln!(page, "\n## {title}\n").unwrap();
        head(&mut page, "runs");
        for (job, row) in JOBS {
            line(&mut page, row, PROBES.iter().map(|(probe, _)| judge_job(unit, *job, *probe)));
        }
    }
    page
}

fn head(page: &mut String, rows: &str) {
    write!(page, "| {rows} ↓ · probes →").unwrap();
    for (_, probe) in PROBES {
        write!(page, " | {probe}").unwrap();
    }
    writeln!(page, " |\n|{}", "---|".repeat(PROBES.len() + 1)).unwrap();
}

fn line(page: &mut String, row: &str, cells: impl Iterator<Item = Verdict>) {
    write!(page, "| **{row}**").unwrap();
    for verdict in cells {
        write!(page, " | {}", cell(verdict)).unwrap();
    }
    writeln!(page, " |").unwrap();
}

/// A job's unit that runs, rests or cannot be seen changes nothing.
#[test]
fn only_a_failure_of_its_unit_counts_for_a_job() {
    for (unit, _) in UNITS.iter().filter(|(unit, _)| *unit != U::Stopped(Reason::Killed)) {
        for (job, _) in JOBS {
            for (probe, _) in PROBES {
                assert_eq!(judge_job(*unit, *job, *probe), judge_job(U::None, *job, *probe), "{unit:?}");
            }
        }
    }
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
