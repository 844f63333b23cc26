//! What every store promises, asked of each of them.

#![cfg(all(feature = "sqlite", feature = "mysql", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use rustsocks_proto::Protocol;
use rustsocks_sessions::{CloseReason, Record, Status};
use rustsocks_storage::{
    Direction, Durability, Filter, MemoryStore, Page, Paging, Sort, SortKey, SqliteStore, Store,
};
use rustsocks_testkit::Kind;
use server::on_server;
use support::{active, at, ended, id};
use tempfile::TempDir;

/// Runs a promise against every store.
macro_rules! promises {
    ($($name:ident)+) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                let store = super::Store::Memory(super::MemoryStore::new(100_000));
                super::$name(store).await;
            })+
        }
        mod in_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = super::TempDir::new().unwrap();
                super::$name(super::sqlite(&folder).await).await;
            })+
        }
        mod in_mariadb {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::on_server(super::Kind::MariaDb).await).await;
            })+
        }
        mod in_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::on_server(super::Kind::Postgres).await).await;
            })+
        }
    };
}

promises! {
    saving_again_changes_nothing
    a_final_record_stays_final
    an_older_state_never_replaces_a_newer_one
    an_end_replaces_a_state_that_was_read_a_moment_after_it
    a_concluded_end_never_replaces_a_newer_state
    a_session_taken_for_crashed_that_went_on_is_put_right
    a_batch_may_hold_a_session_more_than_once
    what_is_old_is_listed_before_it_is_deleted
    every_field_reads_back_as_it_was
    sql_and_the_filter_itself_agree
    pages_and_cursors_cover_everything_once_while_records_are_added
    retention_takes_the_oldest_ended_ones_in_bounded_steps_and_never_a_running_one
}

async fn everything(store: &Store) -> Page {
    let filter = Filter::default();
    store.history(&filter, Sort::default(), Paging::Page(0), 1000).await.unwrap()
}

async fn saving_again_changes_nothing(store: Store) {
    let records: Vec<Record> = (0..700).map(|n| ended(n, 2000 + n as i64)).collect();
    store.save(&records).await.unwrap();
    let before = everything(&store).await;
    store.save(&records).await.unwrap();
    store.save(&records[..3]).await.unwrap();
    assert_eq!(everything(&store).await, before);
    assert_eq!(before.total, 700);
    assert_eq!(store.count().await.unwrap(), 700);
}

async fn a_final_record_stays_final(store: Store) {
    let last = ended(1, 5000);
    store.save(&[active(1)]).await.unwrap();
    store.save(std::slice::from_ref(&last)).await.unwrap();
    store.save(&[active(1)]).await.unwrap();
    store.save(&[Record { bytes_sent: 999, ..ended(1, 9000) }]).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(last));
    assert_eq!(everything(&store).await.total, 1);
}

async fn an_older_state_never_replaces_a_newer_one(store: Store) {
    let newer = Record { bytes_sent: 900, updated_at: at(1900), ..active(1) };
    store.save(std::slice::from_ref(&newer)).await.unwrap();
    store.save(&[active(1)]).await.unwrap();
    match store.find(id(1)).await.unwrap() {
        Some(found) => assert_eq!(found, newer),
        None => assert_eq!(store.engine(), "memory", "only memory keeps no running ones"),
    }
    let last = ended(1, 5000);
    store.save(std::slice::from_ref(&last)).await.unwrap();
    store.save(std::slice::from_ref(&newer)).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(last));
}

async fn an_end_replaces_a_state_that_was_read_a_moment_after_it(store: Store) {
    let last = ended(1, 5000);
    store.save(&[Record { updated_at: at(5003), ..active(1) }]).await.unwrap();
    store.save(std::slice::from_ref(&last)).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(last));
    let last = ended(2, 5000);
    let late = Record { updated_at: at(5003), ..active(2) };
    store.save(&[late.clone(), last.clone(), late]).await.unwrap();
    assert_eq!(store.find(id(2)).await.unwrap(), Some(last));
}

async fn a_concluded_end_never_replaces_a_newer_state(store: Store) {
    let crashed = |when| Record {
        status: Status::Failed,
        close_reason: Some(CloseReason::ServerCrash),
        ..ended(1, when)
    };
    let newer = Record { bytes_sent: 700, updated_at: at(1900), ..active(1) };
    store.save(std::slice::from_ref(&newer)).await.unwrap();
    // What the journal knew was older than what the store had.
    store.save(&[crashed(1800)]).await.unwrap();
    if store.engine() == "memory" {
        return; // It keeps no running ones.
    }
    assert_eq!(store.find(id(1)).await.unwrap(), Some(newer.clone()));
    store.save(&[newer.clone(), crashed(1800), newer]).await.unwrap();
    assert_eq!(store.close_crashed("node").await.unwrap(), 1);
    let found = store.find(id(1)).await.unwrap().unwrap();
    assert_eq!((found.bytes_sent, found.end_time), (700, Some(at(1900))));
    assert_eq!(found.close_reason, Some(CloseReason::ServerCrash));
}

async fn a_session_taken_for_crashed_that_went_on_is_put_right(store: Store) {
    let crashed = Record {
        status: Status::Failed,
        close_reason: Some(CloseReason::ServerCrash),
        ..ended(1, 2000)
    };
    store.save(std::slice::from_ref(&crashed)).await.unwrap();
    // What was known before changes nothing, nor does the same once more.
    store.save(&[active(1)]).await.unwrap();
    store.save(&[Record { updated_at: at(2000), ..active(1) }]).await.unwrap();
    store.save(std::slice::from_ref(&crashed)).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(crashed));
    let went_on = Record { bytes_sent: 77, updated_at: at(3000), ..active(1) };
    store.save(std::slice::from_ref(&went_on)).await.unwrap();
    if store.engine() != "memory" {
        assert_eq!(store.find(id(1)).await.unwrap(), Some(went_on));
    }
    let last = ended(1, 4000);
    store.save(std::slice::from_ref(&last)).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(last.clone()));
    let late = Record { close_reason: Some(CloseReason::ServerCrash), ..ended(1, 6000) };
    store.save(&[late]).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(last), "an orderly end is final");
}

async fn a_batch_may_hold_a_session_more_than_once(store: Store) {
    let last = ended(1, 5000);
    store.save(&[active(1), ended(2, 4000), last.clone(), last.clone()]).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(last));
    assert_eq!(store.count().await.unwrap(), 2);
}

async fn what_is_old_is_listed_before_it_is_deleted(store: Store) {
    let records: Vec<Record> = (0..20).map(|n| ended(n, 2000 + n as i64)).collect();
    store.save(&records).await.unwrap();
    store.save(&[active(50)]).await.unwrap();
    let old = store.oldest(at(2010), 7).await.unwrap();
    assert_eq!(old, records[..7]);
    let ids: Vec<_> = old.iter().map(|record| record.session_id).collect();
    assert_eq!(store.delete(&ids).await.unwrap(), 7);
    assert_eq!(store.delete(&ids).await.unwrap(), 0);
    assert_eq!(store.oldest(at(2010), 100).await.unwrap(), records[7..10]);
}

async fn every_field_reads_back_as_it_was(store: Store) {
    let plain = Record {
        user: "".into(),
        dest_host: None,
        command: None,
        protocol: Protocol::Udp,
        acl_rule_matched: None,
        acl_decision: None,
        egress_ip: None,
        egress_port: None,
        connect: None,
        source_ip: "2001:db8::7".parse().unwrap(),
        ..ended(1, 2000)
    };
    let hostile = Record {
        user: "'; DROP TABLE sessions; --\n\u{202E}名前\"".into(),
        dest_host: Some("a".repeat(255).into()),
        close_detail: Some("100% \\ ' \" \u{1F600}".into()),
        acl_rule_matched: Some("\t".into()),
        close_reason: Some(CloseReason::ServerCrash),
        status: Status::Failed,
        bytes_received: i64::MAX as u64,
        ..ended(2, 2001)
    };
    store.save(&[plain.clone(), hostile.clone()]).await.unwrap();
    assert_eq!(store.find(id(1)).await.unwrap(), Some(plain));
    assert_eq!(store.find(id(2)).await.unwrap(), Some(hostile));
    assert_eq!(store.find(id(3)).await.unwrap(), None);
}

/// Records that differ in everything that a filter looks at.
fn varied(number: u64, pick: u64) -> Record {
    let choose = |place: u32, of: u64| (pick >> (place * 3)) % of;
    let record = ended(number, 2000 + i64::try_from(choose(0, 7)).unwrap() * 500);
    let (status, reason) = [
        (Status::Closed, CloseReason::ClientClosed),
        (Status::Failed, CloseReason::DnsFailed),
        (Status::RejectedByAcl, CloseReason::RejectedByAcl),
    ][choose(1, 3) as usize];
    Record {
        user: ["alice", "bob", ""][choose(2, 3) as usize].into(),
        start_time: at(i64::try_from(choose(3, 5)).unwrap() * 400),
        source_ip: ["198.51.100.7", "2001:db8::7"][choose(4, 2) as usize].parse().unwrap(),
        dest_ip: ["192.0.2.1", "example.com"][choose(5, 2) as usize].into(),
        dest_host: [None, Some("Example.COM".into())][choose(6, 2) as usize].clone(),
        protocol: [Protocol::Tcp, Protocol::Udp][choose(7, 2) as usize],
        node_id: ["node", "other"][choose(11, 2) as usize].into(),
        egress_port: [None, Some(40_000)][choose(8, 2) as usize],
        bytes_sent: choose(9, 6) * 100,
        duration: Some(Duration::from_millis(choose(10, 4) * 700)),
        status,
        close_reason: Some(reason),
        ..record
    }
}

fn varied_filter(pick: u64) -> Filter {
    let choose = |place: u32, of: u64| (pick >> (place * 3)) % of;
    let text = |place, texts: [&str; 3]| {
        texts.get(choose(place, 5) as usize).map(|text| (*text).to_owned())
    };
    Filter {
        user: text(0, ["alice", "bob", "nobody"]),
        status: [Status::Closed, Status::Failed, Status::Active]
            .get(choose(1, 6) as usize)
            .copied(),
        protocol: [Protocol::Tcp, Protocol::Udp].get(choose(2, 6) as usize).copied(),
        dest: text(3, ["example.com", "EXAMPLE.com", "192.0.2.1"]),
        dest_ip: text(4, ["192.0.2.1", "example.com", "x"]),
        source_ip: ["198.51.100.7", "2001:db8::7"]
            .get(choose(5, 6) as usize)
            .map(|ip| ip.parse().unwrap()),
        egress_port: [40_000].get(choose(6, 6) as usize).copied(),
        at: [at(2100)].get(choose(7, 4) as usize).copied(),
        close_reason: [CloseReason::DnsFailed].get(choose(8, 6) as usize).copied(),
        start_after: [at(400)].get(choose(9, 4) as usize).copied(),
        start_before: [at(1200)].get(choose(10, 4) as usize).copied(),
        min_bytes: [200].get(choose(11, 4) as usize).copied(),
        min_duration: [Duration::from_millis(700)].get(choose(12, 4) as usize).copied(),
        egress_ip: None,
        node: ["other".to_owned()].get(choose(13, 4) as usize).cloned(),
        not_node: ["node".to_owned()].get(choose(14, 5) as usize).cloned(),
    }
}

async fn sql_and_the_filter_itself_agree(store: Store) {
    let mut picks = proptest::test_runner::TestRunner::deterministic();
    let mut pick = || {
        let tree = any::<u64>().new_tree(&mut picks).unwrap();
        tree.current()
    };
    let mut records: Vec<Record> = (0..300).map(|number| varied(number, pick())).collect();
    records.extend((300..310).map(active));
    store.save(&records).await.unwrap();
    // Running sessions are the live table's; a store may keep them or not.
    let holds_active = store.find(id(300)).await.unwrap().is_some();
    let mut found_some = 0;
    for _ in 0..400 {
        let filter = varied_filter(pick());
        let key = SortKey::ALL[(pick() % 7) as usize];
        let direction = [Direction::Ascending, Direction::Descending][(pick() % 2) as usize];
        let sort = Sort { key, direction };
        let mut expected: Vec<Record> =
            records.iter().filter(|record| filter.matches(record)).cloned().collect();
        if !holds_active {
            expected.retain(|record| record.status != Status::Active);
        }
        expected.sort_by(|left, right| sort.compare(left, right));
        let page = store.history(&filter, sort, Paging::Page(0), 1000).await.unwrap();
        assert_eq!(page.total, expected.len() as u64, "{filter:?}");
        assert_eq!(page.records, expected, "{filter:?} {sort:?}");
        found_some += usize::from(!expected.is_empty());
    }
    assert!(found_some > 100, "only {found_some} filters found anything");
}

async fn pages_and_cursors_cover_everything_once_while_records_are_added(store: Store) {
    // Many ends in the same millisecond, so that only the id tells records apart.
    let records: Vec<Record> = (0..95).map(|n| ended(n, 2000 + (n / 10) as i64)).collect();
    store.save(&records).await.unwrap();
    let mut seen = Vec::new();
    let mut paging = Paging::Page(0);
    let mut next_number = 1000;
    loop {
        let filter = Filter::default();
        let page = store.history(&filter, Sort::default(), paging, 10).await.unwrap();
        seen.extend(page.records.iter().map(|record| record.session_id));
        store.save(&[ended(next_number, 9000)]).await.unwrap();
        next_number += 1;
        match page.next {
            Some(cursor) => paging = Paging::Behind(cursor),
            None => break,
        }
    }
    let mut expected: Vec<_> = records.iter().map(|record| record.session_id).collect();
    expected.reverse();
    assert_eq!(seen, expected);
    let last = store.history(&Filter::default(), Sort::default(), Paging::Page(10), 10).await;
    assert_eq!(last.unwrap().records.len(), (95 + next_number as usize - 1000) - 100);
}

async fn retention_takes_the_oldest_ended_ones_in_bounded_steps_and_never_a_running_one(
    store: Store,
) {
    let records: Vec<Record> = (0..50).map(|n| ended(n, 2000 + n as i64)).collect();
    store.save(&records).await.unwrap();
    store.save(&[active(100)]).await.unwrap();
    assert_eq!(store.expire(at(2040), 30).await.unwrap(), 30);
    assert_eq!(store.expire(at(2040), 30).await.unwrap(), 10);
    assert_eq!(store.expire(at(2040), 30).await.unwrap(), 0);
    assert_eq!(everything(&store).await.total, 10);
    assert_eq!(store.expire(at(1_000_000), 1000).await.unwrap(), 10);
    if let Some(running) = store.find(id(100)).await.unwrap() {
        assert_eq!(running.status, Status::Active);
    }
}

/// A SQLite store in a folder of its own, with the file's path.
async fn sqlite(folder: &TempDir) -> Store {
    let path = folder.path().join("deep/down/sessions.db");
    let (store, _) = SqliteStore::open(&support::options(&path, Durability::Full)).await.unwrap();
    Store::Sqlite(Box::new(store))
}
