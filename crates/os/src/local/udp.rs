//! UDP on loopback. The system does not say who sent a datagram, so each must begin with a secret that only
//! its service was given: in its environment, where SvcWatchDog's programs look for it.
//!
//! A datagram is the secret alone (a SvcWatchDog ping), or the secret, a space, and a note
//! (`9f… fail queue=12`). The secret says whose it is.

use std::collections::HashMap;
use std::hash::RandomState;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use lifesign_core::model::ServiceId;
use tokio::net::UdpSocket;

use super::throttle::Throttle;
use super::{Counters, Letter, Listening, MAX_LETTER, PAUSE, Post, Sender, Way, imp, loopback_only};

/// The secrets that are in force, and whose they are. Looked up by hash: how long that takes tells nothing about
/// how much of a guess was right.
#[derive(Clone, Default)]
pub struct Secrets(Arc<RwLock<HashMap<Vec<u8>, ServiceId, RandomState>>>);

impl Secrets {
    /// Puts these in force, and no others.
    pub fn replace(&self, secrets: impl IntoIterator<Item = (String, ServiceId)>) {
        let fresh = secrets.into_iter().map(|(secret, service)| (secret.into_bytes(), service)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn service(&self, secret: &[u8]) -> Option<ServiceId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(secret).cloned()
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// Listens on `address`, which must be of this host alone; gives the address with its port.
///
/// # Errors
/// When the address is taken, or other hosts can reach it.
pub async fn udp(address: SocketAddr, secrets: Secrets, post: Post) -> io::Result<(SocketAddr, Listening)> {
    let socket = UdpSocket::bind(loopback_only(address)?).await?;
    let bound = socket.local_addr()?;
    Ok((bound, Listening::by_task(tokio::spawn(receive(socket, secrets, post)), None)))
}

async fn receive(socket: UdpSocket, secrets: Secrets, post: Post) {
    let mut throttle = Throttle::new(post.rate);
    let mut buffer = vec![0; MAX_LETTER + 1];
    loop {
        let length = match socket.recv_from(&mut buffer).await {
            Ok((length, _from)) => length,
            // No reason to pause: who sends such ones would silence all others.
            Err(error) if imp::is_cut_short(&error) => buffer.len(),
            // Nothing is ever sent from here that could be answered with an error; the next may do better.
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if length > MAX_LETTER {
            Counters::one(&post.counters.oversized);
            continue;
        }
        let datagram = buffer[..length].trim_ascii();
        let cut = datagram.iter().position(|byte| *byte == b' ').unwrap_or(datagram.len());
        let (secret, note) = datagram.split_at(cut);
        let Some(service) = secrets.service(secret) else {
            Counters::one(&post.counters.refused);
            continue;
        };
        if !throttle.admits(service.clone(), Instant::now()) {
            Counters::one(&post.counters.throttled);
            continue;
        }
        let letter = Letter {
            way: Way::Udp,
            sender: Sender::default(),
            service: Some(service),
            bytes: note.trim_ascii().to_vec(),
        };
        if !post.drop_in(letter) {
            return;
        }
    }
}
