//! Reading segments back: what ended as it ended, what was open as crashed.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};

use crate::frame::{self, Frame, Frames};

/// What a replay found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: u64,
    /// Sessions that had ended.
    pub ended: u64,
    /// Sessions that were open when the process died.
    pub crashed: u64,
    /// Bytes that belong to no sound frame: a torn end, or damage.
    pub skipped: u64,
    /// Places within segments where such bytes lie; a torn end is none.
    pub gaps: u64,
    /// Segments of a version that this program does not know; they are left alone.
    pub unknown: u64,
}

/// The replay of the segments that former runs left, read in their order.
#[derive(Debug, Default)]
pub struct Replay {
    run: Option<u128>,
    /// Whether there are no longer all segments before the next one.
    are_missing: bool,
    open: HashMap<SessionId, Open>,
    alive: Alive,
    report: Report,
}

/// A session that has not ended as far as was read.
#[derive(Debug)]
struct Open {
    record: Record,
    /// When it started, in microseconds since its run began; unknown in version 1.
    started: Option<u64>,
    /// How many segments were read before the one with this state.
    segment: u64,
}

/// When the sessions that had not ended were last known alive.
#[derive(Clone, Copy, Debug, Default)]
struct Alive {
    /// By the wall clock, in version 1.
    wall: Option<Timestamp>,
    /// In microseconds since the run began.
    after: Option<u64>,
}

impl Replay {
    /// Notes that segments were deleted between the last one and the next: what was open may have
    /// ended there, and the store has it then.
    pub fn note_missing(&mut self) {
        self.are_missing = true;
    }

    /// Reads one segment: gives the final records in it, in their order, and before them those
    /// of an earlier run's sessions that never ended. None for a segment of an unknown version.
    pub fn segment(&mut self, bytes: &[u8]) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        let mut frames = Frames::new(bytes);
        let segment = self.report.segments;
        while let Some(frame) = frames.next() {
            match frame {
                Frame::Head { version, .. } if !frame::is_known(version) => {
                    self.report.unknown += 1;
                    return None;
                }
                Frame::Head { run, .. } => {
                    if self.run.replace(run).is_some_and(|last| last != run) {
                        records.extend(self.crash());
                    }
                }
                Frame::State(state) => {
                    let Some(record) = state.record() else { continue };
                    if record.end_time.is_some() {
                        self.open.remove(&record.session_id);
                        self.report.ended += 1;
                        records.push(record);
                    } else {
                        let open = Open { record, started: None, segment };
                        self.open.insert(open.record.session_id, open);
                    }
                }
                Frame::Running { state, started } => {
                    let Some(record) = state.record() else { continue };
                    let open = Open { record, started: Some(started), segment };
                    self.open.insert(open.record.session_id, open);
                }
                Frame::Counters(counters) => {
                    // Without its state, which was damaged, there is nobody to count for.
                    if let Some(open) = self.open.get_mut(&counters.session()) {
                        counters.apply(&mut open.record);
                    }
                }
                Frame::Alive(micros) => {
                    let alive = Timestamp::from_microsecond(micros).ok();
                    self.alive.wall = self.alive.wall.max(alive);
                }
                Frame::Lived { after, .. } => self.alive.after = Some(after),
                // Up to here it has every session that was open when it began, unless damage hit one.
                Frame::Complete if self.are_missing && frames.skipped == 0 => {
                    self.open.retain(|_, open| open.segment == segment);
                }
                Frame::Complete => {}
            }
        }
        self.are_missing = false;
        self.report.segments += 1;
        self.report.skipped += frames.skipped;
        self.report.gaps += frames.gaps;
        Some(records)
    }

    /// Ends what no segment ended, and reports.
    pub fn finish(mut self) -> (Vec<Record>, Report) {
        let records = self.crash();
        (records, self.report)
    }

    /// The sessions that were open when their run died, ended when they were last known alive.
    fn crash(&mut self) -> Vec<Record> {
        let alive = std::mem::take(&mut self.alive);
        let mut records: Vec<Record> =
            self.open.drain().map(|(_, open)| crashed(open, alive)).collect();
        records.sort_unstable_by_key(|record| record.session_id);
        self.report.crashed += records.len() as u64;
        records
    }
}

fn crashed(Open { record, started, .. }: Open, alive: Alive) -> Record {
    let known = record.updated_at.max(record.start_time);
    let lived = started.zip(alive.after).map(|(started, after)| after.saturating_sub(started));
    let alive = match lived {
        // As every time of a session: the wall clock at its start, and monotonic time from there.
        Some(micros) => record.start_time.checked_add(Duration::from_micros(micros)).ok(),
        None => alive.wall,
    };
    let end = alive.map_or(known, |alive| alive.max(known));
    Record {
        end_time: Some(end),
        duration: Some(end.duration_since(record.start_time).unsigned_abs()),
        status: Status::Failed,
        close_reason: Some(CloseReason::ServerCrash),
        updated_at: end,
        ..record
    }
}

/// Ended sessions of a segment, some of which are on disk alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finals {
    /// Their records, in their order.
    pub records: Vec<Record>,
    /// At which byte each begins.
    pub places: Vec<u32>,
    /// Bytes that could not be read.
    pub(crate) skipped: u64,
}

/// The final records of a segment.
pub(crate) fn finals(bytes: &[u8]) -> Finals {
    let mut finals = Finals::default();
    let mut frames = Frames::new(bytes);
    while let Some(frame) = frames.next() {
        if let Some(record) = ended(frame) {
            finals.records.push(record);
            finals.places.push(place(frames.begun));
        }
    }
    finals.skipped = frames.skipped;
    finals
}

/// The final records that begin at these bytes of a segment; what is damaged is left out.
pub(crate) fn finals_at(bytes: &[u8], places: &[u32]) -> impl Iterator<Item = Record> {
    let frames = Frames::new(bytes);
    places.iter().filter_map(move |place| ended(frames.at(*place)?))
}

/// A byte of a segment as it is remembered. A segment of 4 GiB would need millions of open
/// sessions; what lies behind that is found by nobody.
pub(crate) fn place(byte: usize) -> u32 {
    u32::try_from(byte).unwrap_or(u32::MAX)
}

/// The record of an ended session.
fn ended(frame: Frame<'_>) -> Option<Record> {
    match frame {
        Frame::State(state) => state.record().filter(|record| record.end_time.is_some()),
        _ => None,
    }
}

/// What a segment holds, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The version of its contents; none where its head cannot be read.
    pub version: Option<u16>,
    /// The node that wrote it.
    pub node: String,
    /// States of ended sessions.
    pub ended: u64,
    /// States of open sessions.
    pub open: u64,
    /// Counters of open sessions.
    pub counters: u64,
    /// The first and the last time in it.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Bytes that belong to no sound frame.
    pub skipped: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "version {version}, node {}", self.node)?,
            None => write!(f, "its head cannot be read")?,
        }
        write!(f, ", {} ended, {} open, {} counters", self.ended, self.open, self.counters)?;
        if let Some((first, last)) = self.times {
            write!(f, ", {first:.3} to {last:.3}")?;
        }
        write!(f, ", {} bytes unreadable", self.skipped)
    }
}

/// Looks through one segment.
///
/// # Errors
/// When the file cannot be read.
pub fn summary(path: &Path) -> std::io::Result<Summary> {
    let bytes = std::fs::read(path)?;
    let mut summary = Summary::default();
    let mut frames = Frames::new(&bytes);
    for frame in frames.by_ref() {
        let time = match frame {
            Frame::Head { version, node, .. } => {
                summary.version = Some(version);
                node.clone_into(&mut summary.node);
                None
            }
            Frame::State(state) | Frame::Running { state, .. } => {
                let Some(record) = state.record() else { continue };
                match record.end_time {
                    Some(_) => summary.ended += 1,
                    None => summary.open += 1,
                }
                Some(record.updated_at)
            }
            Frame::Counters(counters) => {
                summary.counters += 1;
                Timestamp::from_microsecond(counters.updated_at).ok()
            }
            Frame::Alive(wall) | Frame::Lived { wall, .. } => {
                Timestamp::from_microsecond(wall).ok()
            }
            Frame::Complete => None,
        };
        if let Some(time) = time {
            let (first, last) = summary.times.unwrap_or((time, time));
            summary.times = Some((first.min(time), last.max(time)));
        }
    }
    summary.skipped = frames.skipped;
    Ok(summary)
}
