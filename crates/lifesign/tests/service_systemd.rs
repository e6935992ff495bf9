//! lifesign as a service of a real systemd, looked at with systemd's own tools.
//!
//! Needs root and `apt-get install -y systemd dbus polkitd util-linux`. The lab is a system manager with its own /etc, /run,
//! /var/lib and /usr/local; nothing of the machine is touched.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a story says what went wrong by panicking"
)]
#![cfg(target_os = "linux")]

mod support;

use std::process::Command;
use std::time::Instant;

use support::system_lab::{LIFESIGN, Lab};
use support::{free_port, wait_for};

fn configuration(port: u16) -> String {
    format!(
        "server: {{ listen: \"127.0.0.1:{port}\" }}\nlog: {{ file: /var/lib/lifesign-log/lifesign.log }}\nservices:\n  - id: shop\n    unit: shop.service\n    restart: {{ \
         budget: 5 per 10m }}\n"
    )
}

/// Makes the engine of the running lifesign `pid` turn on the spot for ever, and leaves everything else alone: the
/// first instruction of its `step` becomes a jump to itself.
fn stall_the_engine(lab: &Lab, pid: &str) {
    let jump = if cfg!(target_arch = "x86_64") {
        r"\353\376"
    } else if cfg!(target_arch = "aarch64") {
        r"\0\0\0\24"
    } else {
        panic!("this test does not know how this processor jumps to itself")
    };
    let names = Command::new("nm").args(["--demangle", env!("CARGO_BIN_EXE_lifesign")]).output();
    let names = names.expect("this story needs `nm`: apt-get install -y binutils");
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let step = names
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, symbol)| {
            symbol[2..] == *"lifesign_core::engine::Engine::step"
                || symbol[2..].starts_with("lifesign_core::engine::Engine::step::h")
        })
        .map(|(at, _)| number(at))
        .expect("the engine's step has a symbol");
    let maps = lab.run(&["cat", &format!("/proc/{pid}/maps")]);
    let first = maps.lines().find(|line| line.ends_with(LIFESIGN)).expect("the program is mapped");
    let at = number(first.split('-').next().unwrap()) + step;
    let write = format!(
        "printf '{jump}' | dd of=/proc/{pid}/mem bs=4 seek={at} oflag=seek_bytes conv=notrunc status=none"
    );
    lab.run(&["sh", "-c", &write]);
}

/// What docs/service.md says that `systemd-analyze security` says, without and with room for programs (systemd 252).
const MONITOR_EXPOSURE: f64 = 1.5;
const HOST_EXPOSURE: f64 = 3.5;

#[test]
fn lifesign_becomes_a_unit_that_systemd_starts_watches_reloads_stops_and_forgets() {
    let lab = Lab::start("service");
    lab.write("/etc/lifesign/lifesign.yaml", &configuration(free_port()));
    lab.run(&["chmod", "640", "/etc/lifesign/lifesign.yaml"]);
    let install = ["install", "-c", "/etc/lifesign/lifesign.yaml"];

    // A dry run writes nothing, an installation everything, and a second one nothing more.
    let planned = lab.done(&[install.as_slice(), &["--dry-run"]].concat());
    assert!(planned.contains("would: write /etc/systemd/system/lifesign.service"), "{planned}");
    assert!(!lab.exists("/etc/systemd/system/lifesign.service"));
    lab.done(&install);
    let again = lab.done(&install);
    assert!(!again.contains("done:") && again.contains("as it was:"), "{again}");
    let unit = lab.run(&["systemctl", "cat", "lifesign.service"]);
    assert!(unit.contains("Type=notify") && unit.contains("User=lifesign"), "{unit}");
    assert_eq!(lab.run(&["systemctl", "is-enabled", "lifesign.service"]).trim(), "enabled");
    assert!(lab.run(&["cat", "/etc/polkit-1/rules.d/50-lifesign.rules"]).contains("\"shop.service\""));
    let verified = lab.run(&["systemd-analyze", "verify", "/etc/systemd/system/lifesign.service"]);
    assert!(!verified.contains("lifesign.service:"), "{verified}");
    assert!(lab.exposure("lifesign.service") <= MONITOR_EXPOSURE, "more is open than the documentation says");
    let wider = lab.done(&[install.as_slice(), &["--processes"]].concat());
    assert!(wider.contains("done: write /etc/systemd/system/lifesign.service"), "{wider}");
    assert!(lab.exposure("lifesign.service") <= HOST_EXPOSURE, "more is open than the documentation says");
    assert!(!lab.done(&install).contains("done:"), "what --processes said is kept");
    lab.done(&[install.as_slice(), &["--processes=false"]].concat());
    assert!(lab.exposure("lifesign.service") <= MONITOR_EXPOSURE);

    // Started: ready, as its own user, with a line for people and fields in the journal, and without the token in it.
    let begin = Instant::now();
    lab.done(&["start"]);
    println!("start, until systemd has heard READY=1: {:?}", begin.elapsed());
    assert_eq!(lab.show("lifesign.service", "ActiveState"), "active");
    wait_for("the line for people", || {
        lab.show("lifesign.service", "StatusText").starts_with("1 service:").then_some(())
    });
    let pid = lab.show("lifesign.service", "MainPID");
    assert_eq!(lab.run(&["stat", "-c", "%U", &format!("/proc/{pid}")]).trim(), "lifesign");
    let events =
        lab.run(&["journalctl", "--no-pager", "-u", "lifesign.service", "-o", "json", "LIFESIGN_EVENT=1"]);
    assert!(
        events.contains("\"PRIORITY\":\"6\"") && events.contains("\"LIFESIGN_SERVICES\":\"1\""),
        "{events}"
    );
    let token = lab.run(&["cat", "/var/lib/lifesign/admin.token"]);
    let journal = lab.run(&["journalctl", "--no-pager", "-o", "export"]);
    assert!(!journal.contains(token.trim()), "the admin token stands in the journal");
    let log = lab.run(&["cat", "/var/lib/lifesign-log/lifesign.log"]);
    assert!(log.contains("Lifesign is ready") && !log.contains(token.trim()), "{log}");
    let rights =
        lab.run(&["stat", "-c", "%U %a", "/var/lib/lifesign-log", "/var/lib/lifesign-log/lifesign.log"]);
    assert_eq!(rights.trim(), "lifesign 700\nlifesign 600");
    let shown = lab.run(&["journalctl", "--no-pager", "-o", "cat", "-u", "lifesign.service"]);
    assert!(shown.contains("Lifesign is ready listening=127.0.0.1:"), "the facts are seen at once: {shown}");
    let status = lab.done(&["status"]);
    assert!(status.contains("active (running)") && status.contains(&pid), "{status}");
    lab.done(&["start"]);
    assert_eq!(lab.show("lifesign.service", "MainPID"), pid, "a running one is not started again");

    // Reload, through both of its states.
    lab.run(&["systemctl", "reload", "lifesign.service"]);
    wait_for("the reload is over", || {
        (lab.show("lifesign.service", "ActiveState") == "active").then_some(())
    });
    assert_eq!(lab.show("lifesign.service", "MainPID"), pid);

    // Stopped dead: the engine does not turn, so the watchdog is not fed.
    lab.run(&["mkdir", "-p", "/etc/systemd/system/lifesign.service.d"]);
    lab.write(
        "/etc/systemd/system/lifesign.service.d/soon.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    );
    lab.run(&["systemctl", "daemon-reload"]);
    lab.run(&["systemctl", "restart", "lifesign.service"]);
    let pid = lab.show("lifesign.service", "MainPID");
    let begin = Instant::now();
    lab.run(&["kill", "-STOP", &pid]);
    wait_for("another process at work", || {
        let other = lab.show("lifesign.service", "MainPID");
        (other != pid && other != "0" && lab.show("lifesign.service", "ActiveState") == "active")
            .then_some(())
    });
    println!("SIGSTOP with WatchdogSec=2s, until another is ready: {:?}", begin.elapsed());
    assert_eq!(lab.show("lifesign.service", "NRestarts"), "1");
    let journal = lab.run(&["journalctl", "--no-pager", "-u", "lifesign.service"]);
    assert!(journal.contains("Watchdog timeout"), "{journal}");

    // Nothing is stopped, the engine alone no longer comes back: the watchdog is not fed either.
    let pid = lab.show("lifesign.service", "MainPID");
    let begin = Instant::now();
    stall_the_engine(&lab, &pid);
    wait_for("an engine that turns on the spot", || {
        let threads = lab.run(&["sh", "-c", &format!("cat /proc/{pid}/task/*/stat")]);
        let is_in =
            |state: &str| threads.lines().filter(|line| line.contains(&format!(") {state} "))).count();
        (is_in("R") == 1 && is_in("T") == 0).then_some(())
    });
    wait_for("another process at work", || {
        let other = lab.show("lifesign.service", "MainPID");
        (other != pid && other != "0" && lab.show("lifesign.service", "ActiveState") == "active")
            .then_some(())
    });
    println!("stalled engine with WatchdogSec=2s, until another is ready: {:?}", begin.elapsed());
    assert_eq!(lab.show("lifesign.service", "NRestarts"), "2");
    let journal = lab.run(&["journalctl", "--no-pager", "-o", "cat", "-u", "lifesign.service"]);
    assert_eq!(journal.matches("Watchdog timeout").count(), 2, "{journal}");

    // Stopped in good order, then removed with all it wrote.
    let begin = Instant::now();
    lab.done(&["stop"]);
    println!("stop: {:?}", begin.elapsed());
    assert_eq!(
        (lab.show("lifesign.service", "Result"), lab.show("lifesign.service", "ExecMainStatus")),
        ("success".into(), "0".into())
    );
    lab.done(&["stop"]);
    lab.run(&["rm", "-r", "/etc/systemd/system/lifesign.service.d"]);
    // What was written since could not start: `start` says why, not that a job has failed.
    lab.write("/etc/lifesign/lifesign.yaml", "services: [ { id: x, no_such_key: 1 } ]\n");
    let (code, said) = lab.lifesign(&["start"]);
    assert!(
        code == 1 && said.contains("unknown key `no_such_key`") && said.contains("journalctl -u"),
        "{code}: {said}"
    );
    let status = lab.done(&["status"]);
    assert!(status.contains("failed (exit-code)") && status.contains("exit status 2"), "{status}");
    // Without the unit its folders are still known.
    let kept = lab.done(&["uninstall"]);
    assert!(kept.contains("keep /var/lib/lifesign-log"), "{kept}");
    assert!(lab.exists("/var/lib/lifesign-log/lifesign.log"));
    let planned = lab.done(&["uninstall", "--purge", "--dry-run"]);
    assert!(planned.contains("would: remove /var/lib/lifesign-log"), "{planned}");
    lab.done(&["uninstall", "--purge"]);
    let left = lab.run(&[
        "find",
        "/etc",
        "/var/lib",
        "/run/systemd",
        "-name",
        "*lifesign*",
        "-not",
        "-path",
        "/etc/lifesign*",
    ]);
    assert_eq!(left.trim(), "", "left behind");
    assert_ne!(lab.try_run(&["getent", "passwd", "lifesign"]).0, 0, "the user is gone");
    assert_eq!(lab.lifesign(&["status"]).0, 3);
    assert_eq!(lab.lifesign(&["uninstall"]).0, 0, "nothing to remove is no error");
}

#[test]
fn an_agent_that_no_server_hears_lives_on_under_its_watchdog_and_one_that_stands_still_does_not() {
    let lab = Lab::start("agent");
    let server = format!("http://127.0.0.1:{}", free_port());
    lab.write(
        "/etc/lifesign/lifesign.yaml",
        &format!("agent: {{ host: web-01, server: \"{server}\", token: a-token-of-its-server }}\n"),
    );
    let install = ["install", "--role", "agent", "-c", "/etc/lifesign/lifesign.yaml"];
    lab.done(&[install.as_slice(), &["--may-control", "web-*", "!web-admin"]].concat());
    let rule = lab.run(&["cat", "/etc/polkit-1/rules.d/50-lifesign.rules"]);
    assert!(rule.contains("\"web-*\",") && rule.contains("\"!web-admin\","), "{rule}");
    lab.run(&["mkdir", "-p", "/etc/systemd/system/lifesign.service.d"]);
    lab.write(
        "/etc/systemd/system/lifesign.service.d/soon.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    );
    lab.run(&["systemctl", "daemon-reload"]);
    lab.done(&["start"]);
    let pid = lab.show("lifesign.service", "MainPID");
    // Three times its watchdog's patience: systemd itself says when the last sign of life came.
    let fed_at = || lab.show("lifesign.service", "WatchdogTimestampMonotonic").parse::<u64>().unwrap();
    let first = fed_at();
    wait_for("signs of life over six seconds", || (fed_at() > first + 6_000_000).then_some(()));
    assert_eq!(lab.show("lifesign.service", "MainPID"), pid);
    assert_eq!(lab.show("lifesign.service", "NRestarts"), "0");

    lab.run(&["kill", "-STOP", &pid]);
    wait_for("another process at work", || {
        let other = lab.show("lifesign.service", "MainPID");
        (other != pid && other != "0" && lab.show("lifesign.service", "ActiveState") == "active")
            .then_some(())
    });
    let journal = lab.run(&["journalctl", "--no-pager", "-o", "cat", "-u", "lifesign.service"]);
    assert_eq!(journal.matches("Watchdog timeout").count(), 1, "{journal}");
    lab.done(&["stop"]);
    lab.done(&["uninstall", "--purge"]);
}

#[test]
fn what_could_not_start_is_refused_before_anything_is_written() {
    let lab = Lab::start("refused");
    lab.write("/etc/lifesign/good.yaml", &configuration(free_port()));
    lab.write("/etc/lifesign/bad.yaml", "services: [ { id: x, no_such_key: 1 } ]\n");
    for (arguments, code, words) in [
        (vec!["install", "--role", "agent", "-c", "/etc/lifesign/good.yaml"], 2, "an agent needs a server"),
        (vec!["install", "-c", "/etc/lifesign/bad.yaml"], 2, "no_such_key"),
        (vec!["install", "-c", "/etc/lifesign/none.yaml"], 2, "none.yaml"),
        (vec!["install", "--name", "a/b", "-c", "/etc/lifesign/good.yaml"], 2, "cannot be the name"),
        (vec!["install", "x", "--wrap", "--", "/no/such/program"], 2, "/no/such/program"),
        (vec!["start"], 3, "lifesign service install"),
        (vec!["status", "nobody"], 3, "nobody"),
    ] {
        let (is, said) = lab.lifesign(&arguments);
        assert_eq!(is, code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let command = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        LIFESIGN,
        "service",
        "install",
        "-c",
        "/etc/lifesign/good.yaml",
    ];
    let (code, said) = lab.try_run(&command);
    assert!(code == 4 && said.contains("sudo"), "{code}: {said}");
    assert_eq!(lab.run(&["ls", "/etc/systemd/system", "/etc/sysusers.d"]).matches("lifesign").count(), 0);

    // The service has not the variables of the terminal, but those of a file that systemd reads for it.
    lab.write(
        "/etc/lifesign/secret.yaml",
        "receivers: [ { name: hook, webhook: { url: \"http://127.0.0.1/${env:HOOK}\" } } ]\n",
    );
    let install = [LIFESIGN, "--lang", "en", "service", "install", "-c", "/etc/lifesign/secret.yaml"];
    let (code, said) = lab.try_run(&[["env", "HOOK=a-secret"].as_slice(), &install].concat());
    assert!(code == 2 && said.contains("HOOK") && said.contains("--environment-file FILE"), "{code}: {said}");
    assert!(!said.contains("a-secret"), "{said}");
    lab.write("/etc/lifesign/secrets", "HOOK=a-secret\n");
    let given = ["--environment-file", "/etc/lifesign/secrets"];
    lab.run(&[install.as_slice(), &given].concat());
    lab.done(&["start"]);
    lab.done(&["uninstall", "--purge"]);

    // A start type each.
    for (start, enabled) in
        [("manual", "disabled"), ("delayed", "disabled"), ("disabled", "disabled"), ("auto", "enabled")]
    {
        lab.done(&["install", "--start", start, "-c", "/etc/lifesign/good.yaml"]);
        assert_eq!(
            lab.try_run(&["systemctl", "is-enabled", "lifesign.service"]).1.trim(),
            enabled,
            "{start}"
        );
        assert_eq!(lab.exists("/etc/systemd/system/lifesign.timer"), start == "delayed");
        let status = lab.done(&["status", "--json"]);
        assert!(status.contains(&format!("\"start\":\"{start}\"")), "{status}");
        assert_eq!(lab.lifesign(&["start"]).0 == 0, start != "disabled", "{start}");
        lab.done(&["stop"]);
    }
    // What people see, whatever signs stand in it, and another account.
    let seen =
        ["--display-name", "Say \"100%\"", "--description", "Looks after $HOME", "--account", "daemon"];
    lab.done(&[["install", "-c", "/etc/lifesign/good.yaml"].as_slice(), &seen].concat());
    assert_eq!(lab.show("lifesign.service", "Description"), "Say \"100%\"");
    assert_eq!(lab.show("lifesign.service", "User"), "daemon");
    assert!(lab.run(&["systemctl", "cat", "lifesign.service"]).contains("# Looks after $HOME"));
    let verified = lab.run(&["systemd-analyze", "verify", "/etc/systemd/system/lifesign.service"]);
    assert!(!verified.contains("lifesign.service:"), "{verified}");
    // When systemd starts it again, and when it gives up.
    let recovery = ["--recover-after", "2s,1m", "--recover-give-up", "--recover-reset", "1h"];
    let install = [["install", "-c", "/etc/lifesign/good.yaml"].as_slice(), &recovery].concat();
    let dry_run = [install.as_slice(), &["--dry-run"]].concat();
    let planned = lab.done(&dry_run);
    assert!(planned.contains("StartLimitBurst=3") && planned.contains("RestartMaxDelaySec=60s"), "{planned}");
    let kept = |property: &str| lab.show("lifesign.service", property);
    assert_eq!((kept("RestartUSec"), kept("StartLimitIntervalUSec")), ("5s".to_owned(), "0".to_owned()));
    lab.done(&install);
    for (property, wanted) in [
        ("Restart", "on-failure"),
        ("RestartUSec", "2s"),
        ("StartLimitIntervalUSec", "1h"),
        ("StartLimitBurst", "3"),
    ] {
        assert_eq!(kept(property), wanted, "{property}");
    }
    let again = lab.done(&install);
    assert!(!again.contains("done:"), "a second installation changes nothing: {again}");
    lab.done(&["install", "-c", "/etc/lifesign/good.yaml", "--recover-after", "never"]);
    assert_eq!(kept("Restart"), "no");
    lab.done(&["install", "-c", "/etc/lifesign/good.yaml"]);
    // A unit of somebody else is not written over.
    lab.write("/etc/systemd/system/other.service", "[Service]\nExecStart=/bin/true\n");
    let (code, said) = lab.lifesign(&["install", "--name", "other", "-c", "/etc/lifesign/good.yaml"]);
    assert!(code == 2 && said.contains("not lifesign's"), "{code}: {said}");
    // More units are granted; those granted before stay. Without --apply the rule is only shown.
    let shown = lab.done(&["grant", "db.service"]);
    assert!(shown.contains("would: write") && shown.contains("\"db.service\""), "{shown}");
    assert!(!lab.run(&["cat", "/etc/polkit-1/rules.d/50-lifesign.rules"]).contains("db.service"));
    lab.done(&["grant", "--apply", "db.service", "cache"]);
    let rule = lab.run(&["cat", "/etc/polkit-1/rules.d/50-lifesign.rules"]);
    for unit in ["\"shop.service\"", "\"db.service\"", "\"cache.service\""] {
        assert!(rule.contains(unit), "{unit} in {rule}");
    }

    // `--purge` takes the user that `install` has made, and no other.
    let is_known = |user: &str| lab.try_run(&["getent", "passwd", user]).0 == 0;
    assert!(is_known("lifesign"));
    lab.done(&["uninstall", "--purge"]);
    assert!(!is_known("lifesign") && is_known("daemon"));
    lab.run(&["useradd", "--system", "--user-group", "lifesign"]);
    for account in [["--account", "daemon"].as_slice(), &[]] {
        lab.done(&[["install", "-c", "/etc/lifesign/good.yaml"].as_slice(), account].concat());
        lab.done(&["uninstall", "--purge"]);
        assert!(is_known("lifesign") && is_known("daemon"), "{account:?}");
        assert!(!lab.exists("/var/lib/lifesign") && !lab.exists("/etc/sysusers.d/lifesign.conf"));
    }
}

#[test]
fn a_wrapped_program_is_restarted_after_a_crash_and_after_a_hang_and_stops_on_order() {
    let lab = Lab::start("wrapped");
    lab.write(
        "/usr/local/bin/orders",
        "#!/bin/sh\necho taking orders as $(id -un)\ntrap 'echo in good order > ended; exit 0' TERM\nwhile [ ! -e hang ]; do systemd-notify WATCHDOG=1; sleep 0.1\n\
         if [ -e talk ]; then rm talk; head -c 1500000 /dev/zero | tr '\\0' x; fi; done\nrm hang\nexec sleep 1000\n",
    );
    lab.done(&[
        "install",
        "orders",
        "--wrap",
        "--heartbeat",
        "1s",
        "--log-size",
        "1",
        "--",
        "/usr/local/bin/orders",
        "a b",
    ]);
    lab.done(&["start", "orders"]);
    let program = || {
        let state = lab.try_run(&["cut", "-d ", "-f1", "/var/lib/orders/output.log.state"]);
        (state.0 == 0 && !state.1.trim().is_empty()).then(|| state.1.trim().to_owned())
    };
    let first = wait_for("the program runs", program);
    assert!(lab.run(&["cat", "/var/lib/orders/output.log"]).contains("taking orders as orders"));

    lab.run(&["kill", "-9", &first]);
    let second = wait_for("another after the crash", || program().filter(|pid| *pid != first));
    lab.run(&["touch", "/var/lib/orders/hang"]);
    let begin = Instant::now();
    wait_for("another after the hang", || program().filter(|pid| *pid != second));
    println!("hang of a wrapped program with --heartbeat 1s, until another runs: {:?}", begin.elapsed());
    let events = |number: &str| {
        lab.run(&[
            "journalctl",
            "--no-pager",
            "-o",
            "cat",
            "-u",
            "orders.service",
            &format!("LIFESIGN_EVENT={number}"),
        ])
    };
    assert_eq!(events("20").lines().count(), 3, "started three times");
    assert_eq!(events("22").lines().count(), 1, "one hang");
    assert_eq!(lab.show("orders.service", "NRestarts"), "0", "the wrapper itself lived through all of it");

    // Its output is kept in two files of the size that was asked for.
    lab.run(&["touch", "/var/lib/orders/talk"]);
    wait_for("the output is turned over", || lab.exists("/var/lib/orders/output.log.1").then_some(()));
    let sizes = lab.run(&["stat", "-L", "-c", "%s", "/var/lib/orders/output.log.1"]);
    assert!(sizes.trim().parse::<u64>().unwrap() <= 1024 * 1024, "{sizes}");

    let last = program().unwrap();
    lab.done(&["stop", "orders"]);
    assert_eq!(
        lab.run(&["cat", "/var/lib/orders/ended"]).trim(),
        "in good order",
        "it was asked before it was killed"
    );
    assert!(!lab.exists(&format!("/proc/{last}")), "the program is gone");
    lab.done(&["uninstall", "orders", "--purge"]);
    let left = lab.run(&["find", "/etc", "/var/lib", "-name", "orders*"]);
    assert_eq!(left.trim(), "", "left behind");
}

#[test]
fn what_a_wrapped_program_says_of_itself_is_what_systemd_shows_without_a_heartbeat() {
    let lab = Lab::start("words");
    lab.write(
        "/usr/local/bin/till",
        "#!/bin/sh\nsystemd-notify --ready\nwhile [ ! -e words ]; do sleep 0.1; done\nsystemd-notify \"STATUS=three orders wait\"\n\
         while [ ! -e stuck ]; do sleep 0.1; done\nrm words stuck\nsystemd-notify WATCHDOG=trigger\nexec sleep 1000\n",
    );
    lab.done(&["install", "till", "--wrap", "--", "/usr/local/bin/till"]);
    lab.done(&["start", "till"]);
    let says = |text: &str| (lab.show("till.service", "StatusText") == text).then_some(());
    wait_for("it is ready", || says("The program is ready"));
    lab.run(&["touch", "/var/lib/till/words"]);
    wait_for("its own words", || says("three orders wait"));
    lab.run(&["touch", "/var/lib/till/stuck"]);
    wait_for("another, after it said that it is stuck", || says("The program is ready"));
    let hangs = ["journalctl", "--no-pager", "-o", "cat", "-u", "till.service", "LIFESIGN_EVENT=22"];
    assert_eq!(lab.run(&hangs).lines().count(), 1);
    lab.done(&["stop", "till"]);
    assert_eq!(lab.show("till.service", "Result"), "success");
}
