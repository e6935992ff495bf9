//! While the machine is being updated nothing is restarted that nobody has asked for: not even a process of our own, whose
//! program may be the one that is being replaced.
#![cfg_attr(windows, expect(unsafe_code, reason = "a named mutex is a Win32 call"))]

mod support;

use support::{Lifesign, kill_process, wait_for};

/// An update under way, as the system's own package manager shows it to everybody; over when dropped.
struct Update {
    #[cfg(target_os = "linux")]
    _lock: std::fs::File,
    #[cfg(windows)]
    _mutex: std::os::windows::io::OwnedHandle,
}

impl Update {
    /// dpkg locks this file while it works. A lock of another kind does not keep a real dpkg from its work.
    #[cfg(target_os = "linux")]
    fn begin() -> Self {
        let lock = "/var/lib/dpkg/lock-frontend";
        let lock = std::fs::File::options().write(true).open(lock).expect("the tests run as root on Debian");
        lock.lock().expect("the file lies on a file system with locks");
        Self { _lock: lock }
    }

    /// Windows Installer holds this mutex while it installs.
    #[cfg(windows)]
    fn begin() -> Self {
        use std::os::windows::io::FromRawHandle as _;
        use windows_sys::Win32::System::Threading::CreateMutexW;
        let name: Vec<u16> = "Global\\_MSIExecute\0".encode_utf16().collect();
        // SAFETY: no attributes; the name ends with a zero.
        let handle = unsafe { CreateMutexW(std::ptr::null(), 0, name.as_ptr()) };
        assert!(!handle.is_null());
        // SAFETY: the handle is valid, just made, and nobody else's.
        Self { _mutex: unsafe { std::os::windows::io::OwnedHandle::from_raw_handle(handle) } }
    }
}

#[test]
fn a_process_that_dies_during_an_update_is_started_again_when_the_update_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let configuration = r#"
server: { listen: "127.0.0.1:0" }
services:
  - id: worker
    unit: { process: ["${self}", sample, worker, --id, worker] }
    restart: { budget: 1 per 10m, backoff: 100ms..1s, prove_for: 200ms }
"#;
    let lifesign = Lifesign::start(dir.path(), configuration);
    let worker = lifesign.wait_for_state("worker", "up", None);
    let update = Update::begin();
    kill_process(worker["pid"].as_u64().unwrap());
    let down = lifesign.wait_for_state("worker", "down", None);
    let told = |what: &str| {
        wait_for(what, || {
            let incident = lifesign.incident(&down["incident_id"]);
            incident.to_string().contains(what).then_some(incident)
        })
    };
    told("the process is not touched now: an update is under way");
    assert_eq!(lifesign.service("worker")["state"], "down");

    drop(update);
    // Nothing of the budget of one was used up.
    let again = lifesign.wait_for_state("worker", "up", None);
    assert_ne!(again["pid"], worker["pid"]);
}
