//! A running lifesign and a webhook receiver for the stories, as a user would have them.
#![allow(dead_code, unreachable_pub, reason = "each story uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic, and what led to it, is how a test fails"
)]

pub mod hosts;
pub mod mailbox;
#[cfg(target_os = "linux")]
pub mod mounts;
#[cfg(target_os = "linux")]
pub mod system_lab;
pub mod trap;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a story waits for any one thing. Reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What [`kill_process`] may look like. Windows knows a kill only by the exit code that the killer chose:
/// its own `taskkill` chooses 1, Wine's 0.
pub const KILL_REASONS: &[&str] = if cfg!(windows) { &["crashed", "exited"] } else { &["killed"] };

/// A TCP port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `look` finds something. Looks often; never sleeps blindly for an outcome.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `lifesign up` with this configuration in `dir`, not started yet. What it says goes to `stdout.log` and
/// `stderr.log` there.
pub fn up(dir: &Path, configuration: &str) -> Command {
    let file = dir.join("lifesign.yaml");
    std::fs::write(&file, configuration).unwrap();
    let log = |name| std::fs::OpenOptions::new().create(true).append(true).open(dir.join(name)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifesign"));
    command
        .args(["--lang", "en", "up", "-c"])
        .arg(&file)
        .env_remove("LIFESIGN_ENV")
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("LOCALAPPDATA", dir.join("state"))
        .stdin(Stdio::null())
        .stdout(log("stdout.log"))
        .stderr(log("stderr.log"));
    command
}

/// Runs `lifesign up` that is to end by itself, in a `dir` where none runs; its exit code and all it said.
#[track_caller]
pub fn refused(dir: &Path, configuration: &str, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let mut command = up(dir, configuration);
    change(&mut command);
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = |name| std::fs::read_to_string(dir.join(name)).unwrap();
    let said = said("stdout.log") + &said("stderr.log");
    assert!(status.is_some(), "lifesign did not refuse: {said}");
    (status.and_then(|status| status.code()), said)
}

/// A running `lifesign up`.
pub struct Lifesign {
    child: Child,
    pub base: String,
    pub token: String,
    pub dir: PathBuf,
    pub banner: String,
    agent: ureq::Agent,
}

impl Lifesign {
    /// Starts lifesign with this configuration in `dir` and waits until it says where it is.
    pub fn start(dir: &Path, configuration: &str) -> Self {
        Self::start_with(dir, configuration, |_| {})
    }

    /// [`Lifesign::start`] with a change to the command, such as its environment.
    pub fn start_with(dir: &Path, configuration: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = up(dir, configuration);
        command.stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        let mut base = None;
        for line in lines.by_ref().map_while(Result::ok) {
            banner.push_str(&line);
            banner.push('\n');
            if let Some((_, url)) = line.split_once("Dashboard: ") {
                base = Some(url.trim().to_owned());
            }
            if line.contains("Ctrl+C") {
                break;
            }
        }
        let Some(base) = base else {
            let log = std::fs::read_to_string(dir.join("stderr.log")).unwrap_or_default();
            panic!("lifesign did not start: {banner}\n{log}");
        };
        // Read on, or a full pipe would stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let token = std::fs::read_to_string(dir.join("data").join("admin.token")).unwrap().trim().to_owned();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        Self { child, base, token, dir: dir.to_owned(), banner, agent }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Status and JSON of a GET.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut response = request.header("Authorization", format!("Bearer {}", self.token)).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Status and JSON of a POST.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.base));
        let mut response = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .send(body.to_string())
            .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Sends a POST and does not wait for the answer. The connection lives as long as what is returned.
    pub fn post_blindly(&self, path: &str, body: &Value) -> TcpStream {
        let (host, body) = (self.base.trim_start_matches("http://"), body.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len(),
        );
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Every item of a list, oldest first, over all its pages.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.get(&format!("{path}?limit=100{cursor}"));
            assert_eq!(status, 200, "{page}");
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        items.reverse();
        items
    }

    pub fn service(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/services/{id}")).1
    }

    /// Waits until a service is in a state, and for this reason where one is given.
    #[track_caller]
    pub fn wait_for_state(&self, id: &str, state: &str, reason: Option<&str>) -> Value {
        let mut last = Value::Null;
        wait_for(&format!("{id} is {state} {reason:?}"), || {
            last = self.service(id);
            let right = last["state"] == state && reason.is_none_or(|reason| last["reason"] == reason);
            right.then(|| last.clone())
        })
    }

    pub fn incidents(&self) -> Vec<Value> {
        self.get("/api/v1/incidents").1["items"].as_array().cloned().unwrap_or_default()
    }

    /// An incident with its timeline.
    pub fn incident(&self, id: &Value) -> Value {
        self.get(&format!("/api/v1/incidents/{id}")).1
    }

    /// Runs the command line against this lifesign, without being told server or token.
    pub fn cli(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_lifesign"))
            .args(["--lang", "en", "--server", &self.base])
            .args(arguments)
            .env("XDG_STATE_HOME", self.dir.join("state"))
            .env("LOCALAPPDATA", self.dir.join("state"))
            .env_remove("LIFESIGN_TOKEN")
            .env_remove("LIFESIGN_SERVER")
            .current_dir(&self.dir)
            .output()
            .unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Ends it without any chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Lifesign {
    fn drop(&mut self) {
        // One that has ended is not told to stop: its number may be another's by now.
        if let Ok(None) = self.child.try_wait() {
            // Supervised processes must not outlive the story.
            let services = self.get("/api/v1/services").1;
            let items = services["items"].as_array().cloned().unwrap_or_default();
            let pids: Vec<u64> = items.iter().filter_map(|service| service["pid"].as_u64()).collect();
            ask_to_stop(&mut self.child);
            for pid in pids {
                kill_process(pid);
            }
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default();
            eprintln!("--- lifesign's log ---\n{log}");
        }
    }
}

#[cfg(unix)]
fn ask_to_stop(child: &mut Child) {
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let end = Instant::now() + Duration::from_secs(15);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(windows)]
fn ask_to_stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Kills a process as an outsider would: `kill -9`, or `taskkill /F`.
pub fn kill_process(pid: u64) {
    let pid = pid.to_string();
    let status = if cfg!(windows) {
        Command::new("taskkill")
            .args(["/F", "/PID", &pid])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    } else {
        Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status()
    };
    drop(status);
}

/// A webhook receiver that keeps what it gets.
pub struct Hook {
    pub url: String,
    received: mpsc::Receiver<(String, Value)>,
    pub all: Vec<(String, Value)>,
}

impl Hook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    if let Some(message) = read_request(&stream) {
                        let _ = (&stream).write_all(
                            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
                        );
                        let _ = sender.send(message);
                    }
                });
            }
        });
        Self { url, received, all: Vec::new() }
    }

    /// Waits until `count` messages about a service have come, and returns them.
    #[track_caller]
    pub fn wait_for(&mut self, service: &str, count: usize) -> Vec<(String, Value)> {
        wait_for(&format!("{count} notifications about {service}"), || {
            self.all.extend(self.received.try_iter());
            let mine: Vec<(String, Value)> = self
                .all
                .iter()
                .filter(|(_, body)| body["commonLabels"]["service"] == service)
                .cloned()
                .collect();
            (mine.len() >= count).then_some(mine)
        })
    }
}

/// Reads one request; returns its idempotency key and body.
pub fn read_request(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "idempotency-key" => key = value.trim().to_owned(),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((key, serde_json::from_slice(&body).ok()?))
}
