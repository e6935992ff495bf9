//! lifesign as a service of the Windows service control manager, looked at with the system's own tools.
//!
//! Needs an administrator.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a story says what went wrong by panicking")]
#![allow(unsafe_code, reason = "the birth of a process and a raw control are Win32 calls")]
#![cfg(windows)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{free_port, wait_for};
use windows_service::service::{Service, ServiceAccess, ServiceState};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{CloseHandle, FILETIME};
use windows_sys::Win32::System::Memory::{FILE_MAP_READ, OpenFileMappingW};
use windows_sys::Win32::System::Services::{
    ControlService, SERVICE_CONTROL_POWEREVENT, SERVICE_CONTROL_PRESHUTDOWN, SERVICE_CONTROL_SHUTDOWN,
    SERVICE_STATUS,
};
use windows_sys::Win32::System::SystemInformation::GetSystemTimePreciseAsFileTime;
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
};

/// From the birth of the service's process to the first word of its own, without the loading of the program.
const FIRST_CHECKPOINT: Duration = Duration::from_millis(100);
/// How often it may start until it was as quick as that.
const STARTS: usize = 10;

/// A service of the test's own; gone with it.
struct Installed {
    name: String,
    dir: tempfile::TempDir,
    port: u16,
}

impl Installed {
    fn new(what: &str) -> Self {
        let name = format!("lifesign-{what}-{}", std::process::id());
        let port = free_port();
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "server: {{ listen: \"127.0.0.1:{port}\" }}\nlog: {{ file: '{}' }}\nservices:\n  - {{ id: shop, heartbeat: \
             {{ interval: 5s }} }}\n  - {{ id: db, heartbeat: {{ interval: 5s }} }}\n",
            dir.path().join("log").join("lifesign.log").display()
        );
        std::fs::write(dir.path().join("lifesign.yaml"), text).unwrap();
        Self { name, dir, port }
    }

    /// `lifesign service VERB --name NAME …`
    fn service(&self, verb: &str, more: &[&str]) -> (i32, String) {
        lifesign(&[&["service", verb, "--name", &self.name], more].concat())
    }

    fn install(&self, more: &[&str]) -> (i32, String) {
        let file = self.dir.path().join("lifesign.yaml");
        self.service("install", &[&["-c", file.to_str().unwrap()], more].concat())
    }

    /// Where the manager keeps what it knows of it.
    fn key(&self) -> String {
        format!(r"HKLM\SYSTEM\CurrentControlSet\Services\{}", self.name)
    }

    fn registry(&self, value: &str) -> String {
        run("reg", &["query", &self.key(), "/v", value]).1
    }

    fn open(&self) -> Service {
        let scm = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).unwrap();
        let access = ServiceAccess::START
            | ServiceAccess::QUERY_STATUS
            | ServiceAccess::PAUSE_CONTINUE
            | ServiceAccess::STOP
            | ServiceAccess::INTERROGATE;
        scm.open_service(&self.name, access).unwrap()
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn data_dir(&self) -> PathBuf {
        PathBuf::from(std::env::var_os("ProgramData").unwrap()).join("lifesign").join(&self.name)
    }

    /// Asks the running service over its API.
    fn ask(&self, arguments: &[&str]) -> String {
        let token = std::fs::read_to_string(self.data_dir().join("admin.token")).unwrap();
        let server = format!("http://127.0.0.1:{}", self.port);
        let (code, said) =
            lifesign(&[&["--server", &server, "--token", token.trim(), "--json"], arguments].concat());
        assert_eq!(code, 0, "{said}");
        said
    }

    /// Whether `lifesign status` says that all of lifesign is paused.
    fn is_on_hold(&self) -> bool {
        serde_json::from_str::<serde_json::Value>(self.ask(&["status"]).trim()).unwrap()["paused"] == true
    }

    fn is_paused(&self, id: &str) -> bool {
        let said = self.ask(&["status", id]);
        serde_json::from_str::<serde_json::Value>(said.trim()).unwrap()["paused"] == true
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = self.service("uninstall", &["--purge"]);
    }
}

fn run(program: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program).args(arguments).env_remove("LIFESIGN_ENV").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

fn lifesign(arguments: &[&str]) -> (i32, String) {
    run(env!("CARGO_BIN_EXE_lifesign"), &[&["--lang", "en"], arguments].concat())
}

fn wait_for_state(service: &Service, wanted: ServiceState) {
    wait_for(&format!("{wanted:?}"), || {
        (service.query_status().unwrap().current_state == wanted).then_some(())
    });
}

#[test]
fn lifesign_becomes_a_service_that_windows_own_tools_start_and_stop() {
    let installed = Installed::new("story");
    let (code, planned) = installed.install(&["--dry-run"]);
    assert!(code == 0 && planned.contains("would: make the service"), "{planned}");
    assert!(planned.contains("restart it 5s, 30s, 60s after a failure; count anew after a day"), "{planned}");
    let (code, other) = installed.install(&[
        "--dry-run",
        "--recover-after",
        "2s,1m",
        "--recover-give-up",
        "--recover-reset",
        "1h",
    ]);
    assert!(code == 0 && other.contains("restart it 2s, 60s after a failure, then leave it;"), "{other}");
    assert!(
        installed.install(&["--dry-run", "--recover-after", "never"]).1.contains("leave it stopped after")
    );
    assert_eq!(installed.install(&["--dry-run", "--recover-after", "2d"]).0, 2, "longer than a day");
    assert_ne!(run("sc", &["query", &installed.name]).0, 0, "a dry run makes nothing");
    let (code, said) = installed.install(&["--display-name", "Story of lifesign", "--start", "manual"]);
    assert_eq!(code, 0, "{said}");
    let (code, again) = installed.install(&["--display-name", "Story of lifesign", "--start", "manual"]);
    assert!(code == 0 && again.contains("as it was: make the service"), "{again}");
    // Access lists and failure actions are not among them: Wine reads back others, or none.
    for same in ["describe it", "start it with", "grant it 30 s", "register the event source"] {
        assert!(again.contains(&format!("as it was: {same}")), "{same}: {again}");
    }

    // Where the system's own tools look.
    for (value, wanted) in [
        ("ImagePath", "service run"),
        ("Start", "0x3"),
        ("DisplayName", "Story of lifesign"),
        ("ObjectName", r"NT SERVICE\"),
        ("Description", "Watches services"),
    ] {
        let written = installed.registry(value);
        assert!(written.contains(wanted), "{value}: {written}");
    }
    let (code, said) = installed.install(&["--display-name", "Story of lifesign", "--start", "disabled"]);
    assert_eq!(code, 0, "{said}");
    assert!(installed.registry("Start").contains("0x4"));
    assert_ne!(run("net", &["start", &installed.name]).0, 0, "disabled is not started by hand");
    // A delayed start is an automatic one with a flag, which Wine takes and keeps nowhere.
    let (code, said) = installed.install(&["--start", "delayed"]);
    assert!(code == 0 && said.contains("start it after the other automatic services"), "{said}");
    assert!(installed.registry("Start").contains("0x2"));
    let (code, said) = installed.install(&["--description", "Looks after shops", "--account", "LocalSystem"]);
    assert_eq!(code, 0, "{said}");
    assert!(installed.registry("Description").contains("Looks after shops"));
    assert!(installed.registry("ObjectName").contains("LocalSystem"));
    installed.install(&["--start", "auto"]);
    assert!(
        installed.registry("Start").contains("0x2")
            && installed.registry("ObjectName").contains(r"NT SERVICE\")
    );
    let (code, said) = installed.service("grant", &["Spooler"]);
    assert!(code == 0 && said.contains("(A;;CCLCSWRPWPLORC;;;S-1-5-80-"), "{said}");

    // Started and stopped by `net`.
    let begin = Instant::now();
    let (code, said) = run("net", &["start", &installed.name]);
    assert_eq!(code, 0, "{said}");
    println!("net start: {:?}", begin.elapsed());
    // Wine's `net` does not wait for the end of a pending start.
    wait_for("running", || run("sc", &["query", &installed.name]).1.contains("RUNNING").then_some(()));
    assert!(installed.service("status", &[]).1.contains("RUNNING"));
    assert!(installed.ask(&["status"]).contains("shop"));
    let begin = Instant::now();
    let (code, said) = run("net", &["stop", &installed.name]);
    assert_eq!(code, 0, "{said}");
    println!("net stop: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(15));
    wait_for("stopped", || run("sc", &["query", &installed.name]).1.contains("STOPPED").then_some(()));
    assert!(installed.service("status", &[]).1.contains("ended with Win32 code 0"));

    // Without the service its folders are still known.
    let (code, said) = installed.service("uninstall", &[]);
    assert!(code == 0 && said.contains("keep "), "{said}");
    assert_ne!(run("sc", &["query", &installed.name]).0, 0, "gone");
    assert!(installed.data_dir().exists() && installed.log_dir().join("lifesign.log").exists());
    let (code, said) = installed.service("uninstall", &["--purge"]);
    assert_eq!(code, 0, "{said}");
    assert!(!installed.data_dir().exists() && !installed.log_dir().exists(), "{said}");
    assert!(installed.dir.path().join("lifesign.yaml").exists(), "what was there before stays");
    let made = format!(r"HKLM\SOFTWARE\lifesign\services\{}", installed.name);
    assert_ne!(run("reg", &["query", &made]).0, 0, "the list of what was made is gone");
    let source = format!(r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\{}", installed.name);
    assert_ne!(run("reg", &["query", &source]).0, 0, "the event source is gone");
    assert_eq!(installed.service("status", &[]).0, 3);
    assert_eq!(installed.service("uninstall", &[]).0, 0, "nothing to remove is no error");
}

/// What was seen of a service that starts or stops, from one look to the next.
struct Pending {
    /// When its first checkpoint was seen.
    first: Instant,
    /// The checkpoints, in their order.
    checkpoints: Vec<u32>,
}

/// Looks without a pause until the pending state is over.
fn watch_pending(service: &Service, pending: ServiceState, end: ServiceState) -> Pending {
    let mut first = None;
    let mut checkpoints = Vec::new();
    let begin = Instant::now();
    loop {
        let status = service.query_status().unwrap();
        if status.current_state == end {
            return Pending { first: first.expect("no checkpoint was seen"), checkpoints };
        }
        assert!(begin.elapsed() < support::PATIENCE, "{status:?}");
        // The manager itself says `START_PENDING` before there is a process; a checkpoint is the program's own.
        if status.current_state == pending && status.checkpoint > 0 {
            assert!(!status.wait_hint.is_zero(), "{status:?}");
            first.get_or_insert_with(Instant::now);
            checkpoints.push(status.checkpoint);
        }
    }
}

/// How long ago the system made a process.
fn age_of_process(pid: u32) -> Duration {
    let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut created, mut unused, mut now) = (none, [none; 3], none);
    let [ended, kernel, user] = &mut unused;
    // SAFETY: takes plain numbers.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    assert!(!process.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: the time is written through a pointer valid for the call.
    unsafe { GetSystemTimePreciseAsFileTime(&raw mut now) };
    // SAFETY: the handle is open, the times are written through pointers valid for the call.
    let known = unsafe { GetProcessTimes(process, &raw mut created, ended, kernel, user) };
    // SAFETY: the handle is open and closed once.
    unsafe { CloseHandle(process) };
    assert_ne!(known, 0, "{}", std::io::Error::last_os_error());
    let hundreds_of_nanos = |at: FILETIME| (u64::from(at.dwHighDateTime) << 32) | u64::from(at.dwLowDateTime);
    Duration::from_nanos(hundreds_of_nanos(now).saturating_sub(hundreds_of_nanos(created)) * 100)
}

/// From the birth of a process of lifesign to the end of one that does next to nothing: what the system takes to load
/// it, under Wine 30 to 200 ms.
fn time_of_loading() -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifesign"));
    let mut child = command.arg("--version").stdout(std::process::Stdio::null()).spawn().unwrap();
    // Wine spends more on its birth than Windows does, and this is after that.
    let born = Instant::now();
    child.wait().unwrap();
    born.elapsed()
}

/// Whether the manager passes on a control that a program sends.
fn can_send(service: &Service, control: u32) -> bool {
    // SAFETY: a status is numbers, for which zero is a value.
    let mut status: SERVICE_STATUS = unsafe { std::mem::zeroed() };
    // SAFETY: the handle is open; the status is written through a pointer valid for the call.
    unsafe { ControlService(service.raw_handle(), control, &raw mut status) != 0 }
}

#[test]
fn a_start_is_pending_with_a_checkpoint_at_once_and_a_pause_holds_all_services() {
    let installed = Installed::new("pause");
    assert_eq!(installed.install(&[]).0, 0);
    let service = installed.open();
    // Other work on the machine can only add to it, so the quickest of a few counts.
    let mut firsts = Vec::new();
    while firsts.last().is_none_or(|first| *first >= FIRST_CHECKPOINT) {
        assert!(firsts.len() < STARTS, "{firsts:?}");
        if !firsts.is_empty() {
            service.stop().unwrap();
            wait_for_state(&service, ServiceState::Stopped);
        }
        let loading = time_of_loading();
        wait_for("started", || service.start::<&str>(&[]).is_ok().then_some(()));
        let start = watch_pending(&service, ServiceState::StartPending, ServiceState::Running);
        let pid = service.query_status().unwrap().process_id.unwrap();
        let (took, age) = (start.first.elapsed(), age_of_process(pid));
        let first = age.saturating_sub(took);
        println!(
            "first checkpoint {first:?} after the birth of the process, running {took:?} later; loaded in {loading:?}"
        );
        let first = first.saturating_sub(loading);
        assert!(start.checkpoints.is_sorted(), "{:?}", start.checkpoints);
        firsts.push(first);
    }

    // One is paused by a person; a pause of the whole holds the other, and its end lets go of that alone.
    installed.ask(&["pause", "db"]);
    service.pause().unwrap();
    wait_for_state(&service, ServiceState::Paused);
    assert!(installed.is_paused("shop") && installed.is_paused("db"));
    assert!(run("sc", &["query", &installed.name]).1.contains("PAUSED"));
    assert!(installed.is_on_hold());
    service.resume().unwrap();
    wait_for_state(&service, ServiceState::Running);
    assert!(!installed.is_on_hold());
    assert!(!installed.is_paused("shop") && installed.is_paused("db"));

    // Dead while paused, it runs again without the pause.
    let pid = service.query_status().unwrap().process_id.unwrap();
    service.pause().unwrap();
    wait_for_state(&service, ServiceState::Paused);
    support::kill_process(pid.into());
    wait_for("the process is gone", || {
        std::net::TcpListener::bind(("127.0.0.1", installed.port)).is_ok().then_some(())
    });
    wait_for("started again", || service.start::<&str>(&[]).is_ok().then_some(()));
    wait_for_state(&service, ServiceState::Running);
    assert!(!installed.is_paused("shop") && installed.is_paused("db"));

    // The system's own to send: for these, only the handler is tested.
    for control in [SERVICE_CONTROL_SHUTDOWN, SERVICE_CONTROL_PRESHUTDOWN, SERVICE_CONTROL_POWEREVENT] {
        assert!(!can_send(&service, control), "{control} can be tried from outside after all");
    }
    assert_eq!(service.query_status().unwrap().current_state, ServiceState::Running);
    service.stop().unwrap();
    let stop = watch_pending(&service, ServiceState::StopPending, ServiceState::Stopped);
    println!("stopped {:?} after the first checkpoint of the stop", stop.first.elapsed());
    assert!(stop.checkpoints.is_sorted(), "{:?}", stop.checkpoints);
}

#[test]
fn a_failure_at_the_start_stops_the_service_with_lifesign_s_exit_code() {
    let installed = Installed::new("fails");
    assert_eq!(installed.install(&[]).0, 0);
    std::fs::write(installed.dir.path().join("lifesign.yaml"), "services: [ { id: x, no_such_key: 1 } ]\n")
        .unwrap();
    // Wine takes a process that ends at once for one that never came (1053), now and then.
    let code = wait_for("the exit code in what `start` says", || {
        let (code, said) = installed.service("start", &[]);
        assert!(said.contains("service-specific code 2") || said.contains("1053"), "{code}: {said}");
        said.contains("service-specific code 2").then_some(code)
    });
    assert_eq!(code, 1);
    let (code, said) = installed.install(&[]);
    assert!(code == 2 && said.contains("no_such_key"), "{code}: {said}");
}

#[test]
fn a_wrapped_program_is_a_service_and_is_started_again_after_a_crash() {
    let port = free_port();
    let id = format!("orders-{}", std::process::id());
    let installed = Installed { name: id.clone(), dir: tempfile::tempdir().unwrap(), port };
    let program = env!("CARGO_BIN_EXE_lifesign");
    let port = port.to_string();
    // Always: a program killed under Wine leaves exit code 0.
    let arguments = [
        "service",
        "install",
        &id,
        "--wrap",
        "--restart",
        "always",
        "--",
        program,
        "sample",
        "web",
        "--port",
        &port,
    ];
    let (code, said) = lifesign(&arguments);
    assert_eq!(code, 0, "{said}");
    // lifesign's own limits are not for a program of which nothing is known.
    assert!(said.contains("as it was: leave it all privileges"), "{said}");
    assert_ne!(run("reg", &["query", &installed.key(), "/v", "RequiredPrivileges"]).0, 0, "{said}");
    let (code, said) = installed.service("start", &[]);
    assert_eq!(code, 0, "{said}");
    let is_up = || std::net::TcpStream::connect(("127.0.0.1", installed.port)).is_ok();
    wait_for("the program answers", || is_up().then_some(()));
    let state = installed.data_dir().join("output.log");
    wait_for("its output", || std::fs::read_to_string(&state).unwrap().contains("listening").then_some(()));
    let pid = || {
        let state = std::fs::read_to_string(installed.data_dir().join("output.log.state")).ok()?;
        state.split_whitespace().next()?.parse::<u64>().ok()
    };
    let first = pid().unwrap();
    support::kill_process(first);
    wait_for("another after the crash", || pid().filter(|pid| *pid != first && is_up()));
    let (code, said) = installed.service("stop", &[]);
    assert_eq!(code, 0, "{said}");
    assert!(!is_up(), "the program has gone with its service");
}

#[test]
fn a_wrapped_program_whose_heart_is_silent_hangs_and_is_started_again() {
    let port = free_port();
    let id = format!("silent-{}", std::process::id());
    let installed = Installed { name: id.clone(), dir: tempfile::tempdir().unwrap(), port };
    let port = port.to_string();
    let program = [env!("CARGO_BIN_EXE_lifesign"), "sample", "web", "--port", &port];
    let install = ["service", "install", &id, "--wrap", "--heartbeat", "1s", "--"];
    let (code, said) = lifesign(&[install.as_slice(), &program].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = installed.service("start", &[]);
    assert_eq!(code, 0, "{said}");
    let pid = || {
        let state = std::fs::read_to_string(installed.data_dir().join("output.log.state")).ok()?;
        state.split_whitespace().next()?.parse::<u64>().ok()
    };
    let first = wait_for("the program runs", pid);
    let begin = Instant::now();
    wait_for("another after the hang", || pid().filter(|pid| *pid != first));
    println!("hang of a wrapped program with --heartbeat 1s, until another runs: {:?}", begin.elapsed());
    let (code, said) = installed.service("stop", &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
#[ignore = "real_windows: Wine's manager keeps neither failure actions, nor their flag, nor a service SID, and does not \
            notice a death"]
fn real_windows_restarts_a_lifesign_that_was_killed() {
    let installed = Installed::new("killed");
    let (code, said) = installed.install(&[]);
    assert!(code == 0 && !said.contains("not offered"), "{said}");
    let (code, again) = installed.install(&[]);
    assert!(code == 0 && !again.contains("done:"), "a second installation changes nothing: {again}");
    assert!(run("sc", &["qfailure", &installed.name]).1.contains("RESTART"));
    assert!(run("sc", &["qfailureflag", &installed.name]).1.contains("TRUE"));
    assert!(run("sc", &["qsidtype", &installed.name]).1.contains("UNRESTRICTED"));
    assert_eq!(installed.service("start", &[]).0, 0);
    let service = installed.open();
    let pid = service.query_status().unwrap().process_id.unwrap();
    support::kill_process(pid.into());
    wait_for("another process", || {
        let status = service.query_status().unwrap();
        let other = status.process_id.is_some_and(|other| other != 0 && other != pid);
        (other && status.current_state == ServiceState::Running).then_some(())
    });
}

#[test]
#[ignore = "real_windows: Wine's manager keeps no failure actions"]
fn on_real_windows_recovery_is_what_the_installation_says_and_a_second_one_changes_it() {
    let installed = Installed::new("recovers");
    let wanted = ["--recover-after", "2s,90s", "--recover-give-up", "--recover-reset", "1h"];
    let (code, said) = installed.install(&wanted);
    assert!(code == 0 && said.contains("done: restart it 2s, 90s after a failure, then leave it"), "{said}");
    let kept = run("sc", &["qfailure", &installed.name]).1;
    for part in ["3600", "2000", "90000"] {
        assert!(kept.contains(part), "{part}: {kept}");
    }
    assert!(installed.install(&wanted).1.contains("as it was: restart it 2s, 90s"));
    assert!(
        installed.install(&["--recover-after", "never"]).1.contains("done: leave it stopped after a failure")
    );
    let kept = run("sc", &["qfailure", &installed.name]).1;
    assert!(!kept.contains("90000") && !kept.contains("RESTART"), "{kept}");
    assert!(installed.install(&[]).1.contains("done: restart it 5s, 30s, 60s"));
}

#[test]
#[ignore = "real_windows: Wine's manager limits no privileges, and its tokens have no others than an administrator's"]
fn on_real_windows_a_wrapped_program_keeps_the_privileges_of_its_account_and_lifesign_does_not() {
    let own = Installed::new("narrow");
    assert_eq!(own.install(&[]).0, 0);
    let narrow = run("sc", &["qprivs", &own.name]).1;
    assert!(
        narrow.contains("SeCreateGlobalPrivilege") && !narrow.contains("SeImpersonatePrivilege"),
        "{narrow}"
    );

    let id = format!("wide-{}", std::process::id());
    let wrapped = Installed { name: id.clone(), dir: tempfile::tempdir().unwrap(), port: 0 };
    let (code, said) = lifesign(&["service", "install", &id, "--wrap", "--", "whoami", "/priv"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(wrapped.service("start", &[]).0, 0);
    let output = wrapped.data_dir().join("output.log");
    // Services have it of their account, and servers that speak for their clients need it.
    wait_for("the program's privileges", || {
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        said.contains("SeImpersonatePrivilege").then_some(())
    });
    wrapped.service("stop", &[]);
}

#[test]
#[ignore = "real_windows: Wine has no service access lists and no event log"]
fn on_real_windows_granted_rights_and_events_stand_where_windows_keeps_them() {
    let installed = Installed::new("rights");
    assert_eq!(installed.install(&[]).0, 0);
    let (code, said) = installed.service("grant", &["Spooler", "--apply"]);
    assert_eq!(code, 0, "{said}");
    let identity = run("sc", &["showsid", &installed.name]).1;
    let sid = identity.split_whitespace().find(|word| word.starts_with("S-1-5-80-")).unwrap().to_owned();
    assert!(run("sc", &["sdshow", "Spooler"]).1.contains(&sid));
    assert_eq!(installed.service("start", &[]).0, 0);
    assert_eq!(installed.service("stop", &[]).0, 0);
    let query = format!("*[System[Provider[@Name='{}']]]", installed.name);
    let events = run("wevtutil", &["qe", "Application", "/f:text", &format!("/q:{query}")]).1;
    assert!(events.contains("Event ID: 1") && events.contains("Lifesign is ready"), "{events}");
}

/// What Windows PowerShell says of `script`.
fn powershell(script: &str) -> String {
    let (code, said) = run("powershell", &["-NoProfile", "-Command", script]);
    assert_eq!(code, 0, "{script}: {said}");
    said
}

#[test]
#[ignore = "real_windows: Wine keeps no delayed starts, and access lists as Unix modes"]
fn on_real_windows_a_delayed_start_and_the_access_lists_stand_where_windows_keeps_them() {
    let installed = Installed::new("lists");
    let (code, said) = installed.install(&["--start", "delayed"]);
    assert!(code == 0 && said.contains("done: start it after the other automatic services"), "{said}");
    assert!(run("sc", &["qc", &installed.name]).1.contains("DELAYED"));
    assert!(installed.service("status", &[]).1.contains("delayed"));
    assert!(installed.install(&["--start", "delayed"]).1.contains("as it was: start it after"));
    assert!(installed.install(&["--start", "auto"]).1.contains("done: start it with"));
    assert!(!run("sc", &["qc", &installed.name]).1.contains("DELAYED"));

    let identity = run("sc", &["showsid", &installed.name]).1;
    let sid = identity.split_whitespace().find(|word| word.starts_with("S-1-5-80-")).unwrap().to_owned();
    let list = |path: &std::path::Path| {
        let sddl = powershell(&format!("(Get-Acl '{}').Sddl", path.display()));
        sddl.trim().split_once("D:").unwrap().1.to_owned()
    };
    for folder in [installed.data_dir(), installed.log_dir()] {
        let is = list(&folder);
        assert!(is.starts_with('P'), "it inherits nothing: {is}");
        assert_eq!(is.matches('(').count(), 3, "the service, SYSTEM and administrators: {is}");
        for somebody in [&sid, "SY", "BA"] {
            assert!(is.contains(&format!(";FA;;;{somebody})")), "{somebody}: {is}");
        }
        // As the system's own tool says it.
        let said = run("icacls", &[folder.to_str().unwrap()]).1;
        assert!(said.contains(&format!(r"NT SERVICE\{}:", installed.name)), "{said}");
    }
    let is = list(&installed.dir.path().join("lifesign.yaml"));
    assert!(is.contains(&format!("(A;;FR;;;{sid})")), "it may read its configuration: {is}");
}

#[test]
#[ignore = "real_windows: under Wine everybody is an administrator, in one session"]
fn on_real_windows_the_account_of_its_own_suffices_to_watch_restart_and_hear() {
    let installed = Installed::new("account");
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_lifesign")).parent().unwrap();
    let program = binaries.join("examples").join("test_service.exe");
    assert!(program.exists(), "{} is missing: cargo build -p lifesign-os --examples", program.display());
    // Another account's: LocalSystem's.
    let shop =
        Installed { name: format!("{}-shop", installed.name), dir: tempfile::tempdir().unwrap(), port: 0 };
    let path = format!("\"{}\" normal", program.display());
    let (code, said) = run("sc", &["create", &shop.name, "binPath=", &path, "start=", "demand"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(run("sc", &["start", &shop.name]).0, 0);
    let text = format!(
        "server: {{ listen: \"127.0.0.1:{}\" }}\nagent: {{ local: {{ name: {} }} }}\nservices:\n  - {{ id: shop, unit: {{ \
         scm: {} }}, restart: {{ budget: 5 per 10m, backoff: 200ms..5s }} }}\n",
        installed.port, installed.name, shop.name,
    );
    std::fs::write(installed.dir.path().join("lifesign.yaml"), text).unwrap();
    let (code, said) = installed.install(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(run("sc", &["qc", &installed.name]).1.contains(r"NT SERVICE\"));
    // It reads its configuration and writes its data.
    assert_eq!(installed.service("start", &[]).0, 0);
    let pid = || {
        let said = installed.ask(&["status", "shop"]);
        serde_json::from_str::<serde_json::Value>(said.trim()).unwrap()["pid"].as_u64()
    };
    let first = wait_for("the shop's process is known", pid);

    // Its shared memory is there for programs of other sessions: this test is one.
    let section: Vec<u16> = format!(r"Global\{}.shop", installed.name).encode_utf16().chain([0]).collect();
    wait_for("the shop's page", || {
        // SAFETY: the name is NUL-terminated and outlives the call.
        let handle = unsafe { OpenFileMappingW(FILE_MAP_READ, 0, section.as_ptr()) };
        if handle.is_null() {
            return None;
        }
        // SAFETY: the handle is open and closed once.
        unsafe { CloseHandle(handle) };
        Some(())
    });

    // The end of a process that it may hardly open is seen, and the right that was granted starts another.
    support::kill_process(first);
    wait_for("another process of the shop", || pid().filter(|pid| *pid != first));
    assert_eq!(installed.service("stop", &[]).0, 0);
}
