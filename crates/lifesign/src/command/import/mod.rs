//! `lifesign import`: what another monitor was told to watch, as lines for our own configuration.
//!
//! Each peer's file has a reader of its own: a pure function from the file's text to [`Imported`]. What lifesign has no
//! counterpart for is never dropped in silence: it stands as a comment beside its service, or below all of them.

mod gatus;
mod healthchecks;
mod uptime_kuma;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use lifesign_config::discover::id_of;
use lifesign_config::time::write_duration;
use lifesign_lang::{Lang, Value as Arg};
use serde_json::{Map, Value, json};

use crate::cli::{Import, Peer};
use crate::failure::Failure;
use crate::print;

/// Larger files are no configuration of a monitor.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What was read of a peer's file.
#[derive(Debug, Default)]
struct Imported {
    services: Vec<Service>,
    /// Entries that have become no service: their name, and why.
    left_out: Vec<(String, Why)>,
}

/// One service of ours.
#[derive(Debug)]
struct Service {
    /// What the peer calls it.
    name: String,
    /// Its keys beside the id.
    keys: Map<String, Value>,
    /// What of it was not taken over.
    lost: Vec<Why>,
}

/// Why something is not taken over: the key of a message, and what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Why {
    message: &'static str,
    what: String,
}

impl Why {
    fn new(message: &'static str, what: impl Into<String>) -> Self {
        Self { message, what: what.into() }
    }

    fn words(&self, lang: Lang) -> String {
        lang.text(self.message, &[("what", Arg::from(one_line(&self.what)))])
    }
}

impl Service {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), keys: Map::new(), lost: Vec::new() }
    }

    fn set(&mut self, key: &str, value: Value) {
        self.keys.insert(key.to_owned(), value);
    }

    fn lose(&mut self, message: &'static str, what: impl Into<String>) {
        self.lost.push(Why::new(message, what));
    }
}

pub(super) fn run(what: &Import, lang: Lang, as_json: bool) -> Result<(), Failure> {
    let text = read(&what.file)?;
    let read = match what.peer {
        Peer::Healthchecks => healthchecks::read,
        Peer::UptimeKuma => uptime_kuma::read,
        Peer::Gatus => gatus::read,
    };
    let imported = read(&text)
        .map_err(|why| Failure::Configuration(format!("error: {}: {why}", what.file.display())))?;
    if as_json {
        print::json(&configuration(&imported));
    } else {
        print::line(yaml(&imported, lang).trim_end());
    }
    let lost: usize = imported.services.iter().map(|service| service.lost.len()).sum();
    let counts = [
        ("services", Arg::from(imported.services.len())),
        ("left", Arg::from(imported.left_out.len())),
        ("lost", Arg::from(lost)),
    ];
    print::hint(lang.text("cli-import-done", &counts));
    Ok(())
}

fn read(file: &Path) -> Result<String, Failure> {
    let open = || -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        anyhow::ensure!(bytes.len() as u64 <= MAX_FILE, "it is larger than 16 MiB");
        // Some editors on Windows put a mark in front of every text.
        let text = String::from_utf8(bytes).context("it is not UTF-8")?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    };
    open().map_err(|why| Failure::Configuration(format!("error: failed to read {}: {why:#}", file.display())))
}

/// Each service with an id that no other has.
fn with_ids(imported: &Imported) -> impl Iterator<Item = (String, &Service)> {
    let mut taken = HashSet::new();
    imported.services.iter().map(move |service| {
        let base = id_of(&service.name).map_or_else(|| "service".to_owned(), |id| id.as_str().to_owned());
        let base = base.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let mut id = base.clone();
        let mut number = 1;
        while !taken.insert(id.clone()) {
            number += 1;
            id = format!("{base}-{number}");
        }
        (id, service)
    })
}

fn configuration(imported: &Imported) -> Value {
    let services: Vec<_> = with_ids(imported)
        .map(|(id, service)| {
            let mut all = Map::from_iter([("id".to_owned(), json!(id))]);
            all.extend(service.keys.clone());
            Value::Object(all)
        })
        .collect();
    json!({ "services": services })
}

fn yaml(imported: &Imported, lang: Lang) -> String {
    let mut text = String::new();
    // Writing to a String never fails.
    if imported.services.iter().any(|service| service.keys.contains_key("peers")) {
        let ways = Arg::from("${env:NAME}, ${file:PATH}");
        let _ = writeln!(text, "# {}", lang.text("cli-import-secrets", &[("ways", ways)]));
    }
    text.push_str(if imported.services.is_empty() { "services: []\n" } else { "services:\n" });
    for (id, service) in with_ids(imported) {
        if service.name != id {
            let _ = writeln!(text, "  # {}", one_line(&service.name));
        }
        let _ = writeln!(text, "  - id: {id}");
        for (key, value) in &service.keys {
            match value {
                Value::Array(checks) => {
                    let _ = writeln!(text, "    {key}:");
                    checks
                        .iter()
                        .filter_map(Value::as_object)
                        .flatten()
                        .for_each(|check| block(check, &mut text));
                }
                value => {
                    let _ = writeln!(text, "    {key}: {}", flow(value));
                }
            }
        }
        for why in &service.lost {
            let _ = writeln!(text, "    # {}", why.words(lang));
        }
    }
    if !imported.left_out.is_empty() {
        let _ = writeln!(text, "# {}", lang.word("cli-import-left-out"));
        for (name, why) in &imported.left_out {
            let _ = writeln!(text, "#   {}: {}", one_line(name), why.words(lang));
        }
    }
    text
}

/// A check with a line for each of its keys, its target first.
fn block((kind, keys): (&String, &Value), text: &mut String) {
    let _ = writeln!(text, "      - {kind}:");
    let (target, others): (Vec<_>, Vec<_>) = keys
        .as_object()
        .into_iter()
        .flatten()
        .partition(|(key, _)| ["url", "address"].contains(&key.as_str()));
    for (key, value) in target.into_iter().chain(others) {
        let _ = writeln!(text, "          {key}: {}", flow(value));
    }
}

/// A value on one line of YAML, with quotes only where they are needed.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", plain(key), flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// A text as YAML reads it back: a text in JSON is one in YAML, too.
fn plain(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && text.chars().any(|c| c.is_ascii_alphabetic())
        // `1e3` and `0x1f` are numbers, `no` was once false.
        && !(text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(['e', 'E', 'x', 'o']))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if is_word { text.to_owned() } else { json!(text).to_string() }
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn seconds(seconds: u64) -> Value {
    json!(write_duration(Duration::from_secs(seconds)))
}

/// A text of an object, where there is one.
fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file becomes is a configuration that lifesign takes, and stands in the golden file.
    fn assert_golden(read: fn(&str) -> Result<Imported, String>, input: &str, golden: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
        let imported = read(&std::fs::read_to_string(folder.join(input)).unwrap()).unwrap();
        let kinds = crate::up::kinds::all();
        let dir = tempfile::tempdir().unwrap();
        let mut configurations = Vec::new();
        for (name, text) in [
            ("a.yaml", yaml(&imported, Lang::En)),
            ("b.yaml", yaml(&imported, Lang::Zh)),
            ("c.json", configuration(&imported).to_string()),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, &text).unwrap();
            let loaded = lifesign_config::load::load(&path, None, &kinds);
            let loaded = loaded.unwrap_or_else(|report| panic!("{report}\n{text}"));
            configurations.push(loaded.config.services);
        }
        assert_eq!(configurations[0].len(), imported.services.len());
        let text = yaml(&imported, Lang::En);
        let golden = folder.join(golden);
        if std::env::var_os("LIFESIGN_UPDATE").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, expected, "LIFESIGN_UPDATE=1 writes {}", golden.display());
    }

    #[test]
    fn checks_of_healthchecks_become_jobs() {
        assert_golden(healthchecks::read, "healthchecks.json", "healthchecks.yaml");
    }

    #[test]
    fn monitors_of_uptime_kuma_become_checks_and_heartbeats() {
        assert_golden(uptime_kuma::read, "uptime-kuma.json", "uptime-kuma.yaml");
    }

    #[test]
    fn endpoints_of_gatus_become_checks_and_heartbeats() {
        assert_golden(gatus::read, "gatus-config.yaml", "gatus.yaml");
    }

    #[test]
    fn a_file_of_another_kind_is_refused_with_what_was_expected() {
        for read in [healthchecks::read, uptime_kuma::read, gatus::read] {
            for text in ["", "[]", "{\"a\": 1}", "{", "12", "services: []", "checks: {}"] {
                let why = read(text).unwrap_err();
                assert!(why.contains("expected") || why.contains("no "), "{text:?}: {why}");
            }
        }
    }

    #[test]
    fn words_that_yaml_would_read_as_something_else_are_quoted() {
        for (text, written) in [
            ("60s", "60s"),
            ("web-01", "web-01"),
            ("12", "\"12\""),
            ("1e3", "\"1e3\""),
            ("No", "\"No\""),
            ("a: b", "\"a: b\""),
        ] {
            assert_eq!(plain(text), written);
        }
    }
}
