//! A Windows service with good and bad manners, for the tests of the service control manager.
//!
//! Its first argument is its manner at start and stop, and the user-defined controls below make it end in other
//! ways while it runs. A second argument is its name, and makes it one whose process may serve others, too.
#![allow(clippy::unwrap_used, reason = "a test program; a panic is a failed test")]

fn main() {
    #[cfg(windows)]
    service::main();
    #[cfg(not(windows))]
    panic!("the test service runs on Windows only");
}

#[cfg(windows)]
mod service {
    use std::ffi::OsString;
    use std::sync::mpsc;
    use std::time::Duration;

    use windows_service::service::{
        ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
    };
    use windows_service::service_control_handler::{
        ServiceControlHandlerResult, ServiceStatusHandle, register,
    };
    use windows_service::{define_windows_service, service_dispatcher};

    /// Ends the process with code 3, without a word.
    const CRASH: u32 = 130;
    /// Ends the process with code 0, without a word.
    const LEAVE: u32 = 131;
    /// Reports `STOPPED` with service-specific code 42.
    const FAIL: u32 = 132;
    /// Reports `STOPPED` with 0, unasked.
    const FINISH: u32 = 133;

    define_windows_service!(ffi_service_main, service_main);

    pub(super) fn main() {
        // The manager looks at the name only where a process may serve several.
        let name = shared().unwrap_or_else(|| "test_service".to_owned());
        service_dispatcher::start(name, ffi_service_main).unwrap();
    }

    /// Its name, where its process is one that may serve others.
    fn shared() -> Option<String> {
        std::env::args().nth(2)
    }

    fn kind() -> ServiceType {
        if shared().is_some() { ServiceType::SHARE_PROCESS } else { ServiceType::OWN_PROCESS }
    }

    fn service_main(arguments: Vec<OsString>) {
        let name = arguments[0].clone();
        let manner = std::env::args().nth(1).unwrap_or_default();
        let (send, controls) = mpsc::channel();
        let hangs = manner == "deaf";
        let status = register(name, move |control| match control {
            ServiceControl::Stop if hangs => loop {
                std::thread::park();
            },
            ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
            control => {
                let _ = send.send(control);
                ServiceControlHandlerResult::NoError
            }
        })
        .unwrap();
        let say = Say(status);

        match manner.as_str() {
            "slow-start" => {
                for checkpoint in 1..=4 {
                    say.pending(ServiceState::StartPending, checkpoint);
                    std::thread::sleep(Duration::from_millis(150));
                }
            }
            "fails-to-start" => {
                say.pending(ServiceState::StartPending, 1);
                return say.stopped(ServiceExitCode::Win32(13));
            }
            "dies-at-start" => {
                say.pending(ServiceState::StartPending, 1);
                std::process::exit(9);
            }
            _ => {}
        }
        say.running(ServiceState::Running);
        loop {
            match controls.recv().unwrap() {
                ServiceControl::Stop if manner == "direct" => return say.stopped(ServiceExitCode::NO_ERROR),
                ServiceControl::Stop if manner == "deaf-after-promise" => {
                    say.pending(ServiceState::StopPending, 0);
                }
                ServiceControl::Stop => {
                    let steps = if manner == "slow-stop" { 6 } else { 1 };
                    for checkpoint in 1..=steps {
                        say.pending(ServiceState::StopPending, checkpoint);
                        std::thread::sleep(Duration::from_millis(if steps > 1 { 200 } else { 20 }));
                    }
                    return say.stopped(ServiceExitCode::NO_ERROR);
                }
                ServiceControl::Pause => say.running(ServiceState::Paused),
                ServiceControl::Continue => say.running(ServiceState::Running),
                ServiceControl::UserEvent(code) => match code.to_raw() {
                    CRASH => std::process::exit(3),
                    LEAVE => std::process::exit(0),
                    FAIL => return say.stopped(ServiceExitCode::ServiceSpecific(42)),
                    FINISH => return say.stopped(ServiceExitCode::NO_ERROR),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    struct Say(ServiceStatusHandle);

    impl Say {
        fn pending(&self, state: ServiceState, checkpoint: u32) {
            self.say(state, ServiceControlAccept::empty(), ServiceExitCode::NO_ERROR, checkpoint);
        }

        fn running(&self, state: ServiceState) {
            let accepted = ServiceControlAccept::STOP | ServiceControlAccept::PAUSE_CONTINUE;
            self.say(state, accepted, ServiceExitCode::NO_ERROR, 0);
        }

        fn stopped(&self, exit_code: ServiceExitCode) {
            self.say(ServiceState::Stopped, ServiceControlAccept::empty(), exit_code, 0);
        }

        fn say(
            &self,
            current_state: ServiceState,
            controls_accepted: ServiceControlAccept,
            exit_code: ServiceExitCode,
            checkpoint: u32,
        ) {
            let wait_hint = if checkpoint > 0 { Duration::from_secs(1) } else { Duration::ZERO };
            let status = ServiceStatus {
                service_type: kind(),
                current_state,
                controls_accepted,
                exit_code,
                checkpoint,
                wait_hint,
                process_id: None,
            };
            self.0.set_service_status(status).unwrap();
        }
    }
}
