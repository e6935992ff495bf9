//! `lifesign simulate`: figures that can be worked out by hand, words in both languages, and refusals.
//!
//! What docs/detection.md shows is what the binary prints. After a wanted change `LIFESIGN_UPDATE=1 cargo test -p
//! lifesign --test simulate` writes it anew; the diff is then read by a person.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const FIXED: &str = "{ interval: 10s, timeout: 30s, retries: 0 }";
const ADAPTIVE: &str = "{ interval: 10s }";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lifesign(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifesign"));
    command.current_dir(root()).args(args).env_remove("LIFESIGN_ENV").env("LANG", "C").env_remove("LC_ALL");
    command
}

/// A folder with a configuration of one service `a`, and a trace.
struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new(heartbeat: &str, trace: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let configuration = format!("services:\n  - id: a\n    heartbeat: {heartbeat}\n  - id: quiet\n");
        std::fs::write(dir.path().join("lifesign.yaml"), configuration).unwrap();
        std::fs::write(dir.path().join("trace.jsonl"), trace).unwrap();
        Self { dir }
    }

    fn run(&self, args: &[&str]) -> Output {
        lifesign(&["simulate", "-c", "lifesign.yaml", "--trace", "trace.jsonl"])
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    /// The JSON of the service.
    fn figures(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["services"][0].take()
    }

    /// What it says when it refuses.
    #[track_caller]
    fn refusal(&self) -> String {
        let output = self.run(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty());
        said.trim_end().to_owned()
    }
}

/// Heartbeats of `a` each ten seconds, received `delay` milliseconds later, those at `lost` never.
fn beats(times: impl IntoIterator<Item = u32>, delay: u32, lost: &[u32]) -> String {
    let mut text = String::new();
    for at in times {
        if lost.contains(&at) {
            writeln!(text, "{{\"service\":\"a\",\"sent\":{at},\"received\":null}}").unwrap();
        } else {
            let received = f64::from(at) + f64::from(delay) / 1000.0;
            writeln!(text, "{{\"service\":\"a\",\"sent\":{at},\"received\":{received}}}").unwrap();
        }
    }
    text
}

fn every_ten(from: u32, until: u32) -> impl Iterator<Item = u32> {
    (from..=until).step_by(10)
}

#[test]
fn the_documented_output_is_what_is_printed() {
    let path = root().join("docs/detection.md");
    let written = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let mut fresh = String::new();
    let mut commands = 0;
    let mut lines = written.lines();
    while let Some(line) = lines.next() {
        writeln!(fresh, "{line}").unwrap();
        let Some(command) = line.strip_prefix("$ lifesign simulate ") else { continue };
        let (args, indented) = match command.strip_suffix(" | jq .") {
            Some(args) => (args, true),
            None => (command, false),
        };
        let args: Vec<&str> = ["simulate"].into_iter().chain(args.split(' ')).collect();
        let output = lifesign(&args).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let mut printed = String::from_utf8(output.stdout).unwrap();
        if indented {
            let value: Value = serde_json::from_str(&printed).unwrap();
            printed = serde_json::to_string_pretty(&value).unwrap();
        }
        write!(fresh, "{}\n```\n", printed.trim_end()).unwrap();
        for old in lines.by_ref() {
            if old == "```" {
                break;
            }
        }
        commands += 1;
    }
    assert!(commands >= 3, "{commands} commands in {}", path.display());
    if std::env::var_os("LIFESIGN_UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    assert!(
        fresh == written,
        "docs/detection.md is out of date; renew it: LIFESIGN_UPDATE=1 cargo test -p lifesign --test simulate"
    );
}

#[test]
fn the_same_in_chinese() {
    let args = ["--lang", "zh", "simulate", "-c", "examples/traces/orders.yaml", "--trace"];
    let output = lifesign(&args).arg("examples/traces/weak-link.jsonl").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["轨迹", "自适应，会询问", "从崩溃到判定故障", "轨迹中的 2 次", "存活却被判定故障"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains(['⟦', '{']), "{text}");
}

/// Each arrives 100 ms after it was sent. The last before the crash at 95 s was sent at 90 s: suspect and down
/// 30 s after 90.1 s. The second crash is over before that.
#[test]
fn a_fixed_timeout_detects_exactly_when_it_says() {
    let mut trace = beats(every_ten(0, 90), 100, &[]) + &beats(every_ten(150, 200), 100, &[]);
    trace += "{\"service\":\"a\",\"crash\":95}\n{\"service\":\"a\",\"recover\":145}\n";
    trace += "{\"service\":\"a\",\"crash\":201}\n{\"service\":\"a\",\"recover\":209}\n";
    let figures = Case::new(FIXED, &trace).figures(&[]);
    let seconds = |mean: f64| json!({ "mean_s": mean, "p99_s": mean, "max_s": mean });
    let mut detection = seconds(25.1);
    detection["crashes"] = 2.into();
    detection["missed"] = 1.into();
    assert_eq!(
        figures,
        json!({
            "id": "a", "detector": "fixed", "profile": null, "confirm": false, "interval_s": 10.0,
            "beats": 16, "lost": 0, "ignored": 0, "days": 0.002418,
            "detection": detection, "worst_phase": seconds(30.1),
            "mistakes": {
                "count": 0, "per_day": 0.0, "during_outage_per_day": 0.0, "avoidable_per_day": 0.0,
                "mean_duration_s": null,
            },
            "query_accuracy": 1.0, "questions_per_day": 0.0,
        })
    );
}

/// Lost are those sent at 50, 60 and 70 s: down 30 s after 40.1 s, up with the one that arrives at 80.1 s.
#[test]
fn a_mistake_is_down_while_it_lives_and_only_an_outage_excuses_it() {
    let trace = beats(every_ten(0, 400), 100, &[50, 60, 70]);
    let mut figures = Case::new(FIXED, &trace).figures(&[]);
    let per_day = 216.054_014; // Observed are 399.9 s, from the first arrival on.
    let expected = json!({
        "count": 1, "per_day": per_day, "during_outage_per_day": 0.0, "avoidable_per_day": per_day,
        "mean_duration_s": 10.0,
    });
    assert_eq!(figures["mistakes"].take(), expected);
    assert_eq!(figures["query_accuracy"], json!(0.974_993_748));
    assert_eq!(figures["lost"], json!(3));

    for (outage, excused) in [("[45,75]", true), ("[10,20]", false), ("[71,200]", false)] {
        let trace = format!("{trace}{{\"outage\":{outage}}}\n");
        let figures = Case::new(FIXED, &trace).figures(&[]);
        let expected = if excused { per_day } else { 0.0 };
        assert_eq!(figures["mistakes"]["during_outage_per_day"], json!(expected), "{outage}");
        assert_eq!(figures["mistakes"]["count"], json!(1));
    }
}

/// After the mistake three heartbeats in a row bring it back, and the first two are no moment to be noticed from.
#[test]
fn a_service_that_is_still_down_has_no_worst_phase() {
    let trace = beats(every_ten(0, 400), 100, &[50, 60, 70]);
    let figures = Case::new("{ interval: 10s, timeout: 30s, retries: 0, rise: 3 }", &trace).figures(&[]);
    assert_eq!(figures["worst_phase"]["max_s"], json!(30.1));
    assert_eq!(figures["mistakes"]["mean_duration_s"], json!(30.0));
}

/// A punctual sender: an inquiry opens 10.2 s after an arrival, and ends 21 s after it.
#[test]
fn the_default_asks_and_is_sure_long_before_three_intervals() {
    let trace = beats(every_ten(0, 1000), 100, &[]) + "{\"service\":\"a\",\"crash\":1003}\n";
    let figures = Case::new(ADAPTIVE, &trace).figures(&[]);
    assert_eq!(figures["detector"], json!("adaptive"));
    assert_eq!(figures["profile"], json!("default"));
    assert_eq!(figures["detection"]["mean_s"], json!(18.1));
    assert_eq!(figures["worst_phase"]["max_s"], json!(21.1));
    assert!(figures["questions_per_day"].as_f64().unwrap() > 0.0, "{figures}");
}

/// Three are asked instead of one; all of them fare as the network, so a dead service has nobody for it.
#[test]
fn a_second_opinion_is_asked_for_and_given() {
    let checks: String =
        (1..=3).map(|port| format!("\n      - tcp: {{ address: \"127.0.0.1:{port}\" }}")).collect();
    let trace = beats(every_ten(0, 1000), 100, &[]) + "{\"service\":\"a\",\"crash\":1003}\n";
    let one = Case::new(ADAPTIVE, &trace).figures(&[]);
    let three =
        Case::new(&format!("{{ interval: 10s, confirm: 2 of 3 }}\n    checks:{checks}"), &trace).figures(&[]);
    assert_eq!(three["detection"], one["detection"]);
    let asked = |figures: &Value| figures["questions_per_day"].as_f64().unwrap();
    assert!((asked(&three) - 3.0 * asked(&one)).abs() < 0.001, "{three}");
}

/// Without anybody to ask the cap judges, as a fixed timeout of three intervals does.
#[test]
fn confirmation_switched_off_waits_for_the_cap() {
    let trace = beats(every_ten(0, 1000), 100, &[]);
    let figures = Case::new("{ interval: 10s, confirm: off }", &trace).figures(&[]);
    assert_eq!(figures["worst_phase"]["max_s"], json!(30.1));
    assert_eq!((&figures["confirm"], &figures["questions_per_day"]), (&json!(false), &json!(0.0)));
}

#[test]
fn the_published_detectors_are_played_too() {
    let trace = beats(every_ten(0, 1000), 100, &[]);
    for (heartbeat, name, worst) in [
        ("{ interval: 10s, detector: { chen: { margin: 5s } }, confirm: off }", "chen", 30.1),
        ("{ interval: 10s, detector: { chen: { margin: 5s } } }", "chen", 23.1),
        ("{ interval: 10s, detector: phi }", "phi", 21.1),
    ] {
        let figures = Case::new(heartbeat, &trace).figures(&[]);
        assert_eq!(figures["detector"], json!(name));
        assert_eq!(figures["worst_phase"]["max_s"], json!(worst), "{heartbeat}");
    }
}

/// Fixed at two intervals, at three, adaptive in its three profiles, without asking, and two at 20 s.
#[test]
fn other_settings_are_played_where_they_are_asked_for() {
    let trace = beats(every_ten(0, 1000), 100, &[]);
    let case = Case::new(FIXED, &trace);
    assert_eq!(case.figures(&[]).get("alternatives"), None);
    let figures = case.figures(&["--suggest"]);
    let told: Vec<(&str, f64)> = figures["alternatives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|other| (other["heartbeat"].as_str().unwrap(), other["worst_phase"]["max_s"].as_f64().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("{ interval: 10s, timeout: 20s, retries: 0 }", 20.1),
            ("{ interval: 10s, timeout: 30s, retries: 0 }", 30.1),
            ("{ interval: 10s, profile: fast }", 15.1),
            ("{ interval: 10s }", 21.1),
            ("{ interval: 10s, profile: strict }", 28.6),
            ("{ interval: 10s, confirm: off }", 30.1),
            ("{ interval: 20s, timeout: 40s, retries: 0 }", 40.1),
            ("{ interval: 20s }", 42.1),
        ]
    );
    for (heartbeat, worst) in told {
        let trace: String = if heartbeat.contains("20s, timeout: 40s") || heartbeat == "{ interval: 20s }" {
            beats((0..=1000).step_by(20), 100, &[])
        } else {
            trace.clone()
        };
        let figures = Case::new(heartbeat, &trace).figures(&[]);
        assert_eq!(figures["worst_phase"]["max_s"], json!(worst), "as a configuration: {heartbeat}");
    }
}

/// Heartbeats get lost, two in a row, and nobody is wrong about it: the questions get through. When answers take
/// longer than an inquiry, asking is in vain and the same trace is full of mistakes.
#[test]
fn questions_fare_as_the_heartbeats_around_them() {
    let lost: Vec<u32> = every_ten(0, 40_000).filter(|at| at % 400 == 100 || at % 400 == 110).collect();
    let quick = Case::new(ADAPTIVE, &beats(every_ten(0, 40_000), 100, &lost)).figures(&[]);
    assert_eq!(quick["mistakes"]["count"], json!(0), "{quick}");
    let slow = Case::new(ADAPTIVE, &beats(every_ten(0, 40_000), 6000, &lost)).figures(&[]);
    assert_eq!(slow["mistakes"]["count"], json!(100), "{slow}");
}

#[test]
fn the_same_seed_prints_the_same_figures_and_another_draws_others() {
    let lost: Vec<u32> = every_ten(0, 40_000).filter(|at| (at / 10) % 3 != 0).collect();
    let case = Case::new("{ interval: 10s, max_timeout: 25s }", &beats(every_ten(0, 40_000), 100, &lost));
    let text = |seed| String::from_utf8(case.run(&["--seed", seed]).stdout).unwrap();
    assert_eq!(text("7"), text("7"));
    assert_ne!(case.figures(&["--seed", "7"]), case.figures(&["--seed", "8"]));
}

#[test]
fn a_trace_may_come_from_standard_input_with_lines_of_windows() {
    let trace = beats(every_ten(0, 90), 100, &[]).replace('\n', "\r\n");
    let case = Case::new(FIXED, &trace);
    let mut child = lifesign(&["simulate", "--trace", "-", "--json"])
        .current_dir(case.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(trace.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["services"][0], case.figures(&[]));
    assert_eq!(printed["seed"], json!(1));
}

#[test]
fn an_overlay_changes_what_is_played() {
    let case = Case::new(ADAPTIVE, &beats(every_ten(0, 90), 100, &[]));
    let overlay = format!("services:\n  - id: a\n    heartbeat: {FIXED}\n");
    std::fs::write(case.dir.path().join("lifesign.slow.yaml"), overlay).unwrap();
    assert_eq!(case.figures(&["--env", "slow"])["worst_phase"]["mean_s"], json!(30.1));
}

#[test]
fn doubtful_figures_come_with_a_warning() {
    let dead = beats(every_ten(0, 90), 100, &[]) + "{\"service\":\"a\",\"crash\":85}\n";
    let output = Case::new(FIXED, &dead).run(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success());
    let told = "One heartbeat of a was sent while it was dead and is left out; is a `recover` missing?";
    assert_eq!(said.trim_end(), told);

    let output = Case::new("{ interval: 5s }", &beats(every_ten(0, 90), 100, &[])).run(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("a sends every 10 s in the trace, and the configuration expects 5 s"), "{said}");
}

#[test]
fn a_wrong_trace_is_refused_with_its_line_and_exit_code_2() {
    let good = beats([0, 10], 100, &[]);
    let with = |line: &str| Case::new(FIXED, &format!("{good}{line}\n")).refusal();
    for (line, told) in [
        ("{\"service\":\"a\",\"sent\":5,\"recieved\":6}", "error: trace.jsonl:3: unknown key `recieved`"),
        ("{\"service\":\"a\",\"sent\":-5,\"received\":6}", "error: trace.jsonl:3: `sent` is -5 s"),
        ("{\"service\":\"a\",\"recover\":6}", "error: trace.jsonl:3: a recovers at 6 s without a `crash`"),
        (
            "{\"service\":\"b\",\"sent\":5,\"received\":6}",
            "error: trace.jsonl:3: the configuration has no service `b`",
        ),
        (
            "{\"service\":\"quiet\",\"sent\":5,\"received\":6}",
            "error: trace.jsonl:3: `quiet` expects no heartbeats in the configuration; give it `heartbeat:",
        ),
    ] {
        let said = with(line);
        assert!(said.starts_with(told), "{line}: {said}");
    }
    let empty = Case::new(FIXED, "\n").refusal();
    assert!(empty.starts_with("error: trace.jsonl: the trace has no heartbeat"), "{empty}");
}

#[test]
fn a_missing_file_is_refused_with_exit_code_2() {
    let case = Case::new(FIXED, "");
    std::fs::remove_file(case.dir.path().join("trace.jsonl")).unwrap();
    assert!(case.refusal().starts_with("error: cannot read the trace trace.jsonl: "));
    std::fs::create_dir(case.dir.path().join("trace.jsonl")).unwrap();
    assert!(case.refusal().starts_with("error: cannot read the trace trace.jsonl: "));
    std::fs::remove_file(case.dir.path().join("lifesign.yaml")).unwrap();
    case.refusal();
    let output = lifesign(&["simulate", "-c", "lifesign.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "--trace is missing");
}
