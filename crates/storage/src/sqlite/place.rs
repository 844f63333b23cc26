//! The file's place: folders made, what can never be a database refused, one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::store::StoreError;

pub(super) fn refuse(path: &Path, problem: impl Into<String>) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.into() }
}

/// A file beside the database: the same name, with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// Makes the parent folders, and refuses what can never become a database.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(refuse(path, "it is a directory; name a file inside it"));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            let folder = folder.display();
            let problem =
                format!("its folder {folder} cannot be made: {error}; name another place");
            refuse(path, problem)
        })?;
    }
    // Opened by hand first, because SQLite only says "unable to open database file".
    let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
    opened.map(drop).map_err(|error| no_right(path, &error))
}

fn no_right(path: &Path, error: &std::io::Error) -> StoreError {
    refuse(path, format!("{error}; give this user the right to write there and in its folder"))
}

/// Holds a database for this process, by a file beside it, until it is released.
///
/// The lock itself is the kernel's and goes with the process. What the file says is for people,
/// and for the next start: it is emptied by an orderly stop alone.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Whether the last process that held it did not stop in order.
    pub(super) was_left: bool,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock = beside(path, ".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(|error| no_right(&lock, &error))?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut holder = String::new();
        // Whatever it says, it is only said.
        let _unreadable = file.read_to_string(&mut holder);
        let holder = holder.trim();
        match locked {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let problem = format!(
                    "it is in use by process {holder}; stop that one, or give this one a file of \
                     its own"
                );
                return Err(refuse(path, problem));
            }
            Err(error) => return Err(no_right(&lock, &error.into())),
        }
        let was_left = !holder.is_empty();
        let lock = Self { file, was_left };
        lock.say(&std::process::id().to_string()).map_err(|error| no_right(path, &error))?;
        Ok(lock)
    }

    /// Lets go, and says that this process stopped in order.
    pub(super) fn release(self) {
        // Otherwise the next start checks once more than it needs to.
        let _stays = self.say("");
    }

    fn say(&self, text: &str) -> std::io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())
    }
}
