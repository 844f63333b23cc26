//! Keeps the points of the metrics history in the store, so that they survive a restart.
//!
//! Points are saved a few at a time, every half minute, and only while nobody else writes: a
//! record never waits for a point for longer than one small write takes. What cannot be saved
//! stays in memory and is tried again; see `docs/decisions/0015-metrics-history.md`.

use std::sync::Arc;
use std::time::Duration;

use rustsocks_sessions::Table;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::points::Points;
use crate::recorder::Figures;
use crate::store::{Store, StoreError};

/// How often new points are saved, and how often what failed is tried again.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// Points in one write: a write of this size takes a few milliseconds.
const STEP: usize = 500;

/// Points that are read at once.
const PAGE: usize = 4000;

/// The pause after which a writer that was busy is asked again, and the one between two steps.
const BREATH: Duration = Duration::from_millis(50);

/// How often a busy writer is asked before the next round.
const MOST_REFUSALS: usize = 100;

/// How long the last points may take at the stop.
const LAST_TRIES: Duration = Duration::from_secs(2);

/// Keeps the points of one node.
#[derive(Debug)]
pub struct Keeper {
    /// The points.
    pub points: Points,
    /// Where they are kept.
    pub store: Arc<Store>,
    /// Whether the store takes records; a store that does not is not asked for this either.
    pub figures: Arc<Figures>,
    /// The sessions, for the node's name and the time.
    pub table: Table,
    /// How often points that are too old are deleted.
    pub cleanup_interval: Duration,
}

impl Keeper {
    /// Loads what former runs left, then saves until `stop` is cancelled and the sampler has
    /// taken its last point. Never fails: what the store refuses is tried again later.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SAVE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_loaded, mut next_cleanup) = (false, Instant::now());
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // Never dropped half-way: a connection that is lost in the middle of a write is closed
            // by nobody, and SQLite's log would stay behind the stop.
            if !is_loaded {
                is_loaded = self.told(self.load(&stop).await);
            }
            if self.told(self.save().await) && Instant::now() >= next_cleanup {
                next_cleanup = Instant::now() + self.cleanup_interval;
                self.told(self.clean_up(&stop).await);
            }
        }
        let _late = timeout(LAST_TRIES, async { self.told(self.save().await) }).await;
    }

    /// Whether it went well; says why not.
    fn told(&self, done: Result<(), StoreError>) -> bool {
        if let Err(error) = &done {
            tracing::debug!(%error, "the metrics history could not be kept; trying again later");
        }
        done.is_ok()
    }

    /// Reads what former runs left, the newest first, until the stop.
    async fn load(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = self.table.clock().now().wall;
        let since = now.checked_sub(self.points.keep()).unwrap_or(jiff::Timestamp::MIN);
        // What this run has taken meanwhile is in memory already, and so is what was read before an
        // error.
        let mut until = self.points.first().unwrap_or(now);
        while !stop.is_cancelled() {
            let mut page = self.store.points(self.table.node(), since, until, PAGE).await?;
            let is_last = page.len() < PAGE;
            if let Some(oldest) = page.first().map(|point| point.at).filter(|_| !is_last) {
                // A file may have points of several names at one instant: the next page has all
                // of them.
                page.retain(|point| point.at != oldest);
            }
            let Some(first) = page.first() else { return Ok(()) };
            until = first.at;
            if !self.points.put_before(page) || is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn save(&self) -> Result<(), StoreError> {
        let mut busy = 0;
        while busy < MOST_REFUSALS && !self.figures.is_degraded() {
            let points = self.points.unsaved(STEP);
            if points.is_empty() {
                return Ok(());
            }
            match self.store.save_points(self.table.node(), &points).await? {
                true => self.points.saved(&points),
                false => busy += 1,
            }
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }

    /// Deletes what is too old, in steps, until the stop.
    async fn clean_up(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = self.table.clock().now().wall;
        let before = now.checked_sub(self.points.keep()).unwrap_or(jiff::Timestamp::MIN);
        let mut busy = 0;
        while busy < MOST_REFUSALS && !self.figures.is_degraded() && !stop.is_cancelled() {
            match self.store.forget_points(before, STEP).await? {
                Some(0) => return Ok(()),
                Some(_) => {}
                None => busy += 1,
            }
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }
}
