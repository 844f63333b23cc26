//! Writing many records at once: multi-row upserts of a few fixed sizes, prepared once each.

use std::sync::Arc;

use rustsocks_sessions::Record;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments as _, AssertSqlSafe};

use super::query;
use crate::booking::Connected;
use crate::sql::{Dialect, Statement};
use crate::store::StoreError;
use crate::values::{self, Row};

/// Rows per statement: powers of two, so that any batch is a few prepared statements. The
/// largest stays well below the 65 535 values of both protocols.
const SIZES: [usize; 10] = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1];

/// The statements, one per size.
#[derive(Debug)]
pub(super) struct Statements {
    dialect: Dialect,
    texts: [Arc<str>; SIZES.len()],
}

impl Statements {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, texts: SIZES.map(|size| values::save_text(dialect, size).into()) }
    }

    /// Writes all records.
    pub(super) async fn upsert(
        &self,
        connection: &mut AnyConnection,
        records: &[&Record],
    ) -> Result<(), StoreError> {
        let mut rest = records;
        for (size, text) in SIZES.into_iter().zip(&self.texts) {
            while let Some((chunk, others)) = rest.split_at_checked(size) {
                let sql = AssertSqlSafe(Arc::clone(text));
                let arguments = self.arguments(chunk)?;
                sqlx::query_with(sql, arguments).execute(&mut *connection).await?;
                rest = others;
            }
        }
        Ok(())
    }

    fn arguments(&self, records: &[&Record]) -> Result<AnyArguments, sqlx::Error> {
        let mut row = Bound { values: AnyArguments::default(), dialect: self.dialect };
        for record in records {
            values::bind(self.dialect, &mut row, record).map_err(sqlx::Error::Encode)?;
        }
        Ok(row.values)
    }
}

/// The connection that writes, with the statements it has prepared.
pub(super) struct Writer<'a> {
    pub(super) connection: &'a mut AnyConnection,
    pub(super) statements: &'a Statements,
}

impl Connected for Writer<'_> {
    type Row = AnyRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        Ok(query(statement)?.execute(&mut *self.connection).await?.rows_affected())
    }

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<AnyRow>, StoreError> {
        Ok(query(statement)?.fetch_all(&mut *self.connection).await?)
    }

    async fn upsert(&mut self, records: &[&Record]) -> Result<(), StoreError> {
        self.statements.upsert(self.connection, records).await
    }
}

struct Bound {
    values: AnyArguments,
    dialect: Dialect,
}

/// PostgreSQL has no zero byte in a text.
pub(super) fn fit(dialect: Dialect, text: String) -> String {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres if text.contains('\0') => text.replace('\0', "\u{FFFD}"),
        _ => text,
    }
}

impl Row for Bound {
    type Error = sqlx::error::BoxDynError;

    fn text(&mut self, text: Option<String>) -> Result<(), Self::Error> {
        let text = text.map(|text| fit(self.dialect, text));
        self.values.add(text)
    }

    fn shared(&mut self, text: Option<Arc<str>>) -> Result<(), Self::Error> {
        self.text(text.map(|text| text.as_ref().to_owned()))
    }

    fn fixed(&mut self, text: Option<&'static str>) -> Result<(), Self::Error> {
        self.values.add(text.map(str::to_owned))
    }

    fn number(&mut self, number: Option<i64>) -> Result<(), Self::Error> {
        self.values.add(number)
    }
}
