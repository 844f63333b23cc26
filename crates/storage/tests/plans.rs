//! How the engines mean to answer: along an index, whatever the table's size.

#![cfg(all(feature = "sqlite", feature = "mysql", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
#[expect(dead_code, reason = "other tests need the rest of it")]
mod server;
mod support;

use rustsocks_sessions::Record;
use rustsocks_storage::{
    Cursor, Direction, Durability, Filter, Paging, Sort, SortKey, SqliteStore, Store,
};
use rustsocks_testkit::{DatabaseServer, Kind};
use support::{at, ended};
use tempfile::TempDir;

/// Rows, enough for every planner to think of an index.
const ROWS: u64 = 4000;

async fn fill(store: &Store) {
    let row = |number: u64| Record {
        user: format!("user-{}", number % 100).into(),
        start_time: at(1000 + i64::try_from(number).unwrap() * 1000),
        egress_port: Some(u16::try_from(1024 + number % 50_000).unwrap()),
        ..ended(number, 2000 + i64::try_from(number).unwrap() * 1000)
    };
    let records: Vec<Record> = (0..ROWS).map(row).collect();
    store.save(&records).await.unwrap();
}

/// What is asked often.
fn questions() -> Vec<(&'static str, Filter, Sort, Paging)> {
    let cursor = Cursor::behind(&ended(2000, 2_002_000)).unwrap();
    let newest = Sort::default();
    let by_start = Sort { key: SortKey::StartTime, direction: Direction::Descending };
    let user = Filter { user: Some("user-7".into()), ..Filter::default() };
    let who = Filter {
        egress_ip: Some("203.0.113.5".parse().unwrap()),
        egress_port: Some(3000),
        at: Some(at(1_500_000)),
        ..Filter::default()
    };
    let since = Filter { start_after: Some(at(1_000_000_000)), ..Filter::default() };
    vec![
        ("the newest", Filter::default(), newest, Paging::Page(0)),
        ("behind a cursor", Filter::default(), newest, Paging::Behind(cursor)),
        ("the last started", Filter::default(), by_start, Paging::Page(0)),
        ("of a user", user.clone(), newest, Paging::Page(0)),
        ("of a user, behind a cursor", user, newest, Paging::Behind(cursor)),
        ("who was this", who, newest, Paging::Page(0)),
        ("started since", since, newest, Paging::Page(0)),
    ]
}

/// Asks the engine how it means to find each and to count all of it; `scans` says whether a line
/// means the whole table.
async fn check(store: &Store, scans: impl Fn(&str) -> bool) {
    for (name, filter, sort, paging) in questions() {
        let plans = store.explain(&filter, sort, paging, 50).await.unwrap();
        assert_eq!(plans.len(), 2, "{name}");
        for lines in &plans {
            let whole = lines.iter().find(|line| scans(line));
            assert_eq!(whole, None, "{name}: {lines:#?}");
        }
    }
}

#[tokio::test]
async fn sqlite_answers_along_an_index_and_sorts_no_page_of_the_default_order() {
    let folder = TempDir::new().unwrap();
    let options = support::options(&folder.path().join("sessions.db"), Durability::Full);
    let store: Store = SqliteStore::open(&options).await.unwrap().0.into();
    fill(&store).await;
    check(&store, |line| line.starts_with("SCAN sessions") && !line.contains("USING")).await;
    for (name, filter, sort, paging) in questions().drain(..3) {
        let plan = store.explain(&filter, sort, paging, 50).await.unwrap().remove(0).join("\n");
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{name}: {plan}");
    }
}

#[tokio::test]
async fn mariadb_answers_along_an_index() {
    let server = DatabaseServer::shared(Kind::MariaDb);
    let database = server.database();
    let store = server::server_store(server.url(&database)).await.unwrap();
    fill(&store).await;
    server.sql(&database, "ANALYZE TABLE sessions");
    check(&store, |line| line.starts_with("sessions ALL")).await;
}

#[tokio::test]
async fn postgres_answers_along_an_index() {
    let server = DatabaseServer::shared(Kind::Postgres);
    let database = server.database();
    let store = server::server_store(server.url(&database)).await.unwrap();
    fill(&store).await;
    server.sql(&database, "ANALYZE");
    check(&store, |line| line.contains("Seq Scan on sessions")).await;
}
