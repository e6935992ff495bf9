//! The engine loop: one task owns the [`Engine`]; everybody else asks it through an [`EngineHandle`].

mod follow;
mod queue;
mod run;

use std::fmt;
use std::sync::Arc;

use lifesign_core::effect::{Action, AuditEntry, Effect};
use lifesign_core::engine::{Answer, Engine};
use lifesign_core::evidence::Beat;
use lifesign_core::input::{Input, Order};
use lifesign_core::model::ServiceId;
use lifesign_core::spec::Spec;
use lifesign_core::time::Now;
use tokio::sync::oneshot;

use queue::Inlet;

pub(crate) use follow::Follow;
pub(crate) use queue::requests;
pub(crate) use run::Loop;

/// What the agent is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Carry out this action and report [`Input::ActionDone`].
    Act(Action),
    /// Look at this service's unit and probes now.
    LookNow(ServiceId),
}

/// Reads both clocks together.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Now + Send + Sync>);

impl Clock {
    /// A clock that is read by calling `read`.
    pub fn new(read: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    pub fn now(&self) -> Now {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

type Read = Box<dyn FnOnce(&Engine, Now) + Send>;

/// What the loop is asked for.
pub(crate) enum Request {
    /// Heartbeats of one sender; answered at once, without waiting for the disk.
    Beats(Vec<Beat>, oneshot::Sender<Vec<Answer>>),
    /// An input whose giver waits until what follows from it is on the disk.
    Durable(Input, oneshot::Sender<Answer>),
    /// An input that nobody waits for.
    Tell(Input),
    /// A new configuration; answered when it is written down.
    Configure(Arc<Spec>, oneshot::Sender<Answer>),
    /// Effects that did not come from the engine: audit entries of the shell.
    Record(Effect),
    /// A look at the engine.
    Read(Read),
}

/// Why the engine was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// More is waiting for the engine than its queue holds.
    #[error("the engine has more to do than it can take; try again in a second")]
    Busy,
    /// The engine has stopped; the process is ending.
    #[error("the engine has stopped; lifesign is shutting down")]
    Gone,
}

/// The way to the engine; cheap to clone. What is handed in counts from the moment it is queued.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    requests: Inlet<Request>,
}

impl EngineHandle {
    /// How many requests wait for the engine.
    pub fn waiting(&self) -> usize {
        self.requests.waiting()
    }

    /// Exchanges the configuration; services that stay keep their state.
    ///
    /// # Errors
    /// [`Unreached::Gone`] when the loop has ended.
    pub async fn configure(&self, spec: Arc<Spec>) -> Result<(), Unreached> {
        let (answer, answered) = oneshot::channel();
        self.requests.put(Request::Configure(spec, answer)).await?;
        answered.await.map(|_| ()).map_err(|_| Unreached::Gone)
    }

    /// Looks at the engine between two steps. `look` should copy what it needs and be quick about it:
    /// no heartbeat is taken meanwhile.
    ///
    /// # Errors
    /// [`Unreached::Gone`] when the loop has ended.
    pub async fn read<T, F>(&self, look: F) -> Result<T, Unreached>
    where
        T: Send + 'static,
        F: FnOnce(&Engine, Now) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let read: Read = Box::new(move |engine, now| {
            // Whoever asked may have given up.
            let _ = answer.send(look(engine, now));
        });
        self.requests.put(Request::Read(read)).await?;
        answered.await.map_err(|_| Unreached::Gone)
    }

    /// Hands in heartbeats; the answers come in the same order, without waiting for the disk.
    ///
    /// # Errors
    /// [`Unreached::Busy`] when the queue is full, [`Unreached::Gone`] when the loop has ended.
    pub async fn beats(&self, beats: Vec<Beat>) -> Result<Vec<Answer>, Unreached> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_put(Request::Beats(beats, answer))?;
        answered.await.map_err(|_| Unreached::Gone)
    }

    /// Gives the order of a person; the answer comes when its consequences are written down.
    ///
    /// # Errors
    /// [`Unreached::Gone`] when the loop has ended.
    pub async fn order(&self, by: Arc<str>, order: Order) -> Result<Answer, Unreached> {
        self.durable(Input::Order { by, order }).await
    }

    /// Hands in `input`; the answer comes when its consequences are written down.
    ///
    /// # Errors
    /// [`Unreached::Gone`] when the loop has ended.
    pub async fn durable(&self, input: Input) -> Result<Answer, Unreached> {
        let (answer, answered) = oneshot::channel();
        self.requests.put(Request::Durable(input, answer)).await?;
        answered.await.map_err(|_| Unreached::Gone)
    }

    /// Hands in `input` and waits for nothing but room in the queue.
    ///
    /// # Errors
    /// [`Unreached::Gone`] when the loop has ended.
    pub async fn tell(&self, input: Input) -> Result<(), Unreached> {
        self.requests.put(Request::Tell(input)).await
    }

    /// Writes a line into the audit log.
    ///
    /// # Errors
    /// [`Unreached::Gone`] when the loop has ended.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), Unreached> {
        self.requests.put(Request::Record(Effect::Audit(entry))).await
    }
}
