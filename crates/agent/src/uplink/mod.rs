//! The link to the server: what the agent observes goes up, orders come down.
//!
//! [`lifesign_proto::link::Uplink`] decides; here are the sockets, the clock, chance, and the disk for what cannot be
//! sent. While a server hears us, evidence goes to it as it comes; while none does, it goes to the [`spool`], and from
//! there to the server later, as history.

mod alone;
mod dial;
mod spool;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifesign_component::{Component, Error, Ready, Stop};
use lifesign_core::effect::{Action, Notification};
use lifesign_core::input::Input;
use lifesign_core::model::{HostName, ServiceId};
use lifesign_core::spec::Spec;
use lifesign_core::time::{Mono, Now};
use lifesign_proto::link::{
    Effect, Event, Frame, Framer, Hello, NEWEST_VERSION, OLDEST_VERSION, Order, Phase, Terms,
    Uplink as Machine, Way,
};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::road::{Road, ServerAddress};
use alone::{Alone, Deed};
use dial::{Dialer, Opened, Refused};
use spool::{Kept, Spool};

/// Most pieces of evidence in one batch.
const BATCH: usize = 512;
/// Most pieces of history in one batch: what is new waits behind one of them.
const HISTORY: usize = 128;
/// Frames that may wait for the socket; the window of the link is smaller.
const OUTGOING: usize = 1024;
/// Events of the socket that may wait for the machine. When it is full, the socket is not read.
const INCOMING: usize = 64;
/// How long the last words of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the link needs to know and to hold.
pub struct LinkSetup {
    /// The servers, the first one first.
    pub servers: Vec<ServerAddress>,
    /// The name of this host.
    pub host: HostName,
    /// The token that opens the link; none: the certificate that `tls` shows does.
    pub token: Option<Arc<str>>,
    /// By which proxies servers are reached.
    pub road: Road,
    /// Whom the agent trusts to be its server.
    pub tls: Arc<ClientConfig>,
    /// Where evidence waits that cannot be sent.
    pub spool: PathBuf,
    /// How many bytes of it at most; the oldest gives way.
    pub spool_limit: u64,
    /// Reads both clocks.
    pub clock: fn() -> Now,
    /// What the agent observes.
    pub inputs: mpsc::Receiver<Input>,
    /// What the agent judges by while no server hears it.
    pub spec: watch::Receiver<Arc<Spec>>,
    /// Takes what the server wants.
    pub told: mpsc::Sender<Told>,
}

impl fmt::Debug for LinkSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSetup").field("servers", &self.servers).field("host", &self.host).finish()
    }
}

/// What comes down the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A server hears us: everything is to be looked at.
    Up,
    /// No server hears us.
    Down,
    /// An order, with the id of its answer.
    Order(Arc<str>, Order),
    /// What the agent wants itself, as no server hears it: to look at a service.
    Look(ServiceId),
    /// The same: to do something.
    Act(Action),
    /// The same: to tell a receiver.
    Tell(Notification),
}

/// How the link stands, for people; readable while it runs.
#[derive(Debug, Default)]
pub struct LinkFigures {
    connections: AtomicU64,
    spooled: AtomicU64,
    waiting: AtomicU64,
    dropped: AtomicU64,
    why: Mutex<Option<String>>,
}

impl LinkFigures {
    /// Connections that were taken by a server.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Pieces of evidence that had to wait on the disk.
    pub fn spooled(&self) -> u64 {
        self.spooled.load(Ordering::Relaxed)
    }

    /// Pieces of evidence that wait there now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Pieces of evidence that gave way to newer ones, or that the disk did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Why no server hears us; `None`: one does.
    pub fn why_down(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_why(&self, why: Option<String>) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// The link as an internal part.
pub fn link(setup: LinkSetup) -> (Component, Arc<LinkFigures>) {
    let figures = Arc::<LinkFigures>::default();
    let shared = Arc::clone(&figures);
    (Component::essential("link", move |ready, stop| run(setup, shared, ready, stop)), figures)
}

/// What one connection tells.
enum Heard {
    Connected,
    Frame(Frame),
    Lost(String),
    Barred(String),
}

/// A connection that is being made, or stands.
struct Wire {
    outgoing: mpsc::Sender<Vec<u8>>,
}

struct Link {
    machine: Machine,
    alone: Alone,
    dialer: Dialer,
    servers: Vec<ServerAddress>,
    clock: fn() -> Now,
    told: mpsc::Sender<Told>,
    wire: Option<Wire>,
    /// Counts connections, so that words of an earlier one are not taken for those of this one.
    generation: u64,
    heard: mpsc::Sender<(u64, Heard)>,
    figures: Arc<LinkFigures>,
    is_over: bool,
}

async fn run(
    setup: LinkSetup,
    figures: Arc<LinkFigures>,
    mut ready: Ready,
    mut stop: Stop,
) -> Result<(), Error> {
    let LinkSetup { servers, host, token, road, tls, spool, spool_limit, clock, mut inputs, mut spec, told } =
        setup;
    let mut spool = Spool::open(&spool, spool_limit)
        .map_err(|error| format!("failed to open the spool in {}: {error}", spool.display()))?;
    let hello = Hello {
        versions: (OLDEST_VERSION, NEWEST_VERSION),
        host: host.to_string(),
        session: random()?,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        system: std::env::consts::OS.to_owned(),
    };
    let (heard, mut events) = mpsc::channel(INCOMING);
    let alone = Alone::new(Arc::clone(&host), spec.borrow_and_update().clone(), clock().mono);
    let mut link = Link {
        machine: Machine::new(hello, servers.len(), Terms::default()),
        dialer: Dialer { road, tls, token },
        alone,
        servers,
        clock,
        told,
        wire: None,
        generation: 0,
        heard,
        figures,
        is_over: false,
    };
    // The agent works without a server.
    ready.tell();
    let mut stopping = false;
    while !link.is_over {
        link.send_history(&mut spool, inputs.is_empty()).await?;
        link.figures.waiting.store(spool.waiting(), Ordering::Relaxed);
        link.figures.dropped.store(spool.dropped(), Ordering::Relaxed);
        let now = (link.clock)().mono;
        let wait = link.machine.deadline().min(link.alone.deadline(now)).since(now);
        let is_offline = !matches!(link.machine.phase(), Phase::Running | Phase::Draining);
        tokio::select! {
            biased;
            () = stop.given(), if !stopping => {
                stopping = true;
                link.step(Event::Stop).await?;
            }
            Some((generation, heard)) = events.recv() => if generation == link.generation {
                let event = match heard {
                    Heard::Connected => Event::Connected,
                    Heard::Frame(frame) => Event::Received(frame),
                    Heard::Lost(why) => Event::Lost(why),
                    Heard::Barred(why) => Event::Barred(why),
                };
                link.step(event).await?;
            },
            // While the window is full it waits, and in the end those who observe wait as well.
            input = inputs.recv(), if link.machine.has_room() || is_offline => {
                let Some(input) = input else { return Err("the agent has ended".into()) };
                let mut batch = vec![input];
                while batch.len() < BATCH && let Ok(input) = inputs.try_recv() {
                    batch.push(input);
                }
                link.judge(&batch).await?;
                if is_offline {
                    link.keep(&mut spool, batch);
                } else {
                    link.offer(false, batch).await?;
                }
            }
            Ok(()) = spec.changed() => {
                let spec = spec.borrow_and_update().clone();
                let deeds = link.alone.watch((link.clock)(), spec);
                link.carry_out_alone(deeds).await?;
            }
            () = tokio::time::sleep(wait) => {
                let deeds = link.alone.tick((link.clock)());
                link.carry_out_alone(deeds).await?;
                link.step(Event::Tick).await?;
            }
        }
    }
    // What was sent and not acknowledged, and what came since, is for the next run.
    let left = link.machine.take_unacknowledged();
    let now = (link.clock)();
    let left = left.into_iter().map(|(at, seen)| Kept { at: now.wall.back(now.mono.since(at)), seen });
    let mut left: Vec<Kept> = left.collect();
    while let Ok(seen) = inputs.try_recv() {
        left.push(Kept { at: now.wall, seen });
    }
    if !left.is_empty() {
        spool.push(&left)?;
    }
    Ok(())
}

impl Link {
    async fn step(&mut self, event: Event) -> Result<(), Error> {
        let mut effects = Vec::new();
        self.machine.step((self.clock)().mono, chance()?, event, &mut effects);
        self.carry_out(effects).await
    }

    async fn offer(&mut self, late: bool, batch: Vec<Input>) -> Result<(), Error> {
        let now = (self.clock)().mono;
        self.offer_seen(late, batch.into_iter().map(|input| (now, input)).collect()).await
    }

    async fn offer_seen(&mut self, late: bool, seen: Vec<(Mono, Input)>) -> Result<(), Error> {
        let mut effects = Vec::new();
        let offered = self.machine.offer((self.clock)().mono, late, seen, &mut effects);
        debug_assert!(offered.is_ok(), "it was asked whether there is room");
        self.carry_out(effects).await
    }

    /// What was seen is judged here while no server hears it.
    async fn judge(&mut self, batch: &[Input]) -> Result<(), Error> {
        for input in batch {
            if self.alone.is_at_work() || matches!(input, Input::ActionDone(_)) {
                let deeds = self.alone.seen((self.clock)(), input);
                self.carry_out_alone(deeds).await?;
            }
        }
        Ok(())
    }

    async fn carry_out_alone(&self, deeds: Vec<Deed>) -> Result<(), Error> {
        for deed in deeds {
            match deed {
                Deed::Look(service) => self.tell(Told::Look(service)).await?,
                Deed::Act(action) => {
                    tracing::warn!(service = %action.service, "No server hears this agent; it restarts by itself");
                    self.tell(Told::Act(action)).await?;
                }
                Deed::Tell(notification) => self.tell(Told::Tell(notification)).await?,
            }
        }
        Ok(())
    }

    fn keep(&self, spool: &mut Spool, batch: Vec<Input>) {
        let at = (self.clock)().wall;
        let kept: Vec<Kept> = batch.into_iter().map(|seen| Kept { at, seen }).collect();
        self.figures.spooled.fetch_add(kept.len() as u64, Ordering::Relaxed);
        if let Err(error) = spool.push(&kept) {
            tracing::warn!(%error, "The disk does not take what could not be sent; it is lost");
        }
    }

    /// Sends what waited, when nothing new waits.
    async fn send_history(&mut self, spool: &mut Spool, is_quiet: bool) -> Result<(), Error> {
        if self.machine.phase() != Phase::Running {
            return Ok(());
        }
        if self.machine.waiting() == 0 {
            spool.forget();
        }
        if !is_quiet || spool.waiting() == 0 || !self.machine.has_room() {
            return Ok(());
        }
        let kept = spool.next(HISTORY)?;
        let now = (self.clock)();
        let seen = kept.into_iter().map(|kept| (now.mono.back(now.wall.since(kept.at)), kept.seen));
        let seen: Vec<_> = seen.collect();
        if seen.is_empty() { Ok(()) } else { self.offer_seen(true, seen).await }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), Error> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Connect(server, way) => self.connect(server, way),
                Effect::Send(frame) => {
                    if let Err(why) = self.send(&frame) {
                        self.generation += 1;
                        self.wire = None;
                        let mut more = Vec::new();
                        self.machine.step((self.clock)().mono, chance()?, Event::Lost(why), &mut more);
                        effects.extend(more);
                    }
                }
                Effect::Close(why) => {
                    tracing::debug!(why, "The link is closed");
                    self.generation += 1;
                    // The task sends what waits, and ends.
                    self.wire = None;
                }
                Effect::Up => {
                    tracing::info!("A server hears this agent");
                    self.figures.connections.fetch_add(1, Ordering::Relaxed);
                    self.figures.set_why(None);
                    self.alone.up();
                    self.tell(Told::Up).await?;
                }
                Effect::Down(why) => {
                    if self.figures.why_down().as_ref() != Some(&why) {
                        tracing::warn!(why, "No server hears this agent; it goes on alone");
                    }
                    self.figures.set_why(Some(why));
                    self.alone.down((self.clock)().mono);
                    self.tell(Told::Down).await?;
                }
                Effect::Do(_, Order::Pause { services }) => {
                    tracing::info!(services = services.len(), "The server says which services are paused");
                    self.alone.pause(services);
                }
                Effect::Do(id, order) => self.tell(Told::Order(id.into(), order)).await?,
                Effect::Stopped => self.is_over = true,
            }
        }
        Ok(())
    }

    async fn tell(&self, told: Told) -> Result<(), Error> {
        self.told.send(told).await.map_err(|_| "nobody takes the server's orders any more".into())
    }

    fn send(&self, frame: &Frame) -> Result<(), String> {
        let Some(wire) = &self.wire else { return Ok(()) };
        let mut bytes = Vec::new();
        frame.write(&mut bytes).map_err(|error| error.to_string())?;
        wire.outgoing.try_send(bytes).map_err(|_| "the connection takes nothing any more".to_owned())
    }

    fn connect(&mut self, server: usize, way: Way) {
        self.generation += 1;
        let generation = self.generation;
        let Some(server) = self.servers.get(server).cloned() else { return };
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let (dialer, heard) = (self.dialer.clone(), self.heard.clone());
        self.wire = Some(Wire { outgoing });
        tokio::spawn(async move {
            let end = match dialer.open(&server, way).await {
                Ok(opened) => {
                    tracing::debug!(%server, ?way, "Connected");
                    if heard.send((generation, Heard::Connected)).await.is_err() {
                        return;
                    }
                    Heard::Lost(converse(opened, frames, &heard, generation).await)
                }
                Err(Refused { barred: true, why }) => Heard::Barred(why),
                Err(Refused { barred: false, why }) => Heard::Lost(why),
            };
            // When nobody listens, the link has ended.
            let _ = heard.send((generation, end)).await;
        });
    }
}

/// Carries frames both ways until the connection ends; says why it did.
async fn converse(
    way: Opened,
    mut frames: mpsc::Receiver<Vec<u8>>,
    heard: &mpsc::Sender<(u64, Heard)>,
    generation: u64,
) -> String {
    let (mut reader, mut writer) = tokio::io::split(way);
    let reading = async {
        let mut framer = Framer::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return "the server has closed the connection".to_owned(),
                Ok(length) => framer.take(&buffer[..length]),
                Err(error) => return error.to_string(),
            }
            while let Some(frame) = framer.next_frame() {
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(error) => return error.to_string(),
                };
                if heard.send((generation, Heard::Frame(frame))).await.is_err() {
                    return "the link has ended".to_owned();
                }
            }
        }
    };
    let writing = async {
        while let Some(frame) = frames.recv().await {
            let mut written = writer.write_all(&frame).await;
            // Inside a WebSocket what is written waits to be sent.
            if frames.is_empty() && written.is_ok() {
                written = writer.flush().await;
            }
            if let Err(error) = written {
                return error.to_string();
            }
        }
        // Closed by us: the last words are on their way.
        let _ = timeout(FAREWELL, writer.shutdown()).await;
        "closed".to_owned()
    };
    tokio::select! {
        why = reading => why,
        why = writing => why,
    }
}

fn random() -> Result<u64, Error> {
    getrandom::u64().map_err(|error| format!("the system gives no chance: {error}").into())
}

/// From 0 to 1.
fn chance() -> Result<f64, Error> {
    Ok((random()? >> 11) as f64 / (1_u64 << 53) as f64)
}
