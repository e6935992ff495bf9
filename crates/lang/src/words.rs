//! The types of the core in words.

use std::time::Duration;

use lifesign_core::effect::AlertState;
use lifesign_core::model::{CheckKind, CheckState, Reason, Severity, State};
use lifesign_core::view::{About, Fact};

use crate::{Lang, Value};

impl Lang {
    /// A service's state.
    pub fn state(self, state: State) -> String {
        self.word(&format!("state-{state}"))
    }

    /// The reason of a state.
    pub fn reason(self, reason: Reason) -> String {
        self.word(&format!("reason-{reason}"))
    }

    /// A kind of check.
    pub fn check_kind(self, kind: CheckKind) -> String {
        self.word(&format!("kind-{kind}"))
    }

    /// How a check stands.
    pub fn check_state(self, state: CheckState) -> String {
        self.word(&format!("check-{state}"))
    }

    /// How bad an alert is.
    pub fn severity(self, severity: Severity) -> String {
        self.word(&format!("severity-{severity}"))
    }

    /// How an alert stands; `None` is a rule without one.
    pub fn alert_state(self, state: Option<AlertState>) -> String {
        self.word(match state {
            None => "alert-inactive",
            Some(AlertState::Pending) => "alert-pending",
            Some(AlertState::Firing) => "alert-firing",
            Some(AlertState::Resolved) => "alert-resolved",
        })
    }

    /// The heading of a part of an explanation.
    pub fn about(self, about: About) -> String {
        self.word(match about {
            About::Verdict => "about-verdict",
            About::Evidence => "about-evidence",
            About::Deadline => "about-deadline",
            About::Incident => "about-incident",
            About::Restart => "about-restart",
            About::Notification => "about-notification",
            About::Unit => "about-unit",
        })
    }

    /// The word of a timeline entry ([`lifesign_core::effect::TimelineEntry::what`]); a word that is not
    /// known here comes back as it is.
    pub fn timeline(self, what: &str) -> String {
        self.find(&format!("timeline-{what}"), &[]).unwrap_or_else(|| what.replace('_', " "))
    }

    /// A metric's name (without prefix and unit), where it is a common one; else the name with spaces.
    pub fn metric(self, name: &str) -> String {
        self.find(&format!("metric-{name}"), &[]).unwrap_or_else(|| name.replace('_', " "))
    }

    /// One sentence of an explanation. English is the engine's own; where the other catalogue lacks the
    /// sentence, the English one is better than none.
    pub fn fact(self, fact: &Fact) -> String {
        self.translation(fact).unwrap_or_else(|| fact.text.clone())
    }

    /// One sentence of an explanation, if there is one in this language.
    pub fn translation(self, fact: &Fact) -> Option<String> {
        if self == Self::En {
            return Some(fact.text.clone());
        }
        let args: Vec<_> =
            fact.args.iter().map(|(name, value)| (&**name, self.fact_value(name, value))).collect();
        let has_no_reason = fact.args.get("reason").is_some_and(|reason| reason == "-");
        let plain =
            has_no_reason.then(|| self.find(&format!("explain-{}-plain", fact.code), &args)).flatten();
        plain
            .or_else(|| self.find(&format!("explain-{}", fact.code), &args))
            // A variable the engine did not give would stand in the sentence as `{$name}`.
            .filter(|text| !text.contains("{$"))
    }

    /// Variables named after a type of the core carry the contract's word and are translated like it.
    fn fact_value<'a>(self, name: &str, value: &'a str) -> Value<'a> {
        let word = match name {
            "state" => State::parse(value).map(|state| self.state(state)),
            "reason" => Reason::parse(value).map(|reason| self.reason(reason)),
            "kind" => CheckKind::parse(value).map(|kind| self.check_kind(kind)),
            "severity" => Severity::parse(value).map(|severity| self.severity(severity)),
            "what" => Some(self.timeline(value)),
            "in" | "ago" | "since" | "interval" | "timeout" | "seconds" | "kept" | "at_most" => {
                Some(self.span(value))
            }
            "budget" => value.split_once(" per ").map(|(count, span)| {
                self.text("span-budget", &[("count", count.into()), ("span", self.span(span).into())])
            }),
            "check" => value.split_once(' ').and_then(|(kind, name)| {
                CheckKind::parse(kind).map(|kind| format!("{} {name}", self.check_kind(kind)))
            }),
            _ => None,
        };
        word.map_or_else(|| value.into(), Value::from)
    }

    /// A span that the engine wrote in English (`3 min 12 s`), in this language's units.
    fn span(self, english: &str) -> String {
        let word = |part: &str| match part {
            "ms" | "s" | "min" | "h" | "d" => self.word(&format!("unit-{part}")),
            number => number.to_owned(),
        };
        english.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    /// A span of time in its two largest units: `250 ms`, `42 s`, `3 min 12 s`, `4 d 3 h`.
    pub fn duration(self, span: Duration) -> String {
        let seconds = span.as_secs();
        let (large, small) = match seconds {
            0 => return self.amount(u64::from(span.subsec_millis()), "ms"),
            1..60 => return self.amount(seconds, "s"),
            60..3600 => ((seconds / 60, "min"), (seconds % 60, "s")),
            3600..86_400 => ((seconds / 3600, "h"), (seconds / 60 % 60, "min")),
            _ => ((seconds / 86_400, "d"), (seconds / 3600 % 24, "h")),
        };
        let text = self.amount(large.0, large.1);
        if small.0 == 0 { text } else { format!("{text} {}", self.amount(small.0, small.1)) }
    }

    fn amount(self, number: u64, unit: &str) -> String {
        format!("{number} {}", self.word(&format!("unit-{unit}")))
    }

    /// How long ago something was: `3 min 12 s ago`.
    pub fn ago(self, span: Duration) -> String {
        self.text("span-ago", &[("span", self.duration(span).into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_core_has_a_word_in_both_languages() {
        for lang in Lang::ALL {
            let mut texts: Vec<String> = Vec::new();
            texts.extend(State::ALL.iter().map(|word| lang.state(*word)));
            texts.extend(Reason::ALL.iter().map(|word| lang.reason(*word)));
            texts.extend(CheckKind::ALL.iter().map(|word| lang.check_kind(*word)));
            texts.extend(CheckState::ALL.iter().map(|word| lang.check_state(*word)));
            texts.extend(Severity::ALL.iter().map(|word| lang.severity(*word)));
            for text in texts {
                assert!(!text.contains('⟦'), "{lang:?}: {text}");
            }
        }
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        for (seconds, english, chinese) in [
            (0.25, "250 ms", "250 毫秒"),
            (42.9, "42 s", "42 秒"),
            (60.0, "1 min", "1 分"),
            (192.0, "3 min 12 s", "3 分 12 秒"),
            (7500.0, "2 h 5 min", "2 小时 5 分"),
            (356_400.0, "4 d 3 h", "4 天 3 小时"),
        ] {
            let span = Duration::from_secs_f64(seconds);
            assert_eq!(Lang::En.duration(span), english);
            assert_eq!(Lang::Zh.duration(span), chinese);
        }
        assert_eq!(Lang::Zh.ago(Duration::from_secs(3)), "3 秒前");
    }

    fn fact(code: &str, args: &[(&str, &str)]) -> Fact {
        let args = args.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        Fact { about: About::Verdict, code: code.into(), args, text: "The English sentence.".to_owned() }
    }

    #[test]
    fn the_words_inside_a_fact_are_translated_with_it() {
        let args =
            [("state", "down"), ("reason", "hung"), ("since", "3 min 12 s"), ("detail", "silent for 25 s")];
        assert_eq!(
            Lang::Zh.fact(&fact("verdict", &args)),
            "当前状态为“故障”（无响应），已持续 3 分 12 秒：silent for 25 s。"
        );
        let args = [("state", "up"), ("reason", "-"), ("since", "1.5 s"), ("detail", "all is well")];
        assert_eq!(Lang::Zh.fact(&fact("verdict", &args)), "当前状态为“正常”，已持续 1.5 秒。");
        let args = [("budget", "3 per 10 min"), ("used", "1")];
        assert!(Lang::Zh.fact(&fact("restart-idle", &args)).contains("10 分内 3 次"));
        let args = [("check", "unit systemd a.service"), ("output", "x")];
        assert!(Lang::Zh.fact(&fact("check-pass", &args)).contains("服务单元 systemd a.service"));
    }

    #[test]
    fn every_sentence_of_the_engine_has_a_translation() {
        let codes = lifesign_core::engine::EXPLAIN_CODES.iter().chain(lifesign_core::view::replay::CODES);
        for code in
            codes.chain(lifesign_core::view::Detection::CODES).chain(lifesign_core::view::UnitView::CODES)
        {
            assert!(Lang::Zh.find(&format!("explain-{code}"), &[]).is_some(), "explain-{code} is missing");
        }
    }

    #[test]
    fn a_fact_whose_variables_do_not_fit_stays_english() {
        assert_eq!(Lang::Zh.fact(&fact("verdict", &[("state", "down")])), "The English sentence.");
    }

    #[test]
    fn a_fact_nobody_translated_stays_english() {
        let fact = Fact {
            about: About::Verdict,
            code: "no_such_sentence".into(),
            args: [("reason".into(), "hung".to_owned())].into(),
            text: "It hangs.".to_owned(),
        };
        assert_eq!(Lang::Zh.fact(&fact), "It hangs.");
        assert_eq!(Lang::En.fact(&fact), "It hangs.");
    }

    #[test]
    fn a_timeline_word_that_is_new_is_shown_as_it_is() {
        assert_eq!(Lang::Zh.timeline("closed"), "事件关闭");
        assert_eq!(Lang::Zh.timeline("failed_over"), "failed over");
    }
}
