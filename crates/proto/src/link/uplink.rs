//! The agent's side of the link as a state machine.
//!
//! ```text
//!             ┌────────────── lost, refused, silent ──────────────┐
//!             ▼                                                    │
//! waiting ─► connecting ─► handshaking ─► running ─► draining ─► stopped
//! ```
//!
//! Between two attempts it waits by exponential back-off with full jitter (M. Brooker, *Exponential Backoff And
//! Jitter*, AWS Architecture Blog, 2015), and each attempt goes to the next of the servers. Where a server is there and
//! the direct way is not let through, the other [`Way`] is tried. Chance comes from outside.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::time::Mono;

use super::beats::{Beats, Compact, Names};
use super::frame::{Frame, Hello, Item, Order, Welcome};
use super::way::{Failed, Way, Ways};

/// Orders that are remembered, so that one that comes again is not carried out again.
const REMEMBERED: usize = 1024;
/// Names sent in one frame.
const NAMES_EACH: usize = 4096;
/// A connection that lasted this long was a good one: the next wait is short again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// What the agent's side goes by before a server has said its own terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long connecting may take, TLS included.
    pub connect_within: Duration,
    /// How long the server may take to answer the first frame.
    pub welcome_within: Duration,
    /// The longest first wait after a failure.
    pub first_wait: Duration,
    /// The longest wait of all.
    pub longest_wait: Duration,
    /// How long acknowledgements are waited for when the agent stops.
    pub drain_within: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            welcome_within: Duration::from_secs(10),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            drain_within: Duration::from_secs(3),
        }
    }
}

/// Where the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No connection; the next attempt comes when its time has come.
    Waiting,
    /// A connection is being made.
    Connecting,
    /// Hello is said, and no answer there.
    Handshaking,
    /// All is well.
    Running,
    /// Nothing new is sent; what was sent is waited for.
    Draining,
    /// Over.
    Stopped,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The connection stands.
    Connected,
    /// The connection could not be made, or is gone: why.
    Lost(String),
    /// Somebody is there, and no link can be made with them by this way: why.
    Barred(String),
    /// A frame came.
    Received(Frame),
    /// The agent is to stop.
    Stop,
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Connect to the server of this place in the list, by this way.
    Connect(usize, Way),
    /// Send this.
    Send(Frame),
    /// Close the connection, because of this.
    Close(String),
    /// The server took the agent: from now on it hears what is offered.
    Up,
    /// The server does not hear the agent any more, or never did: why.
    Down(String),
    /// Carry this out; the id is that of its answer.
    Do(String, Order),
    /// Nothing more will come.
    Stopped,
}

/// Evidence and when it was seen, by the agent's monotonic clock.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    at: Mono,
    late: bool,
    input: Input,
}

/// What was sent and not acknowledged.
#[derive(Debug)]
struct Batch {
    number: u64,
    seen: Vec<Seen>,
}

/// The machine.
#[derive(Debug)]
pub struct Uplink {
    terms: Terms,
    hello: Hello,
    /// The ways to each server.
    ways: Vec<Ways>,
    /// Why the direct way was barred, while the other one is tried.
    barred: Option<String>,
    phase: Phase,
    /// When the phase has lasted too long, or the wait is over.
    until: Mono,
    /// Failures in a row.
    failures: u32,
    server: usize,
    stopping: bool,
    welcome: Welcome,
    running_since: Mono,
    heard: Mono,
    said: Mono,
    pings: u32,
    their_pings: u32,
    /// The newest of our pings that they have heard.
    echoed: u32,
    newest: u64,
    unacknowledged: VecDeque<Batch>,
    names: BTreeMap<ServiceId, u32>,
    order_of_names: Vec<ServiceId>,
    named: usize,
    done: VecDeque<String>,
}

impl Uplink {
    /// A machine that makes its first attempt at once, to the first of `servers` servers.
    pub fn new(hello: Hello, servers: usize, terms: Terms) -> Self {
        Self {
            terms,
            hello,
            ways: vec![Ways::new(); servers.max(1)],
            barred: None,
            phase: Phase::Waiting,
            until: Mono::ZERO,
            failures: 0,
            server: 0,
            stopping: false,
            welcome: Welcome { version: 0, taken: 0, ping_millis: 0, silence_millis: 0, window: 0 },
            running_since: Mono::ZERO,
            heard: Mono::ZERO,
            said: Mono::ZERO,
            pings: 0,
            their_pings: 0,
            echoed: 0,
            newest: 0,
            unacknowledged: VecDeque::new(),
            names: BTreeMap::new(),
            order_of_names: Vec::new(),
            named: 0,
            done: VecDeque::new(),
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a batch can be offered.
    pub fn has_room(&self) -> bool {
        // An offer may become two batches: plain heartbeats and the rest.
        self.phase == Phase::Running && self.unacknowledged.len() + 2 <= self.welcome.window as usize
    }

    /// Batches that were sent and not acknowledged.
    pub fn waiting(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Takes out what was sent and not acknowledged, with when it was seen: for the disk, when the agent ends.
    pub fn take_unacknowledged(&mut self) -> Vec<(Mono, Input)> {
        self.unacknowledged.drain(..).flat_map(|batch| batch.seen).map(|seen| (seen.at, seen.input)).collect()
    }

    /// Whether the server hears our pings, as far as we know.
    pub fn is_heard(&self) -> bool {
        self.phase == Phase::Running && self.pings.wrapping_sub(self.echoed) <= 2
    }

    /// When it wants to be told that time has passed.
    pub fn deadline(&self) -> Mono {
        match self.phase {
            Phase::Running => {
                let ping = self.said + millis(self.welcome.ping_millis);
                ping.min(self.heard + millis(self.welcome.silence_millis))
            }
            Phase::Stopped => Mono::NEVER,
            Phase::Waiting | Phase::Connecting | Phase::Handshaking | Phase::Draining => self.until,
        }
    }

    /// Sends evidence, each piece with when it was seen; `late`: it waited for a connection.
    ///
    /// # Errors
    /// All of it, when there is no room: ask [`has_room`](Self::has_room) before.
    pub fn offer(
        &mut self,
        now: Mono,
        late: bool,
        seen: Vec<(Mono, Input)>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Vec<(Mono, Input)>> {
        if !self.has_room() {
            return Err(seen);
        }
        let seen = seen.into_iter().map(|(at, input)| Seen { at, late, input });
        let (beats, rest): (Vec<Seen>, Vec<Seen>) =
            seen.partition(|seen| !seen.late && is_plain(&seen.input));
        for seen in [beats, rest] {
            if !seen.is_empty() {
                self.newest += 1;
                self.unacknowledged.push_back(Batch { number: self.newest, seen });
                self.send_batch(self.unacknowledged.len() - 1, now, effects);
            }
        }
        Ok(())
    }

    /// Something happened, or time passed. `chance`: a number from 0 to 1, drawn anew for each call.
    pub fn step(&mut self, now: Mono, chance: f64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Stop => self.stop(now, effects),
            Event::Connected if self.phase == Phase::Connecting => {
                self.phase = Phase::Handshaking;
                self.until = now + self.terms.welcome_within;
                effects.push(Effect::Send(Frame::Hello(self.hello.clone())));
            }
            Event::Connected => effects.push(Effect::Close("nobody asked for it".to_owned())),
            Event::Lost(why) => self.failed(now, chance, Failed::Unreached, why, effects),
            Event::Barred(why) => self.failed(now, chance, Failed::Barred, why, effects),
            Event::Received(frame) => self.received(now, chance, frame, effects),
            Event::Tick => {}
        }
        self.tick(now, chance, effects);
    }

    fn tick(&mut self, now: Mono, chance: f64, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Waiting if now >= self.until => {
                self.phase = Phase::Connecting;
                self.until = now + self.terms.connect_within;
                effects.push(Effect::Connect(self.server, self.ways[self.server].next));
            }
            Phase::Connecting | Phase::Handshaking if now >= self.until => {
                let what = if self.phase == Phase::Connecting { "connect" } else { "answer" };
                let why = format!("it did not {what} in time");
                effects.push(Effect::Close(why.clone()));
                self.failed(now, chance, Failed::Late, why, effects);
            }
            Phase::Running => {
                let silence = millis(self.welcome.silence_millis);
                if now >= self.heard + silence {
                    return self.give_up(now, chance, format!("nothing heard for {silence:?}"), effects);
                }
                if now >= self.said + millis(self.welcome.ping_millis) {
                    self.pings = self.pings.wrapping_add(1);
                    self.send(now, Frame::Ping(self.pings, self.their_pings), effects);
                }
            }
            Phase::Draining if now >= self.until => self.end(effects),
            _ => {}
        }
    }

    fn received(&mut self, now: Mono, chance: f64, frame: Frame, effects: &mut Vec<Effect>) {
        self.heard = now;
        match (self.phase, frame) {
            (Phase::Handshaking, Frame::Welcome(welcome)) => self.welcomed(now, welcome, effects),
            (Phase::Handshaking, Frame::Refuse(refusal, words)) => {
                self.give_up(now, chance, format!("refused ({refusal:?}): {words}"), effects);
            }
            (Phase::Running | Phase::Draining, Frame::Ack(number)) => {
                while self.unacknowledged.front().is_some_and(|batch| batch.number <= number) {
                    self.unacknowledged.pop_front();
                }
                if self.phase == Phase::Draining && self.unacknowledged.is_empty() {
                    self.end(effects);
                }
            }
            (Phase::Running | Phase::Draining, Frame::Ping(theirs, ours)) => {
                self.their_pings = theirs;
                self.echoed = ours;
            }
            (Phase::Running, Frame::Order(id, order)) => {
                if !self.done.contains(&id) {
                    if self.done.len() == REMEMBERED {
                        self.done.pop_front();
                    }
                    self.done.push_back(id.clone());
                    effects.push(Effect::Do(id, order));
                }
            }
            (_, Frame::Goodbye(words)) => self.give_up(now, chance, format!("it said: {words}"), effects),
            // An order that comes while we stop is sent again to the next run.
            (Phase::Draining, Frame::Order(..)) | (Phase::Waiting | Phase::Stopped, _) => {}
            (_, frame) => {
                let name = format!("{frame:?}");
                let name: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
                self.give_up(now, chance, format!("it sent {name} out of turn"), effects);
            }
        }
    }

    fn welcomed(&mut self, now: Mono, welcome: Welcome, effects: &mut Vec<Effect>) {
        self.welcome = Welcome {
            // Whatever it asks for: not so often that it hurts, not so seldom that nobody notices.
            ping_millis: welcome.ping_millis.clamp(100, 60_000),
            silence_millis: welcome.silence_millis.clamp(300, 600_000),
            window: welcome.window.clamp(2, 4096),
            ..welcome
        };
        self.phase = Phase::Running;
        self.ways[self.server].proven();
        self.barred = None;
        (self.running_since, self.heard, self.said) = (now, now, now);
        (self.pings, self.their_pings, self.echoed) = (0, 0, 0);
        self.named = 0;
        while self.unacknowledged.front().is_some_and(|batch| batch.number <= welcome.taken) {
            self.unacknowledged.pop_front();
        }
        effects.push(Effect::Up);
        for at in 0..self.unacknowledged.len() {
            for seen in &mut self.unacknowledged[at].seen {
                seen.late = true;
            }
            self.send_batch(at, now, effects);
        }
    }

    fn send_batch(&mut self, at: usize, now: Mono, effects: &mut Vec<Effect>) {
        let Some(batch) = self.unacknowledged.get(at) else { return };
        let number = batch.number;
        let plain = batch.seen.iter().all(|seen| !seen.late && is_plain(&seen.input));
        let frame = if plain {
            let mut beats = Beats::default();
            for seen in &batch.seen {
                let Input::Beat(beat) = &seen.input else { continue };
                let next = u32::try_from(self.order_of_names.len()).unwrap_or(u32::MAX);
                let service = *self.names.entry(beat.service.clone()).or_insert_with(|| {
                    self.order_of_names.push(beat.service.clone());
                    next
                });
                beats.push(Compact { service, age: now.since(seen.at) + beat.age, status: beat.status });
            }
            Frame::Beats(number, beats)
        } else {
            let item = |seen: &Seen| Item {
                age_millis: u64::try_from(now.since(seen.at).as_millis()).unwrap_or(u64::MAX),
                late: seen.late,
                seen: seen.input.clone(),
            };
            Frame::News(number, batch.seen.iter().map(item).collect())
        };
        while self.named < self.order_of_names.len() && plain {
            let names = &self.order_of_names[self.named..];
            let services = names[..names.len().min(NAMES_EACH)].to_vec();
            let from = u32::try_from(self.named).unwrap_or(u32::MAX);
            self.named += services.len();
            effects.push(Effect::Send(Frame::Names(Names { from, services })));
        }
        self.send(now, frame, effects);
    }

    fn send(&mut self, now: Mono, frame: Frame, effects: &mut Vec<Effect>) {
        self.said = now;
        effects.push(Effect::Send(frame));
    }

    fn stop(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        self.stopping = true;
        match self.phase {
            Phase::Running if !self.unacknowledged.is_empty() => {
                self.phase = Phase::Draining;
                self.until = now + self.terms.drain_within;
            }
            Phase::Draining | Phase::Stopped => {}
            Phase::Running | Phase::Waiting | Phase::Connecting | Phase::Handshaking => self.end(effects),
        }
    }

    fn end(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Running | Phase::Draining) {
            effects.push(Effect::Send(Frame::Goodbye("the agent stops".to_owned())));
        }
        if self.phase != Phase::Waiting {
            effects.push(Effect::Close("the agent stops".to_owned()));
        }
        self.phase = Phase::Stopped;
        effects.push(Effect::Stopped);
    }

    fn give_up(&mut self, now: Mono, chance: f64, why: String, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Waiting | Phase::Stopped) {
            return;
        }
        effects.push(Effect::Close(why.clone()));
        self.lost(now, chance, why, effects);
    }

    /// The connection, or the attempt to make it, failed.
    fn failed(&mut self, now: Mono, chance: f64, how: Failed, why: String, effects: &mut Vec<Effect>) {
        let is_attempt = matches!(self.phase, Phase::Connecting | Phase::Handshaking);
        let other_at_once = is_attempt && self.ways[self.server].failed(how);
        if other_at_once && !self.stopping {
            self.barred = Some(why);
            self.phase = Phase::Waiting;
            self.until = now;
            return;
        }
        let why = match self.barred.take() {
            Some(direct) if is_attempt => format!("{direct}; and through a WebSocket: {why}"),
            _ => why,
        };
        self.lost(now, chance, why, effects);
    }

    fn lost(&mut self, now: Mono, chance: f64, why: String, effects: &mut Vec<Effect>) {
        match self.phase {
            // The news of a connection that was given up already.
            Phase::Waiting | Phase::Stopped => return,
            Phase::Running if now.since(self.running_since) >= GOOD_AFTER => self.failures = 0,
            _ => {}
        }
        effects.push(Effect::Down(why));
        if self.stopping {
            self.phase = Phase::Waiting;
            return self.end(effects);
        }
        let round = self.failures / u32::try_from(self.ways.len()).unwrap_or(u32::MAX);
        let longest = self.terms.first_wait.saturating_mul(1 << round.min(20)).min(self.terms.longest_wait);
        self.failures = self.failures.saturating_add(1);
        self.server = (self.server + 1) % self.ways.len();
        self.phase = Phase::Waiting;
        self.until = now + longest.mul_f64(chance.clamp(0.0, 1.0));
    }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Whether a heartbeat says nothing that does not fit into twelve bytes.
fn is_plain(input: &Input) -> bool {
    let Input::Beat(beat) = input else { return false };
    let said = Beat { status: beat.status, age: beat.age, ..Beat::alive(beat.service.clone()) };
    *beat == said
}
