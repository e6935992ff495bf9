//! The whole configuration: the contract's example, defaults, what the engine is told, what is shown.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{load, load_bytes};
use lifesign_config::access::Privilege;
use lifesign_config::{Unit, spec};
use lifesign_core::model::{CheckKind, Severity};

const CONTRACT: &str = include_str!("contract.yaml");

#[test]
fn the_example_of_the_contract_is_accepted() {
    let loaded = load("lifesign.yaml", CONTRACT).unwrap_or_else(|report| panic!("{report}"));
    let spec = spec(&loaded.config, &Arc::from("web-01"), &[]);

    let orders = &spec.services[1];
    assert_eq!(orders.unit.as_deref(), Some("systemd orders.service"));
    assert_eq!(orders.heartbeat.as_ref().unwrap().timeout, Duration::from_secs(15));
    assert_eq!(orders.restart.as_ref().unwrap().budget, 3);
    assert_eq!(orders.checks.len(), 2);
    assert_eq!((orders.checks[0].kind, orders.checks[0].group), (CheckKind::Tcp, 0));
    assert_eq!((orders.checks[1].kind, orders.checks[1].group), (CheckKind::Http, 1));
    assert_eq!(orders.checks[1].interval, Duration::from_secs(5), "from `defaults`");
    assert_eq!(spec.rules[0].hold, Duration::from_secs(30));
    assert_eq!(spec.routes[0].group_by, [Arc::from("service")]);
    assert_eq!(spec.services[0].unit.as_deref(), Some("scm MSSQL$X"));
}

#[test]
fn the_secret_written_out_gives_a_warning_and_shows_nowhere() {
    let loaded = load("lifesign.yaml", CONTRACT).unwrap();
    let warnings = loaded.warnings.to_string();
    assert!(warnings.contains("lifesign.yaml:6:45: warning: a secret is written out"), "{warnings}");
    for shown in [warnings, loaded.show(), format!("{loaded:?} {:?}", loaded.warnings)] {
        assert!(!shown.contains("written-out-secret") && !shown.contains("from-the-environment"), "{shown}");
    }
    assert_eq!(loaded.config.access.tokens[0].token.expose(), "written-out-secret");
    assert_eq!(loaded.config.agent.token.as_ref().unwrap().expose(), "from-the-environment");
}

#[test]
fn what_is_shown_is_yaml_again_with_the_origin_of_each_value() {
    let shown = load("lifesign.yaml", CONTRACT).unwrap().show();
    assert!(
        shown.contains("    token: \"***\"") || shown.contains("token: \"***\"  # lifesign.yaml:2"),
        "{shown}"
    );
    assert!(shown.contains("  listen: \"127.0.0.1:7700\"  # lifesign.yaml:1"), "{shown}");
    let again = load("shown.yaml", &shown).unwrap_or_else(|report| panic!("{report}\n{shown}"));
    assert_eq!(again.config.services, load("lifesign.yaml", CONTRACT).unwrap().config.services);
}

#[test]
fn an_empty_file_is_a_configuration_of_defaults() {
    for text in ["", "\n# nothing\n", "{}"] {
        let config = load("a.yaml", text).unwrap_or_else(|report| panic!("{report}")).config;
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:7700");
        assert_eq!(config.server.data_dir, Path::new("/etc/lifesign").join("./data"));
        assert_eq!(config.heartbeats.rate_per_second, 100);
        assert!(!config.server.open_metrics && !config.heartbeats.create_unknown);
        assert_eq!(config.access.privileges("guest"), Some([Privilege::Read].as_slice()));
        assert_eq!(config.access.privileges("admin").map(<[_]>::len), Some(3));
        assert_eq!(config.access.privileges("nobody"), None);
    }
}

#[test]
fn a_service_that_says_little_gets_the_documented_defaults() {
    let text = "services:\n  - id: a\n    unit: a\n    heartbeat: {}\n    restart: {}\n    \
                checks: [ { tcp: { address: \"a:1\" } } ]\n";
    let spec = spec(&load("a.yaml", text).unwrap().config, &Arc::from("h"), &[]);
    let service = &spec.services[0];
    assert_eq!(service.unit.as_deref(), Some("systemd a.service"));
    assert_eq!(service.severity, Severity::Critical);
    assert_eq!(service.start_grace, Duration::from_secs(10));
    assert!(!service.alert_on_degraded);
    let heartbeat = service.heartbeat.as_ref().unwrap();
    assert_eq!((heartbeat.interval, heartbeat.timeout), (Duration::from_secs(10), Duration::from_secs(30)));
    assert_eq!((heartbeat.retries, heartbeat.rise), (2, 1));
    let restart = service.restart.as_ref().unwrap();
    assert_eq!((restart.budget, restart.window), (3, Duration::from_secs(600)));
    assert_eq!(
        (restart.backoff_min, restart.backoff_max),
        (Duration::from_secs(10), Duration::from_secs(300))
    );
    let check = &service.checks[0];
    assert_eq!((check.rise, check.fall, check.need), (2, 3, 1));
    assert_eq!(check.interval, Duration::from_secs(10));
}

#[test]
fn a_check_over_several_targets_is_one_group_of_checks_with_names_of_their_own() {
    let text = "services:\n  - id: a\n    checks:\n      - tcp: { addresses: [\"a:1\", \"b:1\", \"a:1\"], need: 2 }\n      \
                - tcp: { address: \"a:1\" }\n      - tcp: { addresses: [\"a:1\", \"b:1\"], name: port }\n";
    let checks =
        spec(&load("a.yaml", text).unwrap().config, &Arc::from("h"), &[]).services.remove(0).checks.clone();
    let seen: Vec<(&str, u16, u32)> = checks.iter().map(|c| (c.name.as_ref(), c.group, c.need)).collect();
    assert_eq!(
        seen,
        [
            ("a:1", 0, 2),
            ("b:1", 0, 2),
            ("a:1 #2", 0, 2),
            ("a:1 #3", 1, 1),
            ("port a:1", 2, 1),
            ("port b:1", 2, 1)
        ]
    );
}

#[test]
fn only_the_services_of_a_host_are_its_own() {
    let text = "services:\n  - { id: a, unit: a, hosts: [web-*] }\n  - { id: b, unit: b, hosts: [db-1] }\n  \
                - { id: c, unit: c }\n";
    let config = load("a.yaml", text).unwrap().config;
    let ids = |host: &str| -> Vec<String> {
        spec(&config, &Arc::from(host), &[]).services.into_iter().map(|service| service.id.into()).collect()
    };
    assert_eq!(ids("web-07"), ["a", "c"]);
    assert_eq!(ids("db-1"), ["b", "c"]);
}

#[test]
fn self_stays_symbolic_until_the_process_is_started() {
    let text = "services:\n  - { id: a, unit: { process: [\"${self}\", sample, web, \"--exe=${self}\"], env: { A: \"${env:PORT}\" } } }\n  \
                - { id: b, unit: { process: [bin/b], cwd: work } }\n  - { id: c, unit: { process: [python3] } }\n";
    let config = load("a.yaml", text).unwrap().config;
    let process = |at: usize| match config.services[at].keys.unit.as_ref() {
        Some(Unit::Process(process)) => process,
        other => panic!("{other:?}"),
    };
    let argv = process(0).argv(Path::new("/opt/lifesign"));
    assert_eq!(argv, ["/opt/lifesign", "sample", "web", "--exe=/opt/lifesign"]);
    assert_eq!(process(0).env["A"].expose(), "7");
    assert_eq!(format!("{:?}", process(0).env), "{\"A\": \"***\"}");
    assert_eq!(process(0).cwd, Path::new("/etc/lifesign"));
    assert_eq!(config.services[0].keys.unit.as_ref().unwrap().words(), "process lifesign sample web");
    assert_eq!(Path::new(&process(1).argv(Path::new("x"))[0]), Path::new("/etc/lifesign/bin/b"));
    assert_eq!(process(1).cwd, Path::new("/etc/lifesign/work"));
    assert_eq!(process(2).argv(Path::new("x")), ["python3"]);
}

#[test]
fn placeholders_are_filled_anywhere_and_a_doubled_dollar_keeps_one() {
    let text = "services:\n  - id: a\n    checks:\n      - tcp: { address: \"localhost:${env:PORT}\", rise: \"${env:PORT}\" }\n      \
                - http: { url: \"http://a/$${x}$\" , json: { \"$.a\": \"$b\" } }\n";
    let config = load("a.yaml", text).unwrap_or_else(|report| panic!("{report}")).config;
    let checks = &config.services[0].checks;
    assert_eq!(checks[0].targets[0].label, "localhost:7");
    assert_eq!(checks[0].rise, 7);
    assert_eq!(checks[1].targets[0].label, "http://a/${x}$");
}

#[test]
fn json_and_yaml_say_the_same() {
    let yaml = "services: [ { id: a, unit: a, heartbeat: { interval: 5s } } ]\n";
    let json = "{\"services\": [{\"id\": \"a\", \"unit\": \"a\",\t\"heartbeat\": {\"interval\": \"5s\"}}]}";
    assert_eq!(load("a.json", json).unwrap().config.services, load("a.yaml", yaml).unwrap().config.services);
}

#[test]
fn every_escape_of_json_is_understood() {
    let json = r#"{"agent": {"host": "\u0041\/\u00e9\ud83d\ude00\t"}}"#;
    let config = load("a.json", json).unwrap_or_else(|report| panic!("{report}")).config;
    assert_eq!(config.agent.host.as_deref(), Some("A/é😀\t"));
}

#[test]
fn a_byte_order_mark_is_accepted_and_moves_no_column() {
    for name in ["a.yaml", "a.json"] {
        assert!(load(name, "\u{feff}{\"services\": []}").is_ok(), "{name}");
        let report = load(name, "\u{feff}{\"servces\": []}").unwrap_err();
        assert!(report.to_string().starts_with(&format!("{name}:1:2: error: unknown key")), "{report}");
    }
}

#[test]
fn windows_line_ends_change_nothing() {
    let crlf = CONTRACT.replace('\n', "\r\n");
    assert_eq!(
        load("a.yaml", &crlf).unwrap_or_else(|report| panic!("{report}")).config,
        load("a.yaml", CONTRACT).unwrap().config
    );
    let report = load("a.yaml", "log: {}\r\nlog: {}\r\n").unwrap_err().to_string();
    assert!(report.contains("    2 | log: {}\n      | ^^^ first on line 1\n"), "{report}");
}

#[test]
fn bytes_that_are_no_utf_8_are_named_with_their_place() {
    let report = load_bytes("a.yaml", b"server: {}\nagent: { host: \"\xff\" }\n").unwrap_err().to_string();
    assert!(report.starts_with("a.yaml:2:17: error: byte 0xff is no UTF-8"), "{report}");
}

#[test]
fn nesting_aliases_and_size_have_a_budget() {
    let deep = format!("services: {}{}", "[".repeat(100), "]".repeat(100));
    let report = load("a.yaml", &deep).unwrap_err().to_string();
    assert!(report.contains("nested"), "{report}");
    assert!(load("a.json", &format!("{{\"services\": {}{}}}", "[".repeat(100), "]".repeat(100))).is_err());

    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in ["a", "b", "c", "d", "e", "f", "g"].windows(2).map(|pair| (pair[0], pair[1])) {
        laughs.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(", ")));
    }
    let report = load("a.yaml", &laughs).unwrap_err().to_string();
    assert!(report.contains("aliases") || report.contains("too large"), "{report}");

    let big = format!("# {}\n", "x".repeat(lifesign_config::parse::MAX_FILE));
    let report = load("a.yaml", &big).unwrap_err().to_string();
    assert!(report.contains("at most 4194304 bytes"), "{report}");
}

#[test]
fn anchors_and_merge_keys_save_typing() {
    let text = "services:\n  - id: a\n    unit: a\n    restart: &restart { budget: 5 per 1h, backoff: 1s..1m }\n  \
                - { id: b, unit: b, restart: *restart }\n  - { id: c, unit: c, restart: { <<: *restart, budget: 1 per 1h } }\n";
    let config = load("a.yaml", text).unwrap_or_else(|report| panic!("{report}")).config;
    let budgets: Vec<_> =
        config.services.iter().map(|s| s.keys.restart.as_ref().unwrap().budget.to_string()).collect();
    assert_eq!(budgets, ["5 per 1h", "5 per 1h", "1 per 1h"]);
}

#[test]
fn a_server_open_to_others_without_a_token_gives_a_warning() {
    let warned = |text: &str| !load("a.yaml", text).unwrap().warnings.problems.is_empty();
    assert!(warned("server: { listen: \"0.0.0.0:7700\" }"));
    assert!(warned("server: { listen: \"[::]:7700\" }"));
    assert!(!warned("server: { listen: \"[::1]:7700\" }"));
    assert!(!warned(
        "server: { listen: \"0.0.0.0:7700\" }\naccess: { tokens: [ { name: a, role: guest, token: \"${env:LIFESIGN_TOKEN}\" } ] }"
    ));
}

#[test]
fn what_is_probably_not_meant_gives_a_warning() {
    let warnings = |text: &str| load("a.yaml", text).unwrap_or_else(|r| panic!("{r}")).warnings.to_string();
    assert!(warnings("services: [ { id: a } ]").contains("nothing watches `a`"));
    let unrouted = "receivers:\n  - { name: a, webhook: { url: \"http://a/\" } }\n  - { name: b, webhook: { url: \"http://b/\" } }\n\
                    routes: [ { receivers: [a] } ]\n";
    assert!(warnings(unrouted).contains("nothing is ever sent to `b`"));
    assert!(warnings("rules: [ { alert: A, when: \"cpu > 9\" } ]").contains("`cpu` is never known"));
    assert_eq!(warnings("rules: [ { alert: A, when: \"host_cpu > 9\" } ]"), "");
}

#[test]
fn thousands_of_services_are_read_in_a_moment() {
    let mut text = "services:\n".to_owned();
    for n in 0..5000 {
        let needs = if n == 0 { String::new() } else { format!(", depends_on: [s-{}]", n - 1) };
        text.push_str(&format!(
            "  - {{ id: s-{n}, unit: s-{n}{needs}, checks: [ {{ tcp: {{ address: \"a:1\" }} }} ] }}\n"
        ));
    }
    assert_eq!(load("a.yaml", &text).unwrap_or_else(|r| panic!("{r}")).config.services.len(), 5000);
}

#[test]
fn a_service_on_several_hosts_stands_there_once_for_each_with_the_host_in_its_id() {
    let text = "services:\n\
        - { id: web, hosts: [\"web-*\"], depends_on: [db, cache] }\n\
        - { id: cache, hosts: [\"web-*\"] }\n\
        - { id: db, hosts: [db-1] }\n\
        - { id: here }\n\
        rules: [ { alert: Hot, when: \"cpu > 90\", service: web } ]\n";
    let config = load("a.yaml", text).unwrap().config;
    let others = ["db-1", "web-1", "web-2"].map(Arc::from);
    let many = spec(&config, &Arc::from("hq"), &others);
    let ids: Vec<&str> = many.services.iter().map(|service| service.id.as_str()).collect();
    assert_eq!(ids, ["web@web-1", "web@web-2", "cache@web-1", "cache@web-2", "db", "here"]);
    let needs = |at: usize| -> Vec<String> {
        many.services[at].depends_on.iter().flat_map(|one| one.of.iter().map(ToString::to_string)).collect()
    };
    assert_eq!(needs(1), ["db", "cache@web-2"], "the one on its own host");
    let rules: Vec<_> = many.rules.iter().map(|rule| rule.service.clone().unwrap().to_string()).collect();
    assert_eq!(rules, ["web@web-1", "web@web-2"]);
    // With one host the id is the written one, and without any there is no such service.
    let ids = |others: &[Arc<str>]| -> Vec<String> {
        let spec = spec(&config, &Arc::from("hq"), others);
        spec.services.iter().map(|service| service.id.to_string()).collect()
    };
    assert_eq!(ids(&others[1..2]), ["web", "cache", "here"]);
    assert_eq!(ids(&[]), ["here"]);
}

#[test]
fn a_hosts_part_says_the_same_and_nothing_of_others() {
    let text = "defaults: { interval: 3s }\nservices:\n\
        - { id: web, hosts: [\"web-*\"], unit: { process: [\"${self}\", \"$${x}\"] }, heartbeat: {}, depends_on: [db] }\n\
        - { id: db, hosts: [db-1], checks: [ { tcp: { address: \"127.0.0.1:1\" } } ] }\n";
    let loaded = load("a.yaml", text).unwrap();
    let part = loaded.part(&["web"].into());
    assert!(!part.contains("db"), "{part}");
    let again = load("part.json", &part).unwrap().config;
    let (then, now) = (&loaded.config.services[0].keys, &again.services[0].keys);
    assert_eq!((&then.unit, &then.heartbeat), (&now.unit, &now.heartbeat));
    assert_eq!(again.defaults, loaded.config.defaults);
}
