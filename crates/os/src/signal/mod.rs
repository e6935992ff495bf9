//! What the system asks of lifesign itself: stop, or read the configuration again.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// A request from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End in good order. Linux: SIGTERM, SIGINT. Windows: Ctrl-C, Ctrl-Break, closing the console,
    /// logging off, shutting down. (A stop by the SCM does not come this way.)
    Stop,
    /// Read the configuration again. Linux: SIGHUP. Windows has no such signal; the API call does it.
    Reload,
}

/// The signals sent to this process. From the moment it exists, they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals(imp::Signals);

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// When the system refuses a handler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> std::io::Result<Self> {
        imp::Signals::new().map(Self)
    }

    /// The next one. Signals of one kind that arrive together count once. May be cancelled.
    pub async fn next(&mut self) -> Signal {
        self.0.next().await
    }
}
