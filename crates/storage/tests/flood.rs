//! A flood of names: a port scan of a million destinations costs bounded memory.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the full form prints what the manual says")]

mod support;

use std::time::Duration;

use rustsocks_sessions::{Clock, Record, Rules, Table};
use rustsocks_storage::{Durability, MemoryStore, SqliteStore, Store, WindowQuery};
use support::{at, ended};
use tempfile::TempDir;

/// Names that windows may hold: 62 500 of each kind, in each of eight windows.
const MOST_OF_A_WINDOW: usize = 62_500;

/// What is there beside the scan: known destinations with many sessions.
const KNOWN: u64 = 20;

fn scanned(number: u64) -> Record {
    let record = ended(number, 2000);
    let host = match number % 100 {
        0 => format!("known-{}.example", number / 100 % KNOWN),
        _ => format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255),
    };
    let dest_port = u16::try_from(1 + number % 60_000).unwrap();
    let dest_port = if number.is_multiple_of(100) { 443 } else { dest_port };
    Record { dest_host: Some(host.into()), dest_port, bytes_sent: 1, ..record }
}

fn table() -> Table {
    let rules = Rules {
        accounting: true,
        publish_every: 10,
        interim: Duration::from_secs(5),
        idle: None,
        half_closed: None,
        max_unsaved: 1000,
        max_user_labels: 10,
    };
    Table::new(Clock::from_wall(|| at(0)), "node".into(), rules)
}

/// Memory that this process holds, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

async fn flood(store: Store, count: u64) {
    let table = table();
    let ask = async |hours| {
        let query = WindowQuery { hours, top: 20, now: at(10_000) };
        store.statistics(query, &table).await.unwrap()
    };
    for hours in [1, 24] {
        ask(hours).await;
    }
    let before = resident();
    for first in (0..count).step_by(4096) {
        let numbers = first..(first + 4096).min(count);
        let records: Vec<Record> = numbers.map(scanned).collect();
        store.save_batch(&records, 0, |_| {}).await.unwrap();
        assert!(store.names_held() <= 2 * (MOST_OF_A_WINDOW + 10), "{}", store.names_held());
    }
    let grown = resident().saturating_sub(before);
    let engine = store.engine();
    let held = store.names_held();
    println!("{engine}: {count} destinations, {held} names held, {} KiB more", grown >> 10);
    // 1 and 24 were kept as the flood came; 7 is read from what is stored.
    for hours in [1, 24, 7] {
        let told = ask(hours).await;
        assert_eq!(told.total.sessions, i64::try_from(count).unwrap(), "totals are exact");
        assert_eq!(told.total.sent, i64::try_from(count).unwrap());
        assert_eq!(told.dests.len(), 20);
        for (name, sums) in &told.dests {
            let number: u64 = name
                .strip_prefix("known-")
                .and_then(|rest| rest.strip_suffix(".example:443"))
                .unwrap_or_else(|| panic!("{name}"))
                .parse()
                .unwrap();
            let exact = (0..count).step_by(100).filter(|n| n / 100 % KNOWN == number).count();
            assert_eq!(sums.sessions, i64::try_from(exact).unwrap(), "{name}");
        }
    }
    // The minute of the flood leaves a window: more names than that holds.
    for (millis, left) in [(3_600_500, false), (3_601_001, true), (3_661_000, true)] {
        let query = WindowQuery { hours: 1, top: 20, now: at(millis) };
        let told = store.statistics(query, &table).await.unwrap();
        let total = if left { 0 } else { i64::try_from(count).unwrap() };
        assert_eq!((told.total.sessions, told.dests.is_empty()), (total, left), "{millis}");
        assert!(store.names_held() <= 3 * (MOST_OF_A_WINDOW + 10), "{}", store.names_held());
    }
}

/// `RUSTSOCKS_FLOOD=1000000 cargo test --release -p rustsocks-storage --test flood -- --nocapture`
/// prints what docs/decisions/0016-statistics.md says.
fn count() -> u64 {
    std::env::var("RUSTSOCKS_FLOOD").map_or(66_000, |text| text.parse().unwrap())
}

#[tokio::test]
async fn a_scan_of_many_destinations_costs_bounded_memory_and_no_total() {
    let folder = TempDir::new().unwrap();
    let options = support::options(&folder.path().join("sessions.db"), Durability::Normal);
    let (store, _) = SqliteStore::open(&options).await.unwrap();
    flood(store.into(), count()).await;
}

#[tokio::test]
async fn so_it_does_without_a_database() {
    let most = usize::try_from(count()).unwrap();
    flood(MemoryStore::new(most).into(), count()).await;
}
