//! From a name and a port to a connected socket, with the time of both steps.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lifesign_config::{Host, HostPort};
use lifesign_core::evidence::CheckOutcome;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::attempt::{Attempt, Phase};
use crate::finding::{Finding, outcome_of};

/// Most addresses of one name that are tried; further ones are left out.
const MAX_ADDRESSES: usize = 8;

/// How long one address is given before the next is tried beside it (RFC 8305 §5 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// Most names resolved at once in this process. The system resolver blocks a thread each, and a thread
/// whose probe has given up stays busy until the resolver gives up too. A probe that finds no free place
/// within its timeout reports `unknown`. Half of tokio's blocking threads (512) stay free for files.
static LOOKUPS: Semaphore = Semaphore::const_new(256);

/// Resolves and connects. Addresses are tried in the resolver's order, the next one as soon as the one
/// before has failed or has taken 250 ms; the first that connects is taken.
pub(crate) async fn dial(place: &HostPort, attempt: &mut Attempt) -> Result<TcpStream, Finding> {
    let addresses = match &place.host {
        Host::Ip(address) => vec![SocketAddr::new(*address, place.port)],
        Host::Name(name) => resolve(name, place.port, attempt).await?,
    };
    match attempt.measure(Phase::Connect, connect_any(&addresses)).await {
        Ok(stream) => {
            // What is written is written at once and once only; a refusal costs some delay at most.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Err(error) => Err(Finding::from_io(&place.to_string(), &error)),
    }
}

async fn resolve(name: &str, port: u16, attempt: &mut Attempt) -> Result<Vec<SocketAddr>, Finding> {
    attempt.if_cut_off(Some(Finding::blind(format!(
        "could not look up {name}: all places for name lookups are taken"
    ))));
    let permit = LOOKUPS.acquire().await;
    attempt.if_cut_off(None);
    let question = (name.to_owned(), port);
    let lookup = tokio::task::spawn_blocking(move || {
        // Held by the thread, not by the probe: a thread that nobody waits for counts as well.
        let _permit = permit;
        question.to_socket_addrs().map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>())
    });
    match attempt.measure(Phase::Dns, lookup).await {
        Ok(Ok(found)) if found.is_empty() => Err(Finding::refused(format!("{name} has no address"))),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(unresolved(name, &error)),
        Err(gone) => Err(Finding::blind(format!("could not look up {name}: {gone}"))),
    }
}

/// A name did not resolve. The resolver says the same when it could not open a socket of its own, so we
/// try that ourselves before we blame the name.
fn unresolved(name: &str, error: &io::Error) -> Finding {
    match TcpSocket::new_v4().or_else(|_| TcpSocket::new_v6()) {
        Ok(_) => Finding::refused(format!("{name}: {error}")),
        Err(shortage) => Finding::from_io(name, &shortage),
    }
}

async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut failed: Option<io::Error> = None;
    loop {
        match waiting.next() {
            Some(address) => running.push(connect(address)),
            None if running.is_empty() => {
                return Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
            }
            None => {}
        }
        tokio::select! {
            Some(connected) = running.next() => match connected {
                Ok(stream) => return Ok(stream),
                // An answer of the target tells more than an address family this machine lacks.
                Err(error) => if failed.as_ref().is_none_or(|f| outcome_of(f) == CheckOutcome::Unknown) {
                    failed = Some(error);
                },
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A port of the ephemeral range that nobody listens on can be picked as the source port of the very
    // connection to it; TCP then connects the socket to itself (RFC 9293 §3.5, simultaneous open).
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_address_is_tried_when_the_first_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bad = closed.local_addr().unwrap();
        drop(closed);
        assert_eq!(connect_any(&[bad, good]).await.unwrap().peer_addr().unwrap(), good);
        let error = connect_any(&[bad]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_a_refusal() {
        let found = unresolved("nowhere", &io::Error::other("name not known"));
        assert_eq!(found, Finding::refused("nowhere: name not known"));
    }
}
