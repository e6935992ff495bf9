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

    /// One sample: names and finite values. Blocks: a few microseconds for each process of the host.
    pub fn sample(&mut self) -> Vec<(&'static str, f64)> {
        self.0.sample().into_iter().filter(|(_, value)| value.is_finite()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_host_has_sane_figures() {
        let dir = tempfile::tempdir().unwrap();
        let mut sampler = Sampler::new(dir.path());
        let first = sampler.sample();
        assert!(!first.iter().any(|(name, _)| *name == "host_cpu"), "processor time is a difference");
        for name in [
            "host_memory",
            "host_memory_available_bytes",
            "host_disk",
            "host_disk_free_bytes",
            "host_uptime_seconds",
            "host_processes",
        ] {
            let value = first.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            assert!(value.is_some_and(|value| value > 0.0), "{name}: {value:?}");
        }
        for (name, value) in &first {
            assert!(value.is_finite() && *value >= 0.0, "{name} = {value}");
        }
        for name in ["host_memory", "host_disk"] {
            assert!(first.iter().any(|(known, value)| *known == name && *value <= 100.0), "{name}");
        }
        // Until the kernel has counted a tick there is no difference to tell.
        let begun = std::time::Instant::now();
        let busy = loop {
            let sample = sampler.sample();
            if let Some((_, busy)) = sample.into_iter().find(|(name, _)| *name == "host_cpu") {
                break busy;
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        };
        assert!((0.0..=100.0).contains(&busy), "{busy}");
    }

    #[test]
    fn this_host_has_a_name() {
        assert!(!name().is_empty());
    }
}
