//! Ended sessions that are on disk alone: where they lie in the journal, and what a page of the
//! history needs of them.
//!
//! Four bytes of memory per session: a page reads the segments again, at most one at a time. Of those
//! that the store knows as running, the ids are in memory too.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use rustsocks_journal::Reader;
use rustsocks_sessions::{Record, SessionId};

use crate::filter::{Cursor, Filter, Sort, Total};

/// Where they lie. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spilled {
    segments: BTreeMap<u64, Segment>,
}

/// Those in one segment.
#[derive(Clone, Debug)]
struct Segment {
    /// At which bytes they begin, in order.
    places: Arc<Vec<u32>>,
    /// Those of which the store has a former state.
    former: Arc<BTreeMap<u32, SessionId>>,
    /// The first and the last end among them, in milliseconds since 1970.
    ends: (i64, i64),
}

/// What is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) filter: Filter,
    pub(crate) sort: Sort,
    /// Only what comes behind this place.
    pub(crate) behind: Option<Cursor>,
    /// How many records to give, the first in the order.
    pub(crate) most: usize,
    /// Whether all that the filter finds is counted as well.
    pub(crate) total: Total,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    pub(crate) records: Vec<Record>,
    /// How many the filter finds, where that is asked.
    pub(crate) total: u64,
}

impl Spilled {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.values().map(|segment| segment.places.len()).sum()
    }

    /// Notes a session that lies in a segment at a byte.
    pub(crate) fn add(&mut self, (segment, place): (u64, u32), record: &Record) {
        let end = end(record);
        let new = || Segment { places: Arc::default(), former: Arc::default(), ends: (end, end) };
        let segment = self.segments.entry(segment).or_insert_with(new);
        let places = Arc::make_mut(&mut segment.places);
        // They come in the order in which they were written, but for rare ones.
        let at = places.partition_point(|known| *known < place);
        places.insert(at, place);
        segment.ends = (segment.ends.0.min(end), segment.ends.1.max(end));
    }

    /// Notes that the store has a former state of the one that lies in a segment at a byte.
    pub(crate) fn note_former(&mut self, (segment, place): (u64, u32), id: SessionId) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            Arc::make_mut(&mut segment.former).insert(place, id);
        }
    }

    /// Those of which the store has a former state.
    pub(crate) fn former(&self) -> impl Iterator<Item = SessionId> {
        self.segments.values().flat_map(|segment| segment.former.values().copied())
    }

    /// Whether one lies in a segment at a byte.
    pub(crate) fn has(&self, (segment, place): (u64, u32)) -> bool {
        let known = self.segments.get(&segment);
        known.is_some_and(|known| known.places.binary_search(&place).is_ok())
    }

    /// Forgets one that the store has now.
    pub(crate) fn remove(&mut self, (segment, place): (u64, u32)) {
        self.retain(segment, |known| known != place);
    }

    /// Forgets those of a segment that begin at a byte or before it: the store has them now.
    pub(crate) fn remove_up_to(&mut self, segment: u64, place: u32) {
        self.retain(segment, |known| known > place);
    }

    fn retain(&mut self, segment: u64, keep: impl Fn(u32) -> bool) {
        let Some(known) = self.segments.get_mut(&segment) else { return };
        let places = Arc::make_mut(&mut known.places);
        places.retain(|place| keep(*place));
        Arc::make_mut(&mut known.former).retain(|place, _| keep(*place));
        if places.is_empty() {
            self.segments.remove(&segment);
        }
    }

    /// Reads what a search finds; none where a segment is gone, because the store has it by now.
    /// Blocks.
    pub(crate) fn search(&self, journal: &Reader, wanted: &Search) -> io::Result<Option<Finding>> {
        let mut found = Finding::default();
        let mut segments: Vec<_> = self.segments.iter().collect();
        segments.sort_by_key(|(_, segment)| Reverse(segment.ends.1));
        let by_end = wanted.total == Total::Left && wanted.sort == Sort::default();
        for (number, segment) in segments {
            if by_end && wanted.behind.is_some_and(|place| place.end_millis < segment.ends.0) {
                continue;
            }
            let last = wanted.most.checked_sub(1).and_then(|last| found.records.get(last));
            if by_end && last.is_some_and(|last| end(last) > segment.ends.1) {
                break;
            }
            let Some(records) = journal.read(*number, &segment.places)? else { return Ok(None) };
            for record in records.into_iter().filter(|record| wanted.filter.matches(record)) {
                found.total += 1;
                if wanted.behind.is_none_or(|place| place.is_before(&record)) {
                    found.records.push(record);
                }
            }
            found.records.sort_by(|left, right| wanted.sort.compare(left, right));
            found.records.truncate(wanted.most);
        }
        Ok(Some(found))
    }

    /// Reads the record of one session. Blocks.
    pub(crate) fn find(&self, journal: &Reader, id: SessionId) -> io::Result<Option<Record>> {
        for (number, segment) in &self.segments {
            // Where it is gone, the store has what was in it.
            let records = journal.read(*number, &segment.places)?.unwrap_or_default();
            let found = records.into_iter().find(|record| record.session_id == id);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

fn end(record: &Record) -> i64 {
    record.end_time.unwrap_or(record.updated_at).as_millisecond()
}
