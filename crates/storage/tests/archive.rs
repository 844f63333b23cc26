//! Archive files: readable to their end by anybody's zstd, whatever happened to the last write.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need the rest of it")]
mod support;

use std::path::Path;

use rustsocks_storage::{Archive, ArchiveFormat};
use support::{ended, id};
use tempfile::TempDir;

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
