//! Datagrams of StatsD and DogStatsD: gauges, and service checks.
//!
//! ```text
//! orders.queue:12|g
//! orders.queue:12|g|#service:orders,env:prod
//! _sc|orders.health|2|d:1732262400|h:web-01|#env:prod|m:no connection
//! ```
//!
//! Counters, timers, sets, histograms and events need a summing server between; they are counted and left out, and so
//! are relative gauges (`+3`), whose meaning would depend on datagrams that UDP may have lost.

use lifesign_core::time::Wall;

use super::{Report, Said};
use crate::json::cut;

/// Largest datagram, in bytes; a larger one is refused as a whole. Clients send at most 8 KiB.
pub const MAX_DATAGRAM: usize = 8 * 1024;

/// Most lines of one datagram; further ones are refused, and counted as one.
pub const MAX_LINES: usize = 256;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A gauge.
    Gauge {
        /// Its name, dots between the levels.
        name: String,
        /// Its value; finite.
        value: f64,
        /// The service that its tag `service` names.
        service: Option<String>,
    },
    /// A service check.
    Check {
        /// Its name.
        name: String,
        /// The service that its tag `service` names.
        service: Option<String>,
        /// What it says.
        report: Report,
    },
}

/// Reads a datagram, each line by itself.
pub fn read(datagram: &[u8]) -> Vec<Result<Line, String>> {
    if datagram.len() > MAX_DATAGRAM {
        return vec![Err(format!("{} bytes in one datagram, at most {MAX_DATAGRAM}", datagram.len()))];
    }
    let Ok(text) = std::str::from_utf8(datagram) else {
        return vec![Err("the datagram is not UTF-8".to_owned())];
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut read: Vec<_> = lines.by_ref().take(MAX_LINES).map(line).collect();
    if lines.next().is_some() {
        read.push(Err(format!("more than {MAX_LINES} lines in one datagram")));
    }
    read
}

fn line(line: &str) -> Result<Line, String> {
    match line.strip_prefix("_sc|") {
        Some(check) => service_check(check, line),
        None if line.starts_with("_e{") => Err("events are not taken".to_owned()),
        None => gauge(line),
    }
}

fn gauge(line: &str) -> Result<Line, String> {
    let wrong = |why: &str| format!("{why}: {:?}", cut(line));
    let (name, rest) = line.split_once(':').ok_or_else(|| wrong("expected name:value|g"))?;
    let mut parts = rest.split('|');
    let value = parts.next().unwrap_or_default();
    match parts.next() {
        Some("g") => {}
        Some(_) => return Err(wrong("only gauges are taken")),
        None => return Err(wrong("expected name:value|g")),
    }
    if value.starts_with(['+', '-']) {
        return Err(wrong("a gauge with a sign is relative, which is not taken"));
    }
    let value: f64 = value
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| wrong("no finite number"))?;
    if name.is_empty() {
        return Err(wrong("a gauge has a name"));
    }
    let service = parts.find_map(|part| part.strip_prefix('#')).and_then(service_tag);
    Ok(Line::Gauge { name: name.to_owned(), value, service })
}

fn service_check(check: &str, line: &str) -> Result<Line, String> {
    let wrong = |why: &str| format!("{why}: {:?}", cut(line));
    let mut parts = check.split('|');
    let name =
        parts.next().filter(|name| !name.is_empty()).ok_or_else(|| wrong("a service check has a name"))?;
    let status = parts.next().unwrap_or_default();
    let (mut sent_at, mut service, mut message) = (None, None, String::new());
    while let Some(part) = parts.next() {
        if let Some(time) = part.strip_prefix("d:") {
            sent_at = time.parse::<i64>().ok().map(|seconds| Wall::from_millis(seconds.saturating_mul(1000)));
        } else if let Some(tags) = part.strip_prefix('#') {
            service = service_tag(tags);
        } else if let Some(first) = part.strip_prefix("m:") {
            // The message comes last and may hold bars of its own.
            message = std::iter::once(first).chain(parts.by_ref()).collect::<Vec<_>>().join("|");
            message = message.replace("\\n", "\n").replace("m\\:", "m:");
        }
    }
    let or = |word: &str| if message.is_empty() { word.to_owned() } else { message.clone() };
    let mut report = match status {
        "0" => Report::new(Said::Alive, message),
        "1" => Report::new(Said::Alive, or("WARNING")),
        "2" => Report::new(Said::Fail, or("CRITICAL")),
        "3" => Report::new(Said::Logged, or("UNKNOWN")),
        _ => return Err(wrong("a status is 0, 1, 2 or 3")),
    };
    report.sent_at = sent_at;
    Ok(Line::Check { name: name.to_owned(), service, report })
}

fn service_tag(tags: &str) -> Option<String> {
    tags.split(',').find_map(|tag| tag.strip_prefix("service:")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Result<Line, String> {
        let mut read = read(line.as_bytes());
        assert_eq!(read.len(), 1, "{line}");
        read.remove(0)
    }

    #[test]
    fn a_gauge_is_read_with_its_tag() {
        let gauge = |name: &str, value, service: Option<&str>| {
            Ok(Line::Gauge { name: name.to_owned(), value, service: service.map(str::to_owned) })
        };
        assert_eq!(one("orders.queue:12.5|g"), gauge("orders.queue", 12.5, None));
        assert_eq!(one("queue:3|g|@0.5|#env:prod,service:orders"), gauge("queue", 3.0, Some("orders")));
    }

    #[test]
    fn a_service_check_is_read_with_all_its_parts() {
        let Ok(Line::Check { name, service, report }) =
            one("_sc|orders.health|2|d:1732262400|h:web-01|#env:prod,service:orders|m:no | way\\nout")
        else {
            panic!("it is a check")
        };
        assert_eq!((&*name, service.as_deref()), ("orders.health", Some("orders")));
        assert_eq!((report.said, &*report.message), (Said::Fail, "no | way\nout"));
        assert_eq!(report.sent_at, Some(Wall::from_millis(1_732_262_400_000)));
        let said = |status: u8| match one(&format!("_sc|x|{status}")) {
            Ok(Line::Check { report, .. }) => report.said,
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 1, 2, 3].map(said), [Said::Alive, Said::Alive, Said::Fail, Said::Logged]);
    }

    #[test]
    fn what_is_not_taken_says_why() {
        for (line, why) in [
            ("hits:1|c", "only gauges"),
            ("t:320|ms|@0.1", "only gauges"),
            ("g:+3|g", "relative"),
            ("g:-3|g", "relative"),
            ("g:NaN|g", "no finite number"),
            ("g:1e999|g", "no finite number"),
            (":1|g", "has a name"),
            ("g", "name:value|g"),
            ("g:1", "name:value|g"),
            ("_sc|x|9", "status is"),
            ("_sc|", "has a name"),
            ("_e{5,4}:title|text", "events"),
        ] {
            let refused = one(line).unwrap_err();
            assert!(refused.contains(why), "{line}: {refused}");
        }
        assert!(read(&[b'a'; MAX_DATAGRAM + 1])[0].is_err());
        assert_eq!(read("a:1|g\n".repeat(MAX_LINES + 1).as_bytes()).len(), MAX_LINES + 1);
    }

    proptest! {
        #[test]
        fn any_datagram_is_answered(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&datagram);
        }

        #[test]
        fn any_line_is_answered(text in "[a-z_:|#,.0-9+-]{0,60}") {
            for line in read(text.as_bytes()).into_iter().flatten() {
                if let Line::Gauge { value, .. } = line {
                    prop_assert!(value.is_finite());
                }
            }
        }
    }
}
