//! `cargo xtask instructions`: what the pieces of the hot path cost in instructions, against what was written down.
//!
//! Counted by valgrind's callgrind, which sees the same number in every run however busy the machine is, so a test may
//! fail on it. What the numbers depend on is the compiler: a new one may need them to be written down anew.

use anyhow::{Context, bail, ensure};

use crate::shell;

/// What was written down: a piece and its instructions on each line.
const KNOWN: &str = "crates/proto/benches/instructions.txt";
/// How often a piece is done: the second number less the first is what is counted.
const TIMES: [u64; 2] = [200, 1200];
/// How much more than written down is let pass, in percent: maps hash by chance.
const SLACK: u64 = 5;
/// Set to write down what is counted now.
const UPDATE: &str = "LIFESIGN_UPDATE";

/// Counts and compares.
///
/// # Errors
/// When a piece costs more than it did.
pub(crate) fn run() -> anyhow::Result<()> {
    shell::need_packages(&["valgrind"])?;
    let pieces = shell::output(bench(&[], &[]))?;
    let counted: Vec<(String, u64)> =
        pieces.lines().map(|piece| Ok((piece.to_owned(), count(piece)?))).collect::<anyhow::Result<_>>()?;
    if std::env::var_os(UPDATE).is_some() {
        let lines: Vec<String> = counted.iter().map(|(piece, cost)| format!("{piece} {cost}\n")).collect();
        std::fs::write(KNOWN, lines.concat())?;
    }
    let known = std::fs::read_to_string(KNOWN).with_context(|| format!("{KNOWN} is missing"))?;
    let known = read_known(&known)?;
    println!("| instructions | written down | now | |\n|---|---|---|---|");
    let mut dearer = Vec::new();
    for (piece, now) in &counted {
        let Some((_, before)) = known.iter().find(|(known, _)| known == piece) else {
            bail!("{piece} is not written down; run {UPDATE}=1 cargo xtask instructions");
        };
        let verdict = compare(*before, *now);
        println!("| {piece} | {before} | {now} | {verdict} |");
        if verdict == Verdict::Dearer {
            dearer.push(piece.as_str());
        }
    }
    ensure!(
        dearer.is_empty(),
        "more instructions than written down: {}. Find out why; if it is worth it, {UPDATE}=1 cargo xtask instructions",
        dearer.join(", ")
    );
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Cheaper,
    Dearer,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Same => "",
            Self::Cheaper => "cheaper: write it down",
            Self::Dearer => "MORE THAN IT WAS",
        })
    }
}

fn compare(before: u64, now: u64) -> Verdict {
    if now * 100 > before * (100 + SLACK) {
        Verdict::Dearer
    } else if now * (100 + SLACK) < before * 100 {
        Verdict::Cheaper
    } else {
        Verdict::Same
    }
}

fn read_known(text: &str) -> anyhow::Result<Vec<(&str, u64)>> {
    text.lines()
        .map(|line| {
            let (piece, cost) = line.split_once(' ').with_context(|| format!("{KNOWN}: {line}"))?;
            Ok((piece, cost.parse().with_context(|| format!("{KNOWN}: {line}"))?))
        })
        .collect()
}

/// Instructions of doing `piece` once.
fn count(piece: &str) -> anyhow::Result<u64> {
    let [few, many] = TIMES;
    let all = |times: u64| {
        // Counts are all that is wanted; the profile goes nowhere.
        let valgrind =
            "target.'cfg(all())'.runner=['valgrind','--tool=callgrind','--callgrind-out-file=/dev/null']";
        let counted = bench(&["--config", valgrind], &[piece, &times.to_string()])
            .output()
            .context("cargo does not start")?;
        let said = String::from_utf8_lossy(&counted.stderr);
        ensure!(counted.status.success(), "{piece} failed under valgrind: {said}");
        collected(&said).with_context(|| format!("valgrind told no count of {piece}: {said}"))
    };
    Ok((all(many)? - all(few)?) / (many - few))
}

/// What valgrind says at its end: `==123== Collected : 4567`.
fn collected(said: &str) -> Option<u64> {
    said.lines().rev().find_map(|line| line.split_once("Collected : "))?.1.trim().parse().ok()
}

fn bench(config: &[&str], arguments: &[&str]) -> std::process::Command {
    let what = ["--profile", "release", "-p", "lifesign-proto", "--bench", "instructions", "--"];
    shell::cargo(&[config, &["bench"], &what[..], arguments].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        let said = "==7== Callgrind\n==7== Events    : Ir\n==7== Collected : 22108514\n==7== \n";
        assert_eq!(collected(said), Some(22_108_514));
        assert_eq!(collected("==7== killed"), None);
    }

    #[test]
    fn a_little_more_is_the_same_and_much_more_is_not() {
        let found = [950, 953, 1050, 1051].map(|now| compare(1000, now));
        assert_eq!(found, [Verdict::Cheaper, Verdict::Same, Verdict::Same, Verdict::Dearer]);
    }

    #[test]
    fn what_is_written_down_is_read() {
        assert_eq!(read_known("a 1\nb 22\n").unwrap(), [("a", 1), ("b", 22)]);
        assert!(read_known("a\n").is_err() && read_known("a b\n").is_err());
    }
}
