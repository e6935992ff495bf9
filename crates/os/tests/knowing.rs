//! What lifesign knows of units beside their state, on a real systemd: all that systemd tells, its own recovery, the
//! list of services, and what is left of a unit that died.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why on its terminal"
)]

mod lab;

use std::time::Duration;

use lab::{Ear, Lab, PATIENCE, kill};
use lifesign_core::evidence::{Exit, Remains, UnitState};
use lifesign_os::unit::UnitError;
use lifesign_os::unit::info::{ListChange, Listed, StartType};
use lifesign_os::unit::policy::{Answer, Hole, holes};
use tokio::sync::mpsc;

#[tokio::test]
async fn everything_that_systemctl_shows_of_a_unit_is_known() {
    let lab = Lab::start();
    lab.write("base.service", "ExecStart=sleep 1000");
    lab.unit(
        "shop.service",
        "ExecStart=sh -c 'exec sleep 1000'\nRestart=on-failure\nRestartSec=3s\n[Unit]\nDescription=The shop\nRequires=base.service\nAfter=base.service\n[Install]\nWantedBy=default.target",
    );
    lab.enable("shop.service");
    let manager = lab.manager();
    let started = manager.start("shop", PATIENCE).await.unwrap();
    let info = manager.info("shop").await.unwrap();
    assert_eq!((info.name.as_str(), info.title.as_str()), ("shop.service", "The shop"));
    assert_eq!((info.state.clone(), info.process), (UnitState::Running(started), started));
    assert_eq!(info.os, "active (running)");
    assert_eq!((info.start, info.start_os.as_str()), (StartType::Automatic, "enabled"));
    assert!(info.lasts && info.since.is_some());
    assert_eq!(info.restarts, Some(0));
    assert!(info.needs.contains(&"base.service".to_owned()), "{info:?}");
    let base = manager.info("base.service").await.unwrap();
    assert!(base.needed_by.contains(&"shop.service".to_owned()), "{base:?}");
    let policy = info.policy.unwrap();
    assert_eq!(policy.answer(1), Answer::Restart(Duration::from_secs(3)));
    assert_eq!(holes(&policy), [Hole::Success, Hole::Endless(Duration::from_secs(3))]);
    assert!(policy.words.starts_with("Restart=on-failure RestartSec=3s"), "{}", policy.words);

    let mut ear = Ear::on(&manager, "base.service");
    kill("KILL", &[ear.running().await.pid]);
    ear.stopped().await;
    let codes = manager.info("base.service").await.unwrap().codes;
    assert_eq!((codes.result.as_deref(), codes.signal, codes.status), (Some("signal"), Some(9), None));
    let none = manager.info("none.service").await.unwrap_err();
    assert!(matches!(none, UnitError::NotFound { .. }), "{none}");
}

#[tokio::test]
async fn the_own_restarts_of_systemd_are_counted_and_announced_and_waited_for() {
    let lab = Lab::start();
    lab.unit("phoenix.service", "Restart=always\nRestartSec=700ms\nExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "phoenix.service");
    manager.start("phoenix.service", PATIENCE).await.unwrap();
    let first = ear.running().await;
    kill("KILL", &[first.pid]);
    ear.until("the announcement", |report| {
        let told = report.notes.iter().any(|note| note.contains("systemd itself starts it again in 700ms"));
        (report.state == UnitState::Starting && told).then_some(())
    })
    .await;
    // Not stopped and started once more: systemd's own new process is the answer.
    let repaired = manager.repair("phoenix.service", PATIENCE).await.unwrap().unwrap();
    assert_eq!(ear.running().await, repaired);
    assert_ne!(repaired, first);
    assert_eq!(manager.info("phoenix.service").await.unwrap().restarts, Some(1));
}

#[tokio::test]
async fn lifesign_steps_in_when_systemd_has_given_up() {
    let lab = Lab::start();
    let limit = "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1";
    lab.unit("tired.service", &format!("Restart=always\nRestartSec=10ms\nExecStart=sleep 1000\n{limit}"));
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "tired.service");
    manager.start("tired.service", PATIENCE).await.unwrap();
    let given_up = loop {
        kill("KILL", &[ear.running().await.pid]);
        let (restarted, why) = ear
            .until("a new process or the end", |report| match &report.state {
                UnitState::Running(Some(_)) => Some((true, String::new())),
                UnitState::Stopped { exit: Exit::StartFailed(why), .. } => Some((false, why.clone())),
                _ => None,
            })
            .await
            .1;
        if !restarted {
            break why;
        }
        ear.again();
    };
    assert!(given_up.contains("start limit") || given_up.contains("start-limit-hit"), "{given_up}");
    // Within the second systemd refuses us as well, and says so; after it the unit runs.
    let begun = std::time::Instant::now();
    while manager.repair("tired.service", PATIENCE).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
    ear.running().await;
}

#[tokio::test]
async fn a_policy_with_holes_is_told_with_the_state_and_a_mended_one_no_more() {
    let lab = Lab::start();
    lab.unit("web.service", "Restart=on-failure\nExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "web.service");
    manager.start("web.service", PATIENCE).await.unwrap();
    let told = |report: &lifesign_core::evidence::UnitReport| {
        report.notes.iter().any(|note| note.contains("ends by itself with success"))
    };
    let running = |state: &UnitState| matches!(state, UnitState::Running(_));
    ear.until("the hole", |report| (running(&report.state) && told(report)).then_some(())).await;
    lab.unit("web.service", "Restart=always\nExecStart=sleep 1000");
    ear.until("no hole", |report| (running(&report.state) && !told(report)).then_some(())).await;
}

#[tokio::test]
async fn services_that_come_go_and_change_are_told() {
    let lab = Lab::start();
    lab.unit("old.service", "ExecStart=true");
    let manager = lab.manager();
    let before = manager.list().await.unwrap();
    assert!(
        before.contains(&Listed { name: "old.service".to_owned(), start: StartType::Manual }),
        "{before:?}"
    );
    let (sender, mut changes) = mpsc::unbounded_channel();
    let _watch = manager.watch_list(before, move |change| {
        // The test may have ended.
        let _ = sender.send(change);
    });
    let mut next = async || tokio::time::timeout(PATIENCE, changes.recv()).await.expect("no change").unwrap();
    let service = "ExecStart=true\n[Install]\nWantedBy=default.target";
    lab.unit("new.service", service);
    let new = |start| Listed { name: "new.service".to_owned(), start };
    assert_eq!(next().await, ListChange::Created(new(StartType::Manual)));
    lab.enable("new.service");
    assert_eq!(next().await, ListChange::Reconfigured(new(StartType::Automatic)));
    lab.remove("old.service");
    assert_eq!(next().await, ListChange::Deleted("old.service".to_owned()));
    lab.kill_bus();
    lab.remove("new.service");
    assert_eq!(next().await, ListChange::Deleted("new.service".to_owned()));
}

#[tokio::test]
async fn the_last_lines_of_the_life_that_ended_are_kept_and_no_others() {
    let lab = Lab::start();
    let journal = lab.journal();
    let script = "echo hello from $$; echo trouble >&2; read line <$XDG_RUNTIME_DIR/gate; exit 3";
    let gate = lab.gate();
    lab.unit(
        "talk.service",
        &format!(
            "StandardOutput=journal\nStandardError=journal\nExecStart=sh -c '{}'",
            script.replace('$', "$$")
        ),
    );
    let manager = lab.manager().with_journal_in(journal);
    let mut ear = Ear::on(&manager, "talk.service");
    manager.start("talk.service", PATIENCE).await.unwrap();
    let process = ear.running().await;
    gate.open();
    ear.until("the word that lines follow", |report| (report.remains == Remains::Follow).then_some(())).await;
    let (_, (usage, output)) = ear
        .until("the last lines", |report| {
            (report.remains == Remains::Complete).then(|| (report.usage.clone(), report.last_output.clone()))
        })
        .await;
    let (usage, output) = (usage.unwrap(), output.unwrap());
    assert!(output.contains(&format!("hello from {}\ntrouble", process.pid)), "{output}");
    assert!(usage.starts_with(&format!("process {}, looked at ", process.pid)), "{usage}");
    assert!(usage.contains("MiB of memory") && usage.contains(" handles"), "{usage}");
}

#[tokio::test]
async fn a_bus_that_crashes_is_come_back_to() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    let mut ear = Ear::on(&manager, "victim.service");
    for _ in 0..3 {
        manager.start("victim.service", PATIENCE).await.unwrap();
        let process = ear.running().await;
        lab.kill_bus();
        ear.until("blindness", |report| matches!(report.state, UnitState::CouldNotLook(_)).then_some(()))
            .await;
        assert_eq!(ear.running().await, process);
        kill("KILL", &[process.pid]);
        let (_, ordered, exit) = ear.stopped().await;
        assert_eq!((ordered, exit), (false, Exit::Signal(9)));
    }
}

#[tokio::test]
async fn what_stands_on_a_restarted_unit_is_restarted_after_it_in_the_order_of_dependencies() {
    let lab = Lab::start();
    let chain = ["store.service", "orders.service", "web.service"];
    lab.unit(chain[0], "ExecStart=sleep 1000");
    for pair in chain.windows(2) {
        let below = pair[0];
        lab.unit(pair[1], &format!("ExecStart=sleep 1000\n[Unit]\nRequires={below}\nAfter={below}"));
    }
    let manager = lab.manager();
    // The last brings up all it stands on.
    manager.start(chain[2], PATIENCE).await.unwrap();
    // Of each: its process, and when that was started.
    let show = |unit: &str| -> (u32, u64) {
        let said = lab.systemctl(&["show", "-p", "MainPID,ExecMainStartTimestampMonotonic", unit]);
        let value = |key: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("no {key} in {said}")).to_owned()
        };
        (value("MainPID").parse().unwrap(), value("ExecMainStartTimestampMonotonic").parse().unwrap())
    };
    let before = chain.map(show);
    manager.restart(chain[0], PATIENCE).await.unwrap();
    // systemd's answer is about the one that was asked for; those on top of it follow.
    let end = std::time::Instant::now() + PATIENCE;
    let after = loop {
        let after = chain.map(show);
        if after.iter().zip(&before).all(|(after, before)| after.0 != 0 && after.0 != before.0) {
            break after;
        }
        assert!(std::time::Instant::now() < end, "{before:?} {after:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(after.is_sorted_by_key(|(_, started)| *started), "{after:?}");
}

#[tokio::test]
async fn a_restart_is_refused_while_systemd_shuts_down() {
    let lab = Lab::start();
    lab.unit("victim.service", "ExecStart=sleep 1000");
    let manager = lab.manager();
    manager.start("victim.service", PATIENCE).await.unwrap();
    // The target alone, without the stops it brings about: those would take the lab's bus with them.
    lab.systemctl(&["start", "--job-mode=ignore-dependencies", "shutdown.target"]);
    for refused in
        [manager.restart("victim.service", PATIENCE).await, manager.repair("victim.service", PATIENCE).await]
    {
        let refused = refused.unwrap_err();
        assert!(
            matches!(&refused, UnitError::Refused { why, .. } if why.contains("shutting down")),
            "{refused}"
        );
    }
    let why = manager.obstacle(false).await;
    assert!(why.as_ref().is_some_and(|why| why.contains("shutting down")), "{why:?}");
}
