//! External endpoints of Gatus: `POST /api/v1/endpoints/KEY/external?success=true&error=…&duration=250ms`.
//!
//! Source: Gatus 5.36, `api/external_endpoint.go`, `config/key/key.go`. The caller asks in the original's order:
//! [`success`], [`bearer`], then whether the key is known and the token right, then [`report`].

use super::{Reply, Report, Said, value};
use crate::json::cut;

/// Whether the call says success.
///
/// # Errors
/// The answer where it says neither.
pub fn success(query: &str) -> Result<bool, Reply> {
    match value(query, "success").as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) | None => Err(Reply::text(400, "missing or invalid success query parameter")),
    }
}

/// The token of the header `Authorization`.
///
/// # Errors
/// The answer where there is none.
pub fn bearer(header: Option<&str>) -> Result<&str, Reply> {
    let token = header
        .and_then(|header| header.strip_prefix("Bearer "))
        .ok_or_else(|| Reply::text(401, "invalid Authorization header"))?;
    match token.trim() {
        "" => Err(Reply::text(401, "bearer token must not be empty")),
        token => Ok(token),
    }
}

/// What the call says.
///
/// # Errors
/// The answer to a duration that cannot be read.
pub fn report(success: bool, query: &str) -> Result<Report, Reply> {
    let mut report = if success {
        // The original drops the error of a success.
        Report::new(Said::Alive, "")
    } else {
        let error = value(query, "error").unwrap_or_default();
        Report::new(Said::Fail, if error.is_empty() { "it reported a failure".to_owned() } else { error })
    };
    if let Some(text) = value(query, "duration").filter(|text| !text.is_empty()) {
        let seconds =
            go_duration(&text).map_err(|why| Reply::text(400, format!("invalid duration: {why}")))?;
        report.metrics.push(("duration_seconds".to_owned(), seconds));
    }
    Ok(report)
}

/// The answer to a call that was taken.
pub fn taken() -> Reply {
    Reply::text(200, "")
}

/// The answer where there is no such endpoint.
pub fn unknown() -> Reply {
    Reply::text(404, "not found")
}

/// The answer to a token of something else.
pub fn forbidden() -> Reply {
    Reply::text(401, "invalid token")
}

/// The key of an endpoint by its group and name, as Gatus makes it.
pub fn key(group: &str, name: &str) -> String {
    let sanitize = |text: &str| {
        let text = text.trim().to_lowercase();
        text.replace(['/', '_', '.', ',', ' ', '#', '+', '&'], "-")
    };
    format!("{}_{}", sanitize(group), sanitize(name))
}

/// A duration as Go's `time.ParseDuration` reads it, in seconds.
fn go_duration(text: &str) -> Result<f64, String> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    // Go counts nanoseconds in 64 bits.
    const LONGEST: f64 = 9_223_372_036.854_775;
    let invalid = || format!("time: invalid duration {:?}", cut(text));
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let figures = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(figures);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {:?}", cut(text)));
        }
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {:?} in duration {:?}", cut(unit), cut(text)));
        };
        seconds += number * size;
        rest = after;
    }
    if seconds > LONGEST { Err(invalid()) } else { Ok(sign * seconds) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn success_must_be_said_in_so_many_words() {
        assert_eq!(success("success=true"), Ok(true));
        assert_eq!(success("a=b&success=false"), Ok(false));
        for wrong in ["", "success=", "success=1", "success=TRUE"] {
            assert_eq!(
                success(wrong),
                Err(Reply::text(400, "missing or invalid success query parameter")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_header_is_judged_before_the_token() {
        assert_eq!(bearer(Some("Bearer abc")), Ok("abc"));
        assert_eq!(bearer(None).unwrap_err().body, "invalid Authorization header");
        assert_eq!(bearer(Some("Basic abc")).unwrap_err().body, "invalid Authorization header");
        assert_eq!(bearer(Some("Bearer  ")).unwrap_err().body, "bearer token must not be empty");
    }

    #[test]
    fn a_failure_has_its_error_and_a_success_has_none() {
        let read = |success, query| report(success, query).unwrap();
        assert_eq!(read(true, "success=true&error=x").message, "");
        assert_eq!(read(false, "success=false&error=disk%20full").message, "disk full");
        assert_eq!(read(false, "success=false").said, Said::Fail);
        let timed = read(true, "success=true&duration=1m30.5s");
        assert_eq!(timed.metrics, [("duration_seconds".to_owned(), 90.5)]);
    }

    #[test]
    fn durations_are_gos() {
        for (text, seconds) in
            [("250ms", 0.25), ("1h2m3s", 3723.0), ("0", 0.0), (".5s", 0.5), ("-1s", -1.0), ("2µs", 2e-6)]
        {
            assert!((go_duration(text).unwrap() - seconds).abs() < 1e-9, "{text}");
        }
        for (text, why) in [
            ("abc", r#"time: invalid duration "abc""#),
            ("", r#"time: invalid duration """#),
            ("5", r#"time: missing unit in duration "5""#),
            ("5x", r#"time: unknown unit "x" in duration "5x""#),
            ("1.2.3s", r#"time: invalid duration "1.2.3s""#),
            ("9999999h", r#"time: invalid duration "9999999h""#),
        ] {
            assert_eq!(go_duration(text).unwrap_err(), why);
        }
        let reply = report(true, "success=true&duration=5").unwrap_err();
        assert_eq!(reply, Reply::text(400, r#"invalid duration: time: missing unit in duration "5""#));
    }

    #[test]
    fn a_key_is_made_of_group_and_name() {
        assert_eq!(key("Core", "Night Backup"), "core_night-backup");
        assert_eq!(key("", "a/b_c.d,e#f+g&h"), "_a-b-c-d-e-f-g-h");
    }

    proptest! {
        #[test]
        fn any_query_is_answered(query in ".{0,120}", good: bool) {
            let _ = success(&query);
            if let Ok(report) = report(good, &query) {
                prop_assert!(report.metrics.iter().all(|(_, value)| value.is_finite()));
            }
        }

        #[test]
        fn any_duration_is_answered(text in "[-+0-9.a-zµ]{0,20}") {
            prop_assert!(go_duration(&text).is_ok_and(f64::is_finite) || go_duration(&text).is_err());
        }
    }
}
