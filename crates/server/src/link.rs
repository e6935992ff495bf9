//! Agents of other hosts: each comes over one connection of its own, `GET /api/v1/link` with an upgrade.
//!
//! [`lifesign_proto::link::Downlink`] decides what a connection may do; here are its socket, and the [`Desk`] that
//! knows every host: what it watches, what of its news the engine has, what it still has to do. Evidence goes the same
//! way as that of the agent in this very process. What an agent says is taken for its own services only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use lifesign_component::Stop;
use lifesign_core::input::{ActionReport, Input};
use lifesign_core::model::{HostName, ServiceId};
use lifesign_proto::enrol::is_host_name;
use lifesign_proto::link::{Deed, Downlink, Framer, Happened, Hello, Order, Refusal, UPGRADE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::AppState;
use crate::api::Failure;
use crate::auth::Client;
use crate::engine::{Clock, EngineHandle, Unreached};
use crate::enrol::{Enrolment, Member};

/// An agent whose connection broke is given up after this long without another one.
pub const GIVE_UP: Duration = Duration::from_secs(10);
/// Orders that may wait for one agent's socket.
const ORDERS: usize = 256;
/// Frames that may wait for one agent's socket.
const OUTGOING: usize = 256;
/// How long the last words of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// An agent that was heard within this is alive: a second one of the same name is turned away.
const ALIVE: Duration = Duration::from_secs(4);

/// What one host watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Its part of the configuration, as JSON.
    pub text: Arc<str>,
    /// Its services: as the host calls them, and as the server does.
    pub services: BTreeMap<ServiceId, ServiceId>,
}

/// Gives each host its part.
pub type PartOf = Arc<dyn Fn(&HostName) -> Part + Send + Sync>;
/// Called when a host is there that nobody knew.
pub type NewHost = Arc<dyn Fn(&HostName) + Send + Sync>;

/// Everything about agents of other hosts; cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    engine: EngineHandle,
    clock: Clock,
    /// The host of this very process: no other agent may call itself so.
    here: HostName,
    new_host: NewHost,
    enrolment: Enrolment,
    hosts: Mutex<BTreeMap<HostName, Line>>,
    /// All services that somebody has paused, as the server calls them.
    paused: watch::Sender<BTreeSet<ServiceId>>,
}

/// One host.
#[derive(Debug, Default)]
struct Line {
    part: Part,
    /// The agent's run, and the last batch of it that the engine has.
    session: u64,
    taken: u64,
    /// Counts connections.
    generation: u64,
    heard: Option<lifesign_core::time::Mono>,
    orders: Option<mpsc::Sender<(String, Order)>>,
    /// Restarts that were ordered and not answered.
    pending: BTreeMap<Arc<str>, Order>,
    program: String,
    system: String,
}

/// How a host's agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Whether it is connected.
    pub connected: bool,
    /// The version of its lifesign; empty before it first came.
    pub program: String,
    /// Its system; empty before it first came.
    pub system: String,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("here", &self.0.here).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk that knows no host yet.
    pub(crate) fn new(
        engine: EngineHandle,
        clock: Clock,
        here: HostName,
        new_host: NewHost,
        enrolment: Enrolment,
    ) -> Self {
        let (paused, _) = watch::channel(BTreeSet::new());
        Self(Arc::new(Inner { engine, clock, here, new_host, enrolment, hosts: Mutex::default(), paused }))
    }

    /// Whether somebody has paused a service. Its agent holds restarts and alerts while it is without a server, too.
    pub(crate) fn pause(&self, service: &ServiceId, paused: bool) {
        self.0.paused.send_if_modified(|all| {
            let is_new = all.contains(service) != paused;
            if is_new && paused {
                all.insert(service.clone());
            } else if is_new {
                all.remove(service);
            }
            is_new
        });
    }

    /// The services of `host` that are paused, as the host calls them.
    fn paused(&self, host: &HostName) -> Vec<ServiceId> {
        let lines = self.lines();
        let services = lines.get(host).map(|line| &line.part.services);
        let all = self.0.paused.borrow();
        let mine = services.into_iter().flatten().filter(|(_, global)| all.contains(*global));
        mine.map(|(local, _)| local.clone()).collect()
    }

    /// Tells what the hosts watch from now on; those that are connected hear of it at once. A host that is known and
    /// not connected within [`GIVE_UP`] is called gone.
    pub fn assign(&self, hosts: &[HostName], part_of: &PartOf) {
        let mut lines = self.lines();
        for host in hosts {
            if !lines.contains_key(host) {
                self.give_up_later(host, 0);
            }
            let line = lines.entry(Arc::clone(host)).or_default();
            let part = part_of(host);
            if part.text != line.part.text {
                line.send(watch(&part));
            }
            // A service of another name is a new one, of which the engine has heard nothing.
            let now = self.0.clock.now().mono.as_nanos();
            for (local, global) in &part.services {
                if line.part.services.get(local) != Some(global) {
                    line.send((format!("look-{global}-{now}"), Order::Look { service: local.clone() }));
                }
            }
            line.part = part;
        }
        drop(lines);
        // What is paused may be called otherwise there now.
        self.0.paused.send_modify(|_all| ());
    }

    /// Orders something of the agent of `host`, about the service that the server calls `service`.
    ///
    /// # Errors
    /// Why it cannot be done now, in words.
    pub fn order(
        &self,
        host: &str,
        service: &ServiceId,
        id: &str,
        order: impl FnOnce(ServiceId) -> Order,
    ) -> Result<(), String> {
        let mut lines = self.lines();
        let line = lines.get_mut(host).ok_or_else(|| format!("no agent of {host} is known"))?;
        let local = line.part.services.iter().find(|(_, global)| *global == service);
        let (local, _) = local.ok_or_else(|| format!("{service} is not watched on {host}"))?;
        let order = order(local.clone());
        if line.orders.is_none() {
            return Err(format!("the agent of {host} is not connected"));
        }
        if matches!(order, Order::Restart { .. }) {
            line.pending.insert(id.into(), order.clone());
        }
        if line.send((id.to_owned(), order)) {
            Ok(())
        } else {
            line.pending.remove(id);
            Err(format!("the agent of {host} has more to do than its queue holds"))
        }
    }

    /// How the agent of each host stands.
    pub fn agents(&self) -> BTreeMap<HostName, AgentView> {
        let view = |line: &Line| AgentView {
            connected: line.orders.is_some(),
            program: line.program.clone(),
            system: line.system.clone(),
        };
        self.lines().iter().map(|(host, line)| (Arc::clone(host), view(line))).collect()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, BTreeMap<HostName, Line>> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the agent of `host` is connected.
    pub(crate) fn is_connected(&self, host: &HostName) -> bool {
        self.lines().get(host).is_some_and(|line| line.orders.is_some())
    }

    /// Ends the link of `host`, if there is one, and says whether there was. What it is sent already is lost with it.
    pub(crate) fn cut(&self, host: &HostName) -> bool {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(host).filter(|line| line.orders.is_some()) else { return false };
        line.orders = None;
        line.heard = None;
        line.generation += 1;
        let generation = line.generation;
        drop(lines);
        self.give_up_later(host, generation);
        true
    }

    /// Whether who said `hello` may be the agent it says it is; then its connection is the host's. `member`: whose
    /// certificate came with the connection.
    fn admit(
        &self,
        hello: &Hello,
        member: Option<&Member>,
        orders: mpsc::Sender<(String, Order)>,
    ) -> Result<Admitted, (Refusal, String)> {
        let refused = |words: &str| Err((Refusal::Forbidden, words.to_owned()));
        let name = hello.host.as_str();
        if !is_host_name(name) {
            return refused("this is no name of a host; set `agent.host`");
        }
        if *name == *self.0.here {
            return refused(
                "the server itself watches a host of this name; give the agent another `agent.host`",
            );
        }
        let now = self.0.clock.now().mono;
        let mut lines = self.lines();
        // With the lines in hand: a revocation that comes now finds this one when it cuts.
        if let Some(why) = self.0.enrolment.objection(name, member) {
            return refused(&why);
        }
        let host: HostName = name.into();
        let is_new = !lines.contains_key(&host);
        let line = lines.entry(Arc::clone(&host)).or_default();
        let is_alive = line.orders.is_some() && line.heard.is_some_and(|heard| now.since(heard) < ALIVE);
        if is_alive && line.session != hello.session {
            let words =
                format!("another agent of {host} is connected; two may not have the same `agent.host`");
            return Err((Refusal::Taken, words));
        }
        if line.session != hello.session {
            (line.session, line.taken) = (hello.session, 0);
        }
        line.generation += 1;
        line.heard = Some(now);
        line.program = hello.program.chars().take(64).collect();
        line.system = hello.system.chars().take(64).collect();
        line.orders = Some(orders);
        // One that nobody knew gets its part as soon as the configuration was read for it.
        let part = Some(watch(&line.part)).filter(|_| !line.part.text.is_empty());
        let pending = line.pending.iter().map(|(id, order)| (id.to_string(), order.clone()));
        let first = part.into_iter().chain(pending).collect();
        let admitted = Admitted { host, generation: line.generation, taken: line.taken, first, is_new };
        Ok(admitted)
    }

    /// The connection `generation` of `host` was heard; false: another one has taken its place.
    fn heard(&self, host: &HostName, generation: u64) -> bool {
        let now = self.0.clock.now().mono;
        let mut lines = self.lines();
        let line = lines.get_mut(host).filter(|line| line.generation == generation);
        line.is_some_and(|line| {
            line.heard = Some(now);
            true
        })
    }

    /// Hands a batch to the engine.
    async fn take(&self, host: &HostName, number: u64, inputs: Vec<Input>) -> Result<(), Unreached> {
        let services = self.lines().get(host).map(|line| line.part.services.clone()).unwrap_or_default();
        for input in inputs {
            match translated(input, host, &services) {
                Some(Input::ActionDone(report)) => self.answered(host, report).await?,
                Some(input) => self.0.engine.tell(input).await?,
                None => tracing::debug!(%host, "An agent told of a service that is not its own"),
            }
        }
        if let Some(line) = self.lines().get_mut(host) {
            line.taken = line.taken.max(number);
        }
        Ok(())
    }

    async fn answered(&self, host: &HostName, report: ActionReport) -> Result<(), Unreached> {
        if let Some(line) = self.lines().get_mut(host) {
            line.pending.remove(&report.id);
        }
        self.0.engine.durable(Input::ActionDone(report)).await.map(drop)
    }

    /// The connection is gone; its host is, too, if no other one comes.
    fn left(&self, host: &HostName, generation: u64) {
        let mut lines = self.lines();
        if let Some(line) = lines.get_mut(host).filter(|line| line.generation == generation) {
            line.orders = None;
            drop(lines);
            self.give_up_later(host, generation);
        }
    }

    fn give_up_later(&self, host: &HostName, generation: u64) {
        let (desk, host) = (self.clone(), Arc::clone(host));
        tokio::spawn(async move {
            tokio::time::sleep(GIVE_UP).await;
            let is_gone = {
                let lines = desk.lines();
                lines.get(&host).is_some_and(|line| line.generation == generation && line.orders.is_none())
            };
            if is_gone {
                tracing::warn!(%host, "The agent is gone");
                // When the engine is gone there is nobody left to be told.
                let _ = desk.0.engine.tell(Input::Link { host, connected: false }).await;
            }
        });
    }
}

/// What a connection begins with.
struct Admitted {
    host: HostName,
    generation: u64,
    taken: u64,
    /// Orders that wait for it.
    first: Vec<(String, Order)>,
    is_new: bool,
}

impl Line {
    fn send(&self, order: (String, Order)) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }
}

fn watch(part: &Part) -> (String, Order) {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(part.text.as_bytes());
    let revision: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    (format!("watch-{revision}"), Order::Watch { revision, text: part.text.to_string() })
}

/// What the host calls `orders` the server may call `orders@web-01`. `None`: it is not the host's to tell.
fn translated(input: Input, host: &HostName, services: &BTreeMap<ServiceId, ServiceId>) -> Option<Input> {
    let global = |service: &ServiceId| services.get(service).cloned();
    Some(match input {
        Input::Beat(beat) => {
            Input::Beat(lifesign_core::evidence::Beat { service: global(&beat.service)?, ..beat })
        }
        Input::Unit { service, report } => Input::Unit { service: global(&service)?, report },
        Input::UnitFacts { service, facts } => Input::UnitFacts { service: global(&service)?, facts },
        Input::Check { service, check, report } => Input::Check { service: global(&service)?, check, report },
        Input::ActionDone(report) => {
            Input::ActionDone(ActionReport { service: global(&report.service)?, ..report })
        }
        Input::Host(sample) => {
            Input::Host(lifesign_core::evidence::HostSample { host: Arc::clone(host), ..sample })
        }
        Input::Late { age, input } => {
            Input::Late { age, input: Box::new(translated(*input, host, services)?) }
        }
        Input::Configure(_) | Input::Link { .. } | Input::Order { .. } | Input::Delivery(_) | Input::Tick => {
            return None;
        }
    })
}

/// An agent's link
///
/// For lifesign's own agents: the connection is upgraded (`Upgrade: lifesign-link`) and then carries frames both ways.
#[utoipa::path(
    get, path = "/api/v1/link", tag = "hosts", security(("token" = ["write"]), ("certificate" = [])),
    responses(
        (status = 101, description = "The connection is a link now"),
        (status = 403, description = "Not encrypted, and not from this very host", body = lifesign_proto::Problem),
        (status = 426, description = "Without `Upgrade: lifesign-link`", body = lifesign_proto::Problem)
    )
)]
pub(crate) async fn open(State(state): State<AppState>, mut request: Request) -> Response {
    let client = Client::of(&request);
    if !client.is_https && !client.is_local() {
        return Failure::new(
            StatusCode::FORBIDDEN,
            "a link from another host must be encrypted; use the port of `server.tls`",
        )
        .into_response();
    }
    let wanted = request.headers().get(header::UPGRADE).is_some_and(|value| value == UPGRADE);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some(upgrade) = upgrade.filter(|_| wanted) else {
        return Failure::new(
            StatusCode::UPGRADE_REQUIRED,
            "this is the way of lifesign's agents: it needs `Upgrade: lifesign-link`",
        )
        .with(header::UPGRADE, HeaderValue::from_static(UPGRADE))
        .into_response();
    };
    let (desk, stop) = (state.desk.clone(), state.stop.clone());
    let member = request.extensions_mut().remove::<Member>();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(way) => converse(desk, member, way, stop).await,
            Err(error) => tracing::debug!(%error, "An agent's connection was not upgraded"),
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(UPGRADE));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// One connection, from its first byte to its last.
async fn converse(desk: Desk, member: Option<Member>, way: Upgraded, mut stop: Stop) {
    let (mut reader, mut writer) = tokio::io::split(TokioIo::new(way));
    let (outgoing, mut frames) = mpsc::channel::<Vec<u8>>(OUTGOING);
    let writing = tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            // Inside a WebSocket what is written waits to be sent.
            if writer.write_all(&frame).await.is_err() || frames.is_empty() && writer.flush().await.is_err() {
                return;
            }
        }
        // Closed by us: the last words are on their way.
        let _ = writer.shutdown().await;
    });
    let (orders, mut ordered) = mpsc::channel(ORDERS);
    let mut connection = Connection {
        machine: Downlink::new(desk.0.clock.now().mono),
        desk,
        member,
        outgoing,
        orders: Some(orders),
        host: None,
        paused: Vec::new(),
        is_over: false,
    };
    let mut pauses = connection.desk.0.paused.subscribe();
    let mut framer = Framer::default();
    let mut buffer = vec![0; 64 * 1024];
    while !connection.is_over {
        let wait = connection.machine.deadline().since(connection.desk.0.clock.now().mono);
        let happened = tokio::select! {
            () = stop.given() => Happened::Stop,
            order = ordered.recv() => match order {
                Some((id, order)) => Happened::Ordered(id, order),
                // Another connection has taken its place, or it was cut.
                None => break,
            },
            Ok(()) = pauses.changed() => match connection.pauses() {
                Some(happened) => happened,
                None => continue,
            },
            read = reader.read(&mut buffer) => match read {
                Ok(0) | Err(_) => Happened::Lost,
                Ok(length) => {
                    framer.take(&buffer[..length]);
                    while let Some(frame) = framer.next_frame() {
                        connection.step(Happened::Received(frame)).await;
                        if connection.is_over {
                            break;
                        }
                    }
                    continue;
                }
            },
            () = tokio::time::sleep(wait) => Happened::Tick,
        };
        connection.step(happened).await;
    }
    if let Some((host, generation)) = connection.host.take() {
        connection.desk.left(&host, generation);
    }
    drop(connection);
    // It sends what waits, and ends.
    let _ = timeout(FAREWELL, writing).await;
}

struct Connection {
    machine: Downlink,
    desk: Desk,
    /// Whose certificate came with it.
    member: Option<Member>,
    outgoing: mpsc::Sender<Vec<u8>>,
    orders: Option<mpsc::Sender<(String, Order)>>,
    /// Whose it is, once it was admitted, and which of its connections.
    host: Option<(HostName, u64)>,
    /// What it was last told to be paused.
    paused: Vec<ServiceId>,
    is_over: bool,
}

impl Connection {
    /// Tells the machine what happened, and does what it wants until it wants nothing more.
    async fn step(&mut self, happened: Happened) {
        if let (Happened::Received(_), Some((host, generation))) = (&happened, &self.host)
            && !self.desk.heard(host, *generation)
        {
            // A newer connection of the same agent has taken its place.
            self.is_over = true;
            return;
        }
        let mut events = vec![happened];
        while let Some(event) = events.pop() {
            let mut deeds = Vec::new();
            self.machine.step(self.desk.0.clock.now().mono, event, &mut deeds);
            for deed in deeds {
                match deed {
                    Deed::Admit(hello) => self.admit(&hello, &mut events).await,
                    Deed::Send(frame) => {
                        let mut bytes = Vec::new();
                        let written = frame.write(&mut bytes);
                        if let Err(error) = &written {
                            tracing::error!(%error, "A frame could not be written");
                        }
                        // An agent that reads nothing is cut off before it costs memory.
                        if written.is_ok() && self.outgoing.try_send(bytes).is_err() {
                            self.is_over = true;
                        }
                    }
                    Deed::Take(number, inputs) => {
                        let Some((host, _)) = &self.host else { continue };
                        match self.desk.take(&Arc::clone(host), number, inputs).await {
                            Ok(()) => events.push(Happened::Taken(number)),
                            // The process is ending; the agent sends it to the next one.
                            Err(_) => self.is_over = true,
                        }
                    }
                    Deed::Close(why) => {
                        tracing::info!(host = ?self.host.as_ref().map(|(host, _)| host), why, "An agent's link has ended");
                        self.is_over = true;
                    }
                }
            }
        }
    }

    /// What the agent is to know of pauses, if it does not know it.
    fn pauses(&mut self) -> Option<Happened> {
        let (host, _) = self.host.as_ref()?;
        let services = self.desk.paused(host);
        if services == self.paused {
            return None;
        }
        self.paused.clone_from(&services);
        let id = format!("pause-{}", self.desk.0.clock.now().mono.as_nanos());
        Some(Happened::Ordered(id, Order::Pause { services }))
    }

    async fn admit(&mut self, hello: &Hello, events: &mut Vec<Happened>) {
        let Some(orders) = self.orders.take() else { return };
        match self.desk.admit(hello, self.member.as_ref(), orders) {
            Ok(admitted) => {
                let Admitted { host, generation, taken, first, is_new } = admitted;
                tracing::info!(%host, program = hello.program, system = hello.system, "An agent is connected");
                if is_new {
                    (self.desk.0.new_host)(&host);
                }
                let connected = Input::Link { host: Arc::clone(&host), connected: true };
                // When the engine is gone, the process is ending.
                let _ = self.desk.0.engine.tell(connected).await;
                self.host = Some((host, generation));
                events.extend(self.pauses());
                events.extend(first.into_iter().rev().map(|(id, order)| Happened::Ordered(id, order)));
                events.push(Happened::Admitted { taken });
            }
            Err((refusal, words)) => {
                tracing::warn!(host = hello.host, words, "An agent was turned away");
                events.push(Happened::TurnedAway(refusal, words));
            }
        }
    }
}
