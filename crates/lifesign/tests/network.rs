//! Server and agents over a bad network: each agent in a network namespace of its own, its line to the server with loss,
//! delay and jitter, cut, and open one way only. Needs root, iproute2 and Python.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::hosts::{Agent, Host, end, enrolled, pid, token};
use support::{Lifesign, free_port, wait_for};

/// Hosts on a bad network. The server is in the namespace of the test, at `.1`.
struct Network {
    relay: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    namespaces: Vec<String>,
    third: u32,
}

impl Network {
    fn open(hosts: &[&str]) -> Self {
        let id = std::process::id();
        let third = id % 250;
        let namespaces: Vec<String> = hosts.iter().map(|host| format!("lifesign-{id}-{host}")).collect();
        for namespace in &namespaces {
            ip(&["netns", "add", namespace]);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/network.py");
        let places = namespaces.iter().zip(11..).map(|(name, last)| format!("{name}=10.77.{third}.{last}"));
        let mut relay = Command::new("python3")
            .arg(script)
            .arg(format!("lsgn{}", id % 100_000))
            .arg(format!("=10.77.{third}.1"))
            .args(places)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("python3: {error}; install it: apt-get install python3"));
        let (commands, answers) = (relay.stdin.take().unwrap(), relay.stdout.take().unwrap());
        let mut network = Self { relay, commands, answers: BufReader::new(answers), namespaces, third };
        network.answered("ready");
        network
    }

    #[track_caller]
    fn answered(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            expected,
            "the network did not open: it needs root, /dev/net/tun, and apt-get install iproute2 python3"
        );
    }

    /// Changes the line of a host: `loss=5 delay=40`.
    #[track_caller]
    fn line(&mut self, host: usize, words: &str) {
        writeln!(self.commands, "10.77.{}.{} {words}", self.third, host + 11).unwrap();
        self.answered("changed");
    }

    fn server(&self) -> String {
        format!("10.77.{}.1", self.third)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("ip: {error}; install it: apt-get install iproute2"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {said}; namespaces need root");
}

/// A server with a service whose timeout is longer than a host takes to be called gone (17 s).
fn server(address: &str, listen: u16, tls: u16) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:{listen}", tls: {{ listen: "{address}:{tls}" }} }}
agent: {{ host: hq }}
services:
  - id: web
    hosts: ["web-*"]
    unit: {{ process: ["${{self}}", sample, worker, --id, web, --interval, 500ms] }}
    heartbeat: {{ interval: 500ms, timeout: 20s, retries: 1 }}
"#
    )
}

/// Two enrolled hosts, watched over lines with these properties.
struct Story {
    _dir: tempfile::TempDir,
    configuration: String,
    server: Option<Lifesign>,
    network: Network,
    agents: Vec<Agent>,
}

impl Story {
    fn begin(lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut network = Network::open(&["web-01", "web-02"]);
        let (listen, tls) = (free_port(), free_port());
        let configuration = server(&network.server(), listen, tls);
        let server = Lifesign::start(dir.path(), &configuration);
        let address = format!("https://{}:{tls}", network.server());
        let mut agents = Vec::new();
        for (at, name) in ["web-01", "web-02"].into_iter().enumerate() {
            network.line(at, lines);
            let mut host = Host::new(dir.path(), name);
            host.namespace = Some(network.namespaces[at].clone());
            host.enrolled(&address, &token(&server, &[]));
            agents.push(host.run());
        }
        let story = Self { _dir: dir, configuration, server: Some(server), network, agents };
        story.is_well();
        story
    }

    fn server(&self) -> &Lifesign {
        self.server.as_ref().unwrap()
    }

    #[track_caller]
    fn is_well(&self) {
        for host in ["web-01", "web-02"] {
            wait_for("its link", || (enrolled(self.server(), host)["connected"] == true).then_some(()));
            self.server().wait_for_state(&format!("web@{host}"), "up", None);
        }
        wait_for("no open incident", || self.open().is_empty().then_some(()));
    }

    /// The services with an open incident.
    fn open(&self) -> Vec<String> {
        let open = |incident: &&Value| incident["closed_at"].is_null();
        let incidents = self.server().incidents();
        incidents.iter().filter(open).map(|one| one["service_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the host is called gone; meanwhile nothing else is.
    #[track_caller]
    fn loses(&self, host: &str, other: &str) {
        let id = format!("host.{host}");
        wait_for("the incident of the host", || {
            let open = self.open();
            assert!(open.iter().all(|one| *one == id), "{open:?}");
            (!open.is_empty()).then_some(())
        });
        self.server().wait_for_state(&format!("web@{host}"), "unknown", Some("host_unreachable"));
        assert_eq!(self.server().service(&format!("web@{other}"))["state"], "up");
    }

    /// No service was ever blamed for its line.
    #[track_caller]
    fn blamed_hosts_only(&self) {
        let all = self.server().all("/api/v1/incidents");
        let blamed: Vec<&Value> =
            all.iter().filter(|one| !one["service_id"].as_str().unwrap().starts_with("host.")).collect();
        assert!(blamed.is_empty(), "{blamed:#?}");
    }

    fn end(mut self) {
        self.blamed_hosts_only();
        let agents = std::mem::take(&mut self.agents);
        end(self.server(), agents);
    }
}

#[test]
fn a_line_that_loses_packets_is_no_trouble_and_one_that_is_cut_is_one_of_its_host_alone() {
    let mut story = Story::begin("loss=3 delay=20 jitter=15");
    let first = wait_for("its process", || pid(story.server(), "web@web-01"));

    // Cut both ways.
    story.network.line(0, "loss=100");
    story.loses("web-01", "web-02");
    story.network.line(0, "loss=3");
    story.is_well();
    assert_eq!(pid(story.server(), "web@web-01"), Some(first), "it was not touched");

    // Half open: what this one sends is lost, and it hears the server all the time.
    story.network.line(1, "up=100");
    story.loses("web-02", "web-01");
    story.network.line(1, "up=0");
    story.is_well();

    // The other half.
    story.network.line(1, "down=100");
    story.loses("web-02", "web-01");
    story.network.line(1, "down=0");
    story.is_well();
    story.end();
}

#[test]
fn a_side_that_reads_nothing_and_a_server_that_dies_under_load_cost_no_service_its_good_name() {
    let mut story = Story::begin("loss=2 delay=30 jitter=20");
    let processes = || {
        let pid = |host: &str| wait_for("its process", || pid(story.server(), &format!("web@{host}")));
        [pid("web-01"), pid("web-02")]
    };
    let first = processes();

    // An agent that reads and says nothing, with its connection open.
    let stopped = story.agents[0].0.id();
    signal(stopped, "STOP");
    story.loses("web-01", "web-02");
    signal(stopped, "CONT");
    story.is_well();
    assert_eq!(processes(), first);

    // A short silence is nobody's fault.
    story.network.line(1, "loss=100");
    let silent = Instant::now();
    while silent.elapsed() < Duration::from_secs(6) {
        assert_eq!(story.open(), [""; 0]);
        assert_ne!(story.server().service("web@web-02")["state"], "down");
    }
    story.network.line(1, "loss=2");
    story.is_well();

    // The server dies at once, twice, and the next one finds everything as it was.
    for _ in 0..2 {
        story.server.take().unwrap().kill();
        story.server = Some(Lifesign::start(story._dir.path(), &story.configuration));
        story.is_well();
    }
    let processes = || {
        let pid = |host: &str| wait_for("its process", || pid(story.server(), &format!("web@{host}")));
        [pid("web-01"), pid("web-02")]
    };
    assert_eq!(processes(), first);
    story.end();
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success());
}
