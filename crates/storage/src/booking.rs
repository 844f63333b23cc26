//! One write to a database: rows, rollups, usage and the node's version, all or none.

use std::collections::HashMap;

use rustsocks_sessions::{Record, SessionId};

use crate::rollup::{Booked, Changes, DAY, HOUR, Key, Kind, MINUTE, Sums};
use crate::row::{Columns, record};
use crate::sql::{self, Dialect, Statement};
use crate::store::{StoreError, crashed, replaces};

/// Sessions asked for at once, and rows of rollups written at once.
const CHUNK: usize = 512;

/// Seconds of the spans whose sums a database keeps, the finest first.
const SPANS: [i64; 3] = [MINUTE, HOUR, DAY];

/// A connection of any engine.
pub(crate) trait Connected {
    /// Its rows.
    type Row: Columns;

    /// Runs a statement; gives how many rows it changed.
    fn execute(
        &mut self,
        statement: Statement,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Runs a query.
    fn fetch(
        &mut self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Writes the newest states of sessions.
    fn upsert(
        &mut self,
        records: &[&Record],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A connection about to write for a node.
pub(crate) struct Booking<'a, C> {
    pub(crate) connection: &'a mut C,
    pub(crate) dialect: Dialect,
    /// Who writes.
    pub(crate) writer: &'a str,
}

impl<C: Connected + Send> Booking<'_, C> {
    /// Saves records in one transaction. The first `seen` of them may be there already, in any
    /// state and more than once; the others are new.
    pub(crate) async fn save(
        &mut self,
        records: &[Record],
        seen: usize,
    ) -> Result<Booked, StoreError> {
        let version = self.begin().await?;
        let booked = self.save_within(version, records, seen).await?;
        self.run("COMMIT").await?;
        Ok(booked)
    }

    /// Begins a transaction, and counts the write: gives how often was written.
    ///
    /// The count comes first because its row stays locked until the end: a write that is tried
    /// again waits here for a first try whose end was not heard of, and then sees what that did.
    async fn begin(&mut self) -> Result<i64, StoreError> {
        self.run(self.dialect.begin()).await?;
        self.connection.execute(sql::next_version(self.dialect, self.writer)).await?;
        let row = self.connection.fetch(sql::own_version(self.dialect, self.writer)).await?;
        let version = row.first().map(|row| row.number("version")).transpose()?.flatten();
        Ok(version.unwrap_or(0))
    }

    async fn save_within(
        &mut self,
        version: i64,
        records: &[Record],
        seen: usize,
    ) -> Result<Booked, StoreError> {
        let (seen, new) = records.split_at(seen.min(records.len()));
        let seen = newest(seen);
        let known = self.known(seen.iter().map(|record| record.session_id)).await?;
        let mut changes = Changes::default();
        let mut rows: Vec<&Record> = Vec::with_capacity(records.len());
        for record in seen {
            let known = known.get(&record.session_id);
            if known.is_none_or(|known| replaces(record, known)) {
                changes.replace(known, record);
                rows.push(record);
            }
        }
        for record in new {
            changes.replace(None, record);
            rows.push(record);
        }
        self.connection.upsert(&rows).await?;
        self.book(&changes).await?;
        Ok(Booked { version, rows: rows.len() as u64, changes })
    }

    /// Deletes sessions in one transaction. What they used stays in the usage by hour.
    pub(crate) async fn delete(&mut self, ids: &[SessionId]) -> Result<Booked, StoreError> {
        let version = self.begin().await?;
        let known = self.known(ids.iter().copied()).await?;
        let mut changes = Changes::default();
        known.values().for_each(|record| changes.count(record, -1));
        let ids: Vec<SessionId> = known.into_keys().collect();
        for ids in ids.chunks(CHUNK) {
            self.connection.execute(sql::delete(self.dialect, ids)).await?;
        }
        self.book(&changes).await?;
        let starts = || changes.minutes().map(|(key, _)| key.start);
        if let (Some(first), Some(last)) = (starts().min(), starts().max()) {
            for (kind, span) in
                Kind::ALL.into_iter().flat_map(|kind| SPANS.map(|span| (kind, span)))
            {
                let first = first.div_euclid(span) * span;
                let empty = sql::forget_empty(self.dialect, kind, span, first, last);
                self.connection.execute(empty).await?;
            }
        }
        self.run("COMMIT").await?;
        Ok(Booked { version, rows: ids.len() as u64, changes })
    }

    /// Ends up to a few hundred of the rows that a node left open: `failed`, `server_crash`, at
    /// the time they were last known. None when nothing is open.
    pub(crate) async fn close_crashed(&mut self, node: &str) -> Result<Option<Booked>, StoreError> {
        let version = self.begin().await?;
        let open = self.connection.fetch(sql::open_of(self.dialect, node, CHUNK)).await?;
        let crashed: Vec<Record> =
            open.iter().map(record).map(|open| open.map(crashed)).collect::<Result<_, _>>()?;
        if crashed.is_empty() {
            self.run("ROLLBACK").await?;
            return Ok(None);
        }
        let booked = self.save_within(version, &crashed, crashed.len()).await?;
        self.run("COMMIT").await?;
        Ok(Some(booked))
    }

    /// Forgets usage of hours before a time, in seconds since 1970.
    pub(crate) async fn forget_usage(&mut self, before: i64) -> Result<(), StoreError> {
        self.connection.execute(sql::forget_usage(self.dialect, before)).await.map(drop)
    }

    async fn run(&mut self, text: &str) -> Result<(), StoreError> {
        self.connection.execute(Statement::new(self.dialect, text)).await.map(drop)
    }

    /// What is there of these sessions.
    async fn known(
        &mut self,
        ids: impl Iterator<Item = SessionId>,
    ) -> Result<HashMap<SessionId, Record>, StoreError> {
        let ids: Vec<SessionId> = ids.collect();
        let mut known = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            for row in self.connection.fetch(sql::find_all(self.dialect, ids)).await? {
                let record = record(&row)?;
                known.insert(record.session_id, record);
            }
        }
        Ok(known)
    }

    /// Writes what changes in the sums.
    async fn book(&mut self, changes: &Changes) -> Result<(), StoreError> {
        for span in SPANS {
            let changed = by_span(changes, span);
            for rows in in_powers_of_two(&changed) {
                self.connection.execute(sql::add_to_rollups(self.dialect, span, rows)).await?;
            }
        }
        let flows = changes.flows();
        for rows in in_powers_of_two(&flows) {
            self.connection.execute(sql::add_to_usage(self.dialect, rows)).await?;
        }
        Ok(())
    }
}

/// What changes by a span, in the order of the keys, so that two nodes lock rows in one order.
fn by_span(changes: &Changes, span: i64) -> Vec<(Key, Sums)> {
    let mut spans: HashMap<Key, Sums> = HashMap::new();
    for (key, sums) in changes.minutes() {
        let key = Key { start: key.start.div_euclid(span) * span, ..key.clone() };
        spans.entry(key).or_default().add(sums);
    }
    let mut list: Vec<_> = spans.into_iter().filter(|(_, sums)| !sums.is_zero()).collect();
    list.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    list
}

/// A row in the order of its parts, so that few different statements are prepared.
fn in_powers_of_two<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = (1 << rows.len().checked_ilog2()?).min(CHUNK);
        let (part, rest) = rows.split_at(size);
        rows = rest;
        Some(part)
    })
}

/// The newest state of each session, in the order of their ids, so that two nodes lock rows in
/// one order. PostgreSQL takes a session only once per statement.
fn newest(records: &[Record]) -> Vec<&Record> {
    let mut newest: HashMap<SessionId, &Record> = HashMap::with_capacity(records.len());
    for record in records {
        let known = newest.entry(record.session_id).or_insert(record);
        if replaces(record, known) {
            *known = record;
        }
    }
    let mut list: Vec<&Record> = newest.into_values().collect();
    list.sort_unstable_by_key(|record| record.session_id);
    list
}
