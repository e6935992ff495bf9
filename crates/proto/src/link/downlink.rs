//! The server's side of one connection as a state machine.
//!
//! It knows nothing of other connections: whether an agent may be who it says it is, and what of its session the
//! server has already, comes from outside with [`Happened::Admitted`].

use std::time::Duration;

use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_core::time::Mono;

use super::frame::{Frame, FrameError, Hello, Item, Order, Refusal, Welcome};
use super::{NEWEST_VERSION, OLDEST_VERSION, common_version};

/// How long an agent may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Each side says something at least this often.
const PING_EVERY: Duration = Duration::from_secs(2);
/// An agent that was not heard for this long is given up.
const SILENCE: Duration = Duration::from_secs(7);
/// Batches that may wait for their acknowledgement.
const WINDOW: u32 = 64;
/// Names one agent may give.
const MAX_NAMES: usize = 1 << 20;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A frame came, or bytes that are none.
    Received(Result<Frame, FrameError>),
    /// Who said hello may be who it says; `taken`: the last batch of its session that the server has.
    Admitted {
        /// The last batch.
        taken: u64,
    },
    /// Who said hello is turned away.
    TurnedAway(Refusal, String),
    /// The engine has every batch up to this one.
    Taken(u64),
    /// The server wants something done.
    Ordered(String, Order),
    /// The connection is gone.
    Lost,
    /// The server stops.
    Stop,
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Find out whether it may be who it says, and answer.
    Admit(Hello),
    /// Send this.
    Send(Frame),
    /// Hand this batch to the engine, and say when it has it.
    Take(u64, Vec<Input>),
    /// Close the connection: why. Nothing follows.
    Close(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing said.
    Silent,
    /// Hello said, and not judged.
    Judging,
    Running,
    Closed,
}

/// The machine.
#[derive(Debug)]
pub struct Downlink {
    phase: Phase,
    began: Mono,
    heard: Mono,
    said: Mono,
    pings: u32,
    their_pings: u32,
    names: Vec<ServiceId>,
    /// The number of the newest batch that came.
    newest: u64,
}

impl Downlink {
    /// A connection that has just been made.
    pub fn new(now: Mono) -> Self {
        Self {
            phase: Phase::Silent,
            began: now,
            heard: now,
            said: now,
            pings: 0,
            their_pings: 0,
            names: Vec::new(),
            newest: 0,
        }
    }

    /// When it wants to be told that time has passed.
    pub fn deadline(&self) -> Mono {
        match self.phase {
            Phase::Silent | Phase::Judging => self.began + HELLO_WITHIN,
            Phase::Running => (self.said + PING_EVERY).min(self.heard + SILENCE),
            Phase::Closed => Mono::NEVER,
        }
    }

    /// Something happened, or time passed.
    pub fn step(&mut self, now: Mono, happened: Happened, deeds: &mut Vec<Deed>) {
        if self.phase == Phase::Closed {
            return;
        }
        match happened {
            Happened::Received(Ok(frame)) => self.received(now, frame, deeds),
            Happened::Received(Err(error)) => self.refuse(Refusal::Protocol, &error.to_string(), deeds),
            Happened::Admitted { taken } if self.phase == Phase::Judging => {
                self.phase = Phase::Running;
                self.newest = taken;
                let welcome = Welcome {
                    version: NEWEST_VERSION,
                    taken,
                    ping_millis: whole_millis(PING_EVERY),
                    silence_millis: whole_millis(SILENCE),
                    window: WINDOW,
                };
                self.send(now, Frame::Welcome(welcome), deeds);
            }
            Happened::TurnedAway(refusal, words) if self.phase == Phase::Judging => {
                self.refuse(refusal, &words, deeds);
            }
            Happened::Admitted { .. } | Happened::TurnedAway(..) | Happened::Tick => {}
            Happened::Taken(number) => self.send(now, Frame::Ack(number), deeds),
            Happened::Ordered(id, order) if self.phase == Phase::Running => {
                self.send(now, Frame::Order(id, order), deeds);
            }
            // It is sent when the agent is back.
            Happened::Ordered(..) => {}
            Happened::Lost => {
                self.phase = Phase::Closed;
                deeds.push(Deed::Close("the connection is gone".to_owned()));
            }
            Happened::Stop => {
                deeds.push(Deed::Send(Frame::Goodbye("the server stops".to_owned())));
                self.close("the server stops".to_owned(), deeds);
            }
        }
        self.tick(now, deeds);
    }

    fn tick(&mut self, now: Mono, deeds: &mut Vec<Deed>) {
        match self.phase {
            Phase::Silent | Phase::Judging if now >= self.began + HELLO_WITHIN => {
                self.close(format!("no word within {HELLO_WITHIN:?}"), deeds);
            }
            Phase::Running if now >= self.heard + SILENCE => {
                self.close(format!("nothing heard for {SILENCE:?}"), deeds);
            }
            Phase::Running if now >= self.said + PING_EVERY => {
                self.pings = self.pings.wrapping_add(1);
                self.send(now, Frame::Ping(self.pings, self.their_pings), deeds);
            }
            _ => {}
        }
    }

    fn received(&mut self, now: Mono, frame: Frame, deeds: &mut Vec<Deed>) {
        self.heard = now;
        match (self.phase, frame) {
            (Phase::Silent, Frame::Hello(hello)) => match common_version(hello.versions) {
                Some(_) => {
                    self.phase = Phase::Judging;
                    deeds.push(Deed::Admit(hello));
                }
                None => {
                    let (oldest, newest) = hello.versions;
                    let words = format!(
                        "the agent speaks versions {oldest} to {newest} of the link, this server {OLDEST_VERSION} to {NEWEST_VERSION}; update the older one"
                    );
                    self.refuse(Refusal::Version, &words, deeds);
                }
            },
            (Phase::Running, Frame::Ping(theirs, _)) => self.their_pings = theirs,
            (Phase::Running, Frame::Goodbye(words)) => self.close(format!("it said: {words}"), deeds),
            (Phase::Running, Frame::Names(names)) => {
                let follows = usize::try_from(names.from).is_ok_and(|from| from == self.names.len());
                if !follows || self.names.len() + names.services.len() > MAX_NAMES {
                    return self.refuse(Refusal::Protocol, "names out of turn, or too many", deeds);
                }
                self.names.extend(names.services);
            }
            (Phase::Running, Frame::News(number, items)) => {
                if self.is_next(number, deeds) {
                    match items.into_iter().map(evidence).collect::<Option<Vec<Input>>>() {
                        Some(inputs) => deeds.push(Deed::Take(number, inputs)),
                        None => self.refuse(Refusal::Protocol, "an agent may tell evidence only", deeds),
                    }
                }
            }
            (Phase::Running, Frame::Beats(number, beats)) => {
                if self.is_next(number, deeds) {
                    let named = |beat: super::Compact| {
                        let service = self.names.get(beat.service as usize)?.clone();
                        Some(Input::Beat(Beat { status: beat.status, age: beat.age, ..Beat::alive(service) }))
                    };
                    match beats.iter().map(named).collect::<Option<Vec<Input>>>() {
                        Some(inputs) => deeds.push(Deed::Take(number, inputs)),
                        None => self.refuse(Refusal::Protocol, "a heartbeat without a name", deeds),
                    }
                }
            }
            _ => self.refuse(Refusal::Protocol, "a frame out of turn", deeds),
        }
    }

    /// Whether a batch is new. Numbers count up: one that came before is a mistake on this connection.
    fn is_next(&mut self, number: u64, deeds: &mut Vec<Deed>) -> bool {
        let is_next = number > self.newest;
        if is_next {
            self.newest = number;
        } else {
            self.refuse(Refusal::Protocol, "a batch that came already", deeds);
        }
        is_next
    }

    fn refuse(&mut self, refusal: Refusal, words: &str, deeds: &mut Vec<Deed>) {
        let frame = match self.phase {
            Phase::Running => Frame::Goodbye(words.to_owned()),
            _ => Frame::Refuse(refusal, words.to_owned()),
        };
        deeds.push(Deed::Send(frame));
        self.close(words.to_owned(), deeds);
    }

    fn close(&mut self, why: String, deeds: &mut Vec<Deed>) {
        self.phase = Phase::Closed;
        deeds.push(Deed::Close(why));
    }

    fn send(&mut self, now: Mono, frame: Frame, deeds: &mut Vec<Deed>) {
        self.said = now;
        deeds.push(Deed::Send(frame));
    }
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What an agent may say, as the engine takes it. `None`: that is not for an agent to say.
fn evidence(item: Item) -> Option<Input> {
    let age = Duration::from_millis(item.age_millis);
    let input = match item.seen {
        Input::Beat(beat) => Input::Beat(Beat { age: beat.age.saturating_add(age), ..beat }),
        seen @ (Input::Unit { .. }
        | Input::UnitFacts { .. }
        | Input::Check { .. }
        | Input::Host(_)
        | Input::ActionDone(_)) => seen,
        Input::Configure(_)
        | Input::Link { .. }
        | Input::Late { .. }
        | Input::Order { .. }
        | Input::Delivery(_)
        | Input::Tick => return None,
    };
    // What an order came to is wanted however late it comes.
    let late = item.late && !matches!(input, Input::ActionDone(_));
    Some(if late { Input::Late { age, input: Box::new(input) } } else { input })
}
