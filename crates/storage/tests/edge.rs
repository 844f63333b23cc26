//! A flood within one minute, at the time at which that minute leaves a window of statistics. Alone
//! in its process, for it looks at the memory of all.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need the rest of it")]
mod support;

use rustsocks_sessions::{Clock, Rules, Table};
use rustsocks_storage::{Durability, SqliteStore, Store, Sums, WindowQuery};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use support::{at, options};
use tempfile::TempDir;

/// Sessions of one minute, evenly: three quarters to one destination, the last to as many as they are.
const FLOOD: i64 = 180_000;

/// Bytes that a question may cost for a while.
const MOST_MEMORY: u64 = 200 << 20;

async fn flooded(path: &std::path::Path) {
    drop(SqliteStore::open(&options(path, Durability::Normal)).await.unwrap());
    let connect = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut tool = SqliteConnection::connect_with(&connect).await.unwrap();
    let rows = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers \
         WHERE n < {FLOOD} - 1) \
         INSERT INTO sessions (session_id, user, start_time, end_time, duration_secs, \
         source_ip, source_port, dest_ip, dest_port, protocol, bytes_sent, bytes_received, \
         packets_sent, packets_received, status, close_reason, node_id, updated_at) \
         SELECT printf('01a209d1-312c-7766-9078-%012x', n), 'alice', \
         printf('2026-01-01T00:00:%02d.%03d+00:00', n * 60 / {FLOOD}, n % 1000), \
         '2026-01-01T00:01:00.000+00:00', 1, '198.51.100.7', 1, \
         CASE WHEN n < {FLOOD} * 3 / 4 THEN 'known' ELSE 'scanned-' || n END, 443, \
         'tcp', 1, 2, 1, 1, 'closed', 'client_closed', 'node', \
         '2026-01-01T00:01:00.000+00:00' FROM numbers"
    );
    tool.execute(sqlx::AssertSqlSafe(rows)).await.unwrap();
    for (kind, name) in [("user", "user"), ("dest", "dest_ip || ':443'")] {
        let rollups = format!(
            "INSERT INTO rollups SELECT '{kind}', span, 1767225600, 'node', {name}, COUNT(*), 0, 0, \
             SUM(bytes_sent), SUM(bytes_received) FROM sessions CROSS JOIN \
             (SELECT 60 AS span UNION SELECT 3600 UNION SELECT 86400) GROUP BY span, {name}"
        );
        tool.execute(sqlx::AssertSqlSafe(rollups)).await.unwrap();
    }
    tool.close().await.unwrap();
}

/// The most memory that this process has held since [`forget_peak`], and what it holds now.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    (of("VmHWM:"), of("VmRSS:"))
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::test]
async fn a_flood_that_leaves_a_window_costs_bounded_memory_and_is_counted_to_the_millisecond() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    flooded(&path).await;
    let (store, _) = SqliteStore::open(&options(&path, Durability::Normal)).await.unwrap();
    let store = Store::from(store);
    let table = Table::new(Clock::from_wall(|| at(0)), "node".into(), Rules::default());
    forget_peak();
    let (_, before) = memory();
    // Before the minute leaves the window, while it does, and afterwards.
    for (millis, left, known) in [
        (0, 0, FLOOD * 3 / 4),
        (10_001, FLOOD / 6 + 3, FLOOD * 7 / 12 - 3),
        (20_000, FLOOD / 3, FLOOD * 5 / 12),
        (45_000, FLOOD * 3 / 4, 0),
        (60_000, FLOOD, 0),
    ] {
        let query = WindowQuery { hours: 1, top: 1, now: at(3_600_000 + millis) };
        let told = store.statistics(query, &table).await.unwrap();
        let sessions = FLOOD - left;
        let sums =
            Sums { sessions, failed: 0, rejected: 0, sent: sessions, received: 2 * sessions };
        assert_eq!(told.total, sums, "{millis}");
        let most = told.dests.first().map(|(name, sums)| (&**name, sums.sessions));
        assert_eq!(most.filter(|_| known > 0), (known > 0).then_some(("known:443", known)));
    }
    let (peak, _) = memory();
    let grown = peak.saturating_sub(before);
    assert!(grown < MOST_MEMORY, "{} MiB", grown >> 20);
}
