//! Server and agents as processes of their own, over a real connection with TLS 1.3: what a user sees who has more than
//! one host.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Hook, KILL_REASONS, Lifesign, free_port, kill_process, wait_for};

const TOKEN: &str = "the-agents-own-token";

/// An authority's certificate, and a server's with its key, in `dir`.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), server.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

/// A server whose certificate and token the operator gave.
fn server(listen: u16, tls: u16) -> String {
    let configuration = support::hosts::server(listen, tls, ", certificate: server.pem, key: server.key");
    let token = r#"access: { tokens: [ { name: agents, role: admin, token: "${env:AGENTS_TOKEN}" } ] }"#;
    format!("{configuration}{token}\n")
}

/// A running `lifesign agent`.
struct Agent(Child);

impl Agent {
    fn start(dir: &Path, host: &str, server: &str) -> Self {
        Self::start_with(dir, host, server, "")
    }

    /// With `more` in its file.
    fn start_with(dir: &Path, host: &str, server: &str, more: &str) -> Self {
        let folder = dir.join(host);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("agent.yaml");
        let text = format!(
            "agent: {{ host: {host}, server: \"{server}\", ca: ../ca.pem, token: \"${{env:AGENTS_TOKEN}}\" }}\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lifesign"))
            .args(["--lang", "en", "agent", "-c"])
            .arg(&file)
            .env_remove("LIFESIGN_ENV")
            .env("AGENTS_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Agent {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process of a service's unit, as the server knows it while the service is up.
fn pid(server: &Lifesign, id: &str) -> Option<u64> {
    let service = server.service(id);
    if service["state"] == "up" { service["pid"].as_u64() } else { None }
}

/// Ends agents, then what they supervise: that would outlive them, and the story.
fn end(server: &Lifesign, agents: impl IntoIterator<Item = Agent>) {
    let pids: Vec<u64> =
        server.all("/api/v1/services").iter().filter_map(|service| service["pid"].as_u64()).collect();
    drop(agents.into_iter().collect::<Vec<_>>());
    pids.into_iter().for_each(kill_process);
}

#[test]
fn a_service_on_another_host_is_watched_restarted_and_lives_on_without_the_server() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (listen, tls) = (free_port(), free_port());
    let configuration = server(listen, tls);
    let first = Lifesign::start_with(dir.path(), &configuration, |command| {
        command.env("AGENTS_TOKEN", TOKEN);
    });
    let address = format!("https://localhost:{tls}");
    let mut agent = Agent::start(dir.path(), "web-01", &address);
    first.wait_for_state("web", "up", None);
    assert_eq!(first.service("web")["host"], "web-01");

    // A kill on the other host is told, and mended from here.
    let killed = wait_for("its process", || pid(&first, "web"));
    kill_process(killed);
    wait_for("the incident", || {
        let incidents = first.all("/api/v1/incidents");
        let mine = incidents.iter().find(|incident| incident["service_id"] == "web")?;
        assert!(KILL_REASONS.contains(&mine["reason"].as_str().unwrap()), "{mine}");
        mine["closed_at"].is_string().then_some(())
    });
    let second = wait_for("another process", || pid(&first, "web").filter(|pid| *pid != killed));

    // The server dies. The agent goes on, and the next server finds the same process.
    first.kill();
    let server = Lifesign::start_with(dir.path(), &configuration, |command| {
        command.env("AGENTS_TOKEN", TOKEN);
    });
    assert_eq!(wait_for("the same process", || pid(&server, "web")), second);

    // The agent dies: one incident, its host's.
    agent.kill();
    wait_for("the incident of the host", || {
        let open = |incident: &&serde_json::Value| incident["closed_at"].is_null();
        let of_host = |incident: &serde_json::Value| incident["service_id"] == "host.web-01";
        server.incidents().iter().filter(open).any(of_host).then_some(())
    });
    // It comes back, adopts what it started, and all is well.
    let agent = Agent::start(dir.path(), "web-01", &address);
    server.wait_for_state("web", "up", None);
    assert_eq!(wait_for("the process it left", || pid(&server, "web")), second);
    end(&server, [agent]);
}

#[test]
fn while_no_server_is_there_the_agent_restarts_and_tells_by_itself_and_the_next_server_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (listen, tls) = (free_port(), free_port());
    let configuration = server(listen, tls);
    let start = || {
        Lifesign::start_with(dir.path(), &configuration, |command| {
            command.env("AGENTS_TOKEN", TOKEN);
        })
    };
    let first = start();
    let mut hook = Hook::start();
    let receivers = format!("receivers: [ {{ name: hook, webhook: {{ url: \"{}\" }} }} ]\n", hook.url)
        + "routes: [ { receivers: [hook], group_wait: 100ms } ]\n";
    let agent = Agent::start_with(dir.path(), "web-01", &format!("https://localhost:{tls}"), &receivers);
    let killed = wait_for("its process", || pid(&first, "web"));
    first.kill();
    let said = || std::fs::read_to_string(dir.path().join("web-01").join("log")).unwrap_or_default();
    wait_for("the agent to be alone", || said().contains("No server hears this agent").then_some(()));

    // Nobody else is there who could.
    kill_process(killed);
    let told = hook.wait_for("web", 2);
    let statuses: Vec<&serde_json::Value> = told.iter().map(|(_, body)| &body["status"]).collect();
    assert_eq!(statuses, ["firing", "resolved"], "{told:?}");
    assert_eq!(told[0].1["commonLabels"]["host"], "web-01");
    assert_eq!(said().matches("it restarts by itself").count(), 1, "{}", said());

    // The next server finds the new process, hears that it was restarted, and does not do it again.
    let server = start();
    let second = wait_for("another process", || pid(&server, "web").filter(|pid| *pid != killed));
    wait_for("the audit log to say so", || {
        let mine = |entry: &&serde_json::Value| entry["action"] == "restart" && entry["target"] == "web";
        let audit = server.all("/api/v1/audit");
        let all: Vec<_> = audit.iter().filter(mine).collect();
        assert!(all.len() <= 1, "{all:?}");
        all.iter().any(|entry| entry["by"] == "agent on web-01").then_some(())
    });
    assert_eq!(wait_for("the same process", || pid(&server, "web")), second);
    end(&server, [agent]);
}

#[test]
fn an_agent_that_is_alone_leaves_in_peace_what_somebody_has_paused() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (listen, tls) = (free_port(), free_port());
    let configuration = server(listen, tls);
    let start = || {
        Lifesign::start_with(dir.path(), &configuration, |command| {
            command.env("AGENTS_TOKEN", TOKEN);
        })
    };
    let first = start();
    let agent = Agent::start(dir.path(), "web-01", &format!("https://localhost:{tls}"));
    let killed = wait_for("its process", || pid(&first, "web"));
    let said = || std::fs::read_to_string(dir.path().join("web-01").join("log")).unwrap_or_default();
    let knows = |times: usize| {
        let all = || said().matches("The server says which services are paused services=1").count();
        wait_for("the agent to know of the pause", || (all() == times).then_some(()));
    };
    assert_eq!(first.post("/api/v1/services/web/pause", &serde_json::json!({})).0, 200);
    knows(1);
    first.kill();
    kill_process(killed);
    // It judges by itself ten seconds after it has lost its server, and its first back-off is short.
    let begun = std::time::Instant::now();
    wait_for("fifteen seconds", || (begun.elapsed().as_secs() >= 15).then_some(()));
    assert!(!said().contains("it restarts by itself"), "{}", said());
    // The next server knows of the pause, shows it, and tells the agent anew.
    let server = start();
    knows(2);
    wait_for("the death", || (server.service("web")["state"] == "down").then_some(()));
    assert_eq!(server.service("web")["paused"], true);
    end(&server, [agent]);
}

#[test]
fn on_several_hosts_a_service_has_the_host_in_its_id_and_an_agent_that_is_turned_away_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (listen, tls) = (free_port(), free_port());
    let server = Lifesign::start_with(dir.path(), &server(listen, tls), |command| {
        command.env("AGENTS_TOKEN", TOKEN);
    });
    let address = format!("https://localhost:{tls}");
    let one = Agent::start(dir.path(), "web-01", &address);
    let two = Agent::start(dir.path(), "web-02", &address);
    server.wait_for_state("web@web-01", "up", None);
    server.wait_for_state("web@web-02", "up", None);
    assert_eq!(server.get("/api/v1/services/web").0, 404);

    let said = |host: &str| std::fs::read_to_string(dir.path().join(host).join("log")).unwrap_or_default();
    for (host, url, why) in [
        ("hq", &address, "the server itself watches a host of this name"),
        ("web-03", &format!("https://localhost:{listen}"), "TLS"),
    ] {
        let _agent = Agent::start(dir.path(), host, url);
        wait_for(why, || said(host).contains(why).then_some(()));
    }
    end(&server, [one, two]);
}
