//! `command`: a program of your own.
//!
//! It is started directly, never through a shell, so nothing in an alert can become a command. It gets the
//! webhook's message on its standard input and the most wanted parts in its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lifesign_config::{Cx, Fields, Kind, Node, Record, record};
use lifesign_core::effect::{Alert, Notification};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command as Process;
use tokio::time::timeout;

use crate::answer::Hidden;
use crate::delivery::{Context, Delivery};
use crate::payload::{Payload, link, status};
use crate::receiver::{Channel, Receiver, Sending};

/// Bytes kept of each of the program's two outputs: its last words, as many as an answer holds.
const MAX_OUTPUT: usize = 250;
/// Time for output that is still in the pipe when the program has ended. Something it left running in the
/// background may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Most alerts on the standard input.
const MAX_ALERTS: usize = 1000;
/// Longest value of an environment variable, in bytes: Linux takes no more than 128 KiB each.
const MAX_VALUE: usize = 8 * 1024;

record! {
    /// Runs a program. Exit code 0 means delivered; anything else, a signal or the timeout means try again.
    /// Standard input: the webhook's message. Environment: `LIFESIGN_NOTIFICATION_ID`, `_RECEIVER`,
    /// `_ATTEMPT`, `_STATUS`, `_ALERTNAME`, `_SERVICE`, `_HOST`, `_REASON`, `_SEVERITY`, `_SUMMARY`,
    /// `_EVIDENCE` (the last lines of a process that has ended), `_INCIDENT`, `_URL`.
    pub struct Written {
        /// The program and its arguments. No shell reads them. A path with a slash starts at the folder of
        /// the configuration file; a bare name is looked for on the `PATH`.
        run: Vec<String> [1..=100],
        /// Further environment variables.
        env: BTreeMap<String, String> = {},
        /// Time for one attempt; at its end the program is killed.
        timeout: Duration [Duration::from_millis(100)..=Duration::from_secs(300)] = "10s",
    }
    check Written::check
}

impl Written {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.run.first().is_some_and(String::is_empty) || self.run.iter().any(|part| part.contains('\0')) {
            cx.error(
                node.at("run"),
                "expected the program and its arguments, such as `[./notify.sh, --urgent]`",
            );
        }
        for (name, value) in &self.env {
            let wrong = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
            if wrong || name.starts_with("LIFESIGN_") {
                cx.error(node.at("env"), format!("{name:?} cannot be set: no '=', and LIFESIGN_… is ours"));
            }
        }
    }
}

/// `command`, for [`crate::kinds`].
pub(crate) const KIND: Kind<Receiver> =
    Kind { name: "command", decode, schema: <Written as lifesign_config::Decode>::schema };

fn decode(fields: &mut Fields<'_>, cx: &mut Cx) -> Option<Receiver> {
    let written = Written::from_fields(fields, cx)?;
    let (program, arguments) = written.run.split_first()?;
    let program = if program.contains(['/', '\\']) { cx.resolve(program) } else { program.into() };
    let mut hidden = Hidden::default();
    for (name, value) in &written.env {
        if lifesign_config::problem::sounds_secret(name) {
            hidden.add(value);
        }
    }
    let command = Command {
        program,
        arguments: arguments.to_vec(),
        env: written.env,
        folder: cx.folder.clone(),
        timeout: written.timeout,
        hidden,
    };
    Some(Receiver::new(KIND.name, command))
}

/// A program ready to be run.
struct Command {
    program: PathBuf,
    arguments: Vec<String>,
    env: BTreeMap<String, String>,
    folder: PathBuf,
    timeout: Duration,
    hidden: Hidden,
}

/// What a run is given.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    stdin: String,
    env: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// With this exit code (`None`: by a signal) and these last words.
    Exit { code: Option<i32>, output: String },
    /// It could not be started or waited for.
    Failed(String),
    /// It was killed at the timeout.
    Late(Duration),
}

impl Command {
    /// What a notification looks like to the program.
    fn request(&self, notification: &Notification, context: &Context<'_>) -> Request {
        let payload = Payload::new(notification, context.external_url, MAX_ALERTS);
        let first = notification.alerts.first();
        let label = |name: &str| first.and_then(|alert| value(alert, name)).unwrap_or_default().to_owned();
        let annotation = |name: &str| {
            let found = first.and_then(|alert| alert.annotations.iter().find(|(known, _)| &**known == name));
            found.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        let ours = [
            ("NOTIFICATION_ID", notification.id.to_string()),
            ("RECEIVER", notification.receiver.to_string()),
            ("ATTEMPT", context.attempt.to_string()),
            ("STATUS", status(notification).to_owned()),
            ("ALERTNAME", label("alertname")),
            ("SERVICE", label("service")),
            ("HOST", label("host")),
            ("REASON", label("reason")),
            ("SEVERITY", label("severity")),
            ("SUMMARY", annotation("summary")),
            ("EVIDENCE", annotation("evidence")),
            ("INCIDENT", notification.incident.map(|incident| incident.to_string()).unwrap_or_default()),
            ("URL", first.map(|alert| link(alert, context.external_url)).unwrap_or_default()),
        ];
        let ours = ours.into_iter().map(|(name, value)| (format!("LIFESIGN_{name}"), fit(&value)));
        Request { stdin: payload.to_json() + "\n", env: self.env.clone().into_iter().chain(ours).collect() }
    }

    async fn run(&self, request: &Request) -> Ended {
        let mut process = Process::new(&self.program);
        process
            .args(&self.arguments)
            .current_dir(if self.folder.as_os_str().is_empty() { ".".into() } else { self.folder.clone() })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // lifesign's own LIFESIGN_TOKEN and the like are nothing for a notifier.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            process.env_remove(name);
        }
        process.envs(&request.env);
        let mut child = match process.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::Failed(format!("cannot run {}: {error}", self.program.display())),
        };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Whoever does not read it need not.
                let _read = stdin.write_all(request.stdin.as_bytes()).await;
            }
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let listen = async { tokio::join!(keep_tail(stdout, &mut out), keep_tail(stderr, &mut err)) };
        let waited = {
            tokio::pin!(feed, listen);
            let mut listening = true;
            let mut feeding = true;
            let wait = async {
                let ended = child.wait();
                tokio::pin!(ended);
                loop {
                    tokio::select! {
                        ended = &mut ended => break ended,
                        _ = &mut listen, if listening => listening = false,
                        () = &mut feed, if feeding => feeding = false,
                    }
                }
            };
            let waited = timeout(self.timeout, wait).await;
            if waited.is_ok() && listening {
                let _last_words = timeout(LAST_WORDS, &mut listen).await;
            }
            waited
        };
        match waited {
            Ok(Ok(status)) => {
                let output = [err.as_slice(), out.as_slice()].join(&b' ');
                Ended::Exit { code: status.code(), output: String::from_utf8_lossy(&output).into_owned() }
            }
            Ok(Err(error)) => Ended::Failed(format!("cannot wait for {}: {error}", self.program.display())),
            Err(_elapsed) => {
                let _killed = child.kill().await;
                Ended::Late(self.timeout)
            }
        }
    }
}

/// Reads to the end and keeps the last [`MAX_OUTPUT`] bytes.
async fn keep_tail(pipe: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        tail.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let extra = tail.len().saturating_sub(MAX_OUTPUT);
        tail.drain(..extra);
    }
}

fn is_ours(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("LIFESIGN_")
}

/// `text` as an environment variable can hold it.
fn fit(text: &str) -> String {
    let mut end = text.len().min(MAX_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().replace('\0', "")
}

fn value<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
    alert.labels.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
}

impl Channel for Command {
    fn timeout(&self) -> Duration {
        // The run keeps its own deadline; killing and its last words come after it.
        self.timeout + Duration::from_secs(2)
    }

    fn send<'a>(&'a self, notification: &'a Notification, context: &'a Context<'a>) -> Sending<'a> {
        Box::pin(async move {
            let request = self.request(notification, context);
            judge(&self.run(&request).await, &self.hidden)
        })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments may hold a token; how many there are says enough.
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("env", &self.env.keys())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What the end of a run means. Exit code 0 is delivered. A program has no way to refuse a message for
/// good: 75 (`EX_TEMPFAIL`) and every other code, a signal and the timeout mean try again.
fn judge(ended: &Ended, hidden: &Hidden) -> Delivery {
    match ended {
        Ended::Exit { code: Some(0), output } => {
            Delivery::Delivered { answer: hidden.clean(&format!("exit code 0 {output}")) }
        }
        Ended::Exit { code: Some(code), output } => {
            Delivery::retry(hidden.clean(&format!("exit code {code} {output}")))
        }
        Ended::Exit { code: None, output } => {
            Delivery::retry(hidden.clean(&format!("ended by a signal {output}")))
        }
        Ended::Failed(why) => Delivery::retry(hidden.clean(why)),
        Ended::Late(limit) => Delivery::retry(format!("killed after {limit:?} without an end")),
    }
}

#[cfg(test)]
mod tests {
    use lifesign_core::model::IncidentId;
    use lifesign_lang::Lang;

    use super::*;
    use crate::samples;

    fn command() -> Command {
        Command {
            program: "notify".into(),
            arguments: vec!["--token=abc".to_owned()],
            env: [("TEAM".to_owned(), "ops".to_owned())].into(),
            folder: PathBuf::new(),
            timeout: Duration::from_secs(1),
            hidden: Hidden::default(),
        }
    }

    #[test]
    fn the_program_gets_the_message_and_its_parts() {
        let context = Context { attempt: 2, external_url: "https://lifesign.example.com", lang: Lang::En };
        let request = command().request(&samples::opening(), &context);
        let mut shown = request.stdin;
        for (name, value) in request.env {
            shown.push_str(&format!("{name}={value}\n"));
        }
        crate::golden::compare("command-opening.txt", shown.trim_end());
    }

    #[test]
    fn hostile_values_fit_into_an_environment() {
        let mut hostile = samples::mixed();
        hostile.incident = Some(IncidentId(u64::MAX));
        hostile.alerts[0].annotations[0].1 = format!("a\0{}", "长".repeat(100_000));
        let context = Context { attempt: 1, external_url: "", lang: Lang::En };
        let request = command().request(&hostile, &context);
        assert!(request.env.values().all(|value| value.len() <= MAX_VALUE && !value.contains('\0')));
    }

    #[test]
    fn only_exit_code_0_is_delivered_and_nothing_is_given_up() {
        let exit = |code, output: &str| Ended::Exit { code, output: output.to_owned() };
        let judge = |ended: &Ended| judge(ended, &Hidden::default());
        assert_eq!(
            judge(&exit(Some(0), "sent\n")),
            Delivery::Delivered { answer: "exit code 0 sent".to_owned() }
        );
        assert_eq!(judge(&exit(Some(75), "later")), Delivery::retry("exit code 75 later"));
        assert_eq!(judge(&exit(Some(1), "")), Delivery::retry("exit code 1"));
        assert_eq!(judge(&exit(None, "")), Delivery::retry("ended by a signal"));
        assert_eq!(
            judge(&Ended::Late(Duration::from_secs(10))),
            Delivery::retry("killed after 10s without an end")
        );
        assert!(matches!(judge(&Ended::Failed("no such file".to_owned())), Delivery::Retry { .. }));
    }

    #[test]
    fn what_is_written_wrong_is_said_at_its_place() {
        for (text, part) in [
            ("{}", "the key `run` is missing"),
            ("{ run: [] }", "must be 1 to 100 items"),
            ("{ run: notify.sh }", "expected a list"),
            ("{ run: [''] }", "expected the program and its arguments"),
            ("{ run: [x], env: { LIFESIGN_URL: y } }", "cannot be set"),
            ("{ run: [x], timeout: 1h }", "must be between 100ms and 5m"),
        ] {
            let said = KIND.read(text).unwrap_err().to_string();
            assert!(said.contains(part), "{text}\n{said}");
        }
    }

    #[test]
    fn arguments_are_not_shown() {
        let shown = format!("{:?}", command());
        assert!(!shown.contains("abc") && shown.contains("notify"), "{shown}");
    }
}
