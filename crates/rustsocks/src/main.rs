//! The program `rustsocks`: command line, configuration, wiring. It decides nothing else.
//!
//! Exit codes: 0 done; 1 `acl test` says block; 2 a bad configuration or command line; 3 some
//! record could not be made durable; 4 the server could not run.

mod cli;
mod config;
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
