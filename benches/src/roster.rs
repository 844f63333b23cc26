//! The processes that this run started and the folder it works in. Whatever happens, exactly
//! these are ended, by process group, and the folder is removed.

use std::io;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::usage::Tree;

/// How long a peer may take to end on request before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Who was started and has not been ended.
#[derive(Debug)]
pub(crate) struct Roster {
    folder: TempDir,
    running: Mutex<Vec<Pid>>,
}

impl Roster {
    /// Nobody yet, in a new temporary folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rustsocks-bench-").tempdir()?;
        Ok(Self { folder, running: Mutex::default() })
    }

    /// Where peers keep their files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Notes a process that leads a group of its own.
    pub(crate) fn add(&self, leader: Pid) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(leader);
    }

    /// Ends `child` with its whole group: first asks, then kills.
    pub(crate) fn end(&self, child: &mut Child) {
        let Some(leader) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
        let tree = Tree::of(leader);
        // The child is waited for last: until then its id, and so that of the group, stays its own.
        let _ = kill_process_group(leader, Signal::TERM);
        let asked = Instant::now();
        while tree.has_living_members() && asked.elapsed() < GRACE {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(leader, Signal::KILL);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| *pid != leader);
        let _ = child.wait();
    }

    fn kill_all(&self) {
        for leader in self.running.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// From now on SIGINT and SIGTERM end this process only after everybody on the roster.
///
/// # Errors
/// When the signals cannot be watched.
pub(crate) fn end_all_on_signal(roster: Arc<Roster>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    // Not joined: it lives as long as the process.
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        roster.kill_all();
        let _ = std::fs::remove_dir_all(roster.folder());
        std::process::exit(130);
    });
    Ok(())
}
