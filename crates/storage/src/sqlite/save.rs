//! Writing many records at once: multi-row upserts of a few fixed sizes, prepared once each.

use std::sync::Arc;

use rustsocks_sessions::Record;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, SqliteConnection};

use crate::sql::Dialect;
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

    /// Saves all records in one transaction.
    pub(super) async fn save(
        &self,
        connection: &mut SqliteConnection,
        records: &[Record],
    ) -> Result<(), StoreError> {
        // Immediate: a deferred transaction that finds the lock taken later fails at once,
        // however long it may wait.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut rest = records;
        for (size, text) in SIZES.into_iter().zip(&self.texts) {
            while let Some((chunk, others)) = rest.split_at_checked(size) {
                let sql = AssertSqlSafe(Arc::clone(text));
                sqlx::query_with(sql, arguments(chunk)?).execute(&mut *transaction).await?;
                rest = others;
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn arguments(records: &[Record]) -> Result<SqliteArguments, sqlx::Error> {
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
