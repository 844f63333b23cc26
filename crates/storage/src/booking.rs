//! One write to a database: rows, rollups, usage and the node's version, all or none.

use std::collections::HashMap;
use std::sync::Arc;

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
        self.run(self.dialect.begin()).await?;
        let booked = self.save_within(records, seen).await?;
        self.run("COMMIT").await?;
        Ok(booked)
    }

    async fn save_within(&mut self, records: &[Record], seen: usize) -> Result<Booked, StoreError> {
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
        self.book(rows.len(), changes).await
    }

    /// Deletes sessions in one transaction. What they used stays in the usage by hour.
    pub(crate) async fn delete(&mut self, ids: &[SessionId]) -> Result<Booked, StoreError> {
        self.run(self.dialect.begin()).await?;
        let known = self.known(ids.iter().copied()).await?;
        let mut changes = Changes::default();
        known.values().for_each(|record| changes.count(record, -1));
        let ids: Vec<SessionId> = known.into_keys().collect();
        for ids in ids.chunks(CHUNK) {
            self.connection.execute(sql::delete(self.dialect, ids)).await?;
        }
        let booked = self.book(ids.len(), changes).await?;
        self.run("COMMIT").await?;
        Ok(booked)
    }

    /// Ends up to a few hundred of the rows that a node left open: `failed`, `server_crash`, at
    /// the time they were last known. None when nothing is open.
    pub(crate) async fn close_crashed(&mut self, node: &str) -> Result<Option<Booked>, StoreError> {
        self.run(self.dialect.begin()).await?;
        let open = self.connection.fetch(sql::open_of(self.dialect, node, CHUNK)).await?;
        let crashed: Vec<Record> =
            open.iter().map(record).map(|open| open.map(crashed)).collect::<Result<_, _>>()?;
        if crashed.is_empty() {
            self.run("ROLLBACK").await?;
            return Ok(None);
        }
        let booked = self.save_within(&crashed, crashed.len()).await?;
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

    /// Counts the write, and notes what it changes in the rollups.
    async fn book(&mut self, rows: usize, changes: Changes) -> Result<Booked, StoreError> {
        self.connection.execute(sql::next_version(self.dialect, self.writer)).await?;
        let row = self.connection.fetch(sql::own_version(self.dialect, self.writer)).await?;
        let version = row.first().map(|row| row.number("version")).transpose()?.flatten();
        let version = version.unwrap_or(0);
        let writer: Arc<str> = self.writer.into();
        let changed: Vec<(&Key, &Sums)> = changes.minutes().collect();
        let mut noted = 0;
        for rows in in_powers_of_two(&changed) {
            let note = sql::log_changes(self.dialect, &writer, version, noted, rows);
            self.connection.execute(note).await?;
            noted += rows.len();
        }
        let flows = changes.flows();
        for rows in in_powers_of_two(&flows) {
            self.connection.execute(sql::add_to_usage(self.dialect, rows)).await?;
        }
        Ok(Booked { version, rows: rows as u64, noted, changes })
    }

    /// Adds to the rollups what the writes of `writer` have noted, in one transaction.
    pub(crate) async fn fold(&mut self, writer: &str) -> Result<(), StoreError> {
        self.run(self.dialect.begin()).await?;
        self.connection.fetch(sql::lock_log(self.dialect, writer)).await?;
        for span in SPANS {
            self.connection.execute(sql::fold_log(self.dialect, writer, span)).await?;
        }
        let lessened = self.connection.fetch(sql::lessened(self.dialect, writer)).await?;
        self.connection.execute(sql::forget_log(self.dialect, writer)).await?;
        let bound = |column| lessened.first().map(|row| row.number(column)).transpose();
        if let (Some(Some(first)), Some(Some(last))) = (bound("first")?, bound("last")?) {
            self.forget_empty(first, last).await?;
        }
        self.run("COMMIT").await
    }

    /// Forgets rollups of a time in which nothing is left.
    async fn forget_empty(&mut self, first: i64, last: i64) -> Result<(), StoreError> {
        for (kind, span) in Kind::ALL.into_iter().flat_map(|kind| SPANS.map(|span| (kind, span))) {
            let first = first.div_euclid(span) * span;
            let empty = sql::forget_empty(self.dialect, kind, span, first, last);
            self.connection.execute(empty).await?;
        }
        Ok(())
    }
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
