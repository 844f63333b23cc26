//! Whether the process is well, and whether it takes clients.

use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
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
    /// `sqlite`, `memory`, or `off` where sessions are not recorded.
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
    /// Batches saved since the start.
    #[schema(example = 1234)]
    batches: u64,
    /// Failed tries since the start.
    #[schema(example = 0)]
    failures: u64,
}

/// What waits for the store. It waits in memory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JournalView {
    /// Sessions whose newest state waits.
    #[schema(example = 3)]
    queued: usize,
    /// Sessions, running or ended, whose final state is not stored.
    #[schema(example = 45)]
    unsaved: usize,
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
            let since = figures.degraded_since.load(Relaxed);
            let since = (since != 0).then(|| Timestamp::from_millisecond(since).ok()).flatten();
            StorageView {
                engine: ledger.store.engine().to_owned(),
                status: word(since.is_some()),
                degraded_since: since.map(time::to_text),
                last_error: figures.last_error(),
                batches: figures.batches.load(Relaxed),
                failures: figures.failures.load(Relaxed),
            }
        }
        None => StorageView {
            engine: "off".to_owned(),
            status: word(false),
            degraded_since: None,
            last_error: None,
            batches: 0,
            failures: 0,
        },
    };
    let outbox = api.table.outbox();
    Json(HealthView {
        status: storage.status.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_secs: api.started.elapsed().as_secs(),
        active_sessions: api.table.active(),
        storage,
        journal: JournalView { queued: outbox.len(), unsaved: outbox.unsaved() },
    })
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
        (status = 503, description = "The process is stopping", body = Problem),
    )
)]
pub(crate) async fn ready(State(api): State<Api>) -> Result<Json<ReadyView>, Problem> {
    if api.stopping.is_cancelled() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping"));
    }
    Ok(Json(ReadyView { ready: true }))
}
