//! Writing many records at once: multi-row upserts of a few fixed sizes, prepared once each.

use std::collections::HashMap;
use std::sync::Arc;

use rustsocks_sessions::Record;
use sqlx::any::AnyArguments;
use sqlx::{AnyConnection, Arguments as _, AssertSqlSafe, Connection as _};

use crate::sql::Dialect;
use crate::store::{StoreError, replaces};
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

    /// Saves all records in one transaction.
    pub(super) async fn save(
        &self,
        connection: &mut AnyConnection,
        records: &[Record],
    ) -> Result<(), StoreError> {
        let records = newest(records);
        let mut transaction = connection.begin().await?;
        let mut rest = records.as_slice();
        for (size, text) in SIZES.into_iter().zip(&self.texts) {
            while let Some((chunk, others)) = rest.split_at_checked(size) {
                let sql = AssertSqlSafe(Arc::clone(text));
                let arguments = self.arguments(chunk)?;
                sqlx::query_with(sql, arguments).execute(&mut *transaction).await?;
                rest = others;
            }
        }
        transaction.commit().await?;
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

/// The newest state of each session, in the order of their ids, so that two nodes lock rows in
/// one order. PostgreSQL takes a session only once per statement.
fn newest(records: &[Record]) -> Vec<&Record> {
    let mut newest: HashMap<_, &Record> = HashMap::with_capacity(records.len());
    for record in records {
        let known = newest.entry(record.session_id).or_insert(record);
        if replaces(record, known) {
            *known = record;
        }
    }
    let mut list: Vec<&Record> = newest.into_values().collect();
    list.sort_unstable_by_key(|record| record.session_id);
    list
}

struct Bound {
    values: AnyArguments,
    dialect: Dialect,
}

impl Bound {
    /// PostgreSQL has no zero byte in a text; a client may put one into a name.
    fn fit(&self, text: String) -> String {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres if text.contains('\0') => text.replace('\0', "\u{FFFD}"),
            _ => text,
        }
    }
}

impl Row for Bound {
    type Error = sqlx::error::BoxDynError;

    fn text(&mut self, text: Option<String>) -> Result<(), Self::Error> {
        let text = text.map(|text| self.fit(text));
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
