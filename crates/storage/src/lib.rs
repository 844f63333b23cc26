//! Durable history: the stores, the recorder that fills them, and retention.
//!
//! This is the only crate with SQL. A [`Store`] keeps records and finds them again; the
//! [`Recorder`] takes sessions whose state changed from the outbox and saves them in batches,
//! one transaction each, until the store has taken them.
//!
//! A batch that fails is kept and tried again; nothing is given up while the process lives.
//! Writes are upserts by session id that never go backwards, so trying again is always safe.
//! What waits is in the journal, which the recorder replays at the start.

pub mod archive;
#[cfg(feature = "sql")]
mod booking;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub mod cluster;
pub mod filter;
pub mod keeper;
pub mod memory;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod points;
pub mod recorder;
pub mod retention;
mod rollup;
#[cfg(feature = "sql")]
mod row;
pub mod sampler;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub mod server;
mod spilled;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod store;
pub mod time;
#[cfg(feature = "sql")]
mod values;
pub mod verify;
mod windows;

pub use archive::{Archive, ArchiveFormat};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use cluster::{Membership, MembershipNotice};
pub use filter::{Cursor, Direction, Filter, Page, Paging, Sort, SortKey};
pub use keeper::Keeper;
pub use memory::MemoryStore;
pub use points::{Course, Points, Rates};
pub use recorder::{Figures, Flusher, Recorder, RecorderOptions, Report, StoreNotice};
pub use retention::Retention;
pub use rollup::{Kind, Sums};
pub use sampler::Sampler;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use server::{ServerOptions, ServerStore};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, OpeningNotice, SqliteOptions, SqliteStore};
pub use store::{Answer, Store, StoreError};
pub use windows::{Failures, OnDisk, Statistics, WindowQuery};
