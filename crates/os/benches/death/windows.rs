//! Services of the service control manager, and supervised processes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifesign_core::evidence::UnitState;
use lifesign_os::process::{ProcessSpec, Supervised};
use lifesign_os::unit::ServiceManager;
use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
    UserEventCode,
};
use windows_service::service_manager::{ServiceManager as Scm, ServiceManagerAccess};
use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::System::Threading::{
    INFINITE, OpenProcess, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject,
};

use crate::{Heard, PATIENCE, hang_by_heartbeat, is_wanted, line, target};

/// Deaths of each kind, one at a time.
const SINGLE: usize = 50;
/// Controls of the test service: end with code 3, with code 0, both without a word.
const CRASH: u32 = 130;
const LEAVE: u32 = 131;

/// A service of the test program, gone with the bench.
struct Victim(Service);

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.stop();
        let _ = self.0.delete();
    }
}

/// Most time from a kill to the state change, under Wine.
const KILL: Duration = Duration::from_millis(50);

pub(crate) async fn run() -> Vec<String> {
    let mut targets = Vec::new();
    if is_wanted("units") {
        let killed = services().await;
        targets.push(target("Windows: a service is killed, p99 until the state change", killed, KILL));
    }
    if is_wanted("processes") {
        processes().await;
    }
    targets
}

async fn processes() {
    let dir = tempfile::tempdir().unwrap();
    let program = example("test_program.exe").display().to_string();
    for (what, args, ending) in [
        ("process, killed", &["wait"][..], Ending::Killed),
        ("process, crash (exit 3), after a bare wait", &["exit", "3"], Ending::ByItself),
        ("process, clean exit, after a bare wait", &["exit", "0"], Ending::ByItself),
        ("process, stop by an operator (from the order)", &["wait"], Ending::Ordered),
    ] {
        let (sink, mut heard) = Heard::sink();
        let spec = ProcessSpec {
            argv: std::iter::once(program.as_str()).chain(args.iter().copied()).map(str::to_owned).collect(),
            cwd: Some(dir.path().to_owned()),
            env: Vec::new(),
            // A `wait` does not listen: it is ended when this has passed, which is in the figure.
            stop_timeout: Duration::from_millis(1),
            log: dir.path().join("x.log"),
            log_limit: 1 << 20,
        };
        let unit = Supervised::new(spec, sink);
        let mut times = Vec::new();
        for _ in 0..SINGLE {
            let process = unit.start().await.unwrap();
            // The true end of a process that ends by itself, by a wait of the bench's own.
            let begun = match ending {
                Ending::ByItself => ended(process.pid).await,
                Ending::Killed => {
                    let begun = Instant::now();
                    kill(process.pid);
                    begun
                }
                Ending::Ordered => {
                    let begun = Instant::now();
                    unit.stop().await.unwrap();
                    begun
                }
            };
            times.push(heard.end().await.saturating_duration_since(begun));
        }
        line(what, times);
        unit.stop().await.unwrap();
    }
    let (sink, mut heard) = Heard::sink();
    let spec = ProcessSpec {
        argv: vec![program, "wait".to_owned()],
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

/// How a process of the bench ends.
#[derive(Clone, Copy)]
enum Ending {
    Killed,
    ByItself,
    Ordered,
}

/// Waits until a process has ended, and says when.
async fn ended(pid: u32) -> Instant {
    let wait = move || {
        // SAFETY: takes plain numbers.
        let process = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
        if process.is_null() {
            // Gone already.
            return Instant::now();
        }
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(process, INFINITE) };
        let at = Instant::now();
        // SAFETY: the handle is open and closed once.
        unsafe { CloseHandle(process) };
        at
    };
    tokio::task::spawn_blocking(wait).await.unwrap()
}

/// Gives the p99 of a kill.
async fn services() -> Duration {
    let mut killed = None;
    let manager = ServiceManager::new();
    let name = format!("lifesign-bench-{}", std::process::id());
    let victim = create(&name);
    for (what, control) in [
        ("service, killed", None),
        ("service, crash (exit 3), after a bare wait", Some(CRASH)),
        ("service, clean exit, after a bare wait", Some(LEAVE)),
    ] {
        let (sink, mut heard) = Heard::sink();
        let _watch = manager.watch(&name, sink);
        let mut times = Vec::new();
        for _ in 0..SINGLE {
            manager.start(&name, PATIENCE).await.unwrap();
            let pid = heard.pid().await;
            let begun = match control {
                None => {
                    let begun = Instant::now();
                    kill(pid);
                    begun
                }
                Some(control) => {
                    // Its way through the manager and the service's own end are not ours to tell sooner.
                    let wait = tokio::spawn(ended(pid));
                    // A service that ends while it handles the control answers with an error.
                    drop(victim.0.notify(UserEventCode::from_raw(control).unwrap()));
                    wait.await.unwrap()
                }
            };
            times.push(heard.end().await.saturating_duration_since(begun));
        }
        let p99 = line(what, times);
        if control.is_none() {
            killed = Some(p99);
        }
    }
    let (sink, mut heard) = Heard::sink();
    let _watch = manager.watch(&name, sink);
    let mut times = Vec::new();
    for _ in 0..SINGLE {
        manager.start(&name, PATIENCE).await.unwrap();
        heard.pid().await;
        // The order itself, the control's way through the manager, and the 20 ms that the service stays in
        // `STOP_PENDING` are in the figure.
        let begun = Instant::now();
        manager.stop(&name, PATIENCE).await.unwrap();
        times.push(heard.end().await.saturating_duration_since(begun));
    }
    line("service, stop by an operator (from the order)", times);
    let mut times = Vec::new();
    for _ in 0..SINGLE {
        manager.start(&name, PATIENCE).await.unwrap();
        heard.pid().await;
        let begun = Instant::now();
        victim.0.stop().unwrap();
        while victim.0.query_status().unwrap().current_state != ServiceState::Stopped {}
        times.push(begun.elapsed());
    }
    line("  the same by a bare control and a bare loop", times);
    manager.start(&name, PATIENCE).await.unwrap();
    // Windows has no watchdog: heartbeats decide.
    let running = manager.look(&name).await;
    hang_by_heartbeat("service, hang (beats 100 ms, timeout 300 ms)", running).await;
    manager.stop(&name, PATIENCE).await.unwrap();
    killed.unwrap()
}

fn example(name: &str) -> PathBuf {
    let bench = std::env::current_exe().unwrap();
    let program = bench.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        program.exists(),
        "{program:?} is missing: `cargo build -p lifesign-os --examples` makes it, with the bench's profile"
    );
    program
}

fn create(name: &str) -> Victim {
    let program = example("test_service.exe");
    let scm = Scm::local_computer(None::<&str>, ServiceManagerAccess::CREATE_SERVICE).unwrap();
    let info = ServiceInfo {
        name: OsString::from(name),
        display_name: OsString::from(name),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::OnDemand,
        error_control: ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: vec!["normal".into()],
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    Victim(scm.create_service(&info, ServiceAccess::ALL_ACCESS).unwrap())
}

fn kill(pid: u32) {
    // SAFETY: takes plain numbers.
    let process = unsafe { OpenProcess(PROCESS_TERMINATE, 0, pid) };
    assert!(!process.is_null(), "cannot open {pid}");
    // SAFETY: the handle is open.
    assert_ne!(unsafe { TerminateProcess(process, 77) }, 0);
    // SAFETY: the handle is open and closed once.
    unsafe { CloseHandle(process) };
}
