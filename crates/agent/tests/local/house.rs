//! An agent whose local ways are open, and programs that send.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{SocketAddr, UdpSocket};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lifesign_agent::{
    Access, Agent, Assignment, Assignments, LocalSetup, Place, SecretOf, Setup, Tally, UnitKind, Way,
};
use lifesign_component::{Board, Supervisor};
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use tempfile::TempDir;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes on a loaded machine; no passing test waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long an agent may take to stop before it is left alone.
const STOPPING: Duration = Duration::from_secs(20);

pub(crate) fn id(text: &str) -> ServiceId {
    ServiceId::new(text).unwrap()
}

/// A running agent. Dropping it stops it, so that a test that fails leaves nobody at work in its folder.
pub(crate) struct House {
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) tally: Arc<Tally>,
    /// What the test is at, for the words of one that fails.
    pub(crate) scene: &'static str,
    /// `None`: it was stopped.
    supervisor: Option<Supervisor>,
    _commands: mpsc::Sender<lifesign_agent::Command>,
}

/// What a house is built from.
pub(crate) struct Plan {
    pub(crate) dir: TempDir,
    pub(crate) setup: LocalSetup,
    pub(crate) units: BTreeMap<ServiceId, UnitKind>,
}

impl Plan {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Somebody else must be able to get as far as the ways' own doors.
        open_to_all(dir.path());
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let name = format!("lifesign-test-{}-{}", std::process::id(), port.port());
        let setup = LocalSetup {
            place: Place { dir: dir.path().join("l"), name, access: Access::Owner },
            sockets: true,
            pipe: true,
            memory: Some(Duration::from_millis(5)),
            registry: cfg!(windows).then(|| format!(r"HKCU\SOFTWARE\lifesign-test-{}", port.port())),
            notes: true,
            touched: BTreeMap::new(),
            files_every: Duration::from_millis(10),
            udp: Some(port),
            strangers: false,
            rate: 1000,
            limits: lifesign_proto::Limits::default(),
            secret: SecretOf(Arc::new(|service| format!("secret-of-{service}"))),
        };
        Self { dir, setup, units: BTreeMap::new() }
    }

    pub(crate) async fn build(&self) -> House {
        let (sender, inputs) = mpsc::channel(4096);
        let (commands, receiver) = mpsc::channel(16);
        let mut setup = Setup::new("here".into(), self.dir.path(), sender, receiver);
        setup.local = Some(self.setup.clone());
        setup.sample_every = Duration::from_millis(50);
        let services = ["orders", "victim"].map(|name| Assignment {
            id: id(name),
            unit: self.units.get(&id(name)).cloned(),
            watchdog: None,
            checks: Vec::new(),
        });
        setup.assignments = Assignments { services: services.into() };
        let agent = Agent::new(setup);
        let tally = agent.tally();
        let mut supervisor = Supervisor::new(Board::default());
        supervisor.start(agent.component(), PATIENCE).await.unwrap();
        House { inputs, tally, scene: "", supervisor: Some(supervisor), _commands: commands }
    }

    /// The arguments after the count and the gap for `way`.
    pub(crate) fn place(&self, way: &str, service: &str) -> String {
        let dir = &self.setup.place.dir;
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        match way {
            "datagram" | "junk-datagram" => path(dir.join("datagram")),
            "junk-stream" | "crowd" => path(dir.join("stream")),
            "junk-memory" => path(dir.join("memory").join(service)),
            "notify" | "junk-notify" => path(dir.join("notify").join(service)),
            "file" | "junk-file" => path(dir.join("notes").join(service)),
            "pipe-by-hand" | "junk-pipe" => format!(r"\\.\pipe\{}", self.setup.place.name),
            "udp" | "junk-udp" => format!("{} secret-of-{service}", self.udp().port()),
            _ => String::new(),
        }
    }

    fn udp(&self) -> SocketAddr {
        self.setup.udp.unwrap()
    }

    /// A sender, not yet started.
    pub(crate) fn sender(&self, way: &str, service: &str, count: u64, gap_millis: u64) -> Command {
        let mut command = Command::new(program());
        let place = self.place(way, service);
        // The junk of one datagram is as good as that of another.
        let way = if way == "junk-notify" { "junk-datagram" } else { way };
        command
            .args([way, service, &count.to_string(), &gap_millis.to_string()])
            .arg(place)
            .env("LIFESIGN_LOCAL", self.setup.place.address())
            .env_remove("LIFESIGN_TOKEN")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl House {
    /// The next heartbeat.
    pub(crate) async fn beat(&mut self) -> Beat {
        self.until(|input| match input {
            Input::Beat(beat) => Some(beat),
            _ => None,
        })
        .await
    }

    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(Input) -> Option<T>) -> T {
        let found = async {
            loop {
                let input = self.inputs.recv().await.expect("the agent has ended");
                if let Some(found) = pick(input) {
                    return found;
                }
            }
        };
        if let Ok(found) = timeout(PATIENCE, found).await {
            return found;
        }
        let figures: Vec<_> =
            Way::ALL.into_iter().map(|way| format!("{way}: {:?}", self.tally.of(way))).collect();
        panic!("{}: the awaited input never came\n{}", self.scene, figures.join("\n"));
    }

    /// Waits until a look at the figures is as wanted.
    pub(crate) async fn figures(&mut self, mut wanted: impl FnMut(&Tally) -> bool) {
        let tally = Arc::clone(&self.tally);
        // The host's samples come every 50 ms: at each of them the figures are looked at.
        self.until(|_| wanted(&tally).then_some(())).await;
    }

    /// Stops the agent; gives what it still said.
    pub(crate) async fn stop(mut self) -> Vec<Input> {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.stop().await;
        }
        let mut last = Vec::new();
        while let Ok(input) = self.inputs.try_recv() {
            last.push(input);
        }
        last
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        // In a runtime of one thread nobody else could do it meanwhile; it ends with the runtime.
        if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
            // Also while a test fails: a second panic would hide the first.
            let _ = tokio::task::block_in_place(|| {
                runtime.block_on(async { timeout(STOPPING, supervisor.stop()).await })
            });
        }
    }
}

/// A sender at work. Dropping it ends it; of one that had ended before, a test that fails tells how.
pub(crate) struct Sending(Child);

impl Deref for Sending {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Sending {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let ended = self.0.try_wait().ok().flatten();
        // One that still floods has done its part.
        let _ = self.0.kill();
        let _ = self.0.wait();
        if let (Some(ended), true) = (ended, std::thread::panicking()) {
            let mut words = String::new();
            let _ = self.0.stderr.take().map(|mut pipe| pipe.read_to_string(&mut words));
            eprintln!("a sender had ended before, {ended}: {words}");
        }
    }
}

/// Runs a sender to its end without holding up the test's runtime.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(crate) fn start(mut command: Command) -> Sending {
    Sending(command.spawn().unwrap())
}

/// The example `sender`, which cargo builds with the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples");
    let path = path.join(format!("sender{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: cargo build -p lifesign-agent --examples", path.display());
    path
}

#[cfg(unix)]
pub(crate) fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(windows)]
pub(crate) fn open_to_all(_path: &Path) {}
