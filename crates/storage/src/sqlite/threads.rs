//! Threads that SQLite's connections work in: they are made wherever a connection is needed first,
//! and begin with the priority of whoever that was.

use rustix::process::{Pid, setpriority_process};

/// Sets the niceness of this process's threads of a name. On Linux threads have priorities of their
/// own; where that is not allowed they stay as they are.
pub(super) fn give_way(name: &str, niceness: i32) {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.flatten() {
        let is_named = std::fs::read_to_string(thread.path().join("comm"))
            .is_ok_and(|found| found.trim_end() == name);
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
        if let (true, Some(id)) = (is_named, id.and_then(Pid::from_raw)) {
            let _as_far_as_may_be = setpriority_process(Some(id), niceness);
        }
    }
}
