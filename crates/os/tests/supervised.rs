//! Processes that lifesign supervises itself: how they end, how they are stopped, how they outlive it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use lifesign_os::process::{ProcessError, ProcessSpec, Supervised};
use tokio::sync::mpsc;

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bound on what is measured, and printed, to be far faster: the machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Tells the test binary, started once more, where to supervise and be killed.
const FOLDER: &str = "LIFESIGN_TEST_FOLDER";

/// A supervised shell script in a folder of its own.
struct Bench {
    unit: Supervised,
    reports: mpsc::UnboundedReceiver<(Instant, UnitReport)>,
    /// Whose end is the bench's end: a failing test leaves no process behind.
    leftover: Leftover,
}

/// Kills the processes of the supervised script when the test is over, however it ends.
///
/// The state file says which they are: the group led by the process that is named there, if its start time still is
/// the one that is written. A supervisor alone must not do it, for its processes outlive it on purpose.
struct Leftover(Option<PathBuf>);

impl Leftover {
    fn of(spec: &ProcessSpec) -> Self {
        Self(Some(spec.log.with_added_extension("state")))
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Some(written) = self.0.take().and_then(|file| std::fs::read_to_string(file).ok()) else { return };
        let fields = |line: &str| {
            let rest = line.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect::<Vec<_>>();
            Some((line.split(' ').next()?.to_owned(), rest.get(19)?.clone()))
        };
        let Some((pid, started)) = fields(&written) else { return };
        let now = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        if now.is_ok_and(|line| fields(&line) == Some((pid.clone(), started))) {
            // Gone meanwhile is as good.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{pid}")]).status();
        }
    }
}

fn spec(folder: &Path, script: &str) -> ProcessSpec {
    ProcessSpec {
        argv: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        cwd: Some(folder.to_owned()),
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        stop_timeout: Duration::from_millis(300),
        log: folder.join("x.log"),
        log_limit: 16 * 1024,
    }
}

impl Bench {
    fn new(folder: &Path, script: &str) -> Self {
        Self::of(spec(folder, script))
    }

    fn of(spec: ProcessSpec) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let sink = move |report| {
            // The test may have ended.
            let _ = sender.send((Instant::now(), report));
        };
        let leftover = Leftover::of(&spec);
        Self { unit: Supervised::new(spec, Arc::new(sink)), reports, leftover }
    }

    /// Ends the supervisor alone.
    fn drop_supervisor(mut self) {
        self.leftover.0 = None;
    }

    async fn next(&mut self) -> (Instant, UnitReport) {
        tokio::time::timeout(PATIENCE, self.reports.recv())
            .await
            .expect("no report")
            .expect("the supervisor has ended")
    }

    /// The next end, leaving out other reports.
    async fn end(&mut self) -> (Instant, bool, Exit, Option<String>) {
        loop {
            let (at, report) = self.next().await;
            if let UnitState::Stopped { ordered, exit } = report.state {
                return (at, ordered, exit, report.last_output);
            }
        }
    }
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap().success());
}

/// Waits for something that no event tells of.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Alive: there, and no zombie waiting for whoever inherited it.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn pid_in(file: PathBuf) -> u32 {
    let read = || std::fs::read_to_string(&file).ok()?.strip_suffix('\n')?.parse().ok();
    until("a process number in a file", || read().is_some()).await;
    read().unwrap()
}

#[tokio::test]
async fn a_killed_process_is_reported_with_its_signal_at_once_and_reaped() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(dir.path(), "exec sleep 1000");
    let mut times = Vec::new();
    for _ in 0..20 {
        let process = bench.unit.start().await.unwrap();
        assert_eq!(bench.next().await.1.state, UnitState::Running(Some(process)));
        let killed = Instant::now();
        kill("KILL", process.pid);
        let (at, ordered, exit, _) = bench.end().await;
        assert_eq!((ordered, exit), (false, Exit::Signal(9)));
        times.push(at - killed);
        until("the zombie to be reaped", || !exists(process.pid)).await;
    }
    times.sort();
    println!("from kill(1) to the report: median {:?}, slowest of 20 {:?}", times[10], times[19]);
    assert!(times[19] < AT_ONCE, "{times:?}");
}

#[tokio::test]
async fn an_exit_is_told_with_its_code_and_the_last_output_of_this_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(dir.path(), "echo $GREETING from $(pwd); echo trouble >&2; exit $(cat code)");
    for (code, expected) in [("3", Exit::Code(3)), ("0", Exit::Clean)] {
        std::fs::write(dir.path().join("code"), code).unwrap();
        bench.unit.start().await.unwrap();
        let (_, ordered, exit, output) = bench.end().await;
        assert_eq!((ordered, exit), (false, expected));
        let folder = dir.path().canonicalize().unwrap();
        assert_eq!(output.unwrap(), format!("hello from {}\ntrouble", folder.display()));
    }
}

#[tokio::test]
async fn a_stop_is_ordered_and_a_process_that_will_not_is_killed_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut meek = Bench::new(dir.path(), "exec sleep 1000");
    meek.unit.start().await.unwrap();
    meek.unit.stop().await.unwrap();
    assert!(matches!(meek.end().await, (_, true, Exit::Signal(15), _)));
    meek.unit.stop().await.expect("stopping what stands still is no error");

    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >grandchild; while :; do sleep 1; done' & \
                  echo $$ >main; while :; do sleep 1; done";
    let mut stubborn = Bench::new(dir.path(), script);
    let process = stubborn.unit.start().await.unwrap();
    let grandchild = pid_in(dir.path().join("grandchild")).await;
    let begun = Instant::now();
    stubborn.unit.stop().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300), "it was given its time");
    assert!(matches!(stubborn.end().await, (_, true, Exit::Signal(9), _)));
    assert!(!exists(process.pid));
    until("the end of the grandchild", || !lives(grandchild)).await;
}

#[tokio::test]
async fn a_frozen_process_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::of(ProcessSpec { stop_timeout: PATIENCE, ..spec(dir.path(), "exec sleep 1000") });
    kill("STOP", bench.unit.start().await.unwrap().pid);
    bench.unit.stop().await.unwrap();
    assert!(matches!(bench.end().await, (_, true, Exit::Signal(15), _)));
}

#[tokio::test]
async fn what_a_dead_process_leaves_behind_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(dir.path(), "sleep 1000 & echo $! >left; exit 1");
    bench.unit.start().await.unwrap();
    assert_eq!(bench.end().await.2, Exit::Code(1));
    let left = pid_in(dir.path().join("left")).await;
    until("the end of what was left", || !lives(left)).await;
}

#[tokio::test]
async fn one_process_at_a_time_and_a_restart_makes_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), "exec sleep 1000");
    assert!(matches!(bench.unit.look().await.state, UnitState::Stopped { ordered: true, .. }));
    let first = bench.unit.start().await.unwrap();
    assert_eq!(bench.unit.start().await.unwrap(), first);
    let second = bench.unit.restart().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(bench.unit.look().await.state, UnitState::Running(Some(second)));
    assert!(!exists(first.pid));
    bench.unit.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_that_does_not_exist_has_failed_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let argv = vec!["/nonexistent/program".to_owned()];
    let mut bench = Bench::of(ProcessSpec { argv, ..spec(dir.path(), "") });
    let refused = bench.unit.start().await.unwrap_err();
    assert!(matches!(refused, ProcessError::Start { .. }), "{refused}");
    assert!(
        matches!(bench.end().await, (_, false, Exit::StartFailed(why), _) if why.contains("/nonexistent/program"))
    );
    let mut empty = Bench::of(ProcessSpec { argv: Vec::new(), ..spec(dir.path(), "") });
    assert!(matches!(empty.unit.start().await, Err(ProcessError::EmptyCommand)));
    assert!(matches!(empty.end().await.2, Exit::StartFailed(_)));
}

#[tokio::test]
async fn a_child_inherits_no_descriptor_no_ignored_signal_and_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let script = "ls /proc/self/fd | tr '\\n' ' '; echo; sed -n 's/^SigBlk:\\t//p; s/^SigIgn:\\t//p' /proc/self/status; \
                  cut -d' ' -f6 /proc/$$/stat; echo $$";
    let mut bench = Bench::new(dir.path(), script);
    bench.unit.start().await.unwrap();
    let output = bench.end().await.3.unwrap();
    let lines: Vec<&str> = output.lines().collect();
    let [descriptors, blocked, ignored, session, own] = lines.as_slice() else { panic!("{output}") };
    assert_eq!(*descriptors, "0 1 2 3 ", "3 is the folder that ls reads");
    // Signal 32 and above belong to the C library and to whoever uses them.
    let classic = |mask: &str| u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff;
    assert_eq!((classic(blocked), classic(ignored)), (0, 0), "{output}");
    assert_eq!(session, own, "the child leads its session");
}

#[tokio::test]
async fn a_log_stays_within_twice_its_limit_under_a_flood() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than the test takes, yet not for ever: should the test fail, its child fills no disk.
    let script = "i=0; while [ $i -lt 5000000 ]; do i=$((i + 1)); echo \"line $i of a long flood\"; done";
    let bench = Bench::new(dir.path(), script);
    bench.unit.start().await.unwrap();
    let older = dir.path().join("x.log.1");
    until("the log to be turned over", || older.metadata().is_ok_and(|meta| meta.len() == 16 * 1024)).await;
    let first = std::fs::read(&older).unwrap();
    until("it to be turned over again", || {
        std::fs::read(&older).is_ok_and(|again| again.len() == 16 * 1024 && again != first)
    })
    .await;
    bench.unit.stop().await.unwrap();
}

/// Not a test: the supervisor that `a_child_outlives_a_killed_lifesign…` kills.
#[tokio::test]
#[ignore = "run by another test, which kills it"]
async fn a_supervisor_to_be_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("run by another test"));
    let script = "echo $$ >pid; while :; do echo tick; sleep 0.01; done";
    let bench = Bench::new(&folder, script);
    bench.unit.start().await.unwrap();
    std::future::pending().await
}

/// Starts a child under another lifesign and kills that one. The child ends with the test, however that ends.
async fn orphan(folder: &Path) -> (u32, Leftover) {
    let leftover = Leftover::of(&spec(folder, ""));
    let other = Stranger(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_supervisor_to_be_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .spawn()
            .unwrap(),
    );
    let pid = pid_in(folder.join("pid")).await;
    drop(other);
    (pid, leftover)
}

#[tokio::test]
async fn a_child_outlives_a_killed_lifesign_and_the_next_one_adopts_it() {
    let dir = tempfile::tempdir().unwrap();
    let (pid, _leftover) = orphan(dir.path()).await;
    let log = dir.path().join("x.log");
    let length = log.metadata().unwrap().len();
    until("the child to write on", || log.metadata().unwrap().len() > length).await;

    let mut bench = Bench::new(dir.path(), "exit 7");
    let report = bench.next().await.1;
    let UnitState::Running(Some(process)) = report.state else { panic!("{report:?}") };
    assert_eq!(process.pid, pid);
    assert_eq!(bench.unit.start().await.unwrap(), process, "no second one is started");
    kill("KILL", pid);
    let (_, ordered, exit, output) = bench.end().await;
    assert_eq!(
        (ordered, exit),
        (false, Exit::Unseen),
        "it is not our child, so how it ended is not for us to know"
    );
    assert!(output.unwrap().ends_with("tick"));
}

#[tokio::test]
async fn an_adopted_child_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (pid, _leftover) = orphan(dir.path()).await;
    let mut bench = Bench::new(dir.path(), "exit 7");
    bench.unit.stop().await.unwrap();
    assert!(bench.end().await.1);
    assert!(!lives(pid));
    let third = Bench::new(dir.path(), "exit 7");
    assert!(matches!(third.unit.look().await.state, UnitState::Stopped { ordered: true, .. }));
}

#[tokio::test]
async fn a_child_that_died_while_nobody_watched_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (pid, _leftover) = orphan(dir.path()).await;
    kill("KILL", pid);
    until("the end of the orphan", || !lives(pid)).await;
    let mut bench = Bench::new(dir.path(), "exec sleep 1000");
    assert!(matches!(bench.end().await, (_, false, Exit::Unseen, _)));
    let process = bench.unit.start().await.unwrap();
    assert_ne!(process.pid, pid);
    bench.unit.stop().await.unwrap();
}

#[tokio::test]
async fn a_stranger_with_the_number_of_a_dead_child_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let stranger = Stranger(Command::new("sleep").arg("1000").spawn().unwrap());
    let line = std::fs::read_to_string(format!("/proc/{}/stat", stranger.0.id())).unwrap();
    let mut fields: Vec<&str> = line.split(' ').collect();
    fields[21] = "1";
    std::fs::write(dir.path().join("x.log.state"), fields.join(" ")).unwrap();
    let bench = Bench::new(dir.path(), "exec sleep 1000");
    let process = bench.unit.start().await.unwrap();
    assert_ne!(process.pid, stranger.0.id());
    bench.unit.stop().await.unwrap();
    assert!(lives(stranger.0.id()));
}

/// A process that is none of ours; ends with the test.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_test_that_ends_early_leaves_no_process_behind() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), "sleep 1000 & echo $! >left; exec sleep 1000");
    let process = bench.unit.start().await.unwrap();
    let left = pid_in(dir.path().join("left")).await;
    drop(bench);
    until("the end of both", || !lives(process.pid) && !lives(left)).await;
}

#[tokio::test]
async fn a_dropped_supervisor_lets_its_process_run_and_the_next_one_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let first = Bench::new(dir.path(), "exec sleep 1000");
    let process: Process = first.unit.start().await.unwrap();
    first.drop_supervisor();
    let mut second = Bench::new(dir.path(), "exec sleep 1000");
    assert_eq!(second.next().await.1.state, UnitState::Running(Some(process)));
    let other = second.unit.restart().await.unwrap();
    assert_ne!(other, process);
    until("the first to be reaped", || !exists(process.pid)).await;
    assert!(lives(other.pid));
    second.unit.stop().await.unwrap();
}
