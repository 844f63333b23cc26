//! The processes that this run started and the folder it works in. Whatever happens, exactly
//! these are ended, by process group, and the folder is removed.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

    /// Starts a process as the leader of a group of its own.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(Child, Tree)> {
        // Held while starting, so that nobody is started behind the back of `kill_all`.
        let mut running = self.running();
        let child = command.process_group(0).spawn()?;
        let leader = id_of(&child)?;
        running.push(leader);
        Ok((child, Tree::of(leader)))
    }

    /// Ends `child` with its whole group: first asks, then kills.
    pub(crate) fn end(&self, child: &mut Child) {
        let Ok(leader) = id_of(child) else { return };
        let tree = Tree::of(leader);
        // The child is waited for last: until then its id, and so that of the group, stays its own.
        let _ = kill_process_group(leader, Signal::TERM);
        let asked = Instant::now();
        while tree.has_living_members() && asked.elapsed() < GRACE {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(leader, Signal::KILL);
        self.running().retain(|pid| *pid != leader);
        let _ = child.wait();
    }

    /// Kills everybody and removes the folder. As long as the guard lives nobody can be started.
    fn kill_all(&self) -> MutexGuard<'_, Vec<Pid>> {
        let mut running = self.running();
        for leader in running.drain(..) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
        let _ = fs::remove_dir_all(self.folder());
        running
    }

    fn running(&self) -> MutexGuard<'_, Vec<Pid>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id_of(child: &Child) -> io::Result<Pid> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::other("an impossible process id"))
}

/// From now on SIGINT and SIGTERM end this process only after everybody on the roster.
///
/// # Errors
/// When the signals cannot be watched.
pub(crate) fn end_all_on_signal(roster: &Arc<Roster>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    // The roster must go when `main` returns, folder and all; this thread stays until then.
    let roster = Arc::downgrade(roster);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let roster = roster.upgrade();
        let _guard = roster.as_ref().map(|roster| roster.kill_all());
        std::process::exit(130);
    });
    Ok(())
}
