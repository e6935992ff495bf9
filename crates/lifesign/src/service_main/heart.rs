//! The heart of a wrapped program: heard in the ways programs already beat, without a change in them.
//!
//! `sd_notify` (Linux): `NOTIFY_SOCKET` and `WATCHDOG_USEC`. SvcWatchDog's datagrams: `WATCHDOG_PORT` and
//! `WATCHDOG_SECRET`, the secret alone in a datagram to 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use lifesign_core::model::ServiceId;
use lifesign_os::local::{Access, Letter, Listening, Place, Post, RATE, Secrets, Way, notify, udp};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Letters that may wait; further ones are dropped, as one is as good as many.
const LETTERS: usize = 64;
/// The first beat may take this many times as long: a program has to start.
const FIRST: u32 = 3;

/// What is heard of a wrapped program. Without a limit nothing is listened for.
pub(super) struct Heart {
    /// What the program must find in its environment.
    pub(super) env: Vec<(String, String)>,
    limit: Option<Duration>,
    letters: mpsc::Receiver<Letter>,
    due: Option<Instant>,
    _open: Vec<Listening>,
}

impl Heart {
    /// Listens for the beats of `name`, sockets in `folder`.
    pub(super) async fn listen(name: &str, folder: &Path, limit: Option<Duration>) -> anyhow::Result<Self> {
        let (sender, letters) = mpsc::channel(LETTERS);
        let mut heart = Self { env: Vec::new(), limit, letters, due: None, _open: Vec::new() };
        let Some(limit) = limit else { return Ok(heart) };
        let id = ServiceId::new(&name.to_ascii_lowercase()).context("the name cannot be that of a heart")?;
        let place = Place { dir: folder.to_owned(), name: name.to_owned(), access: Access::Owner };
        place.prepare().with_context(|| format!("failed to prepare {}", folder.display()))?;
        match notify(&place, &id, Post::new(sender.clone(), RATE)) {
            Ok((path, open)) => {
                heart.env.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
                heart.env.push(("WATCHDOG_USEC".to_owned(), limit.as_micros().to_string()));
                heart._open.push(open);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(error) => return Err(error).context("failed to open a notify socket"),
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).context("the system gave no randomness for a secret")?;
        let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let secrets = Secrets::default();
        secrets.replace([(secret.clone(), id)]);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, open) =
            udp(any, secrets, Post::new(sender, RATE)).await.context("failed to listen for datagrams")?;
        heart.env.push(("WATCHDOG_PORT".to_owned(), address.port().to_string()));
        heart.env.push(("WATCHDOG_SECRET".to_owned(), secret));
        heart._open.push(open);
        Ok(heart)
    }

    /// The program has been started.
    pub(super) fn started(&mut self) {
        self.due = self.limit.map(|limit| Instant::now() + limit * FIRST);
    }

    /// Returns when the heart has been silent for too long; never without a limit.
    pub(super) async fn fell_silent(&mut self) {
        let (Some(limit), Some(due)) = (self.limit, &mut self.due) else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(*due) => return,
                letter = self.letters.recv() => match letter {
                    Some(letter) if is_beat(&letter) => *due = Instant::now() + limit,
                    Some(_) => {}
                    None => return std::future::pending().await,
                },
            }
        }
    }
}

/// A status line alone says nothing about the heart.
fn is_beat(letter: &Letter) -> bool {
    letter.way != Way::Notify || letter.bytes.split(|byte| *byte == b'\n').any(|line| line == b"WATCHDOG=1")
}
