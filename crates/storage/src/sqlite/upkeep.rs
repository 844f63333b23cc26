//! What an operator does to a file by hand: look at it, copy it, recompute it, pack it.
//!
//! Looking and copying work while a server runs; packing and migrating need the file alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use rustsocks_sessions::SessionId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection as _, SqliteConnection};

use super::check::{self, Verdict};
use super::place::{Lock, refuse};
use super::schema::{self, Schema};
use super::{LOCK_WAIT, SqliteOptions, SqliteStore, history, open_error, snapshot};
use crate::row::{Columns as _, record, wrong_rollups};
use crate::sql::{self, Dialect};
use crate::store::StoreError;
use crate::time;
use crate::verify::{Run, Sums};

/// What a look at a file says.
#[derive(Debug)]
pub struct Findings {
    /// What is wrong with the file; none when it is sound.
    pub damage: Option<String>,
    /// Its schema, where it can be read.
    pub schema: Option<Schema>,
    /// The version that this program brings a schema to.
    pub newest: i64,
    /// SQLite's journal mode.
    pub journal_mode: String,
    /// Sessions by status.
    pub sessions: BTreeMap<String, u64>,
}

async fn reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    if !path.is_file() {
        return Err(refuse(path, "there is no such file"));
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let connection = SqliteConnection::connect_with(&options.busy_timeout(LOCK_WAIT)).await;
    connection.map_err(|error| open_error(path, &error))
}

/// Looks through a file, every index entry too. Changes nothing.
///
/// # Errors
/// When the file cannot be read at all.
pub async fn look(path: &Path) -> Result<Findings, StoreError> {
    let mut findings = Findings {
        damage: None,
        schema: None,
        newest: schema::newest(),
        journal_mode: String::new(),
        sessions: BTreeMap::new(),
    };
    let mut connection = reader(path).await?;
    if let Verdict::Damaged(why) = check::header(path)? {
        findings.damage = Some(why);
        return Ok(findings);
    }
    if let Verdict::Damaged(why) = check::contents(&mut connection, true).await? {
        findings.damage = Some(why);
        return Ok(findings);
    }
    let mode = "PRAGMA journal_mode";
    findings.journal_mode = sqlx::query_scalar(mode).fetch_one(&mut connection).await?;
    let found = schema::of(&mut connection).await?;
    findings.schema = Some(found);
    if found != Schema::Empty {
        let counts = "SELECT status, COUNT(*) FROM sessions GROUP BY status ORDER BY status";
        let counts: Vec<(String, i64)> = sqlx::query_as(counts).fetch_all(&mut connection).await?;
        let counts = counts.into_iter().map(|(name, count)| (name, count.unsigned_abs()));
        findings.sessions = counts.collect();
    }
    connection.close().await?;
    Ok(findings)
}

/// Copies a file to a new one, the write-ahead log included, and verifies the copy.
///
/// # Errors
/// When there is such a file already, and when the copy fails; no half copy stays then.
pub async fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    let mut connection = reader(path).await?;
    snapshot::copy(&mut connection, path, to).await?;
    Ok(connection.close().await?)
}

/// Reads every row and recomputes it, in constant memory. Changes nothing.
///
/// # Errors
/// When the file cannot be read, or its schema is not that of this program.
pub async fn verify(path: &Path) -> Result<Sums, StoreError> {
    let mut connection = reader(path).await?;
    let found = schema::of(&mut connection).await.map_err(|error| open_error(path, &error))?;
    if found != Schema::Version(schema::newest()) {
        return Err(refuse(path, "its schema is not up to date; run `rustsocks db migrate`"));
    }
    let mut sums = Sums::default();
    {
        let mut rows = sqlx::query(Dialect::Sqlite.select()).fetch(&mut connection);
        while let Some(row) = rows.try_next().await? {
            add(&mut sums, &row);
        }
    }
    let statement = history::query(sql::wrong_rollups(Dialect::Sqlite))?;
    sums.wrong_rollups = wrong_rollups(&statement.fetch_all(&mut connection).await?)?;
    connection.close().await?;
    Ok(sums)
}

/// What the rows of a run say, while a server may write: those of a node whose ids are not before
/// `first`.
///
/// # Errors
/// When the file cannot be read.
pub async fn rows_of_run(path: &Path, node: &str, first: SessionId) -> Result<Run, StoreError> {
    let mut connection = reader(path).await?;
    let run = history::rows_of_run(&mut connection, node, first).await?;
    connection.close().await?;
    Ok(run)
}

/// Takes one row into the sums.
fn add(sums: &mut Sums, row: &SqliteRow) {
    match record(row) {
        Ok(record) => sums.add(&record, || wrong_column(row)),
        Err(error) => {
            let session_id = row.text("session_id").ok().flatten().unwrap_or_default();
            sums.add_unreadable(session_id, error.to_string());
        }
    }
}

/// What in a row's own columns is wrong that its record does not show.
fn wrong_column(row: &SqliteRow) -> Option<String> {
    for column in ["start_time", "end_time", "updated_at"] {
        let text = row.text(column).ok().flatten();
        let is_fixed =
            |text: &String| time::from_text(text).is_ok_and(|at| time::to_text(at) == *text);
        if text.as_ref().is_some_and(|text| !is_fixed(text)) {
            return Some(format!("{column} is not of the fixed form"));
        }
    }
    for column in ["bytes_sent", "bytes_received", "packets_sent", "packets_received"] {
        if row.number(column).ok().flatten().is_none_or(|count| count < 0) {
            return Some(format!("{column} is negative or missing"));
        }
    }
    let millis = row.number("duration_ms").ok().flatten();
    let seconds = row.number("duration_secs").ok().flatten();
    if millis.map(|millis| millis / 1000) != seconds {
        return Some("duration_secs is not duration_ms in whole seconds".into());
    }
    None
}

/// Packs a file that no server holds; gives its size before and after, in bytes.
///
/// # Errors
/// When the file is in use, and when SQLite fails.
pub async fn vacuum(path: &Path) -> Result<(u64, u64), StoreError> {
    let size = || std::fs::metadata(path).map(|facts| facts.len()).unwrap_or(0);
    reader(path).await?.close().await?;
    let lock = Lock::take(path)?;
    let before = size();
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(LOCK_WAIT);
    let mut connection =
        SqliteConnection::connect_with(&options).await.map_err(|error| open_error(path, &error))?;
    let packed = sqlx::query("VACUUM").execute(&mut connection).await;
    packed.map_err(|error| open_error(path, &error))?;
    connection.close().await?;
    if !lock.was_left {
        lock.release();
    }
    Ok((before, size()))
}

/// What a migration would do, or did.
#[derive(Debug)]
pub struct Migrations {
    /// The schema before.
    pub from: Schema,
    /// Versions and names of what is missing.
    pub pending: Vec<(i64, String)>,
    /// Where the file as it was lies, once it is done.
    pub snapshot: Option<PathBuf>,
}

/// What is missing in a file's schema. Changes nothing.
///
/// # Errors
/// When the file cannot be read, and when a newer program wrote it.
pub async fn pending(path: &Path) -> Result<Migrations, StoreError> {
    let mut connection = reader(path).await?;
    let from = schema::of(&mut connection).await.map_err(|error| open_error(path, &error))?;
    connection.close().await?;
    schema::refuse_newer(path, from)?;
    let applied = match from {
        Schema::Version(version) => version,
        Schema::Empty | Schema::Published => 0,
    };
    let pending = Dialect::Sqlite
        .migrations()
        .iter()
        .filter(|migration| migration.version > applied)
        .map(|migration| (migration.version, migration.description.to_string()))
        .collect();
    Ok(Migrations { from, pending, snapshot: None })
}

/// Brings a file's schema up to date, as a start of the server does.
///
/// # Errors
/// As [`SqliteStore::open`].
pub async fn migrate(options: &SqliteOptions) -> Result<Migrations, StoreError> {
    let mut migrations = pending(&options.path).await?;
    let (store, notices) = SqliteStore::open(options).await?;
    store.close().await;
    migrations.snapshot = notices.into_iter().find_map(|notice| match notice {
        super::OpeningNotice::Migrated { snapshot, .. } => snapshot,
        _ => None,
    });
    Ok(migrations)
}
