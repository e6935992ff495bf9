//! The ordinary heartbeat body, read in one pass and without keeping anything of it but the heartbeats.
//!
//! Nearly every body is ordinary: known keys, each once, values that are right. The careful reader of
//! [`heartbeat`](crate::heartbeat) makes texts, lists and sets in order to say what is wrong and where; here nothing is
//! said. At the first thing out of the ordinary (a fault, an escape in a text, a key of a job's run) this reader gives up,
//! and the careful one begins anew. So it may only ever take what that one takes, and read the same in it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::duration::parse_duration;
use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;
use lifesign_core::time::Wall;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::heartbeat::{Heartbeats, INTERVALS, SECONDS, wrong_name};
use crate::limits::Limits;

/// Heartbeats that have room before their number is known.
const ROOM: usize = 128;

/// Reads `body`; `None`: it is not ordinary.
pub(crate) fn read(body: &[u8], limits: &Limits) -> Option<Heartbeats> {
    let text = std::str::from_utf8(body).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let heartbeats = match text.trim_ascii_start().as_bytes().first()? {
        b'{' => {
            let beat = json.deserialize_map(OneBeat(limits, &[])).ok()?;
            Heartbeats { array: false, beats: vec![Ok(beat)] }
        }
        b'[' => Heartbeats { array: true, beats: json.deserialize_seq(Array(limits)).ok()? },
        _ => return None,
    };
    json.end().ok()?;
    Some(heartbeats)
}

/// Why it gave up. Nobody hears of it.
fn out_of_the_ordinary<E: Error>() -> E {
    E::custom("out of the ordinary")
}

/// An array of heartbeats.
struct Array<'a>(&'a Limits);

impl<'de> Visitor<'de> for Array<'_> {
    type Value = Vec<Result<Beat, crate::ItemError>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut beats = Vec::with_capacity(ROOM.min(self.0.beats));
        while let Some(beat) = array.next_element_seed(OneBeat(self.0, names(&beats)))? {
            if beats.len() >= self.0.beats {
                return Err(out_of_the_ordinary());
            }
            beats.push(Ok(beat));
        }
        Ok(beats)
    }
}

/// The metrics of the heartbeat before: nearly always the next has the same, and their names need no memory of their own.
fn names(before: &[Result<Beat, crate::ItemError>]) -> &[(Arc<str>, f64)] {
    before.last().and_then(|beat| beat.as_ref().ok()).map_or(&[], |beat| &beat.metrics)
}

/// One heartbeat, and the metrics of the one before.
struct OneBeat<'a>(&'a Limits, &'a [(Arc<str>, f64)]);

impl<'de> DeserializeSeed<'de> for OneBeat<'_> {
    type Value = Beat;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Beat, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneBeat<'_> {
    type Value = Beat;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a heartbeat")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Beat, A::Error> {
        let (mut service, mut status, mut sent_at, mut metrics, mut message) = (None, None, None, None, None);
        let (mut interval, mut hears, mut progress) = (None, None, None);
        // Texts are borrowed from the body; one with an escape cannot be, and ends this.
        while let Some(key) = members.next_key::<&str>()? {
            match key {
                "service_id" if service.is_none() => {
                    let id = ServiceId::new(members.next_value()?);
                    service = Some(id.map_err(|_| out_of_the_ordinary())?);
                }
                "status" if status.is_none() => {
                    status = Some(match members.next_value()? {
                        "alive" => BeatStatus::Alive,
                        "stopping" => BeatStatus::Stopping,
                        "fail" => BeatStatus::Fail,
                        _ => return Err(out_of_the_ordinary()),
                    });
                }
                "metrics" if metrics.is_none() => {
                    metrics = Some(members.next_value_seed(Metrics(self.0, self.1))?);
                }
                "timestamp" if sent_at.is_none() => sent_at = Some(members.next_value_seed(Time)?),
                "message" if message.is_none() => {
                    let text: &str = members.next_value()?;
                    if text.len() > self.0.message_bytes {
                        return Err(out_of_the_ordinary());
                    }
                    message = Some(text.to_owned());
                }
                "interval" if interval.is_none() => interval = Some(members.next_value_seed(Interval)?),
                "hears" if hears.is_none() => hears = Some(members.next_value()?),
                "progress" if progress.is_none() => progress = Some(members.next_value()?),
                _ => return Err(out_of_the_ordinary()),
            }
        }
        Ok(Beat {
            service: service.ok_or_else(out_of_the_ordinary)?,
            status: status.unwrap_or(BeatStatus::Alive),
            sent_at,
            metrics: metrics.unwrap_or_default(),
            message,
            interval,
            hears,
            progress,
            run: None,
            age: Duration::ZERO,
        })
    }
}

/// An object of metrics, and the metrics of the heartbeat before.
struct Metrics<'a>(&'a Limits, &'a [(Arc<str>, f64)]);

impl<'de> DeserializeSeed<'de> for Metrics<'_> {
    type Value = Vec<(Arc<str>, f64)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metrics<'_> {
    type Value = Vec<(Arc<str>, f64)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of metrics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut metrics: Vec<(Arc<str>, f64)> = Vec::with_capacity(self.1.len());
        while let Some(name) = members.next_key::<&str>()? {
            let value = members.next_value_seed(Number)?;
            let before = self.1.get(metrics.len()).filter(|(before, _)| before.as_ref() == name);
            let is_ordinary = metrics.len() < self.0.metrics
                && (before.is_some() || wrong_name(name, self.0.metric_name_bytes).is_none())
                // There are few of them.
                && metrics.iter().all(|(known, _)| known.as_ref() != name);
            if !is_ordinary {
                return Err(out_of_the_ordinary());
            }
            metrics.push((before.map_or_else(|| name.into(), |(before, _)| Arc::clone(before)), value));
        }
        Ok(metrics)
    }
}

/// A number as a double.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<f64, D::Error> {
        json.deserialize_f64(self)
    }
}

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric is a double; the nearest one is meant")]
    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric is a double; the nearest one is meant")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }
}

/// Seconds since 1970, or an RFC 3339 time.
struct Time;

impl<'de> DeserializeSeed<'de> for Time {
    type Value = Wall;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Wall, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Time {
    type Value = Wall;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Wall, E> {
        if !SECONDS.contains(&seconds) {
            return Err(out_of_the_ordinary());
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range above is far inside i64")]
        Ok(Wall::from_millis((seconds * 1000.0).round() as i64))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Wall, E> {
        self.visit_f64(Number.visit_u64(seconds)?)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Wall, E> {
        self.visit_f64(Number.visit_i64(seconds)?)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Wall, E> {
        Wall::parse(text).ok_or_else(out_of_the_ordinary)
    }
}

/// Seconds until the next heartbeat, or a duration.
struct Interval;

impl<'de> DeserializeSeed<'de> for Interval {
    type Value = Duration;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Duration, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Interval {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an interval")
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        if !INTERVALS.contains(&seconds) {
            return Err(out_of_the_ordinary());
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        self.visit_f64(Number.visit_u64(seconds)?)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        self.visit_f64(Number.visit_i64(seconds)?)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Duration, E> {
        let span = parse_duration(text).ok_or_else(out_of_the_ordinary)?;
        self.visit_f64(span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_senders_usually_write_is_ordinary_and_what_needs_words_is_not() {
        let is_ordinary = |body: &str| read(body.as_bytes(), &Limits::default()).is_some();
        for body in [
            r#"{"service_id":"orders"}"#,
            r#" { "service_id" : "orders@web-01", "status": "stopping" } "#,
            r#"{"service_id":"orders","timestamp":1763800000.25,"metrics":{"queue":3,"cpu":-12.5e-1},"hears":true}"#,
            r#"{"service_id":"orders","timestamp":"2026-11-22T09:00:00Z","message":"Bestellung läuft","progress":7}"#,
            r#"{"service_id":"orders","interval":"1m30s"}"#,
            r#"[{"service_id":"a","interval":5},{"service_id":"b"}]"#,
            "[]",
        ] {
            assert!(is_ordinary(body), "{body}");
        }
        for body in [
            "",
            "null",
            r#"{"service_id":"orders""#,
            r#"{"service_id":"orders"} x"#,
            r#"{"service_id":"orders","service_id":"orders"}"#,
            r#"{"service_id":"a\u0062"}"#,
            r#"{"service_id":"orders","run":"started"}"#,
            r#"{"service_id":"orders","message":null}"#,
            r#"{"service_id":"orders","metrics":{"cpu":1,"cpu":1}}"#,
            r#"{"service_id":"orders","metrics":{"host_cpu":1}}"#,
            r#"{"service_id":"orders","progress":-1}"#,
            r#"[{"service_id":"orders"},{}]"#,
        ] {
            assert!(!is_ordinary(body), "{body}");
        }
    }
}
