//! What is said about a configuration that is wrong: every message is a promise to a person, so each is written
//! down in `bad_files.txt`.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::fmt::Write;
use std::path::Path;

struct Case<'t> {
    name: &'t str,
    file: &'t str,
    text: String,
    report: String,
}

/// Between a text and its report; `---` would be YAML.
const SEPARATOR: &str = "~~~";

fn cases(table: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    let mut in_report = false;
    for line in table.lines().skip_while(|line| !line.starts_with("===")) {
        if let Some((name, file)) = line.strip_prefix("=== ").and_then(|title| title.rsplit_once(" (")) {
            let file = file.trim_end_matches(')');
            cases.push(Case { name, file, text: String::new(), report: String::new() });
            in_report = false;
        } else if line == SEPARATOR && !in_report {
            in_report = true;
        } else if let Some(case) = cases.last_mut() {
            let part = if in_report { &mut case.report } else { &mut case.text };
            part.push_str(line);
            part.push('\n');
        }
    }
    cases
}

#[test]
fn every_mistake_is_named_with_its_place_and_the_way_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_files.txt");
    let table = std::fs::read_to_string(&path).unwrap();
    let cases = cases(&table);
    assert!(cases.len() >= 60, "the table has shrunk to {} cases", cases.len());

    let mut written = table[..table.find("\n=== ").unwrap() + 1].to_owned();
    let mut wrong = String::new();
    for case in &cases {
        let report = match common::load(case.file, &case.text) {
            Ok(_) => "accepted\n".to_owned(),
            Err(report) => report.to_string(),
        };
        assert!(!report.contains("hunter2"), "{}: the report gives a secret away:\n{report}", case.name);
        assert!(!report.contains("very secret"), "{}: the report gives a secret away:\n{report}", case.name);
        if report != case.report {
            write!(wrong, "=== {}\n{}--- is said, where the table says\n{}", case.name, report, case.report)
                .unwrap();
        }
        write!(written, "=== {} ({})\n{}{SEPARATOR}\n{}", case.name, case.file, case.text, report).unwrap();
    }
    if std::env::var_os("LIFESIGN_UPDATE").is_some() {
        std::fs::write(&path, written).unwrap();
    } else {
        assert!(
            wrong.is_empty(),
            "{wrong}\nif this is wanted: LIFESIGN_UPDATE=1 cargo test -p lifesign-config --test bad_files"
        );
    }
}
