//! Services of the service control manager.

use std::ffi::OsString;
use std::time::Instant;

use lifesign_os::unit::ServiceManager;
use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceType, UserEventCode,
};
use windows_service::service_manager::{ServiceManager as Scm, ServiceManagerAccess};
use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_TERMINATE, TerminateProcess};

use crate::{Heard, PATIENCE, line};

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

pub(crate) async fn run() {
    let manager = ServiceManager::new();
    let name = format!("lifesign-bench-{}", std::process::id());
    let victim = create(&name);
    for (what, control) in [
        ("service, killed", None),
        ("service, crash (exit 3)", Some(CRASH)),
        ("service, clean exit", Some(LEAVE)),
    ] {
        let (sink, mut heard) = Heard::sink();
        let _watch = manager.watch(&name, sink);
        let mut times = Vec::new();
        for _ in 0..SINGLE {
            manager.start(&name, PATIENCE).await.unwrap();
            let pid = heard.pid().await;
            let begun = Instant::now();
            match control {
                None => kill(pid),
                // A service that ends while it handles the control answers with an error.
                Some(control) => drop(victim.0.notify(UserEventCode::from_raw(control).unwrap())),
            }
            times.push(heard.end().await.saturating_duration_since(begun));
        }
        line(what, times);
    }
    let (sink, mut heard) = Heard::sink();
    let _watch = manager.watch(&name, sink);
    let mut times = Vec::new();
    for _ in 0..SINGLE {
        manager.start(&name, PATIENCE).await.unwrap();
        heard.pid().await;
        let begun = Instant::now();
        manager.stop(&name, PATIENCE).await.unwrap();
        times.push(heard.end().await.saturating_duration_since(begun));
    }
    line("service, stop by an operator (from the order)", times);
}

fn create(name: &str) -> Victim {
    let bench = std::env::current_exe().unwrap();
    let program = bench.parent().unwrap().parent().unwrap().join("examples").join("test_service.exe");
    assert!(
        program.exists(),
        "{program:?} is missing: `cargo build -p lifesign-os --examples` makes it, with the bench's profile"
    );
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
