//! The service control manager: a dispatcher that owns the main thread, a handler that only writes down what is
//! wanted, and one status that is reported whole each time.
//!
//! Signals are not heard here: a service gets console events when some user logs off, and must not end then.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use windows_service::service::{
    PowerEventParam, ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus,
    ServiceType,
};
use windows_service::service_control_handler::{ServiceControlHandlerResult, ServiceStatusHandle, register};
use windows_service::{define_windows_service, service_dispatcher};
use windows_sys::Win32::Foundation::ERROR_FAILED_SERVICE_CONTROLLER_CONNECT;

use super::{Body, Host, Phase, Said, Shared, WAIT_HINT, run_over};

/// The status handle, or nobody to tell.
pub(super) struct Port {
    handle: Option<ServiceStatusHandle>,
    /// Stands for the manager.
    #[cfg(test)]
    told: Option<std::sync::mpsc::Sender<ServiceStatus>>,
}

impl Port {
    /// A program started by a person has nobody to tell.
    pub(super) const fn from_environment() -> Self {
        Self::to(None)
    }

    const fn to(handle: Option<ServiceStatusHandle>) -> Self {
        Self {
            handle,
            #[cfg(test)]
            told: None,
        }
    }

    #[cfg(test)]
    pub(super) const fn silent() -> Self {
        Self::from_environment()
    }

    pub(super) const fn is_heard(&self) -> bool {
        #[cfg(test)]
        if self.told.is_some() {
            return true;
        }
        self.handle.is_some()
    }

    pub(super) fn tell(&self, said: &Said) {
        #[cfg(test)]
        if let Some(told) = &self.told {
            // Whoever listened may have seen enough.
            let _ = told.send(status(said));
        }
        let Some(handle) = &self.handle else { return };
        if let Err(error) = handle.set_service_status(status(said)) {
            tracing::warn!(%error, "Could not tell the service control manager how far lifesign is");
        }
    }

    /// The service control manager has no watchdog; its recovery actions see only an end.
    pub(super) const fn watchdog(&self) -> Option<Duration> {
        None
    }

    pub(super) const fn alive(&self) {}
}

fn status(said: &Said) -> ServiceStatus {
    let stops =
        ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN | ServiceControlAccept::PRESHUTDOWN;
    let working = stops
        | ServiceControlAccept::PAUSE_CONTINUE
        | ServiceControlAccept::POWER_EVENT
        | ServiceControlAccept::PARAM_CHANGE;
    let none = ServiceControlAccept::empty();
    let (current_state, controls_accepted) = match said.phase {
        Phase::Starting => (ServiceState::StartPending, none),
        Phase::Running | Phase::Reloading => (ServiceState::Running, working),
        Phase::Pausing => (ServiceState::PausePending, stops),
        Phase::Paused => (ServiceState::Paused, working),
        Phase::Continuing => (ServiceState::ContinuePending, stops),
        Phase::Stopping => (ServiceState::StopPending, none),
        Phase::Stopped(_) => (ServiceState::Stopped, none),
    };
    let is_pending = said.phase.is_pending();
    ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted,
        exit_code: match said.phase {
            // What the failure-actions flag looks at.
            Phase::Stopped(code) if code != 0 => ServiceExitCode::ServiceSpecific(code.into()),
            _ => ServiceExitCode::NO_ERROR,
        },
        checkpoint: if is_pending { said.checkpoint } else { 0 },
        wait_hint: if is_pending { WAIT_HINT } else { Duration::ZERO },
        process_id: None,
    }
}

/// What runs, from the main thread to the one that the dispatcher makes; and the way back.
enum Handover {
    Empty,
    Body(String, Body),
    Ended(io::Result<u8>),
}

static HANDOVER: Mutex<Handover> = Mutex::new(Handover::Empty);

fn exchange(next: Handover) -> Handover {
    std::mem::replace(&mut *HANDOVER.lock().unwrap_or_else(PoisonError::into_inner), next)
}

define_windows_service!(ffi_service_main, service_main);

pub(super) fn run(name: &str, body: Body) -> io::Result<u8> {
    exchange(Handover::Body(name.to_owned(), body));
    match service_dispatcher::start(name, ffi_service_main) {
        Ok(()) => match exchange(Handover::Empty) {
            Handover::Ended(ended) => ended,
            Handover::Empty | Handover::Body(..) => {
                Err(io::Error::other("the service control manager ended the process before it began"))
            }
        },
        Err(windows_service::Error::Winapi(error))
            if error.raw_os_error().map(i32::cast_unsigned)
                == Some(ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) =>
        {
            // Started from a terminal.
            match exchange(Handover::Empty) {
                Handover::Body(_, body) => Ok(body(Host::from_environment())),
                Handover::Empty | Handover::Ended(_) => Err(error),
            }
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

fn service_main(_arguments: Vec<OsString>) {
    if let Handover::Body(name, body) = exchange(Handover::Empty) {
        exchange(Handover::Ended(serve(&name, body)));
    }
}

fn serve(name: &str, body: Body) -> io::Result<u8> {
    // The handler must exist before there is a status to write into; what comes meanwhile is not accepted yet.
    let shared = Arc::new(Mutex::new(Weak::<Shared>::new()));
    let handler = Arc::clone(&shared);
    let handle = register(name, move |control| {
        let shared = handler.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        shared.map_or(ServiceControlHandlerResult::NoError, |shared| note(&shared, &control))
    })
    .map_err(io::Error::other)?;
    let give = |made: &Arc<Shared>| {
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(made);
    };
    Ok(run_over(Port::to(Some(handle)), false, give, body))
}

/// Writes down what the manager wants and answers with the pending state. Neither blocks nor fails.
fn note(shared: &Shared, control: &ServiceControl) -> ServiceControlHandlerResult {
    match control {
        ServiceControl::Interrogate => {}
        ServiceControl::Stop | ServiceControl::Shutdown | ServiceControl::Preshutdown => {
            shared.say(Phase::Stopping, Some("Stopping"));
            shared.wanted.send_modify(|wanted| wanted.stop = true);
        }
        ServiceControl::Pause => {
            shared.say(Phase::Pausing, None);
            shared.wanted.send_modify(|wanted| wanted.paused = true);
        }
        ServiceControl::Continue => {
            shared.say(Phase::Continuing, None);
            shared.wanted.send_modify(|wanted| wanted.paused = false);
        }
        ServiceControl::PowerEvent(PowerEventParam::Suspend) => {
            shared.wanted.send_modify(|wanted| wanted.sleeps = wanted.sleeps.wrapping_add(1));
        }
        // Comes at every waking; `ResumeSuspend` only where a user is there.
        ServiceControl::PowerEvent(PowerEventParam::ResumeAutomatic) => {
            shared.wanted.send_modify(|wanted| wanted.wakes = wanted.wakes.wrapping_add(1));
        }
        ServiceControl::PowerEvent(_) => {}
        ServiceControl::ParamChange => {
            shared.wanted.send_modify(|wanted| wanted.reloads = wanted.reloads.wrapping_add(1));
        }
        _ => return ServiceControlHandlerResult::NotImplemented,
    }
    ServiceControlHandlerResult::NoError
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn said(phase: Phase) -> ServiceStatus {
        status(&Said { phase, checkpoint: 7, since: Instant::now(), text: String::new() })
    }

    #[test]
    fn pending_states_have_a_checkpoint_and_a_hint_and_the_others_have_none() {
        for phase in [Phase::Starting, Phase::Pausing, Phase::Continuing, Phase::Stopping] {
            assert_eq!((said(phase).checkpoint, said(phase).wait_hint), (7, WAIT_HINT), "{phase:?}");
        }
        for phase in [Phase::Running, Phase::Paused, Phase::Stopped(0)] {
            assert_eq!((said(phase).checkpoint, said(phase).wait_hint), (0, Duration::ZERO), "{phase:?}");
        }
    }

    #[test]
    fn an_end_with_an_error_is_one_that_the_recovery_actions_see() {
        assert_eq!(said(Phase::Stopped(0)).exit_code, ServiceExitCode::NO_ERROR);
        assert_eq!(said(Phase::Stopped(2)).exit_code, ServiceExitCode::ServiceSpecific(2));
    }

    #[test]
    fn a_start_is_told_at_once_and_preshutdown_and_stop_are_answered_with_checkpoints_until_the_end() {
        let seen = |status: ServiceStatus| (status.current_state, status.checkpoint);
        for control in [ServiceControl::Preshutdown, ServiceControl::Shutdown, ServiceControl::Stop] {
            let (told, heard) = std::sync::mpsc::channel();
            let next = || seen(heard.recv_timeout(Duration::from_secs(60)).unwrap());
            let shared = Shared::new(Port { handle: None, told: Some(told) });
            assert_eq!(seen(heard.try_recv().unwrap()), (ServiceState::StartPending, 1));
            // A start that takes its time.
            assert_eq!(next(), (ServiceState::StartPending, 2));
            shared.say(Phase::Running, None);
            while next().0 != ServiceState::Running {}
            note(&shared, &control);
            for checkpoint in 1..=2 {
                assert_eq!(next(), (ServiceState::StopPending, checkpoint), "{control:?}");
            }
            shared.say(Phase::Stopped(0), None);
            while next() != (ServiceState::Stopped, 0) {}
        }
    }

    #[test]
    fn each_control_is_written_down_and_answered_with_its_pending_state() {
        let shared = Shared::new(Port::silent());
        shared.say(Phase::Running, None);
        let wanted = shared.wanted.subscribe();
        for (control, phase) in [
            (ServiceControl::Interrogate, Phase::Running),
            (ServiceControl::Pause, Phase::Pausing),
            (ServiceControl::Continue, Phase::Continuing),
            (ServiceControl::PowerEvent(PowerEventParam::Suspend), Phase::Continuing),
            (ServiceControl::PowerEvent(PowerEventParam::ResumeAutomatic), Phase::Continuing),
            (ServiceControl::Preshutdown, Phase::Stopping),
        ] {
            note(&shared, &control);
            assert_eq!(shared.lock().phase, phase, "{control:?}");
        }
        let wanted = *wanted.borrow();
        assert!(wanted.stop && !wanted.paused && wanted.sleeps == 1 && wanted.wakes == 1, "{wanted:?}");
    }
}
