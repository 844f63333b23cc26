//! Which version a file's schema has, and bringing it up to date.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::place::refuse;
use crate::sql::Dialect;
use crate::store::StoreError;

/// A file's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It has none.
    Empty,
    /// That of RustSocks 0.9: the published columns alone.
    Published,
    /// Ours, of this version.
    Version(i64),
}

/// The newest version.
pub(super) fn newest() -> i64 {
    Dialect::Sqlite.migrations().last().map_or(0, |migration| migration.version)
}

/// Reads a file's schema.
pub(super) async fn of(connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *connection).await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    if !has("sessions") {
        return Ok(Schema::Empty);
    }
    if has("_sqlx_migrations") {
        let applied = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
        let applied = sqlx::query(applied).fetch_all(&mut *connection).await?;
        let first = Dialect::Sqlite.migrations().into_iter().next();
        let ours = applied.first().zip(first).is_some_and(|(row, first)| {
            row.get::<i64, _>(0) == first.version
                && row.get::<Vec<u8>, _>(1) == first.checksum.as_ref()
        });
        if let Some(last) = applied.last().filter(|_| ours) {
            return Ok(Schema::Version(last.get(0)));
        }
    }
    Ok(Schema::Published)
}

/// Brings a schema up to date.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    found: Schema,
) -> Result<(), StoreError> {
    if found == Schema::Published {
        // The list of 0.9's own migrations, if it kept one, means nothing to ours.
        let aside = "ALTER TABLE _sqlx_migrations RENAME TO _sqlx_migrations_0_9";
        let exists = "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
        let exists: i64 = sqlx::query_scalar(exists).fetch_one(&mut *connection).await?;
        if exists > 0 {
            sqlx::query(aside).execute(&mut *connection).await?;
        }
    }
    Migrator::with_migrations(Dialect::Sqlite.migrations()).run(connection).await?;
    Ok(())
}

/// Whether everything is there as the migrations make it. Of the table of sessions and its oldest
/// indexes only the columns count: RustSocks 0.9 may have made them in words of its own.
pub(super) async fn is_whole(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mut fresh = SqliteConnection::connect("sqlite::memory:").await?;
    let made = Migrator::with_migrations(Dialect::Sqlite.migrations()).run(&mut fresh).await;
    made.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
    let wanted = (columns(&mut fresh).await?, objects(&mut fresh).await?);
    fresh.close().await?;
    let found = (columns(connection).await?, objects(connection).await?);
    let there = wanted.1.iter().all(|object| found.1.contains(object));
    Ok(found.0 == wanted.0 && there)
}

/// Kind, name and words of each table, index and view that migrations after the first made.
async fn objects(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    let sql = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT IN \
               ('sessions', 'idx_sessions_user', 'idx_sessions_start_time', 'idx_sessions_status')";
    sqlx::query_as(sql).fetch_all(connection).await
}

/// Name, type, whether it may be null, whether it is the key: of each column.
async fn columns(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, String, i64, i64)>, sqlx::Error> {
    let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_info('sessions')";
    sqlx::query_as(sql).fetch_all(connection).await
}

/// Refuses the schema of a newer program.
pub(super) fn refuse_newer(path: &Path, found: Schema) -> Result<(), StoreError> {
    match found {
        Schema::Version(version) if version > newest() => {
            let problem = format!(
                "a newer RustSocks has brought its schema to version {version}; run that one, or \
                 give this one a file of its own"
            );
            Err(refuse(path, problem))
        }
        _ => Ok(()),
    }
}
