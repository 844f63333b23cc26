//! Rollups: sums of sessions by the minute, hour and day in which they started, per user and per
//! destination, and of what failed or was refused per reason and per rule; and the bytes of each
//! hour in which they flowed, per user.
//!
//! A save knows what each row was before, so the sums change by the difference and always equal
//! what counting the rows would give.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustsocks_sessions::tally::EndedSums;
use rustsocks_sessions::{CloseReason, Record, Status};

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 86_400;

/// A time that lies behind every ledger, in seconds: a day around the year 4700. As far before
/// 1970, it lies before every one.
pub(crate) const FAR: i64 = 1_000_000 * DAY;

/// What is summed. Differences may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sessions of every kind, running ones too.
    pub sessions: i64,
    /// Sessions that failed.
    pub failed: i64,
    /// Sessions that the access rules refused.
    pub rejected: i64,
    /// Payload bytes, client to destination.
    pub sent: i64,
    /// Payload bytes, destination to client.
    pub received: i64,
}

impl Sums {
    /// What one record adds.
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            sessions: 1,
            failed: i64::from(record.status == Status::Failed),
            rejected: i64::from(record.status == Status::RejectedByAcl),
            sent: signed(record.bytes_sent),
            received: signed(record.bytes_received),
        }
    }

    /// Bytes of both directions.
    pub fn bytes(&self) -> i64 {
        self.sent.saturating_add(self.received)
    }

    /// Sessions that failed or were refused.
    pub fn unsuccessful(&self) -> i64 {
        self.failed.saturating_add(self.rejected)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.add_times(other, 1);
    }

    /// Adds something so many times: -1 takes it off.
    pub(crate) fn add_times(&mut self, other: &Self, times: i64) {
        let add = |value: &mut i64, more: i64| {
            *value = value.saturating_add(more.saturating_mul(times));
        };
        add(&mut self.sessions, other.sessions);
        add(&mut self.failed, other.failed);
        add(&mut self.rejected, other.rejected);
        add(&mut self.sent, other.sent);
        add(&mut self.received, other.received);
    }

    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, failed, rejected, sent, received } = self;
        write!(f, "{sessions} sessions, {failed} failed, {rejected} rejected, ")?;
        write!(f, "{sent} bytes sent, {received} received")
    }
}

impl From<EndedSums> for Sums {
    fn from(ended: EndedSums) -> Self {
        Self {
            sessions: signed(ended.sessions),
            failed: signed(ended.failed),
            rejected: signed(ended.rejected),
            sent: signed(ended.sent),
            received: signed(ended.received),
        }
    }
}

/// By what the sums are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The user's name.
    User,
    /// The destination with its port.
    Dest,
    /// Why it failed or was refused.
    Reason,
    /// The rule that refused it.
    Rule,
}

/// Something for each [`Kind`], in the order of [`Kind::ALL`].
pub(crate) type ByKind<T> = [T; 4];

/// Characters of a rule's name that rollups keep.
const RULE_CHARS: usize = 255;

impl Kind {
    /// Every kind.
    pub(crate) const ALL: ByKind<Self> = [Self::User, Self::Dest, Self::Reason, Self::Rule];

    /// What a name's place among others of its kind goes by.
    pub(crate) fn rank(self, sums: &Sums) -> i64 {
        match self {
            Self::User => sums.bytes(),
            Self::Dest | Self::Reason | Self::Rule => sums.sessions,
        }
    }
}

/// What of a session says under which names it is summed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) user: &'a Arc<str>,
    /// The destination with its port.
    pub(crate) dest: &'a str,
    pub(crate) status: Status,
    pub(crate) close_reason: Option<CloseReason>,
    pub(crate) rule: Option<&'a str>,
}

impl Named<'_> {
    /// Its name of each kind, where it has one.
    pub(crate) fn names(&self) -> ByKind<Option<Arc<str>>> {
        let refused = self.status == Status::RejectedByAcl;
        let reason = self.close_reason.filter(|_| refused || self.status == Status::Failed);
        [
            Some(Arc::clone(self.user)),
            Some(self.dest.into()),
            reason.map(|reason| reason.name().into()),
            self.rule.filter(|_| refused).map(|rule| cut(rule).into()),
        ]
    }
}

/// As much of a rule's name as rollups keep.
pub(crate) fn cut(rule: &str) -> &str {
    let end = rule.char_indices().nth(RULE_CHARS).map_or(rule.len(), |(end, _)| end);
    &rule[..end]
}

/// The names of a record, by kind.
pub(crate) fn names(record: &Record) -> ByKind<Option<Arc<str>>> {
    let named = Named {
        user: &record.user,
        dest: &record.dest(),
        status: record.status,
        close_reason: record.close_reason,
        rule: record.acl_rule_matched.as_deref(),
    };
    named.names()
}

/// What a record adds to the sums of each kind, where `sums` is what it adds of itself: of its
/// former states the store has only running ones, which have neither reason nor rule.
pub(crate) fn by_kind(record: &Record, sums: &Sums) -> ByKind<Sums> {
    let whole = Sums::of(record);
    [*sums, *sums, whole, whole]
}

/// The second in which the span begins that a time, in milliseconds since 1970, falls into.
pub(crate) fn span_start(millis: i64, span: i64) -> i64 {
    millis.div_euclid(1000).div_euclid(span) * span
}

/// The ranges of few spans that make up a range of whole minutes, in their order: span, first
/// start, end, in seconds.
pub(crate) fn adjoining_ranges(first: i64, end: i64) -> Vec<(i64, i64, i64)> {
    let up = |span: i64| -(-first).div_euclid(span) * span;
    let down = |span: i64| end.div_euclid(span) * span;
    let mut ranges = if up(DAY) <= down(DAY) {
        vec![
            (MINUTE, first, up(HOUR)),
            (HOUR, up(HOUR), up(DAY)),
            (DAY, up(DAY), down(DAY)),
            (HOUR, down(DAY), down(HOUR)),
            (MINUTE, down(HOUR), end),
        ]
    } else if up(HOUR) <= down(HOUR) {
        vec![(MINUTE, first, up(HOUR)), (HOUR, up(HOUR), down(HOUR)), (MINUTE, down(HOUR), end)]
    } else {
        vec![(MINUTE, first, end)]
    };
    ranges.retain(|(_, first, end)| first < end);
    ranges
}

/// Which sum: of a node's sessions of one name that started in one span.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    /// Seconds since 1970.
    pub(crate) start: i64,
    pub(crate) node: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// User, hour in seconds since 1970, node.
type FlowKey = (Arc<str>, i64, Arc<str>);

/// By what a write changes the sums.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// By minute.
    minutes: HashMap<Key, Sums>,
    /// Bytes to destinations, bytes from them.
    flows: HashMap<FlowKey, (i64, i64)>,
}

impl Changes {
    /// A row takes the place of another, or of none.
    pub(crate) fn replace(&mut self, known: Option<&Record>, record: &Record) {
        let (sent, received) =
            known.map_or((0, 0), |known| (known.bytes_sent, known.bytes_received));
        let sent = signed(record.bytes_sent) - signed(sent);
        let received = signed(record.bytes_received) - signed(received);
        if sent != 0 || received != 0 {
            let hour = span_start(record.updated_at.as_millisecond(), HOUR);
            let key = (Arc::clone(&record.user), hour, Arc::clone(&record.node_id));
            let flow = self.flows.entry(key).or_default();
            *flow = (flow.0.saturating_add(sent), flow.1.saturating_add(received));
        }
        if let Some(known) = known {
            self.count(known, -1);
        }
        self.count(record, 1);
    }

    /// A row is there so many times more: 1 adds it, -1 takes it off. What flowed stays.
    pub(crate) fn count(&mut self, record: &Record, times: i64) {
        self.add(record, &Sums::of(record), times, usize::MAX);
    }

    /// Adds sums where a record belongs. A destination that is new when there are so many names
    /// already is left out.
    pub(crate) fn add(&mut self, record: &Record, sums: &Sums, times: i64, most: usize) {
        let start = span_start(record.start_time.as_millisecond(), MINUTE);
        let parts = Kind::ALL.into_iter().zip(names(record)).zip(by_kind(record, sums));
        for ((kind, name), sums) in parts {
            let Some(name) = name else { continue };
            let key = Key { kind, start, node: Arc::clone(&record.node_id), name };
            let full = kind == Kind::Dest && self.minutes.len() >= most;
            if full && !self.minutes.contains_key(&key) {
                continue;
            }
            self.minutes.entry(key).or_default().add_times(&sums, times);
        }
    }

    /// What changes by minute.
    pub(crate) fn minutes(&self) -> impl Iterator<Item = (&Key, &Sums)> {
        self.minutes.iter().filter(|(_, sums)| !sums.is_zero())
    }

    /// Takes off what is in others and here, and forgets what comes to nothing.
    pub(crate) fn take_off(&mut self, others: &Self) {
        for (key, sums) in others.minutes() {
            if let Some(here) = self.minutes.get_mut(key) {
                here.add_times(sums, -1);
            }
        }
        self.minutes.retain(|_, sums| !sums.is_zero());
    }

    /// What flowed, in the order of its fields, so that two nodes lock rows in one order.
    pub(crate) fn flows(&self) -> Vec<Flow<'_>> {
        let mut list: Vec<_> = self
            .flows
            .iter()
            .filter(|(_, flow)| **flow != (0, 0))
            .map(|((user, hour, node), &(sent, received))| Flow {
                user,
                hour: *hour,
                node,
                sent,
                received,
            })
            .collect();
        list.sort_unstable();
        list
    }
}

/// Bytes of a user in an hour on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flow<'a> {
    pub(crate) user: &'a Arc<str>,
    /// Seconds since the epoch at which the hour begins.
    pub(crate) hour: i64,
    pub(crate) node: &'a Arc<str>,
    /// Bytes to destinations.
    pub(crate) sent: i64,
    /// Bytes from destinations.
    pub(crate) received: i64,
}

/// What a write did.
#[derive(Debug, Default)]
pub(crate) struct Booked {
    /// The number of this node's write.
    pub(crate) version: i64,
    /// Rows written or deleted.
    pub(crate) rows: u64,
    pub(crate) changes: Changes,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_adjoin_and_cover_what_they_are_for(first in -5000..5000_i64, length in 0..5000_i64) {
            let (first, end) = (first * MINUTE, (first + length) * MINUTE);
            let mut at = first;
            for (span, first, end) in adjoining_ranges(first, end) {
                prop_assert_eq!(first, at);
                prop_assert!(first < end && first % span == 0 && end % span == 0);
                at = end;
            }
            prop_assert_eq!(at, end);
            prop_assert!(adjoining_ranges(first, end).len() <= 5);
        }
    }
}
