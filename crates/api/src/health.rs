//! Whether the process is well, and whether it takes clients.

use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use rustsocks_journal::{Journal, Writing};
use rustsocks_storage::time;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::problem::Problem;

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// `ok` or `degraded`.
    #[schema(example = "ok")]
    status: String,
    /// The program's version.
    #[schema(example = "0.10.0")]
    version: String,
    /// Whole seconds since the start.
    #[schema(example = 86400)]
    uptime_secs: u64,
    /// Sessions that run.
    #[schema(example = 42)]
    active_sessions: usize,
    /// The store.
    storage: StorageView,
    /// What waits for the store.
    journal: JournalView,
}

/// How the store is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StorageView {
    /// `sqlite`, `mariadb`, `mysql`, `postgres`, `memory`, or `off` where sessions are not recorded.
    #[schema(example = "sqlite")]
    engine: String,
    /// `ok` or `degraded`.
    #[schema(example = "ok")]
    status: String,
    /// Since when saving fails, UTC; null while it works.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.678+00:00")]
    degraded_since: Option<String>,
    /// Why saving fails; null while it works.
    last_error: Option<String>,
    /// Where a damaged database lies that was moved aside at the start; null when none was.
    quarantined: Option<String>,
    /// Batches saved since the start.
    #[schema(example = 1234)]
    batches: u64,
    /// Failed tries since the start.
    #[schema(example = 0)]
    failures: u64,
}

/// What waits for the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JournalView {
    /// `ok`, `full`, `failed`, or `off` where the storage has none.
    #[schema(example = "ok")]
    status: String,
    /// Why writing it fails; null while it works.
    last_error: Option<String>,
    /// Bytes on disk.
    #[schema(example = 65536)]
    bytes: u64,
    /// The most bytes it may hold.
    #[schema(example = 1_073_741_824_u64)]
    max_bytes: u64,
    /// Sessions whose newest state waits.
    #[schema(example = 3)]
    queued: usize,
    /// Sessions, running or ended, whose final state is not stored.
    #[schema(example = 45)]
    unsaved: usize,
    /// Ended sessions of these that are in the journal alone, because memory is bounded.
    #[schema(example = 0)]
    spilled: usize,
    /// Sessions whose final state is gone for good since the start. Stays 0; while it is not, the
    /// process is `degraded`, until its next start.
    #[schema(example = 0)]
    lost: u64,
    /// Segments that cannot be read, of former runs or of this one; they are left where they are.
    #[schema(example = 0)]
    unreadable: u64,
    /// Whether what former runs left is still being saved.
    replaying: bool,
    /// Since when, at most, the oldest state waits, UTC; null when none does.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.678+00:00")]
    waiting_since: Option<String>,
}

/// How the process is. Answers 200 while it runs, degraded or not.
#[utoipa::path(
    get, path = "/health", tag = "system",
    responses((status = 200, description = "How the process is", body = HealthView))
)]
pub(crate) async fn health(State(api): State<Api>) -> Json<HealthView> {
    let storage = match &api.ledger {
        Some(ledger) => {
            let figures = &ledger.figures;
            let since = moment(figures.degraded_since.load(Relaxed));
            StorageView {
                engine: ledger.store.engine().to_owned(),
                status: word(since.is_some() || ledger.store.quarantined().is_some()),
                quarantined: ledger.store.quarantined().map(|at| at.display().to_string()),
                degraded_since: since,
                last_error: figures.last_error(),
                batches: figures.batches.load(Relaxed),
                failures: figures.failures.load(Relaxed),
            }
        }
        None => StorageView {
            engine: "off".to_owned(),
            status: word(false),
            quarantined: None,
            degraded_since: None,
            last_error: None,
            batches: 0,
            failures: 0,
        },
    };
    let journal = journal(&api);
    Json(HealthView {
        status: word(!is_well(&storage, &journal)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_secs: api.started.elapsed().as_secs(),
        active_sessions: api.table.active(),
        storage,
        journal,
    })
}

/// Whether nothing needs an operator.
fn is_well(storage: &StorageView, journal: &JournalView) -> bool {
    storage.status == "ok"
        && ["ok", "off"].contains(&journal.status.as_str())
        && journal.lost == 0
        && journal.unreadable == 0
}

fn journal(api: &Api) -> JournalView {
    let outbox = api.table.outbox();
    let journal = api.ledger.as_ref().and_then(|ledger| ledger.journal.as_ref());
    let (status, last_error) = match journal.map(Journal::writing) {
        None => ("off", None),
        Some(Writing::Ok) => ("ok", None),
        Some(Writing::Full) => ("full", Some("it holds as much as it may".to_owned())),
        Some(Writing::Failed(error)) => ("failed", Some(error)),
    };
    let since = api.ledger.as_ref().map_or(0, |ledger| ledger.figures.behind_since.load(Relaxed));
    JournalView {
        status: status.to_owned(),
        last_error,
        bytes: journal.map_or(0, Journal::bytes),
        max_bytes: journal.map_or(0, Journal::max_bytes),
        queued: outbox.len(),
        unsaved: outbox.unsaved(),
        spilled: outbox.spilled(),
        lost: outbox.lost(),
        unreadable: api.ledger.as_ref().map_or(0, |all| all.figures.unreadable.load(Relaxed)),
        replaying: api.ledger.as_ref().is_some_and(|all| !all.figures.recovered.load(Relaxed)),
        waiting_since: moment(since),
    }
}

/// A time in milliseconds since 1970; 0 is none.
fn moment(millis: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(millis).ok().filter(|_| millis != 0);
    time.map(time::to_text)
}

fn word(degraded: bool) -> String {
    if degraded { "degraded" } else { "ok" }.to_owned()
}

/// Whether clients are taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyView {
    /// Always true: a process that takes no clients answers 503.
    ready: bool,
}

/// Whether clients are taken.
#[utoipa::path(
    get, path = "/ready", tag = "system",
    responses(
        (status = 200, description = "Clients are taken", body = ReadyView),
        (status = 503, description = "The process is stopping, or turns all clients away because too many records wait", body = Problem),
    )
)]
pub(crate) async fn ready(State(api): State<Api>) -> Result<Json<ReadyView>, Problem> {
    let why = if api.stopping.is_cancelled() {
        "the process is stopping"
    } else if api.table.is_full() {
        "too many records wait for the store; all clients are turned away until there is room"
    } else {
        return Ok(Json(ReadyView { ready: true }));
    };
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lost_records_or_cannot_read_some_is_not_well() {
        let storage = StorageView {
            engine: "sqlite".to_owned(),
            status: word(false),
            degraded_since: None,
            last_error: None,
            quarantined: None,
            batches: 0,
            failures: 0,
        };
        let journal = |lost, unreadable| JournalView {
            status: "ok".to_owned(),
            last_error: None,
            bytes: 0,
            max_bytes: 0,
            queued: 0,
            unsaved: 0,
            spilled: 0,
            lost,
            unreadable,
            replaying: false,
            waiting_since: None,
        };
        assert!(is_well(&storage, &journal(0, 0)));
        assert!(!is_well(&storage, &journal(1, 0)));
        assert!(!is_well(&storage, &journal(0, 1)));
    }
}
