//! Files that keep what retention deletes: one per day of the sessions' end, compressed, written
//! before anything is deleted.
//!
//! Each step appends a zstd frame of its own, so a file is readable after any step, by `zstd -d`
//! as well. A step that was written and not deleted, because the process died in between, is in
//! the file once more after the next one: whoever reads it takes each session once, by its id.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustsocks_sessions::Record;
use rustsocks_sessions::clock::millis;
use serde::Serialize;

use crate::time;

/// How an archive is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// One JSON object per line.
    #[default]
    Ndjson,
    /// Comma-separated values with a line of column names (RFC 4180).
    Csv,
}

/// Where deleted records are kept.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The folder; made where it is missing.
    pub folder: PathBuf,
    /// How they are written.
    pub format: ArchiveFormat,
}

/// A record with the published column names, as text and numbers.
#[derive(Debug, Serialize)]
struct Row<'a> {
    session_id: String,
    user: &'a str,
    start_time: String,
    end_time: Option<String>,
    duration_secs: Option<u64>,
    source_ip: String,
    source_port: u16,
    dest_ip: &'a str,
    dest_port: u16,
    protocol: &'static str,
    bytes_sent: u64,
    bytes_received: u64,
    packets_sent: u64,
    packets_received: u64,
    status: &'static str,
    close_reason: Option<&'static str>,
    acl_rule_matched: Option<&'a str>,
    acl_decision: Option<&'static str>,
    dest_host: Option<&'a str>,
    egress_ip: Option<String>,
    egress_port: Option<u16>,
    command: Option<&'static str>,
    duration_ms: Option<u64>,
    connect_ms: Option<u64>,
    close_detail: Option<&'a str>,
    node_id: &'a str,
    updated_at: String,
}

impl<'a> Row<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            session_id: record.session_id.to_string(),
            user: &record.user,
            start_time: time::to_text(record.start_time),
            end_time: record.end_time.map(time::to_text),
            duration_secs: record.duration.map(|duration| duration.as_secs()),
            source_ip: record.source_ip.to_string(),
            source_port: record.source_port,
            dest_ip: &record.dest_ip,
            dest_port: record.dest_port,
            protocol: record.protocol.name(),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            packets_sent: record.packets_sent,
            packets_received: record.packets_received,
            status: record.status.name(),
            close_reason: record.close_reason.map(|reason| reason.name()),
            acl_rule_matched: record.acl_rule_matched.as_deref(),
            acl_decision: record.acl_decision,
            dest_host: record.dest_host.as_deref(),
            egress_ip: record.egress_ip.map(|ip| ip.to_string()),
            egress_port: record.egress_port,
            command: record.command.map(|command| command.name()),
            duration_ms: record.duration.map(millis),
            connect_ms: record.connect.map(millis),
            close_detail: record.close_detail.as_deref(),
            node_id: &record.node_id,
            updated_at: time::to_text(record.updated_at),
        }
    }
}

impl Archive {
    /// Makes the folder, and tries whether files can be written there.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn prepare(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let probe = self.folder.join(".rustsocks-probe");
        std::fs::write(&probe, "may be deleted\n")?;
        std::fs::remove_file(&probe)
    }

    /// Appends records to the files of their days, and makes them survive a power loss.
    ///
    /// # Errors
    /// As the operating system says; part of the records may be in the files then.
    pub fn append(&self, records: &[Record]) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut days: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
        for record in records {
            let day = time::to_text(record.end_time.unwrap_or(record.start_time));
            days.entry(day[..10].to_owned()).or_default().push(record);
        }
        for (day, records) in days {
            self.append_day(&self.path(&day), &records)?;
        }
        Ok(())
    }

    /// The file of a day, written as `2026-01-02`.
    pub fn path(&self, day: &str) -> PathBuf {
        let kind = match self.format {
            ArchiveFormat::Ndjson => "ndjson",
            ArchiveFormat::Csv => "csv",
        };
        self.folder.join(format!("sessions-{day}.{kind}.zst"))
    }

    fn append_day(&self, path: &Path, records: &[&Record]) -> io::Result<()> {
        let is_new = !path.exists();
        let text = match self.format {
            ArchiveFormat::Ndjson => ndjson(records)?,
            ArchiveFormat::Csv => csv(records, is_new)?,
        };
        let frame = zstd::encode_all(text.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let before = file.metadata()?.len();
        let written = file.write_all(&frame).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a frame would make everything behind it unreadable.
            let _stays = file.set_len(before);
        }
        written
    }
}

fn ndjson(records: &[&Record]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for record in records {
        serde_json::to_writer(&mut text, &Row::of(record))?;
        text.push(b'\n');
    }
    Ok(text)
}

fn csv(records: &[&Record], with_names: bool) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(with_names).from_writer(Vec::new());
    for record in records {
        writer.serialize(Row::of(record)).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}
