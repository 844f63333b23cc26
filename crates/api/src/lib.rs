//! The operator's side: REST under `/api`, the metrics page, health, the API's own description.
//!
//! It reads the live table, the store and the access rules, and ends a session by asking it to
//! stop; it knows nothing of the data plane. Its answers are shaped here alone, made from domain
//! types that know no JSON.

mod acl;
mod asker;
#[cfg(feature = "api-docs")]
mod browser;
mod cookie;
mod course;
#[cfg(feature = "dashboard")]
mod dashboard;
mod describe;
mod events;
mod export;
mod gate;
mod guard;
mod headers;
mod health;
mod history;
mod live;
mod login;
#[cfg(feature = "metrics")]
mod metrics;
mod params;
mod pool;
mod problem;
mod refusal;
mod routes;
mod security;
mod serve;
mod shapes;
mod source;
mod stall;
mod stats;
mod stream;
mod system;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustsocks_access::acl::Acl;
use rustsocks_access::operators::Operators;
use rustsocks_journal::Journal;
use rustsocks_sessions::Table;
use rustsocks_storage::{Figures, Flusher, Points, Store};
use rustsocks_telemetry::Events;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use acl::Reload;
pub use pool::{PoolSource, PoolState};
pub use routes::openapi_json;
pub use system::{Effective, SettingsBySection};

/// How the API is reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Empty, or a prefix of every path that begins with a slash and does not end with one.
    pub base_path: String,
    /// Whether `/swagger-ui/` is served.
    pub swagger: bool,
    /// Whether the dashboard is served, where it is compiled in.
    pub dashboard: bool,
    /// How many hours of statistics are shown where nobody says.
    pub stats_window_hours: u64,
    /// Proxies in front of the API, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The ledger's store and the one that fills it.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Where records are kept.
    pub store: Arc<Store>,
    /// What is on its way there; none where the store does not outlive the process.
    pub journal: Option<Journal>,
    /// What the recorder does.
    pub figures: Arc<Figures>,
    /// Makes the recorder save at once.
    pub flusher: Flusher,
}

/// What the API speaks of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    /// The sessions of this process.
    pub table: Table,
    /// The ledger; none where sessions are not recorded.
    pub ledger: Option<Ledger>,
    /// The access rules.
    pub acl: Acl,
    /// Who may ask; none where no login is needed.
    pub operators: Option<Operators>,
    /// Reads the access rules' file again.
    pub reload: Reload,
    /// The operator events.
    pub events: Events,
    /// The metrics page; none where it is off.
    #[cfg(feature = "metrics")]
    pub metrics: Option<rustsocks_telemetry::metrics::Metrics>,
    /// The metrics history; none where it is off.
    pub points: Option<Points>,
    /// The spare connections.
    pub pool: PoolSource,
    /// The configuration in force.
    pub effective: Effective,
    /// When the process started.
    pub started: Instant,
    /// Cancelled when the process begins to stop.
    pub stopping: CancellationToken,
    /// How the API is reached.
    pub options: Options,
}

/// Whether the API may be bound to this address where no login is needed: to loopback alone.
pub fn may_bind(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
