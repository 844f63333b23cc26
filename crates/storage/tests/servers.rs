//! What database servers need beyond the promises of every store: questions that are dropped
//! half-way, and writes whose end is not heard of.

#![cfg(all(feature = "sqlite", feature = "mysql", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
#[expect(dead_code, reason = "other tests need the rest of it")]
mod server;
#[expect(dead_code, reason = "other tests need the rest of it")]
mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rustsocks_sessions::{Clock, Rules, Table};
use rustsocks_storage::{Filter, Paging, Sort, Store};
use rustsocks_testkit::{DatabaseServer, Kind, eventually};
use server::server_store;
use sqlx::{AnyConnection, Connection as _, Executor as _};
use support::{active, at, ended, id};
use tokio::task::JoinSet;

/// A new database of a shared server.
struct Database {
    kind: Kind,
    server: &'static DatabaseServer,
    name: String,
}

impl Database {
    fn new(kind: Kind) -> Self {
        let server = DatabaseServer::shared(kind);
        Self { kind, server, name: server.database() }
    }

    async fn store(&self) -> Arc<Store> {
        Arc::new(server_store(self.server.url(&self.name)).await.unwrap())
    }

    async fn connect(&self) -> AnyConnection {
        AnyConnection::connect(&self.server.url(&self.name)).await.unwrap()
    }

    fn number(&self, sql: &str) -> u64 {
        self.server.sql(&self.name, sql).parse().unwrap()
    }

    /// How many statements wait for a lock.
    fn waiting(&self) -> u64 {
        let name = &self.name;
        self.number(&match self.kind {
            Kind::MariaDb => format!(
                "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE db = '{name}' AND state LIKE 'Waiting for%lock'"
            ),
            Kind::Postgres => format!(
                "SELECT COUNT(*) FROM pg_stat_activity \
                 WHERE datname = '{name}' AND wait_event_type = 'Lock'"
            ),
        })
    }

    /// Waits until every connection of the program is outside a transaction.
    fn comes_to_rest(&self) {
        let name = &self.name;
        let open = match self.kind {
            Kind::MariaDb => format!(
                "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN \
                 information_schema.processlist ON id = trx_mysql_thread_id WHERE db = '{name}'"
            ),
            Kind::Postgres => format!(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{name}' \
                 AND pid <> pg_backend_pid() AND state <> 'idle'"
            ),
        };
        eventually("the end of every transaction", || (self.number(&open) == 0).then_some(()));
    }
}

/// What keeps others from the table of sessions, and what lets them go on.
fn held(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::MariaDb => ("LOCK TABLES sessions WRITE", "UNLOCK TABLES"),
        Kind::Postgres => ("BEGIN; LOCK TABLE sessions", "ROLLBACK"),
    }
}

async fn ask(store: &Store) {
    let filter = Filter::default();
    // Dropped half-way or not.
    let _answer = store.history(&filter, Sort::default(), Paging::Page(0), 10).await;
}

/// Every reading connection sees what is written from here on.
async fn sees_what_is_new(store: &Store, number: u64) {
    store.save(&[ended(number, 2000)]).await.unwrap();
    for _ in 0..8 {
        assert!(store.find(id(number)).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_dropped_while_it_waits_leaves_no_transaction_behind() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let database = Database::new(kind);
        let store = database.store().await;
        store.save(&[active(1)]).await.unwrap();
        let mut holder = database.connect().await;
        let (hold, release) = held(kind);
        holder.execute(hold).await.unwrap();
        let mut asking = JoinSet::new();
        let asked = Arc::clone(&store);
        asking.spawn(async move { ask(&asked).await });
        eventually("the lock", || (database.waiting() == 1).then_some(()));
        asking.shutdown().await;
        holder.execute(release).await.unwrap();
        database.comes_to_rest();
        sees_what_is_new(&store, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_may_be_dropped_anywhere() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let database = Database::new(kind);
        let store = database.store().await;
        for polls in (0..30).rev() {
            let mut question = pin!(ask(&store));
            let mut left = polls;
            poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                question.as_mut().poll(context)
            })
            .await;
        }
        database.comes_to_rest();
        sees_what_is_new(&store, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_end_is_not_heard_of_is_not_counted_twice() {
    let database = Database::new(Kind::Postgres);
    // Whatever somebody has chosen for other programs.
    let name = &database.name;
    let stricter =
        format!("ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'");
    database.server.sql(name, &stricter);
    let store = database.store().await;
    // A disk that stalls: the commit waits for whoever holds the lock.
    let stalls = "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS \
                  $$BEGIN PERFORM pg_advisory_xact_lock(1);RETURN NULL;END$$; \
                  CREATE CONSTRAINT TRIGGER stalls AFTER INSERT ON sessions \
                  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stall()";
    database.server.sql(&database.name, stalls);
    let records: Vec<_> = (0..10).map(|number| ended(number, 2000)).collect();
    for number in [1, 2] {
        let records = &records[..5 * number];
        let mut disk = database.connect().await;
        disk.execute("BEGIN; SELECT pg_advisory_xact_lock(1)").await.unwrap();
        let mut saving = JoinSet::new();
        let save = || {
            let (store, records) = (Arc::clone(&store), records.to_vec());
            async move { store.save(&records).await }
        };
        saving.spawn(save());
        eventually("the commit", || (database.waiting() == 1).then_some(()));
        saving.shutdown().await;
        saving.spawn(save());
        eventually("the next try", || (database.waiting() == 2).then_some(()));
        disk.execute("ROLLBACK").await.unwrap();
        saving.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(store.count().await.unwrap(), 5 * number as u64);
        assert_eq!(store.wrong_rollups().await.unwrap().first, None);
        let sent: u64 = records.iter().map(|record| record.bytes_sent).sum();
        let used = database.number("SELECT SUM(bytes_sent) FROM usage_hours");
        assert_eq!(used, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_one_moment_whatever_isolation_the_server_is_set_to() {
    let database = Database::new(Kind::MariaDb);
    let looser = "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED";
    database.server.sql(&database.name, looser);
    let store = database.store().await;
    store.save(&[ended(1, 2000)]).await.unwrap();
    let mut holder = database.connect().await;
    holder.execute("LOCK TABLES sessions WRITE").await.unwrap();
    let mut asking = JoinSet::new();
    let asked = Arc::clone(&store);
    asking.spawn(async move {
        asked.history(&Filter::default(), Sort::default(), Paging::Page(0), 10).await
    });
    eventually("the lock", || (database.waiting() == 1).then_some(()));
    // A write of after the moment, which was when the answer was begun.
    let later = "UPDATE sessions SET user = 'later'; UNLOCK TABLES";
    holder.execute(later).await.unwrap();
    let page = asking.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(page.records, [ended(1, 2000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_batch_is_held_up_gives_signs_of_life_and_is_heard() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let database = Database::new(kind);
        let store = database.store().await;
        let mut holder = database.connect().await;
        let (hold, release) = held(kind);
        holder.execute(hold).await.unwrap();
        let mut saving = JoinSet::new();
        let records = [active(1)];
        let held_up = Arc::clone(&store);
        saving.spawn(async move { held_up.save(&records).await });
        eventually("the batch", || (database.waiting() == 1).then_some(()));
        let node = store.server().unwrap();
        let run = id(1).as_uuid();
        node.heartbeat("node", run, "0").await.unwrap();
        let command = node.ask_stop(id(1), "node", "why").await.unwrap();
        let asked = node.commands_for("node").await.unwrap();
        node.answer(&asked[0].command_id, "ended").await.unwrap();
        assert_eq!(node.answer_to(command).await.unwrap().as_deref(), Some("ended"));
        node.forget_commands().await.unwrap();
        node.leave("node", run).await.unwrap();
        assert_eq!(database.waiting(), 1, "the batch is held up still");
        holder.execute(release).await.unwrap();
        saving.join_next().await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_usage_holds_up_no_record_and_no_sign_of_life() {
    let database = Database::new(Kind::Postgres);
    let store = database.store().await;
    store.save(&[ended(1, 2000)]).await.unwrap();
    // Every connection that reads waits for a table that no record needs.
    let mut holder = database.connect().await;
    holder.execute("BEGIN; LOCK TABLE metrics_points").await.unwrap();
    let mut reading = JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        reading.spawn(async move { store.points("node", at(0), at(1000), 10).await });
    }
    eventually("the readers", || (database.waiting() == 4).then_some(()));
    let table = Table::new(Clock::system(), "node".into(), Rules::default());
    let records = [ended(2, 2000)];
    tokio::select! {
        biased;
        usage = store.usage(None, 3600, (0, 1), &table, at(0)) => panic!("{usage:?}"),
        saved = store.save(&records) => saved.unwrap(),
    }
    let server = store.server().unwrap();
    server.heartbeat("node", id(1).as_uuid(), "0").await.unwrap();
    assert_eq!(server.nodes().await.unwrap().len(), 1);
    assert_eq!(database.waiting(), 4, "all who read still wait");
    holder.execute("ROLLBACK").await.unwrap();
    while let Some(points) = reading.join_next().await {
        points.unwrap().unwrap();
    }
}
