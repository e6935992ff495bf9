//! Where services run: a host that is gone makes one incident, not fifty.
//!
//! Only hearts that nobody on the host can vouch for are counted. When at least [`FEWEST`] of a host's hearts, and half of
//! those that were beating, fall silent within one and a half of their intervals, the host is *gone*: three by
//! chance among fifty services with one false suspicion a day each happens about once in 10⁷ such windows. When
//! more than [`BLIND_PERCENT`] of at least two hosts are gone, the likely common cause is the network, or us:
//! the rule by which Kubernetes stops evicting when whole zones vanish (`pkg/controller/nodelifecycle`).
//!
//! One heartbeat brings a host back; its other services then have the time of a first heartbeat. Where nobody had
//! been told and it comes from a service that was never late, the host was not away, or for less than that service's
//! interval: then one and a half intervals of their own are enough.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::hosts::{HostIx, Tally};
use super::incident::incident_alert;
use super::service::{MAX_TIMELINE, OpenIncident};
use super::{Engine, Turn, judge};
use crate::effect::{Effect, Incident, TimelineEntry};
use crate::model::{HostName, IncidentId, Reason, ServiceId, ServiceIx, Severity, State};
use crate::mutation::{Rule, on};
use crate::time::{Mono, Wall};
use crate::verdict::{HeartEvidence, UnitEvidence};

/// Fewer silent services than this say nothing about their host.
pub(super) const FEWEST: usize = 3;
/// More than this part of the hosts gone at once: the network.
const BLIND_PERCENT: usize = 55;
/// Hosts are named by at most this many services in an incident's detail.
const NAMED: usize = 5;

/// Whether an agent on the host speaks to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Link {
    /// No agent has ever been there.
    #[default]
    None,
    /// It is there, so the host is.
    Connected,
    /// It was there, and is given up.
    Lost,
}

/// What is known of one host beside its figures.
#[derive(Debug, Default)]
pub(super) struct Reach {
    link: Link,
    /// Services with a heart that only the network carries.
    members: usize,
    /// Of these, late now.
    late: usize,
    /// Late since when, the last of them; entries whose service has beaten since are dropped lazily.
    recent: VecDeque<(Mono, ServiceIx)>,
    /// Entries of `recent` that still hold.
    recent_late: usize,
    /// The longest interval among the members.
    longest: Duration,
    gone: bool,
    /// Since when, on the virtual clock; what was heard before is no return.
    gone_since: Mono,
    incident: Option<OpenIncident>,
}

impl Reach {
    /// Whether enough of the host fell silent together.
    fn looks_gone(&self) -> bool {
        let long_silent = self.late.saturating_sub(self.recent_late);
        self.recent_late >= if on(Rule::Fewest) { FEWEST } else { 1 }
            && self.recent_late * 2 >= self.members.saturating_sub(long_silent)
    }

    /// What it adds to the tally of all hosts.
    pub(super) fn counts(&self) -> Tally {
        let peopled = self.members > 0 || self.link != Link::None;
        Tally {
            peopled: usize::from(peopled),
            gone: usize::from(peopled && self.gone),
            blamed: usize::from(self.incident.is_some()),
        }
    }

    /// One more service of which only the network carries the heart.
    fn admit(&mut self, interval: Duration, is_late: bool) {
        self.members += 1;
        self.late += usize::from(is_late);
        self.longest = self.longest.max(interval);
    }
}

/// Many hosts gone at once.
#[derive(Debug, Default)]
pub(super) struct Network {
    incident: Option<OpenIncident>,
}

impl Engine {
    pub(super) fn host_is_gone(&self, host: HostIx) -> bool {
        self.hosts[host].reach().gone
    }

    /// Counts the members of each host anew after a change of the configuration.
    pub(super) fn configure_topology(&mut self, turn: &mut Turn<'_>) {
        for ix in self.hosts.numbers() {
            self.hosts.get_mut(ix).services.clear();
            self.hosts.change(ix, |reach| {
                reach.members = 0;
                reach.late = 0;
                reach.recent.clear();
                reach.recent_late = 0;
                reach.longest = Duration::ZERO;
            });
        }
        for place in 0..self.order.len() {
            self.join_host(self.order[place]);
        }
        for (ix, record, timeline) in self.hosts_incidents_of_the_past() {
            self.hosts.change(ix, |reach| {
                reach.gone = true;
                reach.incident = Some(OpenIncident { record, timeline, process: None });
            });
        }
        let network = self
            .past_incidents
            .iter()
            .find(|(_, (record, _))| record.service_id == network_id())
            .map(|(key, _)| *key);
        if let Some((record, timeline)) = network.and_then(|key| self.past_incidents.remove(&key)) {
            self.network.incident = Some(OpenIncident { record, timeline, process: None });
            for ix in self.hosts.numbers() {
                self.hosts.change(ix, |reach| reach.gone = reach.members > 0);
            }
        }
        for ix in self.hosts.numbers() {
            let reach = self.hosts[ix].reach();
            if reach.gone && reach.members == 0 && reach.link != Link::Lost {
                self.host_returns(ix, "the configuration names nothing on it any more", true, turn);
            }
        }
    }

    /// The service counts for its host from now on.
    pub(super) fn join_host(&mut self, ix: ServiceIx) {
        let service = &self.services[ix.0 as usize];
        let host = service.host;
        self.hosts.get_mut(host).services.push(ix);
        if let Some(heartbeat) = &service.spec.heartbeat {
            let (interval, is_late) = (heartbeat.interval, service.late_since.is_some());
            self.hosts.change(host, |reach| reach.admit(interval, is_late));
        }
    }

    /// Incidents about hosts that an earlier life left open, when the host is still watched.
    fn hosts_incidents_of_the_past(&mut self) -> Vec<(HostIx, Incident, Vec<TimelineEntry>)> {
        if self.past_incidents.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for ix in self.hosts.numbers() {
            let id = host_id(&self.hosts[ix].name);
            let key = self
                .past_incidents
                .iter()
                .find(|(_, (record, _))| record.service_id == id)
                .map(|(key, _)| *key);
            if let Some((record, timeline)) = key.and_then(|key| self.past_incidents.remove(&key)) {
                found.push((ix, record, timeline));
            }
        }
        found
    }

    /// Keeps the count of late hearts of the service's host, and judges the host when it changes.
    pub(super) fn watch_host(&mut self, index: usize, turn: &mut Turn<'_>) {
        let service = &self.services[index];
        let evidence = self.heart_evidence(index);
        let vouched = matches!(service.unit_evidence(), UnitEvidence::Running | UnitEvidence::Stopped(_))
            || service.probe_evidence().is_favourable();
        let late = matches!(evidence, HeartEvidence::Late | HeartEvidence::Silent) && !vouched;
        let was_late = service.late_since.is_some();
        let host = service.host;
        let ix = service.ix;
        match (late, service.late_since) {
            (true, None) => {
                let services = &self.services;
                let goes = self.hosts.change(host, |reach| {
                    let window = reach.longest * 3 / 2;
                    while let Some((since, old)) = reach.recent.front().copied() {
                        if since + window >= turn.now {
                            break;
                        }
                        reach.recent.pop_front();
                        if services[old.0 as usize].late_since == Some(since) {
                            reach.recent_late = reach.recent_late.saturating_sub(1);
                        }
                    }
                    reach.recent.push_back((turn.now, ix));
                    reach.late += 1;
                    reach.recent_late += 1;
                    !reach.gone && reach.link != Link::Connected && reach.looks_gone()
                });
                self.services[index].late_since = Some(turn.now);
                if goes {
                    self.host_goes(host, turn);
                }
            }
            (false, Some(since)) => {
                self.hosts.change(host, |reach| {
                    reach.late = reach.late.saturating_sub(1);
                    if reach.recent.front().is_some_and(|(oldest, _)| *oldest <= since) {
                        reach.recent_late = reach.recent_late.saturating_sub(1);
                    }
                });
                self.services[index].late_since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        let heard = evidence == HeartEvidence::Beating && on(Rule::HostReturns);
        let last = self.hearts[index].last();
        let reach = self.hosts[host].reach();
        if heard && reach.gone && reach.link != Link::Lost && last > reach.gone_since {
            self.host_returns(host, "it is heard again", was_late, turn);
        }
    }

    /// The agent of a host is there, or is given up by whoever watches its link.
    pub(super) fn on_link(&mut self, name: &HostName, connected: bool, turn: &mut Turn<'_>) {
        let host = self.hosts.number(name);
        let link = if connected { Link::Connected } else { Link::Lost };
        let before = self.hosts.change(host, |reach| std::mem::replace(&mut reach.link, link));
        if before == link {
            return;
        }
        let is_gone = self.host_is_gone(host);
        if connected && is_gone {
            self.host_returns(host, "its agent is connected again", true, turn);
        } else if !connected && !is_gone {
            self.host_goes(host, turn);
        } else {
            // A trouble of the network that an earlier life had seen may be over with it.
            self.judge_network(turn);
        }
        for ix in self.hosts[host].services.clone() {
            self.services[ix.0 as usize].host_lost = !connected;
            self.reconsider(ix, turn);
        }
    }

    fn host_goes(&mut self, host: HostIx, turn: &mut Turn<'_>) {
        self.hosts.change(host, |reach| {
            reach.gone = true;
            reach.gone_since = turn.now;
        });
        self.judge_network(turn);
        if self.hosts[host].reach().link == Link::Lost {
            self.blame_host(host, turn);
        }
    }

    /// A service was given up because its host is gone: now somebody must know.
    pub(super) fn blame_host(&mut self, ix: HostIx, turn: &mut Turn<'_>) {
        if self.network.incident.is_some() || self.network_looks_down() {
            return self.open_network_incident(turn);
        }
        let host = &self.hosts[ix];
        if host.reach().incident.is_some() {
            return;
        }
        let name = Arc::clone(&host.name);
        let silent: Vec<&str> = host
            .services
            .iter()
            .map(|ix| &self.services[ix.0 as usize])
            .filter(|service| service.late_since.is_some())
            .map(|service| service.spec.id.as_str())
            .collect();
        let detail = match host.reach().link {
            Link::Lost => format!("the agent on {name} does not answer"),
            Link::None | Link::Connected => {
                format!(
                    "{} of {} services on {name} fell silent together: {}",
                    silent.len(),
                    host.reach().members,
                    named(&silent)
                )
            }
        };
        let open = self.open_group("HostDown", host_id(&name), &name, &detail, turn);
        self.hosts.change(ix, |reach| reach.incident = Some(open));
    }

    /// A host is there again. `was_away`: as far as can be known; else a service on it was heard all the time.
    fn host_returns(&mut self, host: HostIx, why: &str, was_away: bool, turn: &mut Turn<'_>) {
        let open = self.hosts.change(host, |reach| {
            reach.gone = false;
            reach.recent.clear();
            reach.recent_late = 0;
            reach.incident.take()
        });
        let was_away = was_away || open.is_some() || self.network.incident.is_some();
        if let Some(open) = open {
            self.close_group(open, why, turn);
        }
        self.judge_network(turn);
        for ix in self.hosts[host].services.clone() {
            let service = &mut self.services[ix.0 as usize];
            if service.late_since.is_some() {
                // The others come back one by one.
                let interval = service.spec.heartbeat.as_ref().map_or(Duration::ZERO, |heart| heart.interval);
                let time = if was_away { judge::chance(&service.spec) } else { interval * 3 / 2 };
                service.settle_until = turn.now + time;
                service.excuse = Reason::HostUnreachable;
                self.arm(ix);
            }
        }
    }

    fn network_looks_down(&self) -> bool {
        let Tally { peopled, gone, .. } = self.hosts.tally();
        gone >= 2 && gone * 100 > peopled * BLIND_PERCENT
    }

    /// Opens or closes the incident about the network as hosts go and return.
    fn judge_network(&mut self, turn: &mut Turn<'_>) {
        let down = self.network_looks_down();
        if !down && let Some(open) = self.network.incident.take() {
            self.close_group(open, "most hosts are heard again", turn);
            for ix in self.hosts.numbers() {
                let reach = self.hosts[ix].reach();
                if !reach.gone {
                    continue;
                }
                if reach.late == 0 && reach.link != Link::Lost {
                    // It was only presumed, with a trouble of the network that an earlier life had seen.
                    self.hosts.change(ix, |reach| reach.gone = false);
                } else {
                    self.blame_host(ix, turn);
                }
            }
        } else if down && self.hosts.tally().blamed > 0 {
            self.open_network_incident(turn);
        }
    }

    fn open_network_incident(&mut self, turn: &mut Turn<'_>) {
        if self.network.incident.is_none() {
            let gone: Vec<&str> =
                self.hosts.iter().filter(|host| host.reach().gone).map(|host| host.name.as_ref()).collect();
            let detail = format!(
                "{} hosts fell silent together, so the likely cause is the network between them and lifesign: {}",
                gone.len(),
                named(&gone)
            );
            let open = self.open_group("NetworkDown", network_id(), "network", &detail, turn);
            self.network.incident = Some(open);
        }
        if self.hosts.tally().blamed == 0 {
            return;
        }
        for ix in self.hosts.numbers() {
            if let Some(open) = self.hosts.change(ix, |reach| reach.incident.take()) {
                self.close_group(open, "part of a trouble of the network", turn);
            }
        }
    }

    fn open_group(
        &mut self,
        alert: &str,
        service_id: ServiceId,
        host: &str,
        detail: &str,
        turn: &mut Turn<'_>,
    ) -> OpenIncident {
        let id = IncidentId(self.next_incident);
        self.next_incident += 1;
        let record = Incident {
            id,
            service_id,
            host: host.into(),
            state: State::Down,
            reason: Some(Reason::HostUnreachable),
            severity: Severity::Critical,
            opened_at: turn.wall,
            detected_at: turn.wall,
            closed_at: None,
            acknowledged_by: None,
        };
        turn.out.push(Effect::Incident(record.clone()));
        let mut open = OpenIncident { record, timeline: Vec::new(), process: None };
        note_group(&mut open, turn.wall, "opened", detail, turn.out);
        let fired = incident_alert(alert, &open.record, detail);
        self.fire(fired, &[], turn);
        open
    }

    fn close_group(&mut self, mut open: OpenIncident, why: &str, turn: &mut Turn<'_>) {
        note_group(&mut open, turn.wall, "closed", why, turn.out);
        open.record.closed_at = Some(turn.wall);
        self.end_incident(&open.record, why, turn);
    }

    /// Incidents about hosts and the network.
    pub(super) fn group_incidents(&self) -> impl Iterator<Item = &OpenIncident> {
        let hosts = self.hosts.iter().filter_map(|host| host.reach().incident.as_ref());
        hosts.chain(self.network.incident.as_ref())
    }

    /// Changes the record of the open incident `id` about a host or the network. `None`: there is no such.
    pub(super) fn change_group<R>(
        &mut self,
        id: IncidentId,
        change: impl FnOnce(&mut OpenIncident) -> R,
    ) -> Option<R> {
        if let Some(open) = self.network.incident.as_mut().filter(|open| open.record.id == id) {
            return Some(change(open));
        }
        let is_it =
            |ix: &HostIx| self.hosts[*ix].reach().incident.as_ref().is_some_and(|open| open.record.id == id);
        let host = self.hosts.numbers().into_iter().find(is_it)?;
        self.hosts.change(host, |reach| reach.incident.as_mut().map(change))
    }
}

/// Adds a line to the timeline of an incident that belongs to no single service.
pub(super) fn note_group(open: &mut OpenIncident, at: Wall, what: &str, detail: &str, out: &mut Vec<Effect>) {
    let entry = TimelineEntry { at, what: what.into(), detail: detail.to_owned() };
    if open.timeline.len() < MAX_TIMELINE {
        open.timeline.push(entry.clone());
    }
    out.push(Effect::Timeline { incident: open.record.id, entry });
}

/// The id under which a host's incident stands: `host.` and the host's name in the letters of an id.
fn host_id(name: &str) -> ServiceId {
    ServiceId::lossy("host.", name)
}

/// The id under which the network's incident stands.
fn network_id() -> ServiceId {
    ServiceId::lossy("network", "")
}

fn named(names: &[&str]) -> String {
    let some = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}
