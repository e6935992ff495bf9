//! A moment as people write it on a command line: a time, a time of today, or how long ago.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use lifesign_core::time::Wall;

/// How the forms are told to whoever wrote another.
pub(crate) const FORMS: &str =
    "write it as 2026-11-22T09:00:00Z, as 09:00 or 09:00:30 (today), or as 10m ago";

/// A moment that has not yet been set against the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This one.
    At(Wall),
    /// Today at this time.
    Today(civil::Time),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// Reads RFC 3339, `HH:MM[:SS]`, `10m ago` or `-10m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let ago = text.strip_prefix('-').or_else(|| text.strip_suffix("ago").map(str::trim_end));
        let moment = match ago {
            Some(span) => lifesign_config::time::parse_duration(span).map(Self::Ago),
            None => time_of_day(text).map(Self::Today).or_else(|| Wall::parse(text).map(Self::At)),
        };
        moment.ok_or_else(|| FORMS.to_owned())
    }

    /// Which moment it is, `now` being what the clock in `zone` says. A time of today that this day does not
    /// have (the clocks go forward) is the one after the gap.
    pub(crate) fn wall(self, now: Wall, zone: &TimeZone) -> Wall {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now.back(span),
            Self::Today(time) => {
                let today = timestamp(now).to_zoned(zone.clone()).date();
                zone.to_timestamp(today.to_datetime(time))
                    .map_or(now, |at| Wall::from_millis(at.as_millisecond()))
            }
        }
    }
}

/// `at` as the clock in `zone` shows it: `2026-11-22 09:00:00 +01:00`.
pub(crate) fn local(at: Wall, zone: &TimeZone) -> String {
    timestamp(at).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn timestamp(at: Wall) -> Timestamp {
    Timestamp::from_millisecond(at.as_millis()).unwrap_or_default()
}

/// Two digits each, with seconds or without.
fn time_of_day(text: &str) -> Option<civil::Time> {
    let mut parts = [0_i8; 3];
    let mut count = 0;
    for (place, part) in text.split(':').enumerate() {
        let is_number = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        *parts.get_mut(place).filter(|_| is_number)? = part.parse().ok()?;
        count += 1;
    }
    let [hour, minute, second] = parts;
    (count >= 2).then(|| civil::Time::new(hour, minute, second, 0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Wall {
        Wall::parse(text).unwrap()
    }

    #[test]
    fn a_moment_is_a_time_a_time_of_today_or_how_long_ago() {
        let now = at("2026-11-22T23:30:00Z");
        let shanghai = TimeZone::fixed(jiff::tz::offset(8));
        for (text, expected) in [
            ("2026-11-22T09:00:00Z", "2026-11-22T09:00:00Z"),
            ("2026-11-22T09:00:00.5+08:00", "2026-11-22T01:00:00.5Z"),
            // It is the 23rd there already.
            ("07:12", "2026-11-22T23:12:00Z"),
            ("07:12:40", "2026-11-22T23:12:40Z"),
            ("00:00", "2026-11-22T16:00:00Z"),
            ("10m ago", "2026-11-22T23:20:00Z"),
            ("1h30m ago", "2026-11-22T22:00:00Z"),
            ("-10m", "2026-11-22T23:20:00Z"),
            (" 0s ago ", "2026-11-22T23:30:00Z"),
        ] {
            let moment = Moment::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(moment.wall(now, &shanghai), at(expected), "{text}");
        }
        assert_eq!(local(now, &shanghai), "2026-11-23 07:30:00 +08:00");
    }

    #[test]
    fn what_is_no_moment_is_told_the_forms() {
        for text in [
            "",
            "yesterday",
            "9:00",
            "09:0",
            "24:00",
            "09:60",
            "09",
            "09:00:00:00",
            "-",
            "ago",
            "10m",
            "-10",
            "٠٩:٠٠",
        ] {
            assert_eq!(Moment::parse(text), Err(FORMS.to_owned()), "{text:?}");
        }
    }
}
