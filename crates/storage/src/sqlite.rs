//! One SQLite file: one connection that writes, a few that read.
//!
//! The write-ahead log lets readers go on while the writer commits, and the other way round.

mod history;
mod save;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{Record, SessionId};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Mutex;

use crate::filter::{Filter, Page, Paging, Sort};
use crate::row::record;
use crate::sql::{self, Dialect};
use crate::store::StoreError;
use crate::time;

/// The first release without the WAL-reset defect, which can corrupt a file that several
/// connections use.
const SQLITE_LEAST: [u32; 3] = [3, 51, 3];

/// Connections that read.
const READERS: u32 = 4;

/// How long to wait for a lock that another process holds, before the try counts as failed.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process and of the machine's power: synced at each batch.
    #[default]
    Full,
    /// The death of the process; a power loss may take the newest batches, never the file.
    Normal,
}

/// Where and how.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; missing parent folders are made.
    pub path: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
}

/// The SQLite store.
#[derive(Debug)]
pub struct SqliteStore {
    options: SqliteConnectOptions,
    /// None after a failure, until the next write connects anew.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    statements: save::Statements,
}

impl SqliteStore {
    /// Opens the file, makes it if it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`], with what to do about it.
    pub async fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        let path = &options.path;
        prepare_place(path)?;
        let synchronous = match options.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        };
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(LOCK_WAIT)
            .pragma("cache_size", "-2048");
        let mut writer = SqliteConnection::connect_with(&connect)
            .await
            .map_err(|error| open_error(path, &error))?;
        check_version(&mut writer).await?;
        Migrator::with_migrations(Dialect::Sqlite.migrations()).run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(connect.clone().read_only(true).create_if_missing(false))
            .await
            .map_err(|error| open_error(path, &error))?;
        Ok(Self {
            options: connect,
            writer: Mutex::new(Some(writer)),
            readers,
            statements: save::Statements::new(),
        })
    }

    pub(crate) async fn save(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        // Taken out, so that a failure half-way leaves no connection inside a transaction.
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        self.statements.save(&mut connection, records).await?;
        *writer = Some(connection);
        Ok(())
    }

    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        history::find(&self.readers, id).await
    }

    pub(crate) async fn history(
        &self,
        filter: &Filter,
        sort: Sort,
        paging: Paging,
        size: usize,
    ) -> Result<Page, StoreError> {
        history::page(&self.readers, filter, sort, paging, size).await
    }

    /// The SQL of a history page, for tests of how SQLite means to answer it.
    #[doc(hidden)]
    pub fn page_sql(filter: &Filter, sort: Sort, paging: Paging) -> String {
        sql::page(Dialect::Sqlite, filter, sort, paging, 1).text
    }

    pub(crate) async fn close_crashed(&self, node: &str) -> Result<u64, StoreError> {
        let sql = Dialect::Sqlite.close_crashed();
        let mut writer = self.writer.lock().await;
        let connection = self.connected(&mut writer).await?;
        let closed = sqlx::query(sql).bind(node).execute(connection).await?;
        Ok(closed.rows_affected())
    }

    pub(crate) async fn expire(&self, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        let sql = Dialect::Sqlite.expire();
        let mut writer = self.writer.lock().await;
        let connection = self.connected(&mut writer).await?;
        let query = sqlx::query(sql)
            .bind(time::to_text(before))
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        Ok(query.execute(connection).await?.rows_affected())
    }

    pub(crate) async fn oldest(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let statement = sql::oldest(Dialect::Sqlite, before, most);
        let rows = history::query(statement)?.fetch_all(&self.readers).await?;
        rows.iter().map(record).collect()
    }

    pub(crate) async fn delete(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = self.connected(&mut writer).await?;
        let query = history::query(sql::delete(Dialect::Sqlite, ids))?;
        Ok(query.execute(connection).await?.rows_affected())
    }

    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM sessions";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.lock().await.take() {
            // A failure leaves the write-ahead log, which the next start reads.
            let _log_stays = writer.close().await;
        }
    }

    async fn connected<'a>(
        &self,
        writer: &'a mut Option<SqliteConnection>,
    ) -> Result<&'a mut SqliteConnection, StoreError> {
        match writer {
            Some(connection) => Ok(connection),
            None => Ok(writer.insert(SqliteConnection::connect_with(&self.options).await?)),
        }
    }
}

/// Makes the parent folders, and refuses what can never become a database.
fn prepare_place(path: &Path) -> Result<(), StoreError> {
    let refuse = |problem: String| StoreError::Open { path: path.display().to_string(), problem };
    if path.is_dir() {
        return Err(refuse("it is a directory; name a file inside it".into()));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            refuse(format!("its folder {} cannot be made: {error}", folder.display()))
        })?;
    }
    // Opened by hand first, because SQLite only says "unable to open database file".
    std::fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map(drop)
        .map_err(|error| refuse(format!("{error}; give this user the right to write there")))
}

fn open_error(path: &Path, error: &sqlx::Error) -> StoreError {
    let text = error.to_string();
    let problem = if text.contains("file is not a database") {
        "it is no SQLite database (a mistyped path or an encrypted file looks the same)".into()
    } else if text.contains("locked") {
        "another process holds it; stop that one, or give this one a file of its own".into()
    } else {
        text
    };
    StoreError::Open { path: path.display().to_string(), problem }
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    let parts: Vec<u32> = found.split('.').filter_map(|part| u32::from_str(part).ok()).collect();
    if parts.as_slice() < SQLITE_LEAST.as_slice() {
        return Err(StoreError::SqliteVersion { found });
    }
    Ok(())
}
