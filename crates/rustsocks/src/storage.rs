//! Opening the store that the configuration asks for.

use rustsocks_storage::{MemoryStore, Store, StoreError};

use crate::config::StorageConfig;

/// Opens the store. The configuration has refused what is not compiled in.
pub(crate) async fn open(config: &StorageConfig) -> Result<Store, StoreError> {
    match config {
        StorageConfig::Memory { max_sessions } => {
            Ok(Store::Memory(MemoryStore::new(*max_sessions)))
        }
        StorageConfig::Sqlite { path, durability } => sqlite::open(path, *durability).await,
        StorageConfig::Server(config) => server::open(config).await,
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

    pub(super) async fn open(path: &Path, _durability: Durability) -> Result<Store, StoreError> {
        let problem = "this program was built without SQLite".to_owned();
        Err(StoreError::Open { path: path.display().to_string(), problem })
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod server {
    use rustsocks_storage::{ServerOptions, ServerStore, Store, StoreError};

    use crate::config::DatabaseConfig;

    pub(super) async fn open(config: &DatabaseConfig) -> Result<Store, StoreError> {
        let options = ServerOptions {
            url: config.url.clone(),
            statement_timeout: config.statement_timeout,
            migration_lock: config.migration_lock,
        };
        Ok(Store::Server(Box::new(ServerStore::open(options).await?)))
    }
}

#[cfg(not(any(feature = "mysql", feature = "postgres")))]
mod server {
    use rustsocks_storage::{Store, StoreError};

    use crate::config::DatabaseConfig;

    pub(super) async fn open(_config: &DatabaseConfig) -> Result<Store, StoreError> {
        let problem = "this program was built without database servers".to_owned();
        Err(StoreError::Server { problem })
    }
}
