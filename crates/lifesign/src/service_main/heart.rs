//! The heart of a wrapped program: heard in the ways programs already beat, without a change in them.
//!
//! `sd_notify` (Linux): `NOTIFY_SOCKET`, always, for what the program says of itself, and `WATCHDOG_USEC`, with a limit as
//! all that follows. SvcWatchDog's datagrams: `WATCHDOG_PORT` and
//! `WATCHDOG_SECRET`, the secret alone in a datagram to 127.0.0.1. Pings of Healthchecks: `HC_PING_URL`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;
use lifesign_os::local::{Access, Letter, Listening, Place, Post, RATE, Secrets, Way, notify, udp};
use lifesign_server::ping::{self, Pings};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::up::local::{PING_URL, SHUTDOWN_EVENT, derived, shutdown_event};

/// Letters that may wait; further ones are dropped, as one is as good as many.
const LETTERS: usize = 64;
/// The first beat may take this many times as long: a program has to start.
const FIRST: u32 = 3;

/// The file of [`Kept`] in the data folder.
const KEPT: &str = "heart";

/// What is heard of a wrapped program. Without a limit nothing but a notify socket is listened at.
pub(super) struct Heart {
    /// What the program must find in its environment.
    pub(super) env: Vec<(String, String)>,
    limit: Option<Duration>,
    letters: mpsc::Receiver<Letter>,
    pings: mpsc::Receiver<Beat>,
    due: Option<Instant>,
    _open: Vec<Listening>,
    _tasks: JoinSet<()>,
}

impl Heart {
    /// Listens for the beats of `name`, sockets in `folder`.
    pub(super) async fn listen(name: &str, folder: &Path, limit: Option<Duration>) -> anyhow::Result<Self> {
        let (sender, letters) = mpsc::channel(LETTERS);
        let (beats, pings) = mpsc::channel(LETTERS);
        let (open, tasks) = (Vec::new(), JoinSet::new());
        let mut heart =
            Self { env: Vec::new(), limit, letters, pings, due: None, _open: open, _tasks: tasks };
        let Some(limit) = limit else {
            if let Err(error) = heart.listen_to_words(name, folder, &sender) {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "Cannot hear what the program says of itself (sd_notify)"
                );
            }
            return Ok(heart);
        };
        let id = heart.listen_to_words(name, folder, &sender)?;
        if !heart.env.is_empty() {
            heart.env.push(("WATCHDOG_USEC".to_owned(), limit.as_micros().to_string()));
        }
        let mut kept = Kept::read(folder)?;
        let secret = format!("{:032x}", kept.number);
        let secrets = Secrets::default();
        secrets.replace([(secret.clone(), id.clone())]);
        let post = Post::new(sender, RATE);
        let (address, open) = match udp(local(kept.datagrams), secrets.clone(), post.clone()).await {
            // Somebody else has the port by now.
            Err(_) if kept.datagrams != 0 => udp(local(0), secrets, post).await,
            opened => opened,
        }
        .context("failed to listen for datagrams")?;
        heart.env.push(("WATCHDOG_PORT".to_owned(), address.port().to_string()));
        heart.env.push(("WATCHDOG_SECRET".to_owned(), secret));
        heart._open.push(open);
        kept.datagrams = address.port();
        if cfg!(windows) {
            let number = derived("shutdown event", &format!("{:032x}", kept.number), &id);
            heart.env.push((SHUTDOWN_EVENT.to_owned(), shutdown_event(number)));
        }
        let listener = match TcpListener::bind(local(kept.pings)).await {
            Err(_) if kept.pings != 0 => TcpListener::bind(local(0)).await,
            bound => bound,
        }
        .context("failed to listen for pings")?;
        let address = listener.local_addr().context("the listener for pings has no address")?;
        kept.pings = address.port();
        let known = Pings::default();
        known.replace([(kept.number, id)]);
        heart.env.push((PING_URL.to_owned(), ping::url(&format!("http://{address}"), kept.number)));
        heart._tasks.spawn(ping::hear(listener, known, beats));
        kept.write(folder)?;
        Ok(heart)
    }

    /// Opens the notify socket, where the system has such.
    fn listen_to_words(
        &mut self,
        name: &str,
        folder: &Path,
        letters: &mpsc::Sender<Letter>,
    ) -> anyhow::Result<ServiceId> {
        let id = ServiceId::new(&name.to_ascii_lowercase()).context("the name cannot be that of a heart")?;
        let place = Place { dir: folder.to_owned(), name: name.to_owned(), access: Access::Owner };
        place.prepare().with_context(|| format!("failed to prepare {}", folder.display()))?;
        match notify(&place, &id, Post::new(letters.clone(), RATE)) {
            Ok((path, open)) => {
                self.env.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
                self._open.push(open);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(error) => return Err(error).context("failed to open a notify socket"),
        }
        Ok(id)
    }

    /// The program has been started.
    pub(super) fn started(&mut self) {
        self.due = self.limit.map(|limit| Instant::now() + limit * FIRST);
    }

    /// What the program says of itself next, or that it hangs.
    pub(super) async fn news(&mut self) -> News {
        loop {
            let due = self.due;
            let silence = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = silence => return News::Hangs,
                Some(letter) = self.letters.recv() => {
                    if is_beat(&letter) {
                        self.beaten();
                    }
                    if letter.way == Way::Notify && let Some(news) = News::of(&letter.bytes) {
                        return news;
                    }
                }
                Some(beat) = self.pings.recv() => {
                    // One that says what has failed is not stuck.
                    if beat.status == BeatStatus::Fail {
                        tracing::warn!(message = beat.message.as_deref().unwrap_or_default(), "Program reports a failure");
                    }
                    self.beaten();
                }
            }
        }
    }

    fn beaten(&mut self) {
        self.due = self.limit.map(|limit| Instant::now() + limit);
    }
}

/// What a program says of itself to its notify socket (`sd_notify(3)`).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Its heart was silent for too long, or it says itself that it is stuck.
    Hangs,
    /// It has started, or loaded its configuration again; its own words, if any.
    Ready(Option<String>),
    /// It ends by itself; its own words, if any.
    Stopping(Option<String>),
    /// What it is doing.
    Status(String),
}

impl News {
    /// The weightiest of a letter; `None`: nothing that concerns anybody but its heart.
    fn of(letter: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(letter);
        let has = |line: &str| text.lines().any(|said| said == line);
        let status = text.lines().find_map(|line| line.strip_prefix("STATUS=")).map(str::to_owned);
        if has("WATCHDOG=trigger") {
            Some(Self::Hangs)
        } else if has("STOPPING=1") {
            Some(Self::Stopping(status))
        } else if has("READY=1") {
            Some(Self::Ready(status))
        } else {
            status.map(Self::Status)
        }
    }
}

/// What a program was told, kept for the next wrapper: one that adopts the program hears it where it beats.
struct Kept {
    /// The secret of datagrams, and the number in the address of pings.
    number: u128,
    /// The port of datagrams; 0: any.
    datagrams: u16,
    /// The port of pings; 0: any.
    pings: u16,
}

impl Kept {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let known = std::fs::read_to_string(folder.join(KEPT)).ok().and_then(|text| {
            let mut words = text.split_whitespace();
            let number = u128::from_str_radix(words.next()?, 16).ok()?;
            Some(Self { number, datagrams: words.next()?.parse().ok()?, pings: words.next()?.parse().ok()? })
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).context("the system gave no randomness for a secret")?;
        Ok(Self { number: u128::from_ne_bytes(bytes), datagrams: 0, pings: 0 })
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(KEPT);
        let line = format!("{:032x} {} {}\n", self.number, self.datagrams, self.pings);
        lifesign_os::file::write_private(&path, line.as_bytes())
            .with_context(|| format!("failed to write {}", path.display()))
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A status line alone says nothing about the heart.
fn is_beat(letter: &Letter) -> bool {
    letter.way != Way::Notify || letter.bytes.split(|byte| *byte == b'\n').any(|line| line == b"WATCHDOG=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_letter_the_weightiest_news_is_taken() {
        for (letter, news) in [
            ("READY=1\nSTATUS=open\n", Some(News::Ready(Some("open".to_owned())))),
            ("STATUS=three orders wait", Some(News::Status("three orders wait".to_owned()))),
            ("STOPPING=1\nREADY=1", Some(News::Stopping(None))),
            ("READY=1\nWATCHDOG=trigger", Some(News::Hangs)),
            ("WATCHDOG=1\nMAINPID=7", None),
            ("READY=0", None),
        ] {
            assert_eq!(News::of(letter.as_bytes()), news, "{letter}");
        }
        assert_eq!(News::of(b"STATUS=\xff"), Some(News::Status("\u{fffd}".to_owned())));
    }
}
