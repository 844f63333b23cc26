//! Everything that must hold before a change lands.

use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, run as run_command};
use crate::{generate, test};

/// The program's Cargo features, each of which stands alone.
const FEATURES: [&str; 9] =
    ["database", "mysql", "postgres", "metrics", "api-docs", "dashboard", "tui", "tls", "mimalloc"];

/// Tests, formatting, lints, feature combinations, generated files, and the checks whose tools
/// happen to be installed.
pub(crate) fn run() -> Result<()> {
    cargo(["fmt", "--all", "--check"])?;
    test::run(&[])?;
    let every = ["--workspace", "--all-targets", "--all-features"];
    cargo(["clippy"].into_iter().chain(every).chain(["--", "--deny", "warnings"]))?;
    features()?;
    generate::run(true)?;
    optional("cargo-deny", &["deny", "check", "bans", "licenses", "sources"])
}

/// Builds and tests the program with each feature alone and with none. Clippy has read all code
/// by then; what the compiler finds unused in a set is an error by `RUSTFLAGS` in `.ci/run`.
pub(crate) fn features() -> Result<()> {
    let sets = std::iter::once("").chain(FEATURES);
    for set in sets {
        eprintln!("features: {}", if set.is_empty() { "none" } else { set });
        let chosen = ["--package", "rustsocks", "--no-default-features", "--features", set];
        // The tests that start the program choose a storage that is compiled in.
        cargo(["test", "--bins", "--test", "features"].into_iter().chain(chosen))?;
    }
    Ok(())
}

/// Runs a cargo tool where it is installed; installing it would take minutes.
fn optional(tool: &str, arguments: &[&str]) -> Result<()> {
    let installed = Command::new(tool).arg("--version").output().is_ok();
    if !installed {
        eprintln!("{tool} is not installed: its checks are left out");
        return Ok(());
    }
    run_command(Command::new("cargo").args(arguments))
}
