//! All tests of the workspace.

use anyhow::Result;

use crate::packages;
use crate::shell::cargo;
use crate::shell::{cargo_command, run as run_command};

/// Installs what the tests use, then runs them all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    packages::ensure(packages::TEST)?;
    packages::ensure_schemathesis();
    let all = ["test", "--workspace", "--no-fail-fast"];
    cargo(all.into_iter().chain(arguments.iter().map(String::as_str)))
}

/// Kills the program so many times under load and compares the ledger with what the peers saw.
pub(crate) fn torture(rounds: u32) -> Result<()> {
    packages::ensure(packages::TEST)?;
    let story = ["test", "--release", "--package", "rustsocks", "--test", "stories"];
    let mut command = cargo_command();
    command.args(story).args(["after_kill_9", "--", "--nocapture"]);
    run_command(command.env("RUSTSOCKS_TORTURE_ROUNDS", rounds.to_string()))
}
