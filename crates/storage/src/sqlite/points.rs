//! The metrics history in the file. It shares the connection that writes, and steps back wherever
//! a record wants it.

use jiff::Timestamp;

use super::{SqliteStore, history};
use crate::points::{Point, sql};
use crate::sql::{Dialect, Statement};
use crate::store::StoreError;

const DIALECT: Dialect = Dialect::Sqlite;

impl SqliteStore {
    /// A file has one node, whatever it was called when it wrote.
    pub(crate) async fn points(
        &self,
        since: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> Result<Vec<Point>, StoreError> {
        let statement = sql::select(DIALECT, None, since, until, most);
        let rows = history::query(statement)?.fetch_all(&self.readers).await?;
        rows.iter().rev().map(sql::point).collect()
    }

    pub(crate) async fn save_points(
        &self,
        node: &str,
        points: &[Point],
    ) -> Result<bool, StoreError> {
        let saved = self.execute_if_idle(sql::insert(DIALECT, node, points)).await?;
        Ok(saved.is_some())
    }

    pub(crate) async fn forget_points(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<Option<u64>, StoreError> {
        self.execute_if_idle(sql::forget(DIALECT, before, most)).await
    }

    /// Runs a statement unless somebody writes, or has met an error and will connect anew.
    async fn execute_if_idle(&self, statement: Statement) -> Result<Option<u64>, StoreError> {
        let Ok(mut writer) = self.writer.try_lock() else { return Ok(None) };
        // Taken out, so that a failure leaves no connection that may be inside a transaction.
        let Some(mut connection) = writer.take() else { return Ok(None) };
        let done = history::query(statement)?.execute(&mut connection).await?;
        *writer = Some(connection);
        Ok(Some(done.rows_affected()))
    }
}
