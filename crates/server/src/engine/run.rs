//! The loop itself: take what is there, step, write once, go on.
//!
//! A turn takes whatever is queued (at most [`TURN`] pieces of news), oldest first, steps the engine with each at
//! the time it came, and gives all effects to the store as one batch. The engine is told the present time only
//! when nothing waits any more: its time never runs ahead of news that lies in a queue already. The loop never waits for the disk: the batch goes on to the
//! [`follow`](super::follow) task with those whose answers depend on it.

use std::sync::Arc;
use std::time::Duration;

use lifesign_component::{Error, Ready, Stop};
use lifesign_core::effect::Effect;
use lifesign_core::engine::{Answer, Engine, Past};
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::spec::Spec;
use lifesign_core::time::{Mono, Now};
use lifesign_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::follow::{Turn, follow};
use super::queue::{News, Queues, Requests, Stamped};
use super::{Clock, Follow, Request};
use crate::events::{Done, Live, Told};
use crate::figures::Figures;

/// Most pieces of news taken in one turn; what comes after waits for the next, so that what they bring about is
/// carried out.
const TURN: usize = 512;
/// Turns that may wait for the disk. Past this the loop waits too, and heartbeats get 429.
const TURNS_WAITING: usize = 1024;
/// Longest sleep. The runtime's clock stands still while the machine is suspended and ours does not, so
/// the engine's deadlines are looked at this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Shortest sleep, the grain of the runtime's clock.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// What the loop is made of.
pub(crate) struct Loop {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) requests: Requests,
    /// What the agent observes.
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) follow: Follow,
    pub(crate) figures: Figures,
}

/// The loop at work.
struct Running {
    clock: Clock,
    store: Store,
    figures: Figures,
    engine: Engine,
    turn: Turn,
    follow: mpsc::Sender<Turn>,
}

impl Loop {
    /// Runs until told to stop; then finishes what is queued and waits for the disk.
    pub(crate) async fn run(
        self,
        past: Past,
        spec: Arc<Spec>,
        mut ready: Ready,
        mut stop: Stop,
    ) -> Result<(), Error> {
        let Self { clock, store, requests, inputs, follow: following, figures } = self;
        let mut queues = Queues::new(&clock, requests, inputs);
        let (follow_sender, turns) = mpsc::channel(TURNS_WAITING);
        let follower = tokio::spawn(follow(turns, following, figures.clone()));
        let mut running = Running {
            turn: Turn::at(clock.now().wall),
            clock,
            store,
            figures,
            engine: Engine::new(),
            follow: follow_sender,
        };
        let now = running.clock.now();
        running.engine.restore(now, past);
        running.step(now, Input::Configure(spec));
        running.finish_turn().await?;
        ready.tell();

        loop {
            let is_more = running.turn(&mut queues);
            running.finish_turn().await?;
            if is_more {
                // Whoever shares this thread has a right to it too.
                tokio::task::yield_now().await;
            }
            tokio::select! {
                () = stop.given() => break,
                is_asked = queues.wait() => if !is_asked { break },
                () = tokio::time::sleep(running.sleep()) => {}
            }
        }
        queues.close();
        while let Some(news) = queues.oldest() {
            running.take(news);
        }
        running.finish_turn().await?;
        drop(running);
        follower.await.map_err(Into::into)
    }
}

impl Running {
    fn sleep(&self) -> Duration {
        let deadline = self.engine.next_deadline();
        if deadline == Mono::NEVER {
            return LONGEST_SLEEP;
        }
        deadline.since(self.clock.now().mono).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    /// Takes what waits, or a turn's worth of it. Returns whether more may wait.
    fn turn(&mut self, queues: &mut Queues) -> bool {
        let mut last = None;
        for _ in 0..TURN {
            let news = queues.oldest().ok_or_else(|| self.clock.now());
            // The clock is read before the last look into the queues: what is not there by then came later.
            let news = news.or_else(|now| queues.oldest().ok_or(now));
            let news = match news {
                Ok(news) => news,
                Err(now) => {
                    self.tick(now);
                    return false;
                }
            };
            last = Some(news.at.mono);
            self.take(news);
        }
        let late = last.map_or(Duration::ZERO, |last| self.clock.now().mono.since(last));
        self.figures.lateness.observe(late.as_secs_f64());
        true
    }

    /// Steps the engine when its deadline has come.
    fn tick(&mut self, now: Now) {
        let deadline = self.engine.next_deadline();
        if deadline <= now.mono {
            self.figures.lateness.observe(now.mono.since(deadline).as_secs_f64());
            self.step(now, Input::Tick);
        }
    }

    fn step(&mut self, now: Now, input: Input) -> Answer {
        self.figures.steps.inc();
        self.turn.at = now.wall;
        self.engine.step(now, input, &mut self.turn.effects)
    }

    fn take(&mut self, news: Stamped<News>) {
        let Stamped { at, what } = news;
        match what {
            News::Request(request) => self.answer(at, request),
            News::Observed(input) => self.tell(at, input),
        }
    }

    fn answer(&mut self, now: Now, request: Request) {
        match request {
            Request::Beats(beats, answer) => {
                let answers = self.beats(now, beats);
                // Whoever sent the beats may have gone; the beats count all the same.
                let _ = answer.send(answers);
            }
            Request::Durable(input, answer) => {
                let result = self.step(now, input);
                self.turn.answers.push((answer, result));
            }
            Request::Tell(input) => self.tell(now, input),
            Request::Record(effect) => self.turn.effects.push(effect),
            Request::Configure(spec, done) => {
                self.step(now, Input::Configure(spec));
                self.turn.answers.push((done, Answer::Done));
            }
            Request::Read(look) => look(&self.engine, now),
        }
    }

    fn beats(&mut self, now: Now, beats: Vec<Beat>) -> Vec<Answer> {
        self.figures.steps.inc();
        self.turn.at = now.wall;
        let before = self.engine.created();
        let answers = self.engine.step_beats(now, beats, &mut self.turn.effects);
        let services = self.engine.created().saturating_sub(before);
        if services > 0 {
            tracing::info!(services, "Services created by their first heartbeats");
        }
        answers
    }

    fn tell(&mut self, now: Now, input: Input) {
        match &input {
            Input::ActionDone(report) => self.turn.live.push(Live::Action(Done {
                id: Arc::clone(&report.id),
                service: report.service.clone(),
                verb: None,
                by: None,
                result: Some(report.result.clone().map(|_process| ())),
            })),
            Input::Delivery(report) => self.turn.live.push(Live::Notification(Told {
                id: Arc::clone(&report.id),
                receiver: Arc::clone(&report.receiver),
                reason: None,
                incident: report.incident,
                attempts: report.attempt,
                delivered: report.delivered,
                answer: Some(report.answer.clone()),
            })),
            Input::Configure(_)
            | Input::Beat(_)
            | Input::Unit { .. }
            | Input::UnitFacts { .. }
            | Input::Check { .. }
            | Input::Host(_)
            | Input::Link { .. }
            | Input::Late { .. }
            | Input::Order { .. }
            | Input::Tick => {}
        }
        self.step(now, input);
    }

    /// Gives what the turn brought to the store and to those who carry it out.
    async fn finish_turn(&mut self) -> Result<(), Error> {
        if self.turn.is_empty() {
            return Ok(());
        }
        let mut turn = std::mem::replace(&mut self.turn, Turn::at(self.clock.now().wall));
        let kept: Vec<Effect> = turn.effects.iter().filter(|effect| is_kept(effect)).cloned().collect();
        if !kept.is_empty() {
            self.figures.writes.inc();
            turn.commit = Some((Instant::now(), self.store.write(kept)));
        }
        self.follow.send(turn).await.map_err(|_| "the task that carries out effects has ended".into())
    }
}

/// Whether an effect is written down, and not only carried out.
fn is_kept(effect: &Effect) -> bool {
    match effect {
        Effect::LookNow(_) => false,
        Effect::Transition(_)
        | Effect::Incident(_)
        | Effect::Timeline { .. }
        | Effect::Alert(_)
        | Effect::Notify(_)
        | Effect::Act(_)
        | Effect::Remember(_)
        | Effect::Audit(_) => true,
    }
}

/// For those who wait until a turn is on the disk.
pub(crate) type Waiting = (oneshot::Sender<Answer>, Answer);
