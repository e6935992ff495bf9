//! Pings of Healthchecks: `/ping/UUID`, `/ping/PING_KEY/SLUG`, each with `/start`, `/fail`, `/log` or an exit code.
//!
//! Source: Healthchecks 4.3, `hc/api/urls.py`, `hc/api/views.py` (`ping`, `ping_by_slug`). A ping is answered in the
//! order in which that code looks: unknown check, exit code, run id.

use lifesign_core::evidence::{Exit, MAX_OUTPUT, Run, RunPhase};

use super::{Reply, Report, Said, value};

/// Bytes of a body that are kept; what comes after is read and thrown away. The value of an unchanged Healthchecks.
pub const BODY_LIMIT: usize = 10_000;

/// A ping's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping<'p> {
    /// Which check it means.
    pub check: Check<'p>,
    /// What happened.
    pub action: Action,
}

/// The two ways to name a check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Check<'p> {
    /// By its own secret: a UUID in small letters.
    Uuid(&'p str),
    /// By its project's secret and its own name.
    Slug {
        /// The secret.
        ping_key: &'p str,
        /// The name: letters, digits, `_`, `-` and `.`.
        slug: &'p str,
    },
}

/// Shows no secret.
impl std::fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(_) => f.write_str("Uuid(…)"),
            Self::Slug { slug, .. } => f.debug_struct("Slug").field("slug", slug).finish_non_exhaustive(),
        }
    }
}

/// What a ping says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It went well.
    Success,
    /// A run begins.
    Start,
    /// It failed.
    Fail,
    /// A note.
    Log,
    /// A run ended with this exit code; 255 is the highest that is taken.
    Exit(u32),
}

/// The query of a ping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Whether an unknown check is to be made.
    pub create: bool,
    /// The run's id in small letters, as sent: whether it is a UUID is judged by [`Ping::report`].
    pub rid: Option<String>,
}

impl Query {
    /// Reads the query.
    pub fn read(query: &str) -> Self {
        let create = value(query, "create").is_some_and(|value| value == "1");
        Self { create, rid: value(query, "rid").map(|rid| rid.to_lowercase()) }
    }
}

impl<'p> Ping<'p> {
    /// Reads what stands behind `/ping/`. `None`: no ping looks like that, 404.
    pub fn read(path: &'p str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts: Vec<&str> = path.splitn(4, '/').collect();
        match parts.as_slice() {
            [uuid] if is_uuid(uuid) => Some(Self { check: Check::Uuid(uuid), action: Action::Success }),
            [uuid, word] if is_uuid(uuid) && action(word).is_some() => {
                action(word).map(|action| Self { check: Check::Uuid(uuid), action })
            }
            [ping_key, slug] if is_slug(ping_key) && is_slug(slug) => {
                Some(Self { check: Check::Slug { ping_key, slug }, action: Action::Success })
            }
            [ping_key, slug, word] if is_slug(ping_key) && is_slug(slug) => {
                action(word).map(|action| Self { check: Check::Slug { ping_key, slug }, action })
            }
            _ => None,
        }
    }

    /// Whether the slug is one that no check can have: 400, whether the ping key is right or not.
    pub fn is_misnamed(&self) -> bool {
        matches!(self.check, Check::Slug { slug, .. } if slug.bytes().any(|byte| byte.is_ascii_uppercase()))
    }

    /// What this ping, for a check that exists, says. `body`: at most [`BODY_LIMIT`] bytes of it.
    ///
    /// # Errors
    /// The answer to an exit code or run id that there cannot be.
    pub fn report(&self, query: &Query, body: &[u8]) -> Result<Report, Reply> {
        if matches!(self.action, Action::Exit(code) if code > 255) {
            return Err(misnamed());
        }
        if query.rid.as_deref().is_some_and(|rid| !is_uuid(rid)) {
            return Err(Reply::text(400, "invalid uuid format"));
        }
        let body = String::from_utf8_lossy(body.get(..BODY_LIMIT).unwrap_or(body));
        let body = body.trim();
        let or = |words: &str| if body.is_empty() { words.to_owned() } else { body.to_owned() };
        let mut report = match self.action {
            Action::Success | Action::Exit(0) => Report::new(Said::Alive, body),
            Action::Start => Report::new(Said::Started, or("started")),
            Action::Fail => Report::new(Said::Fail, or("it reported a failure")),
            Action::Log => Report::new(Said::Logged, body),
            Action::Exit(code) if body.is_empty() => Report::new(Said::Fail, format!("exit code {code}")),
            Action::Exit(code) => Report::new(Said::Fail, format!("exit code {code}: {body}")),
        };
        report.run = Some(Run {
            id: query.rid.as_deref().map(Into::into),
            output: (!body.is_empty() && report.said != Said::Started)
                .then(|| last(body, MAX_OUTPUT).to_owned()),
            exit: match self.action {
                Action::Exit(0) => Some(Exit::Clean),
                Action::Exit(code) => Some(Exit::Code(code.into())),
                Action::Success | Action::Start | Action::Fail | Action::Log => None,
            },
            phase: match self.action {
                Action::Success | Action::Fail | Action::Exit(_) => RunPhase::Ended,
                Action::Start => RunPhase::Started,
                Action::Log => RunPhase::Noted,
            },
            took: None,
        });
        Ok(report)
    }
}

/// The last bytes of a text, at most `most`.
fn last(text: &str, most: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(most));
    text.get(from..).unwrap_or_default()
}

/// The answer to a ping that was taken. `created`: it has made its check.
pub fn taken(created: bool) -> Reply {
    if created { Reply::text(201, "Created") } else { Reply::text(200, "OK") }
}

/// The answer where there is no such check, or no such key.
pub fn unknown() -> Reply {
    Reply::text(404, "not found")
}

/// The answer to a slug or exit code that there cannot be.
pub fn misnamed() -> Reply {
    Reply::text(400, "invalid url format")
}

/// Whether `text` is a UUID in small letters.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// `number` as a UUID is written.
pub fn write_uuid(number: u128) -> String {
    let digits = format!("{number:032x}");
    let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)].join("-")
}

/// A dot is taken too, since our ids have it.
fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn action(word: &str) -> Option<Action> {
    match word {
        "start" => Some(Action::Start),
        "fail" => Some(Action::Fail),
        "log" => Some(Action::Log),
        code if !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Action::Exit(code.parse().unwrap_or(u32::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "f3b1c9f0-7d54-4f7e-9f1c-2f0a1b2c3d4e";

    fn read(rest: &str) -> Option<(String, Action)> {
        let path = rest.replace("UUID", UUID);
        Ping::read(&path).map(|ping| match ping.check {
            Check::Uuid(_) => (String::new(), ping.action),
            Check::Slug { ping_key, slug } => (format!("{ping_key}/{slug}"), ping.action),
        })
    }

    #[test]
    fn every_form_of_a_ping_is_read() {
        let uuid = |action| Some((String::new(), action));
        let slug = |action| Some(("key/a_b-1".to_owned(), action));
        assert_eq!(read("UUID"), uuid(Action::Success));
        assert_eq!(read("UUID/"), uuid(Action::Success));
        assert_eq!(read("UUID/start"), uuid(Action::Start));
        assert_eq!(read("UUID/fail"), uuid(Action::Fail));
        assert_eq!(read("UUID/log"), uuid(Action::Log));
        assert_eq!(read("UUID/0"), uuid(Action::Exit(0)));
        assert_eq!(read("UUID/255/"), uuid(Action::Exit(255)));
        assert_eq!(read("UUID/99999999999"), uuid(Action::Exit(u32::MAX)));
        assert_eq!(read("key/a_b-1"), slug(Action::Success));
        assert_eq!(read("key/a_b-1/start"), slug(Action::Start));
        assert_eq!(read("key/a_b-1/3"), slug(Action::Exit(3)));
        assert_eq!(read("UUID/other"), Some((format!("{UUID}/other"), Action::Success)));
        for nothing in
            ["", "/", "key", "key//", "key/a/b/c", "key/a/up", "k y/a", "UUID//start", "UUID/start/now"]
        {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        assert_eq!(Ping::read(&UUID.to_uppercase()), None, "the original takes small letters only");
    }

    #[test]
    fn what_a_ping_says() {
        let said = |action, body: &str| {
            let report = Ping { check: Check::Uuid(UUID), action }.report(&Query::default(), body.as_bytes());
            report.map(|report| (report.said, report.message)).map_err(|reply| (reply.status, reply.body))
        };
        assert_eq!(said(Action::Success, " done\n"), Ok((Said::Alive, "done".to_owned())));
        assert_eq!(said(Action::Exit(0), ""), Ok((Said::Alive, String::new())));
        assert_eq!(said(Action::Exit(3), ""), Ok((Said::Fail, "exit code 3".to_owned())));
        assert_eq!(said(Action::Exit(3), "disk full"), Ok((Said::Fail, "exit code 3: disk full".to_owned())));
        assert_eq!(said(Action::Fail, "no"), Ok((Said::Fail, "no".to_owned())));
        assert_eq!(said(Action::Start, ""), Ok((Said::Started, "started".to_owned())));
        assert_eq!(said(Action::Log, "note"), Ok((Said::Logged, "note".to_owned())));
        assert_eq!(said(Action::Exit(256), ""), Err((400, "invalid url format".to_owned())));
    }

    #[test]
    fn a_run_has_a_uuid_in_any_case() {
        let ping = Ping { check: Check::Uuid(UUID), action: Action::Start };
        let run = |query: &str| ping.report(&Query::read(query), b"").map(|report| report.run.unwrap().id);
        assert_eq!(run(""), Ok(None));
        assert_eq!(run(&format!("rid={}", UUID.to_uppercase())), Ok(Some(UUID.into())));
        for wrong in ["rid=", "rid=7", "rid=zzzzzzzz-7d54-4f7e-9f1c-2f0a1b2c3d4e"] {
            assert_eq!(run(wrong).unwrap_err(), Reply::text(400, "invalid uuid format"), "{wrong}");
        }
        assert!(Query::read("create=1").create);
        assert!(!Query::read("create=true").create);
    }

    #[test]
    fn a_ping_tells_a_job_of_its_run() {
        let run = |action, body: &str| {
            let report = Ping { check: Check::Uuid(UUID), action }.report(&Query::default(), body.as_bytes());
            let run = report.unwrap().run.unwrap();
            (run.phase, run.exit, run.output)
        };
        assert_eq!(run(Action::Start, "by hand"), (RunPhase::Started, None, None));
        assert_eq!(run(Action::Success, "done"), (RunPhase::Ended, None, Some("done".to_owned())));
        assert_eq!(run(Action::Exit(0), ""), (RunPhase::Ended, Some(Exit::Clean), None));
        assert_eq!(run(Action::Exit(3), ""), (RunPhase::Ended, Some(Exit::Code(3)), None));
        assert_eq!(run(Action::Fail, ""), (RunPhase::Ended, None, None));
        assert_eq!(run(Action::Log, "half"), (RunPhase::Noted, None, Some("half".to_owned())));
        let long = format!("first{}", "é".repeat(4000));
        let kept = run(Action::Success, &long).2.unwrap();
        assert!(
            kept.len() <= MAX_OUTPUT && kept.chars().all(|letter| letter == 'é'),
            "the end is what matters"
        );
    }

    #[test]
    fn a_number_is_written_as_a_uuid() {
        assert_eq!(write_uuid(0xf3b1_c9f0_7d54_4f7e_9f1c_2f0a_1b2c_3d4e), UUID);
        assert!(is_uuid(&write_uuid(0)));
    }

    #[test]
    fn a_body_is_kept_to_its_limit_and_no_debug_output_shows_a_key() {
        let ping = Ping::read(UUID).unwrap();
        assert_eq!(ping.report(&Query::default(), &[b'x'; 20_000]).unwrap().message.len(), BODY_LIMIT);
        assert!(!format!("{ping:?}").contains("f3b1"));
        let ping = Ping::read("very-secret/orders").unwrap();
        assert!(!format!("{ping:?}").contains("very-secret"));
    }

    proptest! {
        #[test]
        fn any_path_query_and_body_is_answered(path in ".{0,80}", query in ".{0,80}", body in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(ping) = Ping::read(&path) {
                let _ = ping.is_misnamed();
                let _ = ping.report(&Query::read(&query), &body);
            }
        }
    }
}
