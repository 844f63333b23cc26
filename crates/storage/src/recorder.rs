//! The one writer: takes sessions whose state changed, saves them in batches, never gives up.
//!
//! Before the first batch it saves what the journal has of former runs; behind an outage that
//! outgrew memory it saves what the journal alone has.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustsocks_journal::{Journal, Replay, Unreadable};
use rustsocks_sessions::{Record, Session, Status, Table};
use rustsocks_telemetry::Histogram;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use crate::windows::OnDisk;

/// The most sessions in one transaction: what has gathered while the last one was synced.
const MOST_AT_ONCE: usize = 4096;

/// Pauses after failed saves: doubled from the first to the last, shortened by up to a quarter
/// at random so that several nodes do not knock together.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Full batches follow one another no faster than this. A commit costs about as much as two
/// hundred rows, so at thousands of sessions a second fewer and larger ones halve the price of a
/// record; a batch that fills up after a quiet time is saved at once.
const SPACING: Duration = Duration::from_millis(50);

/// How long a round waits for the journal to have what it is about to save.
const JOURNAL_WAIT: Duration = Duration::from_secs(1);

/// How records are gathered.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Flush when this many sessions are queued.
    pub batch_size: usize,
    /// Flush this long after the first one was queued.
    pub batch_interval: Duration,
    /// How long to go on trying after the stop.
    pub last_tries: Duration,
}

/// What the recorder has to tell, once each.
#[derive(Debug)]
pub enum StoreNotice {
    /// What former runs had left in the journal is in the store.
    Replayed(rustsocks_journal::Report),
    /// Sessions of this node that the store had as running, and the journal did not know, were
    /// closed as crashed.
    Crashed(u64),
    /// A segment of the journal cannot be replayed, or not be read behind an outage; it is left
    /// where it is.
    Unreadable {
        /// The segment.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// A batch failed; records wait.
    Degraded {
        /// Why.
        error: String,
        /// Sessions without a final record, running ones included.
        waiting: usize,
    },
    /// Batches are saved again.
    Recovered {
        /// How long it took.
        after: Duration,
    },
}

/// What the recorder did, readable at any time.
#[derive(Debug, Default)]
pub struct Figures {
    /// Batches saved.
    pub batches: AtomicU64,
    /// Records saved, every state counted.
    pub records: AtomicU64,
    /// Failed tries.
    pub failures: AtomicU64,
    /// When saving began to fail, in milliseconds since 1970; 0 while it works.
    pub degraded_since: AtomicI64,
    /// Since when, at most, the oldest state waits, in milliseconds since 1970; 0 when none does.
    pub behind_since: AtomicI64,
    /// How long saving a batch took.
    pub latency: Histogram,
    /// Whether what former runs left is in the store.
    pub recovered: AtomicBool,
    /// Segments that cannot be read: those of former runs, and those of this one as long as that
    /// is so.
    pub unreadable: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Figures {
    /// The error of the last failed try, while saving fails.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Whether saving fails.
    pub fn is_degraded(&self) -> bool {
        self.degraded_since.load(Relaxed) != 0
    }

    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = error;
    }

    fn saved(&self, records: usize, latency: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.records.fetch_add(records as u64, Relaxed);
        self.latency.observe(latency);
    }
}

/// What was left when the recorder stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Sessions whose final state became durable.
    pub saved: u64,
    /// Sessions whose final state did not.
    pub unsaved: usize,
}

/// Asks the recorder to save what is queued now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Flusher {
    inner: Arc<Flush>,
}

#[derive(Debug, Default)]
struct Flush {
    asked: Notify,
    /// Rounds begun and rounds done; whoever asks waits for a round begun after asking.
    begun: AtomicU64,
    done: AtomicU64,
    progress: Notify,
}

impl Flusher {
    /// Waits until everything that had been queued before the call is saved, or `limit` is
    /// over. Cancel safe.
    pub async fn flush(&self, limit: Duration) {
        // The round under way may have begun before the newest session was queued.
        let wanted = self.inner.begun.load(Relaxed) + 1;
        let wait = async {
            loop {
                let progress = self.inner.progress.notified();
                if self.inner.done.load(Relaxed) >= wanted {
                    return;
                }
                self.inner.asked.notify_one();
                progress.await;
            }
        };
        let _late = tokio::time::timeout(limit, wait).await;
    }
}

/// The recorder of one table into one store.
#[derive(Debug)]
pub struct Recorder<F> {
    table: Table,
    store: Arc<Store>,
    journal: Option<Journal>,
    options: RecorderOptions,
    figures: Arc<Figures>,
    flusher: Flusher,
    notice: F,
}

impl<F: Fn(StoreNotice)> Recorder<F> {
    /// A recorder; `notice` hears of each change of the store's health.
    pub fn new(table: Table, store: Arc<Store>, options: RecorderOptions, notice: F) -> Self {
        let (figures, flusher) = (Arc::default(), Flusher::default());
        let counted = Arc::clone(&store);
        table.on_spill(move |session, remove| counted.spill(session, remove));
        Self { table, store, journal: None, options, figures, flusher, notice }
    }

    /// Replays and drains this journal, which the table's sessions go through.
    pub fn with_journal(self, journal: Journal) -> Self {
        self.store.read_spilled(journal.reader());
        Self { journal: Some(journal), ..self }
    }

    /// What it does, readable at any time.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// A handle that makes it save at once.
    pub fn flusher(&self) -> Flusher {
        self.flusher.clone()
    }

    /// Saves until `stop` is cancelled, then saves the rest and reports.
    ///
    /// After the stop, a failing store is tried for `last_tries`, then given up.
    pub async fn run(self, stop: CancellationToken) -> Report {
        let _told = TellOfEnd { recorder: &self, stop: &stop };
        let outbox = self.table.outbox();
        let mut saved = self.recover(&stop).await.is_some();
        let mut next_full = Instant::now();
        while !stop.is_cancelled() {
            tokio::select! {
                () = outbox.reached(1) => self.gather(next_full, &stop).await,
                () = self.flusher.inner.asked.notified() => {}
                () = self.journal_stalls() => {}
                () = stop.cancelled() => break,
            }
            next_full = Instant::now() + SPACING;
            saved = self.round(&stop).await.is_some();
        }
        if saved {
            self.round(&stop).await;
        }
        Report { saved: outbox.saved(), unsaved: outbox.unsaved() }
    }

    /// Saves what former runs left in the journal, and closes what only the store knows as
    /// running. Nothing of this run is in the store before that.
    async fn recover(&self, stop: &CancellationToken) -> Option<()> {
        self.figures.behind_since.store(self.now(), Relaxed);
        if let Some(journal) = &self.journal {
            let mut replay = Replay::default();
            let mut done = Vec::new();
            let mut last = None;
            for segment in journal.older() {
                if last.replace(segment.number).is_some_and(|last| last + 1 < segment.number) {
                    replay.note_missing();
                }
                let unreadable = |error: String| self.note_unreadable(segment.path.clone(), error);
                let path = segment.path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
                let read = read.map_err(std::io::Error::other).flatten();
                match read.map(|bytes| replay.segment(&bytes)) {
                    Ok(Some(records)) => {
                        self.save_all(&records, stop).await?;
                        done.push(segment);
                    }
                    Ok(None) => unreadable("a newer version wrote it".into()),
                    Err(error) => unreadable(error.to_string()),
                }
            }
            let (crashed, report) = replay.finish();
            self.save_all(&crashed, stop).await?;
            journal.forget_older(&done);
            if report.ended + report.crashed + report.skipped > 0 {
                (self.notice)(StoreNotice::Replayed(report));
            }
        }
        let crashed = self.close_crashed(stop).await?;
        if crashed > 0 {
            (self.notice)(StoreNotice::Crashed(crashed));
        }
        self.figures.recovered.store(true, Relaxed);
        // What came in meanwhile has a round of its own.
        if self.table.outbox().is_empty() {
            self.figures.behind_since.store(0, Relaxed);
        }
        Some(())
    }

    /// Saves what is on disk alone of one segment; tells whether there may be more of it.
    async fn drain(&self, journal: &Journal, stop: &CancellationToken) -> Option<bool> {
        let (segment, finals) = match journal.next_spilled().await {
            Ok(Some(spilled)) => spilled,
            Ok(None) => return Some(false),
            Err(Unreadable { path, error, is_news }) => {
                if is_news {
                    self.note_unreadable(path, error.to_string());
                }
                return Some(true);
            }
        };
        let found = finals.records.len();
        // What is in memory waits for a batch of its own, which takes it for new.
        let (records, places): (Vec<Record>, Vec<u32>) = finals
            .records
            .into_iter()
            .zip(finals.places)
            .filter(|(record, _)| self.table.get(record.session_id).is_none())
            .unzip();
        let batches = records.chunks(MOST_AT_ONCE);
        for (batch, places) in batches.zip(places.chunks(MOST_AT_ONCE)) {
            let last = places.last().copied().unwrap_or(0);
            let save = || self.store.save_spilled(batch, segment, last);
            self.persist(stop, batch.len(), save).await?;
        }
        self.store.forget_spilled(segment);
        if journal.drained(segment, found) {
            self.figures.unreadable.fetch_sub(1, Relaxed);
        }
        Some(true)
    }

    async fn save_all(&self, records: &[Record], stop: &CancellationToken) -> Option<()> {
        for batch in records.chunks(MOST_AT_ONCE) {
            self.persist(stop, batch.len(), || self.store.save(batch)).await?;
        }
        Some(())
    }

    /// Lets a batch grow: to its size, for its interval, or until somebody is in a hurry.
    async fn gather(&self, next_full: Instant, stop: &CancellationToken) {
        let full = async {
            self.table.outbox().reached(self.options.batch_size).await;
            tokio::time::sleep_until(next_full).await;
        };
        tokio::select! {
            () = full => {}
            () = tokio::time::sleep(self.options.batch_interval) => {}
            () = self.flusher.inner.asked.notified() => {}
            () = stop.cancelled() => {}
        }
    }

    /// Saves all that is queued; none when it was given up after the stop.
    async fn round(&self, stop: &CancellationToken) -> Option<()> {
        let flush = &self.flusher.inner;
        let round = flush.begun.fetch_add(1, Relaxed) + 1;
        let outbox = self.table.outbox();
        let _late = tokio::time::timeout(JOURNAL_WAIT, outbox.journaled()).await;
        self.go_round_a_stalled_journal();
        let saved = self.empty_outbox(stop).await;
        flush.done.store(round, Relaxed);
        flush.progress.notify_waiters();
        saved
    }

    /// Waits until the journal's disk does not answer. Cancel safe.
    async fn journal_stalls(&self) {
        let Some(journal) = &self.journal else { return std::future::pending().await };
        loop {
            tokio::time::sleep(JOURNAL_WAIT).await;
            journal.tell_stalls();
            if journal.is_stalled() {
                return;
            }
        }
    }

    /// A disk that stalls the journal must not stall the store as well: what the journal holds
    /// back is queued for the store, which may be faster at any time.
    fn go_round_a_stalled_journal(&self) {
        let Some(journal) = &self.journal else { return };
        journal.tell_stalls();
        if journal.is_stalled() {
            let sessions = self.table.all().into_iter();
            sessions
                .filter(|session| session.has_ended() || session.booked().is_none())
                .for_each(|session| self.table.outbox().pass_on(session));
        }
    }

    async fn empty_outbox(&self, stop: &CancellationToken) -> Option<()> {
        loop {
            let began = self.now();
            let batch = self.table.outbox().take(MOST_AT_ONCE);
            if !batch.is_empty() {
                let _since = self.figures.behind_since.compare_exchange(0, began, Relaxed, Relaxed);
                self.save(&batch, stop).await?;
            }
            if let Some(journal) = &self.journal {
                journal.tidy();
                // In turn: while memory holds too much, what ends is on disk alone, and there is
                // always more of that.
                if self.drain(journal, stop).await? {
                    continue;
                }
            }
            let since = if self.table.outbox().is_empty() { 0 } else { began };
            self.figures.behind_since.store(since, Relaxed);
            // What has come in meanwhile gathers for the next round: taking it at once would
            // make many small transactions of it, each with its own sync.
            if batch.len() < MOST_AT_ONCE {
                return Some(());
            }
        }
    }

    /// Saves the newest states of a batch, and forgets the sessions that are final.
    async fn save(&self, batch: &[Arc<Session>], stop: &CancellationToken) -> Option<()> {
        // Those that the store was never given are new to it for certain.
        let (mut sessions, new): (Vec<&Arc<Session>>, Vec<&Arc<Session>>) =
            batch.iter().partition(|session| session.offer());
        let seen = AtomicUsize::new(sessions.len());
        sessions.extend(new);
        let (sessions, seen) = (&sessions, &seen);
        self.persist(stop, sessions.len(), move || async move {
            // Read anew for each try: the newest state wins, and final is what was final here.
            let records: Vec<Record> = sessions.iter().map(|session| session.snapshot()).collect();
            // After a failure it is not known whether it was saved all the same.
            let seen = seen.swap(sessions.len(), Relaxed);
            let saved = |on_disk: &mut OnDisk<'_>| self.saved(sessions, &records, on_disk);
            self.store.save_batch(&records, seen, saved).await
        })
        .await
    }

    /// Notes what the store has, and forgets the sessions that are final there.
    fn saved(&self, sessions: &[&Arc<Session>], records: &[Record], on_disk: &mut OnDisk<'_>) {
        for (session, record) in sessions.iter().zip(records) {
            if let Some(place) = self.table.saved_spilled(session, record.end_time.is_some()) {
                on_disk.saved(record, session.booked(), place);
            }
            session.book(record.bytes_sent, record.bytes_received);
        }
        let finals = sessions
            .iter()
            .zip(records)
            .filter(|(_, record)| record.status != Status::Active)
            .map(|(session, _)| *session);
        self.table.saved(finals, |segment| {
            self.journal.iter().for_each(|journal| journal.settle(segment));
        });
    }

    /// Saves so many records, however often it takes.
    async fn persist<S: Future<Output = Result<(), StoreError>>>(
        &self,
        stop: &CancellationToken,
        records: usize,
        mut save: impl FnMut() -> S,
    ) -> Option<()> {
        let mut outage = Outage::default();
        loop {
            let began = Instant::now();
            match save().await {
                Ok(()) => {
                    self.figures.saved(records, began.elapsed());
                    self.note_recovery(&outage);
                    return Some(());
                }
                Err(error) => self.pause_after(&error, &mut outage, stop).await?,
            }
        }
    }

    /// Closes what the store has as running on this node; nothing runs on it yet, as far as the
    /// store knows.
    async fn close_crashed(&self, stop: &CancellationToken) -> Option<u64> {
        let mut outage = Outage::default();
        loop {
            match self.store.close_crashed(self.table.node()).await {
                Ok(crashed) => {
                    self.note_recovery(&outage);
                    return Some(crashed);
                }
                Err(error) => self.pause_after(&error, &mut outage, stop).await?,
            }
        }
    }

    /// Waits before the next try; none when there is to be none, because the program stops.
    async fn pause_after(
        &self,
        error: &StoreError,
        outage: &mut Outage,
        stop: &CancellationToken,
    ) -> Option<()> {
        let now = Instant::now();
        outage.since.get_or_insert(now);
        self.note_failure(error);
        // Whether or not there is anything to be done about it now, it is told.
        self.journal.iter().for_each(Journal::tell_stalls);
        let pause = outage.next_pause();
        if stop.is_cancelled() {
            let limit = *outage.give_up_at.get_or_insert(now + self.options.last_tries);
            if now >= limit {
                return None;
            }
            tokio::time::sleep(pause.min(PAUSE_MIN * 2)).await;
        } else {
            // The wall clock's microseconds are random enough for that.
            let noise = self.table.clock().now().wall.as_microsecond();
            let pause = with_jitter(pause, noise);
            let _stopped = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Some(())
    }

    /// The wall clock, in milliseconds since 1970.
    fn now(&self) -> i64 {
        self.table.clock().now().wall.as_millisecond().max(1)
    }

    fn note_unreadable(&self, path: PathBuf, error: String) {
        self.figures.unreadable.fetch_add(1, Relaxed);
        (self.notice)(StoreNotice::Unreadable { path, error });
    }

    fn note_failure(&self, error: &dyn Display) {
        self.figures.failures.fetch_add(1, Relaxed);
        self.figures.set_error(Some(error.to_string()));
        if !self.figures.is_degraded() {
            self.figures.degraded_since.store(self.now(), Relaxed);
            let waiting = self.table.outbox().unsaved();
            (self.notice)(StoreNotice::Degraded { error: error.to_string(), waiting });
        }
    }

    fn note_recovery(&self, outage: &Outage) {
        if self.figures.degraded_since.swap(0, Relaxed) != 0 {
            self.figures.set_error(None);
            let after = outage.since.map_or(Duration::ZERO, |since| since.elapsed());
            (self.notice)(StoreNotice::Recovered { after });
        }
    }
}

/// Tells of a recorder that ends before it was asked to, which only a panic does: nothing is saved
/// from there on.
#[derive(Debug)]
struct TellOfEnd<'a, F: Fn(StoreNotice)> {
    recorder: &'a Recorder<F>,
    stop: &'a CancellationToken,
}

impl<F: Fn(StoreNotice)> Drop for TellOfEnd<'_, F> {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.recorder
                .note_failure(&"the recorder ended by a fault of this program; restart it");
        }
    }
}

/// Tries that failed in a row.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    pause: Option<Duration>,
    give_up_at: Option<Instant>,
}

impl Outage {
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause.map_or(PAUSE_MIN, |last| (last * 2).min(PAUSE_MAX));
        self.pause = Some(pause);
        pause
    }
}

/// Takes up to a quarter off a pause, by as much as the low byte of `noise` says.
fn with_jitter(pause: Duration, noise: i64) -> Duration {
    pause - pause.mul_f64(noise.rem_euclid(256) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use rustsocks_journal::JournalOptions;
    use rustsocks_sessions::{Clock, Rules};
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;
    use crate::MemoryStore;

    #[test]
    fn pauses_are_shortened_by_up_to_a_quarter_each_by_another_part() {
        let pause = |noise| with_jitter(Duration::from_millis(1024), noise).as_millis();
        assert_eq!([0, 1, 128, 255, 256, -1].map(pause), [1024, 1023, 896, 769, 1024, 769]);
    }

    #[tokio::test]
    async fn a_recorder_that_ends_by_a_panic_is_told_as_degraded() {
        let folder = TempDir::new().unwrap();
        let journal = JournalOptions::new(folder.path());
        std::fs::create_dir(folder.path().join("0000000001.journal")).unwrap();
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let journal = Journal::open(journal, table.clone(), |_| {}).unwrap();
        let options = RecorderOptions {
            batch_size: 100,
            batch_interval: Duration::from_millis(10),
            last_tries: Duration::ZERO,
        };
        let faulty = |notice| assert!(!matches!(notice, StoreNotice::Unreadable { .. }), "a fault");
        let store = Arc::new(MemoryStore::new(10).into());
        let recorder = Recorder::new(table, store, options, faulty).with_journal(journal);
        let figures = recorder.figures();
        let mut recording = JoinSet::new();
        recording.spawn(recorder.run(CancellationToken::new()));
        assert!(recording.join_next().await.unwrap().unwrap_err().is_panic());
        assert!(figures.is_degraded());
    }
}
