//! The platform edge of lifesign: clocks, service managers, supervised processes, host figures,
//! signals and files with rights.
//!
//! Everything that differs between Linux and Windows is here and nowhere else. Each module is a folder:
//! `mod.rs` holds the types, the documentation and what both systems share, and selects one `imp`;
//! `linux.rs` and `windows.rs` offer the same signatures. So no caller has a `cfg`, and both targets are
//! compiled from the same call sites.
//!
//! Architecture invariant: of our own crates this one reaches only `lifesign-core`, for its words about
//! time and evidence. It decides nothing: it reports what the system says and does what it is told.
#![warn(missing_docs)]
#![allow(
    unsafe_code,
    reason = "calls into the operating system that std does not wrap are this crate's purpose"
)]

pub mod clock;
pub mod file;
pub mod foreground;
pub mod host;
pub mod local;
pub mod memory;
pub mod open_files;
pub mod process;
pub mod service;
pub mod signal;
pub mod unit;

#[cfg(target_os = "linux")]
mod pidfd;
#[cfg(target_os = "linux")]
mod proc_stat;
#[cfg(windows)]
mod process_handle;
#[cfg(windows)]
mod wide;
