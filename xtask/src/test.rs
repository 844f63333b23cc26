//! All tests of the workspace.

use anyhow::Result;

use crate::packages;
use crate::shell::cargo;

/// Installs what the tests use, then runs them all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    packages::ensure(packages::TEST)?;
    let all = ["test", "--workspace", "--no-fail-fast"];
    cargo(all.into_iter().chain(arguments.iter().map(String::as_str)))
}
