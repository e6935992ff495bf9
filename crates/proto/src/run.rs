//! What a heartbeat says of a run of a job: `run`, `run_id`, `exit_code`, `signal`, `start_error`, `duration`,
//! `output`.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::duration::parse_duration;
use lifesign_core::evidence::{Exit, MAX_OUTPUT, MAX_RUN_ID, Run, RunPhase};
use serde_json::value::RawValue;

use crate::json::{self, Kind, cut};

/// Longest run that can be told, in seconds: ten years.
pub(crate) const LONGEST: f64 = 315_360_000.0;
/// Exit codes of both systems.
pub(crate) const CODES: std::ops::RangeInclusive<i64> = -2_147_483_648..=4_294_967_295;
/// Signals of any system.
pub(crate) const SIGNALS: std::ops::RangeInclusive<i64> = 1..=128;

/// The keys of a run as they are met, in any order.
#[derive(Debug, Default)]
pub(crate) struct Told {
    phase: Option<RunPhase>,
    id: Option<Arc<str>>,
    code: Option<i64>,
    signal: Option<i32>,
    start_error: Option<String>,
    took: Option<Duration>,
    output: Option<String>,
}

impl Told {
    /// Takes one of the keys; says what is wrong with its value.
    pub(crate) fn take(&mut self, key: &str, raw: &RawValue) -> Result<(), String> {
        match key {
            "run" => self.phase = Some(phase(&text(raw)?)?),
            "run_id" => self.id = Some(id(&text(raw)?)?),
            "exit_code" => self.code = Some(whole(raw, CODES)?),
            "signal" => {
                self.signal = i32::try_from(whole(raw, SIGNALS)?).ok();
            }
            "start_error" => self.start_error = Some(last(&text(raw)?).to_owned()),
            "duration" => self.took = Some(duration(raw)?),
            _ => self.output = Some(last(&text(raw)?).to_owned()),
        }
        Ok(())
    }

    /// All of it together; on error the key that does not fit, and why.
    pub(crate) fn finish(self) -> Result<Option<Run>, (&'static str, String)> {
        let end = [
            ("exit_code", self.code.is_some()),
            ("signal", self.signal.is_some()),
            ("start_error", self.start_error.is_some()),
        ];
        let Some(phase) = self.phase else {
            let stray = [
                ("run_id", self.id.is_some()),
                ("duration", self.took.is_some()),
                ("output", self.output.is_some()),
            ];
            return match end.into_iter().chain(stray).find(|(_, there)| *there) {
                Some((key, _)) => Err((key, "belongs to a run; write \"run\": \"ended\" too".to_owned())),
                None => Ok(None),
            };
        };
        let mut ends = end.into_iter().filter(|(_, there)| *there);
        if let Some((key, _)) = ends.next() {
            if phase != RunPhase::Ended {
                return Err((key, "belongs to a run that has ended".to_owned()));
            }
            if let Some((other, _)) = ends.next() {
                return Err((other, format!("a run ends in one way, and `{key}` names one already")));
            }
        }
        let exit = match (self.code, self.signal, self.start_error) {
            (Some(0), _, _) => Some(Exit::Clean),
            (Some(code), _, _) => Some(Exit::Code(code)),
            (_, Some(signal), _) => Some(Exit::Signal(signal)),
            (_, _, Some(why)) => Some(Exit::StartFailed(why)),
            (None, None, None) => None,
        };
        Ok(Some(Run { phase, id: self.id, exit, took: self.took, output: self.output }))
    }
}

fn text(raw: &RawValue) -> Result<String, String> {
    json::string(raw).ok_or_else(|| match Kind::of(raw) {
        Kind::String => "is not Unicode text (half of a surrogate pair)".to_owned(),
        other => format!("expected a string, found {other}"),
    })
}

fn phase(word: &str) -> Result<RunPhase, String> {
    match word {
        "started" => Ok(RunPhase::Started),
        "ended" => Ok(RunPhase::Ended),
        "noted" => Ok(RunPhase::Noted),
        other => Err(format!("expected \"started\", \"ended\" or \"noted\", found {:?}", cut(other))),
    }
}

fn id(text: &str) -> Result<Arc<str>, String> {
    wrong_id(text).map_or_else(|| Ok(text.into()), Err)
}

/// What is wrong with the id of a run; `None`: nothing.
pub(crate) fn wrong_id(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > MAX_RUN_ID {
        return Some(format!("{} bytes of run id, expected 1 to {MAX_RUN_ID}", text.len()));
    }
    let wrong = text.chars().find(|c| !c.is_ascii_graphic())?;
    Some(format!("{wrong:?} may not stand in a run id (visible ASCII)"))
}

fn whole(raw: &RawValue, range: std::ops::RangeInclusive<i64>) -> Result<i64, String> {
    if Kind::of(raw) != Kind::Number {
        return Err(format!("expected a whole number, found {}", Kind::of(raw)));
    }
    let found = raw.get().parse::<i64>().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| {
        format!("expected a whole number from {} to {}, found {}", range.start(), range.end(), cut(raw.get()))
    })
}

fn duration(raw: &RawValue) -> Result<Duration, String> {
    if Kind::of(raw) == Kind::String {
        let text = text(raw)?;
        return parse_duration(&text).ok_or_else(|| format!("{:?} is no duration (5s, 1m30s)", cut(&text)));
    }
    let Some(seconds) = json::number(raw) else {
        return Err(format!("expected seconds or a duration such as \"1m30s\", found {}", Kind::of(raw)));
    };
    if (0.0..=LONGEST).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(format!("expected 0 to {LONGEST} seconds, found {}", cut(raw.get())))
}

/// The end of `text`: what was written last says most.
pub(crate) fn last(text: &str) -> &str {
    let mut from = text.len().saturating_sub(MAX_OUTPUT);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_output_the_end_is_kept() {
        let text = format!("{}终", "x".repeat(MAX_OUTPUT - 1));
        let kept = last(&text);
        assert_eq!(kept.len(), MAX_OUTPUT);
        assert!(kept.ends_with("终"));
        assert!(last(&format!("{}a", "终".repeat(2000))).len() <= MAX_OUTPUT);
    }
}
