//! One unit on watch: its reports in order, restarts on order, the clean stop of a supervised process.
//!
//! Two tasks serve a unit. The *keeper* holds it and carries out orders one by one; a restart may take
//! minutes. The *forwarder* passes reports on meanwhile, in the order they came.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Process, UnitReport, UnitState};
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::model::ServiceId;
use lifesign_os::process::{ProcessSpec, Supervised};
use lifesign_os::unit::{ServiceManager, Sink, UnitError, Watch};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::assignment::UnitKind;
use crate::check::Shared;
use crate::facts;
use crate::task::Task;

/// How long a service manager may take over a restart. systemd allows 90 s each for stop and start by
/// default; past this the order is answered as failed although the manager may still get there.
const RESTART_WITHIN: Duration = Duration::from_secs(200);

/// Most reports of one unit that wait to be taken. Past it the newest are left out and counted, and a look
/// at the unit's present state follows, so the last word is never lost.
const MAX_WAITING: usize = 256;

/// Most orders to one unit that wait. The engine gives no second restart while one runs.
const MAX_ORDERS: usize = 16;

/// How long the last reports of a unit may take to be passed on when it is taken off watch.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Order {
    Restart {
        action: Arc<str>,
        /// Nobody has asked for it: the service manager's own restart goes first.
        is_remedy: bool,
    },
    Look,
}

/// A unit on watch.
#[derive(Debug)]
pub(crate) struct UnitTask {
    kind: UnitKind,
    orders: mpsc::Sender<Order>,
    keeper: Task,
    forwarder: Task,
}

impl UnitTask {
    /// Puts a unit on watch, once `before` has ended; starts it when it is a process of ours.
    pub(crate) fn start(
        service: &ServiceId,
        kind: UnitKind,
        before: Option<Task>,
        shared: &Arc<Shared>,
    ) -> Self {
        let (reports, waiting) = mpsc::channel(MAX_WAITING);
        let (orders, incoming) = mpsc::channel(MAX_ORDERS);
        let keeper = Keeper {
            service: service.clone(),
            shared: Arc::clone(shared),
            orders: incoming,
            reports,
            overflow: Arc::new(Notify::new()),
        };
        let unit = match &kind {
            UnitKind::Process(spec) => Unit::Process(spec.clone()),
            UnitKind::Systemd(name) => Unit::managed("systemd", name),
            UnitKind::Scm(name) => Unit::managed("scm", name),
        };
        let forwarder = Task::spawn(forward(waiting, Arc::clone(shared)));
        Self { kind, orders, keeper: Task::spawn(keeper.keep(unit, before)), forwarder }
    }

    pub(crate) fn kind(&self) -> &UnitKind {
        &self.kind
    }

    /// Orders a restart; as a remedy it gives way to the service manager's own. The answer comes as
    /// [`Input::ActionDone`].
    ///
    /// # Errors
    /// When too many orders wait.
    pub(crate) fn restart(&self, action: Arc<str>, is_remedy: bool) -> Result<(), String> {
        self.orders
            .try_send(Order::Restart { action, is_remedy })
            .map_err(|_| format!("{MAX_ORDERS} orders to this unit wait already"))
    }

    /// Looks at the unit as soon as its keeper is free.
    pub(crate) fn look_now(&self) {
        // With so many orders waiting there will be news anyway.
        let _ = self.orders.try_send(Order::Look);
    }

    /// Takes the unit off watch. A supervised process is stopped cleanly; the task ends when it is gone.
    pub(crate) fn retire(self) -> Task {
        let Self { orders, mut keeper, mut forwarder, .. } = self;
        Task::spawn(async move {
            drop(orders);
            keeper.ended().await;
            // Nobody may be taking inputs any more.
            let _ = timeout(LAST_WORDS, forwarder.ended()).await;
        })
    }
}

/// Why a restart was not done.
struct NotDone {
    why: String,
    /// It was not the time for it, or lifesign has not the right; nothing was touched.
    refused: bool,
}

impl NotDone {
    fn failed(why: String) -> Self {
        Self { why, refused: false }
    }
}

impl From<UnitError> for NotDone {
    fn from(error: UnitError) -> Self {
        Self {
            refused: matches!(error, UnitError::Refused { .. } | UnitError::Denied { .. }),
            why: in_words(&error),
        }
    }
}

/// A unit to be kept.
enum Unit {
    Process(ProcessSpec),
    /// One of the machine's service manager, and its name there.
    Managed(String),
    /// A kind this machine does not have: the words for it.
    Foreign(String),
}

impl Unit {
    fn managed(kind: &str, name: &str) -> Self {
        if kind == ServiceManager::KIND {
            Self::Managed(name.to_owned())
        } else {
            Self::Foreign(format!(
                "this machine has {}, and the unit {name:?} belongs to {kind}",
                ServiceManager::KIND
            ))
        }
    }
}

struct Keeper {
    service: ServiceId,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    /// What is to be told, in the order it happened: a restart's answer never overtakes its reports. Boxed, since a
    /// channel has room for thirty-two from the start, and there is one for each unit.
    reports: mpsc::Sender<Box<Input>>,
    overflow: Arc<Notify>,
}

impl Keeper {
    async fn keep(mut self, unit: Unit, before: Option<Task>) {
        if let Some(mut before) = before {
            before.ended().await;
            if self.orders.is_closed() {
                // Taken off watch again while its predecessor was still being stopped.
                return;
            }
        }
        match unit {
            Unit::Process(spec) => self.keep_process(spec).await,
            Unit::Managed(name) => {
                let manager = self.shared.manager.clone();
                let news = Arc::new(Notify::new());
                let _watch: Watch = manager.watch(&name, facts::noticing(self.sink(), &news));
                let service = self.service.clone();
                let inputs = self.shared.inputs.clone();
                let _facts = Task::spawn(facts::tell(manager.clone(), name.clone(), service, news, inputs));
                let (manager, name) = (&manager, name.as_str());
                let restart = |is_remedy| async move {
                    let restarted = if is_remedy {
                        manager.repair(name, RESTART_WITHIN).await
                    } else {
                        manager.restart(name, RESTART_WITHIN).await
                    };
                    restarted.map_err(NotDone::from)
                };
                self.serve(restart, || manager.look(name)).await;
            }
            Unit::Foreign(why) => {
                let report = could_not_look(&why);
                self.report(report.clone()).await;
                self.serve(|_| async { Err(NotDone::failed(why.clone())) }, || async { report.clone() })
                    .await;
            }
        }
    }

    async fn keep_process(&mut self, spec: ProcessSpec) {
        if let Some(folder) = spec.log.parent()
            && let Err(error) = std::fs::create_dir_all(folder)
        {
            // `start` fails on it too and says so to everybody; here is the reason.
            tracing::error!(service = %self.service, folder = %folder.display(), %error, "Cannot make the folder for output");
        }
        let process = Supervised::new(spec, self.sink());
        if let Err(error) = process.start().await {
            // The report has gone to the sink already.
            tracing::warn!(service = %self.service, error = in_words(&error), "Process could not be started");
        }
        // No other manager is at it: these processes are ours. But what keeps units from being restarted keeps them, too.
        let shared = Arc::clone(&self.shared);
        let (process, manager) = (&process, &shared.manager);
        let restart = |is_remedy| async move {
            if let Some(why) = manager.obstacle(is_remedy).await {
                return Err(NotDone { why: format!("the process is not touched now: {why}"), refused: true });
            }
            process.restart().await.map(Some).map_err(|error| NotDone::failed(in_words(&error)))
        };
        self.serve(restart, || process.look()).await;
        if let Err(error) = process.stop().await {
            tracing::error!(service = %self.service, error = in_words(&error), "Process could not be stopped");
        }
    }

    /// Carries out orders until nobody can give any.
    async fn serve<R, L>(&mut self, restart: impl Fn(bool) -> R, look: impl Fn() -> L)
    where
        R: Future<Output = Result<Option<Process>, NotDone>>,
        L: Future<Output = UnitReport>,
    {
        loop {
            let overflow = Arc::clone(&self.overflow);
            let order = tokio::select! {
                order = self.orders.recv() => order,
                () = overflow.notified() => Some(Order::Look),
            };
            match order {
                Some(Order::Look) => self.report(look().await).await,
                Some(Order::Restart { action: id, is_remedy }) => {
                    let result = restart(is_remedy).await;
                    if let Err(error) = &result {
                        tracing::warn!(service = %self.service, error = error.why, "Restart not done");
                    }
                    let refused = result.as_ref().is_err_and(|error| error.refused);
                    let result = result.map_err(|error| error.why);
                    let done = ActionReport { id, service: self.service.clone(), result, refused };
                    // Nobody listens any more only when lifesign ends.
                    let _ = self.reports.send(Box::new(Input::ActionDone(done))).await;
                }
                None => return,
            }
        }
    }

    async fn report(&self, report: UnitReport) {
        let _ = self.reports.send(Box::new(Input::Unit { service: self.service.clone(), report })).await;
    }

    /// Where the observer puts its reports. It cannot wait, so it leaves out what does not fit.
    fn sink(&self) -> Sink {
        let (reports, overflow, shared) =
            (self.reports.downgrade(), Arc::clone(&self.overflow), Arc::clone(&self.shared));
        let service = self.service.clone();
        Arc::new(move |report| {
            // The keeper is gone: the unit is off watch.
            let Some(reports) = reports.upgrade() else { return };
            if let Err(mpsc::error::TrySendError::Full(_)) =
                reports.try_send(Box::new(Input::Unit { service: service.clone(), report }))
            {
                shared.figures.report_left_out();
                overflow.notify_one();
            }
        })
    }
}

async fn forward(mut reports: mpsc::Receiver<Box<Input>>, shared: Arc<Shared>) {
    while let Some(input) = reports.recv().await {
        if let Input::Unit { service, report } = &*input {
            shared.residents.note(service, report);
        }
        if shared.inputs.send(*input).await.is_err() {
            return;
        }
    }
}

fn could_not_look(why: &str) -> UnitReport {
    UnitReport::new(UnitState::CouldNotLook(why.to_owned()), "")
}

/// An error with its causes: `failed to start "x": No such file or directory`.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
