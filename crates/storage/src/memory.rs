//! The store without a file: running sessions, and the newest ended ones in a ring.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use rustsocks_sessions::{Record, SessionId};

use crate::filter::{Filter, Part, Slice, Sort, Total};
use crate::rollup::{Booked, ByKind, Changes, Kind, MINUTE, Sums, span_start};
use crate::store::{crashed, replaces};
use crate::verify::Run;
use crate::windows::{ByName, Edge, Found, Started, Wanted, sums_by_name};

/// Hours of usage that are kept, of all users together.
const MOST_HOURS: usize = 100_000;

/// Sessions in memory, the oldest ended ones forgotten first.
#[derive(Debug)]
pub struct MemoryStore {
    ring: Mutex<Ring>,
    most: usize,
}

#[derive(Debug, Default)]
struct Ring {
    /// Ended ones, in order of arrival.
    ids: VecDeque<SessionId>,
    records: HashMap<SessionId, Record>,
    /// By the minute in which they started.
    started: BTreeSet<(i64, SessionId)>,
    /// Bytes to destinations and from them, by hour and user.
    usage: BTreeMap<(i64, String), (i64, i64)>,
    version: i64,
}

impl Ring {
    fn remove(&mut self, id: SessionId) -> Option<Record> {
        let record = self.records.remove(&id)?;
        self.started.remove(&(minute(&record), id));
        Some(record)
    }

    fn booked(&mut self, rows: usize, changes: Changes) -> Booked {
        for flow in changes.flows() {
            let used = self.usage.entry((flow.hour, flow.user.to_string())).or_default();
            *used = (used.0 + flow.sent, used.1 + flow.received);
        }
        while self.usage.len() > MOST_HOURS {
            self.usage.pop_first();
        }
        self.version += 1;
        Booked { version: self.version, rows: rows as u64, changes }
    }

    fn started_in(&self, first: i64, end: i64) -> impl Iterator<Item = &Record> {
        let least = SessionId::default();
        self.started.range((first, least)..(end, least)).filter_map(|(_, id)| self.records.get(id))
    }
}

/// The sums of all sessions: each has one user.
fn total_of(names: &ByKind<ByName>) -> Sums {
    let mut total = Sums::default();
    names[Kind::User as usize].values().for_each(|sums| total.add(sums));
    total
}

fn minute(record: &Record) -> i64 {
    span_start(record.start_time.as_millisecond(), MINUTE)
}

impl MemoryStore {
    /// A store of at most `most` ended sessions.
    pub fn new(most: usize) -> Self {
        Self { ring: Mutex::default(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn save(&self, records: &[Record]) -> Booked {
        let mut ring = self.lock();
        let mut changes = Changes::default();
        let mut rows = 0;
        for record in records {
            let id = record.session_id;
            let known = ring.records.get(&id);
            if known.is_some_and(|known| !replaces(record, known)) {
                continue;
            }
            rows += 1;
            changes.replace(known, record);
            let was_ended = known.is_some_and(|known| known.end_time.is_some());
            ring.records.insert(id, record.clone());
            ring.started.insert((minute(record), id));
            if record.end_time.is_none() || was_ended {
                continue;
            }
            ring.ids.push_back(id);
            if ring.ids.len() > self.most
                && let Some(oldest) = ring.ids.pop_front()
                && let Some(record) = ring.remove(oldest)
            {
                changes.count(&record, -1);
            }
        }
        ring.booked(rows, changes)
    }

    pub(crate) fn close_crashed(&self, node: &str) -> Option<Booked> {
        let is_open = |record: &&Record| record.end_time.is_none() && *record.node_id == *node;
        let open: Vec<Record> =
            self.lock().records.values().filter(is_open).cloned().map(crashed).collect();
        (!open.is_empty()).then(|| self.save(&open))
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Record> {
        self.lock().records.get(&id).cloned()
    }

    pub(crate) fn history(
        &self,
        filter: &Filter,
        sort: Sort,
        slice: Slice,
        total: Total,
        named: &[SessionId],
    ) -> Part {
        let _there_anyway = total;
        let ring = self.lock();
        let mut found: Vec<&Record> =
            ring.records.values().filter(|record| filter.matches(record)).collect();
        let total = found.len() as u64;
        let is_found =
            |id: &&SessionId| ring.records.get(id).is_some_and(|row| filter.matches(row));
        let named = named.iter().filter(is_found).copied().collect();
        found.sort_unstable_by(|left, right| sort.compare(left, right));
        let skip = usize::try_from(slice.skip).unwrap_or(usize::MAX);
        let records = found
            .into_iter()
            .filter(|record| slice.behind.is_none_or(|cursor| cursor.is_before(record)))
            .skip(skip)
            .take(slice.take)
            .cloned()
            .collect();
        Part { own: ring.version, records, total, named }
    }

    pub(crate) fn oldest(&self, before: Timestamp, most: usize) -> Vec<Record> {
        let ring = self.lock();
        let is_old = |record: &&Record| {
            record.end_time.is_some_and(|end| end.as_millisecond() < before.as_millisecond())
        };
        let mut found: Vec<Record> = ring.records.values().filter(is_old).cloned().collect();
        found.sort_unstable_by_key(|record| record.end_time);
        found.truncate(most);
        found
    }

    pub(crate) fn delete(&self, ids: &[SessionId]) -> Booked {
        let mut ring = self.lock();
        let mut changes = Changes::default();
        let mut rows = 0;
        for record in ids.iter().filter_map(|id| ring.remove(*id)) {
            changes.count(&record, -1);
            rows += 1;
        }
        let Ring { ids, records, .. } = &mut *ring;
        ids.retain(|id| records.contains_key(id));
        ring.booked(rows, changes)
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().records.len() as u64
    }

    pub(crate) fn version(&self) -> i64 {
        self.lock().version
    }

    pub(crate) fn rows_of_run(&self, node: &str, first: SessionId) -> Run {
        let ring = self.lock();
        let mut sums = Sums::default();
        let rows = ring.records.values();
        rows.filter(|row| *row.node_id == *node && row.session_id >= first)
            .for_each(|row| sums.add(&Sums::of(row)));
        Run { writes: ring.version, sums }
    }

    pub(crate) fn sums(&self, wanted: &Wanted) -> Found {
        let ring = self.lock();
        let ranges = wanted.ranges.iter();
        let sums = sums_by_name(ranges.flat_map(|(_, first, end)| ring.started_in(*first, *end)));
        let total = total_of(&sums);
        let edge = wanted.edge.map(|edge| {
            let started = || ring.started_in(edge.minute, edge.minute + MINUTE);
            if started().count() <= edge.most {
                return Edge::Rows(started().map(Started::of).collect());
            }
            let is_within = |row: &&Record| row.start_time.as_millisecond() >= edge.from;
            let names = sums_by_name(started().filter(is_within));
            Edge::Sums { total: total_of(&names), names: names.into() }
        });
        Found { own: ring.version, others: 0, elsewhere: 0, edge, sums, total }
    }

    pub(crate) fn usage(&self, user: Option<&str>, span: i64, range: (i64, i64)) -> Usage {
        let mut usage: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let hours = (range.0, String::new())..(range.1, String::new());
        let ring = self.lock();
        for ((hour, name), flow) in ring.usage.range(hours) {
            if user.is_none_or(|user| user == name) {
                let sum = usage.entry(hour.div_euclid(span) * span).or_default();
                *sum = (sum.0 + flow.0, sum.1 + flow.1);
            }
        }
        let spans = usage.into_iter().map(|(start, flow)| (start, flow.0, flow.1)).collect();
        Usage { own: ring.version, spans }
    }

    pub(crate) fn forget_usage(&self, before: i64) {
        let mut ring = self.lock();
        ring.usage = ring.usage.split_off(&(before, String::new()));
    }
}

/// What was used, all of one moment.
#[derive(Debug)]
pub(crate) struct Usage {
    /// How often this node had written.
    pub(crate) own: i64,
    /// Spans with the bytes that flowed in them: start in seconds, to destinations, from them.
    pub(crate) spans: Vec<(i64, i64, i64)>,
}
