//! Jobs: when they are due, and how long they may take.

use std::time::Duration;

use lifesign_core::job::{Calendar, CalendarError, JobSpec, Schedule};
use serde_json::{Value as Json, json};

use crate::decode::{Decode, Located};
use crate::fields::Cx;
use crate::nearest::nearest;
use crate::node::{Node, Value};
use crate::source::Span;
use crate::{record, words};

/// Longest period and running time: a leap year and a day.
const YEAR: Duration = Duration::from_secs(367 * 86_400);

record! {
    /// A job: it runs, ends, and is due again. Its runs are told by `lifesign exec`, by heartbeats with `run`, or by plain heartbeats, each of which is the end of a run. Exactly one of `schedule`, `calendar` and `every` says when it is due.
    pub struct Job {
        /// Cron pattern: minute, hour, day, month, weekday (with seconds in front if there are six), such as `0 3 * * *`; or a list of them. Names, `L` (last), `#` (nth), `W` (nearest weekday) and `@daily` are known.
        schedule: Option<Patterns>,
        /// Times of day on certain days, in place of `schedule`.
        calendar: Option<Days>,
        /// So long after the beginning of its last run, in place of `schedule`.
        every: Option<Duration> [Duration::from_millis(100)..=YEAR],
        /// The time zone of `schedule` or `calendar`, such as `Europe/Berlin`. `UTC` where unset.
        timezone: Option<Located<String>>,
        /// How long after it was due nothing heard of a run is not yet held against it. Then it is `down`, `missed_heartbeat`. Where only the ends of runs are told, it must be longer than a run.
        grace: Duration [Duration::from_millis(100)..=YEAR] = "15m",
        /// The longest a run may take before it is `down`, `hung`. Until the next due time and its grace where unset.
        max_runtime: Option<Duration> [Duration::from_millis(100)..=YEAR],
    }
    check Job::check
}

/// One cron pattern or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Patterns(Vec<Located<String>>);

impl Decode for Patterns {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::decode(node, cx).map(Self),
            Value::Text(_) => Located::decode(node, cx).map(|pattern| Self(vec![pattern])),
            _ => {
                cx.expected(node, &Self::what()).hint("in quotes, as `*` means something else to YAML");
                None
            }
        }
    }

    fn what() -> String {
        "a cron pattern such as `\"0 3 * * *\"`, or a list of them".to_owned()
    }

    fn schema() -> Json {
        let pattern = json!({ "type": "string", "minLength": 1 });
        json!({ "x-type": "text or list of texts", "anyOf": [pattern, { "type": "array", "items": pattern, "minItems": 1, "maxItems": 24 }] })
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

words!(Weekday {
    Monday = "mon",
    Tuesday = "tue",
    Wednesday = "wed",
    Thursday = "thu",
    Friday = "fri",
    Saturday = "sat",
    Sunday = "sun",
});

record! {
    /// Times of day on certain days: every day, on days of the week, or on days of the month.
    pub struct Days {
        /// Times of day, such as `"03:00"`.
        at: Vec<TimeOfDay> [1..=24],
        /// Only on these days of the week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.
        weekdays: Vec<Weekday> [0..=7] = [],
        /// Only on these days of the month, 1 to 31. A month that has no such day has no run.
        days: Vec<u32> [0..=31] = [],
        /// On the last day of the month, whichever that is; beside `days` too.
        last_day: bool = false,
    }
    check Days::check
}

/// Hour and minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    hour: u32,
    minute: u32,
}

impl Decode for TimeOfDay {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let number = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
        let time = node
            .text()
            .and_then(|text| text.split_once(':'))
            .and_then(|(hour, minute)| Some(Self { hour: number(hour)?, minute: number(minute)? }))
            .filter(|time| time.hour < 24 && time.minute < 60);
        if time.is_none() {
            cx.expected(node, &Self::what()).hint("hours and minutes with two digits each, in quotes");
        }
        time
    }

    fn what() -> String {
        "a time of day such as `\"03:00\"`".to_owned()
    }

    fn schema() -> Json {
        json!({ "x-type": "time of day", "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" })
    }
}

impl Days {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if !self.weekdays.is_empty()
            && (!self.days.is_empty() || self.last_day)
            && let Some(entry) = node.entry("weekdays")
        {
            cx.error(entry.key_span, "days of the week and of the month at once can be read in two ways")
                .hint("write one of them; `schedule` can say both");
        }
        if let Some(day) = self.days.iter().find(|day| !(1..=31).contains(*day)) {
            cx.error(node.at("days"), format!("there is no day {day} in any month")).hint("1 to 31");
        }
    }

    /// The same as cron patterns, one for each time of day.
    fn patterns(&self) -> Vec<String> {
        let list = |words: Vec<String>| if words.is_empty() { "*".to_owned() } else { words.join(",") };
        let last = self.last_day.then(|| "L".to_owned());
        let days = list(self.days.iter().map(ToString::to_string).chain(last).collect());
        let weekdays = list(self.weekdays.iter().map(|day| day.word().to_owned()).collect());
        self.at.iter().map(|at| format!("{} {} {days} * {weekdays}", at.minute, at.hour)).collect()
    }
}

impl Weekday {
    const fn word(self) -> &'static str {
        match self {
            Self::Monday => "mon",
            Self::Tuesday => "tue",
            Self::Wednesday => "wed",
            Self::Thursday => "thu",
            Self::Friday => "fri",
            Self::Saturday => "sat",
            Self::Sunday => "sun",
        }
    }
}

impl Job {
    fn check(&self, node: &Node, cx: &mut Cx) {
        let ways = ["schedule", "calendar", "every"];
        let written: Vec<_> = ways.iter().filter_map(|way| node.entry(way)).collect();
        match written.as_slice() {
            [] => {
                cx.error(node.span, "this job does not say when it is due")
                    .hint("write `schedule: \"0 3 * * *\"`, `calendar: { at: [\"03:00\"] }` or `every: 24h`");
            }
            [first, second, ..] => {
                let message = format!("`{}` says already when it is due", first.key);
                cx.error(second.key_span, message).hint("write one of them");
            }
            [_] => {
                if self.every.is_some()
                    && let Some(zone) = node.entry("timezone")
                {
                    cx.error(zone.key_span, "a job that is due `every` so long has no time zone")
                        .hint("`schedule` and `calendar` have one");
                }
                self.check_calendar(node, cx);
            }
        }
    }

    /// Reports a pattern or a zone that makes no sense, each at its place.
    fn check_calendar(&self, node: &Node, cx: &mut Cx) {
        if let Some(zone) = &self.timezone
            && let Err(CalendarError::Zone(name)) = Calendar::new(["@daily"], zone)
        {
            let known = Calendar::zones();
            let hint = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a name such as `Europe/Berlin` or `UTC`".to_owned(),
            };
            cx.error(zone.span, format!("there is no time zone `{name}`")).hint(hint);
        }
        let mut report = |span: Span, pattern: &str| {
            if let Err(error) = Calendar::new([pattern], "UTC") {
                cx.error(span, error.to_string())
                    .hint("minute, hour, day, month, weekday: `\"0 3 * * mon-fri\"`");
            }
        };
        match (&self.schedule, &self.calendar) {
            (Some(Patterns(patterns)), _) => {
                for pattern in patterns {
                    report(pattern.span, pattern);
                }
                if patterns.is_empty() {
                    cx.error(node.at("schedule"), "this list of patterns is empty");
                } else if patterns.len() > 24 {
                    let many = patterns.len();
                    cx.error(node.at("schedule"), format!("{many} patterns of one job")).hint("at most 24");
                }
            }
            // Days that no month has are reported by themselves.
            (None, Some(days)) if days.days.iter().all(|day| (1..=31).contains(day)) => {
                for pattern in days.patterns() {
                    report(node.at("calendar"), &pattern);
                }
            }
            (None, _) => {}
        }
    }

    /// What the engine is told; `None` only where something wrong has been reported.
    pub(crate) fn spec(&self) -> Option<JobSpec> {
        let zone = self.timezone.as_ref().map_or("UTC", |zone| zone.as_str());
        let schedule = match (&self.schedule, &self.calendar, self.every) {
            (Some(Patterns(patterns)), _, _) => {
                let patterns = patterns.iter().map(|pattern| pattern.as_str());
                Schedule::Calendar(Calendar::new(patterns, zone).ok()?)
            }
            (None, Some(days), _) => {
                let patterns = days.patterns();
                Schedule::Calendar(Calendar::new(patterns.iter().map(String::as_str), zone).ok()?)
            }
            (None, None, every) => Schedule::Every(every?),
        };
        Some(JobSpec { schedule, grace: self.grace, max_runtime: self.max_runtime })
    }
}
