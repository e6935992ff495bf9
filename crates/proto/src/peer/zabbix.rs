//! What `zabbix_sender` sends to a trapper: a frame of Zabbix's own with JSON inside.
//!
//! ```text
//! frame  = "ZBXD" flags length reserved data        numbers are little-endian
//! flags  = %x01 (plain) / %x03 (compressed) / %x05 (large: length and reserved have 8 bytes instead of 4)
//! data   = {"request":"sender data","data":[{"host","key","value","clock","ns"}, …]}
//! answer = {"response":"success","info":"processed: 1; failed: 0; total: 1; seconds spent: 0.000055"}
//! ```
//!
//! Compressed frames come from proxies, not from `zabbix_sender`, and are refused. Source: Zabbix's documentation,
//! "Header and data length" and "Zabbix sender protocol".

use lifesign_core::time::Wall;
use serde::Deserialize;
use serde_json::Value;

use super::{Report, Said, metric_name, quoted};
use crate::json::cut;

/// Most bytes of data in one frame; a longer one is refused before it is read. `zabbix_sender` sends at most 250
/// values at once.
pub const MAX_DATA: usize = 1024 * 1024;

/// Most values of one request; a request with more is refused as a whole.
pub const MAX_VALUES: usize = 10_000;

const MAGIC: &[u8] = b"ZBXD";
const PLAIN: u8 = 1;
const COMPRESSED: u8 = 2;
const LARGE: u8 = 4;

/// Why a request was refused. One line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// What the beginning of a connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Not the whole header yet.
    Incomplete,
    /// So many bytes of header, and so many of data behind it.
    Whole {
        /// Bytes of the header.
        header: usize,
        /// Bytes of the data.
        data: usize,
    },
}

/// Reads the header of a frame.
///
/// # Errors
/// When no frame begins so, or one that is not taken.
pub fn header(bytes: &[u8]) -> Result<Begun, Refused> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Err(Refused("this is no frame of Zabbix".to_owned()));
    }
    let Some(flags) = bytes.get(MAGIC.len()) else { return Ok(Begun::Incomplete) };
    if flags & COMPRESSED != 0 {
        return Err(Refused("compressed frames are not taken".to_owned()));
    }
    if flags & !LARGE != PLAIN {
        return Err(Refused(format!("flags {flags:#04x} are not known")));
    }
    let width = if flags & LARGE == 0 { 4 } else { 8 };
    let start = MAGIC.len() + 1;
    let header = start + 2 * width;
    if bytes.len() < header {
        return Ok(Begun::Incomplete);
    }
    let length =
        bytes.iter().skip(start).take(width).rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    match usize::try_from(length) {
        Ok(data) if data <= MAX_DATA => Ok(Begun::Whole { header, data }),
        Ok(_) | Err(_) => Err(Refused(format!("{length} bytes in one frame, at most {MAX_DATA}"))),
    }
}

/// Puts data into a plain frame.
pub fn frame(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(data.len() + 13);
    frame.extend_from_slice(MAGIC);
    frame.push(PLAIN);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(data);
    frame
}

/// One value of a trapper item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The host as Zabbix knows it.
    pub host: String,
    /// The item's key.
    pub key: String,
    /// The value, as text.
    pub value: String,
    /// The sender's time.
    pub sent_at: Option<Wall>,
}

#[derive(Deserialize)]
struct Request {
    request: String,
    #[serde(default)]
    data: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    host: String,
    key: String,
    value: Value,
    clock: Option<i64>,
}

/// Reads the data of a frame.
///
/// # Errors
/// When it is no request of a sender.
pub fn read(data: &[u8]) -> Result<Vec<Item>, Refused> {
    let request: Request = serde_json::from_slice(data)
        .map_err(|error| Refused(format!("the request cannot be read: {error}")))?;
    // `agent data` is what an active agent sends, in the same form.
    if request.request != "sender data" && request.request != "agent data" {
        return Err(Refused(format!("the request {:?} is not taken", cut(&request.request))));
    }
    if request.data.len() > MAX_VALUES {
        return Err(Refused(format!("{} values in one request, at most {MAX_VALUES}", request.data.len())));
    }
    let items = request.data.into_iter().map(|raw| Item {
        host: raw.host,
        key: raw.key,
        value: match raw.value {
            Value::String(text) => text,
            other => other.to_string(),
        },
        sent_at: raw.clock.map(|seconds| Wall::from_millis(seconds.saturating_mul(1000))),
    });
    Ok(items.collect())
}

/// Adds a value to what a service's other values of the same request say. `key`: without the prefix that the
/// configuration names. `status` takes `alive`, `fail`, `stopping`, or 1 and 0; `message` takes any text; every other
/// key is a metric and takes a finite number.
///
/// # Errors
/// When the value fits none of these.
pub fn add(report: &mut Report, key: &str, item: &Item) -> Result<(), Refused> {
    let text = item.value.trim();
    match key {
        "status" => {
            report.said = match text {
                "alive" | "1" => Said::Alive,
                "fail" | "0" => Said::Fail,
                "stopping" => Said::Stopping,
                _ => {
                    return Err(Refused(format!(
                        "{:?} is no status: alive, fail, stopping, 1, 0",
                        cut(text)
                    )));
                }
            };
        }
        "message" => item.value.clone_into(&mut report.message),
        _ => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                let name = metric_name(if key.is_empty() { "value" } else { key });
                report.metrics.retain(|(known, _)| *known != name);
                report.metrics.push((name, value));
            }
            Ok(_) | Err(_) => return Err(Refused(format!("{:?} is no finite number", cut(text)))),
        },
    }
    report.sent_at = item.sent_at.or(report.sent_at);
    Ok(())
}

/// The answer to a request that was read: so many values processed, so many failed.
pub fn answer(processed: usize, failed: usize, seconds: f64) -> Vec<u8> {
    let total = processed + failed;
    let info =
        format!("processed: {processed}; failed: {failed}; total: {total}; seconds spent: {seconds:.6}");
    frame(format!(r#"{{"response":"success","info":{}}}"#, quoted(&info)).as_bytes())
}

/// The answer to a request that was refused as a whole.
pub fn refusal(why: &str) -> Vec<u8> {
    frame(format!(r#"{{"response":"failed","info":{}}}"#, quoted(why)).as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_read_in_both_widths() {
        let plain = frame(b"abc");
        assert_eq!(header(&plain), Ok(Begun::Whole { header: 13, data: 3 }));
        assert_eq!(&plain[13..], b"abc");
        let mut large = b"ZBXD\x05".to_vec();
        large.extend_from_slice(&3_u64.to_le_bytes());
        large.extend_from_slice(&[0; 8]);
        assert_eq!(header(&large), Ok(Begun::Whole { header: 21, data: 3 }));
        for short in 0..13 {
            assert_eq!(header(&plain[..short]), Ok(Begun::Incomplete), "{short}");
        }
    }

    #[test]
    fn what_is_not_taken_is_refused_from_the_header_alone() {
        assert!(header(b"GET / HTTP/1.1").is_err());
        assert!(header(b"ZBXE").is_err());
        assert_eq!(
            header(b"ZBXD\x03\0\0\0\0\0\0\0\0").unwrap_err().to_string(),
            "compressed frames are not taken"
        );
        assert!(header(b"ZBXD\x00\0\0\0\0\0\0\0\0").is_err());
        assert!(
            header(b"ZBXD\x01\xff\xff\xff\x7f\0\0\0\0").unwrap_err().to_string().contains("at most 1048576")
        );
        let mut huge = b"ZBXD\x05".to_vec();
        huge.extend_from_slice(&[0xff; 16]);
        assert!(header(&huge).is_err());
    }

    #[test]
    fn values_of_a_request_become_one_report() {
        let items = read(
            br#"{"request":"sender data","data":[
                {"host":"web-01","key":"orders.queue","value":"12","clock":1732262400,"ns":5},
                {"host":"web-01","key":"orders.trap[a]","value":0.5},
                {"host":"web-01","key":"orders.status","value":"fail"},
                {"host":"web-01","key":"orders.message","value":"no db"}],"clock":1732262400}"#,
        )
        .unwrap();
        let mut report = Report::new(Said::Alive, "");
        for item in &items {
            add(&mut report, item.key.strip_prefix("orders.").unwrap(), item).unwrap();
        }
        assert_eq!((report.said, &*report.message), (Said::Fail, "no db"));
        assert_eq!(report.metrics, [("queue".to_owned(), 12.0), ("trap_a_".to_owned(), 0.5)]);
        assert_eq!(report.sent_at, Some(Wall::from_millis(1_732_262_400_000)));
        let wrong = Item { value: "much".to_owned(), ..items[0].clone() };
        assert!(add(&mut report, "queue", &wrong).is_err());
        assert!(add(&mut report, "status", &wrong).is_err());
    }

    #[test]
    fn other_requests_are_refused_and_answers_have_zabbixs_form() {
        assert!(read(br#"{"request":"active checks"}"#).unwrap_err().to_string().contains("not taken"));
        assert!(read(b"{").is_err());
        let answer = answer(2, 1, 0.000055);
        assert_eq!(
            std::str::from_utf8(&answer[13..]).unwrap(),
            r#"{"response":"success","info":"processed: 2; failed: 1; total: 3; seconds spent: 0.000055"}"#
        );
        assert_eq!(header(&refusal("no")), Ok(Begun::Whole { header: 13, data: refusal("no").len() - 13 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = header(&bytes);
            let _ = read(&bytes);
        }

        #[test]
        fn what_is_framed_is_found(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let framed = frame(&data);
            prop_assert_eq!(header(&framed), Ok(Begun::Whole { header: 13, data: data.len() }));
        }
    }
}
