//! Archive files: readable to their end by anybody's zstd, whatever happened to the last write.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustsocks_sessions::Clock;
use rustsocks_storage::{Archive, ArchiveFormat, Durability, Retention, SqliteStore, Store};
use support::{at, ended, id};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const DAY: &str = "2026-01-01";

fn archive(folder: &TempDir, format: ArchiveFormat) -> Archive {
    Archive::new(folder.path().to_owned(), format)
}

fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap()
}

#[test]
fn a_file_that_nothing_could_be_written_to_begins_with_the_names_of_columns() {
    let folder = TempDir::new().unwrap();
    let archive = archive(&folder, ArchiveFormat::Csv);
    // As a full disk leaves it.
    std::fs::write(archive.path(DAY), "").unwrap();
    archive.append(&[ended(1, 2000)]).unwrap();
    archive.append(&[ended(2, 2000)]).unwrap();
    let text = text(&archive.path(DAY));
    assert!(text.starts_with("session_id,user,"), "{text}");
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn what_a_run_left_half_written_is_moved_out_of_the_way_of_the_next() {
    let folder = TempDir::new().unwrap();
    let lost = archive(&folder, ArchiveFormat::Ndjson);
    let path = lost.path(DAY);
    lost.append(&[ended(1, 2000)]).unwrap();
    let first = std::fs::read(&path).unwrap();
    lost.append(&[ended(2, 2000)]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let second = &whole[first.len()..];
    let torn = [&second[..1], &second[..7], &second[..second.len() - 1], &[0; 4096][..]];
    for (nth, tail) in torn.into_iter().enumerate() {
        std::fs::write(&path, [&first, tail].concat()).unwrap();
        archive(&folder, ArchiveFormat::Ndjson).append(&[ended(3, 2000)]).unwrap();
        let text = text(&path);
        let ids: Vec<bool> = [1, 2, 3].map(|nth| text.contains(&id(nth).to_string())).into();
        assert_eq!(ids, [true, false, true], "{text}");
        let mut aside = path.clone().into_os_string();
        aside.push(if nth == 0 { ".torn".to_owned() } else { format!(".torn.{}", nth + 1) });
        assert_eq!(std::fs::read(aside).unwrap(), tail);
    }
    // A whole one is left as it is.
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    archive(&folder, ArchiveFormat::Ndjson).append(&[ended(4, 2000)]).unwrap();
    assert_eq!(text(&path).lines().count(), 3);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
}

#[tokio::test]
async fn what_is_archived_when_the_stop_comes_is_deleted_too() {
    let folder = TempDir::new().unwrap();
    let options = support::options(&folder.path().join("sessions.db"), Durability::Full);
    let store: Store = SqliteStore::open(&options).await.unwrap().0.into();
    let store = Arc::new(store);
    store.save(&[ended(1, 2000), ended(2, 3000)]).await.unwrap();
    let archive = archive(&folder, ArchiveFormat::Csv);
    let retention = Retention {
        keep: Some(Duration::from_secs(1)),
        interval: Duration::from_secs(3600),
        archive: Some(archive.clone()),
    };
    let stop = CancellationToken::new();
    let clock = Clock::from_wall(|| at(1_000_000));
    let mut running = pin!(retention.run(Arc::clone(&store), clock, stop.clone()));
    // The stop comes between what is archived and what is deleted.
    poll_fn(|context| {
        let is_archived = archive.path(DAY).metadata().is_ok_and(|file| file.len() > 0);
        if is_archived || running.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    stop.cancel();
    running.await;
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(text(&archive.path(DAY)).lines().count(), 3);
}
