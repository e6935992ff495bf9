//! The agent's loop: start, commands, stop.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lifesign_component::{Component, Error, Ready, Stop};
use lifesign_core::input::Input;
use lifesign_core::model::HostName;
use lifesign_os::unit::ServiceManager;
use tokio::sync::{Semaphore, mpsc};

use crate::assignment::{Assignments, Command};
use crate::check::{MAX_RUNNING, Shared};
use crate::figures::Figures;
use crate::host;
use crate::local::{Local, LocalSetup, Residents, Tally};
use crate::roster::Roster;
use crate::task::Task;

/// How often the host is sampled unless something else is wanted.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Limit of the whole stop. Each process has its own `stop_timeout`, at most an hour by configuration, so
/// this only ends what the system itself holds up.
const STOP_WITHIN: Duration = Duration::from_secs(3600 + 60);

/// What an agent needs to know and to hold.
#[derive(Debug)]
pub struct Setup {
    /// The host's name in samples.
    pub host: HostName,
    /// The data directory: its file system gives the disk figures.
    pub data_dir: PathBuf,
    /// Between two samples of the host; [`Setup::new`] takes 5 s.
    pub sample_every: Duration,
    /// What to watch from the start.
    pub assignments: Assignments,
    /// How programs on this host are heard; `None`: not at all.
    pub local: Option<LocalSetup>,
    /// Takes what is observed. When it is full, observers wait; nothing is dropped.
    pub inputs: mpsc::Sender<Input>,
    /// Gives orders. When it closes, the agent goes on with what it has.
    pub commands: mpsc::Receiver<Command>,
}

impl Setup {
    /// A setup that watches nothing yet.
    pub fn new(
        host: HostName,
        data_dir: impl Into<PathBuf>,
        inputs: mpsc::Sender<Input>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let data_dir = data_dir.into();
        Self {
            host,
            data_dir,
            sample_every: SAMPLE_EVERY,
            assignments: Assignments::default(),
            local: None,
            inputs,
            commands,
        }
    }
}

/// The role on one host.
pub struct Agent {
    setup: Setup,
    figures: Arc<Figures>,
    tally: Arc<Tally>,
}

impl Agent {
    /// An agent that has not begun.
    pub fn new(setup: Setup) -> Self {
        Self { setup, figures: Arc::default(), tally: Arc::default() }
    }

    /// Its counters, readable while it runs.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// What became of the heartbeats of programs on this host.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// The agent as an internal part. Essential: without it lifesign is blind.
    pub fn component(self) -> Component {
        Component::essential("agent", move |ready, stop| self.run(ready, stop)).stop_within(STOP_WITHIN)
    }

    /// Watches until told to stop, then stops its supervised processes cleanly and ends.
    ///
    /// Ready when everything assigned is on watch; processes may still be starting.
    ///
    /// # Errors
    /// When nobody takes its observations any more. Supervised processes then run on, for the next lifesign
    /// to adopt; so they do when the returned future is dropped.
    pub async fn run(self, mut ready: Ready, mut stop: Stop) -> Result<(), Error> {
        let Setup { host, data_dir, sample_every, assignments, local, inputs, mut commands } = self.setup;
        let extra = local.is_some().then(|| Arc::clone(&self.tally));
        let sampling = Task::spawn(host::sample(host, data_dir, sample_every, extra, inputs.clone()));
        let places = Semaphore::new(MAX_RUNNING);
        let residents = Arc::new(Residents::default());
        let mut local = match local {
            Some(setup) => {
                let open =
                    Local::open(setup, Arc::clone(&residents), Arc::clone(&self.tally), inputs.clone());
                Some(open.await)
            }
            None => None,
        };
        let shared = Shared {
            inputs: inputs.clone(),
            places,
            figures: self.figures,
            residents,
            manager: LazyLock::new(ServiceManager::new),
        };
        let mut roster = Roster::new(Arc::new(shared));
        // The ways first: a process that starts finds its notify socket.
        if let Some(local) = &mut local {
            local.assign(&assignments);
        }
        roster.assign(assignments);
        ready.tell();
        loop {
            tokio::select! {
                biased;
                () = stop.given() => break,
                () = inputs.closed() => return Err("nobody takes the agent's observations any more".into()),
                Some(command) = commands.recv() => match command {
                    Command::Assign(assignments) => {
                        if let Some(local) = &mut local {
                            local.assign(&assignments);
                        }
                        roster.assign(assignments);
                    }
                    Command::Act(action) => roster.act(action),
                    Command::LookNow(service) => roster.look_now(&service),
                    Command::Echo(turns) => turns.notify_one(),
                },
            }
        }
        drop(sampling);
        roster.relieve().await;
        // Last, so that a process that stops can say so.
        drop(local);
        Ok(())
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt(f)
    }
}
