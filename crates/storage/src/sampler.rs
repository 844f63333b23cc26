//! Takes the points of the metrics history.
//!
//! Keeping them is another activity ([`Keeper`](crate::Keeper)): a store that hangs delays no point.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{Moment, Table};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::points::{Point, Points};

/// Takes points of one table.
#[derive(Debug)]
pub struct Sampler {
    table: Table,
    points: Points,
}

impl Sampler {
    /// Takes points of `table` into `points`.
    pub fn new(table: Table, points: Points) -> Self {
        Self { table, points }
    }

    /// Takes points until `stop` is cancelled; the last one is shorter.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.points.interval());
        // A machine that slept has one long span, not many empty ones.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut before = Totals::of(&self.table);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            before = self.take(before);
        }
        self.take(before);
    }

    fn take(&self, before: Totals) -> Totals {
        let now = Totals::of(&self.table);
        let outbox = self.table.outbox();
        let active = self.table.active();
        self.points.push(Point {
            at: now.moment.wall,
            // As it is stored, so that a point is the same after a restart.
            span: Duration::from_millis(millis(now.moment.mono - before.moment.mono)),
            active: active as u64,
            backlog: outbox.unsaved().saturating_sub(active) as u64,
            sessions: now.sessions.saturating_sub(before.sessions),
            sent: now.sent.saturating_sub(before.sent),
            received: now.received.saturating_sub(before.received),
        });
        now
    }
}

/// The running totals at one moment.
struct Totals {
    moment: Moment,
    sessions: u64,
    sent: u64,
    received: u64,
}

impl Totals {
    fn of(table: &Table) -> Self {
        let tally = table.tally();
        Self {
            moment: table.clock().now(),
            sessions: tally.sessions.load(Relaxed),
            sent: tally.sent.get(),
            received: tally.received.get(),
        }
    }
}
