//! All tests of the workspace.

use anyhow::Result;

use crate::shell::cargo;
use crate::shell::{cargo_command, run as run_command};
use crate::{dashboard, packages};

/// Installs what the tests use, then runs them all. With arguments, those of `cargo test` alone.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    packages::ensure(packages::TEST)?;
    packages::ensure_schemathesis();
    let all = ["test", "--workspace", "--no-fail-fast"];
    if !arguments.is_empty() {
        return cargo(all.into_iter().chain(arguments.iter().map(String::as_str)));
    }
    // First, so that the program under test has the dashboard in it.
    let npm = dashboard::build()?;
    cargo(all)?;
    match npm {
        Some(npm) => dashboard::test(&npm),
        None => Ok(()),
    }
}

/// Kills the program so many times under load and compares the ledger with what the peers saw; what
/// happened more than 50 ms before a kill must be in it.
pub(crate) fn torture(rounds: u32) -> Result<()> {
    packages::ensure(packages::TEST)?;
    let story = ["test", "--release", "--package", "rustsocks", "--test", "stories"];
    let mut command = cargo_command();
    command.args(story).args(["after_kill_9", "--", "--nocapture"]);
    command.env("RUSTSOCKS_TORTURE_WINDOW_MS", "50");
    run_command(command.env("RUSTSOCKS_TORTURE_ROUNDS", rounds.to_string()))
}
