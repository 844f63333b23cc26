//! The journal's frames: how a state lies in a file, and how it is found again in a damaged one.
//!
//! A frame is a mark, the payload's length, its CRC-32 and the payload (postcard). After damage
//! the reader looks for the next mark whose frame is sound, so only what was hit is given up.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_proto::{Command, Protocol};
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the frames' contents, written at the head of each segment. Version 1 knew of
/// sessions that run what the wall clock said; its frames are read still.
pub(crate) const VERSION: u16 = 2;

/// Whether segments of a version can be read.
pub(crate) fn is_known(version: u16) -> bool {
    (1..=VERSION).contains(&version)
}

/// Begins each frame. Not ASCII, so that text in a record does not look like it.
const MARK: [u8; 4] = [0xF7, 0x52, 0x53, 0xA9];

/// Mark, length, checksum.
const HEAD: usize = 12;

/// The longest payload that is believed; a record is a few hundred bytes, its texts are bounded.
const PAYLOAD_MAX: usize = 1 << 20;

/// What a frame says.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Frame<'a> {
    /// The first frame of a segment.
    Head {
        /// Of the frames' contents.
        version: u16,
        /// The run of the program that wrote it.
        run: u128,
        /// The node that ran.
        node: &'a str,
    },
    /// Everything about a session that has ended; in version 1 also about one that runs.
    #[serde(borrow)]
    State(State<'a>),
    /// The counters of a session whose state is in the segment already.
    Counters(Counters),
    /// Version 1: every session without an ending was alive at this time, in microseconds since
    /// 1970.
    Alive(i64),
    /// From here on the segment holds a state of every session that was open: older segments
    /// are not needed for those.
    Complete,
    /// Everything about a session that runs.
    Running {
        state: State<'a>,
        /// When it started, in microseconds of the monotonic clock since the run began.
        started: u64,
    },
    /// Every session without an ending was alive at this moment.
    Lived {
        /// In microseconds of the monotonic clock since the run began.
        after: u64,
        /// In microseconds since 1970, for people: the wall clock may be set.
        wall: i64,
    },
}

/// A session's counters at one instant.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Counters {
    pub(crate) id: u128,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    /// Microseconds since 1970.
    pub(crate) updated_at: i64,
}

/// A record, with times in microseconds since 1970 and names as the ledger stores them.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct State<'a> {
    counters: Counters,
    user: &'a str,
    start_time: i64,
    end_time: Option<i64>,
    duration: Option<u64>,
    source_ip: IpAddr,
    source_port: u16,
    dest_ip: &'a str,
    dest_port: u16,
    dest_host: Option<&'a str>,
    udp: bool,
    command: Option<u8>,
    status: &'a str,
    close_reason: Option<&'a str>,
    close_detail: Option<&'a str>,
    acl_rule_matched: Option<&'a str>,
    allowed: Option<bool>,
    egress: Option<(IpAddr, u16)>,
    connect: Option<u64>,
    node_id: &'a str,
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

const COMMANDS: [Command; 3] = [Command::Connect, Command::Bind, Command::UdpAssociate];

impl Counters {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            id: record.session_id.as_uuid().as_u128(),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            packets_sent: record.packets_sent,
            packets_received: record.packets_received,
            updated_at: record.updated_at.as_microsecond(),
        }
    }

    pub(crate) fn session(&self) -> SessionId {
        Uuid::from_u128(self.id).into()
    }

    /// Puts these counters in the place of a record's; older ones than it has change nothing.
    pub(crate) fn apply(&self, record: &mut Record) {
        let Some(updated_at) = time(self.updated_at).filter(|at| *at >= record.updated_at) else {
            return;
        };
        record.bytes_sent = self.bytes_sent;
        record.bytes_received = self.bytes_received;
        record.packets_sent = self.packets_sent;
        record.packets_received = self.packets_received;
        record.updated_at = updated_at;
    }
}

impl<'a> State<'a> {
    pub(crate) fn of(record: &'a Record) -> Self {
        let place = |command| COMMANDS.iter().position(|known| *known == command);
        Self {
            counters: Counters::of(record),
            user: &record.user,
            start_time: record.start_time.as_microsecond(),
            end_time: record.end_time.map(Timestamp::as_microsecond),
            duration: record.duration.map(micros),
            source_ip: record.source_ip,
            source_port: record.source_port,
            dest_ip: &record.dest_ip,
            dest_port: record.dest_port,
            dest_host: record.dest_host.as_deref(),
            udp: record.protocol == Protocol::Udp,
            command: record.command.and_then(place).and_then(|place| u8::try_from(place).ok()),
            status: record.status.name(),
            close_reason: record.close_reason.map(CloseReason::name),
            close_detail: record.close_detail.as_deref(),
            acl_rule_matched: record.acl_rule_matched.as_deref(),
            allowed: record.acl_decision.map(|decision| decision == "allow"),
            egress: record.egress_ip.zip(record.egress_port),
            connect: record.connect.map(micros),
            node_id: &record.node_id,
        }
    }

    /// The record; none where a sound frame says what no version of this program means.
    pub(crate) fn record(&self) -> Option<Record> {
        let command = match self.command {
            None => None,
            Some(place) => Some(*COMMANDS.get(usize::from(place))?),
        };
        let close_reason = match self.close_reason {
            None => None,
            Some(name) => Some(CloseReason::from_name(name)?),
        };
        let end_time = match self.end_time {
            None => None,
            Some(micros) => Some(time(micros)?),
        };
        let counters = &self.counters;
        Some(Record {
            session_id: counters.session(),
            user: self.user.into(),
            start_time: time(self.start_time)?,
            end_time,
            duration: self.duration.map(Duration::from_micros),
            source_ip: self.source_ip,
            source_port: self.source_port,
            dest_ip: self.dest_ip.into(),
            dest_port: self.dest_port,
            dest_host: self.dest_host.map(Into::into),
            protocol: if self.udp { Protocol::Udp } else { Protocol::Tcp },
            command,
            bytes_sent: counters.bytes_sent,
            bytes_received: counters.bytes_received,
            packets_sent: counters.packets_sent,
            packets_received: counters.packets_received,
            status: Status::from_name(self.status)?,
            close_reason,
            close_detail: self.close_detail.map(Into::into),
            acl_rule_matched: self.acl_rule_matched.map(Into::into),
            acl_decision: self.allowed.map(|allowed| if allowed { "allow" } else { "block" }),
            egress_ip: self.egress.map(|(ip, _)| ip),
            egress_port: self.egress.map(|(_, port)| port),
            connect: self.connect.map(Duration::from_micros),
            node_id: self.node_id.into(),
            updated_at: time(counters.updated_at)?,
        })
    }
}

/// Appends a frame to a buffer.
pub(crate) fn put(buffer: &mut Vec<u8>, frame: &Frame<'_>) {
    let start = buffer.len();
    buffer.extend_from_slice(&MARK);
    buffer.extend_from_slice(&[0; HEAD - MARK.len()]);
    let payload = start + HEAD;
    // Nothing in a frame can fail to be written into memory.
    let Ok(filled) = postcard::to_extend(frame, Tail(buffer)) else { return };
    let buffer = filled.0;
    let length = u32::try_from(buffer.len() - payload).unwrap_or(u32::MAX);
    let sum = crc32fast::hash(&buffer[payload..]);
    buffer[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    buffer[start + 8..payload].copy_from_slice(&sum.to_le_bytes());
}

/// Lets postcard write behind what a buffer holds already.
struct Tail<'a>(&'a mut Vec<u8>);

impl Extend<u8> for Tail<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        self.0.extend(bytes);
    }
}

/// Reads frames from a segment's bytes, skipping what is damaged.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the last frame begins that was read.
    pub(crate) begun: usize,
    /// Bytes that belong to no sound frame.
    pub(crate) skipped: u64,
    /// How many stretches of such bytes there were, not counting one at the very end.
    pub(crate) gaps: u64,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, begun: 0, skipped: 0, gaps: 0 }
    }

    /// The frame that begins at a byte, if there is a sound one.
    pub(crate) fn at(&self, byte: u32) -> Option<Frame<'a>> {
        self.sound(byte as usize).map(|(frame, _)| frame)
    }

    /// The frame that begins at a position, and where the next one begins.
    fn sound(&self, at: usize) -> Option<(Frame<'a>, usize)> {
        let head = self.bytes.get(at..at + HEAD)?;
        let number = |part: &[u8]| part.try_into().map(u32::from_le_bytes).ok();
        if head[..4] != MARK {
            return None;
        }
        let length = number(&head[4..8])? as usize;
        let start = at + HEAD;
        let payload = self.bytes.get(start..start + length.min(PAYLOAD_MAX + 1))?;
        if length > PAYLOAD_MAX || crc32fast::hash(payload) != number(&head[8..12])? {
            return None;
        }
        let frame = postcard::from_bytes(payload).ok()?;
        Some((frame, start + length))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let from = self.at;
        while self.at < self.bytes.len() {
            if let Some((frame, next)) = self.sound(self.at) {
                if self.at > from {
                    self.gaps += 1;
                    self.skipped += (self.at - from) as u64;
                }
                self.begun = self.at;
                self.at = next;
                return Some(frame);
            }
            let rest = &self.bytes[self.at + 1..];
            let ahead = rest.iter().position(|byte| *byte == MARK[0]).unwrap_or(rest.len());
            self.at += 1 + ahead;
        }
        self.skipped += (self.at - from) as u64;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> (Vec<Frame<'_>>, u64, u64) {
        let mut frames = Frames::new(bytes);
        let found = frames.by_ref().collect();
        (found, frames.skipped, frames.gaps)
    }

    #[test]
    fn frames_read_back() {
        let mut bytes = Vec::new();
        put(&mut bytes, &Frame::Head { version: VERSION, run: 7, node: "a" });
        put(&mut bytes, &Frame::Alive(5));
        let head = Frame::Head { version: VERSION, run: 7, node: "a" };
        assert_eq!(frames(&bytes), (vec![head, Frame::Alive(5)], 0, 0));
    }

    #[test]
    fn a_torn_tail_costs_only_the_torn_frame() {
        let mut bytes = Vec::new();
        put(&mut bytes, &Frame::Alive(1));
        let whole = bytes.len();
        put(&mut bytes, &Frame::Alive(2));
        for end in whole..bytes.len() {
            let (found, skipped, gaps) = frames(&bytes[..end]);
            assert_eq!(found, [Frame::Alive(1)]);
            assert_eq!((skipped, gaps), ((end - whole) as u64, 0));
        }
    }

    #[test]
    fn damage_in_the_middle_costs_only_what_was_hit() {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for number in 0..3 {
            put(&mut bytes, &Frame::Alive(number));
            ends.push(bytes.len());
        }
        for hit in ends[1]..ends[2] {
            let mut damaged = bytes.clone();
            damaged[hit] ^= 0x55;
            let (found, skipped, gaps) = frames(&damaged);
            assert_eq!(found, [Frame::Alive(0), Frame::Alive(2)], "byte {hit}");
            assert_eq!((skipped, gaps), ((ends[2] - ends[1]) as u64, 1));
        }
    }
}
