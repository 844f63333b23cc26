//! The one writer: takes sessions whose state changed, saves them in batches, never gives up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{Record, Session, Status, Table};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

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

/// Upper bounds of the batch latency histogram, in seconds.
pub const LATENCY_BUCKETS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

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

/// A change of the store's health, told once each.
#[derive(Debug)]
pub enum StoreNotice {
    /// A batch failed; records wait in memory.
    Degraded {
        /// Why.
        error: String,
        /// How many sessions wait.
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
    /// Batch latency: counts per bucket, not cumulated, the last one without bound.
    pub latency: [AtomicU64; LATENCY_BUCKETS.len() + 1],
    /// The sum of all batch latencies, in microseconds.
    pub latency_micros: AtomicU64,
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
        let bucket = LATENCY_BUCKETS.partition_point(|&bound| bound < latency.as_secs_f64());
        self.latency[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.fetch_add(micros, Relaxed);
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
    options: RecorderOptions,
    figures: Arc<Figures>,
    flusher: Flusher,
    notice: F,
}

impl<F: Fn(StoreNotice)> Recorder<F> {
    /// A recorder; `notice` hears of each change of the store's health.
    pub fn new(table: Table, store: Arc<Store>, options: RecorderOptions, notice: F) -> Self {
        Self { table, store, options, figures: Arc::default(), flusher: Flusher::default(), notice }
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
        let outbox = self.table.outbox();
        let mut next_full = Instant::now();
        while !stop.is_cancelled() {
            tokio::select! {
                () = outbox.reached(1) => self.gather(next_full, &stop).await,
                () = self.flusher.inner.asked.notified() => {}
                () = stop.cancelled() => {}
            }
            next_full = Instant::now() + SPACING;
            self.round(&stop).await;
        }
        self.round(&stop).await;
        Report { saved: outbox.saved(), unsaved: outbox.unsaved() }
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

    /// Saves all that is queued.
    async fn round(&self, stop: &CancellationToken) {
        let flush = &self.flusher.inner;
        let round = flush.begun.fetch_add(1, Relaxed) + 1;
        loop {
            let batch = self.table.outbox().take(MOST_AT_ONCE);
            let full = batch.len() == MOST_AT_ONCE;
            let saved = batch.is_empty() || self.save(&batch, stop).await;
            // What has come in meanwhile gathers for the next round: taking it at once would
            // make many small transactions of it, each with its own sync.
            if !full || !saved {
                break;
            }
        }
        flush.done.store(round, Relaxed);
        flush.progress.notify_waiters();
    }

    /// Saves one batch, however often it takes. Returns whether it was saved.
    async fn save(&self, batch: &[Arc<Session>], stop: &CancellationToken) -> bool {
        let mut pause = PAUSE_MIN;
        let mut failing_since = None;
        let mut give_up_at = None;
        loop {
            // Read anew for each try: the newest state wins, and final is what was final here.
            let records: Vec<Record> = batch.iter().map(|session| session.snapshot()).collect();
            let began = Instant::now();
            match self.store.save(&records).await {
                Ok(()) => {
                    self.figures.saved(records.len(), began.elapsed());
                    self.settle(batch, &records);
                    self.note_recovery(failing_since);
                    return true;
                }
                Err(error) => {
                    failing_since.get_or_insert(began);
                    self.note_failure(&error, batch.len());
                }
            }
            if stop.is_cancelled() {
                let limit = *give_up_at.get_or_insert(Instant::now() + self.options.last_tries);
                if Instant::now() >= limit {
                    return false;
                }
                tokio::time::sleep(pause.min(PAUSE_MIN * 2)).await;
            } else {
                let _stopped =
                    stop.run_until_cancelled(tokio::time::sleep(with_jitter(pause, began))).await;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Forgets the sessions whose final state is in the store now.
    fn settle(&self, batch: &[Arc<Session>], records: &[Record]) {
        let finals = batch
            .iter()
            .zip(records)
            .filter(|(_, record)| record.status != Status::Active)
            .map(|(session, _)| session);
        self.table.saved(finals);
    }

    fn note_failure(&self, error: &StoreError, batch: usize) {
        self.figures.failures.fetch_add(1, Relaxed);
        self.figures.set_error(Some(error.to_string()));
        if !self.figures.is_degraded() {
            let now = self.table.clock().now().wall.as_millisecond().max(1);
            self.figures.degraded_since.store(now, Relaxed);
            let waiting = batch + self.table.outbox().len();
            (self.notice)(StoreNotice::Degraded { error: error.to_string(), waiting });
        }
    }

    fn note_recovery(&self, failing_since: Option<Instant>) {
        if self.figures.degraded_since.swap(0, Relaxed) != 0 {
            self.figures.set_error(None);
            let after = failing_since.map_or(Duration::ZERO, |since| since.elapsed());
            (self.notice)(StoreNotice::Recovered { after });
        }
    }
}

/// Takes up to a quarter off a pause; the clock's low digits are random enough for that.
fn with_jitter(pause: Duration, now: Instant) -> Duration {
    let noise = millis(now.elapsed()).wrapping_mul(0x9E37_79B9) % 256;
    pause - pause.mul_f64(noise as f64 / 1024.0)
}
