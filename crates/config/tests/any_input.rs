//! Whatever comes in, loading answers: no panic, no secret, and every place lies inside its file.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::path::Path;

use common::load_bytes;
use lifesign_config::{Entry, Level, Node, Report, Value};
use proptest::prelude::*;

/// What must hold for every input. Gives the report, when there is one.
fn answer(name: &str, bytes: &[u8]) -> Option<Report> {
    match load_bytes(name, bytes) {
        Ok(loaded) => {
            let shown = loaded.show();
            let again = load_bytes("shown.yaml", shown.as_bytes());
            assert!(
                again.is_ok(),
                "{}\n{shown}",
                again.err().map(|report| report.to_string()).unwrap_or_default()
            );
            None
        }
        Err(report) => {
            assert!(report.has_errors(), "refused without an error");
            let shown = report.to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            let text = String::from_utf8_lossy(bytes);
            let lines = text.matches('\n').count() + 1;
            for problem in &report.problems {
                assert!(problem.span.line as usize <= lines, "{shown}");
                assert!(problem.level == Level::Warning || !problem.message.is_empty());
            }
            Some(report)
        }
    }
}

#[test]
fn the_corpus_of_the_fuzzer_is_answered() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/load");
    let mut files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "the corpus has shrunk to {} files", files.len());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        answer("fuzz.yaml", &bytes);
        answer("fuzz.json", &bytes);
    }
}

/// Keys that exist, so that trees reach the decoders, and some that do not.
const KEYS: &[&str] = &[
    "server",
    "listen",
    "data_dir",
    "limits",
    "agent",
    "host",
    "defaults",
    "interval",
    "timeout",
    "retries",
    "access",
    "roles",
    "tokens",
    "name",
    "role",
    "token",
    "privileges",
    "services",
    "id",
    "unit",
    "scm",
    "systemd",
    "process",
    "env",
    "cwd",
    "heartbeat",
    "mode",
    "rise",
    "checks",
    "tcp",
    "http",
    "address",
    "addresses",
    "url",
    "json",
    "need",
    "depends_on",
    "restart",
    "budget",
    "backoff",
    "severity",
    "rules",
    "alert",
    "when",
    "for",
    "service",
    "notify",
    "receivers",
    "webhook",
    "email",
    "routes",
    "match",
    "group_by",
    "log",
    "format",
    "level",
    "discover",
    "nonsense",
];

const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "5s",
    "0s",
    "10s..5m",
    "3 per 10m",
    "a:1",
    "http://a/",
    "cpu > 90",
    "cpu >",
    "critical",
    "fixed",
    "${env:PORT}",
    "${env:NONE}",
    "${file:none}",
    "${self}",
    "${",
    "$${",
    "内存",
    "127.0.0.1:7700",
    "64KiB",
    "\u{0}",
    "admin",
    "web-*",
    "\n",
    "a: b",
    "- a",
    "#",
    "'",
    "\"",
];

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (0u32..20).prop_map(Into::into),
        any::<f64>().prop_filter("JSON", |number| number.is_finite()).prop_map(Into::into),
        prop::sample::select(TEXTS).prop_map(Into::into),
        "\\PC{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 96, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..6).prop_map(|entries| {
                serde_json::Value::Object(
                    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

/// A whole file: real sections with arbitrary contents.
fn file() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::vec((prop::sample::select(KEYS), value()), 0..6).prop_map(|entries| {
        serde_json::Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

/// A right configuration with one letter changed, taken away or put in.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let text = include_bytes!("contract.yaml");
    (0..text.len(), any::<u8>(), 0..3u8).prop_map(move |(at, byte, how)| {
        let mut bytes = text.to_vec();
        match how {
            0 => bytes[at] = byte,
            1 => {
                bytes.remove(at);
            }
            _ => bytes.insert(at, byte),
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        answer("a.yaml", &bytes);
        answer("a.json", &bytes);
    }

    #[test]
    fn any_text_is_answered(text in "[ \\n\\-:{}\\[\\],&*!|>'\"%@`#?a-c0-9$~.]{0,60}") {
        answer("a.yaml", text.as_bytes());
    }

    #[test]
    fn any_tree_is_answered(tree in file()) {
        answer("a.json", tree.to_string().as_bytes());
    }

    #[test]
    fn a_configuration_with_a_slip_is_answered(bytes in damaged()) {
        answer("a.yaml", &bytes);
    }

    #[test]
    fn merging_any_trees_keeps_keys_unique(base in file(), over in file()) {
        let merged = lifesign_config::overlay::merge(Node::from(&base), Node::from(&over));
        prop_assert!(unique(&merged));
    }
}

fn unique(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => {
            let keys: std::collections::HashSet<&str> =
                entries.iter().map(|Entry { key, .. }| key.as_str()).collect();
            keys.len() == entries.len() && entries.iter().all(|entry| unique(&entry.node))
        }
        Value::List(items) => items.iter().all(unique),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => true,
    }
}
