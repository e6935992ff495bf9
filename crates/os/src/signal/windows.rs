//! Console control events through tokio's handler.

use std::io;

use super::Signal;

#[derive(Debug)]
pub(super) struct Signals;

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> Signal {
        std::future::pending().await
    }
}
