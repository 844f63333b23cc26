//! Sessions for the journal's tests, and a disk that fails and loses power on demand.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustsocks_journal::disk::{Disk, LocalDisk, Medium};
use rustsocks_journal::{Journal, JournalNotice, JournalOptions, Replay, Report};
use rustsocks_proto::{Command, Target};
use rustsocks_sessions::{
    AclOutcome, Clock, Identity, OpenSession, Opening, Record, Rules, Session, Table,
};

pub(crate) fn table() -> Table {
    Table::new(Clock::system(), "node".into(), Rules::default())
}

pub(crate) fn open(table: &Table) -> OpenSession {
    let target: std::net::SocketAddr = "192.0.2.1:80".parse().unwrap();
    let session = table.open(Opening {
        identity: Identity::Authenticated("alice".into()),
        source: "198.51.100.7:4000".parse().unwrap(),
        target: Some(Target::from(target)),
        command: Some(Command::Connect),
        acl: AclOutcome::Allowed(Some("all".into())),
    });
    session.relaying();
    session
}

/// What the journal told, in order.
pub(crate) type Told = Arc<Mutex<Vec<JournalNotice>>>;

pub(crate) fn start(options: JournalOptions, table: &Table) -> (Journal, Told) {
    let told = Told::default();
    let sink = Arc::clone(&told);
    let notice = move |notice| sink.lock().unwrap().push(notice);
    (Journal::open(options, table.clone(), notice).unwrap(), told)
}

/// Everything in a folder, replayed as the next start would.
pub(crate) fn replay(folder: &Path) -> (Vec<Record>, Report) {
    let mut replay = Replay::default();
    let mut records = Vec::new();
    for segment in rustsocks_journal::list(folder).unwrap() {
        // Where it is gone since the folder was looked through, nobody needs it.
        let Ok(bytes) = std::fs::read(segment.path) else { continue };
        records.extend(replay.segment(&bytes).unwrap());
    }
    let (crashed, report) = replay.finish();
    records.extend(crashed);
    (records, report)
}

/// Takes what waits for the store as the recorder does, and saves it nowhere.
pub(crate) fn settle(table: &Table, journal: &Journal) -> Vec<Record> {
    let batch = table.outbox().take(usize::MAX);
    let ended: Vec<&Arc<Session>> = batch.iter().filter(|session| session.has_ended()).collect();
    let records = ended.iter().map(|session| session.snapshot()).collect();
    table.saved(ended, |segment| journal.settle(segment));
    journal.tidy();
    records
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not come about");
}

/// A disk that can be made to refuse, and that knows what a power loss would leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragile {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    refuses: AtomicBool,
    refuses_to_sync: AtomicBool,
    /// Whether syncs do not come back, and who waits for that to change.
    hangs_in_sync: (Mutex<bool>, Condvar),
    /// The file of each path, and how much of it is synced.
    files: Mutex<HashMap<PathBuf, Arc<FragileFile>>>,
    /// Paths whose names are synced.
    named: Mutex<Vec<PathBuf>>,
}

#[derive(Debug)]
struct FragileFile {
    file: File,
    shared: Arc<Shared>,
    synced: AtomicU64,
}

impl Fragile {
    pub(crate) fn refuse(&self, refuse: bool) {
        self.shared.refuses.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn refuse_to_sync(&self, refuse: bool) {
        self.shared.refuses_to_sync.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn hang_in_sync(&self, hang: bool) {
        *self.shared.hangs_in_sync.0.lock().unwrap() = hang;
        self.shared.hangs_in_sync.1.notify_all();
    }

    /// Bytes that are synced, over all files.
    pub(crate) fn synced(&self) -> u64 {
        let files = self.shared.files.lock().unwrap();
        files.values().map(|file| file.synced.load(Ordering::SeqCst)).sum()
    }

    /// Copies to another folder what a power loss at this moment would leave.
    pub(crate) fn lose_power(&self, into: &Path) {
        let named = self.shared.named.lock().unwrap().clone();
        let files = self.shared.files.lock().unwrap();
        for path in named {
            let Some(file) = files.get(&path) else { continue };
            let mut bytes = std::fs::read(&path).unwrap();
            let synced = usize::try_from(file.synced.load(Ordering::SeqCst)).unwrap();
            // The file may be longer by now, and what is not synced may be anything.
            bytes.truncate(synced);
            bytes.extend_from_slice(&[0; 100]);
            std::fs::write(into.join(path.file_name().unwrap()), bytes).unwrap();
        }
    }
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(28)
}

impl Disk for Fragile {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Medium>> {
        if self.shared.refuses.load(Ordering::SeqCst) {
            return Err(refused());
        }
        let file = File::options().append(true).create_new(true).open(path)?;
        let shared = Arc::clone(&self.shared);
        let file = Arc::new(FragileFile { file, shared, synced: AtomicU64::new(0) });
        self.shared.files.lock().unwrap().insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.files.lock().unwrap().remove(path);
        LocalDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let files = self.shared.files.lock().unwrap();
        let inside = files.keys().filter(|path| path.parent() == Some(folder)).cloned();
        *self.shared.named.lock().unwrap() = inside.collect();
        Ok(())
    }
}

impl Medium for FragileFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        if self.shared.refuses.load(Ordering::SeqCst) {
            // A disk that fills up takes a part.
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(refused());
        }
        self.file.append(bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.file.cut(length)
    }

    fn sync(&self) -> io::Result<()> {
        let (hangs, changed) = &self.shared.hangs_in_sync;
        drop(changed.wait_while(hangs.lock().unwrap(), |hangs| *hangs).unwrap());
        if self.shared.refuses_to_sync.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let length = self.file.metadata()?.len();
        self.file.sync()?;
        self.synced.store(length, Ordering::SeqCst);
        Ok(())
    }
}
