//! Records and stores for the storage tests.

use std::time::Duration;

use jiff::Timestamp;
use rustsocks_proto::{Command, Protocol};
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};
use rustsocks_storage::{Durability, SqliteOptions, SqliteStore, Store};
use tempfile::TempDir;

/// 2026-01-01, in seconds since 1970.
const NEW_YEAR: i64 = 1_767_225_600;

/// A time so many milliseconds after the new year.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(NEW_YEAR * 1000 + millis).unwrap()
}

/// An id that grows with its number.
pub(crate) fn id(number: u64) -> SessionId {
    format!("01a209d1-312c-7766-9078-{number:012x}").parse().unwrap()
}

/// A running session.
pub(crate) fn active(number: u64) -> Record {
    Record {
        session_id: id(number),
        user: "alice".into(),
        start_time: at(1000),
        end_time: None,
        duration: None,
        source_ip: "198.51.100.7".parse().unwrap(),
        source_port: 50_000,
        dest_ip: "192.0.2.1".into(),
        dest_port: 443,
        dest_host: Some("example.com".into()),
        protocol: Protocol::Tcp,
        command: Some(Command::Connect),
        bytes_sent: 1,
        bytes_received: 2,
        packets_sent: 1,
        packets_received: 1,
        status: Status::Active,
        close_reason: None,
        close_detail: None,
        acl_rule_matched: Some("all".into()),
        acl_decision: Some("allow"),
        egress_ip: Some("203.0.113.5".parse().unwrap()),
        egress_port: Some(40_000),
        connect: Some(Duration::from_millis(12)),
        node_id: "node".into(),
        updated_at: at(1500),
    }
}

/// The same session, ended so many milliseconds after the new year.
pub(crate) fn ended(number: u64, end: i64) -> Record {
    Record {
        end_time: Some(at(end)),
        duration: Some(Duration::from_millis(u64::try_from(end - 1000).unwrap())),
        status: Status::Closed,
        close_reason: Some(CloseReason::ClientClosed),
        bytes_sent: 10 * number,
        updated_at: at(end),
        ..active(number)
    }
}

/// A SQLite store in a folder of its own, with the file's path.
pub(crate) async fn sqlite(folder: &TempDir) -> Store {
    let path = folder.path().join("deep/down/sessions.db");
    let options = SqliteOptions { path, durability: Durability::Full };
    Store::Sqlite(Box::new(SqliteStore::open(&options).await.unwrap()))
}

/// A store in a new database of the server that this binary's tests share.
#[cfg(all(feature = "mysql", feature = "postgres"))]
pub(crate) async fn on_server(kind: rustsocks_testkit::Kind) -> Store {
    let server = rustsocks_testkit::DatabaseServer::shared(kind);
    server_store(server.url(&server.database())).await.unwrap()
}

/// A store behind this URL.
#[cfg(all(feature = "mysql", feature = "postgres"))]
pub(crate) async fn server_store(url: String) -> Result<Store, rustsocks_storage::StoreError> {
    let options = rustsocks_storage::ServerOptions {
        url: url.into(),
        statement_timeout: Duration::from_secs(10),
        migration_lock: true,
    };
    let store = rustsocks_storage::ServerStore::open(options).await?;
    Ok(Store::Server(Box::new(store)))
}
