//! Which services are on watch, and the difference a new assignment makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::{Action, Verb};
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::model::ServiceId;

use crate::assignment::{Assignment, Assignments, Check, UnitKind};
use crate::check::{CheckTask, Shared};
use crate::pulse::PulseTask;
use crate::task::Task;
use crate::unit::UnitTask;

/// Who orders what nobody has asked for, see [`Action::by`]: remediation, or a rule by its name.
const REMEDIATION: &str = "remediation";
const RULE: &str = "rule ";

/// The services on watch.
pub(crate) struct Roster {
    shared: Arc<Shared>,
    services: BTreeMap<ServiceId, Watched>,
    /// Units off watch that are still being stopped. A unit that comes back waits for the old one.
    stopping: BTreeMap<ServiceId, Task>,
}

#[derive(Default)]
struct Watched {
    unit: Option<UnitTask>,
    pulse: Option<PulseTask>,
    checks: Vec<CheckTask>,
}

impl Roster {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, services: BTreeMap::new(), stopping: BTreeMap::new() }
    }

    /// Watches exactly this from now on, and leaves alone what stays as it is.
    pub(crate) fn assign(&mut self, assignments: Assignments) {
        self.stopping.retain(|_, task| !task.has_ended());
        let total = assignments.services.iter().map(|service| service.checks.len()).sum();
        let mut before = std::mem::take(&mut self.services);
        for Assignment { id, unit, watchdog, checks } in assignments.services {
            let old = before.remove(&id).unwrap_or_default();
            let pulse = self.renew_pulse(&id, old.pulse, unit.as_ref(), watchdog);
            let unit = self.renew_unit(&id, old.unit, unit);
            let checks = renew_checks(&id, old.checks, checks, total, &self.shared);
            self.services.insert(id, Watched { unit, pulse, checks });
        }
        for (id, gone) in before {
            self.renew_unit(&id, gone.unit, None);
        }
    }

    /// Carries out an action, or tells why not.
    pub(crate) fn act(&self, action: Action) {
        let Action { id, service, verb, by } = action;
        let is_remedy = &*by == REMEDIATION || by.starts_with(RULE);
        let unit = self.services.get(&service).map(|watched| watched.unit.as_ref());
        let ordered = match (unit, verb) {
            (None, _) => Err(format!("{service} is not on watch here")),
            (Some(None), _) => Err(format!("{service} has no unit here")),
            (Some(Some(unit)), Verb::Restart) => unit.restart(Arc::clone(&id), is_remedy),
        };
        if let Err(why) = ordered {
            let inputs = self.shared.inputs.clone();
            // Not waited for here: whoever empties the channel may be waiting for this loop.
            tokio::spawn(async move {
                let done = ActionReport { id, service, result: Err(why), refused: false };
                let _ = inputs.send(Input::ActionDone(done)).await;
            });
        }
    }

    /// Looks at a service's unit and runs its checks now.
    pub(crate) fn look_now(&self, service: &ServiceId) {
        let Some(watched) = self.services.get(service) else { return };
        if let Some(unit) = &watched.unit {
            unit.look_now();
        }
        watched.checks.iter().for_each(CheckTask::look_now);
    }

    /// Takes everything off watch. Supervised processes are stopped side by side, each within its own
    /// `stop_timeout`; this ends with the last of them.
    pub(crate) async fn relieve(mut self) {
        self.assign(Assignments::default());
        for task in self.stopping.values_mut() {
            task.ended().await;
        }
    }

    fn renew_pulse(
        &self,
        id: &ServiceId,
        old: Option<PulseTask>,
        unit: Option<&UnitKind>,
        interval: Option<Duration>,
    ) -> Option<PulseTask> {
        let (Some(UnitKind::Systemd(name)), Some(interval)) = (unit, interval) else { return None };
        match old {
            Some(old) if old.is_of(name, interval) => Some(old),
            _ => Some(PulseTask::start(id, &self.shared.manager, name, interval, &self.shared)),
        }
    }

    fn renew_unit(
        &mut self,
        id: &ServiceId,
        old: Option<UnitTask>,
        new: Option<UnitKind>,
    ) -> Option<UnitTask> {
        match (old, new) {
            (Some(old), Some(new)) if *old.kind() == new => Some(old),
            (old, new) => {
                if let Some(old) = old {
                    self.stopping.insert(id.clone(), old.retire());
                }
                let new = new?;
                let before = self.stopping.remove(id);
                Some(UnitTask::start(id, new, before, &self.shared))
            }
        }
    }
}

fn renew_checks(
    id: &ServiceId,
    old: Vec<CheckTask>,
    new: Vec<Check>,
    total: usize,
    shared: &Arc<Shared>,
) -> Vec<CheckTask> {
    let mut old = old.into_iter();
    let renew = |(index, check): (usize, Check)| {
        let same = old.next().filter(|task| task.renew(&check));
        same.unwrap_or_else(|| CheckTask::start(id, index, check, total, shared))
    };
    new.into_iter().enumerate().map(renew).collect()
}
