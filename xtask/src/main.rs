//! The project's own chores, one word each: `cargo xtask build | run | test | ci …`.

mod ci;
mod dashboard;
mod generate;
mod packages;
mod shell;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::shell::cargo;

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the program for use, with its dashboard where npm is there: `target/release/rustsocks`.
    Build,
    /// Build the program for use and run it; arguments are passed on.
    Run {
        /// Arguments of `rustsocks`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run all tests, after installing the Debian packages they need where that is allowed.
    Test {
        /// Arguments of `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compare RustSocks with its peers; arguments are passed on (`--quick`, `--help`).
    Bench {
        /// Arguments of the load generator.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kill the program under load at random moments, and compare the ledger with what the
    /// peers saw; prints the table of docs/manual/durability.md.
    Torture {
        /// How often to kill it.
        #[arg(default_value_t = 200)]
        rounds: u32,
    },
    /// Take the pictures of the documentation from a dashboard under a scripted load.
    Screenshots,
    /// Write every generated file.
    Generate {
        /// Write nothing; fail when a file is not as it would be written.
        #[arg(long)]
        check: bool,
    },
    /// Build and test with every single Cargo feature, and with none.
    Features,
    /// What CI runs: tests, formatting, lints, feature combinations, generated files.
    Ci,
}

fn main() -> Result<()> {
    match Cli::parse().chore {
        Chore::Build => {
            dashboard::build_where_possible();
            cargo(["build", "--release", "--package", "rustsocks"])
        }
        Chore::Run { arguments } => {
            dashboard::build_where_possible();
            let run = ["run", "--release", "--package", "rustsocks", "--"];
            cargo(run.into_iter().chain(arguments.iter().map(String::as_str)))
        }
        Chore::Test { arguments } => test::run(&arguments),
        Chore::Bench { arguments } => {
            packages::ensure(packages::BENCH)?;
            cargo(["build", "--release", "--package", "rustsocks"])?;
            let run = ["run", "--release", "--package", "rustsocks-bench", "--"];
            cargo(run.into_iter().chain(arguments.iter().map(String::as_str)))
        }
        Chore::Torture { rounds } => test::torture(rounds),
        Chore::Screenshots => dashboard::screenshots(),
        Chore::Generate { check } => generate::run(check),
        Chore::Features => ci::features(),
        Chore::Ci => ci::run(),
    }
}
