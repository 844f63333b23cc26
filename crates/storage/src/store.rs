//! One door to every engine.

use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{CloseReason, Record, SessionId};
use thiserror::Error;

use crate::filter::{Filter, Page, Paging, Sort};
use crate::memory::MemoryStore;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::server::ServerStore;
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
    /// The database server cannot be used as it is configured.
    #[error("{problem}")]
    Server {
        /// What is wrong and what to do about it, without the password.
        problem: String,
    },
    /// The database server did not answer in time.
    #[error("the database server did not answer within {limit:?}")]
    Timeout {
        /// The time limit of one statement.
        limit: Duration,
    },
    /// The database refused a statement; trying again may help.
    #[cfg(feature = "sql")]
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[cfg(feature = "sql")]
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

/// What another node says when it is asked to end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is being ended.
    Ending,
    /// It does not run any more.
    Ended,
    /// Nothing, in time.
    Silence,
}

impl Answer {
    /// How it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Silence => "",
        }
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    fn from_name(name: &str) -> Self {
        if name == Self::Ending.name() { Self::Ending } else { Self::Ended }
    }
}

/// The pause between two looks for an answer.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const ANSWER_PAUSE: Duration = Duration::from_millis(50);

/// Where records are kept.
#[derive(Debug)]
pub enum Store {
    /// In memory, bounded.
    Memory(MemoryStore),
    /// In one SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(Box<SqliteStore>),
    /// On a database server.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    Server(Box<ServerStore>),
}

/// Calls the same method of whichever store it is; the one in memory neither waits nor fails.
macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Memory($store) => Ok($call),
            #[cfg(feature = "sqlite")]
            Self::Sqlite($store) => $call.await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Self::Server($store) => $call.await,
        }
    };
}

impl Store {
    /// The engine's name.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "sqlite",
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Self::Server(store) => store.engine(),
        }
    }

    /// Saves records, all or none. Saving again changes nothing, and an older state never
    /// replaces a newer one.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was saved then.
    pub async fn save(&self, records: &[Record]) -> Result<(), StoreError> {
        each!(self, store => store.save(records))
    }

    /// The record of a session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        each!(self, store => store.find(id))
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
        each!(self, store => store.history(filter, sort, paging, size))
    }

    /// Ends the rows that this node's last run left open: `failed`, `server_crash`, at the time
    /// they were last known. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_crashed(&self, node: &str) -> Result<u64, StoreError> {
        each!(self, store => store.close_crashed(node))
    }

    /// Deletes up to `most` sessions that ended before a time. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expire(&self, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        each!(self, store => store.expire(before, most))
    }

    /// The oldest sessions that ended before a time, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest(&self, before: Timestamp, most: usize) -> Result<Vec<Record>, StoreError> {
        each!(self, store => store.oldest(before, most))
    }

    /// Deletes sessions. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        each!(self, store => store.delete(ids))
    }

    /// The database server, where that is what it is: several nodes may share it.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub fn server(&self) -> Option<&ServerStore> {
        match self {
            Self::Server(store) => Some(store),
            _ => None,
        }
    }

    /// Where a damaged database lies that this one took the place of at the start.
    pub fn quarantined(&self) -> Option<&std::path::Path> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.quarantined(),
            _ => None,
        }
    }

    /// Whether several nodes may keep their records here.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Self::Server(_) => true,
        }
    }

    /// Asks another node that shares this store to end a session, and waits for its answer.
    /// `detail` goes into the record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_elsewhere(
        &self,
        session: SessionId,
        node: &str,
        detail: &str,
        patience: Duration,
    ) -> Result<Answer, StoreError> {
        match self {
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Self::Server(store) => {
                let command = store.ask_stop(session, node, detail).await?;
                let began = tokio::time::Instant::now();
                while began.elapsed() < patience {
                    if let Some(answer) = store.answer_to(command).await? {
                        return Ok(Answer::from_name(&answer));
                    }
                    tokio::time::sleep(ANSWER_PAUSE).await;
                }
                Ok(Answer::Silence)
            }
            _ => {
                let _nobody_to_ask = (session, node, detail, patience);
                Ok(Answer::Silence)
            }
        }
    }

    /// How many records it holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        each!(self, store => store.count())
    }

    /// Closes it. Later calls fail.
    pub async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.close().await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Self::Server(store) => store.close().await,
        }
    }
}

/// Whether a state of a session takes the place of the one that is known; `save_tail.sql` says the
/// same to the databases.
pub(crate) fn replaces(record: &Record, known: &Record) -> bool {
    match known.close_reason {
        None => {
            record.close_reason.is_some_and(|reason| reason != CloseReason::ServerCrash)
                || record.updated_at >= known.updated_at
        }
        Some(CloseReason::ServerCrash) => record.updated_at > known.updated_at,
        Some(_) => false,
    }
}
