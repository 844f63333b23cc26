//! A copy of the whole database, the write-ahead log included, made by SQLite and verified.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use super::check::{self, Verdict, free_name};
use super::place::refuse;
use crate::store::StoreError;

/// Copies the database behind a connection to a new file, and verifies the copy.
pub(super) async fn copy(
    connection: &mut SqliteConnection,
    from: &Path,
    to: &Path,
) -> Result<(), StoreError> {
    if to.exists() {
        return Err(refuse(to, "it exists already; name a new file"));
    }
    let failed = |error: sqlx::Error| {
        refuse(from, format!("it cannot be copied to {}: {error}", to.display()))
    };
    let name = to.to_str().ok_or_else(|| refuse(to, "its name is not UTF-8 text"))?;
    let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut *connection).await;
    let verified = match copied {
        Ok(_) => verify(connection, to).await.map_err(failed),
        Err(error) => Err(failed(error)),
    };
    if verified.is_err() {
        // Half a copy would be taken for a whole one.
        let _stays = std::fs::remove_file(to);
    }
    verified
}

/// A copy is sound, and as long as the original.
async fn verify(original: &mut SqliteConnection, copy: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(copy).read_only(true);
    let mut copy = SqliteConnection::connect_with(&options).await?;
    if let Ok(Verdict::Damaged(why)) | Err(StoreError::Open { problem: why, .. }) =
        check::contents(&mut copy, true).await
    {
        return Err(sqlx::Error::Protocol(format!("the copy is damaged: {why}")));
    }
    let tables = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'sessions'";
    let rows = "SELECT COUNT(*) FROM sessions";
    let has_rows: i64 = sqlx::query_scalar(tables).fetch_one(&mut *original).await?;
    if has_rows > 0 {
        let wanted: i64 = sqlx::query_scalar(rows).fetch_one(&mut *original).await?;
        let found: i64 = sqlx::query_scalar(rows).fetch_one(&mut copy).await?;
        if found < wanted {
            let problem = format!("the copy has {found} of {wanted} sessions");
            return Err(sqlx::Error::Protocol(problem));
        }
    }
    copy.close().await
}

/// Makes a snapshot beside the file, and forgets the oldest ones beyond `keep`.
pub(super) async fn take(
    connection: &mut SqliteConnection,
    path: &Path,
    keep: usize,
    now: Timestamp,
) -> Result<PathBuf, StoreError> {
    // Looked for before: whatever the clock says, the new one is none of the old.
    let mut known = existing(path);
    let to = free_name(path, "bak", now);
    copy(connection, path, &to).await?;
    while known.len() >= keep.max(1) {
        let oldest = known.remove(0);
        if let Err(error) = std::fs::remove_file(&oldest) {
            tracing::warn!(path = %oldest.display(), %error, "an old snapshot cannot be removed");
        }
    }
    Ok(to)
}

/// The snapshots of this program beside a file, the oldest first: their names say when they were
/// made. Copies that somebody else made and named are none of them.
fn existing(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let prefix = format!("{name}.bak.");
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let made = check::stamp(entry.file_name().to_str()?.strip_prefix(&prefix)?)?;
            Some((made, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
