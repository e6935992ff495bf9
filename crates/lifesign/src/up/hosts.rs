//! Other hosts: which are known, what runs where, and whose agent an order is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use lifesign_agent::Command;
use lifesign_component::Component;
use lifesign_config::spec::placed;
use lifesign_core::effect::{Action, Verb};
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::model::{HostName, ServiceId};
use lifesign_core::spec::Spec;
use lifesign_proto::link::Order;
use lifesign_server::engine::Work;
use lifesign_server::link::{Desk, NewHost, Part, PartOf};
use lifesign_server::reload::Reloader;
use tokio::sync::{Notify, mpsc};

use super::kinds::Checked;

/// The file with the names of the hosts whose agents have ever come.
const FILE: &str = "hosts.json";
/// Most of them; further agents are turned to nothing until somebody tidies up.
const MOST: usize = 10_000;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Hosts(Arc<Inner>);

struct Inner {
    here: HostName,
    file: PathBuf,
    known: Mutex<BTreeSet<HostName>>,
    /// Where each service runs.
    places: Mutex<BTreeMap<ServiceId, HostName>>,
    desk: OnceLock<Desk>,
    came: Notify,
}

impl Hosts {
    /// The hosts that `data_dir` remembers.
    pub(super) fn open(data_dir: &Path, here: HostName) -> anyhow::Result<Self> {
        let file = data_dir.join(FILE);
        let known = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice::<BTreeSet<String>>(&text).with_context(|| {
                format!("{} is damaged; delete it, and the agents come again", file.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", file.display())),
        };
        let known = known.into_iter().map(HostName::from).filter(|host| *host != here).collect();
        Ok(Self(Arc::new(Inner {
            here,
            file,
            known: Mutex::new(known),
            places: Mutex::default(),
            desk: OnceLock::new(),
            came: Notify::new(),
        })))
    }

    /// All that are known, without this one.
    pub(super) fn known(&self) -> Vec<HostName> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes a host in that nobody knew.
    pub(super) fn take_in(&self) -> NewHost {
        let hosts = self.clone();
        Arc::new(move |host| {
            let mut known = hosts.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST {
                tracing::error!(%host, file = %hosts.0.file.display(), "Too many hosts are known; take out those that are gone");
                return;
            }
            if known.insert(Arc::clone(host)) {
                let names: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
                let text = serde_json::to_vec_pretty(&names).unwrap_or_default();
                if let Err(error) = lifesign_os::file::write_private(&hosts.0.file, &text) {
                    tracing::error!(%error, "A new host cannot be remembered over the next start");
                }
            }
            hosts.0.came.notify_one();
        })
    }

    /// The server stands: from now on a new host makes it read the configuration again, for what runs there.
    pub(super) fn begin(&self, desk: Desk, reloader: Reloader) {
        let _ = self.0.desk.set(desk);
        let hosts = self.clone();
        tokio::spawn(async move {
            loop {
                hosts.0.came.notified().await;
                // The result is logged and audited by the reloader.
                drop(reloader.reload("a new host".into()).await);
            }
        });
    }

    /// Takes over where each service runs.
    pub(super) fn place(&self, spec: &Spec) {
        let places = spec.services.iter().map(|service| (service.id.clone(), Arc::clone(&service.host)));
        *self.0.places.lock().unwrap_or_else(PoisonError::into_inner) = places.collect();
    }

    /// Tells every host what it watches.
    pub(super) fn assign(&self, loaded: &Checked) {
        let Some(desk) = self.0.desk.get() else { return };
        let known = self.known();
        let all = placed(&loaded.config, &self.0.here, &known);
        let mut parts: BTreeMap<HostName, Part> = BTreeMap::new();
        for host in &known {
            let mine: Vec<_> = all.iter().filter(|placed| placed.host == *host).collect();
            let ids: BTreeSet<&str> = mine.iter().map(|placed| placed.service.id().as_str()).collect();
            let services = mine.iter().map(|placed| (placed.service.id().clone(), placed.id.clone()));
            parts.insert(
                Arc::clone(host),
                Part { text: loaded.part(&ids).into(), services: services.collect() },
            );
        }
        let part_of: PartOf = Arc::new(move |host| parts.get(host).cloned().unwrap_or_default());
        desk.assign(&known, &part_of);
    }

    /// Hands the server's orders to the agent they are for: the one in this process, or that of another host.
    pub(super) fn link(
        &self,
        mut work: mpsc::Receiver<Work>,
        commands: mpsc::Sender<Command>,
        inputs: mpsc::Sender<Input>,
    ) -> Component {
        let hosts = self.clone();
        Component::essential("link", move |mut ready, mut stop| async move {
            ready.tell();
            loop {
                let order = tokio::select! {
                    () = stop.given() => return Ok(()),
                    order = work.recv() => order,
                };
                let Some(order) = order else { return Err("the engine gives no orders any more".into()) };
                let command = match hosts.elsewhere(order) {
                    Ok(None) => continue,
                    Ok(Some(command)) => command,
                    Err(report) => {
                        // Nobody takes it only while everything stops.
                        let _ = inputs.send(Input::ActionDone(report)).await;
                        continue;
                    }
                };
                // The agent is gone only while everything stops.
                if commands.send(command).await.is_err() {
                    stop.given().await;
                    return Ok(());
                }
            }
        })
    }

    /// Hands an order for another host over; gives back one that is for this one, or why it cannot be carried out.
    fn elsewhere(&self, work: Work) -> Result<Option<Command>, ActionReport> {
        let service = match &work {
            Work::Act(action) => &action.service,
            Work::LookNow(service) => service,
        };
        let places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        let host = places.get(service).filter(|host| **host != self.0.here).cloned();
        drop(places);
        let (Some(host), Some(desk)) = (host, self.0.desk.get()) else {
            return Ok(Some(match work {
                Work::Act(action) => Command::Act(action),
                Work::LookNow(service) => Command::LookNow(service),
            }));
        };
        match work {
            Work::Act(Action { id, service, verb: Verb::Restart, by }) => {
                let by = by.to_string();
                let ordered = desk.order(&host, &service, &id, |service| Order::Restart { service, by });
                match ordered {
                    Ok(()) => Ok(None),
                    // It is no attempt: nothing was touched.
                    Err(why) => Err(ActionReport { id, service, result: Err(why), refused: true }),
                }
            }
            Work::LookNow(service) => {
                // Looking early is a courtesy: the checks' own schedules look anyway. Each is an order of its own.
                let id = format!("look-{service}-{}", lifesign_os::clock::now().mono.as_nanos());
                let _ = desk.order(&host, &service, &id, |service| Order::Look { service });
                Ok(None)
            }
        }
    }
}
