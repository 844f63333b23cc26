//! Taking the metrics history, and keeping it where the ledger has a database.

use std::sync::Arc;

use rustsocks_api::Ledger;
use rustsocks_sessions::Table;
use rustsocks_storage::{Keeper, Points, Sampler};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HistoryConfig;

/// The metrics history at work.
pub(crate) struct History {
    /// Its points.
    pub(crate) points: Points,
    sampling: JoinHandle<()>,
    keeping: Option<(CancellationToken, JoinHandle<()>)>,
}

/// Begins to take points, until `ending`, and to keep them.
pub(crate) fn begin(
    form: &HistoryConfig,
    table: &Table,
    ledger: Option<&Ledger>,
    ending: &CancellationToken,
    helpers: &TaskTracker,
) -> History {
    let points = Points::new(form.interval, form.keep);
    let sampler = Sampler::new(table.clone(), points.clone());
    let sampling = helpers.spawn(sampler.run(ending.clone()));
    let keeping = ledger.filter(|_| form.persist).map(|ledger| {
        let keeper = Keeper {
            points: points.clone(),
            store: Arc::clone(&ledger.store),
            figures: Arc::clone(&ledger.figures),
            table: table.clone(),
            cleanup_interval: form.cleanup_interval,
        };
        let sampled = CancellationToken::new();
        (sampled.clone(), helpers.spawn(keeper.run(sampled)))
    });
    History { points, sampling, keeping }
}

impl History {
    /// Keeps the last point too, for two seconds at most. To be called behind `ending` and before
    /// the store is closed.
    pub(crate) async fn finish(self) {
        // A panic in either was logged where it happened, and costs points alone.
        let _last_point = self.sampling.await;
        if let Some((sampled, keeping)) = self.keeping {
            sampled.cancel();
            let _kept = keeping.await;
        }
    }
}
