//! What lifesign starts on and what it refuses, with words that name the way out; and that its secrets stay in
//! the data directory.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::json;
use support::{Hook, Lifesign, free_port, refused};

const SMALL: &str = "\
server: { listen: \"127.0.0.1:0\" }
services:
  - { id: web, heartbeat: { interval: 10m, timeout: 30m } }
";

/// [`SMALL`] with another data directory.
fn with_data_in(data: &Path) -> String {
    SMALL.replace("listen:", &format!("data_dir: {data:?}, listen:"))
}

fn no_change(_: &mut Command) {}

#[test]
fn a_second_lifesign_on_the_same_directory_is_refused_and_told_who_has_it() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = dir.path().join("data");
    let first = Lifesign::start(dir.path(), SMALL);
    let (code, said) = refused(elsewhere.path(), &with_data_in(&data), no_change);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&first.pid().to_string()), "{said}");
    assert!(said.contains(&*data.to_string_lossy()) && said.contains("data_dir"), "{said}");
    assert!(!said.contains(&first.token), "{said}");

    assert_eq!(first.get("/readyz").0, 200, "the first goes on");
    first.kill();
    // The dead one's lock is gone with it, its PID file means nothing.
    let next = Lifesign::start(dir.path(), SMALL);
    assert_eq!(next.get("/readyz").0, 200);
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::write(&data, "a file").unwrap();
    let (code, said) = refused(dir.path(), SMALL, no_change);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&*data.to_string_lossy()), "{said}");
    assert_eq!(std::fs::read_to_string(data).unwrap(), "a file");
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_directory_is_refused() {
    support::mounts::run_inside("inside_a_read_only_directory");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "the other half of a_read_only_directory_is_refused"]
fn inside_a_read_only_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // One that was in use, and one that is new.
    drop(Lifesign::start(dir.path(), SMALL));
    support::mounts::make_read_only(&data);
    for data in [data.clone(), data.join("below")] {
        let dir = tempfile::tempdir().unwrap();
        let (code, said) = refused(dir.path(), &with_data_in(&data), no_change);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&*data.to_string_lossy()) && said.contains("written"), "{said}");
        assert!(said.contains("data_dir"), "the way out: {said}");
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(Lifesign::start(dir.path(), SMALL));
    let file = dir.path().join("data").join("lifesign.db");
    let db = Connection::open(&file).unwrap();
    db.execute("UPDATE meta SET value = '77.1.2' WHERE key = 'written_by'", []).unwrap();
    db.pragma_update(None, "user_version", 9999).unwrap();
    db.pragma_update(None, "journal_mode", "DELETE").unwrap();
    db.close().unwrap();
    let before = std::fs::read(&file).unwrap();

    let (code, said) = refused(dir.path(), SMALL, no_change);
    assert_eq!(code, Some(1), "{said}");
    for part in ["lifesign.db", "77.1.2", "9999"] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert!(std::fs::read(&file).unwrap() == before, "it was changed");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = refused(dir.path(), &SMALL.replace("127.0.0.1:0", &address), no_change);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("server.listen"), "{said}");
}

/// The names of files and directories in and below `dir` with rights for others than the owner.
#[cfg(unix)]
fn open_to_others(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = Vec::new();
    let mut look = vec![dir.to_owned()];
    while let Some(path) = look.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            found.push(format!("{} {mode:o}", path.display()));
        }
        if metadata.is_dir() {
            look.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[cfg(unix)]
#[test]
fn what_is_in_the_data_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let lifesign = Lifesign::start(dir.path(), SMALL);
    lifesign.post("/api/v1/heartbeats", &json!({ "service_id": "web" }));
    let data = dir.path().join("data");
    let mode = |name| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("admin.token"), mode("supervised.token")), (0o600, 0o600));
    assert_eq!(open_to_others(&data), [""; 0]);
}

/// With everything logged, and through every kind of refusal.
#[test]
fn no_secret_is_ever_logged_or_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start();
    let secrets = ["written-t0ken-for-ci", "h00k-bearer-secret", "h00k-header-secret", "h00k-path-secret"];
    let [token, bearer, header, path] = secrets;
    // Written as a URL with a secret in it should be: elsewhere.
    let elsewhere = |name: &str, url: String| {
        let file = dir.path().join(name);
        std::fs::write(&file, url).unwrap();
        format!("{:?}", format!("${{file:{}}}", file.display()))
    };
    let heard = elsewhere("hook.url", format!("{}/{path}", hook.url));
    let unheard = elsewhere("nobody.url", format!("http://127.0.0.1:{}/{path}", free_port()));
    let text = format!(
        r#"{SMALL}  - id: worker
    unit: {{ process: ["${{self}}", sample, worker, --id, worker, --interval, 300ms] }}
    heartbeat: {{ interval: 300ms, timeout: 1s }}
access:
  tokens: [ {{ name: ci, role: admin, token: {token} }} ]
receivers:
  - name: hook
    webhook: {{ url: {heard}, token: {bearer}, headers: {{ X-Secret: {header} }} }}
  - name: nobody
    webhook: {{ url: {unheard}, token: {bearer} }}
"#
    );
    let lifesign = Lifesign::start_with(dir.path(), &text, |command| {
        command.env("LIFESIGN_LOG", "trace");
    });
    let data = dir.path().join("data");
    let supervised = std::fs::read_to_string(data.join("supervised.token")).unwrap().trim().to_owned();
    let mut secrets: Vec<String> = secrets.map(str::to_owned).to_vec();
    secrets.extend([lifesign.token.clone(), supervised]);
    let mut said: Vec<(&str, String)> = Vec::new();

    lifesign.wait_for_state("worker", "up", None);
    lifesign.post("/api/v1/heartbeats", &json!({ "service_id": "web", "status": "fail" }));
    hook.wait_for("web", 1);
    for path in ["/api/v1/services", "/api/v1/incidents", "/api/v1/notifications", "/metrics", "/readyz"] {
        said.push((path, lifesign.get(path).1.to_string()));
    }
    let (status, problem) = lifesign.get("/api/v1/services/nobody");
    assert_eq!(status, 404);
    said.push(("a 404", problem.to_string()));
    for arguments in [
        &["status"][..],
        &["--token", &secrets[0], "status", "nobody"],
        &["--token", "wrong-t0ken", "status"],
        &["explain", "web"],
        &["config", "show", "lifesign.yaml"],
    ] {
        let (_, out, error) = lifesign.cli(arguments);
        said.push(("the command line", out + &error));
    }
    std::fs::write(dir.path().join("lifesign.yaml"), text.replace("name: hook\n", "nam: hook\n")).unwrap();
    let (status, problem) = lifesign.post("/api/v1/reload", &json!({}));
    assert_eq!(status, 422, "{problem}");
    said.push(("a reload's errors", problem.to_string()));
    let (code, out) = refused(
        tempfile::tempdir().unwrap().path(),
        &text.replace("listen:", &format!("data_dir: {data:?}, listen:")),
        |command| {
            command.env("LIFESIGN_LOG", "trace");
        },
    );
    assert_eq!(code, Some(1), "{out}");
    said.push(("the refusal of a second start", out));
    drop(lifesign);

    let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    assert!(log.contains("DEBUG"), "everything is logged: {log}");
    said.push(("the log", log));
    for secret in secrets {
        for (what, text) in &said {
            if let Some(line) = text.lines().find(|line| line.contains(&secret)) {
                panic!("{secret} is told by {what}: {line}");
            }
        }
    }
}
