//! Opening the store that the configuration asks for.

use rustsocks_storage::{MemoryStore, Store, StoreError};

use crate::config::StorageConfig;

/// Opens the store.
pub(crate) async fn open(config: &StorageConfig) -> Result<Store, StoreError> {
    match config {
        StorageConfig::Memory { max_sessions } => {
            Ok(Store::Memory(MemoryStore::new(*max_sessions)))
        }
        StorageConfig::Sqlite { path, durability } => sqlite::open(path, *durability).await,
    }
}

#[cfg(feature = "database")]
mod sqlite {
    use std::path::Path;

    use rustsocks_storage::{SqliteOptions, SqliteStore, Store, StoreError};

    use crate::config::Durability;

    pub(super) async fn open(path: &Path, durability: Durability) -> Result<Store, StoreError> {
        let durability = match durability {
            Durability::Full => rustsocks_storage::Durability::Full,
            Durability::Normal => rustsocks_storage::Durability::Normal,
        };
        let store = SqliteStore::open(&SqliteOptions { path: path.to_owned(), durability }).await?;
        Ok(Store::Sqlite(Box::new(store)))
    }
}

#[cfg(not(feature = "database"))]
mod sqlite {
    use std::path::Path;

    use rustsocks_storage::{Store, StoreError};

    use crate::config::Durability;

    /// The configuration refuses this storage before anything is opened.
    pub(super) async fn open(path: &Path, _durability: Durability) -> Result<Store, StoreError> {
        let problem = "this program was built without SQLite".to_owned();
        Err(StoreError::Open { path: path.display().to_string(), problem })
    }
}
