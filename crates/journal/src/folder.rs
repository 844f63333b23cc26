//! The journal's folder: one process at a time, and the segments in their order.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Another process uses the folder.
    #[error(
        "the journal {folder} is in use by process {holder}; stop that one, or give this one a \
         journal_dir of its own"
    )]
    InUse {
        /// The folder.
        folder: String,
        /// The other process.
        holder: String,
    },
    /// The folder cannot be made, read or written.
    #[error(
        "the journal {folder} cannot be used: {error}; give this user the right to write there"
    )]
    Io {
        /// The folder.
        folder: String,
        /// What the operating system says.
        error: std::io::Error,
    },
}

impl JournalError {
    pub(crate) fn io(folder: &Path, error: std::io::Error) -> Self {
        Self::Io { folder: folder.display().to_string(), error }
    }
}

/// A segment of the journal in its folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentFile {
    /// Its number; segments are replayed in the order of these.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

const SUFFIX: &str = ".journal";

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}{SUFFIX}"))
}

/// The segments in a folder, the oldest first. Needs no lock.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<SegmentFile>, JournalError> {
    let failed = |error| JournalError::io(folder, error);
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let Some(number) = number.and_then(|number| number.parse().ok()) else { continue };
        // Gone since the folder was read: the process that owns it needs it no more.
        let Ok(facts) = entry.metadata() else { continue };
        segments.push(SegmentFile { number, path: entry.path(), bytes: facts.len() });
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Holds the folder for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder where it is missing, and takes it.
    pub(crate) fn take(folder: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError::io(folder, error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("lock"))
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Whoever it is, it is somebody else.
                let _unknown = file.read_to_string(&mut holder);
                let folder = folder.display().to_string();
                return Err(JournalError::InUse { folder, holder: holder.trim().to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        // Only said for people: the lock itself is the kernel's.
        let _on_a_full_disk = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}
