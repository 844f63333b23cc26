//! The log: to stderr, for people or for programs.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The least important lines that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Every message.
    Trace,
    /// Every session.
    Debug,
    /// The life of the process.
    #[default]
    Info,
    /// What was coped with.
    Warn,
    /// What an operator must act on.
    Error,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

/// Sets the process's log up.
///
/// Libraries speak at `warn` and above, whatever the level: their chatter is not about sessions.
/// One of them says nothing: it quotes what it does not know of a database's URL, which may be a
/// misspelt password.
///
/// # Errors
/// When it was set up before.
pub fn init(level: Level, format: Format) -> Result<(), TryInitError> {
    let level = LevelFilter::from(level);
    let ours = targets(level);
    let registry = tracing_subscriber::registry().with(ours);
    match format {
        Format::Pretty => {
            let colours = std::io::stderr().is_terminal();
            let lines =
                fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
            registry.with(lines).try_init()
        }
        Format::Json => {
            let lines = fmt::layer().with_writer(std::io::stderr).json().flatten_event(true);
            registry.with(lines).try_init()
        }
    }
}

/// Who may write what.
fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("sqlx_postgres::options", LevelFilter::OFF)
        .with_target("rustsocks", level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_quotes_parts_of_a_url_is_not_heard() {
        let targets = targets(LevelFilter::TRACE);
        let warn = LevelFilter::WARN.into_level().unwrap();
        assert!(!targets.would_enable("sqlx_postgres::options::parse", &warn));
        assert!(targets.would_enable("sqlx_postgres::connection", &warn));
    }
}
