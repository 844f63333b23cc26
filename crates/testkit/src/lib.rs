//! What whole-proxy tests are made of: the program as its own process, clients that write
//! SOCKS byte by byte, a DNS server that says what a test wants.
//!
//! Blocking and without a runtime: a test reads top-down, and what it holds up is itself alone.
//! A failure panics with what was expected, as a test does.

#![expect(clippy::unwrap_used, reason = "a test's equipment fails by panicking")]

pub mod certificate;
pub mod client;
pub mod database;
pub mod dns;
pub mod http;
pub mod proxy;
pub mod stream;
pub mod terminal;

use std::time::{Duration, Instant};

pub use certificate::Certificate;
pub use client::{Client, Outcome};
pub use database::{DatabaseServer, Kind};
pub use dns::FakeDns;
pub use http::Answer;
pub use proxy::Proxy;
pub use stream::EventStream;
pub use terminal::Terminal;

/// How long anything may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again, with short pauses, until there is an answer.
///
/// # Panics
/// When there is none in time.
#[expect(clippy::disallowed_methods, reason = "tests of another process live in real time")]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
