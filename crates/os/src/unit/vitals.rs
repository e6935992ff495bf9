//! What a process used when it was last looked at: evidence for the day it is gone.

use std::fmt;
use std::time::{Duration, Instant};

use lifesign_core::evidence::Process;

#[cfg_attr(target_os = "linux", path = "vitals/linux.rs")]
#[cfg_attr(windows, path = "vitals/windows.rs")]
mod imp;

/// One look at one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vitals {
    process: Process,
    at: Instant,
    figures: Figures,
}

/// What the system tells; `None` where it does not, or not to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Figures {
    /// Bytes in memory.
    memory: Option<u64>,
    /// Processor time since its start.
    processor: Option<Duration>,
    threads: Option<u64>,
    /// Open files, sockets and other handles.
    handles: Option<u64>,
}

impl Vitals {
    /// Looks; `None` when this very process is gone.
    pub(crate) fn of(process: Process) -> Option<Self> {
        Some(Self { process, at: Instant::now(), figures: imp::figures(process)? })
    }

    /// The number of the process.
    #[cfg(windows)]
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }
}

/// `process 4711, looked at 7 s before: 12.3 MiB of memory, 3.2 s of processor time, 4 threads, 14 handles`.
impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {}, looked at {} s before its end:",
            self.process.pid,
            self.at.elapsed().as_secs()
        )?;
        let Figures { memory, processor, threads, handles } = self.figures;
        let mut comma = "";
        if let Some(bytes) = memory {
            // Tenths of a MiB.
            let tenths = bytes.saturating_mul(10) / (1024 * 1024);
            write!(f, " {}.{} MiB of memory", tenths / 10, tenths % 10)?;
            comma = ",";
        }
        if let Some(time) = processor {
            write!(f, "{comma} {}.{} s of processor time", time.as_secs(), time.subsec_millis() / 100)?;
            comma = ",";
        }
        if let Some(count) = threads {
            write!(f, "{comma} {count} threads")?;
            comma = ",";
        }
        if let Some(count) = handles {
            write!(f, "{comma} {count} handles")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_not_known_are_left_out() {
        let process = Process { pid: 7, started: 1 };
        let all = Figures {
            memory: Some(12 * 1024 * 1024 + 600 * 1024),
            processor: Some(Duration::from_millis(3250)),
            threads: Some(4),
            handles: Some(14),
        };
        let words = |figures| Vitals { process, at: Instant::now(), figures }.to_string();
        assert_eq!(
            words(all),
            "process 7, looked at 0 s before its end: 12.5 MiB of memory, 3.2 s of processor time, 4 threads, 14 handles"
        );
        assert_eq!(
            words(Figures { memory: None, handles: None, ..all }),
            "process 7, looked at 0 s before its end: 3.2 s of processor time, 4 threads"
        );
    }

    #[test]
    fn a_stranger_with_the_same_number_has_no_figures() {
        assert_eq!(Vitals::of(Process { pid: std::process::id(), started: 1 }), None);
    }
}
