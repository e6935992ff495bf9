//! The wrapper of other programs, without a service manager: a program that pings as Healthchecks wants it is heard
//! unchanged, its silence too, and by the wrapper that adopts it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::wait_for;

/// Pings until a file named `hang` is there; then it lives on in silence. Each run and each ping leaves a line.
const PINGS: &str = "
import os, time, urllib.request
print('begun', os.getpid(), flush=True)
while True:
    if not os.path.exists('hang'):
        try:
            answer = urllib.request.urlopen(os.environ['HC_PING_URL'], data=b'well').read().decode()
            print('told', answer, flush=True)
        except OSError as error:
            print('untold', error, flush=True)
    time.sleep(0.1)
";

struct Wrapper(Child);

impl Wrapper {
    fn start(dir: &Path) -> Self {
        let there = Command::new("python3").arg("--version").output().is_ok();
        assert!(there, "python3 is missing; install it with: sh scripts/examples-setup.sh");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifesign"));
        command.args(["service", "run-wrapped", "orders", "--heartbeat", "1s", "--data-dir"]).arg(dir);
        command.args(["--", "python3", "-c", PINGS]).stdin(Stdio::null());
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(dir.join("wrapper.log")).unwrap();
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Ends in order what a failed test leaves behind.
impl Drop for Wrapper {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
}

fn lines(dir: &Path, word: &str) -> usize {
    let output = std::fs::read_to_string(dir.join("output.log")).unwrap_or_default();
    output.lines().filter(|line| line.starts_with(word)).count()
}

#[test]
fn a_program_that_pings_is_heard_and_its_silence_is_a_hang() {
    let dir = tempfile::tempdir().unwrap();
    let wrapper = Wrapper::start(dir.path());
    // Far longer than the heart may be silent.
    wait_for("many pings", || (lines(dir.path(), "told OK") >= 50).then_some(()));
    assert_eq!(lines(dir.path(), "begun"), 1, "it was never silent, so it is the first still");
    // The wrapper dies; its program goes on, and the next wrapper hears it where it was told to ping.
    wrapper.kill();
    let told = lines(dir.path(), "told OK");
    let wrapper = Wrapper::start(dir.path());
    wait_for("pings again", || {
        (lines(dir.path(), "told OK") >= told + 40 || lines(dir.path(), "begun") > 1).then_some(())
    });
    assert_eq!(lines(dir.path(), "begun"), 1, "it was adopted and heard");
    std::fs::write(dir.path().join("hang"), "").unwrap();
    wait_for("another run", || (lines(dir.path(), "begun") > 1).then_some(()));
    let log = std::fs::read_to_string(dir.path().join("wrapper.log")).unwrap();
    assert!(log.contains("Program hangs"), "{log}");
    drop(wrapper);
}
