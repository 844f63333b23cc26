//! Which sessions have a state that is not durable yet.
//!
//! It holds sessions, not states: whoever writes reads the newest state, so start, interim and
//! stop of one session coalesce by themselves. A session waits in the journal's lane first, where
//! there is a journal, and is passed on to the store's lane from there.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::place::lanes;
use crate::session::Session;

/// One queue of sessions.
#[derive(Debug, Default)]
struct Lane {
    queue: Mutex<Vec<Arc<Session>>>,
    /// How many the queue holds, readable without the lock.
    length: AtomicUsize,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns how many there are now.
    fn push(&self, session: Arc<Session>) -> usize {
        let mut queue = self.lock();
        queue.push(session);
        self.length.store(queue.len(), Ordering::SeqCst);
        queue.len()
    }

    fn take(&self, most: usize) -> Vec<Arc<Session>> {
        let mut queue = self.lock();
        let taken = if queue.len() <= most {
            std::mem::take(&mut *queue)
        } else {
            let rest = queue.split_off(most);
            std::mem::replace(&mut *queue, rest)
        };
        self.length.store(queue.len(), Ordering::SeqCst);
        taken
    }

    fn len(&self) -> usize {
        self.length.load(Ordering::SeqCst)
    }
}

/// A session taken from the journal's lane.
#[derive(Debug)]
pub struct Jotting {
    /// The session; read its state after the call that gave this.
    pub session: Arc<Session>,
    /// Whether the store wants this state as well, or the journal alone.
    pub for_store: bool,
}

/// The queue between the sessions and what makes them durable.
#[derive(Debug, Default)]
pub struct Outbox {
    store: Lane,
    /// The recorder sleeps until this many are queued.
    wake_at: AtomicUsize,
    arrived: Notify,
    journal: Lane,
    /// The thread that writes the journal; none where there is no journal.
    writer: OnceLock<Thread>,
    /// Whether that thread sleeps and must be woken.
    writer_sleeps: AtomicBool,
    /// Asks the journal to note that running sessions are alive.
    alive: AtomicBool,
    /// Entries put into the journal's lane, and entries dealt with.
    entered: AtomicU64,
    passed: AtomicU64,
    passed_on: Notify,
    /// Sessions that changed, while somebody watches.
    watched: Lane,
    watching: AtomicBool,
    /// Whether new sessions are turned away because the journal cannot take them.
    refusing: AtomicBool,
    unsaved: AtomicUsize,
    spilled: AtomicUsize,
    /// Whether a session has left memory since the recorder was woken last.
    has_spilled: AtomicBool,
    saved: AtomicU64,
    lost: AtomicU64,
}

impl Outbox {
    /// Queues a session whose state changed; one that is queued already stays where it is.
    pub(crate) fn push(&self, session: &Arc<Session>) {
        self.show(session);
        if self.has_journal() {
            self.jot(session, lanes::JOURNAL | lanes::FOR_STORE);
        } else {
            self.pass_on(Arc::clone(session));
        }
    }

    /// Queues a session for those who watch, if anybody does.
    pub(crate) fn show(&self, session: &Arc<Session>) {
        if self.watching.load(Ordering::Relaxed)
            && session.enter_lanes(lanes::WATCHED) & lanes::WATCHED == 0
        {
            self.watched.push(Arc::clone(session));
        }
    }

    /// Begins or ends to gather sessions that change, for [`Outbox::take_watched`].
    pub fn watch(&self, watch: bool) {
        self.watching.store(watch, Ordering::SeqCst);
    }

    /// Takes every session that opened, ended or moved bytes since the last call; a session that
    /// changes after this call is queued again. Counters are looked at twice a second.
    pub fn take_watched(&self) -> Vec<Arc<Session>> {
        let taken = self.watched.take(usize::MAX);
        for session in &taken {
            session.leave_lanes(lanes::WATCHED);
        }
        taken
    }

    /// Queues a session for the journal alone.
    pub(crate) fn push_for_journal(&self, session: &Arc<Session>) {
        self.jot(session, lanes::JOURNAL);
    }

    fn jot(&self, session: &Arc<Session>, flags: u8) {
        if session.enter_lanes(flags) & lanes::JOURNAL != 0 {
            return;
        }
        self.entered.fetch_add(1, Ordering::SeqCst);
        self.journal.push(Arc::clone(session));
        self.wake_writer();
    }

    fn wake_writer(&self) {
        // Waking costs a system call, so only a sleeper is woken.
        if self.writer_sleeps.swap(false, Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Queues a session for the store. The journal passes sessions on by this.
    pub fn pass_on(&self, session: Arc<Session>) {
        if session.enter_lanes(lanes::STORE) & lanes::STORE != 0 {
            return;
        }
        let length = self.store.push(session);
        // Waking costs a system call: once for the first, once when the batch is full.
        if length == 1 || length == self.wake_at.load(Ordering::Relaxed) {
            self.arrived.notify_one();
        }
    }

    /// Takes up to `most` sessions for the store, oldest first.
    ///
    /// Read each one's state with [`Session::snapshot`] after this call: a session that changes
    /// later than that is queued again.
    pub fn take(&self, most: usize) -> Vec<Arc<Session>> {
        let taken = self.store.take(most);
        for session in &taken {
            session.leave_lanes(lanes::STORE);
        }
        taken
    }

    /// How many sessions wait for the store.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether nothing waits, neither for the journal nor for the store.
    pub fn is_empty(&self) -> bool {
        self.store.len() == 0 && self.journal.len() == 0
    }

    /// Waits until `count` sessions are queued for the store, or one has left memory for the disk,
    /// where it waits as well. Cancel safe.
    pub async fn reached(&self, count: usize) {
        self.wake_at.store(count, Ordering::Relaxed);
        while self.len() < count && !self.has_spilled.swap(false, Ordering::SeqCst) {
            self.arrived.notified().await;
        }
    }

    /// From here on states go to the journal first; `writer` is the thread that writes it.
    pub fn attach_journal(&self, writer: Thread) {
        let _first = self.writer.set(writer);
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.writer.get().is_some()
    }

    /// Takes every session whose state waits for the journal, in the order in which they
    /// changed, and whether to note that running sessions are alive.
    pub fn take_for_journal(&self) -> (Vec<Jotting>, bool) {
        let taken = self.journal.take(usize::MAX);
        let jottings = taken.into_iter().map(|session| {
            let flags = session.leave_lanes(lanes::JOURNAL | lanes::FOR_STORE);
            Jotting { session, for_store: flags & lanes::FOR_STORE != 0 }
        });
        (jottings.collect(), self.alive.swap(false, Ordering::SeqCst))
    }

    /// Tells that so many sessions taken for the journal are in it and passed on.
    pub fn passed(&self, count: usize) {
        self.passed.fetch_add(count as u64, Ordering::SeqCst);
        self.passed_on.notify_waiters();
    }

    /// Puts the journal's thread to sleep until there is something for it, at most for `limit`.
    /// Only that thread may call it.
    pub fn sleep_writer(&self, limit: Duration) {
        self.writer_sleeps.store(true, Ordering::SeqCst);
        // Looked at after saying so, or what comes in between would wake nobody.
        if self.journal.len() == 0 && !self.alive.load(Ordering::SeqCst) {
            std::thread::park_timeout(limit);
        }
        self.writer_sleeps.store(false, Ordering::SeqCst);
    }

    /// Wakes the journal's thread for another reason than a session.
    pub fn rouse_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Waits until what was queued before the call is in the journal and passed on. Cancel safe.
    pub async fn journaled(&self) {
        let wanted = self.entered.load(Ordering::SeqCst);
        loop {
            let passed_on = self.passed_on.notified();
            if self.passed.load(Ordering::SeqCst) >= wanted {
                return;
            }
            passed_on.await;
        }
    }

    pub(crate) fn note_alive(&self) {
        self.alive.store(true, Ordering::SeqCst);
        self.wake_writer();
    }

    /// Whether new sessions must be turned away because the journal cannot take them.
    pub fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// Turns new sessions away, or admits them again.
    pub fn refuse(&self, refuse: bool) {
        self.refusing.store(refuse, Ordering::Relaxed);
    }

    /// Sessions, running or ended, whose final state the store does not have yet.
    pub fn unsaved(&self) -> usize {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// Ended sessions of these that are on disk alone, not in memory.
    pub fn spilled(&self) -> usize {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Sessions whose final state the store took since the start.
    pub fn saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    /// Sessions whose final state is gone for good. Stays 0.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Tells that the store took the final states of so many spilled sessions.
    pub fn drained(&self, count: usize) {
        self.spilled.fetch_sub(count, Ordering::Relaxed);
        self.unsaved.fetch_sub(count, Ordering::Relaxed);
        self.saved.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Tells that the spilled states of so many sessions cannot be read back.
    pub fn damaged(&self, count: usize) {
        self.spilled.fetch_sub(count, Ordering::Relaxed);
        self.unsaved.fetch_sub(count, Ordering::Relaxed);
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn expect_one(&self) {
        self.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn settle_one(&self) {
        self.unsaved.fetch_sub(1, Ordering::Relaxed);
        self.saved.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a session on disk alone; `spilled` runs before the recorder is told to look there.
    pub(crate) fn spill_one(&self, spilled: impl FnOnce()) {
        self.spilled.fetch_add(1, Ordering::Relaxed);
        spilled();
        if !self.has_spilled.swap(true, Ordering::SeqCst) {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn lose_one(&self) {
        self.unsaved.fetch_sub(1, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}
