//! How soon the engine has judged a death: for each way to end, one at a time and a hundred at once, beside a bare loop over
//! pidfds in the same run.
//!
//! `cargo bench -p lifesign-os --bench death`; behind `--` only some parts: `units`, `processes`, `together`.
//! Needs root and a systemd to start (`scripts/systemd-lab.sh`); on
//! Windows it needs an administrator, and `cargo build -p lifesign-os --examples` before.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails by panicking, and its figures go to the terminal"
)]
#![allow(unsafe_code, reason = "kills and bare loops are system calls")]

#[cfg(target_os = "linux")]
#[path = "../tests/lab/mod.rs"]
#[expect(clippy::print_stderr, reason = "a lab that does not stop says why")]
mod lab;

#[cfg(target_os = "linux")]
#[path = "death/linux.rs"]
mod system;
#[cfg(windows)]
#[path = "death/windows.rs"]
mod system;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use lifesign_core::engine::Engine;
use lifesign_core::evidence::{Beat, UnitReport, UnitState};
use lifesign_core::input::Input;
use lifesign_core::model::{ServiceId, State};
use lifesign_core::spec::{HeartbeatSpec, ServiceSpec, Spec, Terms};
use lifesign_core::time::{Mono, Now, Wall};
use tokio::sync::mpsc;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "| {:<46} | {:>5} | {:>10} | {:>10} | {:>10} |",
        "from the death to the state change", "n", "p50", "p99", "last"
    );
    println!("|---|---|---|---|---|");
    let targets = runtime.block_on(system::run());
    println!();
    for target in targets {
        println!("{target}");
    }
}

/// Whether a part is wanted: named on the command line, or none is. (Cargo itself passes `--bench`.)
fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|word| word == part)
}

/// One line of the table; gives its p99.
fn line(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    // By nearest rank.
    let at = |share: usize| times[(times.len() * share).div_ceil(100).saturating_sub(1)];
    println!(
        "| {what:<46} | {:>5} | {:>7.2} ms | {:>7.2} ms | {:>7.2} ms |",
        times.len(),
        milliseconds(at(50)),
        milliseconds(at(99)),
        milliseconds(times[times.len() - 1])
    );
    at(99)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A line that `cargo xtask bench local` repeats at its end: whether what was measured stays under its target.
fn target(what: &str, reached: Duration, most: Duration) -> String {
    let verdict = if reached < most { "PASS" } else { "MISS" };
    format!("{verdict}  {what}: {:.2} ms (under {:.0} ms)", milliseconds(reached), milliseconds(most))
}

/// The engine, as it judges in a whole lifesign: one for all services, one step at a time.
struct Judge {
    engine: Engine,
    begun: Instant,
}

/// Services that the judge knows; each watch is one of them.
const SERVICES: usize = 100;

/// The id beyond those, of the service that is judged by its heartbeats.
const BEATING: usize = SERVICES;
/// How far apart its heartbeats are, and after which silence it is down.
const BEAT: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_millis(300);
/// Hangs; each waits for the silence.
const HANGS: u32 = 20;

static JUDGE: LazyLock<Mutex<Judge>> = LazyLock::new(|| {
    let service = |index| {
        ServiceSpec::new(id(index), Terms { unit: Some("unit".to_owned()), ..Terms::on("here".into()) })
    };
    let mut judge = Judge { engine: Engine::new(), begun: Instant::now() };
    let mut services: Vec<_> = (0..SERVICES).map(service).collect();
    let heartbeat = HeartbeatSpec { interval: BEAT, timeout: SILENCE, ..HeartbeatSpec::never() };
    let terms = Terms { unit: Some("unit".to_owned()), ..Terms::on("here".into()) };
    services.push(ServiceSpec::new(id(BEATING), Terms { heartbeat: Some(heartbeat), ..terms }));
    let spec = Spec { services, ..Spec::default() };
    judge.step(Input::Configure(Arc::new(spec)));
    Mutex::new(judge)
});

impl Judge {
    fn step(&mut self, input: Input) {
        self.engine.step(self.now(), input, &mut Vec::new());
    }

    fn now(&self) -> Now {
        let passed = u64::try_from(self.begun.elapsed().as_nanos()).unwrap();
        Now { mono: Mono::from_nanos(passed), wall: Wall::from_millis(0) }
    }

    /// Judges a report; gives the state after it, and the moment.
    fn judge(&mut self, service: &ServiceId, report: UnitReport) -> (Instant, State) {
        self.step(Input::Unit { service: service.clone(), report });
        let at = Instant::now();
        (at, self.engine.service(service.as_str(), self.now()).unwrap().state)
    }
}

/// A unit that runs and stands still, on systems and for processes without a watchdog: its heartbeats end, and the
/// system goes on saying that it runs. Counted from the last heartbeat, so the silence that is allowed is in the
/// figure; what the way of the heartbeats adds is in the table of ways.
async fn hang_by_heartbeat(what: &str, running: UnitReport) {
    let state = || {
        let judge = JUDGE.lock().unwrap();
        judge.engine.service(id(BEATING).as_str(), judge.now()).unwrap().state
    };
    let step = |input| JUDGE.lock().unwrap().step(input);
    step(Input::Unit { service: id(BEATING), report: running });
    let mut times = Vec::new();
    for round in 0..HANGS {
        let mut last = Instant::now();
        for _ in 0..3 {
            step(Input::Beat(Beat::alive(id(BEATING))));
            last = Instant::now();
            assert_eq!(state(), State::Up);
            // Not all hang at the same moment between two beats.
            tokio::time::sleep(BEAT * (round + 1) / (HANGS + 1)).await;
        }
        while state() == State::Up || state() == State::Suspect {
            // As the whole of lifesign does it: asleep until the engine's next deadline.
            let rest = {
                let judge = JUDGE.lock().unwrap();
                judge.engine.next_deadline().since(judge.now().mono)
            };
            tokio::time::sleep(rest).await;
            step(Input::Tick);
            assert!(last.elapsed() < PATIENCE, "{:?}", state());
        }
        times.push(last.elapsed());
    }
    line(what, times);
}

fn id(index: usize) -> ServiceId {
    ServiceId::new(&format!("n{index}")).unwrap()
}

/// The reports about one unit or process, with the state that the engine has judged from each and the time of that.
struct Heard(mpsc::UnboundedReceiver<(Instant, State, UnitReport)>);

impl Heard {
    fn sink() -> (lifesign_os::unit::Sink, Self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let service = id(NEXT.fetch_add(1, Ordering::Relaxed) % SERVICES);
        let (sender, receiver) = mpsc::unbounded_channel();
        let sink = move |report: UnitReport| {
            let (at, state) = JUDGE.lock().unwrap().judge(&service, report.clone());
            // The bench may be over.
            let _ = sender.send((at, state, report));
        };
        (Arc::new(sink), Self(receiver))
    }

    /// Waits for a report of this kind.
    async fn until(&mut self, wanted: impl Fn(&UnitState) -> bool) -> (Instant, UnitReport) {
        let search = async {
            loop {
                let (at, state, report) = self.0.recv().await.unwrap();
                if wanted(&report.state) {
                    let is_end = matches!(report.state, UnitState::Stopped { .. });
                    assert_eq!(is_end, state == State::Down, "judged from {report:?}");
                    return (at, report);
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("no report")
    }

    async fn end(&mut self) -> Instant {
        self.end_in_words().await.0
    }

    /// The next end, in the system's words.
    async fn end_in_words(&mut self) -> (Instant, String) {
        let (at, report) = self.until(|state| matches!(state, UnitState::Stopped { .. })).await;
        (at, report.os)
    }

    async fn pid(&mut self) -> u32 {
        match self.until(|state| matches!(state, UnitState::Running(Some(_)))).await.1.state {
            UnitState::Running(Some(process)) => process.pid,
            other => panic!("{other:?}"),
        }
    }
}
