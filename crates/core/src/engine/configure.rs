//! What a new configuration changes: services come, stay under another specification, or go.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::rare::Rare;
use super::service::{OpenIncident, Service};
use super::{Answer, Engine, SNAPSHOT_SILENT, Turn, Wake, jobs, judge};
use crate::check::CheckRun;
use crate::detect::Heart;
use crate::evidence::BeatStatus;
use crate::input::Refusal;
use crate::job::Job;
use crate::model::{Reason, ServiceId, ServiceIx, State};
use crate::mutation::{Rule, on};
use crate::spec::{ServiceSpec, Spec, Unknown};

impl Engine {
    pub(super) fn configure(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        if self.order.is_empty() && self.timers.is_empty() {
            self.timers.push(Reverse((turn.now + SNAPSHOT_SILENT, Wake::Snapshot)));
        }
        self.dispatcher.configure(&spec.routes, &spec.receivers);
        self.budget.configure(turn.now, spec.confirmations_per_second);
        let mut order = Vec::with_capacity(spec.services.len());
        let more = spec.services.len().saturating_sub(self.order.len());
        self.services.reserve_exact(more);
        self.hearts.reserve_exact(more);
        self.by_id.reserve(more);
        for service in &spec.services {
            let ix = match self.by_id.get(&service.id).copied() {
                Some(ix) => {
                    self.respecify(ix, service, turn);
                    ix
                }
                None => self.admit(service, turn),
            };
            self.services[ix.0 as usize].created = false;
            order.push(ix);
        }
        self.unknown.clone_from(&spec.unknown);
        let created = spec.unknown.as_ref().map_or(Vec::new(), |unknown| self.keep_created(unknown, turn));
        self.created = u32::try_from(created.len()).unwrap_or(u32::MAX);
        order.extend(created);
        let kept: HashSet<ServiceIx> = order.iter().copied().collect();
        for ix in self.order.clone().into_iter().filter(|ix| !kept.contains(ix)) {
            self.dismiss(ix, "the configuration no longer names this service", turn);
        }
        self.order = order;
        self.dependents.clear();
        for ix in &self.order {
            let depends_on = &self.services[ix.0 as usize].spec.depends_on;
            for parent in depends_on.iter().flat_map(|dependency| &dependency.of) {
                if let Some(parent) = self.by_id.get(parent) {
                    self.dependents.entry(*parent).or_default().push(*ix);
                }
            }
        }
        self.configure_topology(turn);
        self.configure_rules(&spec.rules, turn);
        for ix in self.order.clone() {
            self.reconsider(ix, turn);
        }
        // Not cleared: what it held of a million services would be held for ever.
        self.past = HashMap::new();
        self.forget_lost_incidents(turn);
    }

    /// Services that heartbeats have made stay, in this life of lifesign and from the one before.
    fn keep_created(&mut self, unknown: &Unknown, turn: &mut Turn<'_>) -> Vec<ServiceIx> {
        let mut kept = Vec::new();
        for ix in self.order.clone() {
            let service = &self.services[ix.0 as usize];
            if service.created {
                let spec = unknown.spec(service.spec.id.clone());
                self.respecify(ix, &spec, turn);
                kept.push(ix);
            }
        }
        let mut former: Vec<ServiceId> =
            self.past.values().filter(|memory| memory.created).map(|memory| memory.service.clone()).collect();
        former.sort_unstable();
        former.truncate((unknown.most as usize).saturating_sub(kept.len()));
        for id in former {
            let ix = self.admit(&unknown.spec(id), turn);
            self.services[ix.0 as usize].created = true;
            kept.push(ix);
        }
        kept
    }

    /// A heartbeat of a service that nobody has named makes one, where that is wanted and there is room.
    pub(super) fn create(&mut self, id: &ServiceId, turn: &mut Turn<'_>) -> Option<usize> {
        let unknown = self.unknown.as_ref().filter(|unknown| self.created < unknown.most)?;
        let spec = unknown.spec(id.clone());
        let ix = self.admit(&spec, turn);
        self.services[ix.0 as usize].created = true;
        self.created += 1;
        self.order.push(ix);
        self.join_host(ix);
        self.reconsider(ix, turn);
        Some(ix.0 as usize)
    }

    /// A service that its own heartbeat has made is watched no longer.
    pub(super) fn forget(&mut self, id: &ServiceId, turn: &mut Turn<'_>) -> Result<Answer, Refusal> {
        let ix = self.by_id.get(id).copied().ok_or_else(|| Refusal::NoSuchService(id.clone()))?;
        if !self.services[ix.0 as usize].created {
            return Err(Refusal::Configured(id.clone()));
        }
        self.dismiss(ix, "somebody ordered to forget this service", turn);
        self.order.retain(|other| *other != ix);
        self.created -= 1;
        self.configure_topology(turn);
        Ok(Answer::Done)
    }

    /// A service that was not watched before.
    fn admit(&mut self, spec: &ServiceSpec, turn: &mut Turn<'_>) -> ServiceIx {
        let ix = ServiceIx(u32::try_from(self.services.len()).unwrap_or(u32::MAX));
        let host = self.hosts.number(&spec.host);
        let mut service = Service::new(ix, host, spec.clone(), turn.now, turn.wall);
        let mut grace = judge::first_grace(spec, turn.now);
        let mut waited = Duration::ZERO;
        // Whether nothing is known of its runs yet; without a job there is nothing to know.
        let mut first_seen = true;
        let moment = jobs::moment(&self.clock, turn);
        service.job = spec.job.clone().map(|job| Box::new(Job::new(job, moment)));
        if let Some(memory) = self.past.remove(&spec.id) {
            service.paused = memory.paused;
            if let Some((job, past)) = spec.job.clone().zip(memory.job) {
                service.job = Some(Box::new(Job::restore(job, *past, moment)));
                first_seen = false;
            }
            service.last_beat = memory.last_heartbeat_at;
            service.remembered_beat = memory.last_heartbeat_at;
            if !memory.restarts.is_empty() {
                let restarts = memory.restarts.iter().map(|at| turn.now.back(turn.wall.since(*at)));
                service.remedy.restore(restarts);
            }
            if memory.restarting {
                // Its stop may be our own, ordered by a life that did not see its end.
                service.remedy.resume(turn.now);
            }
            if let Some((record, timeline)) = memory
                .incident
                .filter(|_| on(Rule::RestoreIncidents))
                .and_then(|id| self.past_incidents.remove(&id))
            {
                service.state = memory.state;
                service.reason = memory.reason;
                service.since = memory.since;
                service.detail = "as it was before lifesign started".into();
                service.incident = Some(Box::new(OpenIncident { record, timeline, process: None }));
            } else if memory.state == State::Down && memory.reason == Some(Reason::StoppedByOperator) {
                service.state = memory.state;
                service.reason = memory.reason;
                service.since = memory.since;
                if spec.unit.is_none() && spec.heartbeat.is_some() {
                    // It said so itself, and nobody else can: its word stands until it is heard again.
                    service.beat_status = BeatStatus::Stopping;
                }
            } else if !first_seen && matches!(memory.state, State::Up | State::Degraded | State::Down) {
                // What is known of its runs outlives us, and so does what was made of it.
                service.state = memory.state;
                service.reason = memory.reason;
                service.since = memory.since;
            }
            // A sender heard in an earlier life must be heard again, after its fair chance. What that life
            // listened in vain counts: frequent restarts must not hide a death.
            if memory.last_heartbeat_at.is_some() && on(Rule::RememberHeard) {
                waited = memory.silence;
                if memory.process.is_some() {
                    service.unit.former_process = memory.process;
                }
                service.remembered_silence = memory.silence;
                grace = turn.now + judge::chance_after(spec, waited);
            }
        }
        service.fails = service.state == State::Down;
        self.count(service.state, 1);
        let mut heart = Heart::new(spec.heartbeat.as_ref(), turn.now, grace);
        heart.wait(turn.now, waited, grace);
        heart.set_askable(judge::is_askable(spec));
        self.hearts.push(heart);
        self.by_id.insert(spec.id.clone(), ix);
        self.services.push(service);
        if !first_seen {
            let service = &self.services[ix.0 as usize];
            let detail = self.describe(ix.0 as usize, service.state, service.reason, turn.now);
            self.services[ix.0 as usize].detail = detail.into();
        } else if spec.job.is_some() {
            // A restart must not put off its first due time.
            self.remember(ix, turn);
        }
        ix
    }

    /// A service that goes on under another specification. Evidence of checks that did not change stays.
    fn respecify(&mut self, ix: ServiceIx, spec: &ServiceSpec, turn: &mut Turn<'_>) {
        let index = ix.0 as usize;
        let service = &mut self.services[index];
        if Arc::ptr_eq(&service.spec.terms, &spec.terms) || service.spec == *spec {
            return;
        }
        let mut old: Vec<_> = service.spec.checks.iter().zip(service.checks.drain(..)).collect();
        service.checks = spec
            .checks
            .iter()
            .map(|check| {
                let same = old.iter().position(|(o, _)| o.kind == check.kind && o.name == check.name);
                same.map_or_else(CheckRun::default, |at| old.swap_remove(at).1)
            })
            .collect();
        if service.spec.unit != spec.unit {
            let process_since = service.unit.process_since;
            service.unit = Rare::default();
            if spec.unit.is_some() {
                service.unit.process_since = process_since;
            }
        }
        let moment = jobs::moment(&self.clock, turn);
        match (&mut service.job, spec.job.clone()) {
            (Some(job), Some(spec)) => job.configure(spec, moment),
            (job, spec) => *job = spec.map(|spec| Box::new(Job::new(spec, moment))),
        }
        service.spec = spec.clone();
        service.host = self.hosts.number(&spec.host);
        let heart = &mut self.hearts[index];
        heart.configure(spec.heartbeat.as_ref(), turn.now, judge::first_grace(spec, turn.now));
        heart.set_askable(judge::is_askable(spec));
    }

    /// A service that is watched no longer, and why.
    fn dismiss(&mut self, ix: ServiceIx, why: &str, turn: &mut Turn<'_>) {
        self.close_incident(ix, why, turn);
        let service = &mut self.services[ix.0 as usize];
        service.watched = false;
        if let Some(remedy) = service.remedy.written() {
            remedy.rest();
        }
        let was_created = std::mem::take(&mut service.created);
        let (id, state) = (service.spec.id.clone(), service.state);
        self.count(state, -1);
        self.by_id.remove(&id);
        if was_created {
            // Or the next life would make it again.
            self.remember(ix, turn);
        }
    }
}
