//! One check on watch: a task that runs the probe at each turn and on request, and reports.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_os::unit::ServiceManager;
use lifesign_probe::Probe;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::assignment::Check;
use crate::figures::Figures;
use crate::local::Residents;
use crate::schedule::Schedule;
use crate::task::Task;

/// Most probes that run at once. Each needs a socket, so this keeps a quarter of the usual hard limit of
/// file descriptors (Linux: 4096 or more) to the rest of lifesign. Each check runs one probe at a time, so
/// the limit is felt only where more targets than this hang together; probes then begin late, which
/// [`Figures::worst_lateness`] shows.
pub const MAX_RUNNING: usize = 3072;

/// What all that an agent does shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) places: Semaphore,
    pub(crate) figures: Arc<Figures>,
    pub(crate) residents: Arc<Residents>,
    /// The machine's service manager. Made when somebody first needs it: a machine without one is not asked for it.
    pub(crate) manager: LazyLock<ServiceManager>,
}

/// The part of a [`Check`] that may change while it is on watch.
#[derive(Debug, Clone)]
struct Plan {
    schedule: Schedule,
    timeout: Duration,
    probe: Probe,
}

/// A check on watch. Dropping it ends it, a running probe included.
#[derive(Debug)]
pub(crate) struct CheckTask {
    name: Arc<str>,
    interval: Duration,
    jitter: Duration,
    plan: watch::Sender<Plan>,
    nudge: Arc<Notify>,
    _task: Task,
}

impl CheckTask {
    /// Puts `check`, at place `index` of `service`, on watch; `total` checks are.
    pub(crate) fn start(
        service: &ServiceId,
        index: usize,
        check: Check,
        total: usize,
        shared: &Arc<Shared>,
    ) -> Self {
        let Check { name, interval, timeout, jitter, probe } = check;
        let schedule = Schedule::new(Instant::now(), (service, index), interval, jitter, total);
        let (plan, plans) = watch::channel(Plan { schedule, timeout, probe });
        let nudge = Arc::new(Notify::new());
        let turns = Turns {
            service: service.clone(),
            // The configuration allows far fewer checks than this.
            index: u16::try_from(index).unwrap_or(u16::MAX),
            plans,
            nudge: Arc::clone(&nudge),
            shared: Arc::clone(shared),
        };
        Self { name, interval, jitter, plan, nudge, _task: Task::spawn(turns.take()) }
    }

    /// Goes on with what `check` says now, if that is the same check with the same turns. A probe that is
    /// running ends and reports; the next one is the new one.
    pub(crate) fn renew(&self, check: &Check) -> bool {
        let same = self.name == check.name && self.interval == check.interval && self.jitter == check.jitter;
        if same {
            self.plan.send_modify(|plan| {
                plan.timeout = check.timeout;
                plan.probe = check.probe.clone();
            });
        }
        same
    }

    /// Runs it at once; when it is running, once more after that.
    pub(crate) fn look_now(&self) {
        self.nudge.notify_one();
    }
}

/// The task of one check.
struct Turns {
    service: ServiceId,
    index: u16,
    plans: watch::Receiver<Plan>,
    nudge: Arc<Notify>,
    shared: Arc<Shared>,
}

impl Turns {
    async fn take(mut self) {
        let figures = Arc::clone(&self.shared.figures);
        let mut turn = 0;
        loop {
            let due = self.plans.borrow().schedule.due(turn);
            let on_schedule = tokio::select! {
                () = sleep_until(due) => true,
                () = self.nudge.notified() => false,
            };
            let Ok(place) = self.shared.places.acquire().await else { return };
            let Plan { schedule, timeout, probe } = self.plans.borrow_and_update().clone();
            if on_schedule {
                figures.began_late(due.elapsed());
            }
            let report = probe.run(timeout).await;
            drop(place);
            figures.probe_done();
            let input = Input::Check { service: self.service.clone(), check: self.index, report };
            if self.shared.inputs.send(input).await.is_err() {
                return;
            }
            // Turns that went by meanwhile are not made up for: a burst would tell nothing new.
            let next = schedule.next(Instant::now());
            figures.turns_skipped(next.saturating_sub(turn + u64::from(on_schedule)));
            turn = next;
        }
    }
}
