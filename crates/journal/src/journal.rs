//! The handle on the journal that everybody else holds.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustsocks_sessions::{Record, Session, Table};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::disk::{Disk, LocalDisk};
use crate::folder::{self, FolderLock, JournalError, SegmentFile};
use crate::frame;
use crate::replay::{self, Finals};
use crate::segments::Segments;
use crate::sync::Syncer;
use crate::writer::Writer;

/// What happens to accounting when the journal is full or its disk is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Go on serving; what neither the journal nor the store takes, and memory cannot hold, is
    /// counted as lost.
    #[default]
    Degrade,
    /// Turn new clients away: no accounting, no service.
    Refuse,
}

/// A disk that has not answered for so long is told of as one that refuses.
const STALLED: Duration = Duration::from_secs(3);

/// Where and how.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The folder; made where it is missing.
    pub folder: PathBuf,
    /// The most bytes on disk.
    pub max_bytes: u64,
    /// Whether states survive a power loss: synced in groups, at most 50 ms apart.
    pub sync: bool,
    /// What happens when it cannot take any more.
    pub when_full: WhenFull,
    /// Ended sessions that may wait in memory; more of them wait on disk alone.
    pub keep_in_memory: usize,
    /// The layer to the files.
    pub disk: Arc<dyn Disk>,
}

impl JournalOptions {
    /// The usual choices for a folder on the machine's own disk.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_bytes: 1 << 30,
            sync: true,
            when_full: WhenFull::default(),
            keep_in_memory: 50_000,
            disk: Arc::new(LocalDisk),
        }
    }
}

/// Whether states reach the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Writing {
    /// They do.
    #[default]
    Ok,
    /// The journal has reached its bound.
    Full,
    /// The disk refused, with these words.
    Failed(String),
}

/// A change of the journal's health, told once each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalNotice {
    /// It holds four fifths of what it may.
    Filling {
        /// Bytes on disk.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// It cannot take any more; states live in memory alone from here on.
    Stopped(Writing),
    /// It takes states again, the ones that waited included.
    Resumed,
    /// Final states begin to be lost.
    Losing,
}

/// Since when a thread has been at what it does, in microseconds since the run began and one more;
/// 0 while it waits for something to do.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicU64);

pub(crate) type Listener = Box<dyn Fn(JournalNotice) + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) options: JournalOptions,
    pub(crate) table: Table,
    pub(crate) notice: Listener,
    /// When this run began.
    begun: Instant,
    pub(crate) writer_busy: Busy,
    pub(crate) syncer_busy: Busy,
    /// Whether it was told that the disk does not answer.
    told_stalled: AtomicBool,
    /// Those of former runs that are still needed.
    older: Mutex<Vec<SegmentFile>>,
    segments: Mutex<Segments>,
    writing: Mutex<Writing>,
    /// Bytes on disk, those of former runs included.
    pub(crate) bytes: AtomicU64,
    /// Bytes written since the start.
    pub(crate) written: AtomicU64,
    /// Failed tries to write since the start.
    pub(crate) failures: AtomicU64,
    /// Asks the writer to keep ended sessions in memory again, and to begin a new segment.
    pub(crate) turn: AtomicBool,
    pub(crate) turned: Notify,
    pub(crate) stop: AtomicBool,
    pub(crate) syncer: Syncer,
    _lock: FolderLock,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("options", &self.options).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Inner {
    pub(crate) fn segments(&self) -> MutexGuard<'_, Segments> {
        lock(&self.segments)
    }

    /// Monotonic time since the run began, in microseconds.
    pub(crate) fn since_begun(&self, at: Instant) -> u64 {
        frame::micros(at.saturating_duration_since(self.begun))
    }

    /// Notes that a thread begins to do something, or has done it.
    pub(crate) fn set_busy(&self, thread: &Busy, busy: bool) {
        let since = if busy { self.since_begun(Instant::now()) + 1 } else { 0 };
        thread.0.store(since, Ordering::Relaxed);
    }

    /// How long the disk has not answered one of the threads, where that is too long.
    fn stalled(&self) -> Option<Duration> {
        let threads = [&self.writer_busy, &self.syncer_busy].into_iter();
        let since = threads.filter_map(|Busy(since)| since.load(Ordering::Relaxed).checked_sub(1));
        let micros = self.since_begun(Instant::now()).saturating_sub(since.min()?);
        Some(Duration::from_micros(micros)).filter(|stalled| *stalled >= STALLED)
    }

    /// Notes how writing goes; returns how it went before.
    pub(crate) fn set_writing(&self, writing: Writing) -> Writing {
        std::mem::replace(&mut *lock(&self.writing), writing)
    }

    pub(crate) fn writing(&self) -> Writing {
        lock(&self.writing).clone()
    }
}

/// Reads sessions whose place is known.
#[derive(Clone, Debug)]
pub struct Reader {
    folder: PathBuf,
}

impl Reader {
    /// The ended sessions that begin at these bytes of a segment. What is damaged is left out;
    /// none where the segment is gone, because the store has everything in it. Blocks.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn read(&self, segment: u64, places: &[u32]) -> std::io::Result<Option<Vec<Record>>> {
        match std::fs::read(folder::segment_path(&self.folder, segment)) {
            Ok(bytes) => Ok(Some(replay::finals_at(&bytes, places).collect())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A segment of this run cannot be read. It stays where it is, and is tried again later.
#[derive(Debug, Error)]
#[error("{}: {error}", path.display())]
pub struct Unreadable {
    /// The segment.
    pub path: PathBuf,
    /// Why.
    pub error: std::io::Error,
    /// Whether this is not known yet.
    pub is_news: bool,
}

/// The journal of one table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Journal {
    /// Takes the folder, begins a segment, and from here on writes what the table's sessions
    /// become. `notice` hears of each change of its health, on the journal's own thread or that of
    /// whoever calls [`Journal::tell_stalls`].
    ///
    /// # Errors
    /// [`JournalError`], with what to do about it.
    pub fn open(
        options: JournalOptions,
        table: Table,
        notice: impl Fn(JournalNotice) + Send + Sync + 'static,
    ) -> Result<Self, JournalError> {
        let lock = FolderLock::take(&options.folder)?;
        let older = folder::list(&options.folder)?;
        let bytes = older.iter().map(|segment| segment.bytes).sum();
        let next = older.last().map_or(1, |newest| newest.number + 1);
        let folder = options.folder.clone();
        let inner = Arc::new(Inner {
            begun: table.clock().now().mono,
            writer_busy: Busy::default(),
            syncer_busy: Busy::default(),
            told_stalled: AtomicBool::new(false),
            options,
            table,
            notice: Box::new(notice),
            older: Mutex::new(older),
            segments: Mutex::default(),
            writing: Mutex::default(),
            bytes: AtomicU64::new(bytes),
            written: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            turn: AtomicBool::new(false),
            turned: Notify::new(),
            stop: AtomicBool::new(false),
            syncer: Syncer::default(),
            _lock: lock,
        });
        let failed = |error| JournalError::io(&folder, error);
        let writer = Writer::new(Arc::clone(&inner), next).map_err(failed)?;
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(failed)
        };
        let syncing = Arc::clone(&inner);
        let writing = thread("journal", Box::new(|| writer.run()))?;
        let syncing = thread("journal-sync", Box::new(move || syncing.syncer.run(&syncing)))?;
        inner.table.outbox().attach_journal(writing.thread().clone());
        let threads = Arc::new(Mutex::new(vec![writing, syncing]));
        Ok(Self { inner, threads })
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.inner.options.folder
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// The most bytes it may hold.
    pub fn max_bytes(&self) -> u64 {
        self.inner.options.max_bytes
    }

    /// Bytes written since the start.
    pub fn written(&self) -> u64 {
        self.inner.written.load(Ordering::Relaxed)
    }

    /// Failed tries to write since the start.
    pub fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    /// Segments on disk.
    pub fn segments(&self) -> usize {
        lock(&self.inner.older).len() + self.inner.segments().list.len()
    }

    /// Whether states reach the disk.
    pub fn writing(&self) -> Writing {
        match self.inner.stalled() {
            Some(stalled) => {
                let seconds = stalled.as_secs();
                Writing::Failed(format!("its disk has not answered for {seconds} seconds"))
            }
            None => self.inner.writing(),
        }
    }

    /// Whether the disk does not answer, which holds up whatever goes through the journal.
    pub fn is_stalled(&self) -> bool {
        self.inner.stalled().is_some()
    }

    /// Tells once of a disk that does not answer, and once that it does again. To be called every
    /// second or so: the journal's own threads wait for the disk.
    pub fn tell_stalls(&self) {
        let stalled = self.is_stalled();
        match (self.inner.told_stalled.swap(stalled, Ordering::SeqCst), stalled) {
            (false, true) => (self.inner.notice)(JournalNotice::Stopped(self.writing())),
            (true, false) if self.inner.writing() == Writing::Ok => {
                (self.inner.notice)(JournalNotice::Resumed);
            }
            _ => {}
        }
    }

    /// The segments of former runs, the oldest first.
    pub fn older(&self) -> Vec<SegmentFile> {
        lock(&self.inner.older).clone()
    }

    /// Removes these segments of former runs: the store has what is in them.
    pub fn forget_older(&self, done: &[SegmentFile]) {
        for segment in done {
            match self.inner.options.disk.remove(&segment.path) {
                Ok(()) => {
                    lock(&self.inner.older).retain(|older| older.number != segment.number);
                    self.inner.bytes.fetch_sub(segment.bytes, Ordering::Relaxed);
                }
                // It is replayed once more at the next start, which changes nothing.
                Err(error) => {
                    tracing::warn!(path = %segment.path.display(), %error, "cannot be removed");
                }
            }
        }
        self.inner.table.outbox().rouse_writer();
    }

    /// Notes that the store has a final state that lies in this segment.
    pub fn settle(&self, segment: u64) {
        if let Some(segment) = self.inner.segments().get(segment) {
            segment.waiting = segment.waiting.saturating_sub(1);
        }
    }

    /// Deletes what is no longer needed, soon.
    pub fn tidy(&self) {
        if self.inner.segments().prunable() > 0 {
            self.inner.table.outbox().rouse_writer();
        }
    }

    /// Reads segments for whoever knows what lies where.
    pub fn reader(&self) -> Reader {
        Reader { folder: self.inner.options.folder.clone() }
    }

    /// The next ended sessions that are on disk alone, the oldest first, and others of the same
    /// segment: its number and the sessions. None when there are none, or the disk does not answer.
    /// Cancel safe.
    ///
    /// Follow it by [`Journal::drained`] once the store has them.
    ///
    /// # Errors
    /// When the segment cannot be read. Those behind it come next.
    pub async fn next_spilled(&self) -> Result<Option<(u64, Finals)>, Unreadable> {
        loop {
            let turned = self.inner.turned.notified();
            let oldest = self.inner.segments().oldest_spilled(Instant::now());
            let Some((number, path, is_current)) = oldest else { return Ok(None) };
            if !is_current {
                let from = path.clone();
                let read = tokio::task::spawn_blocking(move || read_spilled(&from)).await;
                return match read.map_err(std::io::Error::other).flatten() {
                    Ok(finals) => Ok(Some((number, finals))),
                    Err(error) => {
                        let is_news = self.inner.segments().pass_over(number, Instant::now());
                        Err(Unreadable { path, error, is_news })
                    }
                };
            }
            // Only the segment being written is left: from here on the recorder keeps up.
            self.inner.turn.store(true, Ordering::SeqCst);
            self.inner.table.outbox().rouse_writer();
            let _again = tokio::time::timeout(Duration::from_secs(1), turned).await;
            if self.inner.stalled().is_some() {
                return Ok(None);
            }
        }
    }

    /// Notes that the store has the records that [`Journal::next_spilled`] gave for a segment;
    /// tells whether an earlier try to read it had failed.
    pub fn drained(&self, segment: u64, records: usize) -> bool {
        let outbox = self.inner.table.outbox();
        let mut segments = self.inner.segments();
        let Some(segment) = segments.get(segment) else { return false };
        let missing = segment.finals.saturating_sub(records).min(segment.spilled);
        let spilled = std::mem::take(&mut segment.spilled);
        let was_passed_over = segment.read_again_at.take().is_some();
        drop(segments);
        outbox.drained(spilled - missing);
        outbox.damaged(missing);
        self.tidy();
        was_passed_over
    }

    /// Writes the last states, makes them as durable as asked for, and stops. Where the store
    /// has everything, nothing is left on disk. Blocks; call it when no session is left.
    ///
    /// Returns whether every final state that the store lacks is in the journal.
    pub fn close(&self) -> bool {
        self.inner.stop.store(true, Ordering::SeqCst);
        self.inner.table.outbox().rouse_writer();
        for thread in lock(&self.threads).drain(..) {
            self.inner.syncer.stop_when(thread.thread().name() == Some("journal-sync"));
            if thread.join().is_err() {
                return false;
            }
        }
        // The last syncs failed after the writer had ended.
        let synced = self.inner.syncer.take_failed().is_empty();
        let table = &self.inner.table;
        let has = |session: &Arc<Session>| session.journal().finished_in().is_some();
        table.outbox().unsaved() == 0
            || (synced && self.inner.writing() == Writing::Ok && table.all().iter().all(has))
    }
}

/// The ended sessions of a segment; none where the file was taken away, as where it is damaged.
fn read_spilled(path: &Path) -> std::io::Result<Finals> {
    let finals = match std::fs::read(path) {
        Ok(bytes) => replay::finals(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), "a segment of the journal is gone");
            return Ok(Finals::default());
        }
        Err(error) => return Err(error),
    };
    if finals.skipped > 0 {
        let skipped = finals.skipped;
        tracing::error!(path = %path.display(), skipped, "the journal is damaged");
    }
    Ok(finals)
}
