//! systemd units and supervised processes.

use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use lifesign_core::evidence::UnitState;
use lifesign_os::process::{ProcessSpec, Supervised};
use lifesign_os::unit::ServiceManager;

use crate::lab::Lab;
use crate::{Heard, PATIENCE, hang_by_heartbeat, is_wanted, line, target};

/// Deaths of each kind, one at a time.
const SINGLE: usize = 100;
/// Hangs; each waits for a watchdog.
const HANGS: usize = 20;
/// Units that die together, and how often.
const TOGETHER: usize = 100;
const ROUNDS: usize = 20;
/// Most time from a kill to the state change, and how many times as late as a bare loop the last of many may be.
const KILL: Duration = Duration::from_millis(10);
const RATIO: f64 = 1.5;

/// Ends as a signal tells it: 0 on USR1, 3 on USR2.
const OBEDIENT: &str =
    "trap \"exit 0\" USR1; trap \"exit 3\" USR2; echo $$ >ready; while :; do sleep 1000 & wait $!; done";

pub(crate) async fn run() -> Vec<String> {
    let mut targets = Vec::new();
    let lab = Lab::start();
    let manager = lab.manager();
    // KillMode: the sleeper that the shell leaves must not hold up the unit's end.
    let manner = "Restart=no\nTimeoutStopSec=5\nSendSIGKILL=yes\n[Unit]\nStartLimitIntervalSec=0\n[Service]";
    lab.write("plain.service", &format!("{manner}\nExecStart=sleep 1000"));
    lab.write("shell.service", &format!("{manner}\nType=notify\nNotifyAccess=all\nExecStart=sh -c 'trap \"exit 0\" USR1; trap \"exit 3\" USR2; systemd-notify --ready; while :; do sleep 1000 & wait $$!; done'"));
    lab.write("many@.service", &format!("{manner}\nExecStart=sleep 1000"));
    lab.systemctl(&["daemon-reload"]);

    if is_wanted("units") {
        let killed = units(&manager).await;
        targets.push(target("Linux: a unit is killed, p99 until the state change", killed, KILL));
        hang(&lab, &manager).await;
    }
    if is_wanted("processes") {
        processes().await;
    }
    if is_wanted("together") {
        let (median, worst) = together(&lab, &manager).await;
        let verdict = if worst <= RATIO { "PASS" } else { "MISS" };
        targets.push(format!(
            "{verdict}  Linux: {TOGETHER} units are killed at once, the last against a bare pidfd loop: {worst:.2} in the \
             worst of {ROUNDS} rounds, median {median:.2} (at most {RATIO})"
        ));
    }
    targets
}

/// Gives the p99 of a kill.
async fn units(manager: &ServiceManager) -> Duration {
    let mut killed = None;
    for (what, unit, signal) in [
        ("unit, killed", "plain.service", libc::SIGKILL),
        ("unit, crash (SIGSEGV)", "plain.service", libc::SIGSEGV),
        ("unit, crash (exit 3)", "shell.service", libc::SIGUSR2),
        ("unit, clean exit", "shell.service", libc::SIGUSR1),
    ] {
        let (sink, mut heard) = Heard::sink();
        let _watch = manager.watch(unit, sink);
        let (mut times, mut bare_times) = (Vec::new(), Vec::new());
        for _ in 0..SINGLE {
            manager.start(unit, PATIENCE).await.unwrap();
            let pid = heard.pid().await;
            let bare = [pidfd(pid)];
            let bare_loop = std::thread::spawn(move || watch_bare(&bare));
            let begun = Instant::now();
            kill(pid, signal);
            times.push(heard.end().await - begun);
            bare_times.extend(bare_loop.join().unwrap().into_iter().map(|at| at - begun));
        }
        let p99 = line(what, times);
        if signal == libc::SIGKILL {
            line("  the same deaths by a bare pidfd loop", bare_times);
            killed = Some(p99);
        }
    }
    let (sink, mut heard) = Heard::sink();
    let _watch = manager.watch("plain.service", sink);
    let mut times = Vec::new();
    for _ in 0..SINGLE {
        manager.start("plain.service", PATIENCE).await.unwrap();
        heard.pid().await;
        let begun = Instant::now();
        manager.stop("plain.service", PATIENCE).await.unwrap();
        times.push(heard.end().await - begun);
    }
    line("unit, stop by an operator (from the order)", times);
    killed.unwrap()
}

/// A unit that stands still: systemd's watchdog ends it, and the time that the watchdog leaves it is in the figure.
/// What has no watchdog is judged by its heartbeats.
async fn hang(lab: &Lab, manager: &ServiceManager) {
    lab.write(
        "deaf.service",
        "Restart=no\nType=notify\nNotifyAccess=all\nWatchdogSec=500ms\nWatchdogSignal=SIGKILL\nExecStart=sh -c 'systemd-notify --ready; while :; do systemd-notify WATCHDOG=1; sleep 0.1; done'\n[Unit]\nStartLimitIntervalSec=0",
    );
    lab.systemctl(&["daemon-reload"]);
    let (sink, mut heard) = Heard::sink();
    let _watch = manager.watch("deaf.service", sink);
    let mut times = Vec::new();
    for _ in 0..HANGS {
        manager.start("deaf.service", PATIENCE).await.unwrap();
        let pid = heard.pid().await;
        let begun = Instant::now();
        kill(pid, libc::SIGSTOP);
        times.push(heard.end().await - begun);
    }
    line("unit, hang (with its WatchdogSec=500ms)", times);
    manager.start("plain.service", PATIENCE).await.unwrap();
    let running = manager.look("plain.service").await;
    hang_by_heartbeat("unit, hang (beats 100 ms, timeout 300 ms)", running).await;
    manager.stop("plain.service", PATIENCE).await.unwrap();
}

async fn processes() {
    let dir = tempfile::tempdir().unwrap();
    for (what, script, signal) in [
        ("process, killed", "exec sleep 1000", Some(libc::SIGKILL)),
        ("process, crash (SIGSEGV)", "exec sleep 1000", Some(libc::SIGSEGV)),
        ("process, crash (exit 3)", OBEDIENT, Some(libc::SIGUSR2)),
        ("process, clean exit", OBEDIENT, Some(libc::SIGUSR1)),
        ("process, stop by an operator (from the order)", "exec sleep 1000", None),
    ] {
        let (sink, mut heard) = Heard::sink();
        let spec = ProcessSpec {
            argv: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            cwd: Some(dir.path().to_owned()),
            env: Vec::new(),
            stop_timeout: PATIENCE,
            log: dir.path().join("x.log"),
            log_limit: 1 << 20,
        };
        let unit = Supervised::new(spec, sink);
        let ready = dir.path().join("ready");
        let mut times = Vec::new();
        for _ in 0..SINGLE {
            let _ = std::fs::remove_file(&ready);
            let pid = unit.start().await.unwrap().pid;
            while script == OBEDIENT && !ready.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let begun = Instant::now();
            match signal {
                Some(signal) => kill(pid, signal),
                None => unit.stop().await.unwrap(),
            }
            times.push(heard.end().await - begun);
        }
        line(what, times);
        unit.stop().await.unwrap();
    }
    let (sink, mut heard) = Heard::sink();
    let spec = ProcessSpec {
        argv: ["sleep", "1000"].map(str::to_owned).to_vec(),
        cwd: Some(dir.path().to_owned()),
        env: Vec::new(),
        stop_timeout: Duration::from_millis(1),
        log: dir.path().join("x.log"),
        log_limit: 1 << 20,
    };
    let unit = Supervised::new(spec, sink);
    unit.start().await.unwrap();
    let (_, running) = heard.until(|state| matches!(state, UnitState::Running(Some(_)))).await;
    hang_by_heartbeat("process, hang (beats 100 ms, timeout 300 ms)", running).await;
    unit.stop().await.unwrap();
}

/// All die in one go; a bare loop over pidfds on a thread of its own watches the same deaths. Gives how many times as
/// late as that loop the last one was reported: in the middle round and in the worst.
async fn together(lab: &Lab, manager: &ServiceManager) -> (f64, f64) {
    let names: Vec<String> = (0..TOGETHER).map(|index| format!("many@{index}.service")).collect();
    let start: Vec<&str> = ["start"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut heard = Vec::new();
    let mut watches = Vec::new();
    for name in &names {
        let (sink, ear) = Heard::sink();
        watches.push(manager.watch(name, sink));
        heard.push(ear);
    }
    let mut slowest = (Duration::ZERO, String::new());
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        lab.systemctl(&start);
        let mut pids = Vec::new();
        for ear in &mut heard {
            pids.push(ear.pid().await);
        }
        let fds: Vec<OwnedFd> = pids.iter().map(|pid| pidfd(*pid)).collect();
        let bare_loop = std::thread::spawn(move || watch_bare(&fds));
        // Both must be waiting, and what the start has left to do must be over.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        pids.iter().for_each(|pid| kill(*pid, libc::SIGKILL));
        let mut times = Vec::new();
        for ear in &mut heard {
            let (at, words) = ear.end_in_words().await;
            times.push(at - begun);
            slowest = slowest.max((at - begun, words));
        }
        let seen: Vec<Duration> = bare_loop.join().unwrap().into_iter().map(|at| at - begun).collect();
        let last = |times: &[Duration]| times.iter().max().unwrap().as_secs_f64();
        ratios.push(last(&times) / last(&seen));
        ours.extend(times);
        bare.extend(seen);
        // The evidence of this round is gathered before the next begins.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    line("unit, 100 killed at once", ours);
    line("  the same deaths by a bare pidfd loop", bare);
    ratios.sort_by(f64::total_cmp);
    println!("\nthe slowest was told as: {}", slowest.1);
    (ratios[ROUNDS / 2], ratios[ROUNDS - 1])
}

fn kill(pid: u32, signal: i32) {
    // SAFETY: kill(2) takes two numbers.
    assert_eq!(unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) }, 0, "kill {pid}");
}

fn pidfd(pid: u32) -> OwnedFd {
    // SAFETY: pidfd_open(2) takes a process number and flags.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, i32::try_from(pid).unwrap(), 0) };
    assert!(fd >= 0, "pidfd_open {pid}");
    // SAFETY: the descriptor was made just now, for us alone.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) }
}

/// When each of the processes has ended, by nothing but poll(2).
fn watch_bare(fds: &[OwnedFd]) -> Vec<Instant> {
    use std::os::fd::AsRawFd as _;
    let mut polls: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let mut seen = Vec::new();
    while !polls.is_empty() {
        // SAFETY: the descriptors are open; the array has the length that is passed along.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 30_000) };
        assert!(ready > 0, "poll(2)");
        let now = Instant::now();
        polls.retain(|poll| {
            let is_over = poll.revents != 0;
            if is_over {
                seen.push(now);
            }
            !is_over
        });
    }
    seen
}
