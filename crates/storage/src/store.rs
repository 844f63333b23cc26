//! One door to every engine.

use jiff::Timestamp;
use rustsocks_sessions::{Record, SessionId};
use thiserror::Error;

use crate::filter::{Filter, Page, Paging, Sort};
use crate::memory::MemoryStore;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteStore;

/// Why the store did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("cannot open {path}: {problem}")]
    Open {
        /// The file.
        path: String,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// The database refused a statement; trying again may help.
    #[cfg(feature = "sqlite")]
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[cfg(feature = "sqlite")]
    #[error("the schema could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds something that no version of this program wrote.
    #[error("the row of session {session_id} cannot be read: column {column} holds {value:?}")]
    Row {
        /// The row.
        session_id: String,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// SQLite is too old to be trusted with a write-ahead log.
    #[error("SQLite {found} has the WAL-reset defect; 3.51.3 or newer is needed")]
    SqliteVersion {
        /// The version found.
        found: String,
    },
}

/// Where records are kept.
#[derive(Debug)]
pub enum Store {
    /// In memory, bounded.
    Memory(MemoryStore),
    /// In one SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(Box<SqliteStore>),
}

impl Store {
    /// The engine's name.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// Saves records, all or none. Saving again changes nothing, and an older state never
    /// replaces a newer one.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was saved then.
    pub async fn save(&self, records: &[Record]) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => {
                store.save(records);
                Ok(())
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.save(records).await,
        }
    }

    /// The record of a session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.find(id)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.find(id).await,
        }
    }

    /// Part of the history, at most `size` records.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(
        &self,
        filter: &Filter,
        sort: Sort,
        paging: Paging,
        size: usize,
    ) -> Result<Page, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.history(filter, sort, paging, size)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.history(filter, sort, paging, size).await,
        }
    }

    /// Ends the rows that this node's last run left open: `failed`, `server_crash`, at the time
    /// they were last known. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_crashed(&self, node: &str) -> Result<u64, StoreError> {
        match self {
            Self::Memory(_) => {
                let _no_run_but_this_one = node;
                Ok(0)
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.close_crashed(node).await,
        }
    }

    /// Deletes up to `most` sessions that ended before a time. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expire(&self, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.expire(before, most)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.expire(before, most).await,
        }
    }

    /// How many records it holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.count()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.count().await,
        }
    }

    /// Closes it. Later calls fail.
    pub async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.close().await,
        }
    }
}
