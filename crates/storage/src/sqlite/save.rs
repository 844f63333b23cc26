//! Writing many records at once: multi-row upserts of a few fixed sizes, prepared once each.

use std::sync::Arc;

use rustsocks_sessions::Record;
use rustsocks_sessions::clock::millis;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, SqliteConnection};

use crate::store::StoreError;
use crate::time;

/// Columns per row.
const COLUMNS: usize = 27;

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
        let head = include_str!("../../queries/sqlite/save_head.sql");
        let tail = include_str!("../../queries/sqlite/save_tail.sql");
        let row = ["(", &["?"; COLUMNS].join(","), ")"].concat();
        let texts = SIZES
            .map(|size| [head, &vec![row.as_str(); size].join(","), "\n", tail].concat().into());
        Self { texts }
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
    let mut values = SqliteArguments::default();
    values.reserve(records.len() * COLUMNS, 0);
    for record in records {
        bind(&mut values, record).map_err(sqlx::Error::Encode)?;
    }
    Ok(values)
}

/// Binds one row, in the order of `save_head.sql`.
fn bind(values: &mut SqliteArguments, record: &Record) -> Result<(), sqlx::error::BoxDynError> {
    values.add(record.session_id.to_string())?;
    values.add(Arc::clone(&record.user))?;
    values.add(time::to_text(record.start_time))?;
    values.add(record.end_time.map(time::to_text))?;
    values.add(record.duration.map(|duration| integer(duration.as_secs())))?;
    values.add(record.source_ip.to_string())?;
    values.add(i32::from(record.source_port))?;
    values.add(&*record.dest_ip)?;
    values.add(i32::from(record.dest_port))?;
    values.add(record.protocol.name())?;
    values.add(integer(record.bytes_sent))?;
    values.add(integer(record.bytes_received))?;
    values.add(integer(record.packets_sent))?;
    values.add(integer(record.packets_received))?;
    values.add(record.status.name())?;
    values.add(record.close_reason.map(|reason| reason.name()))?;
    values.add(record.acl_rule_matched.clone())?;
    values.add(record.acl_decision)?;
    values.add(record.dest_host.as_deref())?;
    values.add(record.egress_ip.map(|ip| ip.to_string()))?;
    values.add(record.egress_port.map(i32::from))?;
    values.add(record.command.map(|command| command.name()))?;
    values.add(record.duration.map(|duration| integer(millis(duration))))?;
    values.add(record.connect.map(|connect| integer(millis(connect))))?;
    values.add(record.close_detail.as_deref())?;
    values.add(Arc::clone(&record.node_id))?;
    values.add(time::to_text(record.updated_at))?;
    Ok(())
}

/// SQLite's integers are signed; what does not fit is the largest.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
