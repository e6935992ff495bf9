//! A program with good and bad manners, for the tests of supervised processes on Windows.
//!
//! `exit CODE` prints a line and ends · `wait` waits for ever · `tree` starts a `wait` of its own, prints its
//! number, and waits · `event` waits for its shutdown event as SvcWatchDog's programs do, opening it anew for each
//! look, and ends with 0 · `polite` waits for Ctrl-Break and ends with 0 · `keep LOG ARGS…` is a small lifesign: it
//! supervises this very program with ARGS, prints its number, and waits.
#![allow(clippy::unwrap_used, reason = "a test program; a panic is a failed test")]
#![allow(clippy::print_stdout, reason = "its output is what the tests read")]

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use lifesign_os::process::{ProcessSpec, Supervised};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args[0].as_str() {
        "exit" => {
            println!("ending with {}", args[1]);
            return ExitCode::from(args[1].parse::<u8>().unwrap());
        }
        "tree" => {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .arg("wait")
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            println!("child {}", child.id());
            child.wait().unwrap();
        }
        "polite" => {
            let mut signals = lifesign_os::signal::Signals::new().unwrap();
            println!("listening");
            signals.next().await;
            return ExitCode::SUCCESS;
        }
        #[cfg(windows)]
        "event" => {
            println!("listening");
            while !is_set(&std::env::var("SHUTDOWN_EVENT").unwrap()) {}
            println!("asked");
            return ExitCode::SUCCESS;
        }
        "keep" => {
            let spec = ProcessSpec {
                argv: std::iter::once(std::env::current_exe().unwrap().display().to_string())
                    .chain(args[2..].iter().cloned())
                    .collect(),
                cwd: None,
                env: Vec::new(),
                stop_timeout: Duration::from_secs(5),
                log: args[1].clone().into(),
                log_limit: 1 << 20,
            };
            let supervised = Supervised::new(spec, std::sync::Arc::new(|_| {}));
            println!("{}", supervised.start().await.unwrap().pid);
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    std::future::pending().await
}

/// Opens the event and waits for it for a tenth of a second.
#[cfg(windows)]
#[allow(unsafe_code, reason = "an event is a thing of Win32")]
fn is_set(name: &str) -> bool {
    use windows_sys::Win32::Foundation::{CloseHandle, WAIT_OBJECT_0};
    use windows_sys::Win32::System::Threading::{EVENT_ALL_ACCESS, OpenEventW, WaitForSingleObject};
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    // SAFETY: the name is NUL-terminated.
    let event = unsafe { OpenEventW(EVENT_ALL_ACCESS, 0, name.as_ptr()) };
    assert!(!event.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: the handle is open.
    let is_set = unsafe { WaitForSingleObject(event, 100) } == WAIT_OBJECT_0;
    // SAFETY: the handle is open, and not used again.
    unsafe { CloseHandle(event) };
    is_set
}
