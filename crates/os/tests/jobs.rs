//! Supervised processes on Windows: started, watched, adopted and ended as a tree.
//!
//! They need the program `test_program` from `examples/`, which `cargo test` builds along with the tests.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "tests say what went wrong by panicking")]
#![allow(unsafe_code, reason = "opening and killing a process are Win32 calls")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use lifesign_os::process::{ProcessSpec, Supervised};
use tokio::sync::mpsc;
use windows_sys::Win32::Foundation::{CloseHandle, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject,
};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_MILLIS: u32 = 30_000;

struct Bench {
    dir: tempfile::TempDir,
    supervised: Supervised,
    reports: mpsc::UnboundedReceiver<(Instant, UnitReport)>,
}

impl Bench {
    fn new(args: &[&str]) -> Self {
        Self::within(tempfile::tempdir().unwrap(), args)
    }

    fn within(dir: tempfile::TempDir, args: &[&str]) -> Self {
        Self::told(dir, args, Vec::new())
    }

    fn told(dir: tempfile::TempDir, args: &[&str], env: Vec<(String, String)>) -> Self {
        let (send, reports) = mpsc::unbounded_channel();
        let spec = ProcessSpec {
            argv: std::iter::once(program().display().to_string())
                .chain(args.iter().map(|&arg| arg.to_owned()))
                .collect(),
            cwd: None,
            env,
            stop_timeout: Duration::from_secs(5),
            log: dir.path().join("log"),
            log_limit: 1 << 20,
        };
        let sink = move |report| {
            let _ = send.send((Instant::now(), report));
        };
        Self { supervised: Supervised::new(spec, Arc::new(sink)), dir, reports }
    }

    async fn next(&mut self) -> (Instant, UnitReport) {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("no report came").unwrap()
    }

    async fn stopped(&mut self) -> (Instant, UnitReport) {
        loop {
            let (at, report) = self.next().await;
            if matches!(report.state, UnitState::Stopped { .. }) {
                return (at, report);
            }
        }
    }

    /// The first line of output that begins with `word`, as soon as it is there.
    async fn output(&self, word: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.starts_with(word)) {
                return line.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no {word:?} in {log:?}");
            tokio::task::yield_now().await;
        }
    }

    async fn grandchild(&self) -> Open {
        Open::of(self.output("child ").await["child ".len()..].parse().unwrap())
    }
}

fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples").join("test_program.exe");
    assert!(path.exists(), "{path:?} is missing: `cargo build -p lifesign-os --examples` makes it");
    path
}

/// A process held open, so that its number stays its own.
struct Open(windows_sys::Win32::Foundation::HANDLE);

impl Open {
    fn of(pid: u32) -> Self {
        // SAFETY: takes plain numbers.
        let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE | PROCESS_TERMINATE, 0, pid) };
        assert!(!handle.is_null(), "process {pid} is gone");
        Self(handle)
    }

    fn kill(&self) {
        // SAFETY: the handle is open.
        assert_ne!(unsafe { TerminateProcess(self.0, 77) }, 0);
    }

    fn lives(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(self.0, 0) != WAIT_OBJECT_0 }
    }

    fn ends(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(self.0, PATIENCE_MILLIS) == WAIT_OBJECT_0 }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the handle is open and closed once.
        unsafe { CloseHandle(self.0) };
    }
}

fn stopped(ordered: bool, exit: Exit) -> UnitState {
    UnitState::Stopped { ordered, exit }
}

#[tokio::test]
async fn an_exit_is_reported_with_its_code_and_the_last_output() {
    let mut bench = Bench::new(&["exit", "5"]);
    let process = bench.supervised.start().await.unwrap();
    assert_eq!(bench.next().await.1.state, UnitState::Running(Some(process)));
    let (_, report) = bench.next().await;
    assert_eq!(report.state, stopped(false, Exit::Code(5)));
    assert_eq!(report.last_output.as_deref(), Some("ending with 5"));
}

#[tokio::test]
async fn a_clean_exit_is_clean() {
    let mut bench = Bench::new(&["exit", "0"]);
    bench.supervised.start().await.unwrap();
    assert_eq!(bench.stopped().await.1.state, stopped(false, Exit::Clean));
}

#[tokio::test]
async fn a_kill_of_a_process_is_reported_within_100_ms() {
    let mut bench = Bench::new(&["wait"]);
    let mut spent = Vec::new();
    for _ in 0..20 {
        let open = Open::of(bench.supervised.restart().await.unwrap().pid);
        let killed = Instant::now();
        open.kill();
        let (at, report) = bench.stopped().await;
        assert_eq!(report.state, stopped(false, Exit::Code(77)));
        spent.push(at.duration_since(killed));
    }
    spent.sort();
    println!("kill to report: median {:?}, worst {:?}", spent[spent.len() / 2], spent[spent.len() - 1]);
    assert!(spent[spent.len() / 2] < Duration::from_millis(100), "{spent:?}");
}

#[tokio::test]
async fn a_stop_ends_the_process_and_all_it_started() {
    let mut bench = Bench::new(&["tree"]);
    let main = Open::of(bench.supervised.start().await.unwrap().pid);
    let grandchild = bench.grandchild().await;
    bench.supervised.stop().await.unwrap();
    let (_, report) = bench.stopped().await;
    assert!(matches!(report.state, UnitState::Stopped { ordered: true, .. }), "{report:?}");
    assert!(!main.lives() && !grandchild.lives());
}

#[tokio::test]
async fn what_a_dead_process_leaves_behind_is_ended() {
    let mut bench = Bench::new(&["tree"]);
    let main = Open::of(bench.supervised.start().await.unwrap().pid);
    let grandchild = bench.grandchild().await;
    main.kill();
    assert_eq!(bench.stopped().await.1.state, stopped(false, Exit::Code(77)));
    assert!(grandchild.ends());
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_to_start_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (send, mut reports) = mpsc::unbounded_channel();
    let spec = ProcessSpec {
        argv: vec!["no-such-program-at-all".to_owned()],
        cwd: None,
        env: Vec::new(),
        stop_timeout: Duration::from_secs(1),
        log: dir.path().join("log"),
        log_limit: 1 << 20,
    };
    let supervised = Supervised::new(
        spec,
        Arc::new(move |report: UnitReport| {
            let _ = send.send(report.state);
        }),
    );
    let refused = supervised.start().await.unwrap_err().to_string();
    assert!(refused.contains("no-such-program-at-all"), "{refused}");
    let state = reports.recv().await.unwrap();
    assert!(matches!(state, UnitState::Stopped { ordered: false, exit: Exit::StartFailed(_) }), "{state:?}");
}

/// Another lifesign, which has started `args` and can be killed.
struct Keeper {
    process: std::process::Child,
    supervised: u32,
}

impl Keeper {
    fn start(dir: &tempfile::TempDir, args: &[&str]) -> Self {
        let mut process = Command::new(program())
            .arg("keep")
            .arg(dir.path().join("log"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { supervised: line.trim().parse().unwrap(), process }
    }

    fn crash(mut self) -> u32 {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.supervised
    }
}

#[tokio::test]
async fn a_process_outlives_lifesign_and_the_next_one_adopts_it_with_its_tree() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::start(&dir, &["tree"]);
    let main = Open::of(keeper.supervised);
    let pid = keeper.crash();
    assert!(main.lives());

    let mut bench = Bench::within(dir, &["tree"]);
    let grandchild = bench.grandchild().await;
    let (_, report) = bench.next().await;
    let UnitState::Running(Some(adopted)) = report.state else { panic!("{report:?}") };
    assert_eq!(adopted.pid, pid);
    assert_eq!(bench.supervised.start().await.unwrap(), adopted, "not started twice");
    bench.supervised.stop().await.unwrap();
    assert!(!main.lives() && !grandchild.lives());
}

#[tokio::test]
async fn the_death_of_an_adopted_process_is_told_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::start(&dir, &["wait"]);
    let main = Open::of(keeper.supervised);
    keeper.crash();
    let mut bench = Bench::within(dir, &["wait"]);
    assert!(matches!(bench.next().await.1.state, UnitState::Running(Some(_))));
    main.kill();
    assert_eq!(bench.stopped().await.1.state, stopped(false, Exit::Code(77)));
}

#[tokio::test]
async fn a_stranger_with_the_number_of_the_process_is_not_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let me = Process { pid: std::process::id(), started: 1 };
    std::fs::write(dir.path().join("log.state"), format!("{} {}\n", me.pid, me.started)).unwrap();
    let mut bench = Bench::within(dir, &["wait"]);
    assert_eq!(bench.next().await.1.state, stopped(false, Exit::Unseen));
    assert_ne!(bench.supervised.start().await.unwrap().pid, me.pid);
    bench.supervised.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_that_knows_svcwatchdog_is_asked_by_its_event_also_after_it_was_adopted() {
    let name = format!(r"Global\SvcWatchDog.lifesign-test-{}", std::process::id());
    let env = || vec![("SHUTDOWN_EVENT".to_owned(), name.clone())];
    let mut bench = Bench::told(tempfile::tempdir().unwrap(), &["event"], env());
    // Twice: the event of the first stop does not stop the second run.
    for _ in 0..2 {
        bench.supervised.start().await.unwrap();
        bench.output("listening").await;
        bench.supervised.stop().await.unwrap();
        assert_eq!(bench.stopped().await.1.state, stopped(true, Exit::Clean));
        bench.output("asked").await;
    }
    bench.supervised.start().await.unwrap();
    let Bench { dir, supervised, mut reports } = bench;
    // A second supervisor adopts what the first one runs, while it runs still: the name is the same.
    let mut second = Bench::told(dir, &["event"], env());
    second.supervised.stop().await.unwrap();
    assert_eq!(second.stopped().await.1.state, stopped(true, Exit::Clean));
    reports.close();
    drop(supervised);
}

#[tokio::test]
#[ignore = "real_windows: Wine delivers no Ctrl-Break to a process group"]
async fn on_real_windows_a_console_program_is_asked_to_stop_and_ends_cleanly() {
    let mut bench = Bench::new(&["polite"]);
    bench.supervised.start().await.unwrap();
    bench.output("listening").await;
    bench.supervised.stop().await.unwrap();
    assert_eq!(bench.stopped().await.1.state, stopped(true, Exit::Clean));
}
