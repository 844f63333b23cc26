//! Finding records again.

use rustsocks_sessions::{Record, SessionId};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool};
use sqlx::{Arguments as _, AssertSqlSafe};

use crate::filter::{Filter, Page, Paging, Sort};
use crate::row::{Columns as _, record};
use crate::sql::{self, Dialect, Statement, Value};
use crate::store::StoreError;

const DIALECT: Dialect = Dialect::Sqlite;

/// A statement of ours with its values bound.
pub(super) fn query(
    statement: Statement,
) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, StoreError> {
    let mut values = SqliteArguments::default();
    for value in statement.values {
        match value {
            Value::Text(text) => values.add(text),
            Value::Shared(text) => values.add(text),
            Value::Fixed(text) => values.add(text),
            Value::Number(number) => values.add(number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(statement.text), values))
}

pub(super) async fn find(pool: &SqlitePool, id: SessionId) -> Result<Option<Record>, StoreError> {
    let row = query(sql::find(DIALECT, id))?.fetch_optional(pool).await?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn page(
    pool: &SqlitePool,
    filter: &Filter,
    sort: Sort,
    paging: Paging,
    size: usize,
) -> Result<Page, StoreError> {
    // One transaction, so that the total and the page are of one moment.
    let mut moment = pool.begin().await?;
    let total = query(sql::count(DIALECT, filter))?.fetch_one(&mut *moment).await?;
    let total = total.number("total")?.unwrap_or(0);
    let statement = sql::page(DIALECT, filter, sort, paging, size);
    let rows = query(statement)?.fetch_all(&mut *moment).await?;
    moment.rollback().await?;
    let records = rows.iter().map(record).collect::<Result<_, _>>()?;
    Ok(Page::new(records, size, u64::try_from(total).unwrap_or(0), sort))
}
