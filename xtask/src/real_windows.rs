//! What only real Windows can show: each such test is listed, and run by the workflow.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};

/// The page that lists them.
const PAGE: &str = "docs/not-proven-under-wine.md";
/// What runs them, and how. The word selects by the names of tests: reasons of `#[ignore]` are not looked at.
const WORKFLOW: &str = ".github/workflows/ci.yml";
const RUN: &str = "-- --ignored real_windows";
/// Begins the attribute of such a test.
const MARK: &str = "#[ignore = \"real_windows: ";

/// Every marked test has a name that the workflow selects, and a place on the page; every row of the page has a test
/// that exists, or says what a person does.
pub(crate) fn check() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(PAGE).with_context(|| format!("{PAGE} is missing"))?;
    let workflow = std::fs::read_to_string(WORKFLOW).with_context(|| format!("{WORKFLOW} is missing"))?;
    ensure!(workflow.contains(RUN), "{WORKFLOW} does not run `cargo test … {RUN}`");
    let mut tests = BTreeSet::new();
    let mut folders = vec![Path::new("crates").to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                for test in marked(&std::fs::read_to_string(&path)?) {
                    let at = path.display();
                    ensure!(
                        test.contains("real_windows"),
                        "{at}: the workflow does not select {test}; name it `on_real_windows_…`"
                    );
                    ensure!(page.contains(test), "{at}: {test} is missing in {PAGE}");
                    tests.insert(test.to_owned());
                }
            }
        }
    }
    ensure!(!tests.is_empty(), "no test is marked {MARK:?}; the mark has changed");
    for row in rows(&page) {
        let named = row.split('`').filter(|word| word.contains("real_windows_"));
        for test in named.filter_map(|word| word.rsplit("::").next()) {
            ensure!(tests.contains(test), "{PAGE} lists {test}, which is no marked test");
        }
        let is_tried = row.contains("::") || row.contains("by hand: ");
        ensure!(is_tried, "{PAGE}: this row has neither a test nor `by hand: …`:\n{row}");
    }
    println!("    real Windows: {} tests, all listed and run by the workflow", tests.len());
    Ok(())
}

/// The rows of the table, without its head.
fn rows(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| line.starts_with("| ")).skip(1)
}

/// The names of the marked tests of a file.
fn marked(text: &str) -> Vec<&str> {
    let after = text.split(MARK).skip(1);
    after.filter_map(|rest| rest.split_once("fn ")?.1.split_once('(')).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_tests_are_found_by_name_and_others_are_not() {
        let text = format!(
            "#[test]\n{MARK}because\"]\nfn on_real_windows_a() {{}}\n#[ignore = \"slow\"]\nfn b() {{}}\n\
             #[tokio::test]\n{MARK}of \\\n  two lines\"]\nasync fn c() {{}}"
        );
        assert_eq!(marked(&text), ["on_real_windows_a", "c"]);
        std::env::set_current_dir(crate::shell::root()).unwrap();
        check().unwrap();
    }
}
