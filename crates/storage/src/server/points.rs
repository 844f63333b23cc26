//! The metrics history on a database server, over a connection that no record needs.

use jiff::Timestamp;

use super::ServerStore;
use crate::points::{Point, sql};
use crate::store::StoreError;

impl ServerStore {
    pub(crate) async fn points(
        &self,
        node: &str,
        since: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> Result<Vec<Point>, StoreError> {
        let statement = sql::select(self.dialect, Some(node), since, until, most);
        let [rows] = self.read([Some(statement)]).await?;
        rows.iter().rev().map(sql::point).collect()
    }

    pub(crate) async fn save_points(&self, node: &str, points: &[Point]) -> Result<(), StoreError> {
        self.execute_aside(sql::insert(self.dialect, node, points)).await.map(drop)
    }

    pub(crate) async fn forget_points(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<u64, StoreError> {
        self.execute_aside(sql::forget(self.dialect, before, most)).await
    }
}
