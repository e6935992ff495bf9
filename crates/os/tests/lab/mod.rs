//! A systemd of the test's own, and what its watcher has heard.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{Exit, Process, UnitReport, UnitState};
use lifesign_os::unit::{Scope, ServiceManager, Sink, Watch};
use tokio::sync::mpsc;

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// One lab; stopped with all its processes when dropped.
pub(crate) struct Lab {
    name: String,
    base: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("os-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { name, base: tempfile::tempdir().unwrap() };
        let started = lab.script(&["start", "user"]);
        assert!(
            started.status.success(),
            "these tests need root and a systemd to start (apt-get install -y systemd dbus util-linux): {}",
            String::from_utf8_lossy(&started.stderr)
        );
        lab
    }

    /// Its service manager.
    pub(crate) fn manager(&self) -> ServiceManager {
        ServiceManager::of(Scope::Address(self.bus()))
    }

    /// The address of its bus.
    pub(crate) fn bus(&self) -> String {
        format!("unix:path={}", self.dir().join("run/bus").display())
    }

    /// Writes the unit `name` and makes systemd read it.
    pub(crate) fn unit(&self, name: &str, service: &str) {
        self.write(name, service);
        self.systemctl(&["daemon-reload"]);
    }

    pub(crate) fn write(&self, name: &str, service: &str) {
        let text = format!("[Unit]\nDefaultDependencies=no\n[Service]\n{service}\n");
        std::fs::write(self.dir().join("units").join(name), text).unwrap();
    }

    pub(crate) fn systemctl(&self, args: &[&str]) -> String {
        let out = self.try_systemctl(args);
        assert!(out.status.success(), "systemctl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub(crate) fn try_systemctl(&self, args: &[&str]) -> Output {
        let mut all = vec!["exec", "systemctl", "--user"];
        all.extend(args);
        self.script(&all)
    }

    /// Starts a journal in the lab, and gives the folder of its files as this process sees it.
    pub(crate) fn journal(&self) -> PathBuf {
        let rules = "[Journal]\nStorage=volatile\nReadKMsg=no\nRateLimitBurst=0\n";
        std::fs::write(self.dir().join("etc/journald.conf"), rules).unwrap();
        // The journal looks there for which start of a unit a line is of.
        let pre = "sh -c 'ln -sfn $XDG_RUNTIME_DIR/systemd/units /run/systemd/units'";
        let exec = "/lib/systemd/systemd-journald\nStandardOutput=null\nStandardError=null";
        self.unit("journald.service", &format!("Type=notify\nExecStartPre={pre}\nExecStart={exec}"));
        self.systemctl(&["start", "journald.service"]);
        let pid = self.systemctl(&["show", "-p", "MainPID", "--value", "journald.service"]);
        PathBuf::from(format!("/proc/{}/root/run/log/journal", pid.trim()))
    }

    /// Kills the bus, as a crash would, and waits until systemd has seen it: a systemd that reads its units anew
    /// between the death and its news does not listen for the bus again.
    pub(crate) fn kill_bus(&self) {
        let pid = || self.systemctl(&["show", "-p", "MainPID", "--value", "dbus.service"]);
        let dead = pid();
        kill("KILL", &[dead.trim().parse().unwrap()]);
        let killed = Instant::now();
        while pid() == dead {
            assert!(killed.elapsed() < PATIENCE, "systemd has not seen the death of the bus");
        }
    }

    /// Enables the unit `name`, by systemd itself: `systemctl` would write into the machine's own folders.
    pub(crate) fn enable(&self, name: &str) {
        let manager =
            ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
        let call = ["EnableUnitFiles", "asbb", "1", name, "false", "false"];
        let enabled = self.script(&[&["exec", "busctl", "--user", "call"], &manager[..], &call].concat());
        assert!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
        self.systemctl(&["daemon-reload"]);
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir().join("units").join(name)).unwrap();
        self.systemctl(&["daemon-reload"]);
    }

    /// A fifo on which a unit waits (`read line <$XDG_RUNTIME_DIR/gate`).
    pub(crate) fn gate(&self) -> Gate {
        let path = self.dir().join("run/gate");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Gate(path)
    }

    fn dir(&self) -> PathBuf {
        self.base.path().join(format!("lifesign-systemd-{}", self.name))
    }

    fn script(&self, args: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/systemd-lab.sh");
        Command::new(script)
            .args(args)
            .env("LIFESIGN_LAB_NAME", &self.name)
            .env("LIFESIGN_LAB_BASE", self.base.path())
            .output()
            .unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let stopped = self.script(&["stop"]);
        if !stopped.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}

/// Holds units back until it is opened.
pub(crate) struct Gate(PathBuf);

impl Gate {
    /// Waits until somebody stands before it, and lets them through.
    pub(crate) fn open(self) {
        std::fs::write(self.0, "go\n").unwrap();
    }
}

/// A watch with everything it has heard.
pub(crate) struct Ear {
    pub(crate) watch: Option<Watch>,
    reports: mpsc::UnboundedReceiver<(Instant, UnitReport)>,
    pub(crate) heard: Arc<Mutex<Vec<UnitReport>>>,
    first_end: Option<Instant>,
    back: Option<UnitReport>,
}

impl Ear {
    pub(crate) fn on(manager: &ServiceManager, name: &str) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let heard = Arc::<Mutex<Vec<UnitReport>>>::default();
        let log = Arc::clone(&heard);
        let sink: Sink = Arc::new(move |report: UnitReport| {
            log.lock().unwrap().push(report.clone());
            // The test may have ended.
            let _ = sender.send((Instant::now(), report));
        });
        Self { watch: Some(manager.watch(name, sink)), reports, heard, first_end: None, back: None }
    }

    /// Waits for the next report that `wanted` takes, leaving out those before it.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&UnitReport) -> Option<T>,
    ) -> (Instant, T) {
        let search = async {
            loop {
                let (at, report) = match self.back.take() {
                    Some(report) => (Instant::now(), report),
                    None => self.reports.recv().await.expect("the watch has ended"),
                };
                if matches!(report.state, UnitState::Stopped { .. }) {
                    self.first_end.get_or_insert(at);
                }
                if let Some(found) = wanted(&report) {
                    return (at, found);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for {what}; heard {:#?}", self.heard.lock().unwrap()),
        }
    }

    /// When the first end was heard among the reports taken so far, with a cause or without.
    pub(crate) fn first_end(&self) -> Option<Instant> {
        self.first_end
    }

    /// Puts the newest report back, to be heard again.
    pub(crate) fn again(&mut self) {
        self.back = self.heard.lock().unwrap().last().cloned();
    }

    pub(crate) async fn running(&mut self) -> Process {
        self.until("a running process", |report| match report.state {
            UnitState::Running(process) => process,
            _ => None,
        })
        .await
        .1
    }

    /// The next end with a cause: when it was heard, whether on order, and how.
    pub(crate) async fn stopped(&mut self) -> (Instant, bool, Exit) {
        let (at, (ordered, exit)) = self
            .until("an end", |report| match &report.state {
                UnitState::Stopped { exit: Exit::Unseen, .. } => None,
                UnitState::Stopped { ordered, exit } => Some((*ordered, exit.clone())),
                _ => None,
            })
            .await;
        (at, ordered, exit)
    }
}

/// Sends a signal with kill(1).
pub(crate) fn kill(signal: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let sent = Command::new("kill").arg(format!("-{signal}")).args(&pids).status().unwrap();
    assert!(sent.success(), "kill -{signal} {pids:?}");
}

/// The middle one and the last of some measured times.
pub(crate) fn figures(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}
