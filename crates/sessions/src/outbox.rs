//! Which sessions have a state that is not in the store yet.
//!
//! It holds sessions, not states: the recorder reads the newest state when it takes a batch, so
//! start, interim and stop of one session coalesce by themselves. It is no log on disk; what is
//! in it dies with the process.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::session::Session;

/// The queue between the sessions and the recorder.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Vec<Arc<Session>>>,
    /// How many the queue holds, readable without the lock.
    queued: AtomicUsize,
    /// The recorder sleeps until this many are queued.
    wake_at: AtomicUsize,
    arrived: Notify,
    /// Sessions whose final state is not durable yet.
    unsaved: AtomicUsize,
    saved: AtomicU64,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Queues a session whose state changed; one that is queued already stays where it is.
    pub(crate) fn push(&self, session: Arc<Session>) {
        if session.mark_queued() {
            return;
        }
        let length = {
            let mut queue = self.lock();
            queue.push(session);
            self.queued.store(queue.len(), Ordering::Relaxed);
            queue.len()
        };
        // Waking costs a system call: once for the first, once when the batch is full.
        if length == 1 || length == self.wake_at.load(Ordering::Relaxed) {
            self.arrived.notify_one();
        }
    }

    /// Takes up to `most` sessions, oldest first.
    ///
    /// Read each one's state with [`Session::snapshot`] after this call: a session that changes
    /// later than that is queued again.
    pub fn take(&self, most: usize) -> Vec<Arc<Session>> {
        let taken = {
            let mut queue = self.lock();
            let taken = if queue.len() <= most {
                std::mem::take(&mut *queue)
            } else {
                let rest = queue.split_off(most);
                std::mem::replace(&mut *queue, rest)
            };
            self.queued.store(queue.len(), Ordering::Relaxed);
            taken
        };
        for session in &taken {
            session.clear_queued();
        }
        taken
    }

    /// How many sessions wait.
    pub fn len(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until `count` sessions are queued. Cancel safe.
    pub async fn reached(&self, count: usize) {
        self.wake_at.store(count, Ordering::Relaxed);
        while self.len() < count {
            self.arrived.notified().await;
        }
    }

    /// Sessions, running or ended, whose final state is not durable yet.
    pub fn unsaved(&self) -> usize {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// Sessions whose final state became durable since the start.
    pub fn saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    pub(crate) fn expect_one(&self) {
        self.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn settle_one(&self) {
        self.unsaved.fetch_sub(1, Ordering::Relaxed);
        self.saved.fetch_add(1, Ordering::Relaxed);
    }
}
