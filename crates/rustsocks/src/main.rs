//! The program `rustsocks`: command line, configuration, wiring. It decides nothing else.
//!
//! Exit codes: 0 done; 1 `acl test` says block, or a `db` command found a problem; 2 a bad configuration or command line; 3 some
//! record could not be made durable; 4 the server could
//! not run, or a `db` command could not do its work.

mod cli;
mod config;
#[cfg(feature = "database")]
mod db;
mod features;
#[cfg(feature = "metrics")]
mod metrics;
mod notices;
mod output;
mod program;
mod storage;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
