//! The metrics history in every database: kept, found again by node, forgotten in steps, and never
//! in the way of a record.

#![cfg(all(feature = "sqlite", feature = "mysql", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{Clock, Rules, Table};
use rustsocks_storage::points::Point;
use rustsocks_storage::{Durability, Keeper, Points, SqliteStore, Store};
use rustsocks_testkit::Kind;
use server::on_server;
use support::{ended, options};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

async fn sqlite(folder: &TempDir) -> Store {
    let options = options(&folder.path().join("sessions.db"), Durability::Full);
    SqliteStore::open(&options).await.unwrap().0.into()
}

fn point(second: i64, count: u64) -> Point {
    Point {
        at: Timestamp::from_second(1_800_000_000 + second).unwrap(),
        span: Duration::from_millis(1001),
        active: count,
        backlog: count + 1,
        sessions: count + 2,
        sent: count + (1 << 40),
        received: count + 3,
    }
}

fn second(second: i64) -> Timestamp {
    point(second, 0).at
}

async fn of(store: &Store, node: &str) -> Vec<Point> {
    store.points(node, second(-1000), second(100_000), 100_000).await.unwrap()
}

async fn keeps_each_node_apart_and_forgets_in_steps(store: Store) {
    let ours: Vec<Point> = (0..700).map(|nth| point(nth, 7)).collect();
    let theirs: Vec<Point> = (0..10).map(|nth| point(nth, 9)).collect();
    assert!(store.save_points("a", &ours).await.unwrap());
    assert!(store.save_points("a", &ours[..5]).await.unwrap(), "again");
    assert!(store.save_points("b", &theirs).await.unwrap());
    let is_shared = store.is_shared();
    // A file has one node, whatever it was called.
    assert_eq!(of(&store, "a").await.len(), if is_shared { 700 } else { 710 });
    if is_shared {
        assert_eq!(of(&store, "a").await, ours, "every field as it was");
        assert_eq!(of(&store, "b").await, theirs);
    }
    let some = store.points("a", second(5), second(8), 10).await.unwrap();
    assert_eq!((some[0].at, some.len()), (second(5), if is_shared { 3 } else { 6 }));
    let last = store.points("b", second(5), second(8), 1).await.unwrap();
    assert_eq!((last[0].at, last.len()), (second(7), 1));
    let mut steps = Vec::new();
    loop {
        match store.forget_points(second(650), 300).await.unwrap().unwrap() {
            0 => break,
            count => steps.push(count),
        }
    }
    // Of 650 instants, each with a point of "a", the first ten with one of "b" too.
    assert_eq!(steps.iter().sum::<u64>(), 660);
    assert!(steps.len() >= 3, "{steps:?}");
    assert_eq!(of(&store, "a").await.len(), 50);
    store.close().await;
    assert!(store.save_points("a", &ours).await.is_err() || !is_shared);
}

#[tokio::test]
async fn sqlite_keeps_points_and_forgets_in_steps() {
    let folder = TempDir::new().unwrap();
    keeps_each_node_apart_and_forgets_in_steps(sqlite(&folder).await).await;
}

#[tokio::test]
async fn mariadb_keeps_each_node_apart_and_forgets_in_steps() {
    keeps_each_node_apart_and_forgets_in_steps(on_server(Kind::MariaDb).await).await;
}

#[tokio::test]
async fn postgres_keeps_each_node_apart_and_forgets_in_steps() {
    keeps_each_node_apart_and_forgets_in_steps(on_server(Kind::Postgres).await).await;
}

#[tokio::test]
async fn points_and_records_written_at_once_hold_nobody_up() {
    let folder = TempDir::new().unwrap();
    let store = sqlite(&folder).await;
    let points: Vec<Point> = (0..500).map(|nth| point(nth, 1)).collect();
    let records: Vec<_> = (0..200).map(|n| ended(n, 2000)).collect();
    let done = Cell::new(false);
    let writing = async {
        for record in &records {
            store.save(std::slice::from_ref(record)).await.unwrap();
        }
        done.set(true);
    };
    let keeping = async {
        let mut refused = 0;
        while !done.get() {
            if !store.save_points("a", &points).await.unwrap() {
                refused += 1;
            }
            tokio::task::yield_now().await;
        }
        refused
    };
    // Asked while a record is on its way, it steps back instead of standing in the queue.
    let ((), refused) = tokio::join!(writing, keeping);
    assert!(refused > 0);
    assert!(store.save_points("a", &points).await.unwrap());
    assert_eq!(store.count().await.unwrap(), 200);
    assert_eq!(of(&store, "a").await.len(), 500);
}

fn keeper(store: &Arc<Store>, points: &Points) -> Keeper {
    let clock = Clock::from_wall(|| second(1000));
    Keeper {
        points: points.clone(),
        store: Arc::clone(store),
        figures: Arc::default(),
        table: Table::new(clock, "here".into(), Rules::default()),
        cleanup_interval: Duration::from_secs(3600),
    }
}

#[tokio::test]
async fn a_keeper_brings_back_what_is_not_too_old_and_deletes_the_rest() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite(&folder).await);
    let left: Vec<Point> = (0..1000).map(|nth| point(nth, 1)).collect();
    assert!(store.save_points("here", &left).await.unwrap());
    let points = Points::new(Duration::from_secs(1), Duration::from_secs(600));
    let stop = CancellationToken::new();
    let within = Duration::from_secs(10_000);
    let waiting = async {
        while points.course(second(1000), within, 10_000).rates.len() < 600
            || of(&store, "here").await.len() > 600
        {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(keeper(&store, &points).run(stop.clone()), waiting);
    assert_eq!(points.course(second(1000), within, 10_000).rates[0].at, second(400));
    assert_eq!(of(&store, "here").await.len(), 600);
}

#[tokio::test]
async fn a_keeper_brings_back_every_point_however_many_there_are() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite(&folder).await);
    // Of a file under two names, so that instants fall into two pages.
    let left: Vec<Point> = (0..6001).map(|nth| point(nth, 1)).collect();
    for node in ["here", "there"] {
        for part in left.chunks(500) {
            assert!(store.save_points(node, part).await.unwrap());
        }
    }
    let points = Points::new(Duration::from_secs(1), Duration::from_secs(100_000));
    let stop = CancellationToken::new();
    let course = || points.course(second(6001), Duration::from_secs(200_000), 200_000).rates;
    let clock = Clock::from_wall(|| second(6001));
    let table = Table::new(clock, "here".into(), Rules::default());
    let waiting = async {
        while course().len() < 12_002 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(Keeper { table, ..keeper(&store, &points) }.run(stop.clone()), waiting);
    let times: Vec<Timestamp> = course().iter().map(|rates| rates.at).collect();
    let expected: Vec<Timestamp> = (0..12_002).map(|nth| second(nth / 2)).collect();
    assert_eq!(times, expected, "each once, in order");
}

#[tokio::test]
async fn a_keeper_whose_store_is_gone_goes_on_and_stops_in_time() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite(&folder).await);
    store.close().await;
    let points = Points::new(Duration::from_secs(1), Duration::from_secs(600));
    let stop = CancellationToken::new();
    let mut running = std::pin::pin!(keeper(&store, &points).run(stop.clone()));
    let early = tokio::time::timeout(Duration::from_millis(100), running.as_mut()).await;
    assert!(early.is_err(), "it goes on");
    stop.cancel();
    running.await;
}
