//! What it costs to have a session's states on the local disk before the store has them: CPU time
//! of the whole process per short session (opened, counted, ended), against none of it.
//!
//! `cargo bench -p rustsocks-storage --bench journal`. Compared are the journal, and a small SQLite
//! file as an outbox: the same states, in the same groups, one row each.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark reports there")]

use std::fmt::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use rustsocks_journal::{Journal, JournalOptions};
use rustsocks_proto::{Command, Target};
use rustsocks_sessions::{AclOutcome, Clock, CloseReason, Identity, Opening, Rules, Table};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Sessions per measurement.
const SESSIONS: usize = 40_000;

/// Sessions between two looks of whoever writes: 5 000 a second, a group every 2 ms.
const GROUP: usize = 10;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn table() -> Table {
    let rules = Rules { max_unsaved: usize::MAX, ..Rules::default() };
    Table::new(Clock::system(), "node".into(), rules)
}

fn one(table: &Table) {
    let target: std::net::SocketAddr = "192.0.2.1:443".parse().unwrap();
    let session = table.open(Opening {
        identity: Identity::Authenticated("alice".into()),
        source: "198.51.100.7:4000".parse().unwrap(),
        target: Some(Target::from(target)),
        command: Some(Command::Connect),
        acl: AclOutcome::Allowed(Some("all".into())),
    });
    session.relaying();
    session.count_sent(100);
    session.finish(CloseReason::ClientClosed, None);
}

/// Forgets what waits, as the recorder does after a commit.
fn settle(table: &Table, journal: Option<&Journal>) {
    let batch = table.outbox().take(usize::MAX);
    table.saved(batch.iter().filter(|session| session.has_ended()), |segment| {
        journal.iter().for_each(|journal| journal.settle(segment));
    });
    journal.iter().for_each(|journal| journal.tidy());
}

/// CPU time per session of `group`, called once per group of sessions.
fn measure(table: &Table, mut group: impl FnMut()) -> Duration {
    let began = cpu();
    for _ in 0..SESSIONS / GROUP {
        for _ in 0..GROUP {
            one(table);
        }
        group();
        std::thread::sleep(Duration::from_millis(2));
    }
    (cpu() - began) / u32::try_from(SESSIONS).unwrap()
}

fn nothing() -> Duration {
    let table = table();
    measure(&table, || settle(&table, None))
}

fn journal(folder: &TempDir, sync: bool) -> Duration {
    let table = table();
    let options = JournalOptions { sync, ..JournalOptions::new(folder.path().join("journal")) };
    let journal = Journal::open(options, table.clone(), |_| {}).unwrap();
    let cost = measure(&table, || settle(&table, Some(&journal)));
    assert!(journal.close());
    cost
}

fn sqlite(runtime: &Runtime, folder: &TempDir, synchronous: SqliteSynchronous) -> Duration {
    let table = table();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("outbox.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    let mut connection = runtime.block_on(SqliteConnection::connect_with(&options)).unwrap();
    let make = "CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, state TEXT)";
    runtime.block_on(sqlx::query(make).execute(&mut connection)).unwrap();
    measure(&table, || {
        let batch = table.outbox().take(usize::MAX);
        let write = async {
            let mut transaction = connection.begin().await.unwrap();
            for session in &batch {
                let mut state = String::new();
                write!(state, "{:?}", session.snapshot().bytes_sent).unwrap();
                state.extend(std::iter::repeat_n('x', 150));
                let sql = "INSERT OR REPLACE INTO outbox VALUES (?, ?)";
                let query = sqlx::query(sql).bind(session.id().to_string()).bind(state);
                query.execute(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
        };
        runtime.block_on(write);
        table.saved(batch.iter().filter(|session| session.has_ended()), |_| {});
    })
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    println!("CPU µs per session, beyond what a session costs without it (five rounds)");
    for _ in 0..5 {
        // Side by side in each round, so that a noisy machine is noisy for all.
        let folder = TempDir::new().unwrap();
        let base = nothing();
        let beyond = |cost: Duration| micros(cost) - micros(base);
        println!(
            "journal normal {:6.2}, full {:6.2}; SQLite outbox off {:6.2}, full {:6.2} (base {:.2})",
            beyond(journal(&folder, false)),
            beyond(journal(&folder, true)),
            beyond(sqlite(&runtime, &folder, SqliteSynchronous::Off)),
            beyond(sqlite(&runtime, &folder, SqliteSynchronous::Full)),
            micros(base),
        );
    }
}
