//! The connection to systemd: connects, subscribes, hands each signal to the watcher it is for, and does it
//! all again when the bus or systemd goes away.
//!
//! Signals are taken only from the connection that owns systemd's name: anybody on the bus may send something
//! that looks like one.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};
use zbus::connection::Builder;
use zbus::message::{Sequence, Type};
use zbus::names::OwnedUniqueName;
use zbus::{Connection, DynamicType, Message, MessageStream, OwnedObjectPath, OwnedVariant};

use super::properties::Properties;
use crate::unit::Scope;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DBUS: &str = "org.freedesktop.DBus";
const DBUS_PATH: &str = "/org/freedesktop/DBus";

/// What the bus is asked to pass on.
const RULES: [&str; 4] = [
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
     member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='Reloading'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',\
     arg0='org.freedesktop.systemd1'",
];

/// First and longest wait between two attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long connecting and subscribing may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one call to systemd may take. It does one thing at a time, and a daemon-reload takes seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages zbus may hold before it stops reading the socket: a burst of a thousand units.
const QUEUED_MESSAGES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Changes that may wait for one watcher. When they are more, it reads everything anew instead.
const QUEUED_CHANGES: usize = 64;
/// Finished jobs that may wait for one order. When they are more, the order judges by the unit's state.
const QUEUED_JOBS: usize = 1024;

/// How the connection stands.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// No attempt has ended yet.
    Connecting,
    /// No connection, and why.
    Down(Arc<str>),
    /// Connected and subscribed.
    Up(Session),
}

/// A job that is over.
#[derive(Debug, Clone)]
pub(crate) struct JobRemoved {
    pub(crate) job: String,
    /// `done`, `canceled`, `timeout`, `failed`, `dependency`, `skipped`, …
    pub(crate) result: String,
}

/// A reading of all properties of a unit, and where its answers stand in the order of messages: a signal from
/// before them is older news.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) properties: Properties,
    unit_at: Sequence,
    service_at: Option<Sequence>,
}

impl Reading {
    /// Takes over a `PropertiesChanged`. True when the picture is consistent again: systemd sends the part of
    /// the service first and the part of the unit right after it.
    pub(crate) fn take(&mut self, signal: &Message) -> bool {
        let body = signal.body();
        let Ok((interface, values, _)) =
            body.deserialize::<(String, HashMap<String, OwnedVariant>, Vec<String>)>()
        else {
            return false;
        };
        let at = signal.recv_position();
        let (known_at, is_unit) = match interface.as_str() {
            UNIT => (Some(self.unit_at), true),
            SERVICE => (self.service_at, false),
            _ => return false,
        };
        if known_at.is_some_and(|known_at| at < known_at) {
            return false;
        }
        self.properties.take(&values);
        is_unit
    }
}

/// One connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    connection: Connection,
    routes: Arc<Mutex<HashMap<String, broadcast::Sender<Message>>>>,
    jobs: broadcast::Sender<JobRemoved>,
    reloads: watch::Sender<u64>,
}

impl Session {
    /// The object of the unit `name`, which systemd loads if it exists.
    pub(crate) async fn load(&self, name: &str) -> zbus::Result<String> {
        self.manager("LoadUnit", &(name,)).await?.body().deserialize::<OwnedObjectPath>().map(path_text)
    }

    /// Changes of the unit at `path` from now on. A receiver that lags has lost some.
    pub(crate) fn changes(&self, path: &str) -> broadcast::Receiver<Message> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|_, route| route.receiver_count() > 0);
        routes.entry(path.to_owned()).or_insert_with(|| broadcast::channel(QUEUED_CHANGES).0).subscribe()
    }

    /// Counts how often systemd has read its unit files anew.
    pub(crate) fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.subscribe()
    }

    /// Jobs that end from now on.
    pub(crate) fn jobs(&self) -> broadcast::Receiver<JobRemoved> {
        self.jobs.subscribe()
    }

    /// Everything about the unit at `path`.
    pub(crate) async fn read(&self, path: &str) -> zbus::Result<Reading> {
        let mut properties = Properties::default();
        let unit = self.all(path, UNIT).await?;
        properties.take(&unit.body().deserialize()?);
        // Only services have a main process; the object's name ends in the escaped unit name.
        let service_at = if path.ends_with("_2eservice") {
            let service = self.all(path, SERVICE).await?;
            properties.take(&service.body().deserialize()?);
            Some(service.recv_position())
        } else {
            None
        };
        Ok(Reading { properties, unit_at: unit.recv_position(), service_at })
    }

    /// When the unit at `path` last changed its state: one small answer tells whether anything was missed.
    pub(crate) async fn state_change(&self, path: &str) -> zbus::Result<u64> {
        u64::try_from(self.one(path, "StateChangeTimestampMonotonic").await?)
    }

    /// Whether the unit at `path` is `active`, which it is no longer once somebody has ordered a stop.
    pub(crate) async fn is_active(&self, path: &str) -> zbus::Result<bool> {
        let state = String::try_from(self.one(path, "ActiveState").await?)?;
        Ok(matches!(state.as_str(), "active" | "reloading" | "refreshing"))
    }

    /// When the service at `path` last said `WATCHDOG=1`, in systemd's monotonic microseconds; 0: never.
    pub(crate) async fn watchdog(&self, path: &str) -> zbus::Result<u64> {
        u64::try_from(self.property(path, SERVICE, "WatchdogTimestampMonotonic").await?)
    }

    /// All properties of the unit at `path`, of each interface it has.
    pub(crate) async fn values(&self, path: &str) -> zbus::Result<HashMap<String, OwnedVariant>> {
        let mut values: HashMap<String, OwnedVariant> = self.all(path, UNIT).await?.body().deserialize()?;
        if path.ends_with("_2eservice") {
            let service: HashMap<String, OwnedVariant> =
                self.all(path, SERVICE).await?.body().deserialize()?;
            values.extend(service);
        }
        Ok(values)
    }

    /// Every unit file: its path and whether it is `enabled`, `disabled`, `masked`, ….
    pub(crate) async fn unit_files(&self) -> zbus::Result<Vec<(String, String)>> {
        self.manager("ListUnitFiles", &()).await?.body().deserialize()
    }

    /// Names of the units in memory, with whether they are `loaded`.
    pub(crate) async fn units(&self) -> zbus::Result<Vec<(String, String)>> {
        type Row =
            (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);
        let rows: Vec<Row> = self.manager("ListUnits", &()).await?.body().deserialize()?;
        Ok(rows.into_iter().map(|row| (row.0, row.2)).collect())
    }

    /// Whether the file of the unit `name` is `enabled`, `disabled`, ….
    pub(crate) async fn unit_file_state(&self, name: &str) -> zbus::Result<String> {
        self.manager("GetUnitFileState", &(name,)).await?.body().deserialize()
    }

    /// `running`, `degraded`, `stopping`, …: systemd's state as a whole.
    pub(crate) async fn system_state(&self) -> zbus::Result<String> {
        String::try_from(self.property(MANAGER_PATH, MANAGER, "SystemState").await?)
    }

    async fn one(&self, path: &str, property: &str) -> zbus::Result<OwnedVariant> {
        self.property(path, UNIT, property).await
    }

    async fn property(&self, path: &str, interface: &str, property: &str) -> zbus::Result<OwnedVariant> {
        let body = (interface, property);
        self.connection
            .call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &body)
            .await?
            .body()
            .deserialize()
    }

    /// Queues a job (`StartUnit`, `StopUnit`, `RestartUnit`) and gives its object.
    pub(crate) async fn queue(&self, method: &str, name: &str) -> zbus::Result<String> {
        self.manager(method, &(name, "replace")).await?.body().deserialize::<OwnedObjectPath>().map(path_text)
    }

    async fn all(&self, path: &str, interface: &str) -> zbus::Result<Message> {
        self.connection.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "GetAll", &(interface,)).await
    }

    async fn manager<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        self.connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), method, body).await
    }
}

fn path_text(path: OwnedObjectPath) -> String {
    path.as_str().to_owned()
}

/// Starts the task that keeps the connection. It ends when the last receiver of the link is gone.
pub(crate) fn keep(scope: Scope) -> watch::Receiver<Link> {
    let (link, seen) = watch::channel(Link::Connecting);
    tokio::spawn(async move {
        let mut wait = RECONNECT.0;
        while !link.is_closed() {
            let why = match timeout(CONNECT_TIMEOUT, Attachment::new(&scope)).await {
                Ok(Ok(attachment)) => {
                    wait = RECONNECT.0;
                    tracing::debug!("Connected to systemd");
                    link.send_replace(Link::Up(attachment.session.clone()));
                    tokio::select! {
                        why = attachment.dispatch() => why,
                        () = link.closed() => return,
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {CONNECT_TIMEOUT:?}"),
            };
            tracing::debug!(why, "Not connected to systemd");
            link.send_replace(Link::Down(why.into()));
            tokio::select! {
                () = sleep(wait) => wait = RECONNECT.1.min(wait * 2),
                () = link.closed() => return,
            }
        }
    });
    seen
}

/// A session with the stream of its messages.
struct Attachment {
    session: Session,
    messages: MessageStream,
    /// The connection of systemd, the only one that is believed.
    systemd: OwnedUniqueName,
}

impl Attachment {
    async fn new(scope: &Scope) -> zbus::Result<Self> {
        let builder = match scope {
            Scope::System => Builder::system(),
            Scope::User => Builder::session(),
            Scope::Address(address) => Builder::address(address.as_str()),
        };
        let connection = builder.method_timeout(CALL_TIMEOUT).build().await?;
        let mut messages = MessageStream::from(&connection);
        messages.set_max_queued(QUEUED_MESSAGES);
        // First the rules, then the owner, then Subscribe: so no change can fall between two of them.
        for rule in RULES {
            connection.call_method(Some(DBUS), DBUS_PATH, Some(DBUS), "AddMatch", &(rule,)).await?;
        }
        let owner =
            connection.call_method(Some(DBUS), DBUS_PATH, Some(DBUS), "GetNameOwner", &(SYSTEMD,)).await?;
        let systemd = owner.body().deserialize()?;
        let session = Session {
            connection,
            routes: Arc::default(),
            jobs: broadcast::channel(QUEUED_JOBS).0,
            reloads: watch::channel(0).0,
        };
        session.manager("Subscribe", &()).await?;
        Ok(Self { session, messages, systemd })
    }

    /// Hands out messages until the connection is of no more use, and says why.
    async fn dispatch(mut self) -> String {
        while let Some(message) = self.messages.next().await {
            match message {
                Ok(message) if message.message_type() == Type::Signal => {
                    if let Some(why) = self.hand_out(&message) {
                        return why;
                    }
                }
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
        "the bus has closed the connection".to_owned()
    }

    fn hand_out(&self, message: &Message) -> Option<String> {
        let header = message.header();
        let (sender, member) = (header.sender()?.as_str(), header.member()?.as_str());
        if sender == DBUS && member == "NameOwnerChanged" {
            let (name, _, owner): (String, String, String) = message.body().deserialize().ok()?;
            return (name == SYSTEMD && owner != self.systemd.as_str())
                .then(|| "systemd has left the bus".to_owned());
        }
        if sender != self.systemd.as_str() {
            return None;
        }
        match member {
            "PropertiesChanged" => {
                let routes = self.session.routes.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(route) = routes.get(header.path()?.as_str()) {
                    // Without a receiver the watch has just ended.
                    let _ = route.send(message.clone());
                }
            }
            "JobRemoved" => {
                let (_, job, _, result): (u32, OwnedObjectPath, String, String) =
                    message.body().deserialize().ok()?;
                // Without a receiver nobody has ordered anything.
                let _ = self.session.jobs.send(JobRemoved { job: path_text(job), result });
            }
            "Reloading" if message.body().deserialize::<bool>() == Ok(false) => {
                self.session.reloads.send_modify(|count| *count += 1);
            }
            _ => {}
        }
        None
    }
}
