//! StatsD and DogStatsD by UDP.
//!
//! Whoever sends a datagram cannot be told to wait, so what the engine has no room for is counted as refused. Datagrams
//! that are there together are handed over together.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lifesign_component::{Error, Ready, Stop};
use lifesign_core::evidence::Beat;
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::statsd::{Line, MAX_DATAGRAM, read};
use lifesign_proto::peer::{Report, Said};
use tokio::net::UdpSocket;

use super::{Opened, PeerTable};
use crate::AppState;

/// Most datagrams handed to the engine at once.
const TOGETHER: usize = 64;

/// Hears datagrams until told to stop.
pub(super) async fn serve(
    opened: Opened<UdpSocket>,
    state: AppState,
    mut ready: Ready,
    mut stop: Stop,
) -> Result<(), Error> {
    // One byte more than is taken, so that a larger one is noticed.
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    ready.tell();
    loop {
        let received = tokio::select! {
            () = stop.given() => return Ok(()),
            received = opened.socket.recv_from(&mut buffer) => received,
        };
        let mut beats = Vec::new();
        hear(&opened, received, &buffer, &state, &mut beats);
        for _ in 1..TOGETHER {
            match opened.socket.try_recv_from(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                received => hear(&opened, received, &buffer, &state, &mut beats),
            }
        }
        if !beats.is_empty() {
            // What was not taken has been counted, and nobody can be told.
            drop(state.take_beats(beats).await);
        }
    }
}

/// Adds the heartbeats of one datagram.
fn hear(
    opened: &Opened<UdpSocket>,
    received: std::io::Result<(usize, SocketAddr)>,
    buffer: &[u8],
    state: &AppState,
    beats: &mut Vec<Beat>,
) {
    match received {
        Ok((length, sender)) if opened.hears(sender.ip()) => {
            let (heard, refused) = judge(buffer.get(..length).unwrap_or_default(), &state.peers.table());
            let limits = &state.limits.heartbeats;
            beats.extend(heard.into_iter().filter_map(|(service, report)| report.beat(service, limits)));
            for (reason, many) in refused {
                state.refuse_beats(reason, many);
            }
        }
        Ok(_) => state.refuse_beats("stranger", 1),
        // On Windows an earlier answer's bounce; the socket itself is well.
        Err(error) => tracing::debug!(%error, "Datagram not received"),
    }
}

/// What a datagram says about which services, and how many of its lines say nothing that is taken, and why.
fn judge(datagram: &[u8], table: &PeerTable) -> (Vec<(ServiceId, Report)>, BTreeMap<&'static str, usize>) {
    let mut reports = Vec::new();
    let mut gauges: BTreeMap<ServiceId, Report> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for line in read(datagram) {
        let reason = match line {
            Ok(Line::Gauge { name, value, service }) => match resolve(table, service.as_deref(), &name) {
                Some((id, metric)) => {
                    let gauge = (metric.to_owned(), value);
                    let report = gauges.entry(id.clone()).or_insert_with(|| Report::new(Said::Alive, ""));
                    // The last value of a name is the one that counts.
                    report.metrics.retain(|(known, _)| *known != gauge.0);
                    report.metrics.push(gauge);
                    continue;
                }
                None => "unknown_service",
            },
            Ok(Line::Check { name, service, report }) => match resolve(table, service.as_deref(), &name) {
                Some((id, _)) => {
                    reports.push((id.clone(), report));
                    continue;
                }
                None => "unknown_service",
            },
            Err(why) => {
                tracing::debug!(why, "Line of StatsD not taken");
                "invalid"
            }
        };
        *refused.entry(reason).or_default() += 1;
    }
    reports.extend(gauges);
    (reports, refused)
}

/// The service that a tag or a name means, and what is left of the name for a metric.
fn resolve<'t, 'n>(
    table: &'t PeerTable,
    tag: Option<&str>,
    name: &'n str,
) -> Option<(&'t ServiceId, &'n str)> {
    let rest = |prefix: &str| match name.strip_prefix(prefix) {
        Some("") => "value",
        Some(rest) => rest.strip_prefix('.').unwrap_or(name),
        None => name,
    };
    if let Some((tag, id)) = tag.and_then(|tag| table.statsd.get_key_value(tag)) {
        return Some((id, rest(tag)));
    }
    let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
    // The longest name is the nearest.
    let mut prefixes: Vec<&str> = ends.filter_map(|end| name.get(..end)).collect();
    prefixes.reverse();
    let (prefix, id) = prefixes.into_iter().find_map(|prefix| table.statsd.get_key_value(prefix))?;
    Some((id, rest(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PeerTable {
        let id = |text| ServiceId::new(text).unwrap();
        let statsd = [("shop", id("shop")), ("shop.orders", id("orders"))];
        PeerTable {
            statsd: statsd.into_iter().map(|(name, id)| (name.to_owned(), id)).collect(),
            ..PeerTable::default()
        }
    }

    #[test]
    fn the_nearest_name_is_meant_and_the_rest_is_the_metric() {
        let table = table();
        let found = |tag, name| resolve(&table, tag, name).map(|(id, metric)| (id.as_str(), metric));
        assert_eq!(found(None, "shop.orders.queue.length"), Some(("orders", "queue.length")));
        assert_eq!(found(None, "shop.orders"), Some(("orders", "value")));
        assert_eq!(found(None, "shop.ordersx"), Some(("shop", "ordersx")));
        assert_eq!(found(None, "shop"), Some(("shop", "value")));
        assert_eq!(found(None, "shopping.queue"), None);
        assert_eq!(found(Some("shop.orders"), "queue"), Some(("orders", "queue")));
        assert_eq!(found(Some("nobody"), "shop.queue"), Some(("shop", "queue")));
    }

    #[test]
    fn gauges_of_one_datagram_are_one_heartbeat_and_what_is_refused_is_counted() {
        let datagram = b"shop.orders.queue:1|g\nshop.orders.age:2|g\nshop.orders.queue:3|g\nhits:1|c\nother:1|g\n_sc|shop|2";
        let (reports, refused) = judge(datagram, &table());
        assert_eq!(reports.len(), 2);
        assert_eq!((reports[0].0.as_str(), reports[0].1.said), ("shop", Said::Fail));
        assert_eq!(reports[1].0.as_str(), "orders");
        assert_eq!(reports[1].1.metrics, [("age".to_owned(), 2.0), ("queue".to_owned(), 3.0)]);
        assert_eq!(refused, BTreeMap::from([("invalid", 1), ("unknown_service", 1)]));
    }
}
