//! The program `rustsocks`: command line, configuration, wiring. It decides nothing else.
//!
//! Exit codes: 0 done; 1 the answer is no (`acl test` says block, nothing is found, a `db` command
//! found a problem); 2 a bad configuration, command line or filter; 3 some record could not be made
//! durable; 4 the server could not run or cannot be reached, or a command could not do its work;
//! 5 a running server refuses.

mod cli;
mod config;
mod console;
#[cfg(feature = "database")]
mod db;
mod features;
mod history;
mod manual;
#[cfg(feature = "metrics")]
mod metrics;
mod notices;
mod output;
mod program;
mod runtime;
mod storage;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
