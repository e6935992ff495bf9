//! glibc keeps freed memory (`malloc_trim(3)`), has a heap for each thread, and the kernel maps sixteen pages of a program
//! for each one that is touched (*fault-around*), which all count as resident.

use std::ops::Range;

pub(super) fn stay_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer and sets one number (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, locks each heap while it works, and frees only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for range in unchanged(&maps) {
        // SAFETY: the range is a private mapping of a file that nobody can write to, and none of whose pages differs
        // from the file; after this they are read from it again (madvise(2), MADV_DONTNEED). That it fails changes nothing.
        unsafe {
            libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED);
        }
    }
}

/// The mappings in `/proc/PID/smaps` (proc_pid_smaps(5)) that are as their files are, and stay so: code, constants.
fn unchanged(maps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in maps.lines() {
        if let Some(range) = range(line) {
            found.extend(candidate.take());
            candidate = is_of_a_file(line).then_some(range);
        } else if ["Anonymous:", "Swap:"].iter().any(|key| line.starts_with(key))
            && line.split_ascii_whitespace().nth(1) != Some("0")
        {
            // Pages that the loader has written to before it took the right to write away.
            candidate = None;
        }
    }
    found.extend(candidate);
    found
}

/// The addresses with which a mapping begins.
fn range(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

/// Whether it maps a file, privately and without the right to write.
fn is_of_a_file(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    matches!(fields.next(), Some("r-xp" | "r--p")) && fields.nth(3).is_some_and(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(range: &str, rights: &str, path: &str, dirty: u32) -> String {
        format!(
            "{range} {rights} 00600000 08:01 1234                       {path}\nSize:   1088 kB\nRss:    640 kB\n\
             Private_Dirty:         4 kB\nAnonymous:             {dirty} kB\nSwap:                  0 kB\n\
             VmFlags: rd ex mr mw me\n"
        )
    }

    #[test]
    fn only_what_can_be_read_from_its_file_again_is_given_back() {
        let maps = [
            mapping("1000-2000", "r--p", "/usr/bin/lifesign", 0),
            mapping("2000-5000", "r-xp", "/usr/bin/lifesign (deleted)", 0),
            mapping("5000-6000", "r--p", "/usr/bin/lifesign", 4),
            mapping("6000-7000", "rw-p", "/usr/bin/lifesign", 0),
            mapping("7000-8000", "r--s", "/var/lib/lifesign/page", 0),
            mapping("8000-9000", "r-xp", "[vdso]", 0),
            mapping("9000-a000", "r--p", "", 0),
            mapping("a000-b000", "r-xp", "/usr/lib/libc.so.6", 0),
        ]
        .concat();
        assert_eq!(unchanged(&maps), [0x1000..0x2000, 0x2000..0x5000, 0xa000..0xb000]);
        assert_eq!(unchanged(""), []);
        let here = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let code = only_what_can_be_read_from_its_file_again_is_given_back as fn() as usize;
        assert!(unchanged(&here).iter().any(|range| range.contains(&code)), "the code of this test");
    }
}
