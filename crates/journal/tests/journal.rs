//! What the journal promises, each promise made to happen on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use rustsocks_journal::{
    Journal, JournalError, JournalNotice, JournalOptions, Report, WhenFull, Writing, list,
};
use rustsocks_sessions::{Clock, CloseReason, Record, Rules, SessionId, Status};
use support::{Fragile, open, replay, settle, start, table, until};
use tempfile::TempDir;
use tokio::time::Instant;

fn options(folder: &TempDir) -> JournalOptions {
    JournalOptions::new(folder.path().join("journal"))
}

/// Ends so many sessions, each with its own number of bytes.
fn end_some(table: &rustsocks_sessions::Table, count: u64) {
    for number in 0..count {
        let session = open(table);
        session.count_sent(number);
        session.finish(CloseReason::ClientClosed, Some("bye".into()));
    }
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.session_id);
    records
}

/// Records as the journal keeps them: times in microseconds.
fn cut(record: &Record) -> Record {
    let time =
        |time: jiff::Timestamp| jiff::Timestamp::from_microsecond(time.as_microsecond()).unwrap();
    let duration =
        |duration: Duration| Duration::from_micros(u64::try_from(duration.as_micros()).unwrap());
    Record {
        start_time: time(record.start_time),
        end_time: record.end_time.map(time),
        updated_at: time(record.updated_at),
        duration: record.duration.map(duration),
        ..record.clone()
    }
}

#[tokio::test]
async fn what_ended_is_on_disk_milliseconds_later_and_reads_back_whole() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(options(&folder), &table);
    end_some(&table, 300);
    table.outbox().journaled().await;
    let (records, report) = replay(journal.folder());
    let wanted: Vec<Record> =
        table.unsaved().iter().map(|session| cut(&session.snapshot())).collect();
    for (record, wanted) in sorted(records).iter().zip(sorted(wanted)) {
        assert_eq!(*record, wanted);
    }
    assert_eq!((report.ended, report.crashed, report.skipped), (300, 0, 0));
}

#[tokio::test]
async fn an_open_session_comes_back_as_crashed_with_its_newest_counters() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(options(&folder), &table);
    let (session, quiet) = (open(&table), open(&table));
    table.outbox().journaled().await;
    session.count_sent(70);
    session.count_received(900);
    table.sweep(Instant::now());
    let before = table.clock().now().wall;
    table.outbox().journaled().await;
    // The sign of life may come a moment later than the counters.
    until("a sign of life", || {
        let (records, _) = replay(journal.folder());
        let alive = |record: &Record| record.end_time.is_some_and(|end| end >= before);
        records.len() == 2 && records.iter().all(alive)
    })
    .await;
    let (records, report) = replay(journal.folder());
    assert_eq!((report.ended, report.crashed), (0, 2));
    for record in &records {
        assert_eq!(record.status, Status::Failed);
        assert_eq!(record.close_reason, Some(CloseReason::ServerCrash));
        assert!(record.end_time.unwrap() <= table.clock().now().wall, "never later than now");
    }
    let find = |id| records.iter().find(|record| record.session_id == id).unwrap();
    let busy = find(session.id());
    assert_eq!((busy.bytes_sent, busy.bytes_received), (70, 900));
    assert_eq!(find(quiet.id()).bytes_sent, 0);
}

#[tokio::test]
async fn a_journal_cut_at_any_byte_loses_only_the_frame_that_was_cut() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(options(&folder), &table);
    end_some(&table, 20);
    let _open = open(&table);
    table.outbox().journaled().await;
    let segment = list(journal.folder()).unwrap().pop().unwrap();
    let bytes = std::fs::read(&segment.path).unwrap();
    let mut last = 0;
    for length in 0..=bytes.len() {
        let mut replay = rustsocks_journal::Replay::default();
        let found = replay.segment(&bytes[..length]).unwrap().len();
        let (crashed, report) = replay.finish();
        assert!(found >= last && found <= last + 1, "{found} after {last} at {length}");
        assert!(crashed.len() <= 1);
        assert!(report.skipped < 400, "more than one frame at {length}: {report:?}");
        assert_eq!(report.gaps, 0);
        last = found;
    }
    assert_eq!(last, 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_cost_the_frames_they_hit_and_are_told(
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 1..12)
    ) {
        use std::sync::OnceLock;
        static WRITTEN: OnceLock<(Vec<u8>, Vec<Record>)> = OnceLock::new();
        let (bytes, wanted) = WRITTEN.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (folder, table) = (TempDir::new().unwrap(), table());
                let (journal, _) = start(options(&folder), &table);
                end_some(&table, 200);
                table.outbox().journaled().await;
                let segment = list(journal.folder()).unwrap().pop().unwrap();
                (std::fs::read(segment.path).unwrap(), replay(journal.folder()).0)
            })
        });
        let mut damaged = bytes.clone();
        for (place, mask) in &hits {
            damaged[place.index(bytes.len())] ^= mask;
        }
        let mut replay = rustsocks_journal::Replay::default();
        // A flip within the version's own frame is caught by its checksum.
        let mut found = replay.segment(&damaged).unwrap();
        let (crashed, report) = replay.finish();
        found.extend(crashed);
        prop_assert!(found.len() + hits.len() >= wanted.len());
        // Where the final state was hit, an earlier one may be left.
        let as_crashed = |record: &Record| {
            record.close_reason == Some(CloseReason::ServerCrash)
                && wanted.iter().any(|known| known.session_id == record.session_id)
        };
        let is_known = |record: &Record| wanted.contains(record) || as_crashed(record);
        prop_assert!(found.iter().all(is_known), "a wrong record");
        if found.len() < wanted.len() {
            prop_assert!(report.skipped > 0, "a silent loss: {report:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_left_on_disk_once_the_store_has_everything() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(options(&folder), &table);
    end_some(&table, 50);
    table.outbox().journaled().await;
    assert_eq!(settle(&table, &journal).len(), 50);
    assert!(journal.close());
    assert_eq!(list(journal.folder()).unwrap(), []);
}

#[tokio::test]
async fn what_the_store_lacks_at_the_stop_is_there_at_the_next_start() {
    let (folder, first) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(options(&folder), &first);
    end_some(&first, 50);
    assert!(journal.close());
    drop(journal);
    let second = table();
    let (journal, _) = start(options(&folder), &second);
    assert_eq!(journal.older().len(), 1);
    let (records, report) = replay(journal.folder());
    assert_eq!((records.len(), report.ended, report.crashed), (50, 50, 0));
    journal.forget_older(&journal.older());
    assert!(journal.close());
    assert_eq!(list(journal.folder()).unwrap(), []);
}

#[tokio::test]
async fn the_stop_says_whether_what_is_on_disk_alone_is_there_for_good() {
    for refuses in [false, true] {
        let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
        let few =
            JournalOptions { keep_in_memory: 3, disk: Arc::new(disk.clone()), ..options(&folder) };
        let (journal, _) = start(few, &table);
        for count in [10, 2] {
            end_some(&table, count);
            table.outbox().journaled().await;
        }
        settle(&table, &journal);
        assert_eq!((table.waiting(), table.outbox().spilled()), (0, table.outbox().unsaved()));
        assert!(table.outbox().spilled() > 0);
        disk.refuse_to_sync(refuses);
        assert_eq!(journal.close(), !refuses);
    }
}

#[tokio::test]
async fn a_session_that_outlives_the_journal_is_told_and_comes_back_as_crashed() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(options(&folder), &table);
    let session = open(&table);
    table.outbox().journaled().await;
    assert!(!journal.close(), "how it ends is not there");
    let (records, _) = replay(journal.folder());
    assert_eq!((records.len(), records[0].session_id), (1, session.id()));
}

#[tokio::test]
async fn a_disk_that_refused_a_moment_ago_is_tried_once_more_at_the_stop() {
    let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
    let (journal, _) =
        start(JournalOptions { disk: Arc::new(disk.clone()), ..options(&folder) }, &table);
    disk.refuse(true);
    end_some(&table, 10);
    table.outbox().journaled().await;
    assert!(matches!(journal.writing(), Writing::Failed(_)));
    disk.refuse(false);
    assert!(journal.close());
    assert_eq!(replay(journal.folder()).1.ended, 10);
}

#[tokio::test]
async fn what_ended_in_a_segment_that_is_deleted_is_not_taken_for_crashed() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let small = JournalOptions { max_bytes: 1 << 20, ..options(&folder) };
    let (journal, _) = start(small, &table);
    let (ends, stays) = (open(&table), open(&table));
    table.outbox().journaled().await;
    // As it is kept where it cannot be read while later ones are deleted.
    let first = list(journal.folder()).unwrap().remove(0);
    let kept = std::fs::read(&first.path).unwrap();
    let ends_id = ends.id();
    let mut end = Some(ends);
    until("later segments alone", || {
        end_some(&table, 100);
        settle(&table, &journal);
        let left = list(journal.folder()).unwrap();
        if left.iter().all(|segment| segment.number > first.number)
            && let Some(session) = end.take()
        {
            session.finish(CloseReason::ClientClosed, None);
        }
        end.is_none() && left.iter().all(|segment| segment.number > first.number + 2)
    })
    .await;
    // Behind what the newest segment began with.
    end_some(&table, 1);
    table.outbox().journaled().await;
    let mut replay = rustsocks_journal::Replay::default();
    let mut records = replay.segment(&kept).unwrap();
    replay.note_missing();
    for segment in list(journal.folder()).unwrap() {
        records.extend(replay.segment(&std::fs::read(segment.path).unwrap()).unwrap());
    }
    let (crashed, report) = replay.finish();
    assert!(records.iter().all(|record| record.session_id != ends_id), "it is in the store");
    let crashed: Vec<SessionId> = crashed.iter().map(|record| record.session_id).collect();
    assert_eq!((crashed, report.crashed), (vec![stays.id()], 1));
}

#[tokio::test]
async fn segments_are_deleted_while_it_runs_and_open_sessions_are_carried_over() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let small = JournalOptions { max_bytes: 1 << 20, ..options(&folder) };
    let (journal, told) = start(small, &table);
    let session = open(&table);
    session.count_sent(5);
    for _ in 0..120 {
        end_some(&table, 100);
        table.outbox().journaled().await;
        settle(&table, &journal);
    }
    // Twelve thousand records are more than the bound.
    assert!(journal.written() > 1 << 20, "{}", journal.written());
    until("a journal cut back", || {
        journal.tidy();
        journal.bytes() < 300_000
    })
    .await;
    assert_eq!(*told.lock().unwrap(), []);
    let (records, _) = replay(journal.folder());
    let mine: Vec<&Record> =
        records.iter().filter(|record| record.session_id == session.id()).collect();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].close_reason, Some(CloseReason::ServerCrash));
    assert_eq!(table.outbox().lost(), 0);
}

#[tokio::test]
async fn while_the_store_is_gone_memory_is_bounded_and_everything_drains_later() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(JournalOptions { keep_in_memory: 100, ..options(&folder) }, &table);
    let mut running = None;
    for _ in 0..50 {
        end_some(&table, 100);
        table.outbox().journaled().await;
        if table.outbox().spilled() > 0 {
            running.get_or_insert_with(|| open(&table));
        }
    }
    assert!(table.waiting() <= 300, "{} wait in memory", table.waiting());
    assert!(table.outbox().len() <= 300, "{} are queued", table.outbox().len());
    assert_eq!(table.outbox().unsaved(), 5001);
    let mut saved: Vec<Record> = settle(&table, &journal);
    while let Some((segment, finals)) = journal.next_spilled().await.unwrap() {
        let found = journal.reader().read(segment, &finals.places).unwrap();
        assert_eq!(found.as_ref(), Some(&finals.records), "each is where its place says");
        journal.drained(segment, finals.records.len());
        saved.extend(finals.records);
    }
    let ids: HashSet<_> = saved.iter().map(|record| record.session_id).collect();
    assert_eq!(ids.len(), 5000);
    assert_eq!(table.outbox().unsaved(), 1);
    assert_eq!((table.outbox().spilled(), table.outbox().lost()), (0, 0));
    // The session that runs was held back from the store, and comes to it now.
    until("the running session", || table.outbox().len() == 1).await;
    // From here on sessions stay in memory again.
    end_some(&table, 10);
    table.outbox().journaled().await;
    assert_eq!(settle(&table, &journal).len(), 10);
    drop(running);
}

#[tokio::test]
async fn the_journal_answers_while_somebody_hears_of_a_session_that_leaves_memory() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let (journal, _) = start(JournalOptions { keep_in_memory: 3, ..options(&folder) }, &table);
    let (asked, answers) = std::sync::mpsc::channel();
    let asking = journal.clone();
    table.on_spill(move |_, remove| {
        let here = remove();
        let (settled, answer) = std::sync::mpsc::channel();
        let journal = asking.clone();
        // As the recorder does, which may hold at this moment what is wanted here.
        std::thread::spawn(move || {
            journal.settle(u64::MAX);
            let _nobody_waits = settled.send(());
        });
        asked.send(answer.recv_timeout(Duration::from_secs(5)).is_ok()).unwrap();
        here
    });
    end_some(&table, 10);
    table.outbox().journaled().await;
    end_some(&table, 1);
    table.outbox().journaled().await;
    let answers: Vec<bool> = answers.try_iter().collect();
    assert!(!answers.is_empty() && !answers.contains(&false), "{answers:?}");
    assert_eq!(table.outbox().spilled(), answers.len());
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_once_and_nothing_is_lost_when_it_takes_again() {
    let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
    let (journal, told) =
        start(JournalOptions { disk: Arc::new(disk.clone()), ..options(&folder) }, &table);
    let _running = open(&table);
    end_some(&table, 10);
    table.outbox().journaled().await;
    disk.refuse(true);
    end_some(&table, 10);
    table.outbox().journaled().await;
    end_some(&table, 10);
    table.outbox().journaled().await;
    assert!(matches!(journal.writing(), Writing::Failed(_)));
    assert!(!table.is_full(), "service goes on");
    disk.refuse(false);
    until("the journal to be written again", || journal.writing() == Writing::Ok).await;
    let (records, report) = replay(journal.folder());
    let ids: HashSet<_> = records.iter().map(|record| record.session_id).collect();
    assert_eq!((ids.len(), report.crashed), (31, 1));
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(matches!(told[0], JournalNotice::Stopped(Writing::Failed(_))));
    assert_eq!(told[1], JournalNotice::Resumed);
}

/// Takes everything that the store lacks, in memory and on disk, as the recorder does.
async fn settle_all(table: &rustsocks_sessions::Table, journal: &Journal) -> HashSet<SessionId> {
    let mut saved = settle(table, journal);
    while let Some((segment, finals)) = journal.next_spilled().await.unwrap() {
        journal.drained(segment, finals.records.len());
        saved.extend(finals.records);
    }
    saved.into_iter().map(|record| record.session_id).collect()
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_told_and_tried_again() {
    let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
    disk.refuse(true);
    let (journal, told) =
        start(JournalOptions { disk: Arc::new(disk.clone()), ..options(&folder) }, &table);
    until("the failure", || matches!(journal.writing(), Writing::Failed(_))).await;
    end_some(&table, 10);
    table.outbox().journaled().await;
    assert_eq!(settle(&table, &journal).len(), 10);
    end_some(&table, 10);
    table.outbox().journaled().await;
    disk.refuse(false);
    until("the journal to be written", || journal.writing() == Writing::Ok).await;
    assert_eq!(replay(journal.folder()).1.ended, 10);
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_disk_that_refuses_while_sessions_are_on_disk_alone_keeps_nothing_from_the_store() {
    let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
    let few =
        JournalOptions { keep_in_memory: 3, disk: Arc::new(disk.clone()), ..options(&folder) };
    let (journal, _) = start(few, &table);
    end_some(&table, 10);
    table.outbox().journaled().await;
    end_some(&table, 2);
    table.outbox().journaled().await;
    assert!(table.outbox().spilled() > 0);
    disk.refuse(true);
    // The first of these is lost: neither journal nor memory takes it while the store is gone.
    end_some(&table, 1);
    table.outbox().journaled().await;
    assert!(matches!(journal.writing(), Writing::Failed(_)));
    let lost = usize::try_from(table.outbox().lost()).unwrap();
    let mut saved = settle_all(&table, &journal).await;
    end_some(&table, 2);
    table.outbox().journaled().await;
    saved.extend(settle_all(&table, &journal).await);
    assert_eq!((saved.len(), table.outbox().unsaved()), (15 - lost, 0));
}

#[tokio::test]
async fn what_ends_while_the_journal_is_full_reaches_the_store_and_leaves_the_journal() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let tiny = JournalOptions {
        max_bytes: 20_000,
        keep_in_memory: 10,
        when_full: WhenFull::Refuse,
        ..options(&folder)
    };
    let (journal, _) = start(tiny, &table);
    let mut count = 0;
    while journal.writing() == Writing::Ok {
        end_some(&table, 20);
        table.outbox().journaled().await;
        count += 20;
    }
    assert!(table.outbox().spilled() > 0);
    end_some(&table, 20);
    count += 20;
    table.outbox().journaled().await;
    let mut saved = settle_all(&table, &journal).await;
    until("room in the journal", || journal.writing() == Writing::Ok).await;
    saved.extend(settle_all(&table, &journal).await);
    assert_eq!((saved.len(), table.outbox().unsaved(), table.outbox().lost()), (count, 0, 0));
    assert!(journal.close());
    assert_eq!(list(journal.folder()).unwrap(), []);
}

#[tokio::test]
async fn a_full_journal_counts_what_is_lost_beyond_memory() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let tiny = JournalOptions { max_bytes: 20_000, keep_in_memory: 100, ..options(&folder) };
    let (journal, told) = start(tiny, &table);
    for _ in 0..10 {
        end_some(&table, 100);
        table.outbox().journaled().await;
    }
    assert_eq!(journal.writing(), Writing::Full);
    assert!(journal.bytes() <= 20_000);
    let outbox = table.outbox();
    assert!(outbox.lost() > 0);
    assert!(table.waiting() <= 300, "{}", table.waiting());
    assert_eq!(outbox.unsaved() as u64 + outbox.lost(), 1000, "each is accounted for");
    assert!(told.lock().unwrap().contains(&JournalNotice::Losing));
}

#[tokio::test]
async fn a_full_journal_turns_clients_away_where_that_is_wanted() {
    let (folder, table) = (TempDir::new().unwrap(), table());
    let tiny = JournalOptions {
        max_bytes: 20_000,
        keep_in_memory: 10_000,
        when_full: WhenFull::Refuse,
        ..options(&folder)
    };
    let (journal, _) = start(tiny, &table);
    assert!(!table.is_full());
    end_some(&table, 200);
    table.outbox().journaled().await;
    assert!(table.is_full());
    assert_eq!(table.outbox().lost(), 0);
    settle(&table, &journal);
    until("room in the journal", || !table.is_full()).await;
}

#[tokio::test]
async fn a_journal_full_of_what_former_runs_left_turns_clients_away_until_that_is_saved() {
    let folder = TempDir::new().unwrap();
    let first = table();
    let (journal, _) = start(options(&folder), &first);
    end_some(&first, 200);
    assert!(journal.close());
    drop(journal);
    let table = table();
    let tiny =
        JournalOptions { max_bytes: 20_000, when_full: WhenFull::Refuse, ..options(&folder) };
    let (journal, told) = start(tiny, &table);
    assert!(journal.bytes() > 20_000, "{}", journal.bytes());
    until("clients turned away", || table.is_full()).await;
    let failures = journal.failures();
    until("a second try", || journal.failures() > failures).await;
    assert!(table.is_full());
    let has_resumed = || told.lock().unwrap().contains(&JournalNotice::Resumed);
    assert!(!has_resumed());
    journal.forget_older(&journal.older());
    until("room in the journal", || !table.is_full()).await;
    assert!(has_resumed());
}

#[tokio::test]
async fn a_power_loss_takes_nothing_that_was_synced() {
    let (folder, lost, table) = (TempDir::new().unwrap(), TempDir::new().unwrap(), table());
    let disk = Fragile::default();
    let (journal, _) =
        start(JournalOptions { disk: Arc::new(disk.clone()), ..options(&folder) }, &table);
    end_some(&table, 100);
    table.outbox().journaled().await;
    let written = journal.written();
    until("the sync", || disk.synced() == written).await;
    disk.refuse(true);
    end_some(&table, 100);
    table.outbox().journaled().await;
    disk.lose_power(lost.path());
    let (records, report) = replay(lost.path());
    assert_eq!((records.len(), report.ended, report.gaps), (100, 100, 0));
}

#[tokio::test]
async fn what_a_disk_did_not_sync_is_written_again_and_survives_a_power_loss() {
    let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
    let (journal, _) =
        start(JournalOptions { disk: Arc::new(disk.clone()), ..options(&folder) }, &table);
    end_some(&table, 100);
    table.outbox().journaled().await;
    let written = journal.written();
    until("the sync", || disk.synced() == written).await;
    disk.refuse_to_sync(true);
    end_some(&table, 100);
    table.outbox().journaled().await;
    until("some failures", || journal.failures() >= 4).await;
    assert!(journal.segments() <= 3, "the tries do not pile up: {}", journal.segments());
    disk.refuse_to_sync(false);
    until("the journal to be written again", || journal.writing() == Writing::Ok).await;
    end_some(&table, 1);
    table.outbox().journaled().await;
    until("what ended on the disk for good", || {
        let lost = TempDir::new().unwrap();
        disk.lose_power(lost.path());
        let records = replay(lost.path()).0;
        let ids: HashSet<_> = records.iter().map(|record| record.session_id).collect();
        ids.len() == 201
    })
    .await;
    assert_eq!(settle(&table, &journal).len(), 201);
    assert!(journal.close());
    assert_eq!(list(journal.folder()).unwrap(), []);
}

#[tokio::test]
async fn a_disk_that_takes_states_and_does_not_come_back_from_a_sync_is_told() {
    let (folder, table, disk) = (TempDir::new().unwrap(), table(), Fragile::default());
    let (journal, told) =
        start(JournalOptions { disk: Arc::new(disk.clone()), ..options(&folder) }, &table);
    disk.hang_in_sync(true);
    end_some(&table, 1);
    table.outbox().journaled().await;
    until("a sync that hangs", || journal.is_stalled()).await;
    assert_eq!(*told.lock().unwrap(), [], "to ask is not to tell");
    assert!(matches!(journal.writing(), Writing::Failed(_)));
    journal.tell_stalls();
    disk.hang_in_sync(false);
    until("an answer", || !journal.is_stalled()).await;
    journal.tell_stalls();
    let told = told.lock().unwrap();
    assert!(matches!(
        told[..],
        [JournalNotice::Stopped(Writing::Failed(_)), JournalNotice::Resumed]
    ));
}

#[tokio::test]
async fn a_folder_in_use_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let (_journal, _) = start(options(&folder), &table());
    let error = Journal::open(options(&folder), table(), |_| {}).unwrap_err();
    assert!(matches!(&error, JournalError::InUse { holder, .. }
        if *holder == std::process::id().to_string()));
    assert!(error.to_string().contains("journal_dir"), "{error}");
}

/// A wall clock, how far it was set forward in seconds, and a table that goes by it.
fn adjustable() -> (Arc<AtomicI64>, rustsocks_sessions::Table) {
    let (forward, system) = (Arc::new(AtomicI64::new(0)), Clock::system());
    let set = Arc::clone(&forward);
    let wall = move || {
        let step = jiff::SignedDuration::from_secs(set.load(Ordering::SeqCst));
        system.now().wall.checked_add(step).unwrap()
    };
    (
        forward,
        rustsocks_sessions::Table::new(Clock::from_wall(wall), "node".into(), Rules::default()),
    )
}

#[tokio::test]
async fn a_crashed_session_lasted_as_long_as_it_did_whatever_the_wall_clock_was_set_to() {
    const HOUR: i64 = 3600;
    for step in [-HOUR, 300_000 * HOUR] {
        let (folder, (forward, table)) = (TempDir::new().unwrap(), adjustable());
        let (journal, _) = start(options(&folder), &table);
        let first = open(&table);
        table.sweep(Instant::now());
        table.outbox().journaled().await;
        forward.store(step, Ordering::SeqCst);
        let second = open(&table);
        table.outbox().journaled().await;
        // The sign of life comes after what was written so far.
        let before = Instant::now();
        let length = |session: &rustsocks_sessions::Session| before - session.started().mono;
        let (least, least_second) = (length(&first), length(&second));
        let records = || {
            table.sweep(Instant::now());
            replay(journal.folder()).0
        };
        until("a sign of life", || {
            let lasted = |id, least: Duration| {
                let records = records();
                let record = records.iter().find(|record| record.session_id == id);
                record
                    .is_some_and(|record| record.duration.unwrap().as_micros() >= least.as_micros())
            };
            lasted(first.id(), least) && lasted(second.id(), least_second)
        })
        .await;
        for session in [&first, &second] {
            let records = records();
            let record = records.iter().find(|record| record.session_id == session.id()).unwrap();
            let most = session.started().mono.elapsed();
            assert!(record.duration.unwrap() <= most, "{step}: {:?}", record.duration);
            let end = session.started().wall.checked_add(most).unwrap();
            assert!(record.end_time.unwrap() <= end, "{step}: {:?}", record.end_time);
        }
    }
}

#[tokio::test]
async fn a_segment_of_the_first_version_is_replayed() {
    let mut replay = rustsocks_journal::Replay::default();
    let ended = replay.segment(include_bytes!("support/version-1.journal")).unwrap();
    let (crashed, report) = replay.finish();
    assert_eq!((report.ended, report.crashed, report.skipped), (3, 1, 0));
    assert_eq!(ended.iter().map(|record| record.bytes_sent).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(
        (crashed[0].bytes_sent, crashed[0].duration),
        (70, Some(Duration::from_micros(604_487)))
    );
}

#[tokio::test]
async fn a_segment_of_another_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let mut replay = rustsocks_journal::Replay::default();
    // A frame whose version is 99, put together by hand.
    let payload = [0, 99, 0, 0];
    let mut bytes = vec![0xF7, 0x52, 0x53, 0xA9];
    bytes.extend(4_u32.to_le_bytes());
    bytes.extend(crc32fast::hash(&payload).to_le_bytes());
    bytes.extend(payload);
    assert_eq!(replay.segment(&bytes), None);
    let (_, report) = replay.finish();
    assert_eq!(report, Report { unknown: 1, ..Report::default() });
    drop(folder);
}
