//! The threads: some for clients and the ledger, and few, of lower priority, for who asks.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Threads that answer the API: one may be held up by a long answer.
const ANSWERING: usize = 2;

/// How much they give way (setpriority(2)): with the processors saturated by clients they
/// get about a tenth of a client thread's share.
const NICENESS: i32 = 10;

/// The lowest priority there is.
const LOWEST: i32 = 19;

/// Runs clients and the ledger.
pub(crate) fn serving() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// The niceness of threads that give way.
pub(crate) fn niceness() -> i32 {
    let own = rustix::process::getpriority_process(None).unwrap_or(0);
    (own + NICENESS).min(LOWEST)
}

/// Runs the API, so that no question, however often asked, slows a client down.
pub(crate) fn answering() -> io::Result<Runtime> {
    let niceness = niceness();
    let give_way = move || {
        // Of this thread alone: on Linux threads have priorities of their own.
        if let Err(error) = rustix::process::setpriority_process(None, niceness) {
            tracing::debug!(%error, "the API runs at the priority of everything else");
        }
    };
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(ANSWERING).thread_name("api").on_thread_start(give_way);
    builder.enable_all().build()
}
