//! Enrolment as a user sees it: one command on each side, then certificates that renew themselves, speak for one host
//! only, and end at once when they are revoked.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::hosts::{Host, end, enrolled, pid, server, token};
use support::{KILL_REASONS, Lifesign, free_port, kill_process, wait_for};

/// Everything under `dir` that holds `secret`.
fn holding(dir: &Path, secret: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
            {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_host_is_enrolled_in_one_command_watched_revoked_at_once_and_enrolled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, tls) = (free_port(), free_port());
    let configuration = server(listen, tls, "");
    let first = Lifesign::start(dir.path(), &configuration);
    let address = format!("https://localhost:{tls}");
    let one = Host::new(dir.path(), "web-01");
    let used = token(&first, &[]);
    one.enrolled(&address, &used);
    let agent = one.run();
    first.wait_for_state("web", "up", None);
    assert_eq!(first.service("web")["host"], "web-01");
    wait_for("the list to say so", || (enrolled(&first, "web-01")["connected"] == true).then_some(()));

    // A kill over there is told here.
    let killed = wait_for("its process", || pid(&first, "web"));
    kill_process(killed);
    wait_for("the incident", || {
        let incidents = first.all("/api/v1/incidents");
        let mine = incidents.iter().find(|incident| incident["service_id"] == "web")?;
        assert!(KILL_REASONS.contains(&mine["reason"].as_str().unwrap()), "{mine}");
        mine["closed_at"].is_string().then_some(())
    });

    // The token is worth nothing any more, for nobody, and says so over a restart of the server.
    let two = Host::new(dir.path(), "web-02");
    let (code, said) = two.enroll(&address, &used);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("used by web-01") && said.contains("lifesign hosts token"), "{said}");
    let fresh = token(&first, &[]);
    first.kill();
    let server = Lifesign::start(dir.path(), &configuration);
    let (code, said) = two.enroll(&address, &used);
    assert!(code == 4 && said.contains("used by web-01"), "{said}");
    two.enrolled(&address, &fresh);
    server.wait_for_state("web", "up", None);

    // A revoked host is cut at once, and turned away from then on.
    wait_for("the link to the next server", || {
        (enrolled(&server, "web-01")["connected"] == true).then_some(())
    });
    let begun = Instant::now();
    let (status, answer) = server.post("/api/v1/hosts/web-01/revoke", &Value::Null);
    assert!(status == 200 && answer["connected"] == false, "{answer}");
    one.wait_until_it_says("No server hears this agent");
    let took = begun.elapsed();
    eprintln!("a revoked host was cut after {took:?}");
    // Long before either side would miss the other's beats.
    assert!(took < Duration::from_secs(4), "cut after {took:?}");
    one.wait_until_it_says("was revoked or replaced; enrol it anew");
    let standing = enrolled(&server, "web-01");
    assert!(standing["connected"] == false && standing["revoked_at"].is_string(), "{standing}");
    assert!(server.cli(&["hosts"]).1.contains("web-01  revoked at"));
    assert_eq!(server.cli(&["hosts", "revoke", "web-01"]).0, 0, "once more does no harm");
    assert_eq!(server.cli(&["hosts", "revoke", "web-77"]).0, 3, "nobody of that name");
    drop(agent);

    // Not with any token; with one by its name it comes back.
    let (code, said) = one.enroll(&address, &token(&server, &[]));
    assert!(code == 4 && said.contains("lifesign hosts token web-01"), "{said}");
    let named = token(&server, &["web-01"]);
    one.enrolled(&address, &named);
    let agent = one.run();
    server.wait_for_state("web", "up", None);
    wait_for("its link", || (enrolled(&server, "web-01")["connected"] == true).then_some(()));

    let audit = server.all("/api/v1/audit");
    for action in ["one-time token", "enrol", "revoke"] {
        assert!(audit.iter().any(|entry| entry["action"] == action), "{action} is not in the audit log");
    }
    end(&server, [agent]);
    drop(server);
    for token in [used, fresh, named] {
        let secret = token.split_once('.').unwrap().0;
        assert_eq!(holding(dir.path(), secret), Vec::<PathBuf>::new(), "a one-time token was kept");
    }
}

#[test]
fn an_enrolled_name_is_spoken_for_by_its_certificate_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, tls) = (free_port(), free_port());
    let server = Lifesign::start(dir.path(), &server(listen, tls, ""));
    let address = format!("https://localhost:{tls}");
    let one = Host::new(dir.path(), "web-01");
    one.enrolled(&address, &token(&server, &["web-01"]));

    // With the token of the configuration.
    let by_token = Host::new(dir.path(), "by-token");
    let authority = dir.path().join("data").join("authority.pem");
    std::fs::copy(authority, by_token.folder.join("ca.pem")).unwrap();
    let text = format!(
        "agent: {{ host: web-01, server: \"{address}\", ca: ca.pem, token: \"${{file:../data/admin.token}}\" }}\n"
    );
    std::fs::write(by_token.file(), text).unwrap();
    let first = by_token.run();
    by_token.wait_until_it_says("speaks with its certificate only");

    // With the certificate of another host.
    let other = Host::new(dir.path(), "web-02");
    let bound = token(&server, &["web-03"]);
    let (code, said) = other.enroll(&address, &bound);
    assert!(code == 4 && said.contains("for web-03 only"), "{said}");
    other.enrolled(&address, &token(&server, &["web-02"]));
    for file in [other.file(), other.folder.join("data").join("identity.json")] {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("web-02", "web-01")).unwrap();
    }
    let second = other.run();
    other.wait_until_it_says("its certificate is that of web-02");

    // Its own name in the file is another than the certificate's: told before anything is tried.
    let text = std::fs::read_to_string(one.file()).unwrap();
    std::fs::write(one.file(), text.replace("web-01", "web-09")).unwrap();
    let third = one.run();
    one.wait_until_it_says("was enrolled as web-01 and is called web-09 now");
    assert_eq!(enrolled(&server, "web-01")["connected"], false);
    drop((first, second, third));
}

#[test]
fn another_server_than_the_tokens_is_told_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (real, false_one) = (dir.path().join("real"), dir.path().join("false"));
    std::fs::create_dir_all(&real).unwrap();
    std::fs::create_dir_all(&false_one).unwrap();
    let (listen, port) = (free_port(), free_port());
    let middle = free_port();
    let real = Lifesign::start(&real, &server(listen, port, ""));
    let false_server = Lifesign::start(&false_one, &server(free_port(), middle, ""));
    let host = Host::new(dir.path(), "web-01");
    let token = token(&real, &[]);
    let (code, said) = host.enroll(&format!("https://localhost:{middle}"), &token);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nothing was said to it"), "{said}");
    for (address, words) in [
        (format!("https://localhost:{listen}"), "no TLS is spoken on this port"),
        (format!("http://localhost:{port}"), "enrolment needs TLS"),
        (format!("https://localhost:{}", free_port()), "is `lifesign server` running there"),
    ] {
        let (code, said) = host.enroll(&address, &token);
        assert!(code != 0 && said.contains(words), "{address}: {said}");
    }
    // The token was used by none of that. Whatever a server is asked stands in its log.
    host.enrolled(&format!("https://localhost:{port}"), &token);
    let log = |folder: &str| std::fs::read_to_string(dir.path().join(folder).join("stderr.log")).unwrap();
    assert!(log("real").contains("/api/v1/enrolment"));
    assert!(!log("false").contains("/api/v1/enrolment"));
    drop((real, false_server));
}

#[test]
fn a_certificate_is_renewed_while_the_link_stands() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, tls) = (free_port(), free_port());
    let configuration = server(listen, tls, ", agents_for: 12s");
    let first = Lifesign::start(dir.path(), &configuration);
    let host = Host::new(dir.path(), "web-01");
    host.enrolled(&format!("https://localhost:{tls}"), &token(&first, &[]));
    let identity = || std::fs::read_to_string(host.folder.join("data").join("identity.json")).unwrap();
    let original: Value = serde_json::from_str(&identity()).unwrap();
    let agent = host.run();
    first.wait_for_state("web", "up", None);
    host.wait_until_it_says("The certificate of this host was renewed");
    let renewed: Value = serde_json::from_str(&identity()).unwrap();
    for part in ["key", "certificate"] {
        assert_ne!(renewed[part], original[part], "the {part} is a new one");
    }
    assert_eq!(renewed["authority"], original["authority"]);
    assert_eq!(first.service("web")["state"], "up");
    let said = std::fs::read_to_string(host.log()).unwrap();
    assert_eq!(said.matches("A server hears this agent").count(), 1, "the link stood all the time: {said}");
    assert!(!said.contains("PRIVATE KEY"));

    // The next handshake is made with the new one.
    first.kill();
    let next = Lifesign::start(dir.path(), &configuration);
    wait_for("the link", || (enrolled(&next, "web-01")["connected"] == true).then_some(()));
    let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    assert!(log.contains("An agent came with its renewed certificate"), "{log}");
    end(&next, [agent]);
}
