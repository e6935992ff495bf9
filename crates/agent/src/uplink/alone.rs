//! What the agent does while no server hears it: it judges its own services, restarts what may be restarted within its
//! budget, and tells the receivers of its own file.
//!
//! Ten seconds after the link was lost a fresh engine begins, as after any start: it takes nothing for known, has every
//! unit and check looked at, and knows of the past only the restarts that count against the budgets, whoever ordered
//! them. When a server hears the agent again, the engine goes and the server takes over. So never do two judge at once:
//! an order of the server needs the link, and this needs that there is none.
//!
//! Pure: the time and what happened come from outside, and what is to be done is returned.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::{Action, Effect, Memory, Notification};
use lifesign_core::engine::{Engine, Past};
use lifesign_core::input::{ALONE, ActionReport, Input};
use lifesign_core::model::{HostName, ServiceId, State};
use lifesign_core::spec::Spec;
use lifesign_core::time::{Mono, Now, Wall};

/// A link that is lost for less than this is the server's affair.
pub(super) const AFTER: Duration = Duration::from_secs(10);
/// The engine must be stepped this often, or it takes the gap for a stall of its own.
const STEP: Duration = Duration::from_millis(250);
/// Restarts that are remembered of each service; no budget is larger.
const REMEMBERED: usize = 1000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    /// Look at this service's unit and checks.
    Look(ServiceId),
    /// Do this. Its report carries the same id.
    Act(Action),
    /// Tell this to a receiver of the agent's own file.
    Tell(Notification),
}

/// The machine.
#[derive(Debug)]
pub(super) struct Alone {
    host: HostName,
    spec: Arc<Spec>,
    /// Since when no server hears the agent; `None`: one does.
    lost_at: Option<Mono>,
    engine: Option<Engine>,
    /// When services were restarted, oldest first.
    restarts: BTreeMap<ServiceId, VecDeque<Wall>>,
    /// Services of which somebody has paused alerts and restarts, as the server said last.
    paused: BTreeSet<ServiceId>,
}

impl Alone {
    /// An agent that no server hears yet.
    pub(super) fn new(host: HostName, spec: Arc<Spec>, now: Mono) -> Self {
        Self {
            host,
            spec,
            lost_at: Some(now),
            engine: None,
            restarts: BTreeMap::new(),
            paused: BTreeSet::new(),
        }
    }

    /// When it wants to be told that time has passed.
    pub(super) fn deadline(&self, now: Mono) -> Mono {
        match (&self.engine, self.lost_at) {
            (Some(engine), _) => engine.next_deadline().min(now + STEP),
            (None, Some(lost_at)) if !self.spec.services.is_empty() => lost_at + AFTER,
            (None, _) => Mono::NEVER,
        }
    }

    /// Whether it judges now.
    pub(super) fn is_at_work(&self) -> bool {
        self.engine.is_some()
    }

    /// A server hears the agent: it takes over, and says anew what is paused.
    pub(super) fn up(&mut self) {
        (self.engine, self.lost_at) = (None, None);
        self.paused.clear();
    }

    /// Exactly these services are paused.
    pub(super) fn pause(&mut self, services: Vec<ServiceId>) {
        self.paused = services.into_iter().collect();
    }

    /// No server hears the agent any more.
    pub(super) fn down(&mut self, now: Mono) {
        self.lost_at.get_or_insert(now);
    }

    /// Something else is watched from now on.
    pub(super) fn watch(&mut self, now: Now, spec: Arc<Spec>) -> Vec<Deed> {
        let ids: BTreeSet<&ServiceId> = spec.services.iter().map(|service| &service.id).collect();
        self.restarts.retain(|service, _| ids.contains(service));
        self.spec = Arc::clone(&spec);
        if self.engine.is_some() { self.step(now, Input::Configure(spec)) } else { Vec::new() }
    }

    /// The agent has seen this. Whether a server hears it or not: restarts count.
    pub(super) fn seen(&mut self, now: Now, input: &Input) -> Vec<Deed> {
        if let Input::ActionDone(report) = input
            && report.result.is_ok()
        {
            let restarts = self.restarts.entry(report.service.clone()).or_default();
            if restarts.len() == REMEMBERED {
                restarts.pop_front();
            }
            restarts.push_back(now.wall);
        }
        if self.engine.is_none() {
            return Vec::new();
        }
        let input = match input {
            Input::ActionDone(report) => match report.id.strip_prefix(ALONE) {
                Some(id) => Input::ActionDone(ActionReport { id: id.into(), ..report.clone() }),
                // The server's own, of before.
                None => return Vec::new(),
            },
            input => input.clone(),
        };
        self.step(now, input)
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Now) -> Vec<Deed> {
        if self.engine.is_some() {
            return self.step(now, Input::Tick);
        }
        let due = self.lost_at.is_some_and(|lost_at| now.mono >= lost_at + AFTER);
        if due && !self.spec.services.is_empty() { self.begin(now) } else { Vec::new() }
    }

    fn begin(&mut self, now: Now) -> Vec<Deed> {
        let mut engine = Engine::new();
        let known: BTreeSet<&ServiceId> = self.restarts.keys().chain(&self.paused).collect();
        let memories = known.into_iter().map(|service| Memory {
            service: service.clone(),
            state: State::Pending,
            reason: None,
            since: now.wall,
            last_heartbeat_at: None,
            silence: Duration::ZERO,
            process: None,
            paused: self.paused.contains(service),
            incident: None,
            restarts: self.restarts.get(service).into_iter().flatten().copied().collect(),
            restarting: false,
            job: None,
            created: false,
        });
        engine.restore(now, Past { memories: memories.collect(), ..Past::default() });
        self.engine = Some(engine);
        let mut deeds = self.step(now, Input::Configure(Arc::clone(&self.spec)));
        // The agent is on this very host: what falls silent here is never the host's silence.
        deeds.extend(self.step(now, Input::Link { host: Arc::clone(&self.host), connected: true }));
        deeds.extend(self.spec.services.iter().map(|service| Deed::Look(service.id.clone())));
        deeds
    }

    fn step(&mut self, now: Now, input: Input) -> Vec<Deed> {
        let Some(engine) = &mut self.engine else { return Vec::new() };
        let mut effects = Vec::new();
        // Whether there was such a service is nobody's question here.
        let _ = engine.step(now, input, &mut effects);
        let deed = |effect| match effect {
            Effect::LookNow(service) => Some(Deed::Look(service)),
            Effect::Act(action) => {
                let id = format!("{ALONE}{}", action.id).into();
                Some(Deed::Act(Action { id, ..action }))
            }
            Effect::Notify(notification) => Some(Deed::Tell(notification)),
            // The server makes the history, from what the agent saw.
            Effect::Transition(_)
            | Effect::Incident(_)
            | Effect::Timeline { .. }
            | Effect::Alert(_)
            | Effect::Remember(_)
            | Effect::Audit(_) => None,
        };
        effects.into_iter().filter_map(deed).collect()
    }
}

#[cfg(test)]
mod tests {
    use lifesign_core::evidence::{Exit, UnitReport, UnitState};
    use lifesign_core::spec::{RestartSpec, ServiceSpec, Terms};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn id() -> ServiceId {
        ServiceId::new("web").unwrap()
    }

    fn spec() -> Arc<Spec> {
        let restart = RestartSpec {
            budget: 2,
            window: 10 * MINUTE,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(1),
            prove_for: Duration::from_secs(1),
        };
        let terms = Terms {
            unit: Some("process web".to_owned()),
            restart: Some(restart),
            ..Terms::on("web-01".into())
        };
        let service = ServiceSpec::new(id(), terms);
        Arc::new(Spec { services: vec![service], ..Spec::default() })
    }

    /// A world with one service, whose process dies as soon as it runs.
    struct World {
        alone: Alone,
        now: Now,
        acts: Vec<Action>,
        looks: usize,
    }

    impl World {
        fn new() -> Self {
            let now = Now { mono: Mono::from_millis(1000), wall: Wall::from_millis(1_800_000_000_000) };
            let alone = Alone::new("web-01".into(), spec(), now.mono);
            Self { alone, now, acts: Vec::new(), looks: 0 }
        }

        fn take(&mut self, deeds: Vec<Deed>) {
            for deed in deeds {
                match deed {
                    Deed::Look(_) => {
                        self.looks += 1;
                        self.dies();
                    }
                    Deed::Act(action) => {
                        let report = ActionReport {
                            id: Arc::clone(&action.id),
                            service: id(),
                            result: Ok(None),
                            refused: false,
                        };
                        self.acts.push(action);
                        let deeds = self.alone.seen(self.now, &Input::ActionDone(report));
                        self.take(deeds);
                        self.dies();
                    }
                    Deed::Tell(_) => {}
                }
            }
        }

        fn dies(&mut self) {
            let state = UnitState::Stopped { ordered: false, exit: Exit::Signal(9) };
            let input = Input::Unit { service: id(), report: UnitReport::new(state, "killed") };
            let deeds = self.alone.seen(self.now, &input);
            self.take(deeds);
        }

        fn pass(&mut self, span: Duration) {
            let end = self.now.mono + span;
            while self.now.mono < end {
                self.now.mono = self.now.mono + STEP;
                self.now.wall = self.now.wall + STEP;
                if self.now.mono >= self.alone.deadline(self.now.mono) || self.alone.is_at_work() {
                    let deeds = self.alone.tick(self.now);
                    self.take(deeds);
                }
            }
        }
    }

    #[test]
    fn it_begins_ten_seconds_after_the_link_was_lost_and_keeps_to_the_budget() {
        let mut world = World::new();
        world.pass(AFTER.saturating_sub(STEP));
        world.dies();
        assert!(!world.alone.is_at_work() && world.acts.is_empty() && world.looks == 0);
        world.pass(STEP);
        assert!(world.alone.is_at_work() && world.looks > 0);
        world.pass(5 * MINUTE);
        assert_eq!(world.acts.len(), 2, "{:?}", world.acts);
        assert!(world.acts.iter().all(|action| action.id.starts_with(ALONE)));
        // As the window moves on there is room again.
        world.pass(10 * MINUTE);
        assert_eq!(world.acts.len(), 4);
    }

    #[test]
    fn what_somebody_has_paused_is_not_restarted_and_a_server_says_anew_what_is_paused() {
        let mut world = World::new();
        world.alone.pause(vec![id()]);
        world.pass(AFTER + 5 * MINUTE);
        assert!(world.alone.is_at_work() && world.looks > 0);
        assert_eq!(world.acts, []);
        world.alone.up();
        world.alone.down(world.now.mono);
        world.pass(AFTER + 5 * MINUTE);
        assert_eq!(world.acts.len(), 2);
    }

    #[test]
    fn a_server_that_hears_it_takes_over_and_restarts_of_before_count_when_it_is_alone_again() {
        let mut world = World::new();
        world.pass(AFTER + MINUTE);
        assert_eq!(world.acts.len(), 2);
        world.alone.up();
        world.dies();
        world.pass(MINUTE);
        assert_eq!((world.acts.len(), world.alone.is_at_work()), (2, false));
        world.alone.down(world.now.mono);
        world.pass(AFTER + MINUTE);
        assert!(world.alone.is_at_work());
        assert_eq!(world.acts.len(), 2, "the budget is used up");
    }

    #[test]
    fn restarts_that_the_server_ordered_count_as_well() {
        let mut world = World::new();
        world.alone.up();
        for order in ["one", "two"] {
            let report = ActionReport { id: order.into(), service: id(), result: Ok(None), refused: false };
            assert!(world.alone.seen(world.now, &Input::ActionDone(report)).is_empty());
        }
        world.alone.down(world.now.mono);
        world.pass(AFTER + MINUTE);
        assert!(world.alone.is_at_work() && world.acts.is_empty());
    }

    #[test]
    fn an_agent_with_nothing_to_watch_never_wakes_for_it() {
        let now = Mono::from_millis(5);
        let alone = Alone::new("web-01".into(), Arc::default(), now);
        assert_eq!(alone.deadline(now), Mono::NEVER);
    }
}
