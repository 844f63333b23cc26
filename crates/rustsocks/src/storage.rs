//! Opening the store that the configuration asks for.

use jiff::Timestamp;
use rustsocks_storage::{MemoryStore, Store, StoreError};
use rustsocks_telemetry::Events;

use crate::config::StorageConfig;

/// Opens the store. The configuration has refused what is not compiled in.
///
/// What happened to a file on the way goes to the events; `now` names what is set aside.
pub(crate) async fn open(
    config: &StorageConfig,
    node: &str,
    events: &Events,
    now: Timestamp,
) -> Result<Store, StoreError> {
    match config {
        StorageConfig::Memory { max_sessions } => Ok(MemoryStore::new(*max_sessions).into()),
        StorageConfig::Sqlite(config) => sqlite::open(config, events, now).await,
        StorageConfig::Server(config) => server::open(config, node, true).await,
    }
}

#[cfg(feature = "database")]
pub(crate) mod sqlite {
    use jiff::Timestamp;
    use rustsocks_storage::{SqliteOptions, SqliteStore, Store, StoreError};
    use rustsocks_telemetry::Events;

    use crate::config::{Durability, FileConfig};
    use crate::notices;

    /// The store's own words for a configuration.
    pub(crate) fn options(config: &FileConfig, now: Timestamp) -> SqliteOptions {
        SqliteOptions {
            path: config.path.clone(),
            durability: match config.durability {
                Durability::Full => rustsocks_storage::Durability::Full,
                Durability::Normal => rustsocks_storage::Durability::Normal,
            },
            backup_keep: config.backup_keep,
            now,
        }
    }

    pub(super) async fn open(
        config: &FileConfig,
        events: &Events,
        now: Timestamp,
    ) -> Result<Store, StoreError> {
        let (store, happened) = SqliteStore::open(&options(config, now)).await?;
        for notice in happened {
            notices::from_opening(events, &config.path, &notice);
        }
        Ok(store.into())
    }
}

#[cfg(not(feature = "database"))]
mod sqlite {
    use jiff::Timestamp;
    use rustsocks_storage::{Store, StoreError};
    use rustsocks_telemetry::Events;

    use crate::config::FileConfig;

    /// The configuration refuses this storage before anything is opened.
    pub(super) async fn open(
        config: &FileConfig,
        _events: &Events,
        _now: Timestamp,
    ) -> Result<Store, StoreError> {
        let problem = "this program was built without SQLite".to_owned();
        Err(StoreError::Open { path: config.path.display().to_string(), problem })
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod server {
    use rustsocks_storage::{ServerOptions, ServerStore, Store, StoreError};

    use crate::config::DatabaseConfig;

    /// Connects; changes the schema only where that is asked for.
    pub(crate) async fn open(
        config: &DatabaseConfig,
        node: &str,
        migrate: bool,
    ) -> Result<Store, StoreError> {
        let options = ServerOptions {
            url: config.url.clone(),
            node: node.to_owned(),
            statement_timeout: config.statement_timeout,
            migrate,
            migration_lock: config.migration_lock,
        };
        Ok(ServerStore::open(options).await?.into())
    }
}

#[cfg(not(any(feature = "mysql", feature = "postgres")))]
pub(crate) mod server {
    use rustsocks_storage::{Store, StoreError};

    use crate::config::DatabaseConfig;

    pub(crate) async fn open(
        _config: &DatabaseConfig,
        _node: &str,
        _migrate: bool,
    ) -> Result<Store, StoreError> {
        let problem = "this program was built without database servers".to_owned();
        Err(StoreError::Server { problem })
    }
}
