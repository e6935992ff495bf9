//! Host figures out of `/proc` and `statvfs(3)`. The parsers are pure: text in, numbers out.

use std::collections::HashMap;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(super) fn name() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned())
}

#[derive(Debug)]
pub(super) struct Sampler {
    disk_path: PathBuf,
    last_cpu: Option<CpuTime>,
    processes: Processes,
}

impl Sampler {
    pub(super) fn new(disk_path: PathBuf) -> Self {
        Self { disk_path, last_cpu: None, processes: Processes::default() }
    }

    pub(super) fn sample(&mut self) -> Vec<(&'static str, f64)> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut figures = Vec::with_capacity(9);
        let mut put =
            |name: &'static str, value: Option<f64>| figures.extend(value.map(|value| (name, value)));

        let cpu = CpuTime::parse(&read("/proc/stat"));
        put("host_cpu", self.last_cpu.zip(cpu).and_then(|(before, now)| now.busy_since(before)));
        self.last_cpu = cpu;
        let memory = Memory::parse(&read("/proc/meminfo"));
        put("host_memory", memory.used_percent());
        put("host_memory_available_bytes", memory.available.map(as_f64));
        put("host_swap", memory.swap_used_percent());
        put("host_load1", first_number(&read("/proc/loadavg")));
        let disk = Disk::of(&self.disk_path);
        put("host_disk", disk.and_then(|disk| disk.used_percent()));
        put("host_disk_free_bytes", disk.map(|disk| as_f64(disk.available)));
        put("host_uptime_seconds", first_number(&read("/proc/uptime")));
        put("host_processes", self.processes.count());
        figures
    }
}

/// Processor time over all processors since boot, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTime {
    total: u64,
    idle: u64,
}

impl CpuTime {
    /// Out of `/proc/stat`: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. The last two
    /// are counted in the first two already.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?.split_ascii_whitespace();
        let mut next = || fields.next().map(str::parse::<u64>);
        let mut times = [0; 8];
        for (index, time) in times.iter_mut().enumerate() {
            *time = match next() {
                Some(Ok(ticks)) => ticks,
                // Linux before 2.6.11 had fewer; four are always there.
                None if index >= 4 => 0,
                _ => return None,
            };
        }
        let [_, _, _, idle, waiting, ..] = times;
        Some(Self {
            total: times.iter().fold(0, |sum: u64, time| sum.saturating_add(*time)),
            idle: idle.saturating_add(waiting),
        })
    }

    /// Percent not idle since `before`. The kernel may count idle time back a little; that reads as none.
    fn busy_since(self, before: Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|total| *total > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(total);
        Some(percent(total - idle, total))
    }
}

/// Out of `/proc/meminfo`, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    total: Option<u64>,
    available: Option<u64>,
    swap_total: Option<u64>,
    swap_free: Option<u64>,
}

impl Memory {
    fn parse(meminfo: &str) -> Self {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        };
        Self {
            total: field("MemTotal"),
            available: field("MemAvailable"),
            swap_total: field("SwapTotal"),
            swap_free: field("SwapFree"),
        }
    }

    fn used_percent(&self) -> Option<f64> {
        used(self.total?, self.available?)
    }

    fn swap_used_percent(&self) -> Option<f64> {
        used(self.swap_total?, self.swap_free?)
    }
}

/// A file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Disk {
    used: u64,
    /// Free for those who are not root.
    available: u64,
}

impl Disk {
    fn of(path: &Path) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        let mut stat = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: statvfs(3) reads a string that ends in zero, and writes one struct on success.
        if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: it has succeeded, so the struct is filled in.
        let stat = unsafe { stat.assume_init() };
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Self {
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            available: bytes(stat.f_bavail),
        })
    }

    /// As `df` has it: of what is not kept for root.
    fn used_percent(&self) -> Option<f64> {
        let total = self.used.saturating_add(self.available);
        (total > 0).then(|| percent(self.used, total))
    }
}

/// Processes with memory of their own; kernel threads have none, as `/proc/PID/statm` shows. Each number is looked at
/// once: what it was at the last sample it still is, but for one that ended and was given out again between two.
#[derive(Debug, Default)]
struct Processes(HashMap<u32, bool>);

impl Processes {
    fn count(&mut self) -> Option<f64> {
        let entries = std::fs::read_dir("/proc").ok()?;
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let look = |number: u32| {
            std::fs::read_to_string(format!("/proc/{number}/statm")).is_ok_and(|statm| has_memory(&statm))
        };
        self.0 = numbers
            .map(|number| (number, self.0.get(&number).copied().unwrap_or_else(|| look(number))))
            .collect();
        u32::try_from(self.0.values().filter(|has_memory| **has_memory).count()).ok().map(f64::from)
    }
}

fn has_memory(statm: &str) -> bool {
    statm.split_ascii_whitespace().next().is_some_and(|pages| pages != "0")
}

fn first_number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn used(total: u64, free: u64) -> Option<f64> {
    (total > 0).then(|| percent(total.saturating_sub(free), total))
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * as_f64(part) / as_f64(whole)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; 53 bits are enough for 8 PiB to the byte"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_what_was_not_idle_nor_waiting_between_two_samples() {
        let before =
            CpuTime::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\nintr 1\n")
                .unwrap();
        assert_eq!(before, CpuTime { total: 1000, idle: 850 });
        let now = CpuTime::parse("cpu  120 5 60 840 60 2 2 1 99 99\n").unwrap();
        let busy = now.busy_since(before).unwrap();
        assert!((busy - 100.0 * 40.0 / 90.0).abs() < 1e-9, "{busy}");
        assert_eq!(before.busy_since(before), None, "no time has passed");
        let back = CpuTime { total: 1010, idle: 840 };
        assert!(
            (back.busy_since(before).unwrap() - 100.0).abs() < 1e-9,
            "idle time counted back is no idleness"
        );
    }

    #[test]
    fn text_of_another_form_gives_no_figure() {
        assert_eq!(CpuTime::parse(""), None);
        assert_eq!(CpuTime::parse("cpu  1 2 3\n"), None);
        assert_eq!(CpuTime::parse("cpu  1 2 3 x 5\n"), None);
        assert_eq!(CpuTime::parse("cpu  1 2 3 4\n"), Some(CpuTime { total: 10, idle: 4 }));
        assert_eq!(Memory::parse("MemTotal: much\nMemAvailable: 5\n"), Memory::default());
        assert_eq!(first_number("abc"), None);
    }

    #[test]
    fn memory_in_use_is_what_is_not_available_and_no_swap_is_no_figure() {
        let text = "MemTotal:        8000 kB\nMemFree:          100 kB\nMemAvailable:    6000 kB\nSwapTotal:          0 kB\nSwapFree:           0 kB\n";
        let memory = Memory::parse(text);
        assert_eq!(memory.available, Some(6000 * 1024));
        assert!((memory.used_percent().unwrap() - 25.0).abs() < 1e-9);
        assert_eq!(memory.swap_used_percent(), None);
        let swapping = Memory::parse("SwapTotal: 1000 kB\nSwapFree: 750 kB\n");
        assert!((swapping.swap_used_percent().unwrap() - 25.0).abs() < 1e-9);
    }

    #[test]
    fn the_disk_counts_like_df_and_a_missing_path_gives_no_figure() {
        let disk = Disk { used: 30, available: 60 };
        assert!((disk.used_percent().unwrap() - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(Disk { used: 0, available: 0 }.used_percent(), None, "as /proc has it");
        assert!(Disk::of(Path::new("/")).is_some());
        assert_eq!(Disk::of(Path::new("/nonexistent/path")), None);
    }

    #[test]
    fn kernel_threads_have_no_memory() {
        assert!(has_memory("1234 567 89 1 0 2 0\n"));
        assert!(!has_memory("0 0 0 0 0 0 0\n"));
        assert!(!has_memory(""));
    }
}
