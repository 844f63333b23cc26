//! Whether a file is sound, and what happens to one that is not.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use sqlx::SqliteConnection;

use super::place::{beside, refuse};
use crate::store::StoreError;

/// What every SQLite file begins with.
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// The files that SQLite keeps beside a database, by what is behind the name.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What a look at a database says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong.
    Sound,
    /// It is damaged, or no database at all.
    Damaged(String),
}

/// Looks at the first bytes; an empty file is a new database.
pub(super) fn header(path: &Path) -> Result<Verdict, StoreError> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEADER.len() as u64).read_to_end(&mut head))
        .map_err(|error| refuse(path, error.to_string()))?;
    Ok(match head.is_empty() || head == HEADER {
        true => Verdict::Sound,
        false => Verdict::Damaged("it does not begin as a SQLite database does".into()),
    })
}

/// Lets SQLite look through the file: quickly, or at every index entry too.
pub(super) async fn contents(
    connection: &mut SqliteConnection,
    thorough: bool,
) -> Result<Verdict, StoreError> {
    if thorough {
        return look(connection, "PRAGMA integrity_check(1)").await;
    }
    let quick = look(connection, "PRAGMA quick_check(1)").await?;
    if quick != Verdict::Sound {
        return Ok(quick);
    }
    // Every write adds to these: damaged, they would stop the ledger. They are small.
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' \
                  AND name IN ('rollups', 'usage_hours', 'rollup_versions')";
    let tables: Vec<String> = match sqlx::query_scalar(tables).fetch_all(&mut *connection).await {
        Err(error) if is_damage(&error) => return Ok(Verdict::Damaged(error.to_string())),
        tables => tables?,
    };
    for table in tables {
        let verdict = look(connection, &format!("PRAGMA integrity_check({table})")).await?;
        if verdict != Verdict::Sound {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Sound)
}

async fn look(connection: &mut SqliteConnection, pragma: &str) -> Result<Verdict, StoreError> {
    let sql = sqlx::AssertSqlSafe(pragma.to_owned());
    match sqlx::query_scalar::<_, String>(sql).fetch_all(connection).await {
        Ok(lines) if lines == ["ok"] => Ok(Verdict::Sound),
        Ok(lines) => Ok(Verdict::Damaged(lines.join("; "))),
        Err(error) if is_damage(&error) => Ok(Verdict::Damaged(error.to_string())),
        Err(error) => Err(StoreError::Database(error)),
    }
}

/// SQLite's own number of an error, without its extension.
fn number(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xFF)
}

/// Whether an error says that the file is damaged, or is no database. An error of the disk or of
/// a right says nothing about the file.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    matches!(number(error), Some(CORRUPT | NOT_A_DATABASE))
}

/// Whether an error says that somebody else holds the file.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: u32 = 5;
    number(error) == Some(BUSY)
}

/// Renames a file and its companions, so that a new one can take its place and nothing is lost.
/// Gives the file's new name.
pub(super) fn quarantine(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let place = free_name(path, "corrupt", now);
    for companion in COMPANIONS {
        let from = beside(path, companion);
        match rename(&from, &beside(&place, companion)) {
            Err(error) if from.exists() => return Err(error),
            // There was none.
            _ => {}
        }
    }
    rename(path, &place)?;
    Ok(place)
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|error| {
        let problem = format!("it is damaged and cannot be moved aside: {error}");
        refuse(from, problem)
    })
}

/// How the time at which a file was set aside is written in its name.
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// A name beside the file that nothing has yet: `sessions.db.corrupt.20260102T030405Z`.
pub(super) fn free_name(path: &Path, word: &str, now: Timestamp) -> PathBuf {
    let stamp = now.strftime(STAMP);
    let first = beside(path, &format!(".{word}.{stamp}"));
    let taken = |name: &PathBuf| name.exists();
    let others = (2..).map(|nth| beside(path, &format!(".{word}.{stamp}.{nth}")));
    std::iter::once(first.clone()).chain(others).find(|name| !taken(name)).unwrap_or(first)
}

/// The time and the number in the part of a name that [`free_name`] puts behind its word; none
/// where somebody else gave the name.
pub(super) fn stamp(text: &str) -> Option<(DateTime, u32)> {
    let (stamp, nth) = match text.split_once('.') {
        Some((stamp, nth)) => (stamp, nth.parse().ok().filter(|nth| *nth > 1)?),
        None => (text, 1),
    };
    let time = DateTime::strptime(STAMP, stamp).ok()?;
    let as_written = match nth {
        1 => time.strftime(STAMP).to_string(),
        nth => format!("{}.{nth}", time.strftime(STAMP)),
    };
    (as_written == text).then_some((time, nth))
}
