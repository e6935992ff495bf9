//! A child in a session of its own, watched by a pidfd.
//!
//! The session (`setsid(2)`) takes it away from lifesign's terminal, so Ctrl-C stops lifesign alone, and makes
//! it the leader of a process group, so that one signal reaches all it started. A program that leaves the group
//! on purpose (a daemon that forks twice) escapes; such a program belongs under systemd.
//!
//! The state file holds the child's own `/proc/self/stat` line, and the child itself writes it, between fork
//! and exec. So there is no moment at which the program runs and the file does not name it, whenever lifesign
//! is killed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{Exit, Process};

use super::ProcessSpec;
use crate::pidfd::PidFd;
use crate::proc_stat::Stat;

/// How long killed members of the group get to vanish before their port or file is expected to be free.
const LEFTOVERS_GONE: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LEFTOVERS_LOOK: Duration = Duration::from_millis(2);
/// Longest `/proc/PID/stat` line: 52 numbers of at most 20 digits and a short name.
const STAT_LINE: usize = 1280;

/// One process and everything it started.
pub(super) struct Child {
    pidfd: PidFd,
    group: libc::pid_t,
    /// `None`: adopted, so somebody else reaps it and learns how it ended.
    own: Option<std::process::Child>,
}

impl Child {
    /// Starts it with `log` as standard output and standard error; the state file is written before it runs.
    pub(super) fn spawn(spec: &ProcessSpec, log: File) -> io::Result<Self> {
        let state =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(spec.state_file())?;
        let mut command = Command::new(spec.program());
        command.args(spec.argv.iter().skip(1)).envs(spec.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(cwd) = &spec.cwd {
            command.current_dir(cwd);
        }
        let state_fd = state.as_raw_fd();
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; `before_exec` makes no other:
        // no allocation, no lock, and its error is a plain number.
        unsafe { command.pre_exec(move || before_exec(state_fd)) };
        let spawned = command.spawn();
        if spawned.is_err() {
            // The child got as far as writing it, and died because its program could not be executed.
            let _ = std::fs::remove_file(spec.state_file());
        }
        let mut own = spawned?;
        match PidFd::open(own.id()) {
            Ok(pidfd) => Ok(Self { group: number(own.id()), pidfd, own: Some(own) }),
            Err(error) => {
                // Unwatched it must not live. If the kill fails it is dead already, and the wait tells nothing new.
                let _ = own.kill();
                let _ = own.wait();
                Err(error)
            }
        }
    }

    /// The child an earlier lifesign left running: the one the state file names, if its start time still
    /// proves it to be the same. `Ok(None)`: none lives.
    pub(super) fn adopt(spec: &ProcessSpec) -> io::Result<Option<Self>> {
        let line = match std::fs::read(spec.state_file()) {
            Ok(line) => line,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A file without a whole line: lifesign was killed before the child had come to life.
        let Some(written) = Stat::parse(&line) else { return Ok(None) };
        let known = Process { pid: written.pid, started: written.started };
        let alive = Stat::read(known.pid).is_ok_and(|stat| stat.started == known.started && !stat.is_dead());
        if alive {
            let pidfd = PidFd::open(known.pid)?;
            if pidfd.process() == known {
                return Ok(Some(Self { group: number(known.pid), pidfd, own: None }));
            }
        }
        kill_leftovers(number(known.pid));
        Ok(None)
    }

    /// Which process it is.
    pub(super) fn process(&self) -> Process {
        self.pidfd.process()
    }

    /// Waits until the main process has ended; at once when it has. May be cancelled and called again.
    pub(super) async fn ended(&mut self) -> Exit {
        self.pidfd.ended().await;
        // An adopted one is a child of ours only when this very lifesign had let go of it before.
        self.pidfd.cause().unwrap_or(Exit::Unseen)
    }

    /// Asks it to stop: SIGTERM to the group, and SIGCONT, without which a stopped process would not hear it.
    #[expect(clippy::unused_async, reason = "on Windows it waits")]
    pub(super) async fn ask_to_stop(&self) -> io::Result<()> {
        self.signal(libc::SIGTERM)?;
        self.signal(libc::SIGCONT)
    }

    /// Kills it with everything it started. Succeeds when it is gone already.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// After [`ended`](Self::ended): kills what it left behind, frees its number, removes the state file.
    pub(super) async fn bury(self, spec: &ProcessSpec) {
        let known = self.process();
        match self.own {
            Some(mut own) => {
                // The main process is a zombie until it is waited for, so its number still names this group.
                if let Err(error) = signal_group(self.group, libc::SIGKILL) {
                    tracing::warn!(group = self.group, %error, "Could not kill what a process left behind");
                }
                if let Err(error) = own.wait() {
                    tracing::warn!(pid = own.id(), %error, "Could not reap a process");
                }
            }
            None => kill_leftovers(self.group),
        }
        let begun = Instant::now();
        while group_lives(self.group) && begun.elapsed() < LEFTOVERS_GONE {
            tokio::time::sleep(LEFTOVERS_LOOK).await;
        }
        forget(spec, known);
    }

    fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        match self.own {
            Some(_) => signal_group(self.group, signal),
            // Of an adopted child the number may have been given away the moment it died; the handle has not.
            None if self.pidfd.is_alive() => signal_group(self.group, signal),
            None => Ok(()),
        }
    }
}

/// Removes the state file, unless it names another process by now.
fn forget(spec: &ProcessSpec, known: Process) {
    let path = spec.state_file();
    let named = std::fs::read(&path).ok().and_then(|line| Stat::parse(&line));
    if named.is_some_and(|stat| stat.pid == known.pid && stat.started == known.started)
        && let Err(error) = std::fs::remove_file(&path)
    {
        tracing::warn!(?path, %error, "Could not remove the state file of a process that has ended");
    }
}

/// What happens in the child between fork and exec. Async-signal-safe: system calls on memory of its own.
fn before_exec(state: RawFd) -> io::Result<()> {
    // SAFETY: setsid(2) takes nothing; a process just forked leads no group, so it succeeds.
    if unsafe { libc::setsid() } < 0 {
        return Err(io::Error::last_os_error());
    }
    // Handlers end with exec, but signals *ignored* by whoever started lifesign (nohup) would stay ignored.
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: signal(2) with SIG_DFL installs no code; for SIGKILL and SIGSTOP it fails, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    write_own_stat(state)?;
    // Descriptors that some library opened without close-on-exec. Linux before 5.11 answers EINVAL; then std's
    // habit of setting it on all of its own must do.
    // SAFETY: close_range(2) with this flag only marks descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// Copies `/proc/self/stat` to the state file in one write.
fn write_own_stat(state: RawFd) -> io::Result<()> {
    let mut line = [0u8; STAT_LINE];
    // SAFETY: open(2) reads a string that ends in zero.
    let stat = unsafe { libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if stat < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: read(2) writes at most `line.len()` bytes into `line`.
    let length = unsafe { libc::read(stat, line.as_mut_ptr().cast(), line.len()) };
    // SAFETY: `stat` is open and used by nobody else.
    unsafe { libc::close(stat) };
    let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
    // SAFETY: write(2) reads `length` bytes, which the read above has filled, at most `line.len()`.
    let written = unsafe { libc::write(state, line.as_ptr().cast(), length) };
    if usize::try_from(written) == Ok(length) { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills the members of a group whose leader has died and is reaped.
///
/// The kernel gives a number to no new process while it names a group that still has members. So if a process
/// of this number exists now, the group had emptied before and the number is a stranger's: nothing to kill.
fn kill_leftovers(group: libc::pid_t) {
    let stranger = u32::try_from(group).is_ok_and(|leader| Stat::read(leader).is_ok());
    if !stranger && let Err(error) = signal_group(group, libc::SIGKILL) {
        tracing::warn!(group, %error, "Could not kill what a process left behind");
    }
}

/// Sends `signal` to each member of `group`; one that has none left is content.
fn signal_group(group: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // 0 and 1 mean "my own group" and "everybody" to kill(2).
    if group <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: kill(2) touches no memory.
    if unsafe { libc::kill(-group, signal) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

/// Whether a member of `group` still runs. The dead that nobody has waited for hold no port and no file.
fn group_lives(group: libc::pid_t) -> bool {
    // SAFETY: kill(2) with signal 0 only asks.
    if group <= 1 || unsafe { libc::kill(-group, 0) } != 0 {
        return false;
    }
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut members = pids.filter_map(|pid| Stat::read(pid).ok()).filter(|stat| number(stat.group) == group);
    members.any(|stat| !stat.is_dead())
}

fn number(pid: u32) -> libc::pid_t {
    libc::pid_t::try_from(pid).unwrap_or(0)
}
