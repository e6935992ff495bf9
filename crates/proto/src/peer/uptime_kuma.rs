//! Push monitors of Uptime Kuma: `/api/push/TOKEN?status=up&msg=OK&ping=12.3`.
//!
//! Source: Uptime Kuma 2.5, `server/routers/api-router.js`. Every method is taken, body and headers say nothing, and
//! every error is a 404.

use super::{Reply, Report, Said, pairs, quoted};

/// Longest time a push may carry, in milliseconds.
const MAX_PING: f64 = 100_000_000_000.0;

/// Reads a push.
///
/// # Errors
/// The answer to a time that there cannot be. It comes before the token is looked for.
pub fn read(query: &str) -> Result<Report, Reply> {
    let said = match only(query, "status") {
        // A parameter that stands there twice is a list for the original, and no list is `up`.
        None => Said::Fail,
        Some(status) if status.is_empty() || status == "up" => Said::Alive,
        Some(_) => Said::Fail,
    };
    let message = only(query, "msg").unwrap_or_default();
    let mut report = Report::new(said, if message.is_empty() { "OK".to_owned() } else { message });
    let ping = pairs(query).find(|(name, _)| name == "ping").and_then(|(_, text)| leading_number(&text));
    // For the original zero is the same as none.
    match ping.filter(|ping| *ping != 0.0) {
        Some(ping) if !(0.0..=MAX_PING).contains(&ping) => {
            return Err(refused("Invalid ping value. Must be between 0 and 100000000000 ms."));
        }
        Some(ping) => report.metrics.push(("ping_seconds".to_owned(), ping / 1000.0)),
        None => {}
    }
    Ok(report)
}

/// The answer to a push that was taken.
pub fn taken() -> Reply {
    Reply::json(200, r#"{"ok":true}"#)
}

/// The answer where nobody has this token.
pub fn unknown() -> Reply {
    refused("Monitor not found or not active.")
}

fn refused(why: &str) -> Reply {
    Reply::json(404, format!(r#"{{"ok":false,"msg":{}}}"#, quoted(why)))
}

/// The value of a parameter, empty where it is not there; `None` where it stands there several times.
fn only(query: &str, name: &str) -> Option<String> {
    let mut all = pairs(query).filter(|(known, _)| known == name);
    let first = all.next().map(|(_, value)| value.into_owned()).unwrap_or_default();
    all.next().is_none().then_some(first)
}

/// The number at the beginning of a text, as JavaScript's `parseFloat` finds it.
fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if unsigned.starts_with("Infinity") {
        return Some(sign * f64::INFINITY);
    }
    let bytes = unsigned.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    let mut figures = end;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        figures += fraction;
        end += 1 + fraction;
    }
    if figures == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + signed);
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    unsigned.get(..end)?.parse().ok().map(|number: f64| sign * number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn up_is_the_only_good_word_and_nothing_is_as_good() {
        for (query, said, message) in [
            ("", Said::Alive, "OK"),
            ("status=up&msg=OK&ping=", Said::Alive, "OK"),
            ("status=&msg=all%20is+well", Said::Alive, "all is well"),
            ("status=down&msg=disk%20full", Said::Fail, "disk full"),
            ("status=UP", Said::Fail, "OK"),
            ("status=up&status=up", Said::Fail, "OK"),
            ("other=1", Said::Alive, "OK"),
        ] {
            let report = read(query).unwrap();
            assert_eq!((report.said, &*report.message), (said, message), "{query}");
        }
    }

    #[test]
    fn a_time_is_taken_as_javascript_reads_it() {
        let seconds = |query: &str| read(query).map(|report| report.metrics.first().map(|(_, value)| *value));
        assert_eq!(seconds("ping=12.5"), Ok(Some(0.0125)));
        assert_eq!(seconds("ping=12ms"), Ok(Some(0.012)));
        assert_eq!(seconds("ping=1e3"), Ok(Some(1.0)));
        assert_eq!(seconds("ping=5e"), Ok(Some(0.005)));
        for none in ["ping=", "ping=0", "ping=fast", "ping=.", "ping=-0"] {
            assert_eq!(seconds(none), Ok(None), "{none}");
        }
        for wrong in ["ping=-1", "ping=100000000001", "ping=Infinity", "ping=1e999"] {
            let reply = read(wrong).unwrap_err();
            assert_eq!(reply.status, 404, "{wrong}");
            assert_eq!(
                reply.body,
                r#"{"ok":false,"msg":"Invalid ping value. Must be between 0 and 100000000000 ms."}"#
            );
        }
    }

    proptest! {
        #[test]
        fn any_query_is_answered(query in ".{0,120}") {
            if let Ok(report) = read(&query) {
                prop_assert!(report.metrics.iter().all(|(_, value)| value.is_finite()));
            }
        }
    }
}
