//! The command receiver with real programs.
#![cfg(unix)] // the programs here are shell scripts; the receiver itself knows no operating system
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

#[expect(dead_code, reason = "one opening is enough here")]
#[path = "../src/samples.rs"]
mod samples;

use std::time::{Duration, Instant};

use lifesign_lang::Lang;
use lifesign_notify::{Context, Delivery, Receiver, kinds};

fn command(text: &str) -> Receiver {
    let kinds = kinds();
    let kind = kinds.iter().find(|kind| kind.name == "command").unwrap();
    kind.read(text).unwrap_or_else(|report| panic!("{report}"))
}

async fn deliver(receiver: &Receiver) -> Delivery {
    let context = Context { attempt: 1, external_url: "http://127.0.0.1:7700", lang: Lang::En };
    receiver.deliver(&samples::opening(), &context).await
}

/// A receiver that runs `script` in a shell which we, not lifesign, ask for.
fn shell(script: &str, more: &str) -> Receiver {
    command(&format!("{{ run: [sh, -c, {}]{more} }}", serde_json::to_string(script).unwrap()))
}

#[tokio::test]
async fn exit_code_0_is_delivered_with_the_message_on_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    let script = format!("cat > '{}'; echo \"$LIFESIGN_SERVICE $LIFESIGN_REASON $TEAM\"", file.display());
    let answer = deliver(&shell(&script, ", env: { TEAM: ops }")).await;
    assert_eq!(answer, Delivery::Delivered { answer: "exit code 0 orders killed ops".to_owned() });
    let got: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((got["version"].as_str(), got["status"].as_str()), (Some("4"), Some("firing")));
}

#[tokio::test]
async fn every_other_end_is_tried_again_with_the_last_words() {
    for (script, why) in [
        ("echo try later >&2; exit 75", "exit code 75 try later"),
        ("exit 1", "exit code 1"),
        ("kill -9 $$", "ended by a signal"),
    ] {
        assert_eq!(deliver(&shell(script, "")).await, Delivery::Retry { why: why.to_owned(), after: None });
    }
    let answer = deliver(&command("{ run: [no-such-program-anywhere] }")).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("cannot run")), "{answer:?}");
}

#[tokio::test]
async fn a_program_that_hangs_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("echo $$ > '{}'; exec sleep 600", file.display());
    let answer = deliver(&shell(&script, ", timeout: 500ms")).await;
    assert_eq!(answer.text(), "killed after 500ms without an end");
    let pid = std::fs::read_to_string(file).unwrap();
    let alive = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(alive.is_err(), "{alive:?}");
}

#[tokio::test]
async fn what_a_program_leaves_running_does_not_hold_the_answer_back() {
    let start = Instant::now();
    let answer = deliver(&shell("sleep 30 & echo done", "")).await;
    assert_eq!(answer.text(), "exit code 0 done");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_program_that_neither_reads_nor_stops_talking_is_bounded() {
    let answer = deliver(&shell("yes noise | head -c 3000000; echo the end; exit 3", "")).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.starts_with("exit code 3")), "{answer:?}");
    assert!(answer.text().ends_with("the end") && answer.text().len() < 300, "{answer:?}");
}

#[tokio::test]
async fn nothing_in_an_alert_becomes_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pwned");
    let mut hostile = samples::opening();
    hostile.alerts[0].labels[3].1 = format!("$(touch {0}); `touch {0}`", file.display()).into();
    let context = Context { attempt: 1, external_url: "", lang: Lang::En };
    let answer = command("{ run: [env] }").deliver(&hostile, &context).await;
    assert!(answer.is_delivered() && !file.exists(), "{answer:?}");
}
