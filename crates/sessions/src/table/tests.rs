//! The life of a session, told by the table that owns it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustsocks_proto::{Command, Host, Target};
use tokio::time::Instant;

use super::*;
use crate::ending::Ending;
use crate::session::{AclOutcome, Identity, Wire};

fn table(rules: Rules) -> Table {
    Table::new(Clock::system(), "node".into(), rules)
}

fn opening() -> Opening {
    Opening {
        identity: Identity::Authenticated("alice".into()),
        source: "127.0.0.1:4000".parse().unwrap(),
        target: Some(Target { host: Host::Ip("192.0.2.1".parse().unwrap()), port: 80 }),
        command: Some(Command::Connect),
        acl: AclOutcome::Allowed(Some("all".into())),
    }
}

fn drain(table: &Table) -> Vec<crate::Record> {
    let batch = table.outbox().take(usize::MAX);
    let records: Vec<_> = batch.iter().map(|session| session.snapshot()).collect();
    table.saved(batch.iter().filter(|session| session.has_ended()), |_| {});
    records
}

#[tokio::test(start_paused = true)]
async fn start_and_stop_within_one_batch_become_one_record() {
    let table = table(Rules::default());
    let session = table.open(opening());
    session.relaying();
    session.count_sent(10);
    session.count_received(20);
    tokio::time::advance(Duration::from_millis(1500)).await;
    session.finish(CloseReason::ClientClosed, None);

    let records = drain(&table);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.bytes_sent, record.bytes_received), (10, 20));
    assert_eq!((record.packets_sent, record.packets_received), (1, 1));
    assert_eq!(record.status, Status::Closed);
    assert_eq!(record.duration, Some(Duration::from_millis(1500)));
    let length = record.end_time.unwrap().duration_since(record.start_time);
    assert_eq!(length.as_millis(), 1500);
    assert_eq!(table.outbox().unsaved(), 0);
    assert!(table.get(record.session_id).is_none());
}

#[test]
fn a_session_that_changes_after_it_was_taken_is_queued_again() {
    let table = table(Rules::default());
    let session = table.open(opening());
    assert_eq!(drain(&table)[0].status, Status::Active);
    assert!(drain(&table).is_empty());
    session.finish(CloseReason::ConnectRefused, Some("os said no".into()));
    let record = drain(&table).remove(0);
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.close_detail.as_deref(), Some("os said no"));
}

#[test]
fn a_dropped_guard_ends_the_session_for_the_reason_it_was_stopped_for() {
    let table = table(Rules::default());
    let session = table.open(opening());
    session.relaying();
    let handle = table.get(session.id()).unwrap();
    assert!(handle.stop(CloseReason::AdminTerminated, Some("by root".into())));
    assert!(!handle.stop(CloseReason::IdleTimeout, None));
    drop(session);
    let record = drain(&table).remove(0);
    assert_eq!(record.close_reason, Some(CloseReason::AdminTerminated));
    assert_eq!(record.close_detail.as_deref(), Some("by root"));
    assert!(!handle.stop(CloseReason::AdminTerminated, None));
}

#[test]
fn whoever_sees_that_a_session_is_to_end_sees_the_detail_too() {
    let table = table(Rules::default());
    for _ in 0..500 {
        let session = table.open(opening());
        let handle = table.get(session.id()).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        std::thread::scope(|scope| {
            scope.spawn(|| handle.stop(CloseReason::AdminTerminated, Some("by root".into())));
            let ending = loop {
                if let Poll::Ready(ending) = session.poll_stopped(&mut context) {
                    break ending;
                }
            };
            assert_eq!(ending.detail.as_deref(), Some("by root"));
        });
    }
}

#[test]
fn a_panicking_task_still_leaves_one_record() {
    let table = table(Rules::default());
    let session = table.open(opening());
    let task = std::thread::spawn(move || {
        let _session = session;
        panic!("provoked");
    });
    assert!(task.join().is_err());
    assert_eq!(drain(&table)[0].close_reason, Some(CloseReason::RelayError));
    assert_eq!(table.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_wakes_the_sessions_task() {
    let table = table(Rules::default());
    let session = table.open(opening());
    let handle = table.get(session.id()).unwrap();
    let waiting = async { session.stopped().await };
    let stopping = async {
        tokio::task::yield_now().await;
        handle.stop(CloseReason::AclRevoked, None);
    };
    let (ending, ()) = tokio::join!(waiting, stopping);
    assert_eq!(ending, Ending::plain(CloseReason::AclRevoked));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_session_ends_after_the_idle_time_and_a_busy_one_does_not() {
    let idle = Some(Duration::from_secs(10));
    let table = table(Rules { idle, ..Rules::default() });
    let quiet = table.open(opening());
    let busy = table.open(opening());
    quiet.relaying();
    busy.relaying();
    for _ in 0..21 {
        tokio::time::advance(Duration::from_millis(500)).await;
        busy.count_sent(1);
        table.sweep(Instant::now());
    }
    assert_eq!(quiet.stopped().await.reason, CloseReason::IdleTimeout);
    assert!(busy.stop(CloseReason::AdminTerminated, None), "the busy one was left alone");
}

#[tokio::test(start_paused = true)]
async fn a_large_packet_that_is_handed_over_in_pieces_is_not_quiet() {
    let limit = Some(Duration::from_secs(2));
    let table = table(Rules { idle: limit, half_closed: limit, ..Rules::default() });
    let session = table.open(opening());
    session.relaying();
    session.half_closed();
    session.count_received_part(1000, 1);
    for _ in 0..10 {
        tokio::time::advance(Duration::from_millis(1500)).await;
        session.count_received_part(1000, 0);
        table.sweep(Instant::now());
    }
    assert!(session.stop(CloseReason::AdminTerminated, None), "it was left alone");
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_session_has_its_own_limit() {
    let table = table(Rules { half_closed: Some(Duration::from_secs(2)), ..Rules::default() });
    let session = table.open(opening());
    session.relaying();
    tokio::time::advance(Duration::from_secs(60)).await;
    table.sweep(Instant::now());
    session.half_closed();
    tokio::time::advance(Duration::from_millis(1900)).await;
    table.sweep(Instant::now());
    let early = tokio::time::timeout(Duration::ZERO, session.stopped()).await;
    assert!(early.is_err());
    tokio::time::advance(Duration::from_millis(200)).await;
    table.sweep(Instant::now());
    assert_eq!(session.stopped().await.reason, CloseReason::HalfClosedTimeout);
}

#[tokio::test(start_paused = true)]
async fn totals_move_every_n_packets_and_at_the_sweep() {
    let table = table(Rules { publish_every: 3, ..Rules::default() });
    let session = table.open(opening());
    session.count_sent(1);
    session.count_sent(1);
    assert_eq!(table.tally().sent.get(), 0);
    session.count_sent(1);
    assert_eq!(table.tally().sent.get(), 3);
    session.count_received(7);
    assert_eq!(table.tally().received.get(), 0);
    table.sweep(Instant::now());
    assert_eq!(table.tally().received.get(), 7);
    let users = table.tally().users();
    assert_eq!(users[0].1.sent.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_interim_state_is_queued_when_something_changed() {
    let table = table(Rules { interim: Duration::from_secs(5), ..Rules::default() });
    let session = table.open(opening());
    drain(&table);
    session.count_sent(9);
    tokio::time::advance(Duration::from_secs(4)).await;
    table.sweep(Instant::now());
    assert!(table.outbox().is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    table.sweep(Instant::now());
    assert_eq!(drain(&table)[0].bytes_sent, 9);
    tokio::time::advance(Duration::from_secs(60)).await;
    table.sweep(Instant::now());
    assert!(table.outbox().is_empty(), "nothing changed");
}

#[test]
fn the_record_shows_where_the_session_really_went() {
    let table = table(Rules::default());
    let name = rustsocks_proto::HostName::new("example.com").unwrap();
    let target = Some(Target { host: Host::Name(name), port: 443 });
    let session = table.open(Opening { target, ..opening() });
    assert_eq!(&*session.snapshot().dest_ip, "example.com");
    session.wired(Wire {
        dest: "[2001:db8::1]:443".parse().unwrap(),
        host: None,
        egress: "[2001:db8::2]:5000".parse().unwrap(),
        connect: Some(Duration::from_millis(3)),
    });
    let record = session.snapshot();
    assert_eq!(&*record.dest_ip, "2001:db8::1");
    assert_eq!(record.dest_host.as_deref(), Some("example.com"));
    assert_eq!(record.egress_port, Some(5000));
    assert_eq!(record.dest(), "example.com:443");
}

#[test]
fn published_totals_equal_the_counters_whoever_publishes() {
    let table = table(Rules { publish_every: 1, ..Rules::default() });
    let session = table.open(opening());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                table.sweep(Instant::now());
            }
        });
        for _ in 0..100_000 {
            session.count_sent(3);
        }
        stop.store(true, Relaxed);
    });
    session.finish(CloseReason::ClientClosed, None);
    assert_eq!(table.tally().sent.get(), 300_000);
}

#[test]
fn undone_bytes_leave_the_record_and_in_the_end_the_totals() {
    let table = table(Rules { publish_every: 1, ..Rules::default() });
    let session = table.open(opening());
    session.count_received(100);
    session.undo_received(40);
    session.finish(CloseReason::AdminTerminated, None);
    assert_eq!(drain(&table)[0].bytes_received, 60);
    let next = table.open(opening());
    next.count_received(50);
    assert_eq!(table.tally().received.get(), 110);
}

#[test]
fn without_accounting_nothing_is_queued_or_counted() {
    let table = table(Rules { accounting: false, ..Rules::default() });
    let session = table.open(opening());
    assert_eq!(table.active(), 1);
    session.count_sent(3);
    session.finish(CloseReason::ClientClosed, None);
    assert_eq!(table.active(), 0);
    assert!(table.outbox().is_empty());
    assert_eq!(table.tally().sessions.load(Relaxed), 0);
    assert!(table.running().is_empty() && table.unsaved().is_empty());
}

#[test]
fn a_full_table_says_so_until_records_are_saved() {
    let table = table(Rules { max_unsaved: 2, ..Rules::default() });
    let sessions = [table.open(opening()), table.open(opening())];
    assert!(table.is_full());
    drop(sessions);
    assert!(table.is_full());
    drain(&table);
    assert!(!table.is_full());
}

#[test]
fn a_journal_that_takes_nothing_does_not_fill_memory() {
    let table = table(Rules { max_unsaved: 2, ..Rules::default() });
    table.outbox().attach_journal(std::thread::current());
    let running = [table.open(opening()), table.open(opening())];
    table.open(opening());
    assert!(!table.is_full());
    table.open(opening());
    assert!(table.is_full());
    drop(running);
}

#[test]
fn a_live_session_stays_small() {
    assert!(size_of::<Session>() + size_of::<Arc<Session>>() < 1024, "{}", size_of::<Session>());
}
