//! A system manager for a story: systemd as process 1, its bus, polkit and journal, and lifesign in /usr/local/bin.

use std::path::Path;
use std::process::{Command, Output};

/// Where the lab has the program under test.
pub const LIFESIGN: &str = "/usr/local/bin/lifesign";

/// A system manager of the test's own; stopped with all its processes when dropped.
pub struct Lab {
    name: String,
    base: tempfile::TempDir,
}

impl Lab {
    pub fn start(name: &str) -> Self {
        let lab = Self { name: format!("{name}-{}", std::process::id()), base: tempfile::tempdir().unwrap() };
        let started = lab.script(&["start", "system"]);
        assert!(
            started.status.success(),
            "this story needs root and a systemd to start (apt-get install -y systemd dbus polkitd util-linux): {}",
            String::from_utf8_lossy(&started.stderr)
        );
        lab.run(&["cp", env!("CARGO_BIN_EXE_lifesign"), LIFESIGN]);
        lab.run(&["mkdir", "-p", "/etc/lifesign"]);
        lab
    }

    fn script(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/systemd-lab.sh");
        Command::new(script)
            .args(arguments)
            .env("LIFESIGN_LAB_NAME", &self.name)
            .env("LIFESIGN_LAB_BASE", self.base.path())
            .env_remove("LIFESIGN_ENV")
            .output()
            .unwrap()
    }

    /// Runs a command inside; its exit code and all it said.
    pub fn try_run(&self, command: &[&str]) -> (i32, String) {
        let mut all = vec!["exec"];
        all.extend(command);
        let output = self.script(&all);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    pub fn run(&self, command: &[&str]) -> String {
        let (code, said) = self.try_run(command);
        assert_eq!(code, 0, "{command:?}: {said}");
        said
    }

    pub fn lifesign(&self, arguments: &[&str]) -> (i32, String) {
        let mut all = vec![LIFESIGN, "--lang", "en", "service"];
        all.extend(arguments);
        self.try_run(&all)
    }

    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        let (code, said) = self.lifesign(arguments);
        assert_eq!(code, 0, "service {arguments:?}: {said}");
        said
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.base.path().join("text");
        std::fs::write(&file, text).unwrap();
        self.run(&["install", "-m", "755", file.to_str().unwrap(), path]);
    }

    pub fn show(&self, unit: &str, property: &str) -> String {
        self.run(&["systemctl", "show", "-p", property, "--value", unit]).trim().to_owned()
    }

    /// How much is open to the unit, from 0 to 10, as `systemd-analyze security` counts.
    pub fn exposure(&self, unit: &str) -> f64 {
        let said = self.run(&["systemd-analyze", "security", "--no-pager", unit]);
        let (_, level) = said.rsplit_once(&format!("Overall exposure level for {unit}: ")).expect("a level");
        level.split(' ').next().unwrap().parse().unwrap()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.try_run(&["test", "-e", path]).0 == 0
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.try_run(&["journalctl", "--no-pager", "-n", "60"]).1);
        }
        let stopped = self.script(&["stop"]);
        if !stopped.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}
