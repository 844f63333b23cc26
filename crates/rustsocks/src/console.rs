//! The commands that ask a running server: they know its API, and nothing of its insides.
//!
//! Text that comes from a server was chosen by its clients in part, and is made safe for a
//! terminal where it is read ([`safe`]).

mod address;
mod answers;
#[cfg(feature = "database")]
mod counters;
mod endings;
mod events;
mod export;
mod fault;
mod filter;
mod follow;
mod http;
mod kill;
mod list;
mod safe;
mod show;
mod stats;
mod status;
mod table;
mod tail;
#[cfg(feature = "tui")]
mod top;
mod units;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::complain;
use crate::output;
pub(crate) use address::Reach;
#[cfg(feature = "database")]
pub(crate) use counters::{Counters, Process};
pub(crate) use events::Events;
use fault::Fault;
use http::Http;
pub(crate) use stats::Stats;
pub(crate) use status::Status;
#[cfg(feature = "tui")]
pub(crate) use top::Top;

/// What becomes of a command: an exit code, or why it could not do its work.
type Outcome = Result<ExitCode, Fault>;

/// There was nothing to find, or the answer is no.
const NO: u8 = 1;

/// What the exit codes mean, for `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes:\n  \
     0  done\n  \
     1  nothing was found, or the answer is no\n  \
     2  the command line, the configuration or a filter is wrong\n  \
     4  the server cannot be reached, or cannot answer\n  \
     5  the server refuses: a token is needed, or may not do this";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Sessions {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// List running sessions, or ended ones.
    List(list::List),
    /// Show one session, running or ended.
    Show(show::Show),
    /// Follow sessions as they open and end.
    Tail(tail::Tail),
    /// End running sessions.
    Kill(kill::Kill),
    /// Write ended sessions as CSV or as JSON lines, any number of them.
    Export(export::Export),
}

/// Runs a command that asks a server.
pub(crate) trait Ask {
    /// How the server is reached.
    fn reach(&self) -> &Reach;

    /// Asks it, and says what it answers.
    async fn ask(self, http: Http) -> Outcome;
}

impl Ask for Sessions {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    async fn ask(self, http: Http) -> Outcome {
        match self.command {
            SessionsCommand::List(list) => list.ask(&http).await,
            SessionsCommand::Show(show) => show.ask(&http).await,
            SessionsCommand::Tail(tail) => tail.ask(&http).await,
            SessionsCommand::Kill(kill) => kill.ask(&http).await,
            SessionsCommand::Export(export) => export.ask(&http).await,
        }
    }
}

/// Runs a command to its end and gives its exit code.
pub(crate) fn run(command: impl Ask, config: Option<&Path>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    let http = command.reach().http(config);
    let outcome = http.and_then(|http| runtime.block_on(command.ask(http)));
    // What still waits for a terminal or a reader does not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            complain(&fault);
            ExitCode::from(fault.exit_code())
        }
    }
}

/// Says something on standard output; that nobody reads it is no error.
fn say(text: &str) -> Result<(), Fault> {
    output::print(text).map_err(Fault::Output)
}

/// Says a JSON answer as it came, in one line.
fn say_json(json: &str) -> Result<(), Fault> {
    say(&format!("{}\n", safe::json(json)))
}
