//! A heartbeat as a line that a shell can write: `orders alive queue=12 progress=42 message=all is well`.
//!
//! ```text
//! line    = id [ SP note ]
//! note    = [ status ] { SP name=number } [ SP message=rest of the line ]
//! status  = alive | stopping | fail            (alive where it is left out)
//! ```
//!
//! `progress` takes a whole number: the sender's own count of its work. Every other name is a metric.

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;

use super::{Refused, beat};
use crate::heartbeat::wrong_name;
use crate::json::cut;
use crate::limits::Limits;

/// One line, `id` first.
pub(super) fn line(line: &str, limits: &Limits) -> Result<Beat, Refused> {
    let (id, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let service = ServiceId::new(id).map_err(|error| Refused(format!("{:?} is no id: {error}", cut(id))))?;
    note(&service, rest, limits)
}

/// Reads the note of `service` in a file or registry value; an empty one is *I am well*.
///
/// # Errors
/// When it is not text of that form, or holds more than `limits` allow.
pub fn read_note(service: &ServiceId, bytes: &[u8], limits: &Limits) -> Result<Beat, Refused> {
    if bytes.len() > super::MAX_LETTER {
        return Err(Refused(format!("{} bytes in one note, at most {}", bytes.len(), super::MAX_LETTER)));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Refused("the note is not UTF-8 text".to_owned()))?;
    note(service, text.lines().next().unwrap_or_default(), limits)
}

fn note(service: &ServiceId, text: &str, limits: &Limits) -> Result<Beat, Refused> {
    let mut found = beat(service, BeatStatus::Alive);
    let mut rest = text.trim();
    let mut is_first = true;
    while !rest.is_empty() {
        if let Some(message) = rest.strip_prefix("message=") {
            if message.len() > limits.message_bytes {
                let (many, limit) = (message.len(), limits.message_bytes);
                return Err(Refused(format!("{many} bytes of message, at most {limit}")));
            }
            found.message = Some(message.to_owned());
            return Ok(found);
        }
        let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        rest = after.trim_start();
        match word.split_once('=') {
            Some((name, value)) => pair(&mut found, name, value, limits)?,
            None if is_first => found.status = status(word)?,
            None => return Err(unknown(word)),
        }
        is_first = false;
    }
    Ok(found)
}

fn status(word: &str) -> Result<BeatStatus, Refused> {
    match word {
        "alive" => Ok(BeatStatus::Alive),
        "stopping" => Ok(BeatStatus::Stopping),
        "fail" => Ok(BeatStatus::Fail),
        other => Err(unknown(other)),
    }
}

fn unknown(word: &str) -> Refused {
    Refused(format!(
        "{:?} is no word of a heartbeat; after the id come alive, stopping or fail, name=number, message=text",
        cut(word)
    ))
}

fn pair(found: &mut Beat, name: &str, value: &str, limits: &Limits) -> Result<(), Refused> {
    if name == "progress" {
        let count = value.parse().map_err(|_| {
            Refused(format!("progress={:?} is no whole number from 0 to {}", cut(value), u64::MAX))
        })?;
        found.progress = Some(count);
        return Ok(());
    }
    if let Some(wrong) = wrong_name(name, limits.metric_name_bytes) {
        return Err(Refused(wrong));
    }
    if found.metrics.iter().any(|(known, _)| **known == *name) {
        return Err(Refused(format!("the metric {name} stands there twice")));
    }
    if found.metrics.len() >= limits.metrics {
        return Err(Refused(format!("more than {} metrics in one heartbeat", limits.metrics)));
    }
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => found.metrics.push((name.into(), number)),
        Ok(_) | Err(_) => return Err(Refused(format!("{name}={:?} is no finite number", cut(value)))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Beat, Refused> {
        line(text, &Limits::default())
    }

    #[test]
    fn an_id_alone_is_a_heartbeat() {
        assert_eq!(read("orders").unwrap(), Beat::alive(ServiceId::new("orders").unwrap()));
        assert_eq!(read("orders alive").unwrap(), read("orders").unwrap());
    }

    #[test]
    fn a_line_says_everything_a_body_says() {
        let beat = read("orders fail  queue=12 progress=42\tload=-1e-3 message=disk = full, 50 %").unwrap();
        assert_eq!(beat.status, BeatStatus::Fail);
        assert_eq!(beat.progress, Some(42));
        let metrics: Vec<_> = beat.metrics.iter().map(|(name, value)| (&**name, *value)).collect();
        assert_eq!(metrics, [("queue", 12.0), ("load", -1e-3)]);
        assert_eq!(beat.message.as_deref(), Some("disk = full, 50 %"));
    }

    #[test]
    fn a_mistyped_line_says_what_is_wrong() {
        for (text, word) in [
            ("Orders", "may not stand"),
            ("orders up", "no word of a heartbeat"),
            ("orders cpu=1 alive", "no word of a heartbeat"),
            ("orders cpu=", "no finite number"),
            ("orders cpu=NaN", "no finite number"),
            ("orders cpu=1e999", "no finite number"),
            ("orders 1cpu=1", "does not begin"),
            ("orders host_cpu=1", "of the host"),
            ("orders a=1 a=2", "twice"),
            ("orders progress=-1", "whole number"),
            ("orders =1", "must not be empty"),
        ] {
            let refused = read(text).unwrap_err().to_string();
            assert!(refused.contains(word), "{text}: {refused}");
        }
        let long = format!("orders message={}", "m".repeat(Limits::default().message_bytes + 1));
        assert!(read(&long).unwrap_err().to_string().contains("bytes of message"));
        let many: String = (0..=Limits::default().metrics).map(|n| format!(" m{n}=1")).collect();
        assert!(read(&format!("orders{many}")).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn a_note_is_a_line_without_the_id_and_may_be_empty() {
        let id = ServiceId::new("orders").unwrap();
        let note = |bytes: &[u8]| read_note(&id, bytes, &Limits::default());
        assert_eq!(note(b"").unwrap(), Beat::alive(id.clone()));
        assert_eq!(note(b"stopping\nfurther lines are for people").unwrap().status, BeatStatus::Stopping);
        assert_eq!(note(b"progress=7\n").unwrap().progress, Some(7));
        assert!(note(b"orders alive").is_err());
        assert!(note(&[0xff]).is_err());
        assert!(note(&[b' '; super::super::MAX_LETTER + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_what_is_taken_keeps_the_limits(text in ".{0,200}") {
            if let Ok(beat) = read(&text) {
                prop_assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
                prop_assert!(beat.metrics.len() <= Limits::default().metrics);
            }
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-z_][a-zA-Z0-9_.-]{0,20}", value in -1e300_f64..1e300, progress: u64, message in "[^\\s].{0,30}",
        ) {
            prop_assume!(name != "progress" && name != "message" && !name.starts_with("host_"));
            let message = message.trim().to_owned();
            let beat = read(&format!("orders {name}={value:e} progress={progress} message={message}")).unwrap();
            prop_assert_eq!(beat.metrics[0].1.to_bits(), value.to_bits());
            prop_assert_eq!(beat.progress, Some(progress));
            prop_assert_eq!(beat.message, Some(message));
        }
    }
}
