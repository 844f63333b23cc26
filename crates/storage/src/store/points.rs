//! The metrics history in whichever store it is. The one in memory keeps none: points are in
//! memory anyway.

use jiff::Timestamp;

use super::{Engine, Store};
use crate::points::Point;
use crate::store::StoreError;

impl Store {
    /// The last points of a node from `since` on and before `until`: at most `most`, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn points(
        &self,
        node: &str,
        since: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> Result<Vec<Point>, StoreError> {
        match &self.engine {
            Engine::Memory(_) => {
                let _keeps_none = (node, since, until, most);
                Ok(Vec::new())
            }
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.points(since, until, most).await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.points(node, since, until, most).await,
        }
    }

    /// Saves points of a node; false, and nothing done, where that would hold up a record.
    /// Saving again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was saved then, or everything without our hearing of it.
    pub async fn save_points(&self, node: &str, points: &[Point]) -> Result<bool, StoreError> {
        match &self.engine {
            Engine::Memory(_) => {
                let _keeps_none = (node, points);
                Ok(true)
            }
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.save_points(node, points).await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.save_points(node, points).await.map(|()| true),
        }
    }

    /// Deletes the oldest points that are older than a time, of every node, at most about `most`
    /// instants of them. Gives how many points there were; none, and nothing done, where that
    /// would hold up a record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_points(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<Option<u64>, StoreError> {
        match &self.engine {
            Engine::Memory(_) => {
                let _keeps_none = (before, most);
                Ok(Some(0))
            }
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.forget_points(before, most).await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.forget_points(before, most).await.map(Some),
        }
    }
}
