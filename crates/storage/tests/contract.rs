//! What every store promises, asked of each of them.

#![cfg(all(feature = "sqlite", feature = "mysql", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use rustsocks_proto::Protocol;
use rustsocks_sessions::{
    AclOutcome, Clock, CloseReason, Identity, Opening, Record, Rules, SessionId, Status, Table,
};
use rustsocks_storage::verify::WrongRollups;
use rustsocks_storage::{
    Direction, Durability, Filter, MemoryStore, OnDisk, Page, Paging, Sort, SortKey, SqliteStore,
    Statistics, Store, Sums, WindowQuery,
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
                let store = super::Store::from(super::MemoryStore::new(100_000));
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
    names_that_differ_in_a_space_at_the_end_are_told_apart
    pages_and_cursors_cover_everything_once_while_records_are_added
    retention_takes_the_oldest_ended_ones_in_bounded_steps_and_never_a_running_one
    statistics_equal_what_counting_the_records_gives
    statistics_are_as_exact_where_the_minute_at_the_edge_is_too_full_to_be_read
    a_rule_of_any_length_and_sessions_without_a_name_are_counted
    usage_is_booked_in_the_hours_in_which_the_bytes_flowed
    a_session_of_three_days_shows_in_each_of_its_days
    a_walk_never_skips_or_repeats_while_a_writer_goes_on
    history_is_whole_while_ended_sessions_wait_for_the_store
    no_list_holds_a_former_state_of_what_has_ended_and_waits
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
    assert_eq!(store.find(id(1)).await.unwrap(), Some(newer.clone()));
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
    assert_eq!(store.find(id(1)).await.unwrap(), Some(went_on));
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
        egress_ip: [None, Some("203.0.113.5"), Some("2001:db8::5")][choose(12, 3) as usize]
            .map(|ip| ip.parse().unwrap()),
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
        min_duration: [700, 1400, 2123]
            .get(choose(12, 6) as usize)
            .map(|least| Duration::from_millis(*least)),
        egress_ip: ["203.0.113.5", "2001:db8::5"]
            .get(choose(15, 6) as usize)
            .map(|ip| ip.parse().unwrap()),
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
    records.extend((300..360).map(|number| {
        let choose = pick();
        let updated_at = at(2000 + i64::try_from(choose % 9).unwrap() * 123);
        let running = active(number);
        let Record { user, start_time, node_id, .. } = varied(number, choose);
        Record { user, start_time, node_id, updated_at, ..running }
    }));
    store.save(&records).await.unwrap();
    // Running sessions are the live table's; a store may keep them or not.
    let holds_active = store.find(id(300)).await.unwrap().is_some();
    let (mut found_some, mut found_running) = (0, 0);
    for round in 0..400 {
        let mut filter = varied_filter(pick());
        if round % 5 == 0 {
            let Filter { user, node, not_node, min_duration, .. } = filter;
            let status = Some(Status::Active);
            filter = Filter { user, status, node, not_node, min_duration, ..Filter::default() };
        }
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
        let long = filter.min_duration.is_some() && filter.status == Some(Status::Active);
        found_running += usize::from(long && !expected.is_empty());
    }
    assert!(found_some > 100, "only {found_some} filters found anything");
    assert!(found_running > 10 || !holds_active, "only {found_running} found what runs long");
}

async fn names_that_differ_in_a_space_at_the_end_are_told_apart(store: Store) {
    let names = ["bob", "bob ", "bob  ", " bob"];
    let named = |(number, name): (u64, &str)| Record {
        user: name.into(),
        node_id: name.into(),
        dest_host: Some(name.into()),
        dest_ip: name.into(),
        ..ended(number, 2000)
    };
    let records: Vec<Record> = (0..).zip(names).map(named).collect();
    store.save(&records).await.unwrap();
    for name in names.map(|name| Some(name.to_owned())) {
        let all = Filter::default;
        for filter in [
            Filter { user: name.clone(), ..all() },
            Filter { node: name.clone(), ..all() },
            Filter { not_node: name.clone(), ..all() },
            Filter { dest: name.clone(), ..all() },
            Filter { dest_ip: name.clone(), ..all() },
        ] {
            let page = store.history(&filter, Sort::default(), Paging::Page(0), 9).await.unwrap();
            let found: Vec<Record> =
                records.iter().rev().filter(|record| filter.matches(record)).cloned().collect();
            assert_eq!(page.records, found, "{filter:?}");
            assert_eq!(page.total, found.len() as u64, "{filter:?}");
        }
    }
    assert_eq!(store.close_crashed("bob ").await.unwrap(), 0);
    store.save(&[active(10)].map(|row| Record { node_id: "bob".into(), ..row })).await.unwrap();
    assert_eq!(store.close_crashed("bob ").await.unwrap(), 0, "another node's");
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
    assert_eq!(expire(&store, 2040, 30).await, 30);
    assert_eq!(expire(&store, 2040, 30).await, 10);
    assert_eq!(expire(&store, 2040, 30).await, 0);
    assert_eq!(everything(&store).await.total, 10);
    assert_eq!(expire(&store, 1_000_000, 1000).await, 10);
    assert_eq!(store.find(id(100)).await.unwrap().unwrap().status, Status::Active);
}

/// One step of retention.
async fn expire(store: &Store, before: i64, most: usize) -> u64 {
    let old = store.oldest(at(before), most).await.unwrap();
    let ids: Vec<_> = old.iter().map(|record| record.session_id).collect();
    store.delete(&ids).await.unwrap()
}

/// A table without sessions.
fn nobody() -> Table {
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

/// Every record of a store, running ones too.
async fn all_records(store: &Store) -> Vec<Record> {
    let running = Filter { status: Some(Status::Active), ..Filter::default() };
    let mut records = Vec::new();
    for filter in [Filter::default(), running] {
        let page = store.history(&filter, Sort::default(), Paging::Page(0), 100_000).await;
        records.extend(page.unwrap().records);
    }
    records
}

/// What a window holds by counting each record.
fn counted(records: &[Record], query: WindowQuery) -> Statistics {
    let from = query.now.as_millisecond() - query.hours as i64 * 3_600_000;
    let mut counted = Statistics::default();
    let mut names = [BTreeMap::new(), BTreeMap::new()];
    for record in records.iter().filter(|one| one.start_time.as_millisecond() >= from) {
        let (sent, received) = (record.bytes_sent as i64, record.bytes_received as i64);
        let failed = i64::from(record.status == Status::Failed);
        let rejected = i64::from(record.status == Status::RejectedByAcl);
        let sums = Sums { sessions: 1, failed, rejected, sent, received };
        let add = |to: &mut Sums| {
            to.sessions += 1;
            to.failed += sums.failed;
            to.rejected += sums.rejected;
            to.sent += sums.sent;
            to.received += sums.received;
        };
        add(&mut counted.total);
        add(names[0].entry(record.user.to_string()).or_default());
        add(names[1].entry(record.dest()).or_default());
    }
    let first = |names: &BTreeMap<String, Sums>, by: fn(&Sums) -> i64| {
        let mut list: Vec<(Arc<str>, Sums)> =
            names.iter().map(|(name, sums)| (name.as_str().into(), *sums)).collect();
        list.sort_by_key(|(_, sums)| -by(sums));
        list.truncate(query.top);
        list
    };
    names[0].remove("");
    counted.users = first(&names[0], Sums::bytes);
    counted.dests = first(&names[1], |sums| sums.sessions);
    counted
}

/// How many sessions of a window failed or were refused: by reason, by rule, by user and by
/// destination, the most first, equal ones by name.
fn counted_failures(records: &[Record], query: WindowQuery) -> [Vec<(String, i64)>; 4] {
    let from = query.now.as_millisecond() - query.hours as i64 * 3_600_000;
    let mut names = [const { BTreeMap::new() }; 4];
    for record in records.iter().filter(|one| one.start_time.as_millisecond() >= from) {
        let refused = record.status == Status::RejectedByAcl;
        if !refused && record.status != Status::Failed {
            continue;
        }
        let keys = [
            record.close_reason.map(|reason| reason.name().to_owned()),
            record.acl_rule_matched.as_deref().filter(|_| refused).map(str::to_owned),
            Some(record.user.to_string()).filter(|user| !user.is_empty()),
            Some(record.dest()),
        ];
        for (names, key) in names.iter_mut().zip(keys) {
            if let Some(key) = key {
                *names.entry(key).or_insert(0) += 1;
            }
        }
    }
    names.map(|names| {
        let mut list: Vec<(String, i64)> = names.into_iter().collect();
        list.sort_by_key(|(_, sessions)| -sessions);
        list.truncate(query.top);
        list
    })
}

async fn told_failures(
    store: &Store,
    query: WindowQuery,
    table: &Table,
) -> [Vec<(String, i64)>; 4] {
    let told = store.failures(query, table).await.unwrap();
    [told.reasons, told.rules, told.users, told.dests].map(|list| {
        list.iter().map(|(name, sums)| (name.to_string(), sums.failed + sums.rejected)).collect()
    })
}

const HOUR_MS: i64 = 3_600_000;

async fn a_rule_of_any_length_and_sessions_without_a_name_are_counted(store: Store) {
    let table = nobody();
    let refused = Record {
        status: Status::RejectedByAcl,
        close_reason: Some(CloseReason::RejectedByAcl),
        acl_rule_matched: Some("ä".repeat(5000).into()),
        ..ended(1, 2000)
    };
    // A failed login: no user, no request.
    let login = Record {
        user: "".into(),
        dest_ip: "".into(),
        dest_host: None,
        dest_port: 0,
        status: Status::Failed,
        close_reason: Some(CloseReason::AuthFailed),
        acl_rule_matched: None,
        ..ended(2, 2000)
    };
    store.save(&[refused, login]).await.unwrap();
    let query = WindowQuery { hours: 1, top: 10, now: at(3000) };
    let told = store.failures(query, &table).await.unwrap();
    assert_eq!((told.total.rejected, told.total.failed), (1, 1));
    assert_eq!(*told.rules[0].0, "ä".repeat(255));
    assert_eq!((told.reasons.len(), told.users.len(), told.dests.len()), (2, 1, 1));
    let told = store.statistics(query, &table).await.unwrap();
    assert_eq!((told.total.sessions, told.users.len(), told.dests.len()), (2, 1, 1));
    assert_eq!(store.wrong_rollups().await.unwrap(), WrongRollups::default());
}

async fn statistics_equal_what_counting_the_records_gives(store: Store) {
    let table = nobody();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut choose = move |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    let mut now = 100 * HOUR_MS;
    let mut open: Vec<Record> = Vec::new();
    let mut number = 0;
    for round in 0..60 {
        let mut batch = Vec::new();
        for _ in 0..choose(20) {
            number += 1;
            let hours = [1, 7, 24][choose(3) as usize];
            let start = match choose(3) {
                0 => now,
                1 => now - choose(60 * HOUR_MS as u64) as i64,
                // About where a window begins.
                _ => now - hours * HOUR_MS + choose(150_000) as i64 - 90_000,
            };
            let address = ["192.0.2.1", "2001:db8::1"][choose(2) as usize];
            let host = [None, Some("example.com"), Some("a.example")][choose(3) as usize];
            open.push(Record {
                user: ["alice", "bob", "b\u{f6}b", "carol ", "carol", ""][choose(6) as usize]
                    .into(),
                acl_rule_matched: [None, Some("no mail"), Some("no mail "), Some("default policy")]
                    [choose(4) as usize]
                    .map(Into::into),
                start_time: at(start),
                dest_ip: address.into(),
                dest_host: host.map(Into::into),
                dest_port: [80, 443][choose(2) as usize],
                updated_at: at(start),
                ..active(number)
            });
            batch.extend(open.last().cloned());
        }
        for _ in 0..choose(10).min(open.len() as u64) {
            let place = choose(open.len() as u64) as usize;
            let record = &mut open[place];
            record.bytes_sent += choose(1000);
            record.bytes_received += choose(1000);
            record.updated_at = at(now);
            if choose(2) == 0 {
                batch.push(record.clone());
                continue;
            }
            let (status, reason) = [
                (Status::Closed, CloseReason::ClientClosed),
                (Status::Failed, CloseReason::ConnectRefused),
                (Status::RejectedByAcl, CloseReason::RejectedByAcl),
                (Status::Failed, CloseReason::ServerCrash),
            ][choose(4) as usize];
            record.end_time = Some(at(now));
            record.duration = Some(Duration::from_secs(1));
            (record.status, record.close_reason) = (status, Some(reason));
            // The same state may be saved more than once, and older ones after it.
            batch.push(record.clone());
            if choose(3) == 0 {
                batch.push(record.clone());
            }
            if choose(3) > 0 {
                open.swap_remove(place);
            } else if reason == CloseReason::ServerCrash {
                // It was taken for crashed, and went on.
                record.updated_at = at(now + 1);
                record.status = Status::Active;
                (record.end_time, record.duration, record.close_reason) = (None, None, None);
            } else {
                open.swap_remove(place);
            }
        }
        store.save(&batch).await.unwrap();
        if round % 7 == 6 {
            expire(&store, now - 20 * HOUR_MS, 8).await;
        }
        if round == 50 {
            store.close_crashed("node").await.unwrap();
            open.clear();
        }
        now += [0, 400, 61_000, 2 * HOUR_MS][choose(4) as usize];
        if choose(2) == 0 {
            store.advance(at(now), &table).await;
        }
        let records = all_records(&store).await;
        for hours in [1, 7, 24, 87_600] {
            let query = WindowQuery { hours, top: 4, now: at(now) };
            let told = store.statistics(query, &table).await.unwrap();
            let counted = counted(&records, query);
            assert_eq!(told.total, counted.total, "round {round}, {hours} h");
            assert_eq!(told.users, counted.users, "round {round}, {hours} h");
            assert_eq!(told.dests, counted.dests, "round {round}, {hours} h");
            let failures = told_failures(&store, query, &table).await;
            assert_eq!(failures, counted_failures(&records, query), "round {round}, {hours} h");
        }
        for _ in 0..10 {
            // Totals of all sessions of a time come from rollups and the rows at its ends.
            let mut bound = || {
                let millis = now - choose(70 * HOUR_MS as u64) as i64;
                let unit = [1, 60_000, HOUR_MS, 24 * HOUR_MS][choose(4) as usize];
                [None, Some(at(millis)), Some(at(millis / unit * unit))][choose(3) as usize]
            };
            let (start_after, mut start_before) = (bound(), bound());
            if let Some(after) = start_after.filter(|_| choose(4) == 0) {
                start_before = Some(at(after.as_millisecond() + choose(100_000) as i64));
            }
            let node = [None, Some("node".to_owned())][choose(2) as usize].clone();
            let not_node = [None, None, Some("node".to_owned())][choose(3) as usize].clone();
            let filter = Filter { start_after, start_before, node, not_node, ..Filter::default() };
            let page = store.history(&filter, Sort::default(), Paging::Page(0), 1).await.unwrap();
            let found = records.iter().filter(|record| filter.matches(record)).count();
            assert_eq!(page.total, found as u64, "round {round}, {filter:?}");
        }
        let wrong = store.wrong_rollups().await.unwrap();
        assert_eq!(wrong, WrongRollups::default(), "round {round}");
    }
}

async fn statistics_are_as_exact_where_the_minute_at_the_edge_is_too_full_to_be_read(store: Store) {
    // All but the emptiest minutes are too full then.
    statistics_equal_what_counting_the_records_gives(store.bound_edges(1)).await;
}

async fn usage_is_booked_in_the_hours_in_which_the_bytes_flowed(store: Store) {
    let table = nobody();
    let state = |hour: i64, sent: u64| Record {
        bytes_sent: sent,
        bytes_received: 2 * sent,
        updated_at: at(hour * HOUR_MS + 1000),
        ..active(1)
    };
    let other = Record { user: "bob".into(), updated_at: at(25 * HOUR_MS), ..ended(2, 2000) };
    store.save(&[state(0, 10)]).await.unwrap();
    store.save(&[state(1, 15)]).await.unwrap();
    store.save(&[state(1, 20), other]).await.unwrap();
    // Told again, and told late: neither counts twice.
    store.save(&[state(1, 20)]).await.unwrap();
    store.save(&[state(0, 10)]).await.unwrap();
    let last = Record {
        end_time: Some(at(50 * HOUR_MS)),
        duration: Some(Duration::from_secs(50 * 3600)),
        status: Status::Closed,
        close_reason: Some(CloseReason::ClientClosed),
        ..state(50, 100)
    };
    store.save(std::slice::from_ref(&last)).await.unwrap();
    let start = at(0).as_second();
    let usage = async |user, span, from: i64, to: i64| {
        let range = (start + from * 3600, start + to * 3600);
        let usage = store.usage(user, span, range, &table, at(90 * HOUR_MS)).await.unwrap();
        usage.into_iter().map(|part| ((part.0 - start) / 3600, part.1, part.2)).collect::<Vec<_>>()
    };
    assert_eq!(usage(Some("alice"), 3600, 0, 100).await, [(0, 10, 20), (1, 10, 20), (50, 80, 160)]);
    assert_eq!(usage(Some("alice"), 3600, 1, 50).await, [(1, 10, 20)]);
    assert_eq!(usage(Some("alice"), 86_400, 0, 100).await, [(0, 20, 40), (48, 80, 160)]);
    assert_eq!(usage(None, 86_400, 0, 48).await, [(0, 20, 40), (24, 20, 2)]);
    assert_eq!(usage(Some("nobody"), 3600, 0, 100).await, []);
    // Deleting the record takes nothing of it back; forgetting the hours does.
    store.delete(&[id(1)]).await.unwrap();
    assert_eq!(usage(Some("alice"), 86_400, 0, 100).await, [(0, 20, 40), (48, 80, 160)]);
    store.forget_usage(at(10 * HOUR_MS)).await.unwrap();
    assert_eq!(usage(Some("alice"), 86_400, 0, 100).await, [(48, 80, 160)]);
}

async fn a_session_of_three_days_shows_in_each_of_its_days(store: Store) {
    let table = nobody();
    let day = 86_400;
    let state = |hour: i64, sent: u64| Record {
        bytes_sent: sent,
        bytes_received: 0,
        updated_at: at(hour * HOUR_MS),
        ..active(1)
    };
    for (hour, sent) in [(1, 100), (20, 150), (30, 400), (60, 1000)] {
        store.save(&[state(hour, sent)]).await.unwrap();
    }
    let start = at(0).as_second();
    let range = (start, start + 3 * day);
    let usage = store.usage(Some("alice"), day, range, &table, at(70 * HOUR_MS)).await.unwrap();
    let days: Vec<_> = usage.iter().map(|part| ((part.0 - start) / day, part.1)).collect();
    assert_eq!(days, [(0, 150), (1, 250), (2, 600)]);
}

async fn a_walk_never_skips_or_repeats_while_a_writer_goes_on(store: Store) {
    // Many ends in the same millisecond, and sessions that run and end while the walk goes on.
    let old: Vec<Record> = (0..300).map(|n| ended(n, 2000 + (n / 25) as i64)).collect();
    store.save(&old).await.unwrap();
    store.save(&(300..350).map(active).collect::<Vec<_>>()).await.unwrap();
    let table = nobody();
    let writing = async {
        for number in 0..60 {
            let batch = [
                ended(1000 + number, 9000 + number as i64),
                ended(300 + number % 50, 9000 + number as i64),
                old[number as usize].clone(),
            ];
            store.save(&batch).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let walking = async {
        let mut seen = Vec::new();
        let mut behind = None;
        loop {
            let page = store.walk(&Filter::default(), behind, 7, &table).await.unwrap();
            seen.extend(page.records.iter().map(|record| record.session_id));
            match page.next {
                Some(next) => behind = Some(next),
                None => return seen,
            }
        }
    };
    let ((), seen) = tokio::join!(writing, walking);
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "no session twice");
    let found: Vec<_> =
        old.iter().rev().map(|record| record.session_id).filter(|id| seen.contains(id)).collect();
    assert_eq!(found.len(), 300, "no session left out");
}

async fn history_is_whole_while_ended_sessions_wait_for_the_store(store: Store) {
    let table = nobody();
    store.save(&(0..40).map(|n| ended(n, 2000 + n as i64)).collect::<Vec<_>>()).await.unwrap();
    for port in 0..25 {
        let opening = Opening {
            identity: Identity::Anonymous(if port % 5 == 0 { "bob" } else { "alice" }.into()),
            source: ([127, 0, 0, 1], 1000 + port).into(),
            target: None,
            command: None,
            acl: AclOutcome::Off,
        };
        let session = table.open(opening);
        session.count_sent(u64::from(port) * 17 % 23);
        session.finish(CloseReason::ClientClosed, None);
    }
    let mut all = everything(&store).await.records;
    all.extend(table.unsaved().iter().map(|session| session.snapshot()));
    let bobs = Filter { user: Some("bob".into()), ..Filter::default() };
    for filter in [Filter::default(), bobs] {
        for key in SortKey::ALL {
            for direction in [Direction::Ascending, Direction::Descending] {
                let sort = Sort { key, direction };
                let mut expected: Vec<Record> =
                    all.iter().filter(|record| filter.matches(record)).cloned().collect();
                expected.sort_by(|left, right| sort.compare(left, right));
                for (number, part) in expected.chunks(9).enumerate() {
                    let paging = Paging::Page(number as u64);
                    let page = store.whole_history(&filter, sort, paging, 9, &table).await;
                    let page = page.unwrap();
                    assert_eq!(page.total, expected.len() as u64, "{sort:?}");
                    assert_eq!(page.records, part, "{sort:?}, page {number}");
                }
            }
        }
        let mut walked = Vec::new();
        let mut behind = None;
        loop {
            let page = store.walk(&filter, behind, 9, &table).await.unwrap();
            walked.extend(page.records);
            match page.next {
                Some(next) => behind = Some(next),
                None => break,
            }
        }
        assert_eq!(walked.len(), all.iter().filter(|record| filter.matches(record)).count());
    }
}

/// Which sessions, in which state: what is stored is cut to milliseconds.
fn states(records: &[Record]) -> Vec<(SessionId, Option<CloseReason>)> {
    records.iter().map(|record| (record.session_id, record.close_reason)).collect()
}

/// Every page of a filter holds exactly these records, in their order, and says how many there are.
async fn pages_hold(store: &Store, filter: &Filter, table: &Table, mut expected: Vec<Record>) {
    for key in SortKey::ALL {
        for direction in [Direction::Ascending, Direction::Descending] {
            let sort = Sort { key, direction };
            expected.sort_by(|left, right| sort.compare(left, right));
            for number in 0..=expected.len() / 4 {
                let paging = Paging::Page(number as u64);
                let page = store.whole_history(filter, sort, paging, 4, table).await.unwrap();
                let part: Vec<Record> = expected.iter().skip(4 * number).take(4).cloned().collect();
                assert_eq!(states(&page.records), states(&part), "{sort:?}, page {number}");
                assert_eq!(page.total, expected.len() as u64, "{sort:?}, page {number}");
            }
        }
    }
}

async fn no_list_holds_a_former_state_of_what_has_ended_and_waits(store: Store) {
    let table = nobody();
    let old: Vec<Record> = (0..6).map(|n| ended(n, 2000 + n as i64)).collect();
    store.save(&old).await.unwrap();
    let running: Vec<_> = (0..30)
        .map(|port| {
            table.open(Opening {
                identity: Identity::Anonymous(if port % 5 == 0 { "bob" } else { "alice" }.into()),
                source: ([127, 0, 0, 1], 1000 + port).into(),
                target: None,
                command: None,
                acl: AclOutcome::Off,
            })
        })
        .collect();
    let known: Vec<Record> = running.iter().map(|session| session.snapshot()).collect();
    let book = |_: &mut OnDisk<'_>| running.iter().for_each(|session| session.book(0, 0));
    store.save_batch(&known, 0, book).await.unwrap();
    let mut rest = Vec::new();
    for (nth, session) in running.into_iter().enumerate() {
        match nth % 3 {
            0 => rest.push((known[nth].clone(), session)),
            _ => session.finish(CloseReason::ClientClosed, None),
        }
    }
    let active = Filter { status: Some(Status::Active), ..Filter::default() };
    pages_hold(&store, &active, &table, rest.iter().map(|(row, _)| row.clone()).collect()).await;
    for (_, session) in rest {
        session.finish(CloseReason::ClientClosed, None);
    }
    pages_hold(&store, &active, &table, Vec::new()).await;
    // As another node does that hears nothing of this one.
    assert_eq!(store.close_crashed("node").await.unwrap(), 30);
    let crashed = Filter { close_reason: Some(CloseReason::ServerCrash), ..Filter::default() };
    pages_hold(&store, &crashed, &table, Vec::new()).await;
    let whole: Vec<Record> =
        old.into_iter().chain(table.unsaved().iter().map(|one| one.snapshot())).collect();
    let bob = Filter { user: Some("bob".into()), ..Filter::default() };
    let bobs = whole.iter().filter(|record| bob.matches(record)).cloned().collect();
    pages_hold(&store, &bob, &table, bobs).await;
    let mut walked = Vec::new();
    let mut behind = None;
    loop {
        let page = store.walk(&Filter::default(), behind, 5, &table).await.unwrap();
        walked.extend(page.records);
        match page.next {
            Some(next) => behind = Some(next),
            None => break,
        }
    }
    let mut expected = whole.clone();
    expected.sort_by(|left, right| Sort::default().compare(left, right));
    assert_eq!(states(&walked), states(&expected));
    pages_hold(&store, &Filter::default(), &table, whole).await;
}

/// A SQLite store in a folder of its own, with the file's path.
async fn sqlite(folder: &TempDir) -> Store {
    let path = folder.path().join("deep/down/sessions.db");
    let (store, _) = SqliteStore::open(&support::options(&path, Durability::Full)).await.unwrap();
    store.into()
}
