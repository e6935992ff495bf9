//! Units watched and ordered about on a real systemd, started for each test by `scripts/systemd-lab.sh`.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why on its terminal"
)]

mod lab;

use std::time::{Duration, Instant};

use lab::{Ear, Lab, PATIENCE, figures, kill};
use lifesign_core::evidence::{Exit, UnitState};
use lifesign_os::unit::UnitError;

/// Bounds are far above what is measured (and printed): the machine may be busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_killed_unit_is_reported_with_its_signal_at_once() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000\n[Unit]\nStartLimitIntervalSec=0");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "victim.service");
    let mut times = Vec::new();
    for _ in 0..20 {
        manager.start("victim.service", PATIENCE).await.unwrap();
        let process = ear.running().await;
        let killed = Instant::now();
        kill("KILL", &[process.pid]);
        let (at, ordered, exit) = ear.stopped().await;
        assert_eq!((ordered, exit), (false, Exit::Signal(9)));
        times.push(at - killed);
    }
    let (median, slowest) = figures(times);
    println!("from kill(1) to the report: median {median:?}, slowest of 20 {slowest:?}");
    assert!(slowest < AT_ONCE, "{slowest:?}");
}

#[tokio::test]
async fn a_crash_is_reported_with_its_exit_code() {
    let lab = Lab::start();
    lab.unit("crash.service", "ExecStart=sh -c 'read line <$XDG_RUNTIME_DIR/gate; exit 3'");
    let gate = lab.gate();
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "crash");
    manager.start("crash", PATIENCE).await.unwrap();
    ear.running().await;
    gate.open();
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (false, Exit::Code(3)));
}

#[tokio::test]
async fn an_end_with_success_is_clean_and_not_ordered() {
    let lab = Lab::start();
    lab.unit("done.service", "ExecStart=sh -c 'read line <$XDG_RUNTIME_DIR/gate; exit 0'");
    let gate = lab.gate();
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "done.service");
    manager.start("done.service", PATIENCE).await.unwrap();
    ear.running().await;
    gate.open();
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (false, Exit::Clean));
}

#[tokio::test]
async fn a_stop_by_an_operator_is_ordered_however_the_program_takes_it() {
    let lab = Lab::start();
    lab.write("meek.service", "ExecStart=sleep 1000");
    lab.write("polite.service", "ExecStart=sh -c 'trap \"exit 143\" TERM; while :; do sleep 0.05; done'");
    lab.write(
        "stubborn.service",
        "TimeoutStopSec=300ms\nExecStart=sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'",
    );
    lab.systemctl(&["daemon-reload"]);
    let manager = lab.manager();
    for (unit, expected) in [
        ("meek.service", Exit::Signal(15)),
        ("polite.service", Exit::Code(143)),
        ("stubborn.service", Exit::Signal(9)),
    ] {
        let mut ear = Ear::on(&manager, unit);
        manager.start(unit, PATIENCE).await.unwrap();
        ear.running().await;
        lab.systemctl(&["stop", unit]);
        let (_, ordered, exit) = ear.stopped().await;
        assert_eq!((ordered, exit), (true, expected), "{unit}");
        let unordered = |state: &UnitState| matches!(state, UnitState::Stopped { ordered: false, exit } if *exit != Exit::Unseen);
        let heard = ear.heard.lock().unwrap();
        assert!(!heard.iter().any(|report| unordered(&report.state)), "{heard:#?}");
    }
}

#[tokio::test]
async fn a_stop_is_never_taken_for_a_crash_first() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000\n[Unit]\nStartLimitIntervalSec=0");
    let manager = lab.manager();
    manager.start("victim.service", PATIENCE).await.unwrap();
    let mut ear = Ear::on(&manager, "victim.service");
    for _ in 0..20 {
        ear.running().await;
        manager.stop("victim.service", PATIENCE).await.unwrap();
        let end = ear
            .until("an end", |report| match &report.state {
                UnitState::Stopped { ordered, exit } => Some((*ordered, exit.clone())),
                _ => None,
            })
            .await
            .1;
        assert_eq!(end, (true, Exit::Signal(15)));
        manager.start("victim.service", PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn a_termination_from_outside_is_not_ordered() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "victim.service");
    manager.start("victim.service", PATIENCE).await.unwrap();
    kill("TERM", &[ear.running().await.pid]);
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (false, Exit::Signal(15)));
}

#[tokio::test]
async fn a_unit_that_cannot_start_says_why() {
    let lab = Lab::start();
    lab.write("absent.service", "ExecStart=/nonexistent/program");
    lab.write("broken.service", "ExecStart=no/absolute/path");
    lab.write("before.service", "ExecStartPre=false\nExecStart=sleep 1000");
    lab.write("mute.service", "Type=notify\nTimeoutStartSec=300ms\nExecStart=sleep 1000");
    lab.systemctl(&["daemon-reload"]);
    let manager = lab.manager();
    for (unit, word) in
        [("absent.service", "203/EXEC"), ("before.service", "exit-code"), ("mute.service", "timeout")]
    {
        let mut ear = Ear::on(&manager, unit);
        ear.until("the unit at rest", |report| {
            matches!(report.state, UnitState::Stopped { .. }).then_some(())
        })
        .await;
        // A simple service counts as started before its program is executed.
        let started = manager.start(unit, PATIENCE).await;
        assert!(
            unit == "absent.service" || matches!(started, Err(UnitError::Failed { .. })),
            "{unit}: {started:?}"
        );
        let (_, ordered, exit) = ear.stopped().await;
        assert!(!ordered, "{unit}");
        assert!(matches!(&exit, Exit::StartFailed(why) if why.contains(word)), "{unit}: {exit:?}");
    }
    let broken = manager.look("broken.service").await;
    assert!(
        matches!(&broken.state, UnitState::Stopped { exit: Exit::StartFailed(why), .. } if why.contains("bad-setting")),
        "{broken:?}"
    );
}

#[tokio::test]
async fn a_unit_started_too_often_has_failed_to_start() {
    let lab = Lab::start();
    let limit = "StartLimitBurst=3\nStartLimitIntervalSec=60";
    lab.unit("loop.service", &format!("Restart=always\nRestartSec=0\nExecStart=false\n[Unit]\n{limit}"));
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "loop.service");
    manager.start("loop.service", PATIENCE).await.ok();
    let why = ear
        .until("the start limit", |report| match &report.state {
            UnitState::Stopped { exit: Exit::StartFailed(why), ordered: false } => Some(why.clone()),
            _ => None,
        })
        .await
        .1;
    assert!(why.contains("start-limit-hit") || why.contains("start limit"), "{why}");
}

#[tokio::test]
async fn a_unit_that_misses_its_watchdog_is_told_from_a_killed_one() {
    let lab = Lab::start();
    lab.unit(
        "hung.service",
        "Type=notify\nNotifyAccess=all\nWatchdogSec=200ms\nWatchdogSignal=KILL\nExecStart=sh -c 'systemd-notify --ready; sleep 1000'",
    );
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "hung.service");
    manager.start("hung.service", PATIENCE).await.unwrap();
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (false, Exit::Watchdog));
}

#[tokio::test]
async fn a_crash_that_systemd_repairs_at_once_is_still_seen() {
    let lab = Lab::start();
    lab.unit(
        "phoenix.service",
        "Restart=always\nRestartSec=0\nExecStart=sleep 1000\n[Unit]\nStartLimitBurst=100",
    );
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "phoenix.service");
    manager.start("phoenix.service", PATIENCE).await.unwrap();
    let mut before = ear.running().await;
    let mut causes = 0;
    for _ in 0..10 {
        kill("KILL", &[before.pid]);
        let end = ear
            .until("the end", |report| match &report.state {
                UnitState::Stopped { ordered, exit } => Some((*ordered, exit.clone())),
                _ => None,
            })
            .await
            .1;
        assert!(!end.0);
        causes += u32::from(end.1 == Exit::Signal(9));
        let after = ear.running().await;
        assert_ne!(after, before);
        before = after;
    }
    println!("{causes} of 10 ends came with their signal");
    assert!(causes >= 8, "{causes} of 10; heard {:#?}", ear.heard.lock().unwrap());
}

#[tokio::test]
async fn watching_survives_a_restart_of_the_bus() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "victim.service");
    manager.start("victim.service", PATIENCE).await.unwrap();
    let process = ear.running().await;
    // In good order, as an upgrade does it.
    lab.systemctl(&["restart", "dbus.service"]);
    ear.until("blindness", |report| matches!(report.state, UnitState::CouldNotLook(_)).then_some(())).await;
    assert_eq!(ear.running().await, process);
    kill("KILL", &[process.pid]);
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (false, Exit::Signal(9)));
    manager.start("victim.service", PATIENCE).await.unwrap();
    ear.running().await;
}

#[tokio::test]
async fn a_death_while_the_bus_is_away_is_seen_all_the_same() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "victim.service");
    manager.start("victim.service", PATIENCE).await.unwrap();
    let process = ear.running().await;
    lab.systemctl(&["stop", "dbus.socket", "dbus.service"]);
    ear.until("blindness", |report| matches!(report.state, UnitState::CouldNotLook(_)).then_some(())).await;
    kill("KILL", &[process.pid]);
    ear.until("an end nobody saw", |report| {
        matches!(report.state, UnitState::Stopped { ordered: false, exit: Exit::Unseen }).then_some(())
    })
    .await;
    lab.systemctl(&["start", "dbus.service"]);
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (false, Exit::Signal(9)));
}

#[tokio::test]
async fn a_reload_of_systemd_changes_nothing_and_loses_nothing() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "victim.service");
    manager.start("victim.service", PATIENCE).await.unwrap();
    for command in ["daemon-reload", "daemon-reexec"] {
        let process = ear.running().await;
        lab.systemctl(&[command]);
        kill("KILL", &[process.pid]);
        let (_, ordered, exit) = ear.stopped().await;
        assert_eq!((ordered, exit), (false, Exit::Signal(9)), "after {command}");
        // After a re-execution systemd has to come back to the bus first.
        let begun = Instant::now();
        while manager.start("victim.service", PATIENCE).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "{command}");
            tokio::task::yield_now().await;
        }
    }
    ear.running().await;
}

#[tokio::test]
async fn a_hundred_units_killed_at_once_are_all_seen() {
    let lab = Lab::start();
    lab.unit("many@.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let names: Vec<String> = (0..100).map(|index| format!("many@{index}.service")).collect();
    lab.systemctl(&[&["start"][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    let mut ears: Vec<Ear> = names.iter().map(|name| Ear::on(&manager, name)).collect();
    let mut pids = Vec::new();
    for ear in &mut ears {
        pids.push(ear.running().await.pid);
    }
    let killed = Instant::now();
    kill("KILL", &pids);
    let mut first = Vec::new();
    let mut caused = Vec::new();
    for ear in &mut ears {
        let (at, _, exit) = ear.stopped().await;
        assert_eq!(exit, Exit::Signal(9));
        caused.push(at - killed);
        first.push(ear.first_end().unwrap() - killed);
    }
    let ((median, last), (_, last_cause)) = (figures(first), figures(caused));
    println!(
        "100 killed at once: median {median:?}, all seen after {last:?}, all with their cause after {last_cause:?}"
    );
    assert!(last_cause < 5 * AT_ONCE, "{last_cause:?}");
}

#[tokio::test]
async fn a_unit_that_does_not_exist_is_not_found_until_it_does() {
    let lab = Lab::start();
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "later.service");
    ear.until("no such unit", |report| (report.state == UnitState::NotFound).then_some(())).await;
    let refused = manager.start("later.service", PATIENCE).await.unwrap_err();
    assert!(matches!(refused, UnitError::NotFound { .. }), "{refused}");
    let refused = manager.stop("later.service", PATIENCE).await.unwrap_err();
    assert!(matches!(refused, UnitError::NotFound { .. }), "{refused}");
    assert_eq!(manager.look("not a legal name").await.state, UnitState::NotFound);
    lab.unit("later.service", "ExecStart=sleep 1000");
    manager.start("later.service", PATIENCE).await.unwrap();
    ear.running().await;
}

#[tokio::test]
async fn names_of_any_legal_form_can_be_watched() {
    let lab = Lab::start();
    lab.write("odd@.service", "ExecStart=sleep 1000");
    lab.write("0-and_more:so.on.service", "ExecStart=sleep 1000");
    lab.systemctl(&["daemon-reload"]);
    let manager = lab.manager();
    for name in ["odd@a\\x2fb-c.service", "odd@MSSQL\\x24X", "0-and_more:so.on.service"] {
        let mut ear = Ear::on(&manager, name);
        manager.start(name, PATIENCE).await.unwrap();
        kill("KILL", &[ear.running().await.pid]);
        assert_eq!(ear.stopped().await.2, Exit::Signal(9), "{name}");
    }
}

#[tokio::test]
async fn a_unit_that_stays_active_without_a_process_ends_on_order_only() {
    let lab = Lab::start();
    lab.unit("setup.service", "Type=oneshot\nRemainAfterExit=yes\nExecStart=true");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "setup.service");
    assert_eq!(manager.start("setup.service", PATIENCE).await, Ok(None));
    ear.until("active without a process", |report| (report.state == UnitState::Running(None)).then_some(()))
        .await;
    manager.stop("setup.service", PATIENCE).await.unwrap();
    let (_, ordered, exit) = ear.stopped().await;
    assert_eq!((ordered, exit), (true, Exit::Clean));
}

#[tokio::test]
async fn a_start_shows_no_end_between_the_last_one_and_the_new_process() {
    let lab = Lab::start();
    lab.write("plain.service", "Restart=always\nRestartSec=50ms\nExecStart=sleep 1000");
    lab.write("pre.service", "Restart=always\nRestartSec=50ms\nExecStartPre=true\nExecStart=sleep 1000");
    lab.systemctl(&["daemon-reload"]);
    let manager = lab.manager();
    for unit in ["plain.service", "pre.service"] {
        let mut ear = Ear::on(&manager, unit);
        manager.start(unit, PATIENCE).await.unwrap();
        let first = ear.running().await;
        ear.heard.lock().unwrap().clear();
        kill("KILL", &[first.pid]);
        ear.running().await;
        lab.systemctl(&["restart", unit]);
        ear.running().await;
        let heard = ear.heard.lock().unwrap();
        let ends = heard.iter().filter_map(|report| match &report.state {
            UnitState::Stopped { ordered, exit } => Some((*ordered, exit.clone())),
            _ => None,
        });
        let mut ends: Vec<_> = ends.collect();
        // The same end may be told again with systemd's words for it.
        ends.dedup();
        assert_eq!(ends, [(false, Exit::Signal(9)), (true, Exit::Signal(15))], "{heard:#?}");
    }
}

#[tokio::test]
async fn orders_are_carried_out_and_answered_with_the_process() {
    let lab = Lab::start();
    lab.unit("web.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let first = manager.start("web.service", PATIENCE).await.unwrap().unwrap();
    assert_eq!(
        manager.start("web.service", PATIENCE).await,
        Ok(Some(first)),
        "starting a running unit changes nothing"
    );
    let second = manager.restart("web.service", PATIENCE).await.unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(manager.look("web.service").await.state, UnitState::Running(Some(second)));
    manager.stop("web.service", PATIENCE).await.unwrap();
    assert!(matches!(manager.look("web.service").await.state, UnitState::Stopped { .. }));
    assert_eq!(manager.stop("web.service", PATIENCE).await, Ok(()), "stopping what stands still is no error");
    lab.unit("once.service", "Type=oneshot\nExecStart=true");
    assert_eq!(manager.start("once.service", PATIENCE).await, Ok(None), "its work is done");
    lab.unit("slow.service", "Type=notify\nExecStart=sleep 1000");
    let late = manager.start("slow.service", Duration::from_millis(100)).await;
    assert!(matches!(late, Err(UnitError::TimedOut { .. })), "{late:?}");
}

#[tokio::test]
async fn a_dropped_watch_is_silent_and_the_same_is_never_said_twice() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let mut kept = Ear::on(&manager, "victim.service");
    let mut dropped = Ear::on(&manager, "victim.service");
    manager.start("victim.service", PATIENCE).await.unwrap();
    let process = kept.running().await;
    dropped.running().await;
    drop(dropped.watch.take());
    let before = dropped.heard.lock().unwrap().len();
    kill("KILL", &[process.pid]);
    kept.stopped().await;
    lab.systemctl(&["daemon-reload"]);
    manager.start("victim.service", PATIENCE).await.unwrap();
    kept.running().await;
    assert_eq!(dropped.heard.lock().unwrap().len(), before);
    let heard = kept.heard.lock().unwrap();
    assert!(heard.windows(2).all(|pair| pair[0] != pair[1]), "{heard:#?}");
}

#[tokio::test]
async fn without_a_bus_a_watcher_says_that_it_could_not_look() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix:path={}", dir.path().join("none").display());
    let manager = lifesign_os::unit::ServiceManager::of(lifesign_os::unit::Scope::Address(address));
    let mut ear = Ear::on(&manager, "any.service");
    ear.until("blindness", |report| matches!(report.state, UnitState::CouldNotLook(_)).then_some(())).await;
    let refused = manager.restart("any.service", PATIENCE).await.unwrap_err();
    assert!(matches!(refused, UnitError::Unreachable { .. }), "{refused}");
}

#[tokio::test]
async fn what_a_unit_says_to_systemd_s_watchdog_is_its_heart() {
    let lab = Lab::start();
    lab.unit(
        "heart.service",
        "Type=notify\nNotifyAccess=all\nWatchdogSec=60s\nExecStart=sh -c 'systemd-notify --ready; while :; do \
         systemd-notify WATCHDOG=1; sleep 0.2; done'",
    );
    lab.unit("mute.service", "WatchdogSec=60s\nExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "heart.service");
    let interval = Duration::from_millis(200);
    let (mut pulse, mut mute) = (manager.pulse("heart", interval), manager.pulse("mute", interval));
    manager.start("mute", PATIENCE).await.unwrap();
    manager.start("heart", PATIENCE).await.unwrap();
    let process = ear.running().await;
    for _ in 0..5 {
        tokio::time::timeout(PATIENCE, pulse.next()).await.expect("it beats");
    }

    // It stands still; what it has said before may still be found.
    kill("STOP", &[process.pid]);
    let is_silent = async { while tokio::time::timeout(10 * interval, pulse.next()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, is_silent).await.expect("it is silent");
    kill("CONT", &[process.pid]);
    tokio::time::timeout(PATIENCE, pulse.next()).await.expect("it beats again");

    // One that says nothing has no heart, but for the word of systemd itself that it has started.
    let words = async {
        let mut words = 0;
        while tokio::time::timeout(10 * interval, mute.next()).await.is_ok() {
            words += 1;
        }
        words
    };
    let words = words.await;
    assert!(words <= 1, "{words}");
    println!("words of systemd itself about a unit that says nothing: {words}");
}
