//! What waits for the engine, each piece with the time at which it came.
//!
//! The engine judges by the time at which news arrived, not by the time at which the loop got round to it: under
//! load, or after a turn that took long, heartbeats would look late and living services dead. So whoever puts a
//! piece of news into a queue reads the clock, and the loop takes the oldest piece of all queues first. Only when
//! nothing waits any more does the present time count. Where nobody could put anything into the queues either
//! (the process was stopped, a queue was full), the stamps have a gap, and the engine takes that for what it is:
//! its own absence.

use std::fmt;

use lifesign_core::input::Input;
use lifesign_core::time::Now;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Clock, Request, Unreached};

/// Requests that may wait for the engine. When it is full, heartbeats get 429 and everybody else waits.
const REQUESTS: usize = 4096;
/// Observations of the agent that may wait for the engine. When it is full, they wait in the agent's channel.
const OBSERVATIONS: usize = 4096;

/// A piece of news and when it came.
pub(super) struct Stamped<T> {
    pub(super) at: Now,
    pub(super) what: T,
}

/// Puts news into one queue.
pub(super) struct Inlet<T> {
    clock: Clock,
    queue: mpsc::Sender<Stamped<T>>,
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self { clock: self.clock.clone(), queue: self.queue.clone() }
    }
}

impl<T> fmt::Debug for Inlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl<T> Inlet<T> {
    fn new(clock: Clock, room: usize) -> (Self, mpsc::Receiver<Stamped<T>>) {
        let (queue, outlet) = mpsc::channel(room);
        (Self { clock, queue }, outlet)
    }

    /// Waits for room, then puts `what` there. It has come when there was room for it.
    pub(super) async fn put(&self, what: T) -> Result<(), Unreached> {
        let room = self.queue.reserve().await.map_err(|_| Unreached::Gone)?;
        room.send(Stamped { at: self.clock.now(), what });
        Ok(())
    }

    /// Puts `what` there if there is room.
    pub(super) fn try_put(&self, what: T) -> Result<(), Unreached> {
        let room = self.queue.try_reserve().map_err(|refused| match refused {
            TrySendError::Full(()) => Unreached::Busy,
            TrySendError::Closed(()) => Unreached::Gone,
        })?;
        room.send(Stamped { at: self.clock.now(), what });
        Ok(())
    }

    /// How many pieces wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity().saturating_sub(self.queue.capacity())
    }
}

/// The queue of requests: who puts, and what the loop reads.
pub(crate) fn requests(clock: Clock) -> (super::EngineHandle, Requests) {
    let (requests, outlet) = Inlet::new(clock, REQUESTS);
    (super::EngineHandle { requests }, Requests(outlet))
}

/// What the loop reads of those who ask it for something.
#[derive(Debug)]
pub(crate) struct Requests(mpsc::Receiver<Stamped<Request>>);

/// What waits for the engine.
pub(super) enum News {
    /// Somebody asks for something.
    Request(Request),
    /// The agent has seen something.
    Observed(Input),
}

/// All queues of the loop.
pub(super) struct Queues {
    requests: mpsc::Receiver<Stamped<Request>>,
    observations: mpsc::Receiver<Stamped<Input>>,
    /// The oldest piece of each, taken out already.
    request: Option<Stamped<Request>>,
    observation: Option<Stamped<Input>>,
    /// Whether observations can still come.
    agent: bool,
}

impl Queues {
    /// The queue of `requests`, and one that a task of its own fills from `inputs`.
    pub(super) fn new(clock: &Clock, requests: Requests, mut inputs: mpsc::Receiver<Input>) -> Self {
        let (inlet, observations) = Inlet::new(clock.clone(), OBSERVATIONS);
        tokio::spawn(async move {
            while let Some(input) = inputs.recv().await {
                if inlet.put(input).await.is_err() {
                    return;
                }
            }
        });
        Self { requests: requests.0, observations, request: None, observation: None, agent: true }
    }

    /// Takes the oldest piece of news, if there is any.
    pub(super) fn oldest(&mut self) -> Option<Stamped<News>> {
        if self.request.is_none() {
            self.request = self.requests.try_recv().ok();
        }
        if self.observation.is_none() {
            self.observation = self.observations.try_recv().ok();
        }
        let is_request_older = match (&self.request, &self.observation) {
            (Some(request), Some(observation)) => request.at.mono <= observation.at.mono,
            (request, _) => request.is_some(),
        };
        if is_request_older {
            self.request.take().map(|Stamped { at, what }| Stamped { at, what: News::Request(what) })
        } else {
            self.observation.take().map(|Stamped { at, what }| Stamped { at, what: News::Observed(what) })
        }
    }

    /// Waits until there is news. `false`: nobody can ask for anything any more. May be dropped at any time.
    pub(super) async fn wait(&mut self) -> bool {
        if self.request.is_some() || self.observation.is_some() {
            return true;
        }
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    self.request = request;
                    return self.request.is_some();
                }
                observation = self.observations.recv(), if self.agent => match observation {
                    Some(_) => {
                        self.observation = observation;
                        return true;
                    }
                    // No agent (any more): the server goes on with what people and programs send.
                    None => self.agent = false,
                },
            }
        }
    }

    /// Takes no more news; what waits can still be taken.
    pub(super) fn close(&mut self) {
        self.requests.close();
        self.observations.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use lifesign_core::time::{Mono, Wall};

    use super::*;

    /// A clock that stands still until it is set, in milliseconds.
    fn clock() -> (Clock, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&millis);
        let clock = Clock::new(move || Now {
            mono: Mono::from_millis(read.load(Ordering::SeqCst)),
            wall: Wall::from_millis(0),
        });
        (clock, millis)
    }

    fn said(news: &Stamped<News>) -> (u64, &'static str) {
        let who = match &news.what {
            News::Request(_) => "request",
            News::Observed(_) => "observed",
        };
        (news.at.mono.as_nanos() / 1_000_000, who)
    }

    #[tokio::test]
    async fn the_oldest_of_all_queues_is_taken_first_with_the_time_it_came() {
        let (clock, millis) = clock();
        let (engine, outlet) = requests(clock.clone());
        let (agent, inputs) = mpsc::channel(1);
        let mut queues = Queues::new(&clock, outlet, inputs);
        for at in [1, 3, 4] {
            millis.store(at, Ordering::SeqCst);
            engine.requests.try_put(Request::Tell(Input::Tick)).unwrap();
            millis.store(at + 1, Ordering::SeqCst);
            if at != 3 {
                let known = queues.observations.len();
                agent.send(Input::Tick).await.unwrap();
                // Until it has been stamped.
                while queues.observations.len() == known {
                    tokio::task::yield_now().await;
                }
            }
        }
        millis.store(100, Ordering::SeqCst);
        let order: Vec<_> = std::iter::from_fn(|| queues.oldest().map(|news| said(&news))).collect();
        assert_eq!(order, [(1, "request"), (2, "observed"), (3, "request"), (4, "request"), (5, "observed")]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_what_waits_for_room_comes_when_there_is_some() {
        let (clock, millis) = clock();
        let (inlet, mut outlet) = Inlet::new(clock, 1);
        inlet.try_put("first").unwrap();
        assert_eq!(inlet.try_put("refused"), Err(Unreached::Busy));
        assert_eq!(inlet.waiting(), 1);
        let waiting = tokio::spawn({
            let inlet = inlet.clone();
            async move { inlet.put("second").await }
        });
        tokio::task::yield_now().await;
        millis.store(7, Ordering::SeqCst);
        assert_eq!(outlet.recv().await.unwrap().what, "first");
        let second = outlet.recv().await.unwrap();
        assert_eq!((second.what, second.at.mono), ("second", Mono::from_millis(7)));
        waiting.await.unwrap().unwrap();
        drop(outlet);
        assert_eq!(inlet.try_put("late"), Err(Unreached::Gone));
        assert_eq!(inlet.put("late").await, Err(Unreached::Gone));
    }

    #[tokio::test]
    async fn without_an_agent_requests_go_on_and_without_anybody_it_is_over() {
        let (clock, _) = clock();
        let (engine, outlet) = requests(clock.clone());
        let (agent, inputs) = mpsc::channel(1);
        let mut queues = Queues::new(&clock, outlet, inputs);
        drop(agent);
        engine.requests.try_put(Request::Tell(Input::Tick)).unwrap();
        assert!(queues.wait().await);
        assert!(queues.wait().await, "it has not been taken yet");
        assert!(queues.oldest().is_some());
        drop(engine);
        assert!(!queues.wait().await);
        assert!(queues.oldest().is_none());
    }
}
