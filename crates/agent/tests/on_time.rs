//! Checks keep their turns, whatever hangs.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails where it stands")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lifesign_agent::{Check, Command};
use lifesign_core::evidence::{CheckOutcome, FailKind};
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_probe::kinds;
use support::{PATIENCE, Running, assignments, id, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// The check that a user's YAML makes.
fn check(kind: &str, yaml: &str, interval: Duration) -> Check {
    let kinds = kinds();
    let kind = kinds.iter().find(|known| known.name == kind).unwrap();
    let target = kind.read(yaml).unwrap_or_else(|report| panic!("{report}")).remove(0);
    Check {
        name: target.label.into(),
        interval,
        timeout: interval / 2,
        jitter: interval / 10,
        probe: target.probe,
    }
}

/// Answers any request with `200`.
async fn answering() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A TCP check sends nothing and just goes away.
                if stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
        }
    });
    address
}

/// Takes connections and never says a word.
async fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { copy(&mut stream, &mut sink()).await });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_checks_stay_on_schedule_while_one_tenth_hangs() {
    const CHECKS: usize = 5000;
    const INTERVAL: Duration = Duration::from_secs(4);
    /// Reports wanted of each check: its first turn and the next.
    const ROUNDS: usize = 2;

    // Several, so that no backlog overflows on a busy machine: that would be the server's fault.
    let mut good = Vec::new();
    for _ in 0..16 {
        good.push(answering().await);
    }
    let mute = mute().await;
    // Never accepts: when its backlog is full, even connecting hangs.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = |number: usize| number.is_multiple_of(10);
    let make = |number: usize| match number {
        n if n.is_multiple_of(20) => check("http", &format!("url: 'http://{mute}/'"), INTERVAL),
        n if hangs(n) => check("http", &format!("url: 'http://{}/'", deaf.local_addr().unwrap()), INTERVAL),
        n if n % 10 == 1 => check("http", &format!("url: 'http://{}/'", good[n % 16]), INTERVAL),
        n => check("tcp", &format!("address: {}", good[n % 16]), INTERVAL),
    };
    let names: Vec<ServiceId> = (0..CHECKS).map(|number| id(&format!("s{number}"))).collect();
    let numbers: BTreeMap<_, _> = names.iter().cloned().zip(0..).collect();
    let services = (0..CHECKS).map(|number| service(names[number].as_str(), None, vec![make(number)]));
    let assigned = assignments(services);

    let begun = Instant::now();
    let mut agent = Running::start(assigned).await;
    let mut seen: Vec<Vec<Instant>> = vec![Vec::new(); CHECKS];
    let mut missing = CHECKS;
    let mut unexpected = 0;
    while missing > 0 {
        let (service, report) = agent
            .until(|input| match input {
                Input::Check { service, report, .. } => Some((service, report)),
                _ => None,
            })
            .await;
        let number = numbers[&service];
        let wanted = if hangs(number) { CheckOutcome::Fail(FailKind::Timeout) } else { CheckOutcome::Pass };
        unexpected += usize::from(report.outcome != wanted);
        seen[number].push(Instant::now());
        missing -= usize::from(seen[number].len() == ROUNDS);
    }
    for (number, times) in seen.iter().enumerate().filter(|(number, _)| !hangs(*number)) {
        let first = times[0] - begun;
        assert!(first < INTERVAL * 2, "check {number} came first after {first:?}");
        for gap in times.windows(2).map(|pair| pair[1] - pair[0]) {
            assert!(gap < INTERVAL * 2, "check {number} came again after {gap:?}");
        }
    }
    let worst = agent.figures.worst_lateness();
    eprintln!(
        "{} probes in {:?}, none later than {worst:?}, {unexpected} unexpected",
        agent.figures.probes(),
        begun.elapsed()
    );
    // A server starved on a busy machine may answer late, which is its own matter; the schedule is ours.
    assert!(unexpected < CHECKS / 100, "{unexpected} reports were not as expected");
    assert!(worst < INTERVAL, "a probe began {worst:?} late");
    assert_eq!(agent.figures.skipped(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_look_asked_for_comes_at_once_and_moves_no_turn() {
    let hour = Duration::from_secs(3600);
    let good = answering().await;
    let on_watch =
        || assignments([service("orders", None, vec![check("tcp", &format!("address: {good}"), hour)])]);
    let mut agent = Running::start(on_watch()).await;
    let pass = |input| match input {
        Input::Check { service, check, report } => Some((service, check, report.outcome)),
        _ => None,
    };
    let expected = (id("orders"), 0, CheckOutcome::Pass);
    assert_eq!(agent.until(pass).await, expected);
    // The next turn is in an hour.
    agent.command(Command::LookNow(id("orders"))).await;
    assert_eq!(agent.until(pass).await, expected);
    // A reload with the same content starts no new turn; the look after it is the next report.
    agent.command(Command::Assign(on_watch())).await;
    agent.command(Command::LookNow(id("orders"))).await;
    assert_eq!(agent.until(pass).await, expected);
    assert_eq!(agent.figures.probes(), 3);
    agent.stop().await;
}

#[tokio::test]
async fn a_reload_replaces_what_is_probed() {
    let hour = Duration::from_secs(3600);
    let (good, mute) = (answering().await, mute().await);
    let on_watch = |checks: Vec<Check>| assignments([service("orders", None, checks)]);
    let tcp = |address| check("tcp", &format!("address: {address}"), hour);
    let named = |address, name: &str| Check { name: name.into(), ..tcp(address) };
    let expecting = |address| {
        let mut check = check("tcp", &format!("{{ address: '{address}', expect: x }}"), hour);
        check.timeout = Duration::from_millis(50);
        check
    };
    let mut agent = Running::start(on_watch(vec![tcp(mute)])).await;
    let report = |input| match input {
        Input::Check { check, report, .. } => Some((check, report.outcome)),
        _ => None,
    };
    assert_eq!(agent.until(report).await, (0, CheckOutcome::Pass));
    // Same name and turns, another probe: it takes the place of the old one.
    agent.command(Command::Assign(on_watch(vec![expecting(mute)]))).await;
    agent.command(Command::LookNow(id("orders"))).await;
    assert_eq!(agent.until(report).await, (0, CheckOutcome::Fail(FailKind::Timeout)));
    // Another name: a new check, which begins soon.
    agent.command(Command::Assign(on_watch(vec![expecting(mute), named(good, "new")]))).await;
    assert_eq!(agent.until(report).await, (1, CheckOutcome::Pass));
    // What is gone is not looked at again.
    agent.command(Command::Assign(on_watch(vec![]))).await;
    agent.command(Command::LookNow(id("orders"))).await;
    let last = agent.stop().await;
    assert!(!last.iter().any(|input| matches!(input, Input::Check { .. })), "{last:?}");
}

#[tokio::test]
async fn a_full_channel_makes_probes_wait_and_drops_nothing() {
    let interval = Duration::from_millis(100);
    let good = answering().await;
    let checks = (0..20).map(|_| check("tcp", &format!("address: {good}"), interval)).collect();
    let (sender, mut inputs) = tokio::sync::mpsc::channel(1);
    let (_commands, receiver) = tokio::sync::mpsc::channel(1);
    let dir = tempfile::tempdir().unwrap();
    let mut setup = lifesign_agent::Setup::new("here".into(), dir.path(), sender, receiver);
    setup.assignments = assignments([service("orders", None, checks)]);
    let agent = lifesign_agent::Agent::new(setup);
    let figures = agent.figures();
    let mut supervisor = lifesign_component::Supervisor::new(lifesign_component::Board::default());
    supervisor.start(agent.component(), PATIENCE).await.unwrap();
    // Nobody reads until every check has run once and waits.
    timeout(PATIENCE, async {
        while figures.probes() < 20 {
            tokio::time::sleep(interval / 10).await;
        }
    })
    .await
    .unwrap();
    let mut seen = [0; 20];
    while seen.contains(&0) {
        if let Some(Input::Check { check, .. }) = timeout(PATIENCE, inputs.recv()).await.unwrap() {
            seen[usize::from(check)] += 1;
        }
    }
    drop(inputs);
    assert!(supervisor.fatal().await.to_string().contains("observations"));
}
