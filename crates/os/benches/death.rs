//! How soon a death is told: for each way to end, one at a time and a hundred at once, beside a bare loop over
//! pidfds in the same run; and what watching a hundred services costs while nothing happens.
//!
//! `cargo bench -p lifesign-os --bench death`; behind `--` only some parts: `units`, `processes`, `together`, `idle`.
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

use std::time::{Duration, Instant};

use lifesign_core::evidence::{UnitReport, UnitState};
use tokio::sync::mpsc;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "{:<48}{:>6}{:>12}{:>12}{:>12}",
        "from the death to the state change", "n", "p50", "p99", "last"
    );
    runtime.block_on(system::run());
}

/// Whether a part is wanted: named on the command line, or none is. (Cargo itself passes `--bench`.)
fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|word| word == part)
}

/// One line of the table.
fn line(what: &str, mut times: Vec<Duration>) {
    times.sort();
    // By nearest rank.
    let at = |share: usize| times[(times.len() * share).div_ceil(100).saturating_sub(1)];
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    println!(
        "{what:<48}{:>6}{:>12}{:>12}{:>12}",
        times.len(),
        ms(at(50)),
        ms(at(99)),
        ms(times[times.len() - 1])
    );
}

/// The reports about one unit or process, with their time.
struct Heard(mpsc::UnboundedReceiver<(Instant, UnitReport)>);

impl Heard {
    fn sink() -> (lifesign_os::unit::Sink, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let sink = move |report| {
            // The bench may be over.
            let _ = sender.send((Instant::now(), report));
        };
        (std::sync::Arc::new(sink), Self(receiver))
    }

    /// Waits for a report of this kind.
    async fn until(&mut self, wanted: impl Fn(&UnitState) -> bool) -> (Instant, UnitReport) {
        let search = async {
            loop {
                let (at, report) = self.0.recv().await.unwrap();
                if wanted(&report.state) {
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
