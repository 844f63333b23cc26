//! The store without a file: the newest ended sessions in a ring.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use rustsocks_sessions::{Record, SessionId, Status};

use crate::filter::{Filter, Page, Paging, Sort};
use crate::store::replaces;

/// Ended sessions in memory, the oldest forgotten first. Running ones live in the table alone.
#[derive(Debug)]
pub struct MemoryStore {
    ring: Mutex<Ring>,
    most: usize,
}

#[derive(Debug, Default)]
struct Ring {
    /// In order of arrival.
    ids: VecDeque<SessionId>,
    records: HashMap<SessionId, Record>,
}

impl MemoryStore {
    /// A store of at most `most` sessions.
    pub fn new(most: usize) -> Self {
        Self { ring: Mutex::default(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn save(&self, records: &[Record]) {
        let mut ring = self.lock();
        for record in records.iter().filter(|record| record.status != Status::Active) {
            if let Some(known) = ring.records.get_mut(&record.session_id) {
                if replaces(record, known) {
                    *known = record.clone();
                }
                continue;
            }
            ring.records.insert(record.session_id, record.clone());
            ring.ids.push_back(record.session_id);
            if ring.ids.len() > self.most
                && let Some(oldest) = ring.ids.pop_front()
            {
                ring.records.remove(&oldest);
            }
        }
    }

    /// No run but this one has anything in it.
    pub(crate) fn close_crashed(&self, _node: &str) -> u64 {
        0
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Record> {
        self.lock().records.get(&id).cloned()
    }

    pub(crate) fn history(&self, filter: &Filter, sort: Sort, paging: Paging, size: usize) -> Page {
        let mut found: Vec<Record> =
            self.lock().records.values().filter(|record| filter.matches(record)).cloned().collect();
        let total = found.len() as u64;
        found.sort_unstable_by(|left, right| sort.compare(left, right));
        let part: Vec<Record> = match paging {
            Paging::Page(number) => {
                let skip = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(size);
                found.into_iter().skip(skip).take(size + 1).collect()
            }
            Paging::Behind(cursor) => {
                found.into_iter().filter(|record| cursor.is_before(record)).take(size + 1).collect()
            }
        };
        Page::new(part, size, total, sort)
    }

    pub(crate) fn expire(&self, before: Timestamp, most: usize) -> u64 {
        let mut ring = self.lock();
        let Ring { ids, records } = &mut *ring;
        let mut expired = 0;
        ids.retain(|id| {
            let old = records.get(id).is_some_and(|record| {
                record.end_time.is_some_and(|end| end.as_millisecond() < before.as_millisecond())
            });
            if !old || expired >= most {
                return true;
            }
            records.remove(id);
            expired += 1;
            false
        });
        expired as u64
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

    pub(crate) fn delete(&self, ids: &[SessionId]) -> u64 {
        let mut ring = self.lock();
        let removed = ids.iter().filter(|id| ring.records.remove(*id).is_some()).count();
        let Ring { ids, records } = &mut *ring;
        ids.retain(|id| records.contains_key(id));
        removed as u64
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().ids.len() as u64
    }
}
