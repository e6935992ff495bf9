//! How many files and connections this process may have open.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// Raises the limit as far as the system allows without further rights, and returns it; `None`: there is no
/// limit of this kind (Windows), or it cannot be read. Thousands of probes need more than the usual 1024.
pub fn raise_limit() -> Option<u64> {
    imp::raise_limit()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let first = super::raise_limit();
        assert_eq!(super::raise_limit(), first);
        assert_eq!(first.is_none(), cfg!(windows));
    }
}
