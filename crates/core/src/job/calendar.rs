//! When a job is due: cron patterns in a time zone.
//!
//! The patterns say which wall-clock times match; here those become instants. The rules of the time zones are
//! those compiled into this program, so that the same configuration means the same everywhere and no file is
//! read.
//!
//! Schedulers do not agree on what happens when the clocks change, and none may be called wrong:
//!
//! - A pattern with fixed hours (`30 2 * * *`) is due once a day. Where 02:30 is *skipped*, some run the job when
//!   the gap ends, some as many minutes later; where it comes *twice*, some take the first, some the second. So
//!   the due time is a span from the earliest to the latest of these ([`Due`]): a run within it counts, and
//!   nobody is overdue before its end.
//! - A pattern for every hour (`*/15 * * * *`) goes by the clock: it skips what the clock skips and is due again
//!   in the hour that comes twice.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use croner::Cron;
use croner::errors::CronError;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

use crate::time::Wall;

/// Most patterns of one calendar.
const MAX_PATTERNS: usize = 24;
/// Changes of the clock that are looked over for the next time: more than a hundred years of them.
const MAX_CHANGES: usize = 256;
/// Times of a pattern that may lie in an hour that comes twice.
const MAX_DOUBLED: usize = 4 * 3600;

/// A due time. Both ends are the same but for hours that a change of the clocks skips or doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    /// From here on a run counts for it.
    pub from: Wall,
    /// From here on it is awaited.
    pub until: Wall,
}

impl Due {
    /// A due time without doubt.
    pub const fn at(at: Wall) -> Self {
        Self { from: at, until: at }
    }
}

/// Why a calendar makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// A pattern that cannot be read.
    #[error("`{pattern}` is no cron pattern: {why}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        why: String,
    },
    /// A pattern without a time, such as the 30th of February.
    #[error("`{0}` never comes")]
    Never(String),
    /// No pattern at all, or too many.
    #[error("a calendar has 1 to {MAX_PATTERNS} patterns, this one has {0}")]
    Patterns(usize),
    /// A name that is not in the time zone database.
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

/// Cron patterns in a time zone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Calendar {
    written: Written,
    patterns: Vec<Pattern>,
    zone: TimeZone,
}

/// A calendar as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    cron: Vec<Arc<str>>,
    zone: Arc<str>,
}

#[derive(Clone)]
struct Pattern {
    cron: Cron,
    /// Whether it goes by the clock: it is due in every hour.
    hourly: bool,
}

impl Calendar {
    /// Reads `patterns`, of which the first to come counts, in the zone of this name (`Europe/Berlin`, `UTC`).
    ///
    /// Patterns have five fields, or six with seconds in front; `@daily` and its like are known, and `L`, `#` and
    /// `W` for last, nth and nearest weekdays.
    ///
    /// # Errors
    /// When a pattern cannot be read or never comes, or there is no such zone.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>, zone: &str) -> Result<Self, CalendarError> {
        let tz = TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_| CalendarError::Zone(zone.chars().take(60).collect()))?;
        let cron: Vec<Arc<str>> = patterns.into_iter().map(|text| text.trim().into()).collect();
        if cron.is_empty() || cron.len() > MAX_PATTERNS {
            return Err(CalendarError::Patterns(cron.len()));
        }
        let patterns = cron.iter().map(|text| Pattern::new(text, &tz)).collect::<Result<_, _>>()?;
        Ok(Self { written: Written { cron, zone: zone.into() }, patterns, zone: tz })
    }

    /// Names of all time zones that are known.
    pub fn zones() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
    }

    /// The name of its time zone.
    pub fn zone(&self) -> &str {
        &self.written.zone
    }

    /// The first due time that begins after `after`; `None`: it never comes again.
    pub fn after(&self, after: Wall) -> Option<Due> {
        let after = Timestamp::from_millisecond(after.as_millis()).ok()?;
        let due = self.patterns.iter().filter_map(|pattern| pattern.after(after, &self.zone)).min()?;
        let wall = |at: Timestamp| Wall::from_millis(at.as_millisecond());
        Some(Due { from: wall(due.0), until: wall(due.1) })
    }

    /// `at` as a clock in the calendar's zone shows it: `2026-11-23 03:00:00`.
    pub fn local(&self, at: Wall) -> String {
        let Ok(at) = Timestamp::from_millisecond(at.as_millis()) else { return at.to_string() };
        let civil = self.zone.to_datetime(at);
        let civil = civil.round(Unit::Second).unwrap_or(civil);
        format!("{} {}", civil.date(), civil.time())
    }
}

impl Pattern {
    fn new(text: &str, zone: &TimeZone) -> Result<Self, CalendarError> {
        let cron = Cron::from_str(text).map_err(|error| CalendarError::Pattern {
            pattern: text.chars().take(60).collect(),
            why: words(error),
        })?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        let hour = fields.len().checked_sub(4).and_then(|at| fields.get(at.min(2)));
        let hourly =
            text.eq_ignore_ascii_case("@hourly") || hour.is_some_and(|hour| *hour == "*" || *hour == "*/1");
        let pattern = Self { cron, hourly };
        match pattern.after(Timestamp::UNIX_EPOCH, zone) {
            Some(_) => Ok(pattern),
            None => Err(CalendarError::Never(text.chars().take(60).collect())),
        }
    }

    fn after(&self, after: Timestamp, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if self.hourly {
            self.by_the_clock(after, zone).map(|at| (at, at))
        } else {
            self.once_a_day(after, zone)
        }
    }

    /// Between two changes of the clock the way from wall-clock times to instants is one to one.
    fn by_the_clock(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (after, false);
        for _ in 0..MAX_CHANGES {
            let offset = zone.to_offset(from);
            let found = self.cron.find_next_occurrence(&offset.to_datetime(from), inclusive).ok()?;
            let at = offset.to_timestamp(found).ok()?;
            match zone.following(from).next().map(|change| change.timestamp()) {
                Some(change) if change <= at => (from, inclusive) = (change, true),
                _ => return Some(at),
            }
        }
        None
    }

    fn once_a_day(&self, after: Timestamp, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let mut civil = zone.to_datetime(after);
        for _ in 0..MAX_DOUBLED {
            civil = self.cron.find_next_occurrence(&civil, false).ok()?;
            let due = span(civil, zone)?;
            // In the second pass of a doubled hour, times of the first are over.
            if due.0 > after {
                return Some(due);
            }
        }
        None
    }
}

/// What the reader of patterns says, in the manner of our own messages.
fn words(error: CronError) -> String {
    let text = match error {
        CronError::InvalidPattern(why)
        | CronError::IllegalCharacters(why)
        | CronError::ComponentError(why) => why,
        other => other.to_string(),
    };
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The instants that a wall-clock time may mean.
fn span(civil: DateTime, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => {
            let at = ambiguous.compatible().ok()?;
            Some((at, at))
        }
        AmbiguousOffset::Fold { .. } => Some((ambiguous.earlier().ok()?, ambiguous.later().ok()?)),
        AmbiguousOffset::Gap { .. } => {
            let end = zone.following(ambiguous.earlier().ok()?).next()?.timestamp();
            Some((end, ambiguous.later().ok()?))
        }
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.written.cron.join(" | "), self.written.zone)
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

impl TryFrom<Written> for Calendar {
    type Error = CalendarError;

    fn try_from(written: Written) -> Result<Self, CalendarError> {
        Self::new(written.cron.iter().map(AsRef::as_ref), &written.zone)
    }
}

impl From<Calendar> for Written {
    fn from(calendar: Calendar) -> Self {
        calendar.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "Europe/Berlin";

    fn wall(text: &str) -> Wall {
        Wall::parse(text).unwrap()
    }

    /// The due times after `after`, as `from` or `from..until`, without milliseconds.
    fn due(pattern: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let calendar = Calendar::new([pattern], zone).unwrap();
        let mut at = wall(after);
        let short = |at: Wall| at.to_string().replace(":00.000Z", "Z");
        (0..count)
            .map(|_| {
                let due = calendar.after(at).unwrap();
                at = due.from;
                if due.from == due.until {
                    short(due.from)
                } else {
                    format!("{}..{}", short(due.from), short(due.until))
                }
            })
            .collect()
    }

    #[test]
    fn a_pattern_is_read_in_its_time_zone() {
        let at = "2026-01-15T00:00:00Z";
        assert_eq!(due("0 3 * * *", "UTC", at, 2), ["2026-01-15T03:00Z", "2026-01-16T03:00Z"]);
        assert_eq!(due("0 3 * * *", BERLIN, at, 1), ["2026-01-15T02:00Z"]);
        assert_eq!(due("0 3 * * *", "Asia/Shanghai", at, 1), ["2026-01-15T19:00Z"]);
        assert_eq!(due("0 9 * * mon-fri", BERLIN, "2026-01-16T12:00:00Z", 1), ["2026-01-19T08:00Z"]);
        assert_eq!(due("0 0 L * *", "UTC", at, 2), ["2026-01-31T00:00Z", "2026-02-28T00:00Z"]);
        assert_eq!(due("0 12 * * fri#2", "UTC", at, 1), ["2026-02-13T12:00Z"]);
        assert_eq!(due("@daily", BERLIN, at, 1), ["2026-01-15T23:00Z"]);
        assert_eq!(
            due("*/10 * * * * *", "UTC", at, 2),
            ["2026-01-15T00:00:10.000Z", "2026-01-15T00:00:20.000Z"]
        );
    }

    #[test]
    fn a_time_is_strictly_after_the_one_asked_for() {
        assert_eq!(due("0 3 * * *", "UTC", "2026-01-15T03:00:00Z", 1), ["2026-01-16T03:00Z"]);
        assert_eq!(due("0 3 * * *", "UTC", "2026-01-15T02:59:59.999Z", 1), ["2026-01-15T03:00Z"]);
        assert_eq!(due("0 3 * * *", "UTC", "2026-01-15T03:00:00.500Z", 1), ["2026-01-16T03:00Z"]);
    }

    /// Berlin, 2026-03-29: 02:00 CET is 03:00 CEST (01:00 UTC).
    #[test]
    fn a_skipped_time_is_due_from_the_end_of_the_gap_until_as_many_minutes_later() {
        assert_eq!(
            due("30 2 * * *", BERLIN, "2026-03-28T00:00:00Z", 3),
            ["2026-03-28T01:30Z", "2026-03-29T01:00Z..2026-03-29T01:30Z", "2026-03-30T00:30Z"]
        );
        // What is due at the end of the gap anyway is due once.
        assert_eq!(
            due("0 2,3 * * *", BERLIN, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00Z", "2026-03-30T00:00Z"]
        );
    }

    /// Berlin, 2026-10-25: 03:00 CEST is 02:00 CET (01:00 UTC).
    #[test]
    fn a_doubled_time_is_due_once_from_the_first_to_the_second() {
        assert_eq!(
            due("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30Z..2026-10-25T01:30Z", "2026-10-26T01:30Z"]
        );
        // Asked for in the second pass of the hour: it was due in the first.
        assert_eq!(due("30 2 * * *", BERLIN, "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30Z"]);
        assert_eq!(due("0 3 * * *", BERLIN, "2026-10-24T12:00:00Z", 1), ["2026-10-25T02:00Z"]);
    }

    #[test]
    fn a_pattern_for_every_hour_goes_by_the_clock() {
        assert_eq!(
            due("30 * * * *", BERLIN, "2026-03-29T00:00:00Z", 3),
            ["2026-03-29T00:30Z", "2026-03-29T01:30Z", "2026-03-29T02:30Z"],
            "01:30 CET, then 03:30 CEST, an hour later"
        );
        assert_eq!(
            due("*/30 * * * *", BERLIN, "2026-10-25T00:00:00Z", 4),
            ["2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z", "2026-10-25T02:00Z"],
            "02:30 CEST, 02:00 CET, 02:30 CET, 03:00 CET"
        );
        assert_eq!(due("@hourly", BERLIN, "2026-10-25T00:10:00Z", 1), ["2026-10-25T01:00Z"]);
    }

    /// Lord Howe moves its clocks by half an hour (02:00 to 02:30 and back), Apia once left out a day.
    #[test]
    fn odd_changes_of_the_clock_are_followed() {
        assert_eq!(
            due("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1),
            ["2026-10-03T15:30Z..2026-10-03T15:45Z"]
        );
        assert_eq!(
            due("0 12 * * *", "Pacific/Apia", "2011-12-29T22:30:00Z", 2),
            ["2011-12-30T10:00Z..2011-12-30T22:00Z", "2011-12-30T22:00Z"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        let refused = |pattern, zone| Calendar::new([pattern], zone).unwrap_err().to_string();
        assert!(refused("61 * * * *", "UTC").starts_with("`61 * * * *` is no cron pattern: "));
        assert!(refused("3 Uhr", "UTC").starts_with("`3 Uhr` is no cron pattern: "));
        assert_eq!(refused("0 0 30 2 *", "UTC"), "`0 0 30 2 *` never comes");
        assert_eq!(refused("0 3 * * *", "Europe/Berlyn"), "there is no time zone `Europe/Berlyn`");
        assert_eq!(Calendar::new([], "UTC"), Err(CalendarError::Patterns(0)));
    }

    #[test]
    fn a_calendar_travels_as_data() {
        let calendar = Calendar::new(["0 3 * * *", "30 15 * * *"], BERLIN).unwrap();
        let text = serde_json::to_string(&calendar).unwrap();
        assert_eq!(text, r#"{"cron":["0 3 * * *","30 15 * * *"],"zone":"Europe/Berlin"}"#);
        assert_eq!(serde_json::from_str::<Calendar>(&text).unwrap(), calendar);
        assert!(serde_json::from_str::<Calendar>(r#"{"cron":["x"],"zone":"UTC"}"#).is_err());
        assert_eq!(calendar.after(wall("2026-01-15T12:00:00Z")), Some(Due::at(wall("2026-01-15T14:30:00Z"))));
        assert_eq!(calendar.local(wall("2026-01-15T14:30:00Z")), "2026-01-15 15:30:00");
    }
}
