//! The same story with units of a real systemd. Needs root and `apt-get install -y systemd dbus util-linux`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a story says what went wrong by panicking"
)]
#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::json;
use support::mailbox::Mailbox;
use support::{Hook, Lifesign, free_port, kill_process, wait_for};

/// A systemd of the test's own; stopped with all its processes when dropped.
struct Lab {
    name: String,
    base: tempfile::TempDir,
}

impl Lab {
    fn start() -> Self {
        let lab = Self { name: format!("story-{}", std::process::id()), base: tempfile::tempdir().unwrap() };
        let started = lab.script(&["start", "user"]);
        assert!(
            started.status.success(),
            "this story needs root and a systemd to start (apt-get install -y systemd dbus util-linux): {}",
            String::from_utf8_lossy(&started.stderr)
        );
        lab
    }

    fn script(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/systemd-lab.sh");
        Command::new(script)
            .args(arguments)
            .env("LIFESIGN_LAB_NAME", &self.name)
            .env("LIFESIGN_LAB_BASE", self.base.path())
            .output()
            .unwrap()
    }

    /// Makes systemd start the unit `name` by itself. Not by `systemctl`, which would write into the machine's folders.
    fn change(&self, how: &[&str]) {
        let manager =
            ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
        let called = self.script(&[&["exec", "busctl", "--user", "call"], &manager[..], how].concat());
        assert!(called.status.success(), "{how:?}: {}", String::from_utf8_lossy(&called.stderr));
        self.systemctl(&["daemon-reload"]);
    }

    /// A unit that starts by itself.
    fn automatic(&self, name: &str) {
        self.unit(name, "ExecStart=sleep 1000\n[Install]\nWantedBy=default.target");
        self.change(&["EnableUnitFiles", "asbb", "1", name, "false", "false"]);
    }

    fn remove(&self, name: &str) {
        self.change(&["DisableUnitFiles", "asb", "1", name, "false"]);
        std::fs::remove_file(self.dir().join("units").join(name)).unwrap();
        self.systemctl(&["daemon-reload"]);
    }

    fn dir(&self) -> PathBuf {
        self.base.path().join(format!("lifesign-systemd-{}", self.name))
    }

    fn unit(&self, name: &str, service: &str) {
        let text = format!("[Unit]\nDefaultDependencies=no\n[Service]\n{service}\n");
        std::fs::write(self.dir().join("units").join(name), text).unwrap();
        self.systemctl(&["daemon-reload"]);
    }

    fn systemctl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["exec", "systemctl", "--user"];
        all.extend(arguments);
        let output = self.script(&all);
        assert!(
            output.status.success(),
            "systemctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a journal for the lab, and gives a folder for the `PATH` whose `journalctl` reads that one.
    fn journal(&self) -> PathBuf {
        let rules = "[Journal]\nStorage=volatile\nReadKMsg=no\nRateLimitBurst=0\n";
        std::fs::write(self.dir().join("etc/journald.conf"), rules).unwrap();
        // The journal looks there for which start of a unit a line is of.
        let pre = "sh -c 'ln -sfn $XDG_RUNTIME_DIR/systemd/units /run/systemd/units'";
        let exec = "/lib/systemd/systemd-journald\nStandardOutput=null\nStandardError=null";
        self.unit("journald.service", &format!("Type=notify\nExecStartPre={pre}\nExecStart={exec}"));
        self.systemctl(&["start", "journald.service"]);
        let pid = self.systemctl(&["show", "-p", "MainPID", "--value", "journald.service"]);
        let (folder, lines) = (self.dir().join("bin"), format!("/proc/{}/root/run/log/journal", pid.trim()));
        std::fs::create_dir(&folder).unwrap();
        let script = format!("#!/bin/sh\nexec /usr/bin/journalctl --directory={lines} \"$@\"\n");
        std::fs::write(folder.join("journalctl"), script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.join("journalctl"), mode).unwrap();
        folder
    }

    /// The lab's manager answers on its session bus as the system's does on the system bus.
    fn bus(&self) -> String {
        format!("unix:path={}", self.dir().join("run/bus").display())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let stopped = self.script(&["stop"]);
        if !stopped.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}

#[test]
fn a_systemd_unit_is_watched_restarted_proven_and_told_of() {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start();
    let port = free_port();
    let binary = env!("CARGO_BIN_EXE_lifesign");
    lab.unit("shop.service", &format!("ExecStart={binary} sample web --port {port}"));
    lab.systemctl(&["start", "shop.service"]);
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
services:
  - id: shop
    unit: shop.service
    checks: [ {{ http: {{ url: "http://127.0.0.1:{port}/health", interval: 500ms, timeout: 300ms }} }} ]
    restart: {{ budget: 5 per 10m, backoff: 200ms..5s }}
  - id: worker
    unit: worker.service
    heartbeat: {{ interval: 300ms, timeout: 1s, retries: 2 }}
    restart: {{ budget: 5 per 10m, backoff: 200ms..5s }}
receivers: [ {{ name: hook, webhook: {{ url: "{}" }} }} ]
"#,
        hook.url
    );
    let lifesign = Lifesign::start_with(dir.path(), &configuration, |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus());
    });
    lab.unit(
        "worker.service",
        &format!(
            "ExecStart={binary} sample worker --id worker --interval 300ms\nEnvironment=LIFESIGN_SERVER={} LIFESIGN_TOKEN={}",
            lifesign.base, lifesign.token
        ),
    );
    lab.systemctl(&["start", "worker.service"]);

    // What systemd knows of it, in its own words beside ours.
    let facts = wait_for("what systemd knows of the shop", || {
        Some(lifesign.service("shop")["unit"]["facts"].clone()).filter(|facts| facts.is_object())
    });
    assert_eq!((&facts["start"], &facts["start_os"]), (&"manual".into(), &"static".into()));
    assert!(facts["recovery"].as_str().unwrap().starts_with("Restart=no"), "{facts}");
    for command in ["status", "explain"] {
        let (code, said, error) = lifesign.cli(&[command, "shop"]);
        assert_eq!(code, 0, "{error}");
        for part in ["The system says: active (running).", "(the system says static)", "recovery: Restart=no"]
        {
            assert!(said.contains(part), "{part} is missing in {command}: {said}");
        }
    }

    // Killed: seen at once, restarted through systemd, proven, told once each way.
    let old = lifesign.wait_for_state("shop", "up", None)["pid"].as_u64().unwrap();
    let begin = Instant::now();
    kill_process(old);
    let incident = wait_for("the kill is seen", || {
        lifesign.incidents().into_iter().find(|incident| incident["service_id"] == "shop")
    });
    println!("kill of a systemd unit to incident, asked over HTTP: {:?}", begin.elapsed());
    assert_eq!(incident["reason"], "killed");
    wait_for("the incident is closed", || {
        lifesign.incident(&incident["id"])["closed_at"].is_string().then_some(())
    });
    let new = lifesign.wait_for_state("shop", "up", None)["pid"].as_u64().unwrap();
    assert_ne!(new, old);
    // systemd's own tools say the same.
    let shown = lab.systemctl(&["show", "-p", "MainPID", "-p", "ActiveState", "shop.service"]);
    assert!(shown.contains(&format!("MainPID={new}\n")) && shown.contains("ActiveState=active"), "{shown}");
    let path = "/org/freedesktop/systemd1/unit/shop_2eservice";
    let asked = lab.script(&[
        "exec",
        "busctl",
        "--user",
        "get-property",
        "org.freedesktop.systemd1",
        path,
        "org.freedesktop.systemd1.Service",
        "MainPID",
    ]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), format!("u {new}"));
    let told = hook.wait_for("shop", 2);
    assert_eq!((&told[0].1["status"], &told[1].1["status"]), (&"firing".into(), &"resolved".into()));

    // Stopped by an operator: down, and nobody is alarmed.
    lab.systemctl(&["stop", "shop.service"]);
    lifesign.wait_for_state("shop", "down", Some("stopped_by_operator"));
    assert_eq!(lifesign.service("shop")["incident_id"], serde_json::Value::Null);
    lab.systemctl(&["start", "shop.service"]);
    lifesign.wait_for_state("shop", "up", None);
    assert_eq!(lifesign.incidents().iter().filter(|incident| incident["service_id"] == "shop").count(), 1);

    // Stalled: it runs, its heart is silent.
    let old = lifesign.wait_for_state("worker", "up", None)["pid"].as_u64().unwrap();
    assert!(Command::new("kill").args(["-STOP", &old.to_string()]).status().unwrap().success());
    lifesign.wait_for_state("worker", "suspect", Some("missed_heartbeat"));
    lifesign.wait_for_state("worker", "down", Some("hung"));
    // The old process may beat once more between the manager's SIGCONT and its end.
    wait_for("another worker is up", || {
        let worker = lifesign.service("worker");
        (worker["state"] == "up" && worker["pid"].as_u64().is_some_and(|pid| pid != old)).then_some(())
    });
    assert_eq!(hook.wait_for("shop", 2).len(), 2, "nothing more was told of the shop");
}

#[test]
fn the_mail_about_a_killed_unit_carries_the_last_lines_of_its_journal() {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Mailbox::start();
    let bin = lab.journal();
    let script = "echo taking order 4711; echo password=hunter2 >&2; exec sleep 1000";
    lab.unit(
        "shop.service",
        &format!("StandardOutput=journal\nStandardError=journal\nExecStart=sh -c '{script}'"),
    );
    lab.systemctl(&["start", "shop.service"]);
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
services: [ {{ id: shop, unit: shop.service }} ]
receivers: [ {{ name: mail, email: {{ to: [ops@example.com], smtp: "{}" }} }} ]
"#,
        mailbox.url
    );
    let lifesign = Lifesign::start_with(dir.path(), &configuration, |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus());
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    });
    let shop = lifesign.wait_for_state("shop", "up", None);
    let begin = Instant::now();
    kill_process(shop["pid"].as_u64().unwrap());
    let mail = mailbox.next();
    println!("kill of a systemd unit to the mail with its last lines: {:?}", begin.elapsed());
    for part in [
        "What it left at its end:\n",
        "  taking order 4711\n",
        "  password=***\n",
        " MiB of memory",
        "signal",
    ] {
        assert!(mail.contains(part), "{part:?} is missing in {mail}");
    }
    assert!(!mail.contains("hunter2"), "{mail}");
}

/// A death after a change of the configuration is mostly a death by that change.
#[test]
fn a_unit_that_somebody_changes_deletes_and_brings_back_is_told_with_what_was_changed() {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    lab.unit("shop.service", "ExecStart=sleep 1000");
    lab.unit("stock.service", "ExecStart=sleep 1000");
    lab.systemctl(&["start", "shop.service"]);
    let log = dir.path().join("lifesign.log");
    let configuration = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
log: {{ file: {} }}
services: [ {{ id: shop, unit: shop.service }} ]
"#,
        log.display()
    );
    let lifesign = Lifesign::start_with(dir.path(), &configuration, |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus());
    });
    let facts = || Some(lifesign.service("shop")["unit"]["facts"].clone()).filter(|facts| !facts.is_null());
    let before = wait_for("the facts", facts);
    assert_eq!((&before["changed"], before["account"].as_str()), (&json!([]), Some("")));
    assert!(before["program"].as_str().unwrap().ends_with("sleep 1000"), "{before}");
    let changed = "ExecStart=sleep 1000 --token abc\nUser=root\nRestart=always\n[Unit]\nWants=stock.service";
    lab.unit("shop.service", changed);
    let after = wait_for("the change", || facts().filter(|facts| facts["changed"] != json!([])));
    let whats: Vec<_> = after["changed"].as_array().unwrap().iter().map(|one| one["what"].clone()).collect();
    assert_eq!(whats, ["program", "account", "dependencies", "recovery"]);
    assert!(after["program"].as_str().unwrap().ends_with("--token ***"), "{after}");
    let (_, said, _) = lifesign.cli(&["explain", "shop"]);
    assert!(said.contains("Changed while it was watched: account (noticed "), "{said}");
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
    assert!(event(32).contains("program, account, dependencies, recovery"), "{}", event(32));
    std::fs::remove_file(lab.dir().join("units/shop.service")).unwrap();
    lab.systemctl(&["daemon-reload"]);
    event(31);
    lab.unit("shop.service", changed);
    event(30);
}

#[test]
fn a_unit_that_knows_systemd_alone_is_heard_unchanged_and_hung_before_its_watchdog_ends_it() {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    lab.unit(
        "orders.service",
        "Type=notify\nNotifyAccess=all\nWatchdogSec=60s\nExecStart=sh -c 'systemd-notify --ready; while :; do \
         systemd-notify WATCHDOG=1; sleep 0.3; done'",
    );
    lab.systemctl(&["start", "orders.service"]);
    let configuration = r#"
server: { listen: "127.0.0.1:0" }
services:
  - id: orders
    unit: orders.service
    start_grace: 0s
    heartbeat: { interval: 500ms, timeout: 2s, retries: 2, watchdog: true }
"#;
    let lifesign = Lifesign::start_with(dir.path(), configuration, |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus());
    });
    let up = lifesign.wait_for_state("orders", "up", None);
    let first = up["last_heartbeat_at"].as_str().expect("systemd has told of its heart").to_owned();
    wait_for("further beats", || {
        let last = lifesign.service("orders")["last_heartbeat_at"].as_str().unwrap().to_owned();
        (last > first).then_some(())
    });
    let pid = up["pid"].as_u64().unwrap();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    let begin = Instant::now();
    lifesign.wait_for_state("orders", "suspect", Some("missed_heartbeat"));
    println!("SIGSTOP of a unit with a heartbeat every 500 ms, until it is suspect: {:?}", begin.elapsed());
    lifesign.wait_for_state("orders", "down", Some("hung"));
    println!("and until it is hung, with WatchdogSec=60s: {:?}", begin.elapsed());
    let shown = lab.systemctl(&["show", "-p", "MainPID", "-p", "ActiveState", "orders.service"]);
    assert!(shown.contains(&format!("MainPID={pid}\n")) && shown.contains("ActiveState=active"), "{shown}");
    signal("-CONT");
    lifesign.wait_for_state("orders", "up", None);
}

/// The ids of all services, sorted.
fn watched(lifesign: &Lifesign) -> Vec<String> {
    let all = lifesign.all("/api/v1/services");
    let mut ids: Vec<String> = all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn what_is_discovered_follows_the_system_and_the_configuration() {
    let lab = Lab::start();
    let dir = tempfile::tempdir().unwrap();
    for name in ["lab-one.service", "lab-not.service", "other.service"] {
        lab.automatic(name);
    }
    lab.unit("lab-manual.service", "ExecStart=sleep 1000");
    let configuration = |discover: &str| format!("server: {{ listen: \"127.0.0.1:0\" }}\n{discover}\n");
    let included = "discover: { include: [\"lab-*\"], exclude: [\"lab-not*\"] }";
    let lifesign = Lifesign::start_with(dir.path(), &configuration(included), |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus());
    });
    let until = |what: &str, ids: &[&str]| wait_for(what, || (watched(&lifesign) == ids).then_some(()));
    let reload = |discover: &str| {
        std::fs::write(dir.path().join("lifesign.yaml"), configuration(discover)).unwrap();
        let (status, answer) = lifesign.post("/api/v1/reload", &serde_json::json!({}));
        assert_eq!(status, 200, "{answer}");
    };
    until("what is there is watched", &["lab-one"]);

    lab.automatic("lab-two.service");
    until("what comes is watched", &["lab-one", "lab-two"]);
    lab.systemctl(&["start", "lab-two.service"]);
    lifesign.wait_for_state("lab-two", "up", None);
    lab.remove("lab-one.service");
    until("what goes is let go", &["lab-two"]);

    reload("discover: { include: [\"lab-*\"] }");
    until("other patterns hold at once", &["lab-not", "lab-two"]);
    reload("");
    until("nothing is looked for any more", &[]);
    lab.automatic("lab-three.service");
    reload(included);
    until("it is looked for again", &["lab-three", "lab-two"]);
    lab.automatic("lab-four.service");
    until("and followed", &["lab-four", "lab-three", "lab-two"]);

    // What `discover` writes is a configuration.
    let found = Command::new(env!("CARGO_BIN_EXE_lifesign"))
        .args(["discover", "--format", "yaml", "lab-t*"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", lab.bus())
        .output()
        .unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let file = dir.path().join("found.yaml");
    std::fs::write(&file, &found.stdout).unwrap();
    let (code, said, error) = lifesign.cli(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}{error}");
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("{ systemd: \"lab-three.service\" }") && text.contains("lab-two"), "{text}");
    assert!(!text.contains("lab-four"), "{text}");
}
