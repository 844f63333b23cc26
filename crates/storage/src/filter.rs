//! What to look for in the history, in which order, and which part of it.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_proto::Protocol;
use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};

use crate::store::StoreError;

/// Conditions that a record must all meet; an absent one is met by every record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The user's name.
    pub user: Option<String>,
    /// What became of it. Absent means every ended session.
    pub status: Option<Status>,
    /// The node that served it.
    pub node: Option<String>,
    /// A node that did not serve it.
    pub not_node: Option<String>,
    /// The transport.
    pub protocol: Option<Protocol>,
    /// The requested name, in any case, or the address.
    pub dest: Option<String>,
    /// The address really connected.
    pub dest_ip: Option<String>,
    /// The client's address.
    pub source_ip: Option<IpAddr>,
    /// Our address of the outgoing connection.
    pub egress_ip: Option<IpAddr>,
    /// Our port of the outgoing connection.
    pub egress_port: Option<u16>,
    /// An instant at which the session was running.
    pub at: Option<Timestamp>,
    /// Why it ended.
    pub close_reason: Option<CloseReason>,
    /// Started at this time or later.
    pub start_after: Option<Timestamp>,
    /// Started before this time.
    pub start_before: Option<Timestamp>,
    /// At least so many bytes, both directions together.
    pub min_bytes: Option<u64>,
    /// Lasted at least so long; what runs, until its values were read.
    pub min_duration: Option<Duration>,
}

impl Filter {
    /// Whether a record meets every condition.
    pub fn matches(&self, record: &Record) -> bool {
        let ended = record.end_time.is_some();
        self.status
            .map_or(ended, |status| record.status == status && (ended || status == Status::Active))
            && self.suits(record)
    }

    /// Whether a record, running or ended, meets every condition that is there.
    pub fn suits(&self, record: &Record) -> bool {
        fn met<T>(wish: &Option<T>, holds: impl FnOnce(&T) -> bool) -> bool {
            wish.as_ref().is_none_or(holds)
        }
        let running_at = |at: &Timestamp| {
            cut(record.start_time) <= cut(*at)
                && record.end_time.is_none_or(|end| cut(end) >= cut(*at))
        };
        met(&self.status, |status| *status == record.status)
            && met(&self.user, |user| **user == *record.user)
            && met(&self.node, |node| **node == *record.node_id)
            && met(&self.not_node, |node| **node != *record.node_id)
            && met(&self.protocol, |protocol| *protocol == record.protocol)
            && met(&self.dest, |dest| {
                let host = record.dest_host.as_deref();
                host.is_some_and(|host| host.eq_ignore_ascii_case(dest))
                    || **dest == *record.dest_ip
            })
            && met(&self.dest_ip, |ip| **ip == *record.dest_ip)
            && met(&self.source_ip, |ip| *ip == record.source_ip)
            && met(&self.egress_ip, |ip| Some(*ip) == record.egress_ip)
            && met(&self.egress_port, |port| Some(*port) == record.egress_port)
            && met(&self.at, running_at)
            && met(&self.close_reason, |reason| Some(*reason) == record.close_reason)
            && met(&self.start_after, |time| cut(record.start_time) >= cut(*time))
            && met(&self.start_before, |time| cut(record.start_time) < cut(*time))
            && met(&self.min_bytes, |least| record.bytes_sent + record.bytes_received >= *least)
            && met(&self.min_duration, |least| {
                lasted(record).is_some_and(|lasted| lasted >= millis(*least))
            })
    }

    /// The same for running sessions, whenever their values were read: what has run for so long
    /// `now` started so long ago.
    ///
    /// Of a session of another node that moves nothing the values are old.
    pub fn of_running(mut self, now: Timestamp) -> Self {
        self.status = Some(Status::Active);
        if let Some(least) = self.min_duration.take() {
            let latest = i64::try_from(millis(least)).ok().and_then(|least| {
                // The bound itself is left out.
                let millis = cut(now).saturating_sub(least).saturating_add(1);
                Timestamp::from_millisecond(millis).ok()
            });
            let latest = latest.unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH);
            let before = self.start_before.map_or(latest, |before| before.min(latest));
            self.start_before = Some(before);
        }
        self
    }
}

/// How long a session lasted, or has lasted so far, in milliseconds.
fn lasted(record: &Record) -> Option<u64> {
    match (record.duration, record.end_time) {
        (Some(duration), _) => Some(millis(duration)),
        (None, None) => u64::try_from(cut(record.updated_at) - cut(record.start_time)).ok(),
        (None, Some(_)) => None,
    }
}

/// A time as it is stored: whole milliseconds.
fn cut(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// When it ended; records of running sessions come as the oldest.
    #[default]
    EndTime,
    /// When it started.
    StartTime,
    /// How long it lasted; what runs, by how long ago it started.
    Duration,
    /// Bytes to the destination.
    BytesSent,
    /// Bytes from the destination.
    BytesReceived,
    /// Bytes of both directions.
    Bytes,
    /// The user's name.
    User,
}

impl SortKey {
    /// Every key.
    pub const ALL: [Self; 7] = [
        Self::EndTime,
        Self::StartTime,
        Self::Duration,
        Self::BytesSent,
        Self::BytesReceived,
        Self::Bytes,
        Self::User,
    ];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndTime => "end_time",
            Self::StartTime => "start_time",
            Self::Duration => "duration",
            Self::BytesSent => "bytes_sent",
            Self::BytesReceived => "bytes_received",
            Self::Bytes => "bytes",
            Self::User => "user",
        }
    }

    /// The key with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The smallest or oldest.
    Ascending,
    /// The largest or newest.
    #[default]
    Descending,
}

/// The order of a history; equal keys are told apart by session id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// What to sort by.
    pub key: SortKey,
    /// Which end comes first.
    pub direction: Direction,
}

impl Sort {
    /// Compares two records in this order.
    pub fn compare(&self, left: &Record, right: &Record) -> Ordering {
        let total = |record: &Record| record.bytes_sent + record.bytes_received;
        let by_key = match self.key {
            SortKey::EndTime => left.end_time.map(cut).cmp(&right.end_time.map(cut)),
            SortKey::StartTime => cut(left.start_time).cmp(&cut(right.start_time)),
            SortKey::Duration => match (left.end_time, right.end_time) {
                (None, None) => cut(right.start_time).cmp(&cut(left.start_time)),
                _ => left.duration.map(millis).cmp(&right.duration.map(millis)),
            },
            SortKey::BytesSent => left.bytes_sent.cmp(&right.bytes_sent),
            SortKey::BytesReceived => left.bytes_received.cmp(&right.bytes_received),
            SortKey::Bytes => total(left).cmp(&total(right)),
            SortKey::User => left.user.cmp(&right.user),
        };
        let order = by_key.then(left.session_id.cmp(&right.session_id));
        match self.direction {
            Direction::Ascending => order,
            Direction::Descending => order.reverse(),
        }
    }
}

/// A place in the history ordered by end time and id; everything older comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The end of the last record seen, in milliseconds since 1970.
    pub end_millis: i64,
    /// Its id.
    pub session_id: SessionId,
}

impl Cursor {
    /// The place right behind a record; none for a running session.
    pub fn behind(record: &Record) -> Option<Self> {
        let end_millis = cut(record.end_time?);
        Some(Self { end_millis, session_id: record.session_id })
    }

    /// Whether a record comes after this place.
    pub fn is_before(&self, record: &Record) -> bool {
        record
            .end_time
            .is_some_and(|end| (cut(end), record.session_id) < (self.end_millis, self.session_id))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.end_millis, self.session_id)
    }
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of an earlier answer")]
pub struct BadCursor;

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (millis, id) = text.split_once('_').ok_or(BadCursor)?;
        let end_millis = millis.parse().map_err(|_| BadCursor)?;
        let end = Timestamp::from_millisecond(end_millis).map_err(|_| BadCursor)?;
        if end < Timestamp::UNIX_EPOCH {
            return Err(BadCursor);
        }
        Ok(Self { end_millis, session_id: id.parse().map_err(|_| BadCursor)? })
    }
}

/// Which part of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// The page of this number, counted from 0.
    Page(u64),
    /// What comes behind this place; for the default order alone.
    Behind(Cursor),
}

/// Records before a page that are gone through in memory, because it is not known beforehand how
/// many of them come from the store.
const DEEPEST: usize = 100_000;

/// A piece of what a store alone has of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// What comes behind this place; for the default order alone.
    pub(crate) behind: Option<Cursor>,
    /// How many records to pass over first.
    pub(crate) skip: u64,
    /// How many to give at most.
    pub(crate) take: usize,
}

impl Slice {
    /// What a page of `size` records needs of the store, and one record more, where up to `more`
    /// records come from elsewhere; and how many of both together come before the page. Where it is
    /// as many as there may be, nothing is passed over.
    ///
    /// # Errors
    /// Where too many do.
    pub(crate) fn of(
        paging: Paging,
        size: usize,
        more: usize,
    ) -> Result<(Self, usize), StoreError> {
        match paging {
            Paging::Behind(cursor) => {
                Ok((Self { behind: Some(cursor), skip: 0, take: size.saturating_add(1) }, 0))
            }
            Paging::Page(number) => {
                let skip = number.saturating_mul(size as u64);
                // All that a store has up to here comes before the page, however the others fall.
                let passed = skip.saturating_sub(more as u64);
                let before = usize::try_from(skip - passed).unwrap_or(usize::MAX);
                if before > DEEPEST {
                    return Err(StoreError::TooDeep);
                }
                let take = before.saturating_add(size).saturating_add(1);
                Ok((Self { behind: None, skip: passed, take }, before))
            }
        }
    }
}

/// What a store alone has, all of one moment.
#[derive(Debug)]
pub(crate) struct Part {
    /// How often this node had written.
    pub(crate) own: i64,
    /// The records of the slice, in their order.
    pub(crate) records: Vec<Record>,
    /// How many records the filter finds in all; 0 where nobody asked.
    pub(crate) total: u64,
    /// Which of the sessions that were named are among what the filter finds.
    pub(crate) named: Vec<SessionId>,
}

impl Part {
    /// Leaves the sessions out that were named.
    pub(crate) fn leave_out_named(&mut self) {
        let named: HashSet<SessionId> = self.named.drain(..).collect();
        self.records.retain(|record| !named.contains(&record.session_id));
        self.total = self.total.saturating_sub(named.len() as u64);
    }
}

/// Whether records are counted as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    Counted,
    Left,
}

/// A part of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// How many records the filter finds in all.
    pub total: u64,
    /// The place behind the last record, where there may be more and the order is the default.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page of at most `size` records from one that may hold one more.
    pub(crate) fn new(mut records: Vec<Record>, size: usize, total: u64, sort: Sort) -> Self {
        let more = records.len() > size;
        records.truncate(size);
        let next = match more && sort == Sort::default() {
            true => records.last().and_then(Cursor::behind),
            false => None,
        };
        Self { records, total, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_run_for_so_long_started_so_long_ago() {
        let now = Timestamp::from_millisecond(1_790_000_000_000).unwrap();
        let filter = |least: u64, start_before: Option<i64>| Filter {
            min_duration: Some(Duration::from_secs(least)),
            start_before: start_before.map(|at| Timestamp::from_millisecond(at).unwrap()),
            ..Filter::default()
        };
        for (filter, before) in [
            (filter(60, None), 1_789_999_940_001),
            (filter(60, Some(1_789_999_000_000)), 1_789_999_000_000),
            (filter(60, Some(1_790_000_000_000)), 1_789_999_940_001),
            (filter(1_790_000_001, None), 0),
            (filter(u64::MAX, None), 0),
        ] {
            let running = filter.of_running(now);
            assert_eq!((running.min_duration, running.status), (None, Some(Status::Active)));
            assert_eq!(running.start_before.map(cut), Some(before));
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_is_refused() {
        let text = "1790000000123_01a209d1-312c-7766-9078-e3ca9fe9a20f";
        assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        for bad in [
            "",
            "_",
            "1_",
            "x_01a209d1-312c-7766-9078-e3ca9fe9a20f",
            "-1_01a209d1-312c-7766-9078-e3ca9fe9a20f",
            "9223372036854775807_01a209d1-312c-7766-9078-e3ca9fe9a20f",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
