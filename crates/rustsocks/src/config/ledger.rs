//! The part of the configuration that says where sessions are recorded.

use std::path::PathBuf;
use std::time::Duration;

use rustsocks_journal::{JournalOptions, WhenFull};
use rustsocks_storage::{Archive, ArchiveFormat, RecorderOptions};
use secrecy::SecretString;

use super::checks::{DAYS_MAX, HOURS_MAX, Section};
use super::fault::Fault;
use super::place::Source;
use super::{DatabaseConfig, Durability, FileConfig, LedgerConfig, StorageConfig, file};
use crate::features;

/// How long a failing store is tried at shutdown.
const LAST_TRIES: Duration = Duration::from_secs(2);

/// The smallest journal: room for a few thousand records.
const JOURNAL_LEAST: i64 = 1 << 20;

pub(super) fn ledger(form: &file::Sessions, source: &Source<'_>) -> Result<LedgerConfig, Fault> {
    let section = Section::new(source, "sessions");
    let days = section.number("retention_days", form.retention_days, 0..=DAYS_MAX)?;
    let hours =
        section.number("cleanup_interval_hours", form.cleanup_interval_hours, 1..=HOURS_MAX)?;
    let storage = storage(form, &section)?;
    Ok(LedgerConfig {
        journal: journal(form, &section, &storage)?,
        storage,
        recorder: RecorderOptions {
            batch_size: section.size("batch_size", form.batch_size, 1..=100_000)?,
            batch_interval: section.millis("batch_interval_ms", form.batch_interval_ms)?,
            last_tries: LAST_TRIES,
        },
        archive: archive(form, &section)?,
        keep: (days > 0).then(|| Duration::from_secs(days * 86_400)),
        cleanup_interval: Duration::from_secs(hours * 3600),
    })
}

/// The journal, on the local disk next to the database.
fn journal(
    form: &file::Sessions,
    section: &Section<'_>,
    storage: &StorageConfig,
) -> Result<Option<JournalOptions>, Fault> {
    let policies = [("degrade", WhenFull::Degrade), ("refuse", WhenFull::Refuse)];
    let when_full = section.word("on_journal_full", &form.on_journal_full, &policies)?;
    let bounds = JOURNAL_LEAST..=i64::MAX;
    let max_bytes = section.number("journal_max_bytes", form.journal_max_bytes, bounds)?;
    let beside = match storage {
        StorageConfig::Memory { .. } => return Ok(None),
        StorageConfig::Sqlite(config) => {
            let mut folder = config.path.clone().into_os_string();
            folder.push(".journal");
            PathBuf::from(folder)
        }
        StorageConfig::Server(_) => "data/journal".into(),
    };
    let sync = durability(form, section)? == Durability::Full;
    let folder = match &form.journal_dir {
        Some(folder) if folder.as_os_str().is_empty() => {
            let remedy = "name a folder on a local disk, or remove it";
            return Err(section.fault("journal_dir", "not the path of a folder", remedy));
        }
        Some(folder) => folder.clone(),
        None => beside,
    };
    Ok(Some(JournalOptions { max_bytes, sync, when_full, ..JournalOptions::new(folder) }))
}

/// Where retention keeps what it deletes.
fn archive(form: &file::Sessions, section: &Section<'_>) -> Result<Option<Archive>, Fault> {
    let formats = [("ndjson", ArchiveFormat::Ndjson), ("csv", ArchiveFormat::Csv)];
    let format = section.word("archive_format", &form.archive_format, &formats)?;
    Ok(form.archive_dir.clone().map(|folder| Archive::new(folder, format)))
}

fn durability(form: &file::Sessions, section: &Section<'_>) -> Result<Durability, Fault> {
    let known = [("full", Durability::Full), ("normal", Durability::Normal)];
    section.word("durability", &form.durability, &known)
}

/// What `storage` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    MySql,
    Postgres,
    Memory,
}

pub(super) const ENGINES: [(&str, Engine); 5] = [
    ("sqlite", Engine::Sqlite),
    ("mariadb", Engine::MySql),
    ("mysql", Engine::MySql),
    ("postgres", Engine::Postgres),
    ("memory", Engine::Memory),
];

/// Where sessions are kept if the file does not say.
pub(super) const DEFAULT_DATABASE: &str = "sqlite://data/sessions.db";

/// The storage in force.
pub(super) fn storage_name(form: &file::Sessions) -> &str {
    let default = if features::DATABASE { "sqlite" } else { "memory" };
    form.storage.as_deref().unwrap_or(default)
}

/// The engine in force, if `storage` names one.
pub(super) fn engine_of(form: &file::Sessions) -> Option<Engine> {
    let name = storage_name(form);
    ENGINES.iter().find(|(known, _)| *known == name).map(|(_, engine)| *engine)
}

fn storage(form: &file::Sessions, section: &Section<'_>) -> Result<StorageConfig, Fault> {
    let durability = durability(form, section)?;
    let most = form.memory_max_sessions;
    let max_sessions = section.size("memory_max_sessions", most, 1..=10_000_000)?;
    let name = storage_name(form);
    let engine = section.word("storage", name, &ENGINES)?;
    let (feature, is_here) = match engine {
        Engine::Sqlite => ("database", features::DATABASE),
        Engine::MySql => ("mysql", features::MYSQL),
        Engine::Postgres => ("postgres", features::POSTGRES),
        Engine::Memory => ("", true),
    };
    if !is_here {
        let remedy = format!("build with `--features {feature}`, or set storage = \"memory\"");
        let problem = format!("this program was built without {name}");
        return Err(section.fault("storage", problem, remedy));
    }
    let url = form.database_url.as_deref();
    match engine {
        Engine::Memory => match url {
            // 0.9 files name a database beside storage = "memory"; it is not opened.
            Some(url) if !url.starts_with("sqlite:") => {
                let remedy = "remove it: storage = \"memory\" has no database";
                Err(section.fault("database_url", "the URL of another engine", remedy))
            }
            _ => Ok(StorageConfig::Memory { max_sessions }),
        },
        Engine::Sqlite => {
            let url = url.unwrap_or(DEFAULT_DATABASE);
            let backup_keep = section.size("backup_keep", form.backup_keep, 1..=100)?;
            let path = sqlite_path(url, section)?;
            Ok(StorageConfig::Sqlite(FileConfig { path, durability, backup_keep }))
        }
        Engine::MySql => {
            let example = "mysql://user:password@host:3306/database";
            server(form, section, &["mysql://", "mariadb://"], example)
        }
        Engine::Postgres => {
            let example = "postgres://user:password@host:5432/database";
            server(form, section, &["postgres://", "postgresql://"], example)
        }
    }
}

fn sqlite_path(url: &str, section: &Section<'_>) -> Result<PathBuf, Fault> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && !path.contains('?') && !path.contains(":memory:") => {
            Ok(path.into())
        }
        Some(_) => {
            let remedy =
                "write \"sqlite://data/sessions.db\"; for no file set storage = \"memory\"";
            Err(section.fault("database_url", "not the path of a file", remedy))
        }
        None => {
            let problem = "the URL is of another engine than storage = \"sqlite\" says";
            Err(section.fault("database_url", problem, "write \"sqlite://data/sessions.db\""))
        }
    }
}

/// A database server; its URL must be of the engine that `storage` says.
fn server(
    form: &file::Sessions,
    section: &Section<'_>,
    schemes: &[&str],
    example: &str,
) -> Result<StorageConfig, Fault> {
    let storage = form.storage.as_deref().unwrap_or_default();
    let remedy = format!("write \"{example}\"");
    let Some(url) = &form.database_url else {
        let problem = format!("storage = \"{storage}\" needs a database_url");
        return Err(section.fault("storage", problem, remedy));
    };
    let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
        let problem = format!("the URL is of another engine than storage = \"{storage}\" says");
        return Err(section.fault("database_url", problem, remedy));
    };
    // A password may hold anything but these; the host and the database are what is left.
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split('?').next().unwrap_or_default();
    match place.split_once('/') {
        // Parameters that are written as for other programs; a server would tell them again.
        Some((_, database)) if database.contains([';', '=', '&']) => {
            let problem = "the URL's parameters are not behind a question mark";
            return Err(section.fault("database_url", problem, remedy));
        }
        Some((_, database)) if !database.is_empty() => {}
        _ => return Err(section.fault("database_url", "the URL names no database", remedy)),
    }
    let limit = section.number(
        "database_statement_timeout_secs",
        form.database_statement_timeout_secs,
        1..=300,
    )?;
    let lease = section.number("node_lease_secs", form.node_lease_secs, 5..=3600)?;
    Ok(StorageConfig::Server(DatabaseConfig {
        engine: match storage {
            "mariadb" => "mariadb",
            "mysql" => "mysql",
            _ => "postgres",
        },
        url: SecretString::from(with_ca_file(url, form, section)?),
        statement_timeout: Duration::from_secs(limit),
        migration_lock: form.migration_lock,
        lease: Duration::from_secs(lease),
    }))
}

/// The URL with the authority that the server's certificate must come from.
fn with_ca_file(url: &str, form: &file::Sessions, section: &Section<'_>) -> Result<String, Fault> {
    let Some(file) = &form.database_ca_file else { return Ok(url.to_owned()) };
    let path = file.display().to_string();
    if !file.is_file() || path.contains(['&', '#', '?', '%']) {
        let problem = "not a file that a URL can name";
        return Err(section.fault("database_ca_file", problem, "name a PEM file"));
    }
    let mark = if url.contains('?') { '&' } else { '?' };
    Ok(match url.starts_with("postgres") {
        true => format!("{url}{mark}sslmode=verify-full&sslrootcert={path}"),
        false => format!("{url}{mark}ssl-mode=VERIFY_IDENTITY&ssl-ca={path}"),
    })
}
