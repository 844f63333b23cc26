//! Forgetting what is older than the operator wants to keep, in steps that hold nobody up.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::Clock;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::store::{Store, StoreError};

/// Rows per step. A step of this size holds the write lock for a few milliseconds.
const STEP: usize = 500;

/// The pause between steps, in which the recorder gets the write lock.
const BREATH: Duration = Duration::from_millis(20);

/// Deletes old records at the start and at every interval.
#[derive(Debug)]
pub struct Retention {
    /// How long records are kept after their session's end; none keeps them for ever.
    pub keep: Option<Duration>,
    /// How often to look.
    pub interval: Duration,
    /// Where what is deleted is kept, if anywhere.
    pub archive: Option<Archive>,
}

impl Retention {
    /// Runs until `stop` is cancelled.
    pub async fn run(self, store: Arc<Store>, clock: Clock, stop: CancellationToken) {
        let Some(keep) = self.keep else { return };
        loop {
            if let Ok(before) = clock.now().wall.checked_sub(keep) {
                let expired = self.expire_all(&store, before, &stop).await;
                if expired > 0 {
                    tracing::info!(expired, "deleted records older than the retention time");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(self.interval)).await.is_none() {
                return;
            }
        }
    }

    /// Deletes every record that ended before a time; stops at the first error, to be tried
    /// again at the next interval.
    async fn expire_all(&self, store: &Store, before: Timestamp, stop: &CancellationToken) -> u64 {
        let mut expired = 0;
        // A step is never dropped half-way: what it has in hand would be deleted by nobody, or
        // archived twice, and SQLite's log would stay behind the stop.
        while !stop.is_cancelled() {
            match self.step(store, before).await {
                Ok(0) => return expired,
                Ok(count) => expired += count,
                Err(error) => {
                    tracing::warn!(%error, "old records could not be deleted; trying again later");
                    return expired;
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(BREATH)).await;
        }
        expired
    }

    /// Deletes up to [`STEP`] records, after they were archived where that is wanted.
    async fn step(&self, store: &Store, before: Timestamp) -> Result<u64, RetentionError> {
        let records = store.oldest(before, STEP).await?;
        if records.is_empty() {
            store.forget_usage(before).await?;
            return Ok(0);
        }
        let ids: Vec<_> = records.iter().map(|record| record.session_id).collect();
        if let Some(archive) = self.archive.clone() {
            let written = tokio::task::spawn_blocking(move || archive.append(&records)).await;
            written.map_err(std::io::Error::other)??;
        }
        Ok(store.delete(&ids).await?)
    }
}

/// Why old records stay for now.
#[derive(Debug, Error)]
enum RetentionError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive cannot be written; nothing is deleted then.
    #[error("the archive cannot be written: {0}")]
    Archive(#[from] std::io::Error),
}
