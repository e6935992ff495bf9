//! Heartbeats of programs on this host: receivers open, letters read, senders held against their units.
//!
//! Every way ends in one place: a letter is read by `lifesign_proto::local`, its sender compared with the
//! process of the service's unit, and what stands the test leaves as an [`Input::Beat`]. A way that cannot be
//! opened is logged and left out; the others, and the agent, go on without it.
//!
//! | file | holds |
//! |---|---|
//! | `reader` | from letters to heartbeats |
//! | `residents` | which process each unit has, and who belongs to it |
//! | `memory` | pages of shared memory, looked at in turns |
//! | `notes` | files, looked at in turns |
//! | `tally` | what became of everything, as figures |

mod memory;
mod notes;
mod reader;
mod residents;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_os::local::{self, Counters, Letter, Listening, Place, Post, Secrets, Way};
use tokio::sync::{mpsc, watch};

use crate::assignment::{Assignments, UnitKind};
use crate::task::Task;

pub(crate) use residents::Residents;
pub use tally::{Sums, Tally};

/// Letters that wait to be read, of all ways together. Past it, ways whose senders can wait make them wait, and
/// the others leave letters out and count them. Room for what several senders may write at once.
const MAX_WAITING: usize = 4096;

/// Which local ways are open, and how.
#[derive(Debug, Clone)]
pub struct LocalSetup {
    /// Where they are found, and who may write.
    pub place: Place,
    /// Unix sockets (Linux): datagram, stream, and a notify socket for each supervised process.
    pub sockets: bool,
    /// The named pipe (Windows).
    pub pipe: bool,
    /// Shared memory, and how often it is looked at.
    pub memory: Option<Duration>,
    /// The registry key whose values are heartbeats (Windows).
    pub registry: Option<String>,
    /// Whether `notes/ID` in the place's folder is a heartbeat each time it is written.
    pub notes: bool,
    /// Further files, of which only the touch counts.
    pub touched: BTreeMap<ServiceId, PathBuf>,
    /// How often files are looked at.
    pub files_every: Duration,
    /// Where UDP is heard.
    pub udp: Option<SocketAddr>,
    /// Whether heartbeats count that come from outside of the service's unit.
    pub strangers: bool,
    /// Letters a second of one sender.
    pub rate: u32,
    /// Limits of one heartbeat.
    pub limits: lifesign_proto::Limits,
    /// The secret of each service for UDP.
    pub secret: SecretOf,
}

/// Makes a service's secret from its id.
#[derive(Clone)]
pub struct SecretOf(pub Arc<dyn Fn(&ServiceId) -> String + Send + Sync>);

impl fmt::Debug for SecretOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretOf")
    }
}

/// The open ways of one agent. Dropping it closes them.
pub(crate) struct Local {
    setup: LocalSetup,
    tally: Arc<Tally>,
    letters: mpsc::Sender<Letter>,
    /// The ways that are the same for all services.
    _common: Vec<Listening>,
    notify: BTreeMap<ServiceId, Listening>,
    notify_counters: Arc<Counters>,
    secrets: Secrets,
    services: watch::Sender<Arc<BTreeSet<ServiceId>>>,
    _tasks: Vec<Task>,
}

impl Local {
    /// Opens what is wanted.
    pub(crate) async fn open(
        setup: LocalSetup,
        residents: Arc<Residents>,
        tally: Arc<Tally>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (letters, waiting) = mpsc::channel(MAX_WAITING);
        let (services, on_watch) = watch::channel(Arc::default());
        let reader = reader::Reader {
            limits: setup.limits,
            takes_strangers: setup.strangers,
            residents,
            tally: Arc::clone(&tally),
            inputs,
        };
        let mut local = Self {
            tally,
            notify: BTreeMap::new(),
            notify_counters: Arc::default(),
            secrets: Secrets::default(),
            services,
            _common: Vec::new(),
            _tasks: Vec::new(),
            letters,
            setup,
        };
        if let Err(error) = local.setup.place.prepare() {
            tracing::warn!(dir = %local.setup.place.dir.display(), %error, "The folder of local heartbeats cannot be used");
        }
        local.open_common().await;
        let mut tasks = Vec::new();
        if let Some(every) = local.setup.memory {
            let place = local.setup.place.clone();
            tasks.push(Task::spawn(memory::look(place, every, on_watch.clone(), reader.clone())));
        }
        if local.setup.notes || !local.setup.touched.is_empty() {
            let folder = local.setup.notes.then(|| local.setup.place.dir.join("notes"));
            let files = notes::Files { folder, touched: local.setup.touched.clone() };
            files.prepare();
            tasks.push(Task::spawn(notes::look(files, local.setup.files_every, on_watch, reader.clone())));
        }
        tasks.push(Task::spawn(reader.read(waiting)));
        local._tasks = tasks;
        local
    }

    async fn open_common(&mut self) {
        let place = self.setup.place.clone();
        if self.setup.sockets {
            self.keep(Way::Datagram, |post| local::datagram(&place, post));
            self.keep(Way::Stream, |post| local::stream(&place, post));
            let post = self.post();
            self.notify_counters = post.counters();
            self.tally.receives(Way::Notify, post.counters());
        }
        if self.setup.pipe {
            self.keep(Way::Pipe, |post| local::pipe(&place, post));
        }
        if let Some(key) = self.setup.registry.clone() {
            self.keep(Way::Registry, |post| local::registry(&key, &place.access, post));
        }
        if let Some(address) = self.setup.udp {
            let post = self.post();
            let counters = post.counters();
            let opened = local::udp(address, self.secrets.clone(), post).await;
            self.kept(Way::Udp, counters, opened.map(|(_, listening)| listening));
        }
    }

    fn post(&self) -> Post {
        Post::new(self.letters.clone(), self.setup.rate)
    }

    fn keep(&mut self, way: Way, open: impl FnOnce(Post) -> io::Result<Listening>) {
        let post = self.post();
        let counters = post.counters();
        self.kept(way, counters, open(post));
    }

    fn kept(&mut self, way: Way, counters: Arc<Counters>, opened: io::Result<Listening>) {
        match opened {
            Ok(listening) => {
                self.tally.receives(way, counters);
                self._common.push(listening);
            }
            // A way that this system does not have.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => {
                tracing::warn!(%way, %error, "A local way of heartbeats cannot be opened");
            }
        }
    }

    /// Hears exactly these services from now on. To be called before their processes start.
    pub(crate) fn assign(&mut self, assignments: &Assignments) {
        let all: BTreeSet<ServiceId> =
            assignments.services.iter().map(|service| service.id.clone()).collect();
        self.secrets.replace(all.iter().map(|id| ((self.setup.secret.0)(id), id.clone())));
        let supervised: BTreeSet<&ServiceId> = assignments
            .services
            .iter()
            .filter(|service| matches!(service.unit, Some(UnitKind::Process(_))))
            .map(|service| &service.id)
            .collect();
        self.notify.retain(|id, _| supervised.contains(id));
        if self.setup.sockets {
            for id in supervised {
                if !self.notify.contains_key(id) {
                    self.open_notify(id);
                }
            }
        }
        self.services.send_replace(Arc::new(all));
    }

    fn open_notify(&mut self, id: &ServiceId) {
        let post = self.post().counting(Arc::clone(&self.notify_counters));
        match local::notify(&self.setup.place, id, post) {
            Ok((_, listening)) => {
                self.notify.insert(id.clone(), listening);
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => {
                tracing::warn!(service = %id, %error, "There is no notify socket for a process");
            }
        }
    }
}
