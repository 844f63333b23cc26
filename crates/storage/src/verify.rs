//! Recomputing the ledger from its rows: sums, and rows that contradict themselves.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{CloseReason, Record, Status};

use crate::filter::{Filter, Paging, Sort};
use crate::store::{Store, StoreError};
use crate::{rollup, time};

/// How far `duration_ms` may be from the difference of the two times: those come from the wall
/// clock, cut to milliseconds each, and rows of 0.9 know whole seconds alone.
const DURATION_SLACK_MS: u64 = 1001;

/// Rows read at a time.
const PAGE: usize = 1000;

/// What recomputing says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Rows read.
    pub sessions: u64,
    /// Sessions by status.
    pub by_status: BTreeMap<&'static str, u64>,
    /// Bytes to destinations.
    pub bytes_sent: u128,
    /// Bytes from destinations.
    pub bytes_received: u128,
    /// Packets to destinations.
    pub packets_sent: u128,
    /// Packets from destinations.
    pub packets_received: u128,
    /// Rows that contradict themselves.
    pub wrong: u64,
    /// The first of these.
    pub first_wrong: Option<Contradiction>,
    /// Rollups that are not what counting the rows gives.
    pub wrong_rollups: WrongRollups,
}

/// What the sessions of one run of the program come to, after so many writes into the store: as
/// the process has counted them, or as their rows say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// How often the run's node had written, in all its runs.
    pub writes: i64,
    /// Its sessions, the running ones as far as the store has them.
    pub sums: rollup::Sums,
}

/// Rollups that are not what counting the rows gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrongRollups {
    /// How many.
    pub count: u64,
    /// The first of these.
    pub first: Option<WrongRollup>,
}

/// A rollup that is not what counting the rows gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongRollup {
    /// By what it sums: `user`, `dest`, `reason`, `rule`.
    pub kind: String,
    /// Whose sums these are: a user, a destination with its port, a reason, a rule.
    pub name: String,
    /// The node whose sessions are summed.
    pub node_id: String,
    /// The length of the time in which they started, in seconds.
    pub span: i64,
    /// Where that time begins, in seconds since 1970.
    pub start: i64,
    /// What the rows give.
    pub counted: rollup::Sums,
    /// What is kept.
    pub kept: rollup::Sums,
}

impl fmt::Display for WrongRollup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, node_id, span, start, .. } = self;
        let from = Timestamp::from_second(*start).map(time::to_text).unwrap_or_default();
        let (counted, kept) = (&self.counted, &self.kept);
        write!(f, "{kind} {name:?} on node {node_id:?}, {span} s from {from}: ")?;
        write!(f, "the rows give {counted}; the rollup says {kept}")
    }
}

/// A row that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Its session.
    pub session_id: String,
    /// The column, and what is wrong with it.
    pub problem: String,
}

impl Sums {
    /// Takes a record in; `more` tells what else is wrong with its row.
    pub(crate) fn add(&mut self, record: &Record, more: impl FnOnce() -> Option<String>) {
        self.sessions += 1;
        *self.by_status.entry(record.status.name()).or_default() += 1;
        self.bytes_sent += u128::from(record.bytes_sent);
        self.bytes_received += u128::from(record.bytes_received);
        self.packets_sent += u128::from(record.packets_sent);
        self.packets_received += u128::from(record.packets_received);
        if let Some(problem) = more().or_else(|| contradiction(record)) {
            self.note(record.session_id.to_string(), problem);
        }
    }

    /// Takes in a row that is no record.
    #[cfg(feature = "sqlite")]
    pub(crate) fn add_unreadable(&mut self, session_id: String, problem: String) {
        self.sessions += 1;
        self.note(session_id, problem);
    }

    fn note(&mut self, session_id: String, problem: String) {
        self.wrong += 1;
        self.first_wrong.get_or_insert(Contradiction { session_id, problem });
    }
}

/// Reads every record of a store and recomputes it, a page at a time. Changes nothing.
///
/// # Errors
/// [`StoreError`]; a row that is no record is one, and names itself.
pub async fn verify(store: &Store) -> Result<Sums, StoreError> {
    let mut sums = Sums::default();
    let running = Filter { status: Some(Status::Active), ..Filter::default() };
    for filter in [Filter::default(), running] {
        let mut paging = Paging::Page(0);
        loop {
            let page = store.history(&filter, Sort::default(), paging, PAGE).await?;
            page.records.iter().for_each(|record| sums.add(record, || None));
            paging = match (page.next, paging) {
                (Some(cursor), _) => Paging::Behind(cursor),
                // Running sessions have no end to walk along.
                (None, Paging::Page(number)) if page.records.len() == PAGE => {
                    Paging::Page(number + 1)
                }
                _ => break,
            };
        }
    }
    sums.wrong_rollups = store.wrong_rollups().await?;
    Ok(sums)
}

/// What in a record contradicts something else in it.
fn contradiction(record: &Record) -> Option<String> {
    let active = record.status == Status::Active;
    if active && (record.end_time.is_some() || record.close_reason.is_some()) {
        return Some("status is active, but the session has an end".into());
    }
    if active {
        return None;
    }
    let (Some(end), Some(reason)) = (record.end_time, record.close_reason) else {
        return Some("status is that of an ended session, but end or reason is missing".into());
    };
    if end < record.start_time {
        return Some("end_time is before start_time".into());
    }
    let lasted = end.duration_since(record.start_time).unsigned_abs();
    let duration = record.duration.unwrap_or_default();
    if millis(duration.abs_diff(lasted)) > DURATION_SLACK_MS {
        let (said, lasted) = (millis(duration), millis(lasted));
        return Some(format!("duration_ms is {said}, from start to end it is {lasted}"));
    }
    let refused = reason == CloseReason::RejectedByAcl;
    if refused != (record.status == Status::RejectedByAcl) {
        return Some("status and close_reason do not go together".into());
    }
    if reason == CloseReason::ServerCrash && record.status != Status::Failed {
        return Some("close_reason is server_crash, but status is not failed".into());
    }
    None
}
