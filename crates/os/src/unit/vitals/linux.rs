//! `/proc/PID/stat` and the number of its descriptors, as cheaply as the system gives them.

use std::time::Duration;

use lifesign_core::evidence::Process;

use super::Figures;
use crate::proc_stat::Stat;

/// Ticks a second and bytes a page, which do not change while the system runs.
fn units() -> (u64, u64) {
    // SAFETY: sysconf(3) takes a number and touches no memory of ours.
    let of = |name| u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0).max(1);
    (of(libc::_SC_CLK_TCK), of(libc::_SC_PAGESIZE))
}

/// Open descriptors. Since Linux 6.2 the size of the folder is their number; before, it is 0, and they are counted one
/// by one, which takes ten times as long.
fn handles(pid: u32) -> Option<u64> {
    let folder = format!("/proc/{pid}/fd");
    match std::fs::metadata(&folder).ok()?.len() {
        0 => std::fs::read_dir(&folder).ok().map(|all| all.count() as u64),
        count => Some(count),
    }
}

pub(super) fn figures(process: Process) -> Option<Figures> {
    let line = std::fs::read(format!("/proc/{}/stat", process.pid)).ok()?;
    let stat = Stat::parse(&line)?;
    if stat.started != process.started || stat.is_dead() {
        return None;
    }
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> =
        std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
    // Field 3 of the manual page is the first after the name.
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
    let (ticks, page) = units();
    let used = field(14).zip(field(15)).map(|(user, kernel)| user.saturating_add(kernel));
    Some(Figures {
        memory: field(24).map(|pages| pages.saturating_mul(page)),
        processor: used.map(|used| Duration::from_millis(used.saturating_mul(1000) / ticks)),
        threads: field(20),
        handles: handles(process.pid),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_opened_file_is_one_descriptor_more() {
        let ours = || super::handles(std::process::id()).unwrap();
        // Other tests open files beside this one, so many are opened at once.
        let before = ours();
        let files: Vec<_> = (0..200).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let with = ours();
        assert!((before + 100..before + 400).contains(&with), "{before}, then {with}");
        drop(files);
    }
}
