//! The same story with a service of the real Windows service control manager.
//!
//! The service is the test program of `crates/os/examples`; build it first:
//! `cargo build -p lifesign-os --examples --target x86_64-pc-windows-gnu`.
#![allow(clippy::unwrap_used, reason = "a story says what went wrong by panicking")]
#![cfg(windows)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use support::mailbox::Mailbox;
use support::{Hook, Lifesign, kill_process, wait_for};

/// A service made with the system's own tool; gone with the test.
struct Service {
    name: String,
}

impl Service {
    /// One that runs. Its name is as Windows has them: with a space and a dollar sign.
    fn create() -> Self {
        let service = Self::make("story$", "demand");
        service.sc(&["start", &service.name]);
        service
    }

    /// One that stands still.
    fn make(what: &str, start: &str) -> Self {
        let name = format!("lifesign {what} {}", std::process::id());
        let binaries = Path::new(env!("CARGO_BIN_EXE_lifesign")).parent().unwrap();
        let program = binaries.join("examples").join("test_service.exe");
        assert!(
            program.exists(),
            "{} is missing: cargo build -p lifesign-os --examples --target x86_64-pc-windows-gnu",
            program.display()
        );
        let service = Self { name };
        let path = format!("\"{}\" normal", program.display());
        service.sc(&["create", &service.name, "binPath=", &path, "start=", start]);
        service
    }

    /// What one of the system's own tools says.
    fn tool(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn sc(&self, arguments: &[&str]) {
        let output = Command::new("sc").args(arguments).output().unwrap();
        assert!(output.status.success(), "sc {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for verb in ["stop", "delete"] {
            let _ = Command::new("sc").args([verb, &self.name]).output();
        }
    }
}

#[test]
fn a_windows_service_is_watched_restarted_proven_and_told_of() {
    let service = Service::create();
    let dir = tempfile::tempdir().unwrap();
    let (mut hook, mailbox) = (Hook::start(), Mailbox::start());
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
services:
  - id: shop
    unit: {{ scm: "{}" }}
    heartbeat: {{ interval: 500ms, timeout: 3s, retries: 2 }}
    restart: {{ budget: 5 per 10m, backoff: 200ms..5s }}
receivers:
  - {{ name: hook, webhook: {{ url: "{}" }} }}
  - {{ name: mail, email: {{ to: [ops@example.com], smtp: "{}" }} }}
"#,
        service.name, hook.url, mailbox.url
    );
    let lifesign = Lifesign::start(dir.path(), &configuration);
    let beat = || {
        let (status, ack) =
            lifesign.post("/api/v1/heartbeats", &json!({ "service_id": "shop", "metrics": { "queue": 3 } }));
        assert_eq!(status, 200, "{ack}");
    };
    let beat_until = |what: &str, done: &dyn Fn() -> bool| {
        let mut last = Instant::now() - Duration::from_secs(1);
        wait_for(what, || {
            if last.elapsed() > Duration::from_millis(400) {
                beat();
                last = Instant::now();
            }
            done().then_some(())
        });
    };
    beat_until("shop is up", &|| lifesign.service("shop")["state"] == "up");
    let old = lifesign.service("shop")["pid"].as_u64().unwrap();

    // Killed: Windows tells a kill only by the exit code it left.
    let begin = Instant::now();
    kill_process(old);
    let incident = wait_for("the kill is seen", || lifesign.incidents().into_iter().next());
    println!("kill of a Windows service to incident, asked over HTTP: {:?}", begin.elapsed());
    assert!(support::KILL_REASONS.contains(&incident["reason"].as_str().unwrap()), "{incident}");
    beat_until("the incident is closed", &|| lifesign.incident(&incident["id"])["closed_at"].is_string());
    let new = lifesign.service("shop")["pid"].as_u64().unwrap();
    assert_ne!(new, old, "it is another process");
    // The system's own tools say the same.
    let asked = Service::tool("sc", &["query", &service.name]);
    assert!(asked.contains("RUNNING"), "{asked}");
    let key = format!(r"HKLM\SYSTEM\CurrentControlSet\Services\{}", service.name);
    let start = Service::tool("reg", &["query", &key, "/v", "Start"]);
    let facts = wait_for("what Windows knows of the shop", || {
        Some(lifesign.service("shop")["unit"]["facts"].clone()).filter(serde_json::Value::is_object)
    });
    assert!(start.contains("0x3"), "{start}");
    assert_eq!((&facts["start"], &facts["start_os"]), (&json!("manual"), &json!("SERVICE_DEMAND_START")));
    let (code, said, _) = lifesign.cli(&["explain", "shop"]);
    assert!(code == 0 && said.contains("The system says: SERVICE_RUNNING."), "{said}");
    let told = hook.wait_for("shop", 2);
    assert_eq!((&told[0].1["status"], &told[1].1["status"]), (&json!("firing"), &json!("resolved")));
    // What it last used; the event log's lines stand there, too, where there is one (`real_windows`).
    let (evidence, mail) = (&told[0].1["alerts"][0]["annotations"]["evidence"], mailbox.next());
    assert!(evidence.as_str().is_some_and(|text| text.contains(" MiB of memory")), "{evidence}");
    assert!(mail.contains(&format!("  process {old}, looked at ")), "{mail}");

    // Stopped by an operator: down, and nobody is alarmed.
    service.sc(&["stop", &service.name]);
    lifesign.wait_for_state("shop", "down", Some("stopped_by_operator"));
    Service::tool("net", &["start", &service.name]);
    beat_until("shop is up again", &|| lifesign.service("shop")["state"] == "up");
    assert_eq!(lifesign.incidents().len(), 1);

    // Silent: the process lives, nobody beats. Suspect, hung, restarted.
    let old = lifesign.service("shop")["pid"].as_u64().unwrap();
    lifesign.wait_for_state("shop", "suspect", Some("missed_heartbeat"));
    lifesign.wait_for_state("shop", "down", Some("hung"));
    wait_for("another process", || {
        let pid = lifesign.service("shop")["pid"].as_u64();
        pid.is_some_and(|pid| pid != old).then_some(())
    });
    beat_until("shop is up once more", &|| lifesign.service("shop")["state"] == "up");
}

/// The names of the units of all services, sorted.
fn watched(lifesign: &Lifesign) -> Vec<String> {
    let all = lifesign.all("/api/v1/services");
    let mut units: Vec<String> = all
        .iter()
        .map(|one| one["unit"]["name"].as_str().unwrap().trim_start_matches("scm ").to_owned())
        .collect();
    units.sort();
    units
}

#[test]
fn what_is_discovered_follows_the_system_and_the_configuration() {
    let one = Service::make("found one", "auto");
    let not = Service::make("found not", "auto");
    let manual = Service::make("found manual", "demand");
    let dir = tempfile::tempdir().unwrap();
    let configuration = |discover: &str| format!("server: {{ listen: \"127.0.0.1:0\" }}\n{discover}\n");
    let included = format!(
        "discover: {{ include: [\"lifesign found *{}\"], exclude: [\"lifesign found not *\"] }}",
        std::process::id()
    );
    let lifesign = Lifesign::start(dir.path(), &configuration(&included));
    let until = |what: &str, services: &[&Service]| {
        let mut names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        names.sort_unstable();
        wait_for(what, || (watched(&lifesign) == names).then_some(()));
    };
    let reload = |discover: &str| {
        std::fs::write(dir.path().join("lifesign.yaml"), configuration(discover)).unwrap();
        let (status, answer) = lifesign.post("/api/v1/reload", &json!({}));
        assert_eq!(status, 200, "{answer}");
    };
    until("what is there is watched", &[&one]);
    let two = Service::make("found two", "auto");
    until("what comes is watched", &[&one, &two]);
    drop(one);
    until("what goes is let go", &[&two]);
    reload("");
    until("nothing is looked for any more", &[]);
    reload(&included);
    until("it is looked for again", &[&two]);

    // What `discover` writes is a configuration.
    let pattern = format!("lifesign found *{}", std::process::id());
    let (code, found, error) = lifesign.cli(&["discover", "--all", "--format", "yaml", &pattern]);
    assert_eq!(code, 0, "{error}");
    for service in [&two, &not, &manual] {
        assert!(found.contains(&format!("{{ scm: \"{}\" }}", service.name)), "{found}");
    }
    let file = dir.path().join("found.yaml");
    std::fs::write(&file, &found).unwrap();
    let (code, said, error) = lifesign.cli(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}{error}");
}

/// A death after a change of the configuration is mostly a death by that change.
#[test]
fn a_service_that_somebody_changes_and_deletes_is_told_with_what_was_changed() {
    use windows_service::service::{
        ServiceAccess, ServiceDependency, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceType,
    };
    use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

    let service = Service::make("changed", "demand");
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("lifesign.log");
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
log: {{ file: '{}' }}
services: [ {{ id: shop, unit: {{ scm: "{}" }} }} ]
"#,
        log.display(),
        service.name
    );
    let lifesign = Lifesign::start(dir.path(), &configuration);
    let facts = || Some(lifesign.service("shop")["unit"]["facts"].clone()).filter(|facts| !facts.is_null());
    let before = wait_for("the facts", facts);
    assert_eq!((&before["changed"], &before["account"]), (&json!([]), &json!("LocalSystem")));
    assert!(before["program"].as_str().unwrap().ends_with("test_service.exe\" normal"), "{before}");
    // Wine's `sc` has no `config`.
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).unwrap();
    let opened = manager.open_service(&service.name, ServiceAccess::CHANGE_CONFIG).unwrap();
    let changed = ServiceInfo {
        name: (&service.name).into(),
        display_name: (&service.name).into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::Disabled,
        error_control: ServiceErrorControl::Normal,
        executable_path: "C:\\shop.exe".into(),
        launch_arguments: vec!["--token".into(), "abc".into()],
        dependencies: vec![ServiceDependency::Service("RpcSs".into())],
        account_name: Some("NT AUTHORITY\\LocalService".into()),
        account_password: None,
    };
    opened.change_config(&changed).unwrap();
    // Wine keeps the dependencies as they were.
    let all = ["program", "account", "start"];
    let after = wait_for("the change", || {
        let facts = facts()?;
        let whats: Vec<_> = facts["changed"].as_array()?.iter().map(|one| one["what"].clone()).collect();
        (whats.len() >= 3 && whats[..3] == all).then_some(facts)
    });
    assert_eq!(after["program"], "C:\\shop.exe --token ***");
    let event = |number: u16| {
        let wanted = format!("event_id={number} ");
        wait_for("the event", || {
            std::fs::read_to_string(&log)
                .unwrap()
                .lines()
                .find(|line| line.contains(&wanted))
                .map(str::to_owned)
        })
    };
    assert!(event(32).contains("program"), "{}", event(32));
    drop(opened);
    drop(service);
    event(31);
}
