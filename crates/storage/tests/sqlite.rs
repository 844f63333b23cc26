//! What only a file can go wrong with.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustsocks_sessions::{
    AclOutcome, Clock, CloseReason, Identity, Opening, Record, Rules, Status, Table,
};
use rustsocks_storage::{
    Durability, Recorder, RecorderOptions, SqliteStore, Store, StoreNotice, WindowQuery,
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use support::{active, at, ended, id};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("deep/down/sessions.db")
}

async fn other_connection(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn open_error(path: &Path) -> String {
    let options = support::options(path, Durability::Full);
    SqliteStore::open(&options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn only_the_dead_nodes_rows_are_closed_when_they_were_last_known() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    let other = Record { node_id: "other".into(), ..active(2) };
    store.save(&[active(1), other.clone(), ended(3, 4000)]).await.unwrap();
    assert_eq!(store.close_crashed("node").await.unwrap(), 1);
    assert_eq!(store.close_crashed("node").await.unwrap(), 0);
    let crashed = store.find(id(1)).await.unwrap().unwrap();
    assert_eq!(crashed.status, Status::Failed);
    assert_eq!(crashed.close_reason, Some(CloseReason::ServerCrash));
    assert_eq!(crashed.end_time, Some(at(1500)), "when it was last known, not now");
    assert_eq!(crashed.duration, Some(Duration::from_millis(500)));
    assert_eq!(store.find(id(2)).await.unwrap(), Some(other));
    assert_eq!(store.find(id(3)).await.unwrap(), Some(ended(3, 4000)));
}

#[tokio::test]
async fn a_delete_of_which_nothing_was_heard_leaves_statistics_certain() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    let table = Table::new(Clock::from_wall(|| at(9000)), "node".into(), Rules::default());
    let sessions = async || {
        let query = WindowQuery { hours: 1, top: 10, now: at(9000) };
        store.statistics(query, &table).await.unwrap().total.sessions
    };
    store.save(&[ended(1, 2000), ended(2, 3000)]).await.unwrap();
    assert_eq!(sessions().await, 2);
    // The write is counted, and the store says that it failed.
    let mut other = other_connection(&file(&folder)).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other.execute("UPDATE rollup_versions SET version = version + 1").await.unwrap();
    store.delete(&[id(1)]).await.unwrap_err();
    other.execute("COMMIT").await.unwrap();
    assert_eq!(sessions().await, 2);
    assert_eq!(store.delete(&[id(1)]).await.unwrap(), 1);
    assert_eq!(sessions().await, 1);
}

#[tokio::test]
async fn times_are_fixed_width_text_that_sqlite_reads() {
    let folder = TempDir::new().unwrap();
    sqlite(&folder).await.save(&[ended(1, 2000)]).await.unwrap();
    let mut connection = other_connection(&file(&folder)).await;
    let sql = "SELECT start_time, datetime(end_time) FROM sessions";
    let row: (String, String) = sqlx::query_as(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(row, ("2026-01-01T00:00:01.000+00:00".into(), "2026-01-01 00:00:02".into()));
}

#[tokio::test]
async fn the_schema_has_the_published_columns_and_indexes() {
    let folder = TempDir::new().unwrap();
    let _store = sqlite(&folder).await;
    let mut connection = other_connection(&file(&folder)).await;
    let sql = "SELECT name || ' ' || type || ' ' || \"notnull\" FROM pragma_table_info('sessions')";
    let columns: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    for column in [
        "session_id TEXT 0",
        "user TEXT 1",
        "end_time TEXT 0",
        "duration_secs INTEGER 0",
        "source_port INTEGER 1",
        "bytes_sent INTEGER 1",
        "status TEXT 1",
        "acl_decision TEXT 0",
        "dest_host TEXT 0",
        "duration_ms INTEGER 0",
    ] {
        assert!(columns.iter().any(|found| found == column), "{column}: {columns:?}");
    }
    let sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'idx%'";
    let indexes: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    for index in ["idx_sessions_user", "idx_sessions_start_time", "idx_sessions_status"] {
        assert!(indexes.iter().any(|found| found == index), "{indexes:?}");
    }
    let sql = "SELECT journal_mode FROM pragma_journal_mode";
    let mode: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn what_can_never_be_a_database_is_told_in_words() {
    let folder = TempDir::new().unwrap();
    let error = open_error(folder.path()).await;
    assert!(error.contains("it is a directory"), "{error}");
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "a file where a folder should be").unwrap();
    let error = open_error(&notes.join("sessions.db")).await;
    assert!(error.contains("cannot be made"), "{error}");
}

#[tokio::test]
async fn a_second_start_finds_the_schema_in_place() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    store.save(&[ended(1, 2000)]).await.unwrap();
    store.close().await;
    let store = sqlite(&folder).await;
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn readers_do_not_hold_up_the_writer() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    store.save(&[ended(1, 2000)]).await.unwrap();
    let mut reader = other_connection(&file(&folder)).await;
    reader.execute("BEGIN; SELECT * FROM sessions").await.unwrap();
    store.save(&[ended(2, 2000)]).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 2);
}

#[tokio::test]
async fn the_sqlite_tool_backs_up_and_exports_the_live_file() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: sqlite3 is not installed");
        return;
    }
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    let records: Vec<Record> = (1..=20).map(|n| ended(n, 2000 + n as i64)).collect();
    store.save(&records).await.unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new("sqlite3");
        let output = command.current_dir(file(&folder).parent().unwrap()).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["sessions.db", ".backup sessions_backup.db"]);
    assert_eq!(run(&["sessions_backup.db", "SELECT COUNT(*) FROM sessions"]), "20\n");
    let csv = run(&["sessions.db", "-csv", "-header", "SELECT * FROM sessions"]);
    assert_eq!(csv.lines().count(), 21);
    assert!(csv.starts_with("session_id,user,start_time,"));
}

fn opening() -> Opening {
    Opening {
        identity: Identity::Anonymous("anonymous".into()),
        source: "127.0.0.1:4000".parse().unwrap(),
        target: None,
        command: None,
        acl: AclOutcome::Off,
    }
}

#[tokio::test]
async fn a_locked_file_keeps_the_batch_and_the_newest_state_is_saved_later() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite(&folder).await);
    let table = Table::new(Clock::system(), "node".into(), Rules::default());
    let (told, mut notices) = tokio::sync::mpsc::channel(10);
    let options = RecorderOptions {
        batch_size: 1,
        batch_interval: Duration::from_millis(10),
        last_tries: Duration::from_secs(5),
    };
    let notice = move |notice: StoreNotice| told.try_send(notice).unwrap();
    let recorder = Recorder::new(table.clone(), Arc::clone(&store), options, notice);
    let figures = recorder.figures();
    let stop = CancellationToken::new();
    let mut recording = tokio::task::JoinSet::new();
    recording.spawn(recorder.run(stop.clone()));

    let mut holder = other_connection(&file(&folder)).await;
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let session = table.open(opening());
    let session_id = session.id();
    session.count_sent(1);
    assert!(matches!(notices.recv().await.unwrap(), StoreNotice::Degraded { .. }));
    assert!(figures.is_degraded() && figures.last_error().is_some());
    session.count_sent(41);
    session.finish(CloseReason::AdminTerminated, None);
    assert_eq!(table.outbox().unsaved(), 1);
    holder.execute("ROLLBACK").await.unwrap();
    assert!(matches!(notices.recv().await.unwrap(), StoreNotice::Recovered { .. }));

    stop.cancel();
    let report = recording.join_next().await.unwrap().unwrap();
    assert_eq!((report.saved, report.unsaved), (1, 0));
    assert_eq!(store.find(session_id).await.unwrap().unwrap().bytes_sent, 42);
    assert_eq!(store.count().await.unwrap(), 1);
    assert!(notices.recv().await.is_none(), "each change is told once");
}

#[tokio::test]
async fn a_file_that_stays_locked_at_the_stop_is_given_up_and_reported() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite(&folder).await);
    let table = Table::new(Clock::system(), "node".into(), Rules::default());
    let options = RecorderOptions {
        batch_size: 1,
        batch_interval: Duration::from_millis(10),
        last_tries: Duration::from_millis(100),
    };
    let recorder = Recorder::new(table.clone(), Arc::clone(&store), options, |_| {});
    let mut holder = other_connection(&file(&folder)).await;
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    table.open(opening()).finish(CloseReason::ConnectRefused, None);
    let stop = CancellationToken::new();
    stop.cancel();
    let report = recorder.run(stop).await;
    assert_eq!((report.saved, report.unsaved), (0, 1));
    let _store: &Store = &store;
}

#[tokio::test]
async fn usage_counts_each_byte_once_while_records_are_saved() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite(&folder).await);
    let table = Table::new(Clock::system(), "node".into(), Rules::default());
    let options = RecorderOptions {
        batch_size: 7,
        batch_interval: Duration::from_millis(1),
        last_tries: Duration::from_secs(5),
    };
    let recorder = Recorder::new(table.clone(), Arc::clone(&store), options, |_| {});
    let stop = CancellationToken::new();
    let asking = async {
        for round in 1..=100 {
            for _ in 0..5 {
                let session = table.open(opening());
                session.count_sent(1);
                session.finish(CloseReason::ClientClosed, None);
            }
            let now = table.clock().now().wall;
            let range = (now.as_second() - 86_400, now.as_second() + 86_400);
            let usage = store.usage(None, 3600, range, &table, now).await.unwrap();
            assert_eq!(usage.iter().map(|part| part.1).sum::<i64>(), 5 * round, "{usage:?}");
        }
        stop.cancel();
    };
    let (report, ()) = tokio::join!(recorder.run(stop.clone()), asking);
    assert_eq!((report.saved, report.unsaved), (500, 0));
}

/// A SQLite store in a folder of its own, with the file's path.
async fn sqlite(folder: &TempDir) -> Store {
    let path = folder.path().join("deep/down/sessions.db");
    let (store, _) = SqliteStore::open(&support::options(&path, Durability::Full)).await.unwrap();
    store.into()
}

/// What `sqlx migrate run` does with the folder that is shipped.
#[tokio::test]
async fn a_file_that_sqlx_has_migrated_is_one_of_ours() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::migrate::Migrator::new(shipped).await.unwrap().run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let options = support::options(&path, Durability::Full);
    let (store, notices) = SqliteStore::open(&options).await.unwrap();
    assert_eq!(notices, []);
    let store: Store = store.into();
    store.save(&[ended(1, 2000)]).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(ended(1, 2000)));
    assert_eq!(store.wrong_rollups().await.unwrap(), Default::default());
}
