//! Durations as people write them in configurations and heartbeats: `5s`, `1m30s`, `250ms`.

use std::time::Duration;

/// Longest duration: about ten years.
pub const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Units from large to small, with their milliseconds. `ms` is looked for before `m` and `s`.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads `1m30s`. Whole numbers, units from large to small, each at most once; `0s` is a duration too.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, word) = rest.split_at(digits);
        let (unit, left) = word.split_at(word.bytes().take_while(u8::is_ascii_alphabetic).count());
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = left;
    }
    let total = Duration::from_millis(total);
    (!text.is_empty() && total <= MAX_DURATION).then_some(total)
}

/// Writes a duration in the form [`parse_duration`] reads: `1m30s`. Fractions of a millisecond are cut.
pub fn write_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let count = left / u128::from(millis);
        left %= u128::from(millis);
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_in_every_unit_and_write_back_the_same() {
        for (text, millis) in [
            ("5s", 5000),
            ("250ms", 250),
            ("1m30s", 90_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(write_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "30s1m",
            "1s1s",
            "5S",
            "5sec",
            "五s",
            "99999999999999999999s",
            "4000d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
