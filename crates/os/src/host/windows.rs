//! Host figures by Win32 calls. Performance counters (PDH) would offer more, at the price of a slow first
//! call and of a service that may be switched off.

use std::ffi::c_void;
use std::path::PathBuf;

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
use windows_sys::Win32::System::ProcessStatus::{
    ENUM_PAGE_FILE_INFORMATION, K32EnumPageFilesW, K32GetPerformanceInfo, PERFORMANCE_INFORMATION,
};
use windows_sys::Win32::System::SystemInformation::{
    ComputerNamePhysicalDnsHostname, GetComputerNameExW, GetTickCount64, GlobalMemoryStatusEx, MEMORYSTATUSEX,
};
use windows_sys::Win32::System::Threading::GetSystemTimes;
use windows_sys::core::{BOOL, PCWSTR};

use crate::wide::wide;

/// The name TCP/IP uses; `COMPUTERNAME`, the NetBIOS name, is cut at 15 letters.
pub(super) fn name() -> Option<String> {
    let mut text = [0_u16; 256]; // a DNS label has at most 63 letters
    let mut length = text.len() as u32;
    // SAFETY: at most `length` units are written to `text`, and `length` is set to those written.
    let named =
        unsafe { GetComputerNameExW(ComputerNamePhysicalDnsHostname, text.as_mut_ptr(), &raw mut length) };
    (named != 0).then(|| String::from_utf16_lossy(&text[..length as usize]))
}

#[derive(Debug)]
pub(super) struct Sampler {
    disk_path: PathBuf,
    last: Option<Times>,
}

impl Sampler {
    pub(super) fn new(disk_path: PathBuf) -> Self {
        Self { disk_path, last: None }
    }

    pub(super) fn sample(&mut self) -> Vec<(&'static str, f64)> {
        let mut figures = Vec::with_capacity(8);
        if let Some(times) = times() {
            if let Some(percent) = self.last.and_then(|last| busy_percent(last, times)) {
                figures.push(("host_cpu", percent));
            }
            self.last = Some(times);
        }
        if let Some((total, available)) = memory() {
            figures.push(("host_memory", percent(total.saturating_sub(available), total)));
            figures.push(("host_memory_available_bytes", available as f64));
        }
        let files = page_files();
        if files.total > 0 {
            figures.push(("host_swap", percent(files.in_use, files.total)));
        }
        if let Some(disk) = disk(&self.disk_path) {
            let used = disk.total.saturating_sub(disk.free);
            figures.push(("host_disk", percent(used, used.saturating_add(disk.available))));
            figures.push(("host_disk_free_bytes", disk.available as f64));
        }
        // SAFETY: takes nothing, cannot fail. Counts milliseconds, suspend included.
        let uptime = unsafe { GetTickCount64() };
        figures.push(("host_uptime_seconds", uptime as f64 / 1000.0));
        if let Some(count) = processes() {
            figures.push(("host_processes", f64::from(count)));
        }
        figures
    }
}

/// Processor time since boot over all processors, in units of 100 ns.
#[derive(Debug, Clone, Copy)]
struct Times {
    idle: u64,
    /// Everything, idle included.
    all: u64,
}

fn times() -> Option<Times> {
    let (mut idle, mut kernel, mut user) = (NO_TIME, NO_TIME, NO_TIME);
    // SAFETY: three FILETIMEs are written through pointers valid for the call.
    let known = unsafe { GetSystemTimes(&raw mut idle, &raw mut kernel, &raw mut user) };
    // Kernel time counts the idle thread too.
    (known != 0).then(|| Times { idle: units(idle), all: units(kernel).saturating_add(units(user)) })
}

const NO_TIME: FILETIME = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };

fn units(time: FILETIME) -> u64 {
    (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime)
}

/// The share of time between two readings that was not idle; `None` when no time passed or a counter went back.
fn busy_percent(from: Times, to: Times) -> Option<f64> {
    let all = to.all.checked_sub(from.all).filter(|&all| all > 0)?;
    let idle = to.idle.checked_sub(from.idle)?.min(all);
    Some(percent(all - idle, all))
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// Physical memory in bytes: all of it, and what programs could have.
fn memory() -> Option<(u64, u64)> {
    let mut status =
        MEMORYSTATUSEX { dwLength: size_of::<MEMORYSTATUSEX>() as u32, ..MEMORYSTATUSEX::default() };
    // SAFETY: `status` is writable and says its own length.
    let known = unsafe { GlobalMemoryStatusEx(&raw mut status) };
    (known != 0).then_some((status.ullTotalPhys, status.ullAvailPhys))
}

/// Size and use of all page files together, in pages.
#[derive(Debug, Default)]
struct PageFiles {
    total: u64,
    in_use: u64,
}

fn page_files() -> PageFiles {
    let mut sum = PageFiles::default();
    // SAFETY: the callback gets `sum` back as its context, during this call only.
    unsafe { K32EnumPageFilesW(Some(add_page_file), (&raw mut sum).cast()) };
    sum
}

unsafe extern "system" fn add_page_file(
    context: *mut c_void,
    file: *mut ENUM_PAGE_FILE_INFORMATION,
    _name: PCWSTR,
) -> BOOL {
    // SAFETY: `context` is the `PageFiles` that `page_files` passed and does not touch meanwhile.
    let sum = unsafe { &mut *context.cast::<PageFiles>() };
    // SAFETY: the system passes a valid description of one page file.
    let file = unsafe { &*file };
    sum.total = sum.total.saturating_add(file.TotalSize as u64);
    sum.in_use = sum.in_use.saturating_add(file.TotalInUse as u64);
    1
}

/// A volume, in bytes.
struct Disk {
    total: u64,
    free: u64,
    /// What this user may still write, quotas considered.
    available: u64,
}

fn disk(path: &std::path::Path) -> Option<Disk> {
    let path = wide(path).ok()?;
    let mut disk = Disk { total: 0, free: 0, available: 0 };
    // SAFETY: the path is NUL-terminated; three u64 are written through pointers valid for the call.
    let known = unsafe {
        GetDiskFreeSpaceExW(path.as_ptr(), &raw mut disk.available, &raw mut disk.total, &raw mut disk.free)
    };
    (known != 0).then_some(disk)
}

fn processes() -> Option<u32> {
    let size = size_of::<PERFORMANCE_INFORMATION>() as u32;
    let mut info = PERFORMANCE_INFORMATION { cb: size, ..PERFORMANCE_INFORMATION::default() };
    // SAFETY: `info` is writable and `size` bytes long.
    let known = unsafe { K32GetPerformanceInfo(&raw mut info, size) };
    (known != 0).then_some(info.ProcessCount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_use_is_the_share_of_time_that_was_not_idle() {
        let from = Times { idle: 1_000, all: 2_000 };
        assert_eq!(busy_percent(from, Times { idle: 1_750, all: 3_000 }), Some(25.0));
        assert_eq!(busy_percent(from, from), None, "no time passed");
        assert_eq!(busy_percent(from, Times { idle: 0, all: 3_000 }), None, "a counter went back");
    }

    #[test]
    fn every_figure_of_this_host_is_there_from_the_second_sample() {
        let mut sampler = Sampler::new(std::env::temp_dir());
        assert!(!sampler.sample().iter().any(|(name, _)| *name == "host_cpu"));
        let enough = std::time::Instant::now();
        let figures = loop {
            let figures = sampler.sample();
            // The counters of some systems move in steps of 10 ms.
            if figures.iter().any(|(name, _)| *name == "host_cpu") || enough.elapsed().as_secs() > 5 {
                break figures;
            }
        };
        for name in ["host_cpu", "host_memory", "host_disk"] {
            let value = figures.iter().find(|(found, _)| *found == name).unwrap().1;
            assert!((0.0..=100.0).contains(&value), "{name} {value}");
        }
        for name in
            ["host_memory_available_bytes", "host_disk_free_bytes", "host_uptime_seconds", "host_processes"]
        {
            let value = figures.iter().find(|(found, _)| *found == name).unwrap().1;
            assert!(value > 0.0, "{name} {value}");
        }
    }

    #[test]
    fn a_host_has_a_name() {
        assert!(name().is_some_and(|name| !name.is_empty()));
    }
}
