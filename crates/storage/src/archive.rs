//! Files that keep what retention deletes: one per day of the sessions' end, compressed, written
//! before anything is deleted.
//!
//! Each step appends a zstd frame of its own, so a file is readable after any step, by `zstd -d`
//! as well. What a run that was killed left half-written is moved out of the way of the next. A step that was written and not deleted, because the process died in between, is in
//! the file once more after the next one: whoever reads it takes each session once, by its id.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

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
    /// Files that end with a whole frame, as far as that is known.
    whole: Arc<Mutex<HashSet<PathBuf>>>,
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
    /// Keeps records in this folder.
    pub fn new(folder: PathBuf, format: ArchiveFormat) -> Self {
        Self { folder, format, whole: Arc::default() }
    }

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
        // The names of new files, before anybody deletes what is in them.
        File::open(&self.folder)?.sync_all()
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
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut whole = self.whole.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Known again once this frame is whole.
        if !whole.remove(path) {
            set_tail_aside(&file, path)?;
        }
        let before = file.metadata()?.len();
        let text = match self.format {
            ArchiveFormat::Ndjson => ndjson(records)?,
            ArchiveFormat::Csv => csv(records, before == 0)?,
        };
        let frame = frame(&text)?;
        let written = file.write_all(&frame).and_then(|()| file.sync_all());
        match written {
            Ok(()) => drop(whole.insert(path.to_owned())),
            // Half a frame would make everything behind it unreadable.
            Err(_) => drop(file.set_len(before)),
        }
        written
    }
}

/// A frame by itself. With a checksum: a power loss may leave one of the right length.
fn frame(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(text)?;
    encoder.finish()
}

/// Moves what is behind the last whole frame of a file to one of its own. After a kill its records
/// are still in the store; if it is damage of another kind, nothing of it is lost either.
fn set_tail_aside(file: &File, path: &Path) -> io::Result<()> {
    let end = whole_frames(file)?;
    if file.metadata()?.len() == end {
        return Ok(());
    }
    let (mut aside, place) = new_file_beside(path)?;
    let mut tail = file;
    tail.seek(SeekFrom::Start(end))?;
    let copied = io::copy(&mut tail, &mut aside).and_then(|bytes| Ok((bytes, aside.sync_all()?)));
    if copied.is_err() {
        // Or a full disk would get one more with each try.
        let _stays = std::fs::remove_file(&place);
    }
    let (bytes, ()) = copied?;
    file.set_len(end)?;
    file.sync_all()?;
    tracing::warn!(
        path = %path.display(),
        bytes,
        moved_to = %place.display(),
        "an archive file did not end with a whole frame, as after a kill; its end is set aside"
    );
    Ok(())
}

/// How long the part of a file is that whole frames make up.
fn whole_frames(file: &File) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.rewind()?;
    let mut end = 0;
    while !reader.fill_buf()?.is_empty() {
        let mut frame = zstd::Decoder::with_buffer(&mut reader)?.single_frame();
        match io::copy(&mut frame, &mut io::sink()) {
            Ok(_) => end = reader.stream_position()?,
            // The disk's error says nothing about what it holds.
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(end)
}

/// Makes `<file>.torn`, or with a number behind it.
fn new_file_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut nth = 1;
    loop {
        let mut place = path.to_owned().into_os_string();
        place.push(if nth == 1 { ".torn".to_owned() } else { format!(".torn.{nth}") });
        match File::create_new(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => nth += 1,
            made => return Ok((made?, place.into())),
        }
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
