//! Finding records again.

use rustsocks_sessions::{Record, SessionId};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, SqliteConnection};

use crate::row::{record, run};
use crate::sql::{self, Dialect, Statement, Value};
use crate::store::StoreError;
use crate::verify::Run;

use super::WRITER;

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

/// Puts questions of as many statements as each has, all of one moment.
pub(super) async fn at_once<const N: usize>(
    connection: &mut SqliteConnection,
    questions: [impl IntoIterator<Item = Statement>; N],
) -> Result<[Vec<SqliteRow>; N], StoreError> {
    let mut moment = connection.begin().await?;
    let mut answers = [const { Vec::new() }; N];
    for (statements, answer) in questions.into_iter().zip(&mut answers) {
        for statement in statements {
            answer.extend(query(statement)?.fetch_all(&mut *moment).await?);
        }
    }
    moment.rollback().await?;
    Ok(answers)
}

/// What the rows of a run say.
pub(super) async fn rows_of_run(
    connection: &mut SqliteConnection,
    node: &str,
    first: SessionId,
) -> Result<Run, StoreError> {
    run(&at_once(connection, sql::rows_of_run(DIALECT, WRITER, node, first)).await?)
}
