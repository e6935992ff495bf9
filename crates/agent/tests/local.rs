//! Heartbeats of other programs on this host, by every local way: each from a process of its own, refused from
//! another user, and heard through a flood of junk.
//!
//! The Linux tests need root, to be somebody else.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]
#![expect(clippy::print_stderr, reason = "a test that fails says how its senders ended")]

mod local {
    pub(crate) mod house;
    #[cfg(unix)]
    mod linux;
    #[cfg(windows)]
    mod windows;
}
