//! Opening the store that the configuration asks for.

use std::path::Path;

use jiff::Timestamp;
use rustsocks_storage::{MemoryStore, Store, StoreError};
use rustsocks_telemetry::Events;

use crate::config::StorageConfig;

/// Opens the store. The configuration has refused what is not compiled in.
///
/// What happened to a file on the way goes to the events; `now` names what is set aside. A server
/// that is away holds up the store instead of failing where the journal's folder says that it was
/// reached before.
pub(crate) async fn open(
    config: &StorageConfig,
    node: &str,
    journal: Option<&Path>,
    events: &Events,
    now: Timestamp,
) -> Result<Store, StoreError> {
    match config {
        StorageConfig::Memory { max_sessions } => Ok(MemoryStore::new(*max_sessions).into()),
        StorageConfig::Sqlite(config) => sqlite::open(config, events, now).await,
        StorageConfig::Server(config) => server::open_or_wait(config, node, journal).await,
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
            readers_niceness: Some(crate::runtime::niceness()),
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
    use std::path::{Path, PathBuf};

    use rustsocks_storage::{ServerOptions, ServerStore, Store, StoreError};
    use secrecy::ExposeSecret as _;

    use crate::config::DatabaseConfig;

    /// Connects, and brings the schema up to date.
    pub(crate) async fn open_or_wait(
        config: &DatabaseConfig,
        node: &str,
        journal: Option<&Path>,
    ) -> Result<Store, StoreError> {
        let store = ServerStore::new(options(config, node, true))?;
        let was_reached = || {
            let note = journal.and_then(|folder| std::fs::read_to_string(note(folder)).ok());
            note.is_some_and(|note| note == place(config))
        };
        match store.reach().await {
            Ok(()) => {}
            Err(error @ StoreError::Away { .. }) if was_reached() => store.hold_up(&error),
            Err(error) => return Err(error),
        }
        Ok(store.into())
    }

    /// Notes that a server was reached, for starts while it is away.
    pub(crate) fn note_reached(config: &DatabaseConfig, store: &Store, journal: &Path) {
        if store.server().is_some_and(|server| !server.is_held_up()) {
            // Without it such a start is refused, and says why.
            let _unnoted = std::fs::write(note(journal), place(config));
        }
    }

    fn note(journal: &Path) -> PathBuf {
        journal.join("server")
    }

    /// Where a server's database is, without who may use it.
    fn place(config: &DatabaseConfig) -> String {
        let url = config.url.expose_secret();
        let place = url.split('?').next().unwrap_or_default();
        let place = place.rsplit_once(['@']).map_or(place, |(_, place)| place);
        format!("{place}\n")
    }

    /// Connects; changes the schema only where that is asked for.
    #[cfg(feature = "database")]
    pub(crate) async fn open(
        config: &DatabaseConfig,
        node: &str,
        migrate: bool,
    ) -> Result<Store, StoreError> {
        Ok(ServerStore::open(options(config, node, migrate)).await?.into())
    }

    fn options(config: &DatabaseConfig, node: &str, migrate: bool) -> ServerOptions {
        ServerOptions {
            url: config.url.clone(),
            engine: config.engine,
            node: node.to_owned(),
            statement_timeout: config.statement_timeout,
            migrate,
            migration_lock: config.migration_lock,
        }
    }
}

#[cfg(not(any(feature = "mysql", feature = "postgres")))]
pub(crate) mod server {
    use std::path::Path;

    use rustsocks_storage::{Store, StoreError};

    use crate::config::DatabaseConfig;

    pub(crate) async fn open_or_wait(
        config: &DatabaseConfig,
        node: &str,
        _journal: Option<&Path>,
    ) -> Result<Store, StoreError> {
        open(config, node, true).await
    }

    pub(crate) fn note_reached(_config: &DatabaseConfig, _store: &Store, _journal: &Path) {}

    pub(crate) async fn open(
        _config: &DatabaseConfig,
        _node: &str,
        _migrate: bool,
    ) -> Result<Store, StoreError> {
        let problem = "this program was built without database servers".to_owned();
        Err(StoreError::Server { problem })
    }
}
