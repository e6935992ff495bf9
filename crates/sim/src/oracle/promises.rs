//! What must never be said too early, and what must be said of the evidence at hand: one promise each.

use std::time::Duration;

use lifesign_core::effect::Transition;
use lifesign_core::evidence::CheckOutcome;
use lifesign_core::model::{CheckKind, Reason, State};
use lifesign_core::spec::ServiceSpec;
use lifesign_core::view::ServiceView;

use super::{Oracle, Rule, bounds, service_of};
use crate::world::plan::Plan;

/// Rounding of the clocks.
const ROUNDING: Duration = Duration::from_millis(1);
/// Shorter inquiries are not made: this part of an interval …
const INQUIRY: f64 = 0.4;
/// … unless what is left before the service is given up is less, and none at all without room for one try.
const TRY: f64 = 0.04;
const TRY_AT_LEAST: Duration = Duration::from_millis(250);

impl Oracle {
    /// A check ended. The application itself answers where the check is one that only it can answer.
    pub(super) fn answered(
        &mut self,
        spec: &ServiceSpec,
        service: usize,
        check: u16,
        outcome: CheckOutcome,
        run: Duration,
    ) {
        let watch = &mut self.watches[service];
        watch.evidence.check(spec, check, outcome, run);
        let Some(heartbeat) = spec.heartbeat.as_ref().filter(|heartbeat| heartbeat.confirm) else { return };
        let works = outcome == CheckOutcome::Pass
            && spec.checks.get(usize::from(check)).is_some_and(|check| check.kind == CheckKind::Http);
        let suspect = (watch.state, watch.reason) == (State::Suspect, Some(Reason::MissedHeartbeat));
        // At the beginning of a suspicion it is surely being asked, unless a stall of ours came in between.
        let interval = bounds::present_interval(heartbeat, watch.interval);
        let asked = run <= watch.since + interval.mul_f64(INQUIRY) && self.stalled < watch.since;
        let left = watch.beat.map(|beat| beat + bounds::alone(heartbeat, watch.interval));
        let room = left > Some(watch.since + interval.mul_f64(TRY).max(TRY_AT_LEAST) + ROUNDING);
        if works && suspect && asked && room {
            // A further good answer to the same question changes nothing.
            watch.answered.get_or_insert(run);
        }
    }

    /// What the engine shows after a piece of news.
    pub fn shown(&mut self, view: &ServiceView) {
        let Some(service) = service_of(view.id.as_str()) else { return };
        let watch = &self.watches[service];
        let mut wrong = watch.evidence.compare(view).err();
        if view.last_heartbeat_at != watch.heard_at {
            wrong = Some(format!(
                "{} shows that it was last heard at {:?}, and its youngest heartbeat came at {:?}",
                view.id, view.last_heartbeat_at, watch.heard_at
            ));
        }
        if let Some(text) = wrong {
            self.violate(Rule::Evidence, text);
        }
    }

    /// A beating heart must not be given up before its time, and a new process must have its chance.
    pub(super) fn check_early(
        &mut self,
        plan: &Plan,
        service: usize,
        transition: &Transition,
        run: Duration,
    ) {
        let spec = &plan.spec.services[service];
        let Some(heartbeat) = &spec.heartbeat else { return };
        let watch = &self.watches[service];
        let by_heart = matches!(transition.reason, Some(Reason::MissedHeartbeat | Reason::Hung));
        if transition.to != State::Down || !by_heart || heartbeat.progress_within.is_some() {
            return;
        }
        if watch.beats == 0 {
            let chance = bounds::longest_silence(heartbeat, None).max(spec.start_grace);
            let lived = run.saturating_sub(watch.evidence.process_since);
            if watch.evidence.is_another && !watch.evidence.any_fails() && lived + ROUNDING < chance {
                let text = format!(
                    "{} is given up {lived:?} after the start of its process, and its chance is {chance:?}",
                    spec.id
                );
                self.violate(Rule::Early, text);
            }
            return;
        }
        let beating = match watch.state {
            State::Up | State::Degraded => true,
            State::Suspect => watch.reason == Some(Reason::MissedHeartbeat),
            State::Pending | State::Down | State::Unknown => false,
        };
        let Some(beat) = watch.beat.filter(|_| beating) else { return };
        let mut least = bounds::least_silence(spec, heartbeat, watch.interval);
        if let Some(answered) = watch.answered.filter(|_| watch.evidence.all_passed_last()) {
            // Who answers is not dead: it has the retries too before that is called hung.
            least = least.max(bounds::answering_silence(heartbeat, watch.interval, answered - beat));
        }
        let silent = run.saturating_sub(beat);
        if silent + ROUNDING < least {
            let text = format!("{} is given up after {silent:?}, at least {least:?} are its own", spec.id);
            self.violate(Rule::Early, text);
        }
    }

    /// What is said of a service must follow from what is known of it.
    pub(super) fn check_evidence(
        &mut self,
        plan: &Plan,
        service: usize,
        transition: &Transition,
        run: Duration,
    ) {
        let spec = &plan.spec.services[service];
        let watch = &self.watches[service];
        let (to, reason) = (transition.to, transition.reason);
        let lost = self.lost[plan.services[service].host];
        let mut wrong = None;
        if watch.evidence.is_changing() && !lost {
            wrong = Some("while its unit is between two states");
        }
        let announced = watch.announced_stop && spec.unit.is_none();
        if announced && to == State::Down && reason != Some(Reason::StoppedByOperator) {
            wrong = Some("after it announced its stop");
        }
        let heart = spec.heartbeat.as_ref().filter(|_| watch.beats > 0 && !watch.announced_stop);
        if let (Some(heart), Some(beat)) = (heart, watch.beat)
            && run < beat + bounds::present_interval(heart, watch.interval)
            && watch.failing.is_none()
            && (to, reason) == (State::Down, Some(Reason::CheckFailed))
        {
            wrong = Some("while its heart beats");
        }
        if let Some(wrong) = wrong {
            let text = format!("{} is called {to} ({reason:?}) {wrong}: {}", spec.id, transition.detail);
            self.violate(Rule::False, text);
        }
    }

    /// An incident is closed. Where its service runs in another process than it did, that one must have lived
    /// for a while, and have passed every check.
    pub(super) fn check_proof(&mut self, plan: &Plan, service: usize, incident: u64, run: Duration) {
        let spec = &plan.spec.services[service];
        let watch = &self.watches[service];
        let evidence = &watch.evidence;
        let recovered = matches!(watch.state, State::Up | State::Degraded);
        if !recovered || evidence.process == watch.process_at_open {
            return;
        }
        let lived = run.saturating_sub(evidence.process_since);
        let heard = spec.heartbeat.as_ref().is_none_or(|heart| watch.beats >= heart.rise);
        if lived + ROUNDING < bounds::prove_for(spec) || !evidence.has_risen(spec) || !heard {
            let text = format!(
                "incident {incident} of {} is closed after {lived:?} of its new process, with {} heartbeats",
                spec.id, watch.beats
            );
            self.violate(Rule::Proof, text);
        }
    }

    /// The end of flapping is told with the truth, so it must be known then.
    pub(super) fn flapping_ended(&mut self, incident: u64) {
        let Some(watch) = self.watches.iter().find(|watch| watch.incident == Some(incident)) else { return };
        if !matches!(watch.state, State::Up | State::Degraded | State::Down) {
            let text = format!("incident {incident} ends its flapping while its service is {}", watch.state);
            self.violate(Rule::Books, text);
        }
    }

    /// Of a service that only its unit speaks for nothing is known while its agent is given up.
    pub(super) fn scan_lost(&mut self, plan: &Plan, service: usize) {
        let spec = &plan.spec.services[service];
        let only_unit = spec.unit.is_some() && spec.heartbeat.is_none() && spec.checks.is_empty();
        let state = self.watches[service].state;
        if only_unit && self.lost[plan.services[service].host] && state != State::Unknown {
            self.violate(Rule::False, format!("{} is called {state} and its agent is gone", spec.id));
        }
    }
}
