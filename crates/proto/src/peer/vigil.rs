//! Reporters of Vigil: `POST /reporter/PROBE/NODE/` with `{"replica","interval","load":{"cpu","ram"}}`, or with
//! `health` instead of `load`; `DELETE /reporter/PROBE/NODE/REPLICA/` says goodbye.
//!
//! Source: Vigil 1.29, `PROTOCOL.md`, `src/responder/payload.rs`. Vigil takes `load` only for a node in mode `push` and
//! `health` only in mode `local`, else it answers 412; here a node takes both.

use std::time::Duration;

use serde::Deserialize;

use super::{Reply, Report, Said};

/// Longest interval that is believed.
const LONGEST: u64 = 31_536_000;

#[derive(Deserialize)]
struct Payload {
    replica: String,
    interval: u64,
    load: Option<Load>,
    health: Option<Health>,
}

#[derive(Deserialize)]
struct Load {
    cpu: f64,
    ram: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Healthy,
    Sick,
    Dead,
}

/// Reads a report. Gives the replica's name too.
///
/// # Errors
/// The answer to a body that says neither load nor health.
pub fn read(body: &[u8]) -> Result<(String, Report), Reply> {
    let malformed = || Reply::text(400, "");
    let payload: Payload = serde_json::from_slice(body).map_err(|_| malformed())?;
    let mut report = match (payload.health, &payload.load) {
        (Some(Health::Healthy), _) | (None, Some(_)) => Report::new(Said::Alive, ""),
        // Vigil calls nobody for it either.
        (Some(Health::Sick), _) => Report::new(Said::Alive, "sick"),
        (Some(Health::Dead), _) => Report::new(Said::Fail, "it reported that it is dead"),
        (None, None) => return Err(malformed()),
    };
    if let Some(Load { cpu, ram }) = payload.load {
        // Shares become percent, as everywhere here.
        report.metrics = vec![("cpu".to_owned(), cpu * 100.0), ("memory".to_owned(), ram * 100.0)];
    }
    report.interval =
        (1..=LONGEST).contains(&payload.interval).then(|| Duration::from_secs(payload.interval));
    Ok((payload.replica, report))
}

/// What a goodbye says.
pub fn goodbye() -> Report {
    Report::new(Said::Stopping, "it said goodbye")
}

/// The answer to a report that was taken.
pub fn taken() -> Reply {
    Reply::text(200, "")
}

/// The answer where there is no such node.
pub fn unknown() -> Reply {
    Reply::text(404, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_load_is_a_heartbeat_with_two_metrics_in_percent() {
        let (replica, report) =
            read(br#"{"replica":"10.0.0.1","interval":30,"load":{"cpu":0.5,"ram":0.25}}"#).unwrap();
        assert_eq!(replica, "10.0.0.1");
        assert_eq!(report.said, Said::Alive);
        assert_eq!(report.metrics, [("cpu".to_owned(), 50.0), ("memory".to_owned(), 25.0)]);
        assert_eq!(report.interval, Some(Duration::from_secs(30)));
    }

    #[test]
    fn health_is_taken_in_its_three_words() {
        let said = |health: &str| {
            read(format!(r#"{{"replica":"a","interval":30,"health":"{health}"}}"#).as_bytes())
                .map(|(_, report)| (report.said, report.message))
        };
        assert_eq!(said("healthy"), Ok((Said::Alive, String::new())));
        assert_eq!(said("sick"), Ok((Said::Alive, "sick".to_owned())));
        assert_eq!(said("dead").unwrap().0, Said::Fail);
        assert_eq!(said("well"), Err(Reply::text(400, "")));
    }

    #[test]
    fn what_says_nothing_is_400() {
        for wrong in
            ["", "{}", r#"{"replica":"a","interval":30}"#, r#"{"replica":7,"interval":30,"health":"dead"}"#]
        {
            assert_eq!(read(wrong.as_bytes()).unwrap_err().status, 400, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&body);
        }
    }
}
