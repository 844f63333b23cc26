//! The spare connections.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;

/// The state of the pool of spare connections, counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Spares that wait.
    pub idle: usize,
    /// Spares per destination at most.
    pub max_idle_per_dest: usize,
    /// Spares in all at most.
    pub max_total_idle: usize,
    /// Spares opened.
    pub opened: u64,
    /// Spares that sessions took.
    pub reused: u64,
    /// Spares found dead, or kept for too long.
    pub expired: u64,
    /// Spares wished for beyond the destination's cap.
    pub dropped: u64,
    /// Spares closed to make room for others.
    pub evicted: u64,
    /// Where the waiting ones lead, with how many; the most first.
    pub destinations: Vec<(SocketAddr, usize)>,
}

/// Tells the state of the pool; none where it is off. Cheap to clone.
#[derive(Clone)]
pub struct PoolSource(Arc<dyn Fn() -> Option<PoolState> + Send + Sync>);

impl PoolSource {
    /// A source that asks `state`.
    pub fn new(state: impl Fn() -> Option<PoolState> + Send + Sync + 'static) -> Self {
        Self(Arc::new(state))
    }
}

impl std::fmt::Debug for PoolSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PoolSource")
    }
}

/// The spare connections; counts are since the start of the process.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolView {
    /// Whether spares are kept at all (`server.pool.enabled`).
    #[schema(example = true)]
    enabled: bool,
    /// Spares that wait.
    #[schema(example = 6, minimum = 0)]
    idle: usize,
    /// Spares per destination at most; 0 where none are kept.
    #[schema(example = 4, minimum = 0, maximum = 10_000)]
    max_idle_per_dest: usize,
    /// Spares in all at most; 0 where none are kept.
    #[schema(example = 100, minimum = 0, maximum = 100_000)]
    max_total_idle: usize,
    /// Spares opened.
    #[schema(example = 120, minimum = 0)]
    opened: u64,
    /// Spares that sessions took.
    #[schema(example = 100, minimum = 0)]
    reused: u64,
    /// Spares found dead, or kept for too long.
    #[schema(example = 12, minimum = 0)]
    expired: u64,
    /// Spares wished for beyond `max_idle_per_dest`.
    #[schema(example = 3, minimum = 0)]
    dropped: u64,
    /// Spares closed because of `max_total_idle`.
    #[schema(example = 2, minimum = 0)]
    evicted: u64,
    /// Where the waiting ones lead: the most first, equal ones by address.
    destinations: Vec<PoolDestination>,
}

/// Spares of one destination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolDestination {
    /// Address and port, IPv6 in brackets.
    #[schema(example = "192.0.2.1:443")]
    dest: String,
    /// Spares that wait.
    #[schema(example = 2, minimum = 1)]
    idle: usize,
}

/// The warm spare connections that wait for sessions.
#[utoipa::path(
    get, path = "/api/pool/stats", tag = "system", operation_id = "pool_stats",
    responses((status = 200, description = "The spare connections", body = PoolView))
)]
pub(crate) async fn stats(State(api): State<Api>) -> Json<PoolView> {
    let state = (api.pool.0)();
    let enabled = state.is_some();
    let state = state.unwrap_or_default();
    let destinations = state.destinations.into_iter();
    Json(PoolView {
        enabled,
        idle: state.idle,
        max_idle_per_dest: state.max_idle_per_dest,
        max_total_idle: state.max_total_idle,
        opened: state.opened,
        reused: state.reused,
        expired: state.expired,
        dropped: state.dropped,
        evicted: state.evicted,
        destinations: destinations
            .map(|(dest, idle)| PoolDestination { dest: dest.to_string(), idle })
            .collect(),
    })
}
