//! Which process each unit has, and who belongs to it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{Process, UnitReport, UnitState};
use lifesign_core::model::ServiceId;
use lifesign_os::local::belongs;

/// How long an answer of the system about a sender holds. A number may be given to another process meanwhile; no
/// system gives one away again this soon unless it has run out of them.
const HOLDS: Duration = Duration::from_secs(2);

/// The main process of each unit, as last reported.
#[derive(Debug, Default)]
pub(crate) struct Residents(Mutex<HashMap<ServiceId, Resident>>);

#[derive(Debug)]
struct Resident {
    main: Process,
    /// The last sender that was looked at, and what it was found to be.
    last: Option<(u32, bool, Instant)>,
}

impl Residents {
    /// Remembers what a unit's report says about its process.
    pub(crate) fn note(&self, service: &ServiceId, report: &UnitReport) {
        match &report.state {
            UnitState::Running(Some(main)) => {
                let mut residents = self.lock();
                if residents.get(service).is_none_or(|known| known.main != *main) {
                    residents.insert(service.clone(), Resident { main: *main, last: None });
                }
            }
            // While it starts or is gone, its next process is not known.
            UnitState::Running(None)
            | UnitState::Starting
            | UnitState::Stopped { .. }
            | UnitState::NotFound => {
                self.lock().remove(service);
            }
            UnitState::Stopping | UnitState::Paused | UnitState::CouldNotLook(_) => {}
        }
    }

    /// The main process of the unit of `service`, if `pid` is known not to belong to it. A service without a
    /// unit has no strangers, and a sender that is gone already cannot be looked at.
    pub(crate) fn stranger(&self, service: &ServiceId, pid: u32) -> Option<u32> {
        let mut residents = self.lock();
        let resident = residents.get_mut(service)?;
        let now = Instant::now();
        let is_own = match resident.last {
            Some((last, is_own, at)) if last == pid && now.saturating_duration_since(at) < HOLDS => is_own,
            _ => {
                let is_own = belongs(pid, resident.main)?;
                resident.last = Some((pid, is_own, now));
                is_own
            }
        };
        (!is_own).then_some(resident.main.pid)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceId, Resident>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
