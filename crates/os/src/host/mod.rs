//! The figures of this host: processor, memory, disk, load.

use std::path::PathBuf;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// The host's name, as the system has it; `localhost` when it has none.
pub fn name() -> String {
    imp::name().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// Takes samples of the host.
///
/// | metric | unit | meaning |
/// |---|---|---|
/// | `host_cpu` | percent, 0–100 | time not idle since the last sample, over all processors; absent in the first sample |
/// | `host_memory` | percent | memory that is not available to programs |
/// | `host_memory_available_bytes` | bytes | memory that programs could get without swapping |
/// | `host_swap` | percent | swap (Windows: page file) in use; absent where there is none |
/// | `host_load1` | processes | load average over one minute; Linux only |
/// | `host_disk` | percent | of the file system under the data directory, as `df` counts it |
/// | `host_disk_free_bytes` | bytes | what lifesign itself may still write there |
/// | `host_uptime_seconds` | seconds | since boot, suspend included |
/// | `host_processes` | processes | running or sleeping, kernel threads left out |
///
/// A figure the system would not tell is absent; a sample never fails as a whole.
#[derive(Debug)]
pub struct Sampler(imp::Sampler);

impl Sampler {
    /// A sampler whose disk figures are those of the file system that holds `disk_path`.
    pub fn new(disk_path: impl Into<PathBuf>) -> Self {
        Self(imp::Sampler::new(disk_path.into()))
    }

    /// One sample: names and finite values. Blocks for less than a millisecond, unless the file system hangs.
    pub fn sample(&mut self) -> Vec<(&'static str, f64)> {
        self.0.sample().into_iter().filter(|(_, value)| value.is_finite()).collect()
    }
}
