//! Stores on database servers, which the tests of one binary share.

use std::time::Duration;

use rustsocks_storage::{ServerOptions, ServerStore, Store, StoreError};
use rustsocks_testkit::{DatabaseServer, Kind};

/// A store in a new database of the server that this binary's tests share.
pub(crate) async fn on_server(kind: Kind) -> Store {
    let server = DatabaseServer::shared(kind);
    server_store(server.url(&server.database())).await.unwrap()
}

/// A store behind this URL.
pub(crate) async fn server_store(url: String) -> Result<Store, StoreError> {
    let options = ServerOptions {
        url: url.into(),
        engine: "a server",
        statement_timeout: Duration::from_secs(10),
        migrate: true,
        node: "node".into(),
        migration_lock: true,
    };
    let store = ServerStore::open(options).await?;
    Ok(store.into())
}
