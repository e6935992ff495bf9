//! What a seed makes of a world before it begins: hosts, services with their specifications, and the times at
//! which something will go wrong.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::model::{CheckKind, ServiceId, Severity};
use lifesign_core::spec::{
    CheckSpec, Comparison, Dependency, DetectorSpec, HeartbeatSpec, Mode, Profile, RestartSpec, RouteSpec,
    RuleSpec, ServiceSpec, Spec, Terms,
};
use lifesign_core::time::Mono;

use crate::chance::Chance;
use crate::fault::{Fault, Faults};

/// How a host is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// The host of lifesign itself: its agent is part of lifesign and shares its fate.
    Local,
    /// Another host with an agent, over a link.
    Remote,
    /// A host without an agent: heartbeats and probes cross the network, and there are no units.
    Bare,
}

/// How a service goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It ended: with this exit code, or by this signal, or with success.
    Gone(End),
    /// It runs, and does nothing.
    Hung,
    /// It beats and refuses.
    Lying,
    /// It beats, answers, and its work stands still.
    Stuck,
    /// It says itself that it fails.
    Failing,
    /// It works, and does not beat.
    Mute,
    /// An operator stopped it.
    Stopped,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Exit code 1.
    Crash,
    /// Signal 9.
    Kill,
    /// Success.
    Exit,
}

/// Something planned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Planned {
    /// A service goes wrong.
    Begins(usize, Trouble),
    /// It comes back, if nothing else brought it back before.
    Ends(usize),
    /// A host stands still, or goes on.
    Pause(usize, bool),
    /// A host is cut off, or not any more.
    Cut(usize, bool),
    /// Lifesign does not run for this time; whether what arrives is lost (suspend). The monotonic clock knows of
    /// it, as `core::time::Mono` demands.
    Stall(Duration, bool),
    /// Lifesign is gone for this time; killed or stopped.
    Down(Duration, bool),
    /// The wall clock steps, in milliseconds.
    Wall(i64),
    /// Inputs are this late for a while: from now on with this lag.
    Lag(Duration),
    /// A person does something with a service: 0 pause, 1 resume, 2 acknowledge, 3 restart.
    Order(usize, u8),
    /// A sender's clock steps, in milliseconds.
    Sender(usize, i64),
}

/// One host.
#[derive(Debug, Clone)]
pub struct HostPlan {
    /// Its name.
    pub name: Arc<str>,
    /// How it is watched.
    pub kind: HostKind,
    /// Share of messages lost.
    pub loss: f64,
    /// Mean of the additional delay of a tenth of the messages.
    pub delay: Duration,
    /// Share of messages that come twice.
    pub duplicate: f64,
}

/// One service beside its specification.
#[derive(Debug, Clone)]
pub struct ServicePlan {
    /// Its host.
    pub host: usize,
    /// Its id.
    pub id: ServiceId,
    /// How fast its clock runs: 1.0 is right.
    pub rate: f64,
    /// The share of the interval by which its beats vary.
    pub jitter: f64,
    /// How often a beat that was not taken is sent again.
    pub send_retries: u32,
    /// Whether a beat that was not taken is handed to the agent of its host, which keeps it for later.
    pub spools: bool,
    /// How long its start takes.
    pub start: Duration,
    /// Whether its unit says that it is starting until it has started.
    pub tells_start: bool,
    /// How long its probes take.
    pub answer: Duration,
    /// How long a probe waits.
    pub check_timeout: Duration,
}

/// A world before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The kinds of fault that are in it.
    pub faults: Faults,
    /// How long it is watched.
    pub length: Duration,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// The services, in the order of the specification.
    pub services: Vec<ServicePlan>,
    /// What lifesign is told.
    pub spec: Arc<Spec>,
    /// What will happen, in no order.
    pub planned: Vec<(Mono, Planned)>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Plan {
    /// The world of this seed.
    pub fn of_seed(seed: u64, faults: Faults) -> Self {
        let mut chance = Chance::new(seed, 1);
        let hosts = hosts(seed, &mut chance, faults);
        let flaps = faults.has(Fault::Flap);
        let count = chance.scale(SECOND, 41 * SECOND).as_secs().min(if flaps { 12 } else { 41 });
        let longest = (60_000 / count).clamp(600, 5400);
        let shortest = if flaps { 4000 } else { 400 };
        let length = Duration::from_secs(chance.between(shortest, longest));
        let mut services = Vec::new();
        let mut specs: Vec<ServiceSpec> = Vec::new();
        for n in 0..usize::try_from(count).unwrap_or(1) {
            let host = usize::try_from(chance.between(0, hosts.len() as u64 - 1)).unwrap_or(0);
            let (plan, spec) = service(n, host, &hosts, &specs, &mut chance);
            services.push(plan);
            specs.push(spec);
        }
        let spec = Arc::new(Spec {
            rules: rules(&specs, &mut chance),
            receivers: vec!["mail".into(), "hook".into()],
            routes: routes(&mut chance),
            confirmations_per_second: chance.one_of(&[200, 200, 5]),
            unknown: None,
            services: specs,
        });
        let mut plan = Self { seed, faults, length, hosts, services, spec, planned: Vec::new() };
        plan.draw_faults();
        plan
    }

    /// Draws when each kind of fault happens.
    fn draw_faults(&mut self) {
        let services = self.services.len();
        let per_service = self.length.mul_f64(1.0 / (0.5 + 2.0 / services as f64).max(0.6));
        for fault in self.faults.iter() {
            let mut chance = Chance::new(self.seed, 100 + fault as u64);
            match fault {
                Fault::Death | Fault::Hang | Fault::Lie | Fault::Stuck | Fault::Stop | Fault::Mute => {
                    for service in 0..services {
                        if fault == Fault::Mute && self.spec.services[service].heartbeat.is_none() {
                            continue;
                        }
                        self.troubles(service, fault, per_service, &mut chance);
                    }
                }
                Fault::HostPause | Fault::Partition => {
                    for host in 0..self.hosts.len() {
                        self.host_faults(host, fault, &mut chance);
                    }
                }
                Fault::Stall => {
                    self.events(self.length / 6, &mut chance, |chance| {
                        let span = chance.scale(SECOND / 10, 300 * SECOND);
                        Planned::Stall(span, false)
                    });
                }
                Fault::Suspend => {
                    self.events(self.length / 3, &mut chance, |chance| {
                        let span = chance.scale(SECOND, 300 * SECOND);
                        Planned::Stall(span, true)
                    });
                }
                Fault::Restart | Fault::Kill => {
                    self.events(self.length / 4, &mut chance, |chance| {
                        Planned::Down(chance.scale(SECOND / 5, 60 * SECOND), fault == Fault::Kill)
                    });
                }
                Fault::Frequent => self.frequent_restarts(&mut chance),
                Fault::Flap => self.flapping(&mut chance),
                Fault::WallStep => {
                    self.events(self.length / 4, &mut chance, |chance| {
                        let step = i64::try_from(chance.between(0, 3_600_000)).unwrap_or(0);
                        Planned::Wall(if chance.happens(0.5) { step } else { -step })
                    });
                }
                Fault::Overload => {
                    self.events(self.length / 8, &mut chance, |chance| {
                        let lag = chance.scale(SECOND / 20, SECOND);
                        Planned::Lag(if chance.happens(0.5) { lag } else { Duration::ZERO })
                    });
                }
                Fault::Orders => {
                    self.events(self.length / 6, &mut chance, |chance| {
                        let at = usize::try_from(chance.between(0, services as u64 - 1)).unwrap_or(0);
                        Planned::Order(at, u8::try_from(chance.between(0, 3)).unwrap_or(0))
                    });
                }
                Fault::SenderClock => {
                    self.events(self.length / 4, &mut chance, |chance| {
                        let at = usize::try_from(chance.between(0, services as u64 - 1)).unwrap_or(0);
                        Planned::Sender(
                            at,
                            i64::try_from(chance.between(0, 7_200_000)).unwrap_or(0) - 3_600_000,
                        )
                    });
                }
                // These have no times of their own.
                Fault::BadRestart
                | Fault::Loss
                | Fault::Delay
                | Fault::Duplicate
                | Fault::LateUnit
                | Fault::SlowStore => {}
            }
        }
    }

    fn events(&mut self, mean: Duration, chance: &mut Chance, what: impl Fn(&mut Chance) -> Planned) {
        let mut at = chance.exponential(mean);
        while at < self.length {
            let planned = what(chance);
            self.planned.push((Mono::ZERO + at, planned));
            // Some faults come in a row.
            let wait = if chance.happens(0.2) {
                chance.scale(SECOND, 30 * SECOND)
            } else {
                chance.exponential(mean)
            };
            at += wait;
        }
    }

    fn troubles(&mut self, service: usize, fault: Fault, mean: Duration, chance: &mut Chance) {
        let mut at = chance.exponential(mean);
        while at < self.length {
            let trouble = match fault {
                Fault::Death => Trouble::Gone(chance.one_of(&[End::Crash, End::Kill, End::Exit])),
                Fault::Hang => Trouble::Hung,
                Fault::Lie => Trouble::Lying,
                Fault::Stuck => chance.one_of(&[Trouble::Stuck, Trouble::Failing]),
                Fault::Mute => Trouble::Mute,
                _ => Trouble::Stopped,
            };
            let lasts = chance.scale(2 * SECOND, 900 * SECOND);
            self.planned.push((Mono::ZERO + at, Planned::Begins(service, trouble)));
            self.planned.push((Mono::ZERO + at + lasts, Planned::Ends(service)));
            at += lasts + chance.exponential(mean);
        }
    }

    /// For a while no life of lifesign is long enough to hold the silence of one of its services against it, and
    /// that service is silent.
    fn frequent_restarts(&mut self, chance: &mut Chance) {
        let hearts = self.spec.services.iter().enumerate().filter_map(|(n, service)| {
            let silence = service.heartbeat.as_ref().map(HeartbeatSpec::longest_silence)?;
            service.depends_on.is_empty().then_some((n, silence))
        });
        let hearts: Vec<(usize, Duration)> = hearts.collect();
        let at = chance.time(self.length / 10, self.length / 2);
        let lasts = chance.scale(60 * SECOND, 1200 * SECOND);
        let mut mean = chance.scale(12 * SECOND, 60 * SECOND);
        if !hearts.is_empty() {
            let (service, silence) = chance.one_of(&hearts);
            mean = silence.mul_f64(0.6).max(mean);
            // The end of a unit is told, its hang is not.
            let silent = if self.spec.services[service].unit.is_some() {
                Trouble::Hung
            } else {
                Trouble::Gone(End::Kill)
            };
            let trouble = chance.one_of(&[silent, Trouble::Mute]);
            self.planned.push((Mono::ZERO + at, Planned::Begins(service, trouble)));
            self.planned.push((Mono::ZERO + at + lasts, Planned::Ends(service)));
        }
        let mut next = at + chance.time(Duration::ZERO, mean / 2);
        while next < (at + lasts).min(self.length) {
            let down = chance.scale(SECOND / 5, 3 * SECOND);
            self.planned.push((Mono::ZERO + next, Planned::Down(down, chance.happens(0.5))));
            next += down + mean / 2 + chance.time(Duration::ZERO, mean);
        }
    }

    /// One service, over and over.
    fn flapping(&mut self, chance: &mut Chance) {
        let last = self.services.len() as u64 - 1;
        let service = usize::try_from(chance.between(0, last)).unwrap_or(0);
        let mut at = chance.time(Duration::ZERO, 300 * SECOND);
        while at < self.length {
            let trouble = chance.one_of(&[Trouble::Gone(End::Crash), Trouble::Hung, Trouble::Hung]);
            let lasts = chance.scale(20 * SECOND, 200 * SECOND);
            self.planned.push((Mono::ZERO + at, Planned::Begins(service, trouble)));
            self.planned.push((Mono::ZERO + at + lasts, Planned::Ends(service)));
            at += lasts + chance.scale(20 * SECOND, 100 * SECOND);
        }
    }

    fn host_faults(&mut self, host: usize, fault: Fault, chance: &mut Chance) {
        let local = self.hosts[host].kind == HostKind::Local;
        let mut at = chance.exponential(self.length / 2);
        while at < self.length {
            let lasts = chance.scale(SECOND, 300 * SECOND);
            // The host of lifesign does not stand still without it, and needs no network to itself.
            if !local {
                let make = |on| match fault {
                    Fault::HostPause => Planned::Pause(host, on),
                    _ => Planned::Cut(host, on),
                };
                self.planned.push((Mono::ZERO + at, make(true)));
                self.planned.push((Mono::ZERO + at + lasts, make(false)));
            }
            at += lasts + chance.exponential(self.length / 2);
        }
    }
}

fn hosts(seed: u64, chance: &mut Chance, faults: Faults) -> Vec<HostPlan> {
    let count = chance.between(1, 4);
    let mut network = Chance::new(seed, 2);
    (0..count)
        .map(|n| {
            let kind = if n == 0 && chance.happens(0.6) {
                HostKind::Local
            } else {
                chance.one_of(&[HostKind::Remote, HostKind::Bare])
            };
            let mut share = |fault, most: f64| {
                let value = network.unit() * most;
                if faults.has(fault) && kind != HostKind::Local { value } else { 0.0 }
            };
            HostPlan {
                name: format!("h{n}").into(),
                kind,
                loss: share(Fault::Loss, 0.2),
                delay: Duration::from_secs_f64(share(Fault::Delay, 5.0)),
                duplicate: share(Fault::Duplicate, 0.3),
            }
        })
        .collect()
}

fn heartbeat(chance: &mut Chance) -> HeartbeatSpec {
    let interval = Duration::from_millis(chance.scale(SECOND, 60 * SECOND).as_secs() * 1000);
    let detector = match chance.between(0, 7) {
        0..=1 => DetectorSpec::Fixed,
        2 => DetectorSpec::Chen { margin: interval.mul_f64(0.2 + chance.unit()), window: 100 },
        3 => DetectorSpec::Accrual { threshold: 3.0 + 9.0 * chance.unit(), window: 100 },
        _ => DetectorSpec::Adaptive(chance.one_of(&[
            Profile::Fast,
            Profile::Default,
            Profile::Default,
            Profile::Strict,
        ])),
    };
    let factor = if detector == DetectorSpec::Fixed { 1.3 + 2.7 * chance.unit() } else { 3.0 };
    HeartbeatSpec {
        interval,
        mode: chance.one_of(&[Mode::Fixed, Mode::Fixed, Mode::Fixed, Mode::Backoff, Mode::Mutual]),
        timeout: interval.mul_f64(factor),
        retries: u32::try_from(chance.between(0, 3)).unwrap_or(0),
        rise: u32::try_from(chance.between(1, 3)).unwrap_or(1),
        detector,
        confirm: chance.happens(0.8),
        progress_within: chance.happens(0.2).then(|| interval * 4),
        second_opinion: None,
    }
}

fn checks(chance: &mut Chance) -> Vec<CheckSpec> {
    let mut checks = Vec::new();
    for group in 0..u16::try_from(chance.between(1, 2)).unwrap_or(1) {
        let kind = chance.one_of(&[CheckKind::Tcp, CheckKind::Http]);
        let interval = Duration::from_millis(chance.scale(2 * SECOND, 30 * SECOND).as_secs() * 1000);
        let size = chance.one_of(&[1, 1, 1, 3]);
        let need = u32::try_from(chance.between(1, size)).unwrap_or(1);
        let (rise, fall) = (chance.between(1, 3), chance.between(1, 3));
        for n in 0..size {
            checks.push(CheckSpec {
                kind,
                name: format!("{kind}-{group}-{n}").into(),
                interval,
                rise: u32::try_from(rise).unwrap_or(1),
                fall: u32::try_from(fall).unwrap_or(1),
                group,
                need,
            });
        }
    }
    checks
}

fn service(
    n: usize,
    host: usize,
    hosts: &[HostPlan],
    before: &[ServiceSpec],
    chance: &mut Chance,
) -> (ServicePlan, ServiceSpec) {
    let id = ServiceId::new(&format!("s{n}")).unwrap_or_else(|_| unreachable!("the letters of an id"));
    let has_unit = hosts[host].kind != HostKind::Bare && chance.happens(0.6);
    let has_heart = chance.happens(0.75);
    let has_checks = chance.happens(0.5) || !(has_unit || has_heart);
    let depends_on =
        if !before.is_empty() && chance.happens(0.25) { dependency(before, chance) } else { Vec::new() };
    let restart = (has_unit && chance.happens(0.6)).then(|| RestartSpec {
        budget: u32::try_from(chance.between(0, 4)).unwrap_or(0),
        window: chance.scale(60 * SECOND, 600 * SECOND),
        backoff_min: chance.scale(SECOND / 2, 10 * SECOND),
        backoff_max: chance.scale(10 * SECOND, 120 * SECOND),
        prove_for: chance.scale(SECOND, 20 * SECOND),
    });
    let spec = ServiceSpec::new(
        id.clone(),
        Terms {
            unit: has_unit.then(|| format!("systemd s{n}.service")),
            heartbeat: has_heart.then(|| heartbeat(chance)),
            checks: if has_checks { checks(chance) } else { Vec::new() },
            depends_on,
            restart,
            alert_on_degraded: chance.happens(0.3),
            severity: chance.one_of(&[Severity::Critical, Severity::Critical, Severity::Warning]),
            start_grace: chance.scale(2 * SECOND, 30 * SECOND),
            ..Terms::on(Arc::clone(&hosts[host].name))
        },
    );
    let plan = ServicePlan {
        host,
        id,
        rate: 1.0 + (chance.unit() - 0.5) * 4e-4,
        jitter: 0.02 * chance.unit(),
        send_retries: u32::try_from(chance.between(0, 2)).unwrap_or(0),
        spools: hosts[host].kind == HostKind::Remote && chance.happens(0.5),
        tells_start: chance.happens(0.4),
        start: chance.scale(SECOND / 20, 2 * SECOND).min(spec.start_grace / 2),
        answer: chance.scale(SECOND / 1000, SECOND / 10),
        check_timeout: SECOND,
    };
    (plan, spec)
}

fn dependency(before: &[ServiceSpec], chance: &mut Chance) -> Vec<Dependency> {
    let mut pick =
        || before[usize::try_from(chance.between(0, before.len() as u64 - 1)).unwrap_or(0)].id.clone();
    let mut of = vec![pick(), pick(), pick()];
    of.sort();
    of.dedup();
    if chance.happens(0.5) {
        of.truncate(1);
    }
    let need = u32::try_from(chance.between(1, of.len() as u64)).unwrap_or(1);
    vec![Dependency { of, need }]
}

fn rules(services: &[ServiceSpec], chance: &mut Chance) -> Vec<RuleSpec> {
    if chance.happens(0.5) {
        return Vec::new();
    }
    vec![RuleSpec {
        alert: "HighCpu".into(),
        when: "cpu > 90".into(),
        metric: "cpu".into(),
        comparison: Comparison::Greater,
        threshold: 90.0,
        hold: chance.scale(SECOND, 60 * SECOND),
        severity: Severity::Warning,
        service: None,
        notify: if chance.happens(0.3) { vec!["mail".into()] } else { Vec::new() },
        restart: chance.happens(0.3) && services.iter().any(|service| service.restart.is_some()),
    }]
}

fn routes(chance: &mut Chance) -> Vec<RouteSpec> {
    if chance.happens(0.3) {
        return Vec::new();
    }
    let group_by = chance.one_of(&["service", "service", "host", "alertname"]);
    vec![RouteSpec {
        matches: Vec::new(),
        receivers: vec!["hook".into()],
        group_by: vec![group_by.into()],
        group_wait: chance.one_of(&[Duration::ZERO, 5 * SECOND, 30 * SECOND]),
        group_interval: chance.one_of(&[30 * SECOND, 300 * SECOND]),
        repeat_interval: chance.one_of(&[600 * SECOND, 4 * 3600 * SECOND]),
    }]
}
