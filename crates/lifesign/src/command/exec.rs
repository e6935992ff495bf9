//! `lifesign exec`: runs a job, and tells of its beginning and its end.
//!
//! The job comes first. It starts at once, whether or not a server answers; its output passes through, signals
//! reach it, and its exit code is ours. Reports are made beside it: that of the beginning for as long as the job
//! runs, that of the end for `--report-for` after it, two minutes unless said otherwise: the engine counts on that when it
//! was away itself (`lifesign_core::job::PATIENCE`).

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use lifesign_core::evidence::{Exit, MAX_OUTPUT};
use lifesign_lang::Lang;
use lifesign_os::foreground::{Foreground, exit_code};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::remote::{Remote, Unposted};

/// Wait before the second try of a report; doubled with each further one …
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long the output may stay open after the job has ended: what it left behind in the background has it too.
const OUTPUT_AFTER_END: Duration = Duration::from_millis(500);

/// What is run, and for whom.
pub(super) struct Job<'a> {
    /// The service.
    pub(super) id: &'a str,
    /// Tells this run apart; made up where `None`.
    pub(super) run_id: Option<&'a str>,
    /// How long its end is reported to a server that does not answer.
    pub(super) report_for: Duration,
    /// The program and its arguments; never empty.
    pub(super) command: &'a [OsString],
}

/// Runs the job. Comes back only where it could not even be tried.
pub(super) fn run(remote: Remote, job: &Job<'_>, lang: Lang) -> Result<(), Failure> {
    let (program, args) = job.command.split_first().context("no command is given; write it behind `--`")?;
    let run_id = match job.run_id {
        Some(id) => id.to_owned(),
        None => random_id()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let report = json!({ "service_id": job.id, "run_id": run_id });
    let (sender, receiver) = mpsc::channel();
    let reporter = Reporter { remote, report, report_for: job.report_for, lang };
    let thread = std::thread::spawn(move || reporter.work(&receiver));
    let code = runtime.block_on(async {
        let began = Instant::now();
        let mut command = match Foreground::start(program, args) {
            Ok(command) => command,
            Err(error) => {
                let name = program.display().to_string();
                let why = error.to_string();
                let text = [("command", name.as_str().into()), ("why", why.as_str().into())];
                say(&lang.text("cli-exec-cannot-start", &text));
                let end = json!({ "start_error": format!("{name}: {why}") });
                let _ = sender.send(end);
                drop(sender);
                let _ = thread.join();
                return Ok(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
            }
        };
        let last = Arc::new(Mutex::new(Last::default()));
        let copying = command.output().map(|(out, err)| {
            let (a, b) = (Arc::clone(&last), Arc::clone(&last));
            tokio::spawn(async move {
                let out = copy(out, |part| write(io::stdout(), part), &a);
                let err = copy(err, |part| write(io::stderr(), part), &b);
                tokio::join!(out, err);
            })
        });
        let exit = command.ended().await.context("failed to see how the command ended")?;
        let took = began.elapsed();
        if let Some(copying) = copying {
            rest(copying, &last).await;
        }
        let output = last.lock().map(|last| last.bytes.clone()).unwrap_or_default();
        let _ = sender.send(end_of(&exit, took, &output));
        drop(sender);
        let reported = spawn_blocking(move || thread.join());
        tokio::select! {
            _ = reported => {}
            // Whoever ends us now wants no more tries.
            () = command.asked_to_end() => {}
        }
        anyhow::Ok(exit_code(&exit))
    })?;
    let _ = io::stdout().flush();
    std::process::exit(code)
}

/// What is told of the end beside the run's id.
fn end_of(exit: &Exit, took: Duration, output: &[u8]) -> Value {
    let mut end = json!({ "duration": took.as_secs_f64() });
    match exit {
        Exit::Clean => end["exit_code"] = 0.into(),
        Exit::Code(code) => end["exit_code"] = (*code).into(),
        Exit::Signal(signal) => end["signal"] = (*signal).into(),
        Exit::StartFailed(why) => end["start_error"] = why.as_str().into(),
        Exit::Watchdog | Exit::Unseen => end["status"] = "fail".into(),
    }
    let output = String::from_utf8_lossy(output);
    if !output.trim().is_empty() {
        end["output"] = output.trim_end().into();
    }
    end
}

/// The last that the job wrote.
#[derive(Debug, Default)]
struct Last {
    bytes: Vec<u8>,
    /// How much it was in all.
    seen: u64,
}

impl Last {
    fn add(&mut self, part: &[u8]) {
        self.seen += part.len() as u64;
        self.bytes.extend_from_slice(&part[part.len().saturating_sub(MAX_OUTPUT)..]);
        let surplus = self.bytes.len().saturating_sub(MAX_OUTPUT);
        self.bytes.drain(..surplus);
    }
}

/// Hands on what the job writes, and keeps the last of it. Whoever reads us may be slow, so the writing has a thread
/// of its own.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    write: impl Fn(&[u8]) -> io::Result<()> + Copy + Send + 'static,
    last: &Mutex<Last>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut bytes).await {
        let part = bytes[..count].to_vec();
        if let Ok(mut last) = last.lock() {
            last.add(&part);
        }
        let written = spawn_blocking(move || write(&part)).await;
        // Where nobody reads us any more, the job is to notice: its end of the pipe closes with ours.
        if count == 0 || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

fn write(mut to: impl io::Write, part: &[u8]) -> io::Result<()> {
    to.write_all(part)?;
    to.flush()
}

/// What was written and not read yet when the job ended. What it left in the background may keep its output open
/// for ever, so silence is the end of it too.
async fn rest(mut copying: JoinHandle<()>, last: &Mutex<Last>) {
    let seen = || last.lock().map_or(0, |last| last.seen);
    loop {
        let before = seen();
        if timeout(OUTPUT_AFTER_END, &mut copying).await.is_ok() || seen() == before {
            copying.abort();
            return;
        }
    }
}

fn random_id() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system gave no randomness for the id of this run")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes the reports, on a thread of its own, so that the job never waits for them.
struct Reporter {
    remote: Remote,
    /// What stands in every report.
    report: Value,
    report_for: Duration,
    lang: Lang,
}

impl Reporter {
    /// Reports the beginning until the end is there, then the end.
    fn work(self, ends: &mpsc::Receiver<Value>) {
        let start = self.with(json!({ "run": "started" }));
        let mut wait = FIRST_WAIT;
        let mut told = false;
        let end = loop {
            if !told {
                match self.remote.try_post("/api/v1/heartbeats", &start) {
                    Ok(()) => told = true,
                    Err(Unposted { again: true, .. }) => {}
                    Err(Unposted { why, .. }) => {
                        // The end is tried all the same: what is wrong may be mended by then.
                        self.untold("cli-exec-start", &why.to_string());
                        told = true;
                    }
                }
            }
            let next = if told {
                ends.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                ends.recv_timeout(wait)
            };
            match next {
                Ok(end) => break end,
                Err(RecvTimeoutError::Timeout) => wait = (wait * 2).min(LONGEST_WAIT),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        self.tell_end(&self.with(json!({ "run": "ended" })), end);
    }

    fn tell_end(&self, base: &Value, end: Value) {
        let mut body = base.clone();
        if let (Some(body), Value::Object(end)) = (body.as_object_mut(), end) {
            body.extend(end);
        }
        let until = Instant::now() + self.report_for;
        let mut wait = FIRST_WAIT;
        let mut said = false;
        loop {
            let Err(Unposted { again, why }) = self.remote.try_post("/api/v1/heartbeats", &body) else {
                return;
            };
            let left = until.saturating_duration_since(Instant::now());
            if !again || left.is_zero() {
                return self.untold("cli-exec-end", &why.to_string());
            }
            if !said {
                said = true;
                let span = self.lang.duration(left);
                say(&self.lang.text("cli-exec-late", &[("span", span.into())]));
            }
            std::thread::sleep(wait.min(left));
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn with(&self, more: Value) -> Value {
        let mut body = self.report.clone();
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body
    }

    fn untold(&self, what: &str, why: &str) {
        let what = self.lang.word(what);
        say(&self.lang.text("cli-exec-untold", &[("what", what.into()), ("why", why.into())]));
    }
}

/// On standard error: standard output is the job's.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
