//! Zabbix trapper by TCP: one request a connection, answered with how many of its values were taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_component::{Error, Ready, Stop};
use lifesign_core::model::ServiceId;
use lifesign_proto::peer::zabbix::{self, Begun, Item};
use lifesign_proto::peer::{Report, Said};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Opened, PeerTable};
use crate::AppState;
use crate::figures::Why;

/// Open connections; further ones are closed at once, and counted.
const CONNECTIONS: usize = 128;
/// A connection's request must arrive, and its answer be taken, within this.
const WITHIN: Duration = Duration::from_secs(10);
/// Wait after the system refused a connection, so that the loop does not spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Bytes of the longest header.
const LONGEST_HEADER: usize = 21;

/// Serves connections until told to stop.
pub(super) async fn serve(
    opened: Opened<TcpListener>,
    state: AppState,
    mut ready: Ready,
    mut stop: Stop,
) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    ready.tell();
    loop {
        let accepted = tokio::select! {
            () = stop.given() => return Ok(()),
            accepted = opened.socket.accept() => accepted,
        };
        let (stream, sender) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "Connection for Zabbix not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let place = Arc::clone(&places).try_acquire_owned();
        let refused = match &place {
            _ if !opened.hears(sender.ip()) => Some("stranger"),
            Err(_) => Some("too_many"),
            Ok(_) => None,
        };
        if let Some(reason) = refused {
            state.figures.connections_refused.get_or_create(&Why { reason }).inc();
            continue;
        }
        let state = state.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(WITHIN, converse(stream, &state)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%sender, %error, "Connection of Zabbix ended with an error")
                }
                Err(_) => {
                    state.figures.connections_refused.get_or_create(&Why { reason: "slow" }).inc();
                }
            }
            drop(place);
        });
    }
}

/// Reads the request and answers it.
async fn converse(mut stream: TcpStream, state: &AppState) -> std::io::Result<()> {
    let begun = Instant::now();
    let answer = match receive(&mut stream).await? {
        Ok(data) => match zabbix::read(&data) {
            Ok(items) => take(&items, state, begun).await,
            Err(why) => refuse(&why.to_string(), state),
        },
        Err(why) => refuse(&why.to_string(), state),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

fn refuse(why: &str, state: &AppState) -> Vec<u8> {
    state.refuse_beats("invalid", 1);
    zabbix::refusal(why)
}

/// Reads one frame.
async fn receive(stream: &mut TcpStream) -> std::io::Result<Result<Vec<u8>, zabbix::Refused>> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match zabbix::header(&bytes) {
            Err(why) => return Ok(Err(why)),
            Ok(Begun::Incomplete) if bytes.len() < LONGEST_HEADER => bytes.push(stream.read_u8().await?),
            Ok(Begun::Incomplete) => return Err(std::io::ErrorKind::InvalidData.into()),
            Ok(Begun::Whole { data, .. }) => {
                let mut read = Vec::new();
                // The buffer grows with what comes, not with what the header claims.
                stream.take(data as u64).read_to_end(&mut read).await?;
                return if read.len() == data {
                    Ok(Ok(read))
                } else {
                    Err(std::io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }
}

/// Hands in what the values say, and answers with how many were taken.
async fn take(items: &[Item], state: &AppState, begun: Instant) -> Vec<u8> {
    let sorted = sort(items, &state.peers.table());
    state.refuse_beats("unknown_service", sorted.unknown);
    state.refuse_beats("invalid", sorted.invalid);
    let limits = &state.limits.heartbeats;
    let counts: Vec<usize> = sorted.reports.values().map(|(_, many)| *many).collect();
    let beats = sorted
        .reports
        .into_iter()
        .filter_map(|(service, (report, _))| report.beat(service, limits))
        .collect();
    match state.take_beats(beats).await {
        Ok(taken) => {
            let processed =
                taken.iter().zip(counts).filter(|(taken, _)| taken.is_ok()).map(|(_, many)| many).sum();
            zabbix::answer(processed, items.len() - processed, begun.elapsed().as_secs_f64())
        }
        // The sender keeps its values and says so to whoever called it.
        Err(unreached) => zabbix::refusal(&unreached.to_string()),
    }
}

/// Values by service.
#[derive(Debug, Default)]
struct Sorted {
    /// What each service is told, and by how many values.
    reports: BTreeMap<ServiceId, (Report, usize)>,
    /// Values of no service.
    unknown: usize,
    /// Values that say nothing.
    invalid: usize,
}

fn sort(items: &[Item], table: &PeerTable) -> Sorted {
    let mut sorted = Sorted::default();
    for item in items {
        let Some((id, key)) = resolve(table, item) else {
            sorted.unknown += 1;
            continue;
        };
        let entry = sorted.reports.entry(id.clone()).or_insert_with(|| (Report::new(Said::Alive, ""), 0));
        match zabbix::add(&mut entry.0, key, item) {
            Ok(()) => entry.1 += 1,
            Err(why) => {
                tracing::debug!(service = %id, key = item.key, %why, "Value of Zabbix not taken");
                sorted.invalid += 1;
            }
        }
    }
    // Who sent nothing but nonsense has not said that it lives.
    sorted.reports.retain(|_, (_, many)| *many > 0);
    sorted
}

/// The service that an item is about, and the key without its prefix.
fn resolve<'t, 'i>(table: &'t PeerTable, item: &'i Item) -> Option<(&'t ServiceId, &'i str)> {
    let fitting = table.zabbix.get(&item.host)?.iter();
    let fitting = fitting.filter_map(|(prefix, id)| Some((id, item.key.strip_prefix(prefix.as_str())?)));
    // The longest prefix leaves the shortest rest.
    fitting.min_by_key(|(_, rest)| rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(host: &str, key: &str, value: &str) -> Item {
        Item { host: host.to_owned(), key: key.to_owned(), value: value.to_owned(), sent_at: None }
    }

    #[test]
    fn values_go_to_the_service_with_the_longest_prefix() {
        let id = |text| ServiceId::new(text).unwrap();
        let hosts = vec![(String::new(), id("web")), ("orders.".to_owned(), id("orders"))];
        let table =
            PeerTable { zabbix: BTreeMap::from([("web-01".to_owned(), hosts)]), ..PeerTable::default() };
        let items = [
            item("web-01", "orders.queue", "3"),
            item("web-01", "orders.status", "0"),
            item("web-01", "load", "0.5"),
            item("web-01", "orders.queue", "many"),
            item("web-02", "load", "1"),
        ];
        let sorted = sort(&items, &table);
        assert_eq!((sorted.unknown, sorted.invalid), (1, 1));
        let (orders, many) = &sorted.reports[&id("orders")];
        assert_eq!((orders.said, *many), (Said::Fail, 2));
        assert_eq!(orders.metrics, [("queue".to_owned(), 3.0)]);
        assert_eq!(sorted.reports[&id("web")].0.metrics, [("load".to_owned(), 0.5)]);
    }
}
