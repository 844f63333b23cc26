//! Damaged files, foreign files, files of other versions: nothing is lost, and what happened is
//! told.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustsocks_sessions::{CloseReason, Status};
use rustsocks_storage::sqlite::schema::Schema;
use rustsocks_storage::sqlite::upkeep;
use rustsocks_storage::{
    Durability, Filter, OpeningNotice, Paging, Sort, SqliteOptions, SqliteStore, Store, StoreError,
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use support::{active, at, ended, id, options};
use tempfile::TempDir;

fn place(folder: &TempDir) -> PathBuf {
    folder.path().join("sessions.db")
}

async fn open(path: &Path) -> Result<(Store, Vec<OpeningNotice>), StoreError> {
    let (store, notices) = SqliteStore::open(&options(path, Durability::Full)).await?;
    Ok((store.into(), notices))
}

/// A sound file with so many sessions, closed in order.
async fn filled(path: &Path, sessions: u64) {
    let (store, _) = open(path).await.unwrap();
    let records: Vec<_> = (0..sessions).map(|n| ended(n, 2000 + n as i64)).collect();
    store.save(&records).await.unwrap();
    store.close().await;
}

async fn tool(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// The file was moved aside byte for byte, and a new one works.
async fn quarantined(path: &Path, damaged: &[u8]) {
    let (store, notices) = open(path).await.unwrap();
    let [OpeningNotice::Quarantined { to, .. }] = notices.as_slice() else {
        panic!("not quarantined: {notices:?}");
    };
    assert!(to.display().to_string().contains("sessions.db.corrupt."), "{}", to.display());
    assert_eq!(std::fs::read(to).unwrap(), damaged, "nothing of it is changed");
    store.save(&[ended(1, 2000)]).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
    assert!(store.quarantined().is_some());
    store.close().await;
}

#[tokio::test]
async fn a_file_with_a_foreign_header_is_moved_aside() {
    let folder = TempDir::new().unwrap();
    for (nth, bytes) in
        [&b"not a database at all, but text"[..], &[0xAB; 5], &[0; 4096]].into_iter().enumerate()
    {
        let path = folder.path().join(format!("{nth}/sessions.db"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        quarantined(&path, bytes).await;
    }
}

#[tokio::test]
async fn an_earlier_quarantine_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    for text in ["first", "second", "third"] {
        // The same moment each time, so that the names would be the same.
        std::fs::write(&path, text).unwrap();
        open(&path).await.unwrap().0.close().await;
    }
    let mut kept: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().contains(".corrupt."))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["first", "second", "third"]);
}

#[tokio::test]
async fn a_damaged_file_takes_its_log_along() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    for (suffix, text) in [("", "no database"), ("-wal", "its log"), ("-shm", "its index")] {
        std::fs::write(folder.path().join(format!("sessions.db{suffix}")), text).unwrap();
    }
    let (_store, notices) = open(&path).await.unwrap();
    let [OpeningNotice::Quarantined { to, .. }] = notices.as_slice() else {
        panic!("{notices:?}");
    };
    let log = format!("{}-wal", to.display());
    assert_eq!(std::fs::read_to_string(log).unwrap(), "its log");
}

#[tokio::test]
async fn a_torn_page_in_the_middle_is_found_and_the_file_moved_aside() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    filled(&path, 5000).await;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5A);
    std::fs::write(&path, &bytes).unwrap();
    quarantined(&path, &bytes).await;
}

#[tokio::test]
async fn a_truncated_file_is_found_and_moved_aside() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    filled(&path, 5000).await;
    let bytes = std::fs::read(&path).unwrap();
    let half = &bytes[..bytes.len() / 2];
    std::fs::write(&path, half).unwrap();
    quarantined(&path, half).await;
}

/// Changes a file as an operator does, with SQLite's own tool.
async fn change(path: &Path, sql: &'static str) {
    let mut connection = tool(path).await;
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_an_operator_adds_to_a_file_is_no_damage() {
    for sql in [
        "ALTER TABLE sessions ADD COLUMN note TEXT",
        "ALTER TABLE sessions ADD COLUMN tag TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE rollups ADD COLUMN note TEXT",
        "CREATE INDEX by_host ON sessions(dest_host)",
        "CREATE VIEW failed AS SELECT * FROM sessions WHERE status = 'failed'",
    ] {
        let folder = TempDir::new().unwrap();
        let path = place(&folder);
        filled(&path, 10).await;
        change(&path, sql).await;
        let (store, notices) = open(&path).await.unwrap();
        assert_eq!(notices, [], "{sql}");
        store.save(&[ended(99, 2000)]).await.unwrap();
        assert_eq!(store.count().await.unwrap(), 11, "{sql}");
    }
}

#[tokio::test]
async fn an_index_that_is_gone_or_another_is_made_again() {
    for (sql, name) in [
        ("DROP INDEX idx_sessions_egress", "idx_sessions_egress"),
        ("DROP INDEX idx_sessions_user", "idx_sessions_user"),
        (
            "DROP INDEX idx_sessions_end_time; CREATE INDEX idx_sessions_end_time ON sessions(user)",
            "idx_sessions_end_time",
        ),
        ("DROP VIEW rollups_recounted", "rollups_recounted"),
    ] {
        let folder = TempDir::new().unwrap();
        let path = place(&folder);
        filled(&path, 10).await;
        change(&path, sql).await;
        let (store, notices) = open(&path).await.unwrap();
        assert_eq!(notices, [OpeningNotice::MadeAgain { what: vec![name.into()] }], "{sql}");
        assert_eq!(store.count().await.unwrap(), 10, "{sql}");
        assert_eq!(store.wrong_rollups().await.unwrap().first, None);
        store.close().await;
        drop(store);
        assert_eq!(open(&path).await.unwrap().1, [], "{sql}");
    }
}

#[tokio::test]
async fn a_file_that_lost_a_column_or_a_table_is_moved_aside() {
    for sql in [
        "ALTER TABLE sessions DROP COLUMN connect_ms",
        "ALTER TABLE rollups RENAME COLUMN failed TO flailed",
        "DROP TABLE usage_hours",
    ] {
        let folder = TempDir::new().unwrap();
        let path = place(&folder);
        filled(&path, 10).await;
        change(&path, sql).await;
        let bytes = std::fs::read(&path).unwrap();
        quarantined(&path, &bytes).await;
    }
}

#[tokio::test]
async fn a_column_that_no_record_could_fill_is_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    filled(&path, 0).await;
    let sql = "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, \
               'updated_at TEXT', 'updated_at TEXT, owner TEXT NOT NULL') WHERE name = 'sessions'";
    change(&path, sql).await;
    let refused = open(&path).await.unwrap_err().to_string();
    assert!(refused.contains("sessions.owner") && refused.contains("default"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_bytes_are_flipped_a_start_ends_with_a_ledger_that_works(
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 1..20)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            let path = place(&folder);
            filled(&path, 300).await;
            let mut bytes = std::fs::read(&path).unwrap();
            for (place, mask) in &hits {
                let length = bytes.len();
                bytes[place.index(length)] ^= mask;
            }
            std::fs::write(&path, &bytes).unwrap();
            // Damage may look like another version's schema, which is told and left alone.
            if let Ok((store, _)) = open(&path).await {
                store.save(&[ended(9999, 9000)]).await.unwrap();
                assert!(store.find(id(9999)).await.unwrap().is_some());
            }
        });
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    let folder = TempDir::new().unwrap();
    std::fs::write(place(&folder), "").unwrap();
    let (store, notices) = open(&place(&folder)).await.unwrap();
    assert_eq!(notices, []);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_file_in_use_is_refused_by_name_and_a_dead_holder_is_no_obstacle() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let (store, _) = open(&path).await.unwrap();
    let refused = open(&path).await.unwrap_err().to_string();
    let me = format!("in use by process {}", std::process::id());
    assert!(refused.contains(&me), "{refused}");
    // As after a kill: the lock goes, what was said stays.
    drop(store);
    let (store, notices) = open(&path).await.unwrap();
    assert_eq!(notices, [OpeningNotice::UncleanStop]);
    store.close().await;
    drop(store);
    let (_store, notices) = open(&path).await.unwrap();
    assert_eq!(notices, [], "an orderly stop leaves nothing to check");
}

#[tokio::test]
async fn a_file_that_another_program_holds_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    filled(&path, 10).await;
    let mut holder = tool(&path).await;
    holder.execute("PRAGMA locking_mode = EXCLUSIVE").await.unwrap();
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let refused = open(&path).await.unwrap_err().to_string();
    assert!(refused.contains("another program holds it"), "{refused}");
    holder.close().await.unwrap();
    assert_eq!(open(&path).await.unwrap().0.count().await.unwrap(), 10);
}

#[tokio::test]
async fn the_schema_of_a_newer_program_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    filled(&path, 10).await;
    let mut connection = tool(&path).await;
    let future = "INSERT INTO _sqlx_migrations VALUES (99, 'future', '2030-01-01', TRUE, x'00', 1)";
    connection.execute(future).await.unwrap();
    connection.close().await.unwrap();
    let refused = open(&path).await.unwrap_err().to_string();
    assert!(refused.contains("newer RustSocks") && refused.contains("99"), "{refused}");
    let findings = upkeep::look(&path).await.unwrap();
    assert_eq!((findings.damage, findings.schema), (None, Some(Schema::Version(99))));
}

/// The schema as it was published, with rows in the forms that 0.9 wrote.
async fn published(path: &Path, list_of_migrations: bool) {
    let mut connection = tool(path).await;
    connection.execute(include_str!("support/schema-0.9.sql")).await.unwrap();
    if list_of_migrations {
        let list = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT \
                    NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success \
                    BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL); \
                    INSERT INTO _sqlx_migrations VALUES (20241025000001, 'create sessions', \
                    '2024-10-25', TRUE, x'0102', 5)";
        connection.execute(list).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_of_0_9_is_brought_up_to_date_with_its_rows_and_a_snapshot() {
    for list_of_migrations in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = place(&folder);
        published(&path, list_of_migrations).await;
        let (store, notices) = open(&path).await.unwrap();
        let [OpeningNotice::Migrated { from: Schema::Published, snapshot: Some(snapshot), .. }] =
            notices.as_slice()
        else {
            panic!("{notices:?}");
        };
        let found =
            store.history(&Filter::default(), Sort::default(), Paging::Page(0), 100).await.unwrap();
        let shown: Vec<_> = found
            .records
            .iter()
            .map(|record| {
                let end = rustsocks_storage::time::to_text(record.end_time.unwrap());
                (&*record.user, end, record.status, record.close_reason, record.bytes_sent)
            })
            .collect();
        let row = |user, end: &str, status, reason, bytes| {
            (user, end.to_owned(), status, Some(reason), bytes)
        };
        assert_eq!(
            shown,
            [
                row(
                    "dave",
                    "2025-10-25T12:00:05.250+00:00",
                    Status::RejectedByAcl,
                    CloseReason::RejectedByAcl,
                    0
                ),
                row(
                    "carol",
                    "2025-10-25T10:00:05.000+00:00",
                    Status::Failed,
                    CloseReason::ConnectRefused,
                    0
                ),
                row(
                    "alice",
                    "2025-10-25T09:00:05.500+00:00",
                    Status::Closed,
                    CloseReason::ClientClosed,
                    100
                ),
            ]
        );
        assert_eq!(found.records[2].close_detail.as_deref(), Some("Normal closure"));
        // What 0.9 left open is closed as crashed, whatever node runs now.
        assert_eq!(store.close_crashed("node").await.unwrap(), 1);
        store.close().await;
        let sums = upkeep::verify(&path).await.unwrap();
        assert_eq!((sums.sessions, sums.first_wrong), (4, None));
        let mut before = tool(snapshot).await;
        let rows: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM sessions WHERE start_time LIKE \
                                            '%Z'",
        )
        .fetch_one(&mut before)
        .await
        .unwrap();
        assert_eq!(rows, 1, "the snapshot has the rows as they were");
    }
}

#[tokio::test]
async fn a_snapshot_holds_what_is_in_the_log_alone_and_only_the_newest_are_kept() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let mut paths = Vec::new();
    for round in 0..5 {
        published(&path, false).await;
        // A reader that stays keeps the log from being folded in.
        let mut writer = tool(&path).await;
        writer.execute("PRAGMA journal_mode = WAL").await.unwrap();
        writer
            .execute("UPDATE sessions SET user = 'in the log' WHERE user = 'alice'")
            .await
            .unwrap();
        let options = SqliteOptions {
            backup_keep: 2,
            now: at(round * 1000),
            ..options(&path, Durability::Full)
        };
        let (store, notices) = SqliteStore::open(&options).await.unwrap();
        let [OpeningNotice::Migrated { snapshot: Some(snapshot), .. }] = notices.as_slice() else {
            panic!("{notices:?}");
        };
        let mut copy = tool(snapshot).await;
        let sql = "SELECT COUNT(*) FROM sessions WHERE user = 'in the log'";
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut copy).await.unwrap();
        assert_eq!(rows, 1);
        paths.push(snapshot.clone());
        drop((store, writer, copy));
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let _missing = std::fs::remove_file(folder.path().join(format!("sessions.db{suffix}")));
        }
    }
    let kept: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
    assert_eq!(kept, [false, false, false, true, true]);
}

#[tokio::test]
async fn only_snapshots_of_this_program_are_forgotten_and_never_the_new_one() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let copy = |stamp: &str| folder.path().join(format!("sessions.db.bak.{stamp}"));
    let of_others =
        ["2025-12-01", "20251201", "20251201T000000Z.old", "20251201T000000Z.1", "a", ""];
    // The last one is of a time at which the clock was wrong.
    let ours = ["20251201T000000Z.2", "20251201T000000Z.10", "20990101T000000Z"];
    for stamp in of_others.iter().chain(&ours) {
        std::fs::write(copy(stamp), stamp).unwrap();
    }
    published(&path, false).await;
    let options = SqliteOptions { backup_keep: 2, ..options(&path, Durability::Full) };
    let (_store, notices) = SqliteStore::open(&options).await.unwrap();
    let [OpeningNotice::Migrated { snapshot: Some(snapshot), .. }] = notices.as_slice() else {
        panic!("{notices:?}");
    };
    assert!(snapshot.exists());
    assert_eq!(of_others.map(|stamp| copy(stamp).exists()), [true; 6]);
    assert_eq!(ours.map(|stamp| copy(stamp).exists()), [false, false, true]);
}

#[tokio::test]
async fn where_there_can_be_no_log_the_slower_journal_is_used() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    // In the way of the shared memory that a write-ahead log needs.
    std::fs::create_dir(folder.path().join("sessions.db-shm")).unwrap();
    let (store, notices) = open(&path).await.unwrap();
    assert!(matches!(notices.as_slice(), [OpeningNotice::FellBack { .. }]), "{notices:?}");
    store.save(&[active(1), ended(2, 2000)]).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 2);
    store.close().await;
    assert_eq!(upkeep::look(&path).await.unwrap().journal_mode, "delete");
}

#[tokio::test]
async fn a_file_that_has_a_log_already_falls_back_where_there_can_be_none() {
    for with_log in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = place(&folder);
        filled(&path, 10).await;
        if with_log {
            // As after a kill: what was saved last is in the log alone.
            let (store, _) = open(&path).await.unwrap();
            store.save(&[ended(10, 2000)]).await.unwrap();
            for suffix in ["", "-wal"] {
                let name = format!("sessions.db{suffix}");
                std::fs::copy(folder.path().join(&name), folder.path().join(name + ".copy"))
                    .unwrap();
            }
            store.close().await;
            for suffix in ["", "-wal"] {
                let name = format!("sessions.db{suffix}");
                std::fs::rename(
                    folder.path().join(name.clone() + ".copy"),
                    folder.path().join(name),
                )
                .unwrap();
            }
        }
        let _absent = std::fs::remove_file(folder.path().join("sessions.db-shm"));
        // A link to nowhere: nothing can be opened or made there, as without shared memory.
        let shared = folder.path().join("sessions.db-shm");
        std::os::unix::fs::symlink("/nowhere/at/all", &shared).unwrap();
        let (store, notices) = open(&path).await.unwrap();
        assert!(matches!(notices.as_slice(), [OpeningNotice::FellBack { .. }]), "{notices:?}");
        store.save(&[ended(99, 2000)]).await.unwrap();
        assert_eq!(store.count().await.unwrap(), 11 + u64::from(with_log));
        store.close().await;
    }
}

#[tokio::test]
async fn a_copy_is_made_of_a_live_file_and_never_over_another() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let (store, _) = open(&path).await.unwrap();
    store.save(&[ended(1, 2000), ended(2, 2000)]).await.unwrap();
    let copy = folder.path().join("copy.db");
    upkeep::backup(&path, &copy).await.unwrap();
    let refused = upkeep::backup(&path, &copy).await.unwrap_err().to_string();
    assert!(refused.contains("exists already"), "{refused}");
    store.save(&[ended(3, 2000)]).await.unwrap();
    assert_eq!(upkeep::verify(&copy).await.unwrap().sessions, 2);
    let refused = upkeep::vacuum(&path).await.unwrap_err().to_string();
    assert!(refused.contains("in use by process"), "{refused}");
    store.close().await;
    drop(store);
    upkeep::vacuum(&path).await.unwrap();
    assert_eq!(upkeep::verify(&path).await.unwrap().sessions, 3);
}

#[tokio::test]
async fn recomputing_names_the_first_row_that_contradicts_itself() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let cases = [
        ("bytes_sent = -1", "bytes_sent"),
        ("end_time = '2026-01-01T00:00:00Z'", "end_time"),
        ("end_time = '2020-01-01T00:00:00.000+00:00'", "end_time is before"),
        ("duration_ms = 99000000", "duration_ms"),
        ("duration_secs = 7", "duration_secs"),
        ("status = 'active'", "status is active"),
        ("close_reason = NULL", "reason is missing"),
        ("close_reason = 'rejected_by_acl'", "do not go together"),
        ("close_reason = 'tired'", "close_reason"),
    ];
    for (change, complaint) in cases {
        let _absent = std::fs::remove_file(&path);
        filled(&path, 20).await;
        let mut connection = tool(&path).await;
        let sql = format!("UPDATE sessions SET {change} WHERE session_id = '{}'", id(7));
        connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
        let sums = upkeep::verify(&path).await.unwrap();
        let first = sums.first_wrong.unwrap();
        assert_eq!((sums.wrong, first.session_id), (1, id(7).to_string()), "{change}");
        assert!(first.problem.contains(complaint), "{change}: {}", first.problem);
    }
}

#[tokio::test]
async fn recomputing_names_the_first_rollup_that_is_not_what_the_rows_give() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let gone = format!("DELETE FROM sessions WHERE session_id = '{}'", id(7));
    // Minute, hour and day of a user and of a destination know a row that is no more.
    let cases = [
        ("UPDATE rollups SET bytes_sent = bytes_sent + 1 WHERE kind = 'user' AND span = 3600", 1),
        ("DELETE FROM rollups WHERE kind = 'dest' AND span = 86400", 1),
        ("INSERT INTO rollups VALUES ('dest', 60, 6000, 'n', 'nowhere:1', 1, 0, 0, 0, 0)", 1),
        (&gone, 6),
    ];
    for (change, wrong) in cases {
        let _absent = std::fs::remove_file(&path);
        filled(&path, 20).await;
        assert_eq!(upkeep::verify(&path).await.unwrap().wrong_rollups.first, None);
        let mut connection = tool(&path).await;
        connection.execute(sqlx::AssertSqlSafe(change)).await.unwrap();
        connection.close().await.unwrap();
        let found = upkeep::verify(&path).await.unwrap().wrong_rollups;
        let first = found.first.unwrap();
        assert_eq!(found.count, wrong, "{change}: {first}");
        assert_ne!(first.counted, first.kept, "{change}");
        assert!(first.to_string().contains("; the rollup says "), "{first}");
    }
}

#[tokio::test]
async fn every_connection_has_the_pragmas_after_a_failure_too() {
    let folder = TempDir::new().unwrap();
    let path = place(&folder);
    let (store, _) = open(&path).await.unwrap();
    store.save(&[ended(1, 2000)]).await.unwrap();
    let mut holder = tool(&path).await;
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    store.save(&[ended(2, 2000)]).await.unwrap_err();
    holder.execute("ROLLBACK").await.unwrap();
    store.save(&[ended(2, 2000)]).await.unwrap();
    let store = store.sqlite().unwrap();
    assert_eq!(store.pragma("synchronous").await.unwrap(), "2");
    assert_eq!(store.pragma("journal_mode").await.unwrap(), "wal");
    assert_eq!(store.pragma("busy_timeout").await.unwrap(), "1000");
}
