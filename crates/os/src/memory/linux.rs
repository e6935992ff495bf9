//! glibc keeps freed memory (`malloc_trim(3)`), and the kernel maps sixteen pages of the program for each one that is
//! touched (*fault-around*), which all count as resident.

use std::ops::Range;

pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, locks each arena while it works, and frees only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
    for code in own_code() {
        // SAFETY: the range is a private, executable mapping of our own file that nobody can write; after this its
        // pages are read from that file again (madvise(2), MADV_DONTNEED). That it fails changes nothing.
        unsafe {
            libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED);
        }
    }
}

/// The address ranges of our program's code.
fn own_code() -> Vec<Range<usize>> {
    let Ok(program) = std::fs::read_link("/proc/self/exe") else { return Vec::new() };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter_map(|line| code_of(line, &program.to_string_lossy())).collect()
}

/// The range of a line of `/proc/PID/maps` (proc_pid_maps(5)), where it is code of that program.
fn code_of(line: &str, program: &str) -> Option<Range<usize>> {
    let mut fields = line.splitn(6, ' ');
    let (range, rights) = (fields.next()?, fields.next()?);
    // What is writable, or was, may differ from the file.
    if rights != "r-xp" || fields.nth(3)?.trim_start() != program {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_given_back() {
        let line =
            "55d0c0a00000-55d0c1b00000 r-xp 00600000 08:01 1234                       /usr/bin/lifesign";
        assert_eq!(code_of(line, "/usr/bin/lifesign"), Some(0x55d0_c0a0_0000..0x55d0_c1b0_0000));
        assert_eq!(code_of(line, "/usr/bin/other"), None);
        assert_eq!(code_of(&line.replace("r-xp", "r--p"), "/usr/bin/lifesign"), None);
        assert_eq!(
            code_of(
                "7ffd1000-7ffd2000 r-xp 00000000 00:00 0                          [vdso]",
                "/usr/bin/lifesign"
            ),
            None
        );
        assert_eq!(code_of("", "/usr/bin/lifesign"), None);
        assert_eq!(own_code().len(), 1, "the code of this test");
    }
}
