//! Units on watch: real processes started, kept, restarted and stopped.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails where it stands")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::{Agent, Command, ProcessSpec, Setup, UnitKind};
use lifesign_component::{Board, Supervisor};
use lifesign_core::effect::{Action, Verb};
use lifesign_core::evidence::{Exit, Process, UnitState};
use lifesign_core::input::{ActionReport, Input};
use lifesign_os::unit::ServiceManager;
use support::{PATIENCE, Running, assignments, id, service};
use tokio::sync::mpsc;
use tokio::time::timeout;

#[test]
#[ignore = "not a test: the program that the tests here supervise"]
fn a_program_that_waits() {
    std::thread::sleep(Duration::from_secs(300));
}

/// The program above, run with one argument more, which changes nothing but the specification.
fn waiting(folder: &Path, name: &str, argument: &str) -> UnitKind {
    let program = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    let arguments = ["--exact", "a_program_that_waits", "--ignored", "--skip", argument];
    UnitKind::Process(ProcessSpec {
        argv: std::iter::once(program).chain(arguments.map(str::to_owned)).collect(),
        cwd: None,
        env: Vec::new(),
        stop_timeout: Duration::from_secs(20),
        log: folder.join("output").join(format!("{name}.log")),
        log_limit: 65536,
    })
}

fn running(name: &str) -> impl FnMut(Input) -> Option<Process> {
    let name = id(name);
    move |input| match input {
        Input::Unit { service, report } if service == name => match report.state {
            UnitState::Running(process) => process,
            _ => None,
        },
        _ => None,
    }
}

fn ended(name: &str) -> impl FnMut(Input) -> Option<(bool, Exit)> {
    let name = id(name);
    move |input| match input {
        Input::Unit { service, report } if service == name => match report.state {
            UnitState::Stopped { ordered, exit } => Some((ordered, exit)),
            _ => None,
        },
        _ => None,
    }
}

fn done(action: &str) -> impl FnMut(Input) -> Option<ActionReport> {
    move |input| match input {
        Input::ActionDone(report) if *report.id == *action => Some(report),
        _ => None,
    }
}

fn restart(action: &str, service: &str) -> Command {
    Command::Act(Action { id: action.into(), service: id(service), verb: Verb::Restart, by: "a test".into() })
}

#[tokio::test]
async fn a_restart_gives_a_new_process_and_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent =
        Running::start(assignments([service("web", Some(waiting(dir.path(), "web", "a")), vec![])])).await;
    let first = agent.until(running("web")).await;
    agent.command(restart("r1", "web")).await;
    let mut seen = Vec::new();
    let report = agent
        .until(|input| {
            seen.push(input.clone());
            done("r1")(input)
        })
        .await;
    let second = report.result.unwrap().unwrap();
    assert_ne!(second, first);
    assert_eq!(report.service, id("web"));
    let stopped = seen.iter().cloned().find_map(ended("web"));
    let (ordered, _) = match stopped {
        Some(stopped) => stopped,
        None => agent.until(ended("web")).await,
    };
    assert!(ordered, "lifesign's own stop is an order");
    assert_eq!(agent.figures.reports_left_out(), 0);
    let last = agent.stop().await;
    assert!(last.into_iter().find_map(ended("web")).is_some_and(|(ordered, _)| ordered));
}

#[tokio::test]
async fn a_reload_keeps_the_unchanged_process_and_stops_the_removed_one() {
    let dir = tempfile::tempdir().unwrap();
    let web = |argument| service("web", Some(waiting(dir.path(), "web", argument)), vec![]);
    let worker = || service("worker", Some(waiting(dir.path(), "worker", "a")), vec![]);
    let mut agent = Running::start(assignments([web("a"), worker()])).await;
    let (mut first, mut other) = (None, None);
    while first.is_none() || other.is_none() {
        agent
            .until(|input| {
                first = first.or(running("web")(input.clone()));
                other = other.or(running("worker")(input));
                Some(())
            })
            .await;
    }
    agent.command(Command::Assign(assignments([web("a")]))).await;
    assert!(agent.until(ended("worker")).await.0, "the stop was ordered");
    agent.command(Command::LookNow(id("web"))).await;
    assert_eq!(agent.until(running("web")).await, first.unwrap(), "the unchanged process goes on");

    // A changed one is stopped first, and started anew under its new command.
    agent.command(Command::Assign(assignments([web("b")]))).await;
    assert!(agent.until(ended("web")).await.0);
    assert_ne!(agent.until(running("web")).await, first.unwrap());
    agent.stop().await;
}

#[tokio::test]
async fn a_process_outlives_a_lost_agent_and_is_adopted_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let web = || assignments([service("web", Some(waiting(dir.path(), "web", "a")), vec![])]);
    let (sender, mut inputs) = mpsc::channel(64);
    let (_commands, receiver) = mpsc::channel(1);
    let mut setup = Setup::new("here".into(), dir.path(), sender, receiver);
    setup.assignments = web();
    let mut supervisor = Supervisor::new(Board::default());
    supervisor.start(Agent::new(setup).component(), PATIENCE).await.unwrap();
    let first = timeout(PATIENCE, async {
        loop {
            if let Some(process) = running("web")(inputs.recv().await.unwrap()) {
                return process;
            }
        }
    })
    .await
    .unwrap();
    // Nobody listens any more: the agent gives up without touching the process.
    drop(inputs);
    assert_eq!(supervisor.fatal().await.name, "agent");

    let mut agent = Running::start(web()).await;
    assert_eq!(agent.until(running("web")).await, first);
    let last = agent.stop().await;
    assert!(last.into_iter().find_map(ended("web")).is_some_and(|(ordered, _)| ordered));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_failed_start() {
    let dir = tempfile::tempdir().unwrap();
    let UnitKind::Process(mut spec) = waiting(dir.path(), "web", "a") else { unreachable!() };
    spec.argv = vec![dir.path().join("no-such-program").to_string_lossy().into_owned()];
    let mut agent =
        Running::start(assignments([service("web", Some(UnitKind::Process(spec)), vec![])])).await;
    let (ordered, exit) = agent.until(ended("web")).await;
    assert!(!ordered && matches!(exit, Exit::StartFailed(_)), "{exit:?}");
    agent.command(restart("r1", "web")).await;
    let why = agent.until(done("r1")).await.result.unwrap_err();
    assert!(why.contains("failed to start"), "{why}");
    agent.stop().await;
}

#[tokio::test]
async fn a_unit_of_another_system_cannot_be_looked_at_and_says_so() {
    let (foreign, kind) = match ServiceManager::KIND {
        "scm" => (UnitKind::Systemd("web.service".to_owned()), "systemd"),
        _ => (UnitKind::Scm("Web".to_owned()), "scm"),
    };
    let mut agent = Running::start(assignments([service("web", Some(foreign), vec![])])).await;
    let could_not_look = |input| match input {
        Input::Unit { report, .. } => match report.state {
            UnitState::CouldNotLook(why) => Some(why),
            _ => None,
        },
        _ => None,
    };
    assert!(agent.until(could_not_look).await.contains(kind));
    agent.command(Command::LookNow(id("web"))).await;
    assert!(agent.until(could_not_look).await.contains(kind));
    agent.command(restart("r1", "web")).await;
    assert!(agent.until(done("r1")).await.result.unwrap_err().contains(kind));
    agent.stop().await;
}

#[tokio::test]
async fn every_action_is_answered_also_where_there_is_nothing_to_act_on() {
    let mut agent = Running::start(assignments([service("web", None, vec![])])).await;
    for (action, name, says) in [("r1", "web", "no unit"), ("r2", "gone", "not on watch")] {
        agent.command(restart(action, name)).await;
        let why = agent.until(done(action)).await.result.unwrap_err();
        assert!(why.contains(says), "{why}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_host_is_sampled_from_the_start_and_again() {
    let mut agent = Running::start(assignments([])).await;
    for _ in 0..2 {
        let sample = agent
            .until(|input| match input {
                Input::Host(sample) => Some(sample),
                _ => None,
            })
            .await;
        assert_eq!(sample.host, Arc::from("here"));
        assert!(sample.metrics.iter().all(|(_, value)| value.is_finite()), "{sample:?}");
    }
    agent.stop().await;
}
