//! Ended sessions that left memory for the disk, because the store did not keep up.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustsocks_journal::disk::{Disk, LocalDisk, Medium};
use rustsocks_journal::{Journal, JournalNotice, JournalOptions, Replay, WhenFull, Writing, list};
use rustsocks_proto::{Command, Target};
use rustsocks_sessions::{
    AclOutcome, Clock, CloseReason, Identity, OpenSession, Opening, Rules, SessionId, Table,
};
use rustsocks_storage::{
    Direction, Durability, Figures, Filter, Paging, Recorder, RecorderOptions, Sort, SortKey,
    SqliteOptions, SqliteStore, Statistics, Store, WindowQuery,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the journal told, in order.
type Told = Arc<Mutex<Vec<JournalNotice>>>;

/// A ledger that keeps a few ended sessions in memory.
struct Ledger {
    folder: TempDir,
    table: Table,
    store: Arc<Store>,
    journal: Journal,
    told: Told,
    figures: Arc<Figures>,
    stop: CancellationToken,
    recording: JoinSet<()>,
}

impl Ledger {
    async fn start() -> Self {
        Self::keeping(3).await
    }

    async fn keeping(keep_in_memory: usize) -> Self {
        Self::on(keep_in_memory, Arc::new(LocalDisk)).await
    }

    async fn on(keep_in_memory: usize, disk: Arc<dyn Disk>) -> Self {
        Self::held_if(false, keep_in_memory, disk).await.0
    }

    /// A ledger, and what keeps writers out of its database from before the recorder began.
    async fn held_if(
        hold_it: bool,
        keep_in_memory: usize,
        disk: Arc<dyn Disk>,
    ) -> (Self, Option<SqliteConnection>) {
        let journal = JournalOptions { keep_in_memory, disk, ..JournalOptions::new("") };
        Self::with(hold_it, journal).await
    }

    /// The same with these choices for the journal, wherever they want it to be.
    async fn with(hold_it: bool, journal: JournalOptions) -> (Self, Option<SqliteConnection>) {
        let folder = TempDir::new().unwrap();
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let options = SqliteOptions {
            path: folder.path().join("sessions.db"),
            durability: Durability::Normal,
            backup_keep: 3,
            now: table.clock().now().wall,
        };
        let store: Store = SqliteStore::open(&options).await.unwrap().0.into();
        let store = Arc::new(store);
        let holder = match hold_it {
            true => Some(hold(&options.path).await),
            false => None,
        };
        let journal = JournalOptions { folder: folder.path().join("journal"), ..journal };
        let told = Told::default();
        let sink = Arc::clone(&told);
        let notice = move |notice| sink.lock().unwrap().push(notice);
        let journal = Journal::open(journal, table.clone(), notice).unwrap();
        let options = RecorderOptions {
            batch_size: 100,
            batch_interval: Duration::from_millis(10),
            last_tries: Duration::from_secs(2),
        };
        let recorder = Recorder::new(table.clone(), Arc::clone(&store), options, |_| {});
        let recorder = recorder.with_journal(journal.clone());
        let figures = recorder.figures();
        let stop = CancellationToken::new();
        let until = stop.clone();
        let mut recording = JoinSet::new();
        recording.spawn(async move {
            recorder.run(until).await;
        });
        (Self { folder, table, store, journal, told, figures, stop, recording }, holder)
    }

    fn open(&self) -> OpenSession {
        let target: std::net::SocketAddr = "192.0.2.1:80".parse().unwrap();
        let session = self.table.open(Opening {
            identity: Identity::Authenticated("alice".into()),
            source: "198.51.100.7:4000".parse().unwrap(),
            target: Some(Target::from(target)),
            command: Some(Command::Connect),
            acl: AclOutcome::Off,
        });
        session.relaying();
        session
    }

    async fn statistics(&self) -> Statistics {
        let query = WindowQuery { hours: 1, top: 10, now: self.table.clock().now().wall };
        self.store.statistics(query, &self.table).await.unwrap()
    }

    async fn usage_is_what_statistics_say(&self) {
        let now = self.table.clock().now().wall;
        let hours = (0, now.as_second() + 3600);
        let total = self.statistics().await.total;
        for user in [None, Some("alice")] {
            let usage = self.store.usage(user, 3600, hours, &self.table, now).await.unwrap();
            let flowed = usage.iter().fold((0, 0), |sum, hour| (sum.0 + hour.1, sum.1 + hour.2));
            assert_eq!(flowed, (total.sent, total.received), "by the hour, of {user:?}");
        }
    }

    /// Stops when everything is in the store: sums that say what the rows say.
    async fn stop(mut self) {
        let wrong = self.store.wrong_rollups().await.unwrap();
        assert_eq!(wrong.first, None, "{} in all", wrong.count);
        self.usage_is_what_statistics_say().await;
        self.stop.cancel();
        self.recording.join_next().await.unwrap().unwrap();
    }
}

/// Keeps writers out of a file, until it is closed.
async fn hold(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    let mut holder = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    holder
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not come about");
}

#[tokio::test]
async fn a_session_that_leaves_memory_while_it_is_being_saved_is_counted_once() {
    let ledger = Ledger::start().await;
    let (outbox, file) = (ledger.table.outbox(), ledger.folder.path().join("sessions.db"));
    let known: Vec<OpenSession> = (0..3).map(|_| ledger.open()).collect();
    known.iter().for_each(|session| session.count_sent(10));
    until("running sessions in the store", || {
        known.iter().all(|session| session.booked().is_some()) && outbox.is_empty()
    })
    .await;
    let holder = hold(&file).await;
    // These are in the batch that the store does not take, and end before it does.
    let new: Vec<OpenSession> = (0..5).map(|_| ledger.open()).collect();
    until("a batch under way", || ledger.figures.failures.load(Relaxed) > 0).await;
    // More than memory keeps: what ends from here on leaves it.
    (0..5).for_each(|_| ledger.open().finish(CloseReason::ClientClosed, None));
    outbox.journaled().await;
    for session in known.into_iter().chain(new) {
        session.count_sent(100);
        session.finish(CloseReason::ClientClosed, None);
    }
    until("sessions on disk alone", || outbox.spilled() > 0).await;
    let during = ledger.statistics().await.total;
    assert_eq!((during.sessions, during.sent), (13, 830));
    holder.close().await.unwrap();
    until("everything in the store", || outbox.unsaved() == 0).await;
    let after = ledger.statistics().await;
    assert_eq!((after.total.sessions, after.total.sent, after.active), (13, 830, 0));
    assert_eq!(after.users[0].1, after.total);
    assert_eq!(after.dests[0].1, after.total);
    ledger.stop().await;
}

#[tokio::test]
async fn what_waits_in_memory_beside_what_is_on_disk_alone_is_summed_once() {
    // More than one batch takes: the disk's turn comes while some of them wait.
    const KEPT: usize = 9000;
    let ledger = Ledger::keeping(KEPT).await;
    let (outbox, file) = (ledger.table.outbox(), ledger.folder.path().join("sessions.db"));
    let end = |session: OpenSession| {
        session.count_sent(10);
        session.finish(CloseReason::ClientClosed, None);
    };
    let holder = hold(&file).await;
    end(ledger.open());
    until("a batch under way", || ledger.figures.failures.load(Relaxed) > 0).await;
    (0..KEPT).for_each(|_| end(ledger.open()));
    // The store waits for the beginnings of these, which will be on disk alone.
    let running: Vec<OpenSession> = (0..100).map(|_| ledger.open()).collect();
    outbox.journaled().await;
    while outbox.spilled() == 0 {
        end(ledger.open());
        outbox.journaled().await;
    }
    running.into_iter().for_each(end);
    outbox.journaled().await;
    assert!(outbox.spilled() > 100);
    let all = i64::try_from(outbox.unsaved()).unwrap();
    let during = ledger.statistics().await.total;
    assert_eq!((during.sessions, during.sent), (all, 10 * all));
    ledger.usage_is_what_statistics_say().await;
    holder.close().await.unwrap();
    while outbox.unsaved() > 0 {
        let meanwhile = ledger.statistics().await.total;
        assert_eq!((meanwhile.sessions, meanwhile.sent), (all, 10 * all));
    }
    let after = ledger.statistics().await.total;
    assert_eq!((after.sessions, after.sent), (all, 10 * all));
    ledger.stop().await;
}

/// Does it on a thread of its own, which may get stuck for good.
fn in_time(work: impl AsyncFnOnce() + Send + 'static) {
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(work());
        done.send(()).unwrap();
    });
    waiting.recv_timeout(Duration::from_secs(120)).expect("it ends");
}

#[test]
fn a_store_that_comes_back_while_sessions_end_is_not_in_the_way_of_the_journal() {
    in_time(async || {
        let ledger = Arc::new(Ledger::start().await);
        let (outbox, file) = (ledger.table.outbox(), ledger.folder.path().join("sessions.db"));
        let holder = hold(&file).await;
        let ending = Arc::clone(&ledger);
        let ending = std::thread::spawn(move || {
            for _ in 0..20_000 {
                ending.open().finish(CloseReason::ClientClosed, None);
            }
        });
        until("sessions on disk alone", || outbox.spilled() > 1000).await;
        holder.close().await.unwrap();
        ending.join().unwrap();
        until("everything in the store", || outbox.unsaved() == 0).await;
        assert_eq!(ledger.statistics().await.total.sessions, 20_000);
        Arc::into_inner(ledger).unwrap().stop().await;
    });
}

/// Every session that a walk meets, in its order.
async fn walk(ledger: &Ledger, filter: &Filter) -> Vec<SessionId> {
    let (mut ids, mut behind) = (Vec::new(), None);
    loop {
        let page = ledger.store.walk(filter, behind, 17, &ledger.table).await.unwrap();
        assert!(page.records.len() <= 17);
        ids.extend(page.records.iter().map(|record| record.session_id));
        behind = page.next;
        if behind.is_none() {
            return ids;
        }
    }
}

/// Every session of all pages, with the total that each page says.
async fn pages(ledger: &Ledger, filter: &Filter, sort: Sort) -> (Vec<SessionId>, Vec<u64>) {
    let (mut ids, mut totals) = (Vec::new(), Vec::new());
    for number in 0.. {
        let paging = Paging::Page(number);
        let page = ledger.store.whole_history(filter, sort, paging, 17, &ledger.table).await;
        let page = page.unwrap();
        ids.extend(page.records.iter().map(|record| record.session_id));
        totals.push(page.total);
        if page.records.len() < 17 {
            break;
        }
    }
    (ids, totals)
}

/// Lists, walks and single records hold exactly these sessions, of which the n-th sent n bytes.
async fn holds(ledger: &Ledger, sent: &[SessionId]) {
    let count = sent.len();
    let sorted = |mut ids: Vec<SessionId>| {
        ids.sort_unstable();
        ids
    };
    let all = Filter::default();
    let met = walk(ledger, &all).await;
    assert_eq!(sorted(met.clone()), sent, "each once");
    let (listed, totals) = pages(ledger, &all, Sort::default()).await;
    assert_eq!(listed, met, "the same order");
    assert!(totals.iter().all(|total| *total == count as u64), "{totals:?}");
    for direction in [Direction::Ascending, Direction::Descending] {
        let sort = Sort { key: SortKey::BytesSent, direction };
        let (mut listed, _) = pages(ledger, &all, sort).await;
        if direction == Direction::Descending {
            listed.reverse();
        }
        assert_eq!(listed, sent, "by bytes, {direction:?}");
    }
    let half = Filter { min_bytes: Some(count as u64 / 2), ..Filter::default() };
    assert_eq!(sorted(walk(ledger, &half).await), sent[count / 2..]);
    let (_, totals) = pages(ledger, &half, Sort::default()).await;
    assert!(totals.iter().all(|total| *total == (count - count / 2) as u64), "{totals:?}");
    for (nth, id) in sent.iter().enumerate() {
        let found = match ledger.table.get(*id) {
            Some(session) => Some(session.snapshot()),
            None => ledger.store.find(*id).await.unwrap(),
        };
        assert_eq!(found.map(|record| record.bytes_sent), Some(nth as u64));
    }
}

#[tokio::test]
async fn lists_hold_what_is_on_disk_alone_exactly_once_while_it_waits_and_while_it_drains() {
    let ledger = Ledger::start().await;
    let (outbox, file) = (ledger.table.outbox(), ledger.folder.path().join("sessions.db"));
    let mut sent = Vec::new();
    let mut some = |count: usize| {
        for _ in 0..count {
            let session = ledger.open();
            session.count_sent(sent.len() as u64);
            sent.push(session.id());
            session.finish(CloseReason::ClientClosed, None);
        }
        sent.clone()
    };
    some(2);
    until("the first in the store", || outbox.unsaved() == 0).await;
    let holder = hold(&file).await;
    some(20);
    outbox.journaled().await;
    for _ in 0..10 {
        some(20);
        outbox.journaled().await;
    }
    let all = some(1);
    outbox.journaled().await;
    let (spilled, waiting) = (outbox.spilled(), ledger.table.waiting());
    // How many of the first stay in memory depends on how the journal's groups fell.
    assert!(spilled > 17 && waiting > 0, "{spilled} on disk alone, {waiting} in memory");
    holds(&ledger, &all).await;
    holder.close().await.unwrap();
    while outbox.unsaved() > 0 {
        holds(&ledger, &all).await;
    }
    holds(&ledger, &all).await;
    ledger.stop().await;
}

#[tokio::test]
async fn what_goes_to_disk_alone_although_the_store_is_well_is_saved_too() {
    let ledger = Ledger::start().await;
    let outbox = ledger.table.outbox();
    for count in [20, 1, 1] {
        // The first time more end at once than memory keeps.
        (0..count).for_each(|_| ledger.open().finish(CloseReason::ClientClosed, None));
        until("everything in the store", || outbox.unsaved() == 0).await;
    }
    ledger.stop().await;
}

/// What a disk does that is asked to take something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Takes,
    Refuses,
    DoesNotAnswer,
}

/// A disk that is in the mood that it is told to be in.
#[derive(Clone, Debug, Default)]
struct Moody {
    mood: Arc<(Mutex<Mood>, Condvar)>,
}

#[derive(Debug)]
struct MoodyFile {
    file: Arc<dyn Medium>,
    disk: Moody,
}

impl Moody {
    fn be(&self, mood: Mood) {
        *self.mood.0.lock().unwrap() = mood;
        self.mood.1.notify_all();
    }

    fn ask(&self) -> std::io::Result<()> {
        let mood = self.mood.0.lock().unwrap();
        let is_silent = |mood: &mut Mood| *mood == Mood::DoesNotAnswer;
        match *self.mood.1.wait_while(mood, is_silent).unwrap() {
            Mood::Refuses => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for Moody {
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn Medium>> {
        self.ask()?;
        Ok(Arc::new(MoodyFile { file: LocalDisk.create(path)?, disk: self.clone() }))
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        LocalDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> std::io::Result<()> {
        LocalDisk.sync_folder(folder)
    }
}

impl Medium for MoodyFile {
    fn append(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.disk.ask()?;
        self.file.append(bytes)
    }

    fn cut(&self, length: u64) -> std::io::Result<()> {
        self.file.cut(length)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.sync()
    }
}

#[tokio::test]
async fn a_disk_of_the_journal_that_does_not_answer_is_told_and_does_not_starve_the_store() {
    let disk = Moody::default();
    let ledger = Ledger::on(50, Arc::new(disk.clone())).await;
    let outbox = ledger.table.outbox();
    let end = |count: usize| {
        for _ in 0..count {
            let session = ledger.open();
            session.count_sent(10);
            session.finish(CloseReason::ClientClosed, None);
        }
    };
    end(100);
    until("the first in the store", || outbox.unsaved() == 0).await;
    disk.be(Mood::DoesNotAnswer);
    let running = ledger.open();
    end(100);
    until("what ended in the store", || outbox.unsaved() == 1).await;
    until("what runs in the store", || running.booked().is_some()).await;
    assert!(matches!(ledger.journal.writing(), Writing::Failed(_)));
    assert_eq!(ledger.told.lock().unwrap().len(), 1);
    disk.be(Mood::Takes);
    until("an answer", || ledger.journal.writing() == Writing::Ok).await;
    drop(running);
    end(100);
    until("everything in the store", || outbox.unsaved() == 0).await;
    until("word of it", || ledger.told.lock().unwrap().len() == 2).await;
    assert_eq!(outbox.lost(), 0);
    ledger.stop().await;
}

#[tokio::test]
async fn memory_is_emptied_beside_the_disk_while_sessions_go_on_ending() {
    let disk = Moody::default();
    let journal = JournalOptions {
        keep_in_memory: 50,
        when_full: WhenFull::Refuse,
        disk: Arc::new(disk.clone()),
        ..JournalOptions::new("")
    };
    let (ledger, holder) = Ledger::with(true, journal).await;
    let outbox = ledger.table.outbox();
    let end = |count: usize| {
        (0..count).for_each(|_| ledger.open().finish(CloseReason::ClientClosed, None));
    };
    // What ends while the journal takes nothing stays in memory: more than a few batches.
    disk.be(Mood::Refuses);
    end(12_000);
    outbox.journaled().await;
    disk.be(Mood::Takes);
    until("a journal that takes it", || ledger.journal.writing() == Writing::Ok).await;
    while outbox.spilled() == 0 {
        end(20);
        outbox.journaled().await;
    }
    assert!(ledger.table.waiting() > 8192, "{}", ledger.table.waiting());
    drop(holder);
    until("memory that is nearly empty", || {
        end(100);
        ledger.table.waiting() < 4000
    })
    .await;
    until("everything in the store", || outbox.unsaved() == 0).await;
    assert_eq!(outbox.lost(), 0);
    ledger.stop().await;
}

/// A ledger with ended sessions on disk alone in several segments, what keeps writers out of its
/// database, and the first of these segments.
async fn with_several_segments() -> (Ledger, Option<SqliteConnection>, PathBuf) {
    let small = JournalOptions { keep_in_memory: 3, max_bytes: 1 << 20, ..JournalOptions::new("") };
    let (ledger, holder) = Ledger::with(true, small).await;
    while ledger.journal.segments() < 4 {
        (0..20).for_each(|_| ledger.open().finish(CloseReason::ClientClosed, None));
        ledger.table.outbox().journaled().await;
    }
    let first = list(ledger.journal.folder()).unwrap().remove(0).path;
    (ledger, holder, first)
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_is_told_and_keeps_nothing_else_from_the_store() {
    let (mut ledger, holder, first) = with_several_segments().await;
    let (outbox, figures) = (ledger.table.outbox(), &ledger.figures);
    let aside = ledger.folder.path().join("aside");
    std::fs::rename(&first, &aside).unwrap();
    std::fs::create_dir(&first).unwrap();
    drop(holder);
    let is_done = || figures.behind_since.load(Relaxed) == 0;
    until("the others in the store", || ledger.journal.segments() <= 2 && is_done()).await;
    assert_eq!(figures.unreadable.load(Relaxed), 1);
    let left = outbox.unsaved();
    assert!(left > 0 && left == outbox.spilled());
    // From here on sessions stay in memory again, and are saved from there.
    ledger.open().finish(CloseReason::ClientClosed, None);
    until("the last one in the store", || outbox.unsaved() == left).await;
    assert_eq!((outbox.spilled(), outbox.lost()), (left, 0));
    ledger.stop.cancel();
    ledger.recording.join_next().await.unwrap().unwrap();
    std::fs::remove_dir(&first).unwrap();
    std::fs::rename(&aside, &first).unwrap();
    assert!(ledger.journal.close(), "the next start has it");
    let mut replay = Replay::default();
    let found = replay.segment(&std::fs::read(&first).unwrap()).unwrap();
    ledger.store.save(&found).await.unwrap();
    assert_eq!(ledger.store.count().await.unwrap(), ledger.table.outbox().saved() + left as u64);
}

#[tokio::test]
async fn a_segment_that_somebody_removed_is_counted_as_lost_and_keeps_nothing_else_from_the_store()
{
    let (ledger, holder, first) = with_several_segments().await;
    let outbox = ledger.table.outbox();
    std::fs::remove_file(&first).unwrap();
    drop(holder);
    until("the others in the store", || outbox.unsaved() == 0).await;
    assert!(outbox.lost() > 0 && outbox.saved() > outbox.lost());
    assert_eq!(ledger.statistics().await.total.sessions as u64, outbox.saved());
    ledger.stop().await;
}

#[tokio::test]
async fn what_former_runs_left_waits_from_the_start_until_it_is_saved() {
    let (ledger, holder) = Ledger::held_if(true, 3, Arc::new(LocalDisk)).await;
    let figures = &ledger.figures;
    let waits = || figures.behind_since.load(Relaxed) != 0;
    until("a failed try", || figures.failures.load(Relaxed) > 0).await;
    assert!(waits() && !figures.recovered.load(Relaxed));
    drop(holder);
    until("the recovery", || figures.recovered.load(Relaxed)).await;
    until("nothing waits, though no session came", || !waits()).await;
    ledger.stop().await;
}
