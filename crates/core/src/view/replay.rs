//! Why a service was as it was: the explanation of a past moment, from what the journal kept.
//!
//! The engine hands the evidence of the moment to the store with every change of state; here it is told again.
//! Nothing is judged anew: between two changes the journal knows only that nothing changed. Sentences made at
//! the change say spans (`3 s ago`) that count from the change, and a sentence says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{About, Explanation, Fact};
use crate::effect::{Incident, Notification, TimelineEntry, Transition};
use crate::engine::words;
use crate::model::{Reason, ServiceId, State};
use crate::time::Wall;

/// Every code, for the translations' test. Variables in the comments.
pub const CODES: &[&str] = &[
    "replay-verdict",     // state, reason, since, detail
    "replay-became",      // state, reason, detail
    "replay-as-of",       // at
    "replay-nothing",     // kept
    "replay-before",      // at, kept
    "replay-judged",      // at, since
    "replay-judged-then", // at
    "replay-no-evidence", // at
    "replay-incident",    // incident, at
    "replay-no-incident",
    "replay-line",       // at, what, detail
    "replay-left-out",   // count
    "replay-no-restart", //
    "replay-told",       // receiver, alert, at
    "replay-refused",    // receiver, alert, at
    "replay-waiting",    // receiver, alert, at
    "replay-nobody",     //
];

/// Most lines of a timeline in one explanation. Of a longer one the first [`HEAD`] and the newest are told,
/// and a sentence says how many are not; the incident itself has them.
pub const MAX_LINES: usize = 100;
/// Lines at the beginning of a timeline that are always told: how it began.
pub const HEAD: usize = 20;

/// What is known of one moment of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// The service.
    pub service: ServiceId,
    /// The moment.
    pub at: Wall,
    /// The last change at or before it.
    pub change: Option<Transition>,
    /// The first change that the journal has: when, and what was before.
    pub first: Option<(Wall, State)>,
    /// The present state, where it is known: it may have begun before the journal does, or not be in it yet.
    pub present: Option<Standing>,
    /// The incident that was open, its lines oldest first; later ones are left out here.
    pub incident: Option<(Incident, Vec<TimelineEntry>)>,
    /// Notifications about it since its state began or its incident opened, oldest first.
    pub told: Vec<Told>,
    /// How long changes are kept.
    pub kept: Duration,
}

/// A state and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Wall,
    /// One English sentence with the evidence.
    pub detail: String,
}

/// A notification and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What was to be said.
    pub notification: Notification,
    /// When its receiver took it (`true`) or refused it for good; `None`: neither yet.
    pub finished: Option<(Wall, bool)>,
}

impl Moment {
    /// The explanation.
    pub fn explain(&self) -> Explanation {
        let mut facts = Facts(Vec::new());
        let standing = self.standing();
        self.verdict(standing.as_ref(), &mut facts);
        self.evidence(standing.as_ref(), &mut facts);
        self.incident(&mut facts);
        self.notifications(&mut facts);
        facts.0.sort_by_key(|fact| fact.about);
        let (state, reason, since) = match standing {
            Some(standing) => (standing.state, standing.reason, standing.since),
            None => (self.before(), None, self.at),
        };
        Explanation { id: self.service.clone(), state, reason, since, facts: facts.0 }
    }

    /// What it was then, by the journal or because it still is.
    fn standing(&self) -> Option<Standing> {
        let recorded = self.change.as_ref().map(|change| Standing {
            state: change.to,
            reason: change.reason,
            since: change.at,
            detail: change.detail.clone(),
        });
        let present = self.present.clone().filter(|present| present.since <= self.at);
        match (recorded, present) {
            (Some(recorded), Some(present)) if present.since <= recorded.since => Some(recorded),
            (recorded, present) => present.or(recorded),
        }
    }

    /// Whether the moment is that of a change, as people see it.
    fn is_just_after(&self, change: Wall) -> bool {
        self.at.since(change) < Duration::from_secs(1)
    }

    /// What is known of the time before the first change: nothing, unless that change says that it was the
    /// very first.
    fn before(&self) -> State {
        match self.first {
            Some((_, State::Pending)) => State::Pending,
            _ => State::Unknown,
        }
    }

    fn verdict(&self, standing: Option<&Standing>, facts: &mut Facts) {
        let kept = days(self.kept);
        match (standing, self.first) {
            (Some(standing), _) => {
                let state = standing.state.to_string();
                let reason = standing.reason.map_or("-".to_owned(), |reason| reason.to_string());
                let because = standing.reason.map_or(String::new(), |reason| format!(" ({reason})"));
                let since = words(self.at.since(standing.since));
                let detail = standing.detail.clone();
                let told = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                let text = format!("It was {state}{because}, for {since} by then{told}.");
                let became = format!("It had just become {state}{because}{told}.");
                let args = [("state", state), ("reason", reason), ("detail", detail), ("since", since)];
                if self.is_just_after(standing.since) {
                    facts.add(About::Verdict, "replay-became", &args[..3], became);
                } else {
                    facts.add(About::Verdict, "replay-verdict", &args, text);
                }
            }
            (None, Some((first, _))) => {
                let first = first.to_string();
                let text = format!(
                    "Nothing was recorded about it by then: its first change in the journal is from {first}. \
                     Changes are kept for {kept}."
                );
                facts.add(About::Verdict, "replay-before", &[("at", first), ("kept", kept)], text);
            }
            (None, None) => {
                let text = format!(
                    "Nothing was recorded about it by then: the journal has no change of it. \
                     Changes are kept for {kept}."
                );
                facts.add(About::Verdict, "replay-nothing", &[("kept", kept)], text);
            }
        }
        let at = self.at.to_string();
        let text = format!("All of this is as of {at}, from the journal.");
        facts.add(About::Verdict, "replay-as-of", &[("at", at)], text);
    }

    fn evidence(&self, standing: Option<&Standing>, facts: &mut Facts) {
        let Some(standing) = standing else { return };
        let at = standing.since.to_string();
        let kept = self.change.as_ref().filter(|change| change.at == standing.since);
        let Some(change) = kept.filter(|change| !change.facts.is_empty()) else {
            let text = format!("No evidence was kept with the change at {at}.");
            return facts.add(About::Evidence, "replay-no-evidence", &[("at", at)], text);
        };
        if self.is_just_after(change.at) {
            let text = format!("As judged at {at}.");
            facts.add(About::Evidence, "replay-judged-then", &[("at", at)], text);
        } else {
            let since = words(self.at.since(change.at));
            let text = format!(
                "As judged at {at}, {since} before that moment; the spans in the sentences below count from there."
            );
            facts.add(About::Evidence, "replay-judged", &[("at", at), ("since", since)], text);
        }
        facts.0.extend(change.facts.iter().cloned());
    }

    fn incident(&self, facts: &mut Facts) {
        let Some((incident, lines)) = &self.incident else {
            let text = "No incident of it was open then.".to_owned();
            return facts.add(About::Incident, "replay-no-incident", &[], text);
        };
        let (id, at) = (incident.id.to_string(), incident.opened_at.to_string());
        let text = format!("Incident {id} was open, since {at}.");
        facts.add(About::Incident, "replay-incident", &[("incident", id), ("at", at)], text);

        let lines: Vec<_> = lines.iter().filter(|line| line.at <= self.at).collect();
        let left_out = lines.len().saturating_sub(MAX_LINES);
        let mut restarts = 0;
        for (place, line) in lines.into_iter().enumerate() {
            if (HEAD..HEAD + left_out).contains(&place) {
                if place == HEAD {
                    let count = left_out.to_string();
                    let text =
                        format!("{count} lines of its timeline are not told here; the incident has them.");
                    facts.add(About::Incident, "replay-left-out", &[("count", count)], text);
                }
                continue;
            }
            let about = match &*line.what {
                "notified" | "notify_failed" => About::Notification,
                "proven" | "not_proven" => About::Restart,
                what if what.starts_with("restart_") => About::Restart,
                _ => About::Incident,
            };
            restarts += usize::from(about == About::Restart);
            let (at, what, detail) = (line.at.to_string(), line.what.to_string(), line.detail.clone());
            let text = format!("{at} {}: {detail}", what.replace('_', " "));
            facts.add(about, "replay-line", &[("at", at), ("what", what), ("detail", detail)], text);
        }
        if restarts == 0 && left_out == 0 {
            let text = "No restart had been planned in that incident by then.".to_owned();
            facts.add(About::Restart, "replay-no-restart", &[], text);
        }
    }

    /// What the timeline does not tell: notifications about other alerts, and those not taken by then.
    fn notifications(&self, facts: &mut Facts) {
        let about = About::Notification;
        let incident = self.incident.as_ref().map(|(incident, _)| incident.id);
        for told in self.told.iter().filter(|told| told.notification.at <= self.at) {
            let finished = told.finished.filter(|(at, _)| *at <= self.at);
            if finished.is_some() && incident.is_some() && told.notification.incident == incident {
                continue;
            }
            let receiver = told.notification.receiver.to_string();
            let alert = alert_names(&told.notification);
            let at = finished.map_or(told.notification.at, |(at, _)| at).to_string();
            let (code, text) = match finished {
                Some((_, true)) => ("replay-told", format!("{receiver} was told of {alert} at {at}.")),
                Some((_, false)) => {
                    ("replay-refused", format!("{receiver} refused the notification of {alert} at {at}."))
                }
                None => (
                    "replay-waiting",
                    format!("{receiver} was still to be told of {alert}, decided at {at}."),
                ),
            };
            facts.add(about, code, &[("receiver", receiver), ("alert", alert), ("at", at)], text);
        }
        if facts.0.iter().all(|fact| fact.about != about) {
            let text = "Nobody was told anything about it in that time.".to_owned();
            facts.add(about, "replay-nobody", &[], text);
        }
    }
}

/// Retention is a matter of days.
fn days(span: Duration) -> String {
    let days = span.as_secs() / 86_400;
    if days > 1 { format!("{days} d") } else { words(span) }
}

fn alert_names(notification: &Notification) -> String {
    let mut names: Vec<&str> = notification
        .alerts
        .iter()
        .flat_map(|alert| &alert.labels)
        .filter(|(label, _)| &**label == "alertname")
        .map(|(_, name)| &**name)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, about: About, code: &'static str, args: &[(&str, String)], text: String) {
        debug_assert!(CODES.contains(&code), "{code} is not in CODES");
        let args: BTreeMap<Arc<str>, String> =
            args.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect();
        self.0.push(Fact { about, code: code.into(), args, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Alert, AlertState, NotifyReason};
    use crate::model::{IncidentId, Severity};

    fn at(seconds: i64) -> Wall {
        Wall::from_millis(1_795_367_690_000 + seconds * 1000)
    }

    fn web() -> ServiceId {
        ServiceId::new("web").unwrap()
    }

    fn evidence() -> Fact {
        Fact {
            about: About::Evidence,
            code: "heart-silent".into(),
            args: [("ago".into(), "22 s".to_owned())].into(),
            text: "Its heartbeat is silent since 22 s.".to_owned(),
        }
    }

    fn change(seconds: i64, from: State, to: State) -> Transition {
        Transition {
            at: at(seconds),
            service: web(),
            from,
            to,
            reason: (to == State::Down).then_some(Reason::Hung),
            detail: "it runs and is silent".to_owned(),
            facts: vec![evidence()],
        }
    }

    fn moment(seconds: i64) -> Moment {
        Moment {
            service: web(),
            at: at(seconds),
            change: None,
            first: None,
            present: None,
            incident: None,
            told: Vec::new(),
            kept: Duration::from_secs(90 * 86_400),
        }
    }

    fn incident(lines: &[(i64, &str)]) -> Option<(Incident, Vec<TimelineEntry>)> {
        let record = Incident {
            id: IncidentId(7),
            service_id: web(),
            host: "h".into(),
            state: State::Down,
            reason: Some(Reason::Hung),
            severity: Severity::Critical,
            opened_at: at(-22),
            detected_at: at(0),
            closed_at: Some(at(100)),
            acknowledged_by: None,
        };
        let line = |(seconds, what): &(i64, &str)| TimelineEntry {
            at: at(*seconds),
            what: (*what).into(),
            detail: format!("{what} it is"),
        };
        Some((record, lines.iter().map(line).collect()))
    }

    fn told(seconds: i64, finished: Option<(i64, bool)>, incident: Option<u64>) -> Told {
        Told {
            notification: Notification {
                id: "n".into(),
                at: at(seconds),
                receiver: "hook".into(),
                reason: NotifyReason::FirstFiring,
                group_labels: Vec::new(),
                alerts: vec![Alert {
                    fingerprint: "f".into(),
                    state: AlertState::Firing,
                    labels: vec![("alertname".into(), "HighCpu".into())],
                    annotations: Vec::new(),
                    starts_at: at(seconds),
                    ends_at: None,
                    incident: None,
                }],
                incident: incident.map(IncidentId),
            },
            finished: finished.map(|(seconds, taken)| (at(seconds), taken)),
        }
    }

    fn codes(explanation: &Explanation) -> Vec<&str> {
        explanation.facts.iter().map(|fact| &*fact.code).collect()
    }

    #[test]
    fn a_past_moment_is_told_with_the_evidence_of_the_change_before_it() {
        let explanation = Moment {
            change: Some(change(0, State::Suspect, State::Down)),
            incident: incident(&[(0, "opened"), (1, "restart_scheduled"), (2, "notified"), (50, "closed")]),
            ..moment(10)
        }
        .explain();
        assert_eq!(
            (explanation.state, explanation.reason, explanation.since),
            (State::Down, Some(Reason::Hung), at(0))
        );
        assert_eq!(
            codes(&explanation),
            [
                "replay-verdict",
                "replay-as-of",
                "replay-judged",
                "heart-silent",
                "replay-incident",
                "replay-line",
                "replay-line",
                "replay-line"
            ]
        );
        let about: Vec<_> = explanation.facts[5..].iter().map(|fact| fact.about).collect();
        assert_eq!(about, [About::Incident, About::Restart, About::Notification]);
        assert_eq!(explanation.facts[0].text, "It was down (hung), for 10 s by then: it runs and is silent.");
        assert!(explanation.facts[2].text.contains("10 s before that moment"));
        assert!(
            !explanation.facts.iter().any(|fact| fact.text.contains("closed")),
            "it had not happened yet"
        );
    }

    #[test]
    fn at_the_change_itself_no_span_of_nothing_is_told() {
        let explanation =
            Moment { change: Some(change(0, State::Suspect, State::Down)), ..moment(0) }.explain();
        assert_eq!(codes(&explanation)[0], "replay-became");
        assert_eq!(explanation.facts[0].text, "It had just become down (hung): it runs and is silent.");
        assert_eq!(codes(&explanation)[2], "replay-judged-then");
    }

    #[test]
    fn before_the_first_change_nothing_is_claimed_but_how_far_the_journal_reaches() {
        let first = |before| Moment { first: Some((at(100), before)), ..moment(10) }.explain();
        assert_eq!(first(State::Pending).state, State::Pending);
        let cut = first(State::Up);
        assert_eq!((cut.state, cut.reason, cut.since), (State::Unknown, None, at(10)));
        assert_eq!(
            codes(&cut),
            ["replay-before", "replay-as-of", "replay-no-incident", "replay-nobody"],
            "the journal forgot what was before"
        );
        assert!(cut.facts[0].text.contains("kept for 90 d") && cut.facts[0].text.contains("2026-"));
        assert_eq!(codes(&moment(10).explain())[0], "replay-nothing");
        let short =
            Moment { kept: Duration::from_secs(12 * 3600), first: Some((at(100), State::Up)), ..moment(10) };
        assert!(short.explain().facts[0].text.contains("kept for 12 h"));
    }

    #[test]
    fn a_state_that_began_before_the_journal_and_still_lasts_is_known() {
        let present = |seconds| {
            Some(Standing { state: State::Up, reason: None, since: at(seconds), detail: String::new() })
        };
        let old = Moment { present: present(-9000), ..moment(0) }.explain();
        assert_eq!((old.state, old.since), (State::Up, at(-9000)));
        assert!(codes(&old).contains(&"replay-no-evidence"));
        // A change the disk has not taken yet is known all the same, and one that is to come is not.
        let down = Some(change(0, State::Up, State::Down));
        let unwritten = Moment { change: down.clone(), present: present(5), ..moment(9) }.explain();
        assert_eq!((unwritten.state, unwritten.since), (State::Up, at(5)));
        let same = Moment { change: down.clone(), present: present(0), ..moment(9) }.explain();
        assert_eq!((same.state, same.since), (State::Down, at(0)), "the journal knows more of it");
        let later = Moment { change: down, present: present(50), ..moment(9) }.explain();
        assert_eq!(later.state, State::Down);
    }

    #[test]
    fn a_notification_that_the_timeline_tells_is_not_told_twice() {
        let with = |incident, of| {
            let moment = Moment { incident, told: vec![told(1, Some((2, true)), of)], ..moment(10) };
            codes(&moment.explain()).iter().filter(|code| **code == "replay-told").count()
        };
        assert_eq!(with(incident(&[(0, "opened")]), Some(7)), 0);
        assert_eq!(with(incident(&[(0, "opened")]), Some(8)), 1);
        assert_eq!(with(incident(&[(0, "opened")]), None), 1);
        assert_eq!(with(None, None), 1);
    }

    #[test]
    fn notifications_are_told_as_they_stood_then() {
        let explanation = Moment {
            change: Some(change(0, State::Suspect, State::Down)),
            incident: incident(&[(0, "opened")]),
            told: vec![
                told(1, Some((2, true)), Some(7)),
                told(1, Some((3, true)), None),
                told(1, Some((4, false)), None),
                told(1, Some((30, true)), Some(7)),
                told(11, None, Some(7)),
            ],
            ..moment(10)
        }
        .explain();
        let told: Vec<_> =
            codes(&explanation).into_iter().skip_while(|code| *code != "replay-no-restart").skip(1).collect();
        assert_eq!(told, ["replay-told", "replay-refused", "replay-waiting"]);
    }

    #[test]
    fn of_a_very_long_timeline_the_beginning_and_the_newest_are_told() {
        let lines: Vec<_> = (0..250).map(|second| (second, "evidence")).collect();
        let explanation = Moment { incident: incident(&lines), ..moment(1000) }.explain();
        let told = explanation.facts.iter().filter(|fact| &*fact.code == "replay-line").count();
        assert_eq!(told, MAX_LINES);
        let gap = explanation.facts.iter().find(|fact| &*fact.code == "replay-left-out").unwrap();
        assert_eq!(gap.args["count"], "150");
    }
}
