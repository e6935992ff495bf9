//! Hosts that are enrolled at a server: each a folder with an agent's configuration, key and log.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Lifesign, kill_process, wait_for};

/// A server whose certificates are its own affair.
pub fn server(listen: u16, tls: u16, more: &str) -> String {
    format!(
        r#"
server:
  listen: "127.0.0.1:{listen}"
  tls: {{ listen: "127.0.0.1:{tls}"{more} }}
agent: {{ host: hq }}
log: {{ level: debug }}
services:
  - id: web
    hosts: ["web-*"]
    unit: {{ process: ["${{self}}", sample, worker, --id, web, --interval, 500ms] }}
    heartbeat: {{ interval: 500ms, timeout: 30s }}
    restart: {{ budget: 9 per 10m, backoff: 100ms..1s, prove_for: 1s }}
"#
    )
}

fn lifesign(dir: &Path, namespace: Option<&str>) -> Command {
    let program = env!("CARGO_BIN_EXE_lifesign");
    let mut command = match namespace {
        None => Command::new(program),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, program]);
            command
        }
    };
    command
        .args(["--lang", "en"])
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("LOCALAPPDATA", dir.join("state"))
        .env_remove("LIFESIGN_ENV")
        .env_remove("LIFESIGN_TOKEN")
        .env_remove("LIFESIGN_SERVER")
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("all_proxy")
        .stdin(Stdio::null());
    command
}

/// A host with its folder.
pub struct Host {
    pub name: &'static str,
    pub folder: PathBuf,
    /// Variables for each of its processes.
    pub environment: Vec<(&'static str, String)>,
    /// The network namespace it is in; none: that of the test.
    pub namespace: Option<String>,
}

impl Host {
    pub fn new(dir: &Path, name: &'static str) -> Self {
        let folder = dir.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { name, folder, environment: Vec::new(), namespace: None }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("agent.yaml")
    }

    /// `lifesign agent enroll`: its exit code, and all it said.
    pub fn enroll(&self, server: &str, token: &str) -> (i32, String) {
        let output = lifesign(&self.folder, self.namespace.as_deref())
            .args(["agent", "enroll", "--server", server, "--host", self.name, "-c"])
            .arg(self.file())
            // As the manual says: a command line can be seen by others.
            .env("LIFESIGN_TOKEN", token)
            .envs(self.environment.iter().cloned())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    pub fn enrolled(&self, server: &str, token: &str) {
        let (code, said) = self.enroll(server, token);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(&format!("{} is enrolled at {server}", self.name)), "{said}");
    }

    pub fn run(&self) -> Agent {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let child = lifesign(&self.folder, self.namespace.as_deref())
            .args(["agent", "-c"])
            .arg(self.file())
            .envs(self.environment.iter().cloned())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Agent(child)
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    #[track_caller]
    pub fn wait_until_it_says(&self, words: &str) {
        wait_for(words, || {
            std::fs::read_to_string(self.log()).unwrap_or_default().contains(words).then_some(())
        });
    }
}

/// A running `lifesign agent`.
pub struct Agent(pub Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A one-time token, as an operator gets it.
#[track_caller]
pub fn token(server: &Lifesign, host: &[&str]) -> String {
    let (code, token, hint) = server.cli(&[&["hosts", "token"], host].concat());
    assert_eq!(code, 0, "{hint}");
    assert!(hint.contains("lifesign agent enroll"), "{hint}");
    token.trim().to_owned()
}

pub fn enrolled(server: &Lifesign, host: &str) -> Value {
    let all = server.all("/api/v1/enrolment");
    all.into_iter().find(|enrolled| enrolled["host"] == host).unwrap_or_default()
}

pub fn pid(server: &Lifesign, id: &str) -> Option<u64> {
    let service = server.service(id);
    if service["state"] == "up" { service["pid"].as_u64() } else { None }
}

/// Ends agents, then what they supervise.
pub fn end(server: &Lifesign, agents: impl IntoIterator<Item = Agent>) {
    let pids: Vec<u64> =
        server.all("/api/v1/services").iter().filter_map(|service| service["pid"].as_u64()).collect();
    drop(agents.into_iter().collect::<Vec<_>>());
    pids.into_iter().for_each(kill_process);
}
