//! Why a service is as it is, in sentences.
//!
//! Every sentence has a stable code and its numbers as named arguments, so that it can be said in another
//! language; the English text is made here, beside the rule it tells about.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::restart::budget_words;
use super::{Engine, words};
use crate::evidence::UnitState;
use crate::model::{CheckState, State};
use crate::remedy::{Step, backoff};
use crate::time::{Mono, Now};
use crate::verdict::HeartEvidence;
use crate::view::{About, Explanation, Fact};

/// Every code, for the translations' test. Variables in the comments.
pub const CODES: &[&str] = &[
    "verdict",       // state, reason, since, detail
    "verdict-open",  // state
    "paused",        //
    "unit",          // unit, os
    "unit-blind",    // unit, why
    "unit-waiting",  // unit
    "heart-beating", // ago, interval
    "heart-waiting", //
    "heart-late",    // ago, timeout
    "heart-silent",  // ago
    "heart-never",
    "heart-failing",      // message
    "heart-stopping",     //
    "heart-skew",         // skew
    "heart-one-way",      //
    "heart-stuck",        // count, since
    "heart-asked",        // tries, in
    "job-waiting",        //
    "job-running",        // since, ago
    "job-too-long",       // since, ago
    "job-unsure",         // since
    "job-succeeded",      // ago, took
    "job-failed",         // ago, how
    "job-missed",         // due, grace
    "job-excused",        // due
    "job-due",            // due, in, grace
    "job-late",           // due, in
    "job-over",           //
    "host-gone",          // host
    "flapping",           // in
    "check-pass",         // check, output
    "check-fail",         // check, output
    "check-pending",      // check
    "check-unknown",      // check, output
    "check-turning",      // check, count, needed
    "component-down",     // component, status
    "dependency-down",    // dependency
    "deadline-suspect",   // in
    "deadline-down",      // in
    "deadline-grace",     // in
    "restart-off",        //
    "restart-no-unit",    //
    "restart-idle",       // used, budget
    "restart-scheduled",  // in, attempt
    "restart-withheld",   // in, budget
    "restart-running",    // attempt
    "restart-proving",    // attempt, seconds
    "restart-refused",    // why
    "notify-none-needed", //
    "notify-nobody",      // alert
    "notify-told",        // alert, receiver
    "notify-waiting",     // alert, receiver, in
];

pub(super) struct Facts(Vec<Fact>);

impl Facts {
    pub(super) fn add(&mut self, about: About, code: &'static str, args: &[(&str, String)], text: String) {
        debug_assert!(CODES.contains(&code), "{code} is not in CODES");
        let args: BTreeMap<Arc<str>, String> =
            args.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect();
        self.0.push(Fact { about, code: code.into(), args, text });
    }
}

impl Engine {
    /// Why a service is as it is.
    pub fn explain(&self, id: &str, now: Now) -> Option<Explanation> {
        let index = self.find(id)?;
        let service = &self.services[index];
        let virtual_now = self.clock.to_virtual(now.mono);
        let mut facts = Facts(Vec::new());
        self.explain_verdict(index, now, &mut facts);
        self.explain_evidence(index, virtual_now, &mut facts);
        self.explain_deadlines(index, virtual_now, &mut facts);
        self.explain_restart(index, virtual_now, &mut facts);
        self.explain_notifications(index, virtual_now, &mut facts);
        facts.0.extend(self.unit_view(index).into_iter().flat_map(|unit| unit.sentences()));
        Some(Explanation {
            id: service.spec.id.clone(),
            state: service.state,
            reason: service.reason,
            since: service.since,
            facts: facts.0,
        })
    }

    /// The evidence and the deadlines of this moment, to be kept with a transition.
    pub(super) fn facts_now(&self, index: usize, now: Mono) -> Vec<Fact> {
        let mut facts = Facts(Vec::new());
        self.explain_evidence(index, now, &mut facts);
        self.explain_deadlines(index, now, &mut facts);
        facts.0
    }

    fn explain_verdict(&self, index: usize, now: Now, facts: &mut Facts) {
        let service = &self.services[index];
        let state = service.state.to_string();
        if service.state == State::Pending {
            let text = "It is pending: not every source of evidence has spoken yet.".to_owned();
            facts.add(About::Verdict, "verdict-open", &[("state", state)], text);
        } else {
            let reason = service.reason.map_or("-".to_owned(), |reason| reason.to_string());
            let since = words(now.wall.since(service.since));
            let because = service.reason.map_or(String::new(), |reason| format!(" ({reason})"));
            let text = format!("It is {state}{because} for {since}: {}.", service.detail);
            let args = [
                ("state", state),
                ("reason", reason),
                ("since", since),
                ("detail", service.detail.to_string()),
            ];
            facts.add(About::Verdict, "verdict", &args, text);
        }
        if service.flaps.is_flapping() {
            let wait = words(service.flaps.next_deadline().since(self.clock.to_virtual(now.mono)));
            let text = format!(
                "It flaps: it went down again and again. Nobody is told of each time; after {wait} of peace it is judged as it then is."
            );
            facts.add(About::Verdict, "flapping", &[("in", wait)], text);
        }
        if self.host_is_gone(service.host) {
            let host = service.spec.host.to_string();
            let text = format!("Nothing on its host {host} is heard; that is one incident, of the host.");
            facts.add(About::Verdict, "host-gone", &[("host", host)], text);
        }
        if service.paused {
            let text = "It is paused: watching goes on, alerts and restarts are held.".to_owned();
            facts.add(About::Verdict, "paused", &[], text);
        }
    }

    fn explain_evidence(&self, index: usize, now: Mono, facts: &mut Facts) {
        let service = &self.services[index];
        if let Some(unit) = &service.spec.unit {
            let unit = unit.clone();
            match service.unit.report.as_ref().map(|(_, report)| report) {
                None => {
                    let text = format!("Unit {unit}: nobody has looked yet.");
                    facts.add(About::Evidence, "unit-waiting", &[("unit", unit)], text);
                }
                Some(report) => match &report.state {
                    UnitState::CouldNotLook(why) => {
                        let text = format!("Unit {unit}: could not look: {why}.");
                        facts.add(
                            About::Evidence,
                            "unit-blind",
                            &[("unit", unit), ("why", why.clone())],
                            text,
                        );
                    }
                    _ => {
                        let text = format!("Unit {unit}: the system says {}.", report.os);
                        facts.add(
                            About::Evidence,
                            "unit",
                            &[("unit", unit), ("os", report.os.clone())],
                            text,
                        );
                    }
                },
            }
        }
        self.explain_heart(index, now, facts);
        self.explain_runs(index, now, facts);
        for (run, spec) in service.checks.iter().zip(&service.spec.checks) {
            let check = format!("{} {}", spec.kind, spec.name);
            let output = run.last().map(|(_, report)| report.output.clone()).unwrap_or_default();
            let (code, text) = match run.state() {
                CheckState::Pass => ("check-pass", format!("Check {check} passes: {output}.")),
                CheckState::Fail => ("check-fail", format!("Check {check} fails: {output}.")),
                CheckState::Pending => ("check-pending", format!("Check {check} has no verdict yet.")),
                CheckState::Unknown => ("check-unknown", format!("Check {check} could not look: {output}.")),
            };
            facts.add(About::Evidence, code, &[("check", check.clone()), ("output", output)], text);
            if run.contrary() > 0 {
                let needed = if run.verdict() == Some(false) { spec.rise } else { spec.fall };
                let (count, needed) = (run.contrary().to_string(), needed.to_string());
                let text = format!("Check {check}: {count} of {needed} results in a row say otherwise.");
                facts.add(
                    About::Evidence,
                    "check-turning",
                    &[("check", check), ("count", count), ("needed", needed)],
                    text,
                );
            }
        }
        for component in service.components().filter(|component| !component.up) {
            let text = format!("It reports its component {} as {}.", component.name, component.status);
            let args = [("component", component.name.clone()), ("status", component.status.clone())];
            facts.add(About::Evidence, "component-down", &args, text);
        }
        for parent in service.spec.depends_on.iter().flat_map(|dependency| &dependency.of) {
            let down = self.find(parent.as_str()).is_some_and(|at| self.services[at].state == State::Down);
            if down {
                let text = format!("It depends on {parent}, which is down.");
                facts.add(About::Evidence, "dependency-down", &[("dependency", parent.to_string())], text);
            }
        }
    }

    fn explain_heart(&self, index: usize, now: Mono, facts: &mut Facts) {
        let service = &self.services[index];
        let heart = &self.hearts[index];
        let ago = words(now.since(heart.last()));
        let spec = service.spec.heartbeat.as_ref();
        match self.heart_evidence(index) {
            HeartEvidence::None => {}
            HeartEvidence::Waiting => {
                facts.add(About::Evidence, "heart-waiting", &[], "No heartbeat has come yet.".to_owned());
            }
            HeartEvidence::Beating => {
                let interval = spec.map_or(String::new(), |spec| words(spec.interval));
                let text = format!("Its last heartbeat came {ago} ago; one is due every {interval}.");
                facts.add(About::Evidence, "heart-beating", &[("ago", ago), ("interval", interval)], text);
            }
            HeartEvidence::Stuck => {
                let (count, since) = service.progress.unwrap_or((0, now));
                let (count, since) = (count.to_string(), words(now.since(since)));
                let text =
                    format!("It beats, and the work it counts has stood still at {count} for {since}.");
                facts.add(About::Evidence, "heart-stuck", &[("count", count), ("since", since)], text);
            }
            HeartEvidence::Late => {
                let timeout = spec.map_or(String::new(), |spec| words(spec.timeout));
                let text =
                    format!("Its last heartbeat came {ago} ago, longer than the timeout of {timeout}.");
                facts.add(About::Evidence, "heart-late", &[("ago", ago), ("timeout", timeout)], text);
            }
            HeartEvidence::Silent if heart.last() == Mono::ZERO => {
                let text = "No heartbeat came in the time it had for a first one.".to_owned();
                facts.add(About::Evidence, "heart-never", &[], text);
            }
            HeartEvidence::Silent => {
                let text = format!("Its heartbeat is silent since {ago}; timeout and retries are used up.");
                facts.add(About::Evidence, "heart-silent", &[("ago", ago)], text);
            }
            HeartEvidence::Failing => {
                let message = service.beat_message.as_deref().unwrap_or_default().to_owned();
                let text = format!("Its last heartbeat says that it fails: {message}");
                facts.add(About::Evidence, "heart-failing", &[("message", message)], text);
            }
            HeartEvidence::Stopping => {
                let text = "Its last heartbeat says that it stops on purpose.".to_owned();
                facts.add(About::Evidence, "heart-stopping", &[], text);
            }
        }
        if self.is_one_way(index) {
            let text = "We hear it, and it says that it does not hear us.".to_owned();
            facts.add(About::Evidence, "heart-one-way", &[], text);
        }
        if let Some(skew) = service.skew_ms {
            let skew = format!("{:+.1} s", skew as f64 / 1000.0);
            let text = format!("The sender's clock is off by {skew}; that never decides anything.");
            facts.add(About::Evidence, "heart-skew", &[("skew", skew)], text);
        }
    }

    fn explain_deadlines(&self, index: usize, now: Mono, facts: &mut Facts) {
        self.explain_due(index, now, facts);
        let heart = &self.hearts[index];
        let deadline = match heart.evidence() {
            HeartEvidence::Late => heart.limits().1,
            HeartEvidence::None
            | HeartEvidence::Waiting
            | HeartEvidence::Beating
            | HeartEvidence::Stuck
            | HeartEvidence::Silent
            | HeartEvidence::Failing
            | HeartEvidence::Stopping => heart.next_deadline(),
        };
        if deadline == Mono::NEVER {
            return;
        }
        let wait = words(deadline.since(now));
        if let Some(inquiry) = heart.inquiry() {
            let tries = inquiry.tries().to_string();
            let wait = words(inquiry.end().since(now));
            let text = format!(
                "The other evidence has been asked {tries} times; if all of it speaks against the service it is down in {wait}."
            );
            facts.add(About::Deadline, "heart-asked", &[("tries", tries), ("in", wait)], text);
        }
        let (code, text) = match heart.evidence() {
            HeartEvidence::Beating => {
                ("deadline-suspect", format!("Without a heartbeat it is suspect in {wait}."))
            }
            HeartEvidence::Late => ("deadline-down", format!("Without a heartbeat it is down in {wait}.")),
            HeartEvidence::Waiting => {
                ("deadline-grace", format!("Its time to send a first heartbeat ends in {wait}."))
            }
            HeartEvidence::None
            | HeartEvidence::Stuck
            | HeartEvidence::Silent
            | HeartEvidence::Failing
            | HeartEvidence::Stopping => return,
        };
        facts.add(About::Deadline, code, &[("in", wait)], text);
    }

    fn explain_restart(&self, index: usize, now: Mono, facts: &mut Facts) {
        let service = &self.services[index];
        let about = About::Restart;
        if service.spec.unit.is_none() {
            let text = "It is never restarted: it has no unit.".to_owned();
            return facts.add(about, "restart-no-unit", &[], text);
        }
        if let Some(why) = service.remedy.refusal() {
            let text = format!("The last try was refused and used up no budget: {why}.");
            facts.add(about, "restart-refused", &[("why", why.to_owned())], text);
        }
        let Some(spec) = &service.spec.restart else {
            let text = "It is never restarted by itself: its configuration has no restart.".to_owned();
            return facts.add(about, "restart-off", &[], text);
        };
        let budget = budget_words(spec);
        let attempt = service.remedy.attempts.to_string();
        match &service.remedy.step {
            Step::Idle => {
                let used = service.remedy.used(now, spec.window).to_string();
                let text = format!(
                    "No restart is under way; {used} of {budget} are used, and the next would wait {}.",
                    words(backoff(spec, service.remedy.attempts)),
                );
                facts.add(about, "restart-idle", &[("used", used), ("budget", budget)], text);
            }
            Step::Scheduled(at) => {
                let wait = words(at.since(now));
                let attempt = (service.remedy.attempts + 1).to_string();
                let text = format!("Restart number {attempt} starts in {wait}.");
                facts.add(about, "restart-scheduled", &[("in", wait), ("attempt", attempt)], text);
            }
            Step::Withheld(at) => {
                let wait = words(at.since(now));
                let text = format!("No restart for {wait}: the budget of {budget} is used up.");
                facts.add(about, "restart-withheld", &[("in", wait), ("budget", budget)], text);
            }
            Step::Running { .. } => {
                let text = format!("Restart number {attempt} is under way.");
                facts.add(about, "restart-running", &[("attempt", attempt)], text);
            }
            Step::Proving => {
                let seconds = words(spec.prove_for);
                let text = format!(
                    "Restart number {attempt} is done; the new process must pass every check and live for {seconds}."
                );
                facts.add(about, "restart-proving", &[("attempt", attempt), ("seconds", seconds)], text);
            }
        }
    }

    fn explain_notifications(&self, index: usize, now: Mono, facts: &mut Facts) {
        let service = &self.services[index];
        let about = About::Notification;
        let mine: Vec<_> = self
            .alerts
            .values()
            .filter(|alert| {
                alert.labels.iter().any(|(name, value)| {
                    name.as_ref() == "service" && value.as_ref() == service.spec.id.as_str()
                })
            })
            .collect();
        if mine.is_empty() {
            let text = "Nobody needs to be told: no alert of it is pending or firing.".to_owned();
            return facts.add(about, "notify-none-needed", &[], text);
        }
        for alert in mine {
            let name = alert
                .labels
                .iter()
                .find(|(name, _)| name.as_ref() == "alertname")
                .map_or_else(String::new, |(_, value)| value.to_string());
            let standing = self.dispatcher.standing(&alert.fingerprint);
            if standing.is_empty() {
                let text =
                    format!("Nobody is told of {name}: it is pending, or no route leads to a receiver.");
                facts.add(about, "notify-nobody", &[("alert", name)], text);
                continue;
            }
            for (receiver, told, due) in standing {
                let receiver = receiver.to_string();
                if told {
                    let text = format!("{receiver} has been told of {name}.");
                    facts.add(about, "notify-told", &[("alert", name.clone()), ("receiver", receiver)], text);
                } else {
                    let wait = words(due.since(now));
                    let text = format!("{receiver} will be told of {name} in {wait}.");
                    facts.add(
                        about,
                        "notify-waiting",
                        &[("alert", name.clone()), ("receiver", receiver), ("in", wait)],
                        text,
                    );
                }
            }
        }
    }
}
