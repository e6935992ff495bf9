//! What is published from the declarations: the JSON Schema, held against the parser, and the guide's tables.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::path::{Path, PathBuf};

use common::{kinds, load};
use lifesign_config::schema::DEFINITIONS;
use lifesign_config::{
    Budget, Bytes, Decode, DurationRange, HostPort, Percent, Secret, Url, guide, read, schema,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema(&kinds())).unwrap()
}

/// A configuration as a JSON value, by way of the parser of JSON Schema's world and not our own.
fn json_of(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "json") {
        serde_json::from_str(&text).unwrap()
    } else {
        serde_saphyr::from_str(&text).unwrap()
    }
}

fn complaints(validator: &jsonschema::Validator, config: &Value) -> Vec<String> {
    validator.iter_errors(config).map(|error| format!("{}: {error}", error.instance_path)).collect()
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema(&kinds())).unwrap();
    assert!(!schema(&kinds()).to_string().contains("x-order"), "the guide's annotations are taken out");
}

#[test]
fn the_schema_accepts_every_example_and_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = vec![root.join("tests/contract.yaml")];
    files.extend(std::fs::read_dir(root.join("../../examples")).unwrap().map(|entry| entry.unwrap().path()));
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml" || ending == "json"));
    assert!(files.len() >= 5, "{files:?}");
    let validator = validator();
    for file in files {
        // An overlay need not be complete; of its entries only what is there must be right.
        let overlay = file.file_stem().is_some_and(|stem| stem.to_string_lossy().contains('.'));
        let complaints = complaints(&validator, &json_of(&file));
        assert!(complaints.is_empty() || overlay, "{}: {complaints:#?}", file.display());
    }
}

#[test]
fn the_schema_accepts_placeholders_wherever_the_parser_fills_them() {
    let text = "services:\n  - id: a\n    heartbeat: { interval: \"${env:PORT}s\", rise: \"${env:PORT}\" }\n    \
                checks: [ { http: { url: \"http://a:${env:PORT}/\", fall: \"${env:PORT}\" } } ]\n";
    load("a.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    let config: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(complaints(&validator(), &config), Vec::<String>::new());
}

#[test]
fn the_schema_accepts_every_form_of_detectors_and_dependencies() {
    let heartbeats = [
        json!({ "detector": "adaptive", "profile": "strict", "max_timeout": "1m", "mode": "backoff" }),
        json!({ "detector": "chen", "confirm": "on", "mode": "mutual" }),
        json!({ "detector": { "chen": { "margin": "2s", "window": 10 } }, "confirm": "1 of 2" }),
        json!({ "detector": { "phi": { "threshold": 7.5, "window": "${env:PORT}" } }, "confirm": "off" }),
        json!({ "detector": "fixed", "timeout": "30s", "progress_within": "5m" }),
    ];
    for heartbeat in heartbeats {
        let config = json!({
            "defaults": { "detector": "phi", "confirm": "2 of 3" },
            "services": [
                { "id": "a" }, { "id": "b" },
                {
                    "id": "c",
                    "heartbeat": heartbeat,
                    "checks": [{ "tcp": { "addresses": ["a:1", "b:1"] } }],
                    "depends_on": ["a", { "any": ["a", "b"] }, { "of": ["a", "b"], "need": 2 }],
                },
            ],
        });
        load("a.json", &config.to_string()).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(complaints(&validator(), &config), Vec::<String>::new());
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses_in_form() {
    let validator = validator();
    for wrong in [
        json!({ "servces": [] }),
        json!({ "services": [{ "unit": "a" }] }),
        json!({ "services": [{ "id": "A" }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "interval": 5 } }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "interval": "5 s" } }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "mode": "mutal" } }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "detector": "ewma" } }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "detector": { "phi": { "threshold": 17 } } } }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "detector": { "chen": {}, "phi": {} } } }] }),
        json!({ "services": [{ "id": "a", "heartbeat": { "confirm": "some of them" } }] }),
        json!({ "services": [{ "id": "a" }, { "id": "b", "depends_on": [{ "of": ["a"] }] }] }),
        json!({ "services": [{ "id": "a" }, { "id": "b", "depends_on": [{ "any": [] }] }] }),
        json!({ "services": [{ "id": "a", "checks": [{ "ftp": {} }] }] }),
        json!({ "services": [{ "id": "a", "checks": [{ "tcp": { "address": "a:1", "rise": 0 } }] }] }),
        json!({ "services": [{ "id": "a", "checks": [{ "tcp": {}, "http": { "url": "http://a/" } }] }] }),
        json!({ "services": [{ "id": "a", "unit": { "process": [] } }] }),
        json!({ "rules": [{ "alert": "A", "when": "cpu = 90" }] }),
        json!({ "receivers": [{ "name": "a" }] }),
        json!({ "log": { "format": "xml" } }),
        json!({ "heartbeats": { "create_unknown": "yes" } }),
        json!([]),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
        assert!(load("a.json", &wrong.to_string()).is_err(), "{wrong}");
    }
}

#[test]
fn every_example_of_a_value_type_is_taken_by_its_pattern() {
    let schema = schema(&kinds());
    for definition in DEFINITIONS {
        let mut alone = schema["$defs"][definition.name].clone();
        alone["$schema"] = schema["$schema"].clone();
        let validator = jsonschema::draft202012::new(&alone).unwrap();
        assert!(validator.is_valid(&json!(definition.example)), "{}", definition.name);
    }
}

/// Texts near the border of every value type.
fn near_values() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{0,3}(ms|s|m|h|d|x| ){0,3}[0-9]{0,2}(ms|s|m)?",
        "[0-9]{1,2}[smh] ?\\.\\. ?[0-9]{1,2}[smh]",
        " ?[0-9]{1,2} {1,2}per {1,2}[0-9]{1,2}[smh] ?",
        "[0-9]{1,3}(B|kB|KiB|MB|GiB|%| B)",
        "(a|[a-z.-]{1,6}|\\[::1\\]|127.0.0.1):[0-9]{0,6}",
        "(http|HTTPS|ftp)://[a-z:/?#.@0-9]{0,12}",
        "\\PC{0,12}",
    ]
}

fn accepted_by_both<T: Decode>(text: &str) -> Result<(), TestCaseError> {
    let yaml = json!(text).to_string();
    if read::<T>(&yaml).is_ok() {
        let mut alone = schema(&kinds());
        alone["properties"] = json!({ "value": T::schema() });
        alone["type"] = json!("object");
        let validator = jsonschema::draft202012::new(&alone).unwrap();
        prop_assert!(validator.is_valid(&json!({ "value": text })), "{} takes {:?}", T::what(), text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_schema_accepts_every_text_that_a_value_type_takes(text in near_values()) {
        accepted_by_both::<std::time::Duration>(&text)?;
        accepted_by_both::<DurationRange>(&text)?;
        accepted_by_both::<Budget>(&text)?;
        accepted_by_both::<Bytes>(&text)?;
        accepted_by_both::<Percent>(&text)?;
        accepted_by_both::<HostPort>(&text)?;
        accepted_by_both::<Url>(&text)?;
        accepted_by_both::<Secret>(&text)?;
        accepted_by_both::<PathBuf>(&text)?;
        accepted_by_both::<lifesign_core::model::ServiceId>(&text)?;
        accepted_by_both::<lifesign_config::condition::Condition>(&text)?;
    }
}

#[test]
fn the_tables_of_the_guide_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let written = std::fs::read_to_string(&path).unwrap();
    // Kinds belong to the program; their tables are refreshed where it is tested.
    let none = lifesign_config::Kinds::<(), ()> { checks: Vec::new(), receivers: Vec::new() };
    let fresh = guide::refresh(&written, &none).unwrap();
    if std::env::var_os("LIFESIGN_UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
    } else {
        assert!(
            fresh == written,
            "docs/configuration.md is out of date; run: LIFESIGN_UPDATE=1 cargo test -p lifesign-config --test published"
        );
    }
    for (name, _) in guide::blocks(&none) {
        assert!(written.contains(&format!("<!-- generated: {name} -->")), "the guide has no block `{name}`");
    }
}
