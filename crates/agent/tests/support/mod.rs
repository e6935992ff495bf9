//! An agent under test, and what it is given to watch.

use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::{Agent, Assignment, Assignments, Check, Command, Figures, Setup, UnitKind};
use lifesign_component::{Board, Component, Supervisor};
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes on a loaded machine; no passing test waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running agent with a data directory of its own.
pub(crate) struct Running {
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) figures: Arc<Figures>,
    supervisor: Supervisor,
    _dir: TempDir,
}

impl Running {
    pub(crate) async fn start(assignments: Assignments) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, inputs) = mpsc::channel(1024);
        let (commands, receiver) = mpsc::channel(16);
        let mut setup = Setup::new("here".into(), dir.path(), sender, receiver);
        setup.assignments = assignments;
        setup.sample_every = Duration::from_millis(100);
        let agent = Agent::new(setup);
        let figures = agent.figures();
        let mut supervisor = Supervisor::new(Board::default());
        let component: Component = agent.component();
        supervisor.start(component, PATIENCE).await.unwrap();
        Self { inputs, commands, figures, supervisor, _dir: dir }
    }

    /// The next input that `pick` takes; others are passed over.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(Input) -> Option<T>) -> T {
        let found = async {
            loop {
                let input = self.inputs.recv().await.expect("the agent has ended");
                if let Some(found) = pick(input) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the awaited input never came")
    }

    pub(crate) async fn command(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    /// Stops the agent and gives what it said last.
    pub(crate) async fn stop(self) -> Vec<Input> {
        let Self { mut inputs, supervisor, .. } = self;
        let stopping = tokio::spawn(supervisor.stop());
        let mut last = Vec::new();
        while let Some(input) = timeout(PATIENCE, inputs.recv()).await.expect("the agent does not stop") {
            last.push(input);
        }
        stopping.await.unwrap();
        last
    }
}

pub(crate) fn id(name: &str) -> ServiceId {
    ServiceId::new(name).unwrap()
}

pub(crate) fn service(name: &str, unit: Option<UnitKind>, checks: Vec<Check>) -> Assignment {
    Assignment { id: id(name), unit, watchdog: None, checks }
}

pub(crate) fn assignments(services: impl IntoIterator<Item = Assignment>) -> Assignments {
    Assignments { services: services.into_iter().collect() }
}
