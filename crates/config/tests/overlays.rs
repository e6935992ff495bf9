//! Files on disk: overlays, included files, what cannot be read.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::fs;
use std::path::Path;

use common::{Probe, Way, kinds, variable};
use lifesign_config::{Loaded, Outside, Report, load, load_with};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read(folder: &TempDir, name: &str, env: Option<&str>) -> Result<Loaded<Probe, Way>, Report> {
    load_with(&folder.path().join(name), env, &kinds(), &Outside { variable: &variable })
}

const BASE: &str = "\
server: { listen: \"127.0.0.1:7700\", limits: { followers: 5, headers: 32 } }
log: { level: debug }
services:
  - id: a
    unit: a
    heartbeat: { interval: 5s, timeout: 20s }
    checks: [ { tcp: { address: \"a:1\" } }, { tcp: { address: \"a:2\" } } ]
  - { id: b, unit: b }
rules:
  - { alert: A, when: \"cpu > 90\", for: 30s }
receivers:
  - { name: hook, webhook: { url: \"http://127.0.0.1/\", token: \"${env:NOT_SET}\" } }
";

const OVER: &str = "\
server: { listen: \"127.0.0.1:80\", limits: { followers: 9 } }
log: ~
services:
  - { id: c, unit: c }
  - id: a
    heartbeat: { interval: 1s }
    checks: [ { tcp: { address: \"a:3\" } } ]
rules:
  - { alert: A, when: \"cpu > 95\" }
receivers:
  - { name: hook, webhook: { token: \"${env:LIFESIGN_TOKEN}\" } }
";

#[test]
fn an_overlay_changes_what_it_names_and_leaves_the_rest() {
    let folder = folder(&[("lifesign.yaml", BASE), ("lifesign.prod.yaml", OVER)]);
    let loaded = read(&folder, "lifesign.yaml", Some("prod")).unwrap_or_else(|report| panic!("{report}"));
    let config = &loaded.config;

    assert_eq!(config.server.listen.port(), 80);
    assert_eq!((config.server.limits.followers, config.server.limits.headers), (9, 32));
    assert_eq!(config.log.level, lifesign_config::server::LogLevel::Info, "null takes the section away");
    let ids: Vec<_> = config.services.iter().map(|service| service.id().as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"], "known ones in place, new ones at the end");
    let a = &config.services[0];
    assert_eq!(a.keys.heartbeat.as_ref().unwrap().spec(&config.defaults).timeout.as_secs(), 20);
    assert_eq!(a.keys.heartbeat.as_ref().unwrap().spec(&config.defaults).interval.as_secs(), 1);
    assert_eq!(a.checks.len(), 1, "a list replaces a list");
    assert_eq!(config.rules[0].when.text, "cpu > 95");
    assert_eq!(config.rules[0].hold.0.as_secs(), 30);
    let Way::Webhook(hook) = &config.receivers[0].target else { panic!("{:?}", config.receivers) };
    assert_eq!(hook.url.to_string(), "http://127.0.0.1/");
    assert_eq!(hook.token.as_ref().unwrap().expose(), "from-the-environment");
    assert_eq!(loaded.files.len(), 2);
}

#[test]
fn each_value_shows_the_file_it_comes_from() {
    let folder = folder(&[("lifesign.yaml", BASE), ("lifesign.prod.yaml", OVER)]);
    let shown = read(&folder, "lifesign.yaml", Some("prod")).unwrap().show();
    let origin = |line: &str| {
        let line = shown.lines().find(|shown| shown.trim_start().starts_with(line));
        line.unwrap_or_else(|| panic!("{line:?} in {shown}")).rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(origin("listen:"), "lifesign.prod.yaml:1");
    assert_eq!(origin("headers:"), "lifesign.yaml:1");
    assert_eq!(origin("timeout:"), "lifesign.yaml:6");
    assert_eq!(origin("interval:"), "lifesign.prod.yaml:6");
    assert!(!shown.contains("from-the-environment"));
}

#[test]
fn mistakes_of_both_files_are_reported_in_their_own_file() {
    let folder =
        folder(&[("l.yaml", "servces: []\nserver: {}\n"), ("l.x.yaml", "\nserver: { lisen: 1 }\nlog: [\n")]);
    let report = read(&folder, "l.yaml", Some("x")).unwrap_err().to_string();
    assert!(report.contains("l.x.yaml:3:"), "{report}");
    fs::write(folder.path().join("l.x.yaml"), "\nserver: { lisen: 1 }\n").unwrap();
    let report = read(&folder, "l.yaml", Some("x")).unwrap_err().to_string();
    assert!(report.contains("l.yaml:1:1: error: unknown key `servces`"), "{report}");
    assert!(report.contains("l.x.yaml:2:11: error: unknown key `lisen`"), "{report}");
}

#[test]
fn an_overlay_that_is_empty_changes_nothing() {
    let folder = folder(&[("l.yaml", "server: { open_metrics: true }\n"), ("l.x.yaml", "# nothing yet\n")]);
    assert!(read(&folder, "l.yaml", Some("x")).unwrap().config.server.open_metrics);
}

#[test]
fn an_overlay_that_is_not_there_is_an_error_and_its_name_cannot_leave_the_folder() {
    let folder = folder(&[("l.yaml", ""), ("secret.yaml", "")]);
    let report = read(&folder, "l.yaml", Some("prod")).unwrap_err().to_string();
    assert!(report.contains("l.prod.yaml cannot be read: there is no such file"), "{report}");
    assert!(read(&folder, "l.yaml", Some("")).is_ok(), "an empty variable is as good as none");
    for name in ["../secret", "a/b", "a.b", "a\\b"] {
        let report = read(&folder, "l.yaml", Some(name)).unwrap_err().to_string();
        assert!(report.contains("cannot be the name of an overlay"), "{report}");
    }
}

#[test]
fn a_file_that_is_not_there_or_has_another_ending_is_an_error() {
    let folder = folder(&[("l.toml", "")]);
    let report = read(&folder, "none.yaml", None).unwrap_err().to_string();
    assert!(report.contains("none.yaml cannot be read: there is no such file"), "{report}");
    let report = read(&folder, "l.toml", None).unwrap_err().to_string();
    assert!(report.contains("the ending says neither YAML nor JSON"), "{report}");
}

#[test]
fn an_included_file_starts_at_the_folder_of_the_configuration_and_loses_its_last_line_break() {
    let text = "access: { tokens: [ { name: a, role: guest, token: \"${file:secrets/a}\" } ] }\n";
    let folder = folder(&[("l.yaml", text), ("secrets/a", "from-a-file\r\n")]);
    let loaded = read(&folder, "l.yaml", None).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.config.access.tokens[0].token.expose(), "from-a-file");
    assert!(loaded.warnings.problems.is_empty(), "{}", loaded.warnings);
    assert!(!loaded.show().contains("from-a-file"));
}

#[test]
fn an_included_file_has_a_limit_and_must_be_text() {
    let text = "agent: { host: \"${file:big}\" }\nlog: { level: \"${file:bytes}\" }\nheartbeats: { create_unknown: \"${file:.}\" }\n";
    let folder = folder(&[("l.yaml", text), ("big", &"x".repeat(70_000))]);
    fs::write(folder.path().join("bytes"), b"\xff").unwrap();
    let report = read(&folder, "l.yaml", None).unwrap_err();
    assert_eq!(report.problems.len(), 3, "{report}");
    assert!(report.to_string().contains("it is larger than 65536 bytes"), "{report}");
    assert!(report.to_string().contains("it is no UTF-8"), "{report}");
}

#[test]
fn every_example_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names: Vec<String> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| {
        name.matches('.').count() == 1 && [".yaml", ".json"].iter().any(|e| name.ends_with(e))
    });
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let loaded = load(&root.join(&name), None, &kinds()).unwrap_or_else(|report| panic!("{report}"));
        assert!(loaded.warnings.problems.is_empty(), "{}", loaded.warnings);
    }
    let outside = Outside { variable: &|name| (name == "ORDERS_TOKEN").then(|| "t".to_owned()) };
    let loaded = load_with(&root.join("orders.yaml"), Some("prod"), &kinds(), &outside);
    let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
    assert_eq!(config.services[1].keys.restart.as_ref().unwrap().budget.count, 5);
    assert_eq!(config.services[1].checks.len(), 2);
}
