//! The memory of our own process.
//!
//! A program reads its configuration, makes its connections and looks at everything once; most of what that touched is
//! never touched again. [`give_back`] hands it to the system, so that an idle agent is as small as what it does.

#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(windows), path = "linux.rs")]
mod imp;

/// Call it before the first thread is made: it has one heap for all threads, which wastes the least where little is
/// asked for at once. On Windows nothing is to be done.
pub fn stay_small() {
    imp::stay_small();
}

/// Hands memory that is not in use back to the system: freed memory that the allocator keeps, and pages of programs and
/// libraries that can be read from their files again. What is needed comes back by itself, page by page.
pub fn give_back() {
    imp::give_back();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_as_before() {
        let kept: Vec<u64> = (0..100_000).collect();
        drop(vec![7_u8; 8 << 20]);
        give_back();
        assert_eq!(kept.iter().sum::<u64>(), 4_999_950_000);
        // Everything between here and the end of the test is read from the file again.
        let sorted: std::collections::BTreeMap<_, _> = kept.iter().map(|n| (n % 7, n.to_string())).collect();
        assert_eq!(sorted.len(), 7);
    }
}
