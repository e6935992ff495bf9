//! Every program in `examples/heartbeat` runs against a real agent and is heard.
//!
//! A language whose tool is missing is an error that names the command which installs it. PowerShell runs on Windows
//! only; so does C# by its pipe, while its socket is tried here with Mono. The program in C runs on both systems; for
//! Windows, `scripts/c-example-windows.sh` compiles it beforehand.
#![allow(clippy::unwrap_used, reason = "a test may end where it stands")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::{Access, Agent, Assignment, Assignments, LocalSetup, Place, SecretOf, Setup};
use lifesign_component::{Board, Supervisor};
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes on a loaded machine, a Go compiler included; no passing test waits it out.
const PATIENCE: Duration = Duration::from_secs(300);

#[cfg(unix)]
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(unix)]
fn example(name: &str) -> PathBuf {
    root().join("examples/heartbeat").join(name)
}

/// Runs what `program` makes of the agent's folder, and waits for its last heartbeat.
async fn is_heard(message: &str, program: impl FnOnce(&Path) -> Command) {
    let dir = tempfile::tempdir().unwrap();
    let (sender, mut inputs) = mpsc::channel(1024);
    let (_commands, receiver) = mpsc::channel(1);
    let mut setup = Setup::new("here".into(), dir.path(), sender, receiver);
    let place = Place {
        dir: dir.path().join("l"),
        name: format!("lifesign-example-{}", std::process::id()),
        access: Access::Owner,
    };
    setup.local = Some(LocalSetup {
        place: place.clone(),
        sockets: true,
        pipe: false,
        memory: Some(Duration::from_millis(5)),
        registry: None,
        notes: true,
        touched: BTreeMap::new(),
        files_every: Duration::from_millis(10),
        udp: None,
        strangers: false,
        rate: 1000,
        limits: lifesign_proto::Limits::default(),
        secret: SecretOf(Arc::new(|_| "unused".to_owned())),
    });
    let orders =
        Assignment { id: ServiceId::new("orders").unwrap(), unit: None, watchdog: None, checks: Vec::new() };
    setup.assignments = Assignments { services: vec![orders] };
    let mut supervisor = Supervisor::new(Board::default());
    supervisor.start(Agent::new(setup).component(), PATIENCE).await.unwrap();

    let mut command = program(dir.path());
    command.env("LIFESIGN_LOCAL", place.address()).env_remove("LIFESIGN_TOKEN");
    let ran = tokio::task::spawn_blocking(move || {
        let output = command.output();
        output.unwrap_or_else(|error| {
            panic!("{:?}: {error}; install it with: sh scripts/examples-setup.sh", command.get_program())
        })
    });
    let heard = async {
        loop {
            if let Some(Input::Beat(beat)) = inputs.recv().await
                && beat.progress == Some(10)
            {
                return beat;
            }
        }
    };
    let (output, beat) = timeout(PATIENCE, async { tokio::join!(ran, heard) }).await.unwrap();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(beat.service.as_str(), "orders");
    assert_eq!(beat.metrics, [("queue".into(), 12.5)]);
    assert_eq!(beat.message.as_deref(), Some(message));
    supervisor.stop().await;
}

#[tokio::test]
async fn c_is_heard_by_shared_memory() {
    is_heard("hello from C", |dir| {
        let mut run = Command::new(program_in_c(dir));
        run.arg("orders");
        run
    })
    .await;
}

/// Compiles it.
#[cfg(unix)]
fn program_in_c(dir: &Path) -> PathBuf {
    // Cargo puts the library beside the tests' own folder.
    let libraries = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let library = libraries.join("liblifesign_heart.a");
    assert!(library.exists(), "{} is missing: cargo build -p lifesign-client-ffi", library.display());
    let program = dir.join("beat");
    let mut compile = Command::new("cc");
    compile.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-D_POSIX_C_SOURCE=200809L", "-o"]);
    compile.arg(&program).arg(example("beat.c")).arg("-I").arg(root().join("crates/client-ffi/include"));
    compile.arg(library).args(["-lpthread", "-ldl", "-lm"]);
    let compiled = compile
        .output()
        .unwrap_or_else(|error| panic!("cc: {error}; install it with: sh scripts/examples-setup.sh"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    program
}

/// Finds it: no compiler runs under Wine.
#[cfg(windows)]
fn program_in_c(_dir: &Path) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join("beat-c.exe");
    assert!(program.exists(), "{} is missing: sh scripts/c-example-windows.sh", program.display());
    program
}

#[cfg(unix)]
#[tokio::test]
async fn python_is_heard_by_the_socket() {
    is_heard("hello from Python", |_| {
        let mut run = Command::new("python3");
        run.arg(example("beat.py")).arg("orders");
        run
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_shell_is_heard_by_its_notes() {
    is_heard("hello from a shell", |_| {
        let mut run = Command::new("sh");
        run.arg(example("beat.sh")).arg("orders");
        run
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn go_is_heard_by_the_socket() {
    is_heard("hello from Go", |dir| {
        let mut run = Command::new("go");
        run.arg("run").arg(example("beat.go")).arg("orders");
        run.env("GOCACHE", dir.join("go")).env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod");
        run
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn java_is_heard_by_the_socket() {
    is_heard("hello from Java", |_| {
        let mut run = Command::new("java");
        run.arg(example("Beat.java")).arg("orders");
        run
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn c_sharp_is_heard_by_the_socket() {
    is_heard("hello from C#", |dir| {
        let program = dir.join("beat.exe");
        let mut compile = Command::new("mcs");
        compile.arg(example("Beat.cs")).arg("-r:System.Core").arg(format!("-out:{}", program.display()));
        let compiled = compile
            .output()
            .unwrap_or_else(|error| panic!("mcs: {error}; install it with: sh scripts/examples-setup.sh"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stdout));
        let mut run = Command::new("mono");
        run.arg(program).arg("orders");
        run
    })
    .await;
}
