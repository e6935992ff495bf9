//! What a process has left at its end: onto the incident's timeline, all of it; into the alert, the last of it.
//!
//! An observer tells an end the moment it sees it, and reads the last lines after that, beside the watching. Whoever is
//! told of the end waits for them, because a notification without them sends people to the machine; but no longer than
//! [`WITHIN`], because an alert that comes late is worse than a short one. What comes later still stands with the
//! incident and in the next notification of the same alert.

use std::sync::Arc;
use std::time::Duration;

use super::incident::{flapping, incident_alert};
use super::service::Service;
use super::{Engine, Turn};
use crate::effect::{Alert, Effect};
use crate::evidence::{Remains, UnitReport, UnitState};
use crate::last_words::{ANNOTATION, LastWords};

/// How long a notification of an end waits for what is left of it. systemd's journal has it 0.1 s after the end, the
/// event log of Windows 0.75 s; a machine that is busy with a hundred ends needs longer, and waits for nothing.
pub(super) const WITHIN: Duration = Duration::from_secs(2);

/// What a report has brought.
pub(super) struct Left {
    /// For the timeline.
    text: Option<String>,
    /// Whether the alert has something to add.
    is_news: bool,
    remains: Remains,
}

/// The figures and the output that a report carries.
pub(super) fn output_of(report: &UnitReport) -> Option<String> {
    let parts = [report.usage.as_deref(), report.last_output.as_deref()];
    let text: Vec<&str> = parts.into_iter().flatten().filter(|text| !text.trim().is_empty()).collect();
    (!text.is_empty()).then(|| text.join("\n"))
}

impl Engine {
    /// Takes what a report has of an end, before it is the last report.
    pub(super) fn keep_last_words(&mut self, index: usize, report: &UnitReport) -> Left {
        let unit = &mut self.services[index].unit;
        let before = unit.report.as_ref().map(|(_, last)| &last.state);
        let ends = matches!(report.state, UnitState::Stopped { ordered: false, .. });
        let is_new_end = ends && !matches!(before, Some(UnitState::Stopped { .. }));
        let is_news = match &mut unit.last_words {
            Some(last) if !is_new_end => {
                let old = last.clone();
                last.add(report);
                *last != old
            }
            last => {
                let begin = ends || report.remains == Remains::Complete;
                *last = begin.then(|| Box::new(LastWords::of(report)));
                begin
            }
        };
        Left { text: output_of(report), is_news, remains: report.remains }
    }

    /// Puts it where people see it, once the report has been judged.
    pub(super) fn tell_last_words(&mut self, index: usize, left: Left, turn: &mut Turn<'_>) {
        let ix = self.services[index].ix;
        if let Some(text) = left.text {
            self.note(ix, "output", text, turn);
        }
        if !left.is_news && left.remains == Remains::Unsaid {
            return;
        }
        let service = &self.services[index];
        let Some(open) = &service.incident else { return };
        let fingerprints = [incident_alert("ServiceDown", &open.record, ""), flapping(&open.record)]
            .map(|alert| alert.fingerprint);
        for fingerprint in fingerprints {
            let Some(alert) = self.alerts.get_mut(&fingerprint) else { continue };
            if service.add_last_words(alert) {
                turn.out.push(Effect::Alert(alert.clone()));
            }
            self.dispatcher.add(alert, left.remains == Remains::Complete);
            if left.remains == Remains::Follow {
                self.dispatcher.await_more(alert, turn.now + WITHIN);
            }
        }
    }
}

impl Service {
    /// Whether its unit is known to have ended without an order.
    pub(super) fn has_ended(&self) -> bool {
        let state = self.unit.report.as_ref().map(|(_, report)| &report.state);
        matches!(state, Some(UnitState::Stopped { ordered: false, .. }))
    }

    /// Writes what is left of its last end into an alert, and says whether that has changed it.
    pub(super) fn add_last_words(&self, alert: &mut Alert) -> bool {
        let Some(words) = self.unit.last_words.as_ref().and_then(|last| last.in_words()) else {
            return false;
        };
        match alert.annotations.iter_mut().find(|(name, _)| name.as_ref() == ANNOTATION) {
            Some((_, old)) if *old == words => return false,
            Some((_, old)) => *old = words,
            None => {
                alert.annotations.push((Arc::from(ANNOTATION), words));
                alert.annotations.sort();
            }
        }
        true
    }
}
