//! Writing many records at once: multi-row upserts of a few fixed sizes, prepared once each.

use std::sync::Arc;

use rustsocks_sessions::Record;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection};

use super::history;
use crate::booking::Connected;
use crate::sql::{Dialect, Statement};
use crate::store::StoreError;
use crate::values::{self, COLUMNS, Row};

/// Rows per statement: powers of two, so that any batch is a few prepared statements. The
/// largest stays below SQLite's 32 766 values.
const SIZES: [usize; 10] = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1];

/// The statements, one per size.
#[derive(Debug)]
pub(super) struct Statements {
    texts: [Arc<str>; SIZES.len()],
}

impl Statements {
    pub(super) fn new() -> Self {
        Self { texts: SIZES.map(|size| values::save_text(Dialect::Sqlite, size).into()) }
    }

    /// Writes all records.
    pub(super) async fn upsert(
        &self,
        connection: &mut SqliteConnection,
        records: &[&Record],
    ) -> Result<(), StoreError> {
        let mut rest = records;
        for (size, text) in SIZES.into_iter().zip(&self.texts) {
            while let Some((chunk, others)) = rest.split_at_checked(size) {
                let sql = AssertSqlSafe(Arc::clone(text));
                sqlx::query_with(sql, arguments(chunk)?).execute(&mut *connection).await?;
                rest = others;
            }
        }
        Ok(())
    }
}

/// The connection that writes, with the statements it has prepared.
pub(super) struct Writer<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) statements: &'a Statements,
}

impl Connected for Writer<'_> {
    type Row = SqliteRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        let done = history::query(statement)?.execute(&mut *self.connection).await?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        Ok(history::query(statement)?.fetch_all(&mut *self.connection).await?)
    }

    async fn upsert(&mut self, records: &[&Record]) -> Result<(), StoreError> {
        self.statements.upsert(self.connection, records).await
    }
}

fn arguments(records: &[&Record]) -> Result<SqliteArguments, sqlx::Error> {
    let mut row = Bound(SqliteArguments::default());
    row.0.reserve(records.len() * COLUMNS, 0);
    for record in records {
        values::bind(Dialect::Sqlite, &mut row, record).map_err(sqlx::Error::Encode)?;
    }
    Ok(row.0)
}

struct Bound(SqliteArguments);

impl Row for Bound {
    type Error = sqlx::error::BoxDynError;

    fn text(&mut self, text: Option<String>) -> Result<(), Self::Error> {
        self.0.add(text)
    }

    fn shared(&mut self, text: Option<Arc<str>>) -> Result<(), Self::Error> {
        self.0.add(text)
    }

    fn fixed(&mut self, text: Option<&'static str>) -> Result<(), Self::Error> {
        self.0.add(text)
    }

    fn number(&mut self, number: Option<i64>) -> Result<(), Self::Error> {
        self.0.add(number)
    }
}
