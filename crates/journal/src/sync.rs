//! The thread that makes what was appended survive a power loss.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::Medium;
use crate::journal::Inner;

/// The pause after a sync; what comes in meanwhile shares the next one.
const SYNC_SPACING: Duration = Duration::from_millis(50);

/// What waits to be synced.
#[derive(Debug, Default)]
pub(crate) struct Syncer {
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    media: Vec<(u64, Arc<dyn Medium>)>,
    stop: bool,
    /// Segments that a sync failed for.
    failed: Vec<u64>,
}

impl Syncer {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ask(&self, number: u64, medium: &Arc<dyn Medium>) {
        let mut asked = self.lock();
        let is_first = asked.media.is_empty();
        if asked.media.last().is_none_or(|(last, _)| *last != number) {
            asked.media.push((number, Arc::clone(medium)));
        }
        drop(asked);
        if is_first {
            self.wake.notify_one();
        }
    }

    /// Ends the syncing thread, if this is so.
    pub(crate) fn stop_when(&self, so: bool) {
        if so {
            self.lock().stop = true;
            self.wake.notify_one();
        }
    }

    /// The segments that a sync failed for since the last call.
    pub(crate) fn take_failed(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().failed)
    }

    /// The syncing thread.
    pub(crate) fn run(&self, inner: &Inner) {
        loop {
            let mut asked = self.lock();
            while asked.media.is_empty() && !asked.stop {
                asked = self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner);
            }
            let media = std::mem::take(&mut asked.media);
            let stop = asked.stop;
            drop(asked);
            for (number, medium) in media {
                inner.set_busy(&inner.syncer_busy, true);
                self.sync(inner, number, &*medium);
                inner.set_busy(&inner.syncer_busy, false);
            }
            if stop {
                return;
            }
            std::thread::sleep(SYNC_SPACING);
        }
    }

    fn sync(&self, inner: &Inner, number: u64, medium: &dyn Medium) {
        let is_new = inner.segments().get(number).is_some_and(|segment| !segment.complete);
        let synced = medium.sync().and_then(|()| match is_new {
            true => inner.options.disk.sync_folder(&inner.options.folder),
            false => Ok(()),
        });
        match synced {
            Ok(()) if is_new => {
                if let Some(segment) = inner.segments().get(number) {
                    segment.complete = true;
                }
                // What came before it may now be deleted.
                inner.table.outbox().rouse_writer();
            }
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, "the journal cannot be synced");
                self.lock().failed.push(number);
                inner.table.outbox().rouse_writer();
            }
        }
    }
}
