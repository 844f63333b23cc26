//! A peer's process: started in a group and folder of its own, watched, and ended on drop.

use std::fs::{self, File};
use std::net::{SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::roster::Roster;
use crate::usage::Tree;

/// The slowest peer needs about one second; a debug build on a busy machine some more.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How much of a peer's output is quoted when it fails.
const LAST_WORDS_LINES: usize = 3;

/// A started peer.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    tree: Tree,
    /// Holds its configuration, database and output; removed after it has ended.
    folder: TempDir,
    roster: Arc<Roster>,
}

impl Process {
    /// Starts `command` in `folder`, its output kept there.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub(crate) fn start(
        mut command: Command,
        folder: TempDir,
        roster: Arc<Roster>,
    ) -> anyhow::Result<Self> {
        let output = File::create(folder.path().join("output"))?;
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let (child, tree) = roster
            .spawn(&mut command)
            .with_context(|| format!("running {}", command.get_program().display()))?;
        Ok(Self { child, tree, folder, roster })
    }

    /// Waits until connections to `address` are taken.
    ///
    /// # Errors
    /// When the process ends or the time is up first.
    pub(crate) fn wait_until_listening(&self, address: SocketAddrV4) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            self.check_alive()?;
            if started.elapsed() > START_LIMIT {
                bail!("does not listen after {} s{}", START_LIMIT.as_secs(), self.last_words());
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Somebody else may have taken the port: then it is not our process that listens.
        self.check_alive()
    }

    pub(crate) fn usage(&self) -> Tree {
        self.tree
    }

    pub(crate) fn check_alive(&self) -> anyhow::Result<()> {
        if self.tree.is_alive() {
            return Ok(());
        }
        bail!("the process has ended{}", self.last_words())
    }

    fn last_words(&self) -> String {
        let output = fs::read(self.folder.path().join("output")).unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.get(lines.len().saturating_sub(LAST_WORDS_LINES)..) {
            Some(last) if !last.is_empty() => format!(": {}", last.join(" / ")),
            _ => String::new(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.roster.end(&mut self.child);
    }
}
