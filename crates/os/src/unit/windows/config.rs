//! What the service control manager is told to do with a service: start type, dependencies, failure actions.
//!
//! What a system does not offer (error 124, Wine) reads as not there.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_LEVEL, ERROR_MORE_DATA,
};
use windows_sys::Win32::System::Services::{
    ENUM_SERVICE_STATUS_PROCESSW, ENUM_SERVICE_STATUSW, EnumDependentServicesW, EnumServicesStatusExW,
    QUERY_SERVICE_CONFIGW, QueryServiceConfig2W, QueryServiceConfigW, SC_ACTION, SC_ACTION_REBOOT,
    SC_ACTION_RESTART, SC_ACTION_RUN_COMMAND, SC_ENUM_PROCESS_INFO, SERVICE_ACTIVE, SERVICE_AUTO_START,
    SERVICE_BOOT_START, SERVICE_CONFIG, SERVICE_CONFIG_DELAYED_AUTO_START_INFO,
    SERVICE_CONFIG_FAILURE_ACTIONS, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, SERVICE_CONFIG_TRIGGER_INFO,
    SERVICE_DELAYED_AUTO_START_INFO, SERVICE_DISABLED, SERVICE_FAILURE_ACTIONS_FLAG,
    SERVICE_FAILURE_ACTIONSW, SERVICE_STATE_ALL, SERVICE_SYSTEM_START, SERVICE_TRIGGER_INFO, SERVICE_WIN32,
};

use super::scm::{Scm, ScmError, Service};
use crate::unit::info::StartType;
use crate::unit::policy::{Answer, Covers, Policy};

/// `INFINITE` as a reset period: never.
const NEVER: u32 = u32::MAX;
/// Most bytes one answer may have: the documented limits are 8 KiB and 256 KiB.
const MOST_BYTES: u32 = 1024 * 1024;

/// A buffer that is aligned for every structure the service control manager writes.
struct Answered(Vec<u64>);

impl Answered {
    /// Calls `ask` with no buffer, and again with one of the size it wants, until it is content. `ask` takes the
    /// buffer, its size in bytes, and where the needed size goes.
    fn by(mut ask: impl FnMut(*mut c_void, u32, &mut u32) -> i32) -> Result<Self, ScmError> {
        let mut buffer = Self(Vec::new());
        let mut bytes = 0;
        loop {
            let mut needed = 0;
            if ask(buffer.0.as_mut_ptr().cast(), bytes, &mut needed) != 0 {
                return Ok(buffer);
            }
            match ScmError::last() {
                ScmError(ERROR_INSUFFICIENT_BUFFER | ERROR_MORE_DATA) => {}
                error => return Err(error),
            }
            // A list may have grown between two calls; one that says no size is asked with twice as much.
            bytes = bytes.saturating_add(needed).max(bytes.saturating_mul(2)).max(512);
            if bytes > MOST_BYTES {
                return Err(ScmError(ERROR_INSUFFICIENT_BUFFER));
            }
            buffer.0.resize((bytes as usize).div_ceil(size_of::<u64>()), 0);
        }
    }

    /// The structure at the beginning; `None` when the answer was empty.
    fn first<T>(&self) -> Option<&T> {
        if size_of_val(self.0.as_slice()) < size_of::<T>() {
            return None;
        }
        // SAFETY: the buffer is aligned for all these structures and large enough, and the call that filled it
        // writes one of this type at its beginning; all bit patterns of the rest are zero.
        Some(unsafe { &*self.0.as_ptr().cast::<T>() })
    }

    /// The first `count` structures.
    fn all<T>(&self, count: u32) -> &[T] {
        let fits = size_of_val(self.0.as_slice()) / size_of::<T>();
        // SAFETY: as above; no more are taken than the buffer can hold.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<T>(), fits.min(count as usize)) }
    }
}

/// The general configuration of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) title: String,
    pub(super) start: StartType,
    /// In the manager's words.
    pub(super) start_os: String,
    /// The command line of its program.
    pub(super) program: String,
    /// As whom it runs: `LocalSystem`, `NT SERVICE\name`, …
    pub(super) account: String,
    /// Services and groups (with a `+`) that it needs.
    pub(super) needs: Vec<String>,
    /// It is started by a trigger, and may stop by itself.
    pub(super) has_triggers: bool,
}

impl Service {
    /// The configuration. Needs [`Access::Config`](super::scm::Access::Config).
    ///
    /// # Errors
    /// Access denied; the service or its manager is gone.
    pub(super) fn config(&self) -> Result<Config, ScmError> {
        let answered = Answered::by(|buffer, bytes, needed| {
            // SAFETY: the handle is open; the buffer has the size that is passed along.
            unsafe { QueryServiceConfigW(self.raw(), buffer.cast(), bytes, needed) }
        })?;
        let written = answered.first::<QUERY_SERVICE_CONFIGW>().ok_or(ScmError(ERROR_INSUFFICIENT_BUFFER))?;
        let is_delayed = self
            .config2(SERVICE_CONFIG_DELAYED_AUTO_START_INFO)?
            .and_then(|answered| {
                Some(answered.first::<SERVICE_DELAYED_AUTO_START_INFO>()?.fDelayedAutostart != 0)
            })
            .unwrap_or(false);
        let has_triggers = self
            .config2(SERVICE_CONFIG_TRIGGER_INFO)?
            .and_then(|answered| Some(answered.first::<SERVICE_TRIGGER_INFO>()?.cTriggers > 0))
            .unwrap_or(false);
        let (start, start_os) = match written.dwStartType {
            SERVICE_BOOT_START => (StartType::Automatic, "SERVICE_BOOT_START"),
            SERVICE_SYSTEM_START => (StartType::Automatic, "SERVICE_SYSTEM_START"),
            SERVICE_AUTO_START if is_delayed => (StartType::Delayed, "SERVICE_AUTO_START (delayed)"),
            SERVICE_AUTO_START => (StartType::Automatic, "SERVICE_AUTO_START"),
            SERVICE_DISABLED => (StartType::Disabled, "SERVICE_DISABLED"),
            _ => (StartType::Manual, "SERVICE_DEMAND_START"),
        };
        Ok(Config {
            // SAFETY: the strings lie in the buffer, which lives; each ends with a zero.
            title: unsafe { text(written.lpDisplayName) },
            start,
            start_os: if has_triggers { format!("{start_os} (trigger)") } else { start_os.to_owned() },
            // SAFETY: as the name above.
            program: unsafe { text(written.lpBinaryPathName) },
            // SAFETY: as the name above.
            account: unsafe { text(written.lpServiceStartName) },
            // SAFETY: the list lies in the buffer, which lives; it ends with an empty string.
            needs: unsafe { texts(written.lpDependencies) },
            has_triggers,
        })
    }

    /// Failure actions, reset period and failure-actions flag; `None` where the system offers none.
    ///
    /// # Errors
    /// Access denied; the service or its manager is gone.
    pub(super) fn policy(&self) -> Result<Option<Policy>, ScmError> {
        let Some(answered) = self.config2(SERVICE_CONFIG_FAILURE_ACTIONS)? else { return Ok(None) };
        let Some(written) = answered.first::<SERVICE_FAILURE_ACTIONSW>() else { return Ok(None) };
        let actions: &[SC_ACTION] = if written.lpsaActions.is_null() {
            &[]
        } else {
            // SAFETY: the actions lie in the buffer, which lives, in the number that stands beside them.
            unsafe { std::slice::from_raw_parts(written.lpsaActions, written.cActions as usize) }
        };
        let flag = self
            .config2(SERVICE_CONFIG_FAILURE_ACTIONS_FLAG)?
            .and_then(|answered| {
                Some(answered.first::<SERVICE_FAILURE_ACTIONS_FLAG>()?.fFailureActionsOnNonCrashFailures != 0)
            })
            .unwrap_or(false);
        Ok(Some(policy(actions, written.dwResetPeriod, flag)))
    }

    /// The services that need this one, those that are started last first; only `running` ones if that is wanted.
    ///
    /// # Errors
    /// Access denied; the service or its manager is gone.
    pub(super) fn dependents(&self, running: bool) -> Result<Vec<String>, ScmError> {
        let state = if running { SERVICE_ACTIVE } else { SERVICE_STATE_ALL };
        let mut count = 0;
        let answered = Answered::by(|buffer, bytes, needed| {
            // SAFETY: the handle is open; the buffer has the size that is passed along.
            unsafe { EnumDependentServicesW(self.raw(), state, buffer.cast(), bytes, needed, &raw mut count) }
        })?;
        let all = answered.all::<ENUM_SERVICE_STATUSW>(count);
        // SAFETY: the names lie in the buffer, which lives; each ends with a zero.
        Ok(all.iter().map(|service| unsafe { text(service.lpServiceName) }).collect())
    }

    /// One of the later kinds of configuration; `None` where the system does not offer it.
    fn config2(&self, level: SERVICE_CONFIG) -> Result<Option<Answered>, ScmError> {
        let asked = Answered::by(|buffer, bytes, needed| {
            // SAFETY: the handle is open; the buffer has the size that is passed along.
            unsafe { QueryServiceConfig2W(self.raw(), level, buffer.cast(), bytes, needed) }
        });
        match asked {
            Ok(answered) => Ok(Some(answered)),
            Err(ScmError(ERROR_INVALID_LEVEL)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Scm {
    /// The names of all services that are programs. Needs a connection [to list](Scm::connect_to_list).
    ///
    /// # Errors
    /// Access denied; the manager is gone.
    pub(super) fn names(&self) -> Result<Vec<String>, ScmError> {
        let mut count = 0;
        let answered = Answered::by(|buffer, bytes, needed| {
            let mut resume = 0;
            // SAFETY: the handle is open; the buffer has the size that is passed along; no group is named.
            unsafe {
                EnumServicesStatusExW(
                    self.raw(),
                    SC_ENUM_PROCESS_INFO,
                    SERVICE_WIN32,
                    SERVICE_STATE_ALL,
                    if bytes == 0 { null_mut() } else { buffer.cast() },
                    bytes,
                    needed,
                    &raw mut count,
                    &raw mut resume,
                    null(),
                )
            }
        })?;
        let all = answered.all::<ENUM_SERVICE_STATUS_PROCESSW>(count);
        // SAFETY: the names lie in the buffer, which lives; each ends with a zero.
        Ok(all.iter().map(|service| unsafe { text(service.lpServiceName) }).collect())
    }
}

/// Whether an error only means that this service is not ours to look at.
pub(super) fn is_denied(error: ScmError) -> bool {
    error == ScmError(ERROR_ACCESS_DENIED)
}

/// The policy that failure actions make.
fn policy(actions: &[SC_ACTION], reset: u32, flag: bool) -> Policy {
    let answers: Vec<Answer> = actions
        .iter()
        .map(|action| {
            let pause = Duration::from_millis(action.Delay.into());
            match action.Type {
                SC_ACTION_RESTART => Answer::Restart(pause),
                SC_ACTION_REBOOT => Answer::Reboot(pause),
                SC_ACTION_RUN_COMMAND => Answer::Command(pause),
                _ => Answer::Nothing,
            }
        })
        .collect();
    let does_something = answers.iter().any(|answer| *answer != Answer::Nothing);
    let covers = if does_something {
        // An end with success is never a failure to the service control manager, and it has no watchdog. A service
        // that stops with success is expected to stay so, which is no hole.
        Covers { crash: true, error: flag, success: true, watchdog: false }
    } else {
        Covers::NOTHING
    };
    let mut words = String::new();
    for answer in &answers {
        words += &match answer {
            Answer::Nothing => "none, ".to_owned(),
            Answer::Restart(pause) => format!("restart after {pause:?}, "),
            Answer::Command(pause) => format!("command after {pause:?}, "),
            Answer::Reboot(pause) => format!("reboot after {pause:?}, "),
        };
    }
    let reset_words = if reset == NEVER { "never".to_owned() } else { format!("{reset} s") };
    let words = if does_something {
        format!("failure actions: {words}reset {reset_words}, on errors {}", if flag { "too" } else { "not" })
    } else {
        "no failure actions".to_owned()
    };
    let reset = (reset != NEVER).then(|| Duration::from_secs(reset.into()));
    Policy { covers, answers, reset, limit: None, words }
}

/// A string that ends with a zero; null is an empty one.
///
/// # Safety
/// `start` is null or such a string.
unsafe fn text(start: *const u16) -> String {
    if start.is_null() {
        return String::new();
    }
    let mut length = 0;
    let mut next = start;
    // SAFETY: up to its zero the string may be read.
    while unsafe { *next } != 0 {
        length += 1;
        // SAFETY: behind a unit that is not the zero comes another one.
        next = unsafe { next.add(1) };
    }
    // SAFETY: so many units were read just now.
    String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(start, length) })
}

/// A list of strings with an empty one at its end.
///
/// # Safety
/// `list` is null or such a list.
unsafe fn texts(list: *const u16) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` stands at the beginning of a string of the list.
        let one = unsafe { text(next) };
        if one.is_empty() {
            break;
        }
        // SAFETY: behind the zero of a string that is not the last comes the next one. (A unit that is no UTF-16 has
        // become one character of one unit.)
        next = unsafe { next.add(one.encode_utf16().count() + 1) };
        all.push(one);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::policy::{Hole, holes};
    use windows_sys::Win32::System::Services::SC_ACTION_NONE;

    #[test]
    fn failure_actions_read_as_a_policy() {
        let restart = |delay| SC_ACTION { Type: SC_ACTION_RESTART, Delay: delay };
        let none = SC_ACTION { Type: SC_ACTION_NONE, Delay: 0 };
        let usual = policy(&[restart(60_000), restart(60_000), none], 86_400, false);
        assert_eq!(holes(&usual), [Hole::Error]);
        assert_eq!(usual.answer(1), Answer::Restart(Duration::from_secs(60)));
        assert_eq!(
            usual.words,
            "failure actions: restart after 60s, restart after 60s, none, reset 86400 s, on errors not"
        );
        assert_eq!(holes(&policy(&[], 0, true)), [Hole::Unprotected]);
        let never = policy(&[restart(0), none], NEVER, true);
        assert_eq!(holes(&never), [Hole::NoReset]);
        let for_ever = policy(&[restart(5000)], 86_400, true);
        assert_eq!(holes(&for_ever), [Hole::Endless(Duration::from_secs(5))]);
    }

    #[test]
    fn a_list_of_strings_ends_at_the_empty_one() {
        let list: Vec<u16> = "RpcSs\0+Group\0\0".encode_utf16().collect();
        // SAFETY: it is such a list.
        let two = unsafe { texts(list.as_ptr()) };
        // SAFETY: null is none.
        let nothing = unsafe { texts(null()) };
        assert_eq!(two, ["RpcSs", "+Group"]);
        assert!(nothing.is_empty());
    }
}
