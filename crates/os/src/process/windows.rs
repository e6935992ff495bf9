//! A child in a job object of its own, held open by its handle.
//!
//! The child is made suspended. Before it runs its first instruction it is in its job and the state file names it,
//! and until it runs the job would take it along if lifesign died. So no moment leaves a process that runs and
//! is not named. (One is left between making the process and putting it into the job: there a dying lifesign
//! leaves a process that never ran. Only an own `CreateProcess` with a job list could close it.)
//!
//! From then on the job does *not* end with its last handle: the child outlives lifesign. The job has a name made
//! of the child's number and creation time, and the child itself is given a handle to it, which keeps the name
//! alive; so the next lifesign can still end the whole tree. What the main process leaves behind when it dies
//! while no lifesign is there is not found again.

use std::fs::File;
use std::io;
use std::os::windows::io::OwnedHandle;
use std::os::windows::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{Exit, Process};
use tokio::sync::watch;
use windows_sys::Win32::Foundation::ERROR_INVALID_PARAMETER;
use windows_sys::Win32::System::Threading::{
    CREATE_BREAKAWAY_FROM_JOB, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, CREATE_SUSPENDED,
};

use self::console::Console;
use self::event::ShutdownEvent;
use self::job::Job;
use super::ProcessSpec;
use crate::process_handle::{ExitWatch, ProcessHandle, Rights};

#[path = "windows/console.rs"]
mod console;
#[path = "windows/event.rs"]
mod event;
#[path = "windows/job.rs"]
mod job;
#[path = "windows/resume.rs"]
mod resume;

/// The exit code of what lifesign kills, as `taskkill /F` sets it.
const KILLED: u32 = 1;
/// How long killed members of the job get to vanish before their port or file is expected to be free.
const LEFTOVERS_GONE: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LEFTOVERS_LOOK: Duration = Duration::from_millis(2);

/// One process and everything it started.
pub(super) struct Child {
    main: ProcessHandle,
    /// `None`: adopted from a lifesign that died before it could hand the job over.
    job: Option<Job>,
    /// `None`: its environment names none.
    shutdown: Option<ShutdownEvent>,
    gone: watch::Receiver<bool>,
    _exit: ExitWatch,
}

impl Child {
    /// Starts it with `log` as standard output and standard error; the state file is written before it runs.
    pub(super) fn spawn(spec: &ProcessSpec, log: File) -> io::Result<Self> {
        let mut flags = CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP;
        if Console::of_this_process().is_none() {
            // A console of its own, without a window, is the way to ask it to stop.
            flags |= CREATE_NO_WINDOW;
        }
        if job::may_break_away() {
            // What started lifesign must not end its children together with it.
            flags |= CREATE_BREAKAWAY_FROM_JOB;
        }
        // It may open the event with its first instruction.
        let shutdown = ShutdownEvent::of(spec);
        let mut command = Command::new(spec.program());
        command.args(spec.argv.iter().skip(1)).envs(spec.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).creation_flags(flags);
        if let Some(cwd) = &spec.cwd {
            command.current_dir(cwd);
        }
        let mut own = command.spawn()?;
        let set_up = |own: &std::process::Child| {
            let handle = std::os::windows::io::AsHandle::as_handle(own).try_clone_to_owned()?;
            Self::set_up(handle, own.id(), spec)
        };
        let child = set_up(&own).inspect_err(|_| {
            // It must not stay behind. If the kill fails it is dead already.
            let _ = own.kill();
        })?;
        Ok(Self { shutdown, ..child })
    }

    /// Puts a suspended process into its job, names it in the state file, and lets it run.
    fn set_up(handle: OwnedHandle, pid: u32, spec: &ProcessSpec) -> io::Result<Self> {
        let main = ProcessHandle::of(handle, pid)?;
        let job = Job::create(main.process())?;
        job.end_with_last_handle(true)?;
        job.take(&main)?;
        crate::file::write_private(&spec.state_file(), line(main.process()).as_bytes())?;
        resume::threads_of(pid)?;
        job.end_with_last_handle(false)?;
        if let Err(error) = job.hand_over(&main) {
            // It may have ended already. Otherwise the next lifesign can end the main process, not its tree.
            tracing::debug!(pid, %error, "The job was not handed over");
        }
        Self::watched(main, Some(job))
    }

    /// The child an earlier lifesign left running: the one the state file names, if its creation time still
    /// proves it to be the same. `Ok(None)`: none lives.
    pub(super) fn adopt(spec: &ProcessSpec) -> io::Result<Option<Self>> {
        let Some(known) = named(spec)? else { return Ok(None) };
        let main = match ProcessHandle::open(known.pid, Rights::Kill) {
            Ok(main) => main,
            Err(error) if error.raw_os_error() == Some(ERROR_INVALID_PARAMETER.cast_signed()) => {
                return Ok(None);
            }
            Err(error) => {
                // A stranger of another account that got the number is none of ours; what is ours can be opened.
                return match ProcessHandle::open(known.pid, Rights::Watch) {
                    Ok(other) if other.process() == known && other.exit_code().is_none() => Err(error),
                    Ok(_) | Err(_) => Ok(None),
                };
            }
        };
        if main.process() != known || main.exit_code().is_some() {
            return Ok(None);
        }
        let job = Job::open(known)
            .inspect_err(|error| tracing::warn!(pid = known.pid, %error, "The job of a process is lost"))
            .ok();
        Ok(Some(Self { shutdown: ShutdownEvent::of(spec), ..Self::watched(main, job)? }))
    }

    fn watched(main: ProcessHandle, job: Option<Job>) -> io::Result<Self> {
        let (tell, gone) = watch::channel(false);
        let exit = main.on_exit(move || {
            tell.send_replace(true);
        })?;
        Ok(Self { main, job, shutdown: None, gone, _exit: exit })
    }

    /// Which process it is.
    pub(super) fn process(&self) -> Process {
        self.main.process()
    }

    /// Waits until the main process has ended; at once when it has. May be cancelled and called again.
    pub(super) async fn ended(&mut self) -> Exit {
        // The sender lives in the wait, which lives as long as `self`.
        let _ = self.gone.wait_for(|gone| *gone).await;
        match self.main.exit_code() {
            Some(0) => Exit::Clean,
            Some(code) => Exit::Code(code.into()),
            None => Exit::Unseen,
        }
    }

    /// Asks it to stop: by its shutdown event where it listens to that, else by Ctrl-Break to its process group. One
    /// without a console has no ear for that, and waiting would not change it, so it is killed at once. Succeeds when
    /// it is gone already.
    pub(super) async fn ask_to_stop(&self) -> io::Result<()> {
        let pid = self.process().pid;
        if self.main.exit_code().is_some() {
            return Ok(());
        }
        if let Some(event) = &self.shutdown
            && event.tell().await
        {
            return Ok(());
        }
        console::send_break(pid).or_else(|error| {
            tracing::info!(pid, %error, "A process without a console cannot be asked to stop; killing it");
            self.kill()
        })
    }

    /// Kills it with everything it started. Succeeds when it is gone already.
    pub(super) fn kill(&self) -> io::Result<()> {
        match &self.job {
            Some(job) => job.terminate(KILLED),
            None if self.main.exit_code().is_some() => Ok(()),
            None => self.main.terminate(KILLED),
        }
    }

    /// After [`ended`](Self::ended): kills what it left behind, removes the state file.
    pub(super) async fn bury(self, spec: &ProcessSpec) {
        if let Some(job) = &self.job {
            if let Err(error) = job.terminate(KILLED) {
                tracing::warn!(pid = self.process().pid, %error, "Could not kill what a process left behind");
            }
            let begun = Instant::now();
            while job.members() > 0 && begun.elapsed() < LEFTOVERS_GONE {
                tokio::time::sleep(LEFTOVERS_LOOK).await;
            }
        }
        forget(spec, self.process());
    }
}

/// The state file's content.
fn line(process: Process) -> String {
    format!("{} {}\n", process.pid, process.started)
}

/// The process that the state file names, if there is a file and it holds a whole line.
fn named(spec: &ProcessSpec) -> io::Result<Option<Process>> {
    let text = match std::fs::read_to_string(spec.state_file()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let known = text
        .trim_end()
        .split_once(' ')
        .and_then(|(pid, started)| Some(Process { pid: pid.parse().ok()?, started: started.parse().ok()? }));
    Ok(known)
}

/// Removes the state file, unless it names another process by now.
fn forget(spec: &ProcessSpec, known: Process) {
    let path = spec.state_file();
    if matches!(named(spec), Ok(Some(process)) if process == known)
        && let Err(error) = std::fs::remove_file(&path)
    {
        tracing::warn!(?path, %error, "Could not remove the state file of a process that has ended");
    }
}
