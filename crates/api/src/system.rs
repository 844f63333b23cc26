//! What the process takes, and how it is set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rustsocks_storage::verify::Run;
use rustsocks_telemetry::Resources;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::Api;
use crate::problem::Problem;

/// What the process takes of the machine. What the system does not tell is 0.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResourcesView {
    /// CPU time of the process since its start, user and system, in seconds.
    #[schema(example = 123.45, minimum = 0)]
    cpu_seconds: f64,
    /// Memory of the process, in bytes.
    #[schema(example = 25_165_824, minimum = 0)]
    resident_bytes: u64,
    /// Open file descriptors.
    #[schema(example = 120, minimum = 0)]
    open_fds: u64,
    /// File descriptors that may be open.
    #[schema(example = 1_048_576, minimum = 0)]
    max_fds: u64,
    /// Threads of the process.
    #[schema(example = 6, minimum = 0)]
    threads: u64,
    /// Whole seconds since the process started.
    #[schema(example = 86400, minimum = 0)]
    uptime_secs: u64,
    /// Processors that the process may use.
    #[schema(example = 2, minimum = 1)]
    cores: u64,
    /// Tasks that ran or waited to run on the machine, averaged over a minute.
    #[schema(example = 0.75, minimum = 0)]
    load_1m: f64,
    /// Memory of the machine, in bytes.
    #[schema(example = 8_589_934_592_u64, minimum = 0)]
    memory_total_bytes: u64,
    /// Memory of the machine that programs could still take, in bytes.
    #[schema(example = 4_294_967_296_u64, minimum = 0)]
    memory_available_bytes: u64,
}

/// What the process takes of the machine, and what the machine has.
#[utoipa::path(
    get, path = "/api/system/resources", tag = "system",
    responses((status = 200, description = "Resources", body = ResourcesView))
)]
pub(crate) async fn resources(State(api): State<Api>) -> Json<ResourcesView> {
    let found = Resources::read();
    Json(ResourcesView {
        cpu_seconds: found.cpu_seconds,
        resident_bytes: found.resident_bytes,
        open_fds: found.open_fds,
        max_fds: found.max_fds,
        threads: found.threads,
        uptime_secs: api.started.elapsed().as_secs(),
        cores: found.cores,
        load_1m: found.load_1m,
        memory_total_bytes: found.memory_total_bytes,
        memory_available_bytes: found.memory_available_bytes,
    })
}

/// What the process has counted of its sessions since its start, by itself, without what the store
/// does not have yet: the rows of these sessions say the same after as many writes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountersView {
    /// The node whose sessions these are.
    #[schema(example = "gateway-1")]
    node_id: String,
    /// An id before those of all sessions since the start, and behind those of earlier ones.
    #[schema(format = "uuid", example = "01a209d1-312c-7766-9078-e3ca9fe9a20f")]
    first_session_id: String,
    /// Whole seconds since the start.
    #[schema(example = 86400, minimum = 0)]
    uptime_secs: u64,
    /// The SQLite file with its whole path; null for other storage.
    #[schema(example = "/var/lib/rustsocks/sessions.db")]
    file: Option<String>,
    /// How often the node has written into the store, earlier runs included; the same number as
    /// its `version` in the table `rollup_versions` while no write is under way.
    #[schema(example = 1234, minimum = 0)]
    writes: i64,
    /// Sessions, running ones included.
    #[schema(example = 15234, minimum = 0)]
    sessions: i64,
    /// Those that failed.
    #[schema(example = 3, minimum = 0)]
    failed: i64,
    /// Those that the access rules refused.
    #[schema(example = 12, minimum = 0)]
    rejected: i64,
    /// Payload bytes, client to destination.
    #[schema(example = 523423123, minimum = 0)]
    bytes_sent: i64,
    /// Payload bytes, destination to client.
    #[schema(example = 234234234, minimum = 0)]
    bytes_received: i64,
    /// Sessions whose final state is gone for good. Stays 0.
    #[schema(example = 0, minimum = 0)]
    lost: u64,
}

/// What the process has counted since its start, to be compared with the rows.
#[utoipa::path(
    get, path = "/api/system/counters", tag = "system",
    responses(
        (status = 200, description = "Counters", body = CountersView),
        (status = 404, description = "Sessions are not recorded", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn counters(State(api): State<Api>) -> Result<Json<CountersView>, Problem> {
    let Some(ledger) = &api.ledger else {
        return Err(Problem::not_found("sessions are not recorded (sessions.enabled = false)"));
    };
    let Run { writes, sums } = ledger.store.counted_of_run(&api.table).await?;
    Ok(Json(CountersView {
        node_id: api.table.node().to_string(),
        first_session_id: api.table.first_id().to_string(),
        uptime_secs: api.started.elapsed().as_secs(),
        file: ledger.store.file().map(|file| file.display().to_string()),
        writes,
        sessions: sums.sessions,
        failed: sums.failed,
        rejected: sums.rejected,
        bytes_sent: sums.sent,
        bytes_received: sums.received,
        lost: api.table.outbox().lost(),
    }))
}

/// The settings in force, by section and key, without secrets.
pub type SettingsBySection = BTreeMap<String, BTreeMap<String, Value>>;

/// The configuration in force. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Effective {
    /// The file it came from; none for the embedded defaults.
    pub file: Option<PathBuf>,
    /// Every setting; whoever makes this leaves no secret in it.
    pub settings: Arc<SettingsBySection>,
}

/// The configuration in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigView {
    /// The file it came from; null where the program runs with its defaults.
    #[schema(example = "/etc/rustsocks/rustsocks.toml")]
    file: Option<String>,
    /// The program's version.
    #[schema(example = "0.10.0")]
    version: &'static str,
    /// Section to key to value, defaults included; keys that are not set and have no default are
    /// left out, and secrets are `"***"`.
    #[schema(value_type = BTreeMap<String, Object>)]
    settings: Arc<SettingsBySection>,
}

/// The configuration as the process started with it, secrets shown as `"***"`.
#[utoipa::path(
    get, path = "/api/system/config", tag = "system",
    responses((status = 200, description = "The configuration in force", body = ConfigView))
)]
pub(crate) async fn config(State(api): State<Api>) -> Json<ConfigView> {
    let Effective { file, settings } = api.effective;
    Json(ConfigView {
        file: file.map(|file| file.display().to_string()),
        version: env!("CARGO_PKG_VERSION"),
        settings,
    })
}
