//! Why a command could not do its work: one line that says what to do, and an exit code.

use std::io;

use thiserror::Error;

/// Why a command could not do its work.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// The server finds the question wrong.
    #[error("the server does not take this: {detail}")]
    Question { detail: String },
    /// What was asked for is not there, or not in a state for it.
    #[error("{detail}")]
    Negative { detail: String },
    /// Nothing answers.
    #[error("cannot reach {api}: {problem}; is the server running? --api says where it is")]
    Unreachable { api: String, problem: String },
    /// Something answers, and it is not the API.
    #[error("{api} is not the API of RustSocks ({problem}); look at --api, and its base path")]
    Foreign { api: String, problem: String },
    /// The server wants to know who asks.
    #[error("the server wants a token, and takes none or another: {detail}; set RUSTSOCKS_TOKEN")]
    Unknown { detail: String },
    /// The server knows who asks, and does not allow it.
    #[error("the server refuses: {detail}")]
    Forbidden { detail: String },
    /// The server cannot answer now.
    #[error("the server cannot answer: {detail}")]
    Unable { detail: String },
    /// The answer ended before it was complete.
    #[error("the connection to {api} broke off: {problem}")]
    Broken { api: String, problem: String },
    /// Nothing can be written.
    #[error("cannot write: {0}")]
    Output(io::Error),
}

impl Fault {
    /// The exit code for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Negative { .. } => 1,
            Self::Usage(_) | Self::Question { .. } => 2,
            Self::Unreachable { .. }
            | Self::Foreign { .. }
            | Self::Unable { .. }
            | Self::Broken { .. }
            | Self::Output(_) => 4,
            Self::Unknown { .. } | Self::Forbidden { .. } => 5,
        }
    }

    /// Whether asking again may help: the server may come back.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unable { .. } | Self::Broken { .. } => true,
            Self::Usage(_)
            | Self::Question { .. }
            | Self::Negative { .. }
            | Self::Foreign { .. }
            | Self::Unknown { .. }
            | Self::Forbidden { .. }
            | Self::Output(_) => false,
        }
    }
}
