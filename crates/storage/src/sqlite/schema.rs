//! Which version a file's schema has, and bringing it up to date.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

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

/// How a file of the newest version differs from what the migrations make.
#[derive(Debug)]
pub(super) enum Shape {
    /// It has everything; indexes and views of these names were made again.
    Whole(Vec<String>),
    /// This column is gone, and what was in it.
    Lost(String),
    /// This column, which is not ours, would refuse every row.
    Unfillable(String),
}

/// Compares a file with what the migrations make, and makes again what holds nothing of its own.
/// What is there beside that is somebody else's.
pub(super) async fn mend(connection: &mut SqliteConnection) -> Result<Shape, sqlx::Error> {
    let mut fresh = SqliteConnection::connect("sqlite::memory:").await?;
    let made = Migrator::with_migrations(Dialect::Sqlite.migrations()).run(&mut fresh).await;
    made.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
    let (ours, derived_of_ours) = (columns(&mut fresh).await?, derived(&mut fresh).await?);
    fresh.close().await?;
    let found = columns(connection).await?;
    let has = |list: &[Column], wanted: &Column| list.iter().any(|column| column.is(wanted));
    if let Some(lost) = ours.iter().find(|column| !has(&found, column)) {
        return Ok(Shape::Lost(lost.place()));
    }
    let is_in_ours = |column: &&Column| ours.iter().any(|our| our.table == column.table);
    let mut others = found.iter().filter(is_in_ours).filter(|column| !has(&ours, column));
    if let Some(column) = others.find(|column| column.not_null && !column.has_default) {
        return Ok(Shape::Unfillable(column.place()));
    }
    let found = derived(connection).await?;
    let mut again = Vec::new();
    for (_, name, text) in derived_of_ours {
        match found.iter().find(|(_, found, _)| *found == name) {
            // RustSocks 0.9 may have made its own in other words.
            Some((_, _, found)) if *found == text || PUBLISHED.contains(&&*name) => continue,
            Some((kind, ..)) => {
                let text = AssertSqlSafe(format!("DROP {kind} {name}"));
                sqlx::query(text).execute(&mut *connection).await?;
            }
            None => {}
        }
        sqlx::query(AssertSqlSafe(text)).execute(&mut *connection).await?;
        again.push(name);
    }
    Ok(Shape::Whole(again))
}

/// The indexes of a file of 0.9.
const PUBLISHED: [&str; 3] =
    ["idx_sessions_user", "idx_sessions_start_time", "idx_sessions_status"];

/// Kind, name and words of each index and view.
async fn derived(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    let sql = "SELECT type, name, sql FROM sqlite_master \
               WHERE type IN ('index', 'view') AND sql IS NOT NULL";
    sqlx::query_as(sql).fetch_all(connection).await
}

/// A column of a table.
#[derive(Debug)]
struct Column {
    table: String,
    name: String,
    kind: String,
    not_null: bool,
    has_default: bool,
    /// Its place in the table's key, or 0.
    key: i64,
}

impl Column {
    fn is(&self, other: &Self) -> bool {
        let facts = |column: &Self| (column.not_null, column.key);
        self.table == other.table
            && self.name == other.name
            && self.kind == other.kind
            && facts(self) == facts(other)
    }

    fn place(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }
}

async fn columns(connection: &mut SqliteConnection) -> Result<Vec<Column>, sqlx::Error> {
    let sql = "SELECT tables.name, columns.name, columns.type, columns.\"notnull\" <> 0, \
               columns.dflt_value IS NOT NULL, columns.pk FROM sqlite_master AS tables \
               JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'";
    let columns: Vec<(String, String, String, bool, bool, i64)> =
        sqlx::query_as(sql).fetch_all(connection).await?;
    let column = |(table, name, kind, not_null, has_default, key)| Column {
        table,
        name,
        kind,
        not_null,
        has_default,
        key,
    };
    Ok(columns.into_iter().map(column).collect())
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
