//! How services live: they beat, go wrong, and come back.

use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::spec::{HeartbeatSpec, Mode};
use lifesign_core::time::{Mono, Wall};

use super::plan::Trouble;
use super::{Event, SECOND, World};
use crate::fault::Fault;

/// The epoch of a world's clocks.
pub(super) const EPOCH: i64 = 1_700_000_000_000;

impl World {
    pub(super) fn begin_services(&mut self) {
        for service in 0..self.plan.services.len() {
            self.schedule_first_beat(service);
            for check in 0..self.plan.spec.services[service].checks.len() {
                let interval = self.plan.spec.services[service].checks[check].interval;
                let wait = self.chance.time(Duration::ZERO, interval);
                self.after(wait, Event::CheckTurn(service, u16::try_from(check).unwrap_or(0)));
            }
        }
    }

    fn schedule_first_beat(&mut self, service: usize) {
        let Some(heartbeat) = &self.plan.spec.services[service].heartbeat else { return };
        let truth = &mut self.truth.services[service];
        truth.step = 0;
        let wait = if self.now == Mono::ZERO {
            truth.chance.time(Duration::ZERO, heartbeat.interval)
        } else {
            truth.chance.time(Duration::ZERO, SECOND / 5)
        };
        let epoch = truth.epoch;
        self.after(wait, Event::Send(service, epoch));
    }

    /// A sender's turn.
    pub(super) fn send(&mut self, service: usize, epoch: u32) {
        if self.truth.services[service].epoch != epoch {
            return;
        }
        let Some(heartbeat) = self.plan.spec.services[service].heartbeat.clone() else { return };
        let wait = self.next_interval(service, &heartbeat);
        let plan = &self.plan.services[service];
        let truth = &mut self.truth.services[service];
        // The schedule keeps its times; each beat leaves a little later than it should.
        let late = wait.mul_f64(plan.jitter * truth.chance.unit());
        let wait_true = wait.mul_f64(plan.rate);
        let silent = matches!(truth.trouble, Some(Trouble::Hung | Trouble::Mute));
        if !matches!(truth.trouble, Some(Trouble::Stuck | Trouble::Hung)) {
            truth.progress += 1;
        }
        let failing = truth.trouble == Some(Trouble::Failing);
        let beat = Beat {
            status: if failing { BeatStatus::Fail } else { BeatStatus::Alive },
            sent_at: Some(self.sender_time(service)),
            interval: (heartbeat.mode == Mode::Backoff).then_some(wait),
            hears: (heartbeat.mode == Mode::Mutual).then_some(self.truth.services[service].heard),
            progress: heartbeat.progress_within.map(|_| self.truth.services[service].progress),
            metrics: self.metrics(service),
            ..Beat::alive(self.plan.services[service].id.clone())
        };
        if !silent {
            let tries = self.plan.services[service].send_retries;
            self.after(late, Event::Resend(service, beat, tries));
        }
        self.after(wait_true, Event::Send(service, epoch));
    }

    fn next_interval(&mut self, service: usize, heartbeat: &HeartbeatSpec) -> Duration {
        if heartbeat.mode != Mode::Backoff {
            return heartbeat.interval;
        }
        let truth = &mut self.truth.services[service];
        let wait = SECOND.saturating_mul(1 << truth.step.min(6)).min(heartbeat.interval);
        truth.step += 1;
        wait
    }

    fn sender_time(&self, service: usize) -> Wall {
        let wrong =
            if self.plan.faults.has(Fault::SenderClock) { self.truth.services[service].clock } else { 0 };
        let millis = self.now.as_nanos() / 1_000_000;
        Wall::from_millis(EPOCH + i64::try_from(millis).unwrap_or(0) + wrong)
    }

    fn metrics(&mut self, service: usize) -> Vec<(std::sync::Arc<str>, f64)> {
        if self.plan.spec.rules.is_empty() || !service.is_multiple_of(3) {
            return Vec::new();
        }
        // Slow waves, so that the condition of the rule holds for a while now and then.
        let phase = self.now.since(Mono::ZERO).as_secs_f64() / 200.0 + service as f64;
        vec![("cpu".into(), 50.0 + 45.0 * phase.sin())]
    }

    /// Something goes wrong with it, unless something is wrong already.
    pub(super) fn goes_wrong(&mut self, service: usize, trouble: Trouble) {
        let truth = &mut self.truth.services[service];
        if truth.trouble.is_some() || truth.restarting {
            return;
        }
        truth.trouble = Some(trouble);
        match trouble {
            Trouble::Gone(_) => self.figures.deaths += 1,
            Trouble::Hung | Trouble::Lying | Trouble::Stuck | Trouble::Failing | Trouble::Mute => {
                self.figures.hangs += 1;
            }
            Trouble::Stopped => {}
        }
        self.log(|| format!("s{service} goes wrong: {trouble:?}"));
        self.oracle.truth_changed(&self.plan, &self.truth, service, self.observer.run);
        if matches!(trouble, Trouble::Gone(_) | Trouble::Stopped) {
            let truth = &mut self.truth.services[service];
            truth.epoch += 1;
            truth.starting = false;
            self.tell_unit_soon(service);
            if trouble == Trouble::Stopped && self.plan.spec.services[service].heartbeat.is_some() {
                let beat = Beat {
                    status: BeatStatus::Stopping,
                    ..Beat::alive(self.plan.services[service].id.clone())
                };
                self.transmit(service, beat, 2);
            }
        }
    }

    /// Whatever was wrong is over.
    pub(super) fn comes_back(&mut self, service: usize) {
        let truth = &self.truth.services[service];
        if truth.restarting {
            return;
        }
        match truth.trouble {
            Some(Trouble::Gone(_) | Trouble::Stopped) => self.start(service),
            Some(Trouble::Hung | Trouble::Lying | Trouble::Stuck | Trouble::Failing | Trouble::Mute) => {
                self.truth.services[service].trouble = None;
                self.log(|| format!("s{service} is well again"));
                self.oracle.truth_changed(&self.plan, &self.truth, service, self.observer.run);
            }
            None => {}
        }
    }

    /// A new process.
    pub(super) fn start(&mut self, service: usize) {
        let truth = &mut self.truth.services[service];
        truth.pid += 1;
        truth.epoch += 1;
        truth.trouble = None;
        truth.starting = true;
        truth.restarting = false;
        truth.heard = true;
        let (epoch, pid) = (truth.epoch, truth.pid);
        self.log(|| format!("s{service} starts as {pid}"));
        self.tell_unit_soon(service);
        let wait = self.plan.services[service].start;
        self.after(wait, Event::Started(service, epoch));
        self.oracle.truth_changed(&self.plan, &self.truth, service, self.observer.run);
    }

    pub(super) fn started(&mut self, service: usize, epoch: u32) {
        let truth = &mut self.truth.services[service];
        if truth.epoch != epoch {
            return;
        }
        truth.starting = false;
        if self.plan.services[service].tells_start {
            self.tell_unit_soon(service);
        }
        self.schedule_first_beat(service);
        self.oracle.truth_changed(&self.plan, &self.truth, service, self.observer.run);
    }
}
