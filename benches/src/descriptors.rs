//! The limit on open files, raised once for this process and thereby for every peer it starts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for both ends of ten thousand sessions, their proxy's two sides, and some.
const WANTED: u64 = 65_536;

/// Raises the limit as far as is allowed and returns what it is now.
pub(crate) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let highest = limit.maximum.unwrap_or(u64::MAX);
    if highest < WANTED {
        // Only a privileged user may go beyond the hard limit; anybody else takes all of it.
        let both = Rlimit { current: Some(WANTED), maximum: Some(WANTED) };
        if setrlimit(Resource::Nofile, both).is_ok() {
            return WANTED;
        }
    }
    let current = highest.min(WANTED);
    match setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }) {
        Ok(()) => current,
        Err(_) => limit.current.unwrap_or(current),
    }
}
