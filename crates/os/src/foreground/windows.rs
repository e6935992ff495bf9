//! A console sends Ctrl-C, Ctrl-Break and its closing to every process on it, so there is nothing to pass on; we
//! only must not end before the command does.

use std::io;
use std::process::ExitStatus;

use lifesign_core::evidence::Exit;

use crate::signal;

#[derive(Debug)]
pub(super) struct Signals(signal::Signals);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        signal::Signals::new().map(Self)
    }

    pub(super) async fn next(&mut self) -> signal::Signal {
        self.0.next().await
    }
}

pub(super) fn pass(_pid: u32, _signal: signal::Signal) {}

/// The 32 bits of an exit code, as a positive number: 0xC0000005 is a fault, and -1073741819 nothing people know.
pub(super) fn exit(status: ExitStatus) -> Exit {
    match status.code() {
        Some(0) => Exit::Clean,
        Some(code) => Exit::Code(i64::from(code.cast_unsigned())),
        None => Exit::Unseen,
    }
}

pub(super) fn code(code: i64) -> i32 {
    u32::try_from(code).map_or(1, u32::cast_signed)
}
