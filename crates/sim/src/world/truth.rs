//! What really is: the state of every host and every service, whatever anybody believes.

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use lifesign_core::input::Input;
use lifesign_core::time::Mono;

use super::plan::{End, HostKind, Plan, Trouble};
use crate::chance::Chance;

/// One host.
#[derive(Debug)]
pub struct HostTruth {
    /// It stands still.
    pub paused: bool,
    /// Until then.
    pub resumes: Mono,
    /// The network to it is cut.
    pub cut: bool,
    /// Whether its agent is connected.
    pub linked: bool,
    /// What its agent could not tell, and since when it waits.
    pub(super) spool: Vec<(Mono, Input)>,
    /// Counts changes of its reachability.
    pub(super) epoch: u32,
    /// A link keeps the order: nothing arrives before this.
    pub(super) link_busy: Mono,
    /// Events that waited while it stood still.
    pub(super) frozen: u64,
}

/// One service.
#[derive(Debug)]
pub struct ServiceTruth {
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
    /// Whether it is on its way up.
    pub starting: bool,
    /// Whether a restart of ours is under way.
    pub restarting: bool,
    /// Its process.
    pub pid: u32,
    /// Counts its processes, and ends of processes.
    pub(super) epoch: u32,
    /// Its work so far.
    pub(super) progress: u64,
    /// Its clock less the true time, in milliseconds.
    pub(super) clock: i64,
    /// The exponent of its back-off.
    pub(super) step: u32,
    /// In which life of lifesign its last restart was ordered.
    pub(super) ordered_in: u32,
    /// Whether its last beat was answered.
    pub(super) heard: bool,
    /// Chance of its own, so that one service does not disturb another.
    pub(super) chance: Chance,
}

impl ServiceTruth {
    /// Whether it works.
    pub fn is_well(&self) -> bool {
        self.trouble.is_none() && !self.starting && !self.restarting
    }

    /// What its unit looks like.
    pub(super) fn unit(&self, tells_start: bool) -> UnitReport {
        let stopped = |ordered, exit| UnitState::Stopped { ordered, exit };
        let state = match self.trouble {
            _ if self.restarting => UnitState::Starting,
            None if self.starting && tells_start => UnitState::Starting,
            Some(Trouble::Gone(End::Crash)) => stopped(false, Exit::Code(1)),
            Some(Trouble::Gone(End::Kill)) => stopped(false, Exit::Signal(9)),
            Some(Trouble::Gone(End::Exit)) => stopped(false, Exit::Clean),
            Some(Trouble::Stopped) => stopped(true, Exit::Clean),
            Some(Trouble::Hung | Trouble::Lying | Trouble::Stuck | Trouble::Failing | Trouble::Mute)
            | None => UnitState::Running(Some(Process { pid: self.pid, started: u64::from(self.pid) })),
        };
        UnitReport::new(state, "")
    }
}

/// The whole truth.
#[derive(Debug)]
pub struct Truth {
    /// In the order of the plan.
    pub hosts: Vec<HostTruth>,
    /// In the order of the plan.
    pub services: Vec<ServiceTruth>,
}

impl Truth {
    /// The beginning of a world.
    pub fn new(plan: &Plan) -> Self {
        let host = || HostTruth {
            paused: false,
            resumes: Mono::ZERO,
            cut: false,
            linked: false,
            spool: Vec::new(),
            epoch: 0,
            link_busy: Mono::ZERO,
            frozen: 0,
        };
        let service = |n: usize| ServiceTruth {
            trouble: None,
            starting: false,
            restarting: false,
            pid: 1000,
            epoch: 0,
            progress: 0,
            clock: 0,
            step: 0,
            ordered_in: 0,
            heard: true,
            chance: Chance::new(plan.seed, 1000 + n as u64),
        };
        Self {
            hosts: plan.hosts.iter().map(|_| host()).collect(),
            services: (0..plan.services.len()).map(service).collect(),
        }
    }

    /// Whether something in the world itself may make a service look ill: its own trouble, its host's, or the
    /// network's. Never a fault of lifesign.
    pub fn is_troubled(&self, plan: &Plan, service: usize) -> bool {
        !self.services[service].is_well() || self.is_unreachable(plan, plan.services[service].host)
    }

    /// Whether a host stands still or is cut off.
    pub fn is_unreachable(&self, plan: &Plan, host: usize) -> bool {
        plan.hosts[host].kind != HostKind::Local && (self.hosts[host].paused || self.hosts[host].cut)
    }
}

/// The number of a service, from its id.
pub fn index(id: &str) -> Option<usize> {
    id.strip_prefix('s').and_then(|number| number.parse().ok())
}
