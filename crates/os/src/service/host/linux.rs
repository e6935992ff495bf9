//! systemd's notification protocol (`sd_notify(3)`): lines in datagrams to the socket in `NOTIFY_SOCKET`.
//!
//! A dozen lines of our own: a datagram that cannot be sent is no reason to wait or to fail, the next one says the
//! same.

use std::fmt::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Body, Phase, Said, WAIT_HINT, run_over};

/// Where systemd listens, and how long it lets us be silent.
pub(super) struct Port {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    was_ready: AtomicBool,
}

impl Port {
    /// The one that systemd gave this process, if it did.
    pub(super) fn from_environment() -> Self {
        let taken = |name: &str| {
            let value = std::env::var_os(name)?;
            // SAFETY: called before the process has other threads, as the public function demands.
            unsafe { std::env::remove_var(name) };
            value.into_string().ok()
        };
        let address = taken("NOTIFY_SOCKET");
        let usec = taken("WATCHDOG_USEC").and_then(|usec| usec.parse().ok());
        // The variable names the process that is meant; a child that inherited it is not.
        let mine = taken("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let socket = address.and_then(|address| connect(&address).ok());
        Self {
            watchdog: usec.filter(|usec| mine && *usec > 0 && socket.is_some()).map(Duration::from_micros),
            socket,
            was_ready: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(super) const fn silent() -> Self {
        Self { socket: None, watchdog: None, was_ready: AtomicBool::new(false) }
    }

    pub(super) const fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn tell(&self, said: &Said) {
        let Some(socket) = &self.socket else { return };
        let first = said.phase == Phase::Running && !self.was_ready.swap(true, Ordering::Relaxed);
        if let Err(error) = socket.send(lines(said).as_bytes())
            && first
        {
            // Logged once, at the word that systemd waits for; a lost pulse is followed by the next.
            tracing::warn!(%error, "Could not tell systemd that lifesign is ready");
        }
    }

    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub(super) fn alive(&self) {
        if let Some(socket) = &self.socket {
            // Lost, it is followed by the next; the watchdog waits for several.
            let _ = socket.send(b"WATCHDOG=1");
        }
    }
}

fn connect(address: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    // Never wait for the manager: whoever says something has work to do.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What systemd is told.
fn lines(said: &Said) -> String {
    let mut lines = match said.phase {
        Phase::Starting => String::new(),
        Phase::Running => "READY=1\n".to_owned(),
        Phase::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", crate::clock::monotonic_micros()),
        Phase::Stopping | Phase::Stopped(_) => "STOPPING=1\n".to_owned(),
        Phase::Pausing | Phase::Paused | Phase::Continuing => String::new(),
    };
    if said.phase.is_pending() {
        // Writing into a String does not fail.
        let _ = writeln!(lines, "EXTEND_TIMEOUT_USEC={}", WAIT_HINT.as_micros());
    }
    let _ = writeln!(lines, "STATUS={}", said.text.replace(char::is_control, " "));
    lines
}

/// systemd starts a program like anybody does: there is nothing to dispatch.
#[expect(clippy::unnecessary_wraps, reason = "the other system's half can fail")]
pub(super) fn run(_name: &str, body: Body) -> std::io::Result<u8> {
    Ok(run_over(Port::from_environment(), true, |_| (), body))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn said(phase: Phase, text: &str) -> Said {
        Said { phase, checkpoint: 1, since: Instant::now(), text: text.to_owned() }
    }

    #[test]
    fn each_phase_is_told_in_systemd_s_words() {
        assert_eq!(
            lines(&said(Phase::Starting, "Opening\nthe store")),
            "EXTEND_TIMEOUT_USEC=10000000\nSTATUS=Opening the store\n"
        );
        assert_eq!(lines(&said(Phase::Running, "3 services")), "READY=1\nSTATUS=3 services\n");
        assert_eq!(
            lines(&said(Phase::Stopping, "x")),
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=10000000\nSTATUS=x\n"
        );
        let reloading = lines(&said(Phase::Reloading, "x"));
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    }

    #[test]
    fn an_abstract_and_a_named_socket_are_both_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        let name = format!("lifesign-test-{}", std::process::id());
        let hidden = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (receiver, address) in [(named, path.display().to_string()), (hidden, format!("@{name}"))] {
            connect(&address).unwrap().send(b"WATCHDOG=1").unwrap();
            let mut buffer = [0; 64];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"WATCHDOG=1");
        }
    }
}
