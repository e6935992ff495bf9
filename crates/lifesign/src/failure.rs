//! How a command fails: what people read, and the exit code that scripts read.

use std::process::ExitCode;

/// A command's failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was tried and did not work.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// The configuration has errors; they are in the text, each with its place.
    #[error("{0}")]
    Configuration(String),
    /// The server knows nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The server refused the token, or the token's role.
    #[error("{0}")]
    Refused(String),
    /// No server answered.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// The contract's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Configuration(_) => 2,
            Self::NotFound(_) => 3,
            Self::Refused(_) => 4,
            Self::Unreachable(_) => 5,
        }
    }
}
