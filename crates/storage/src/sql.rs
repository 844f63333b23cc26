//! The statements that every SQL engine answers alike, put together from checked parts. Text from
//! outside is always bound, never part of a statement.
//!
//! Engines differ in how they mark a bound value and write a column; a [`Dialect`] says so. On
//! the wire every value and every column is text or a 64-bit integer.

use std::sync::Arc;

use jiff::Timestamp;
use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{SessionId, Status};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

use crate::filter::{Cursor, Direction, Filter, Slice, Sort, SortKey, Total};
use crate::rollup::{FAR, Flow, Key, Kind, MINUTE, Sums, adjoining_ranges, span_start};
use crate::time;
use crate::windows::{Wanted, WantedEdge};

/// The engines' languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// MariaDB and MySQL.
    #[cfg(feature = "mysql")]
    MySql,
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres,
}

/// A bound value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text; none is SQL's NULL.
    Text(Option<String>),
    /// A text that many values share.
    Shared(Arc<str>),
    /// A text that never changes.
    Fixed(&'static str),
    /// A number; none is SQL's NULL.
    Number(Option<i64>),
}

/// Integers are signed; what does not fit is the largest.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Dialect {
    /// How a time is bound.
    pub(crate) fn time_text(self, time: Timestamp) -> String {
        let text = time::to_text(time);
        match self {
            // DATETIME knows no zone: `2026-01-02 03:04:05.678`, in UTC.
            #[cfg(feature = "mysql")]
            Self::MySql => text[..23].replace('T', " "),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => text,
        }
    }

    /// A time in a column, in the words of [`time::to_text`].
    fn time_column(self, column: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => column.to_owned(),
            #[cfg(feature = "mysql")]
            Self::MySql => format!("DATE_FORMAT({column}, '%Y-%m-%dT%H:%i:%s.%f+00:00')"),
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                let format = r#"YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00""#;
                format!("to_char({column} AT TIME ZONE 'UTC', '{format}')")
            }
        }
    }

    /// The mark of the bound value with this number, counted from 1, and its type where the
    /// engine does not see it from the text that is sent.
    pub(crate) fn put_mark(self, sql: &mut String, number: usize, mark: Mark) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                sql.push('$');
                sql.push_str(&number.to_string());
                sql.push_str(match mark {
                    Mark::Plain => "",
                    Mark::Time => "::timestamptz",
                    Mark::Id => "::uuid",
                });
            }
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => {
                let _of_no_interest = (number, mark);
                sql.push('?');
            }
        }
    }

    /// How long a session that runs had lasted when its values were read, in milliseconds.
    fn so_far(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                "CAST(ROUND((julianday(COALESCE(updated_at, start_time)) - julianday(start_time)) \
                 * 86400000) AS INTEGER)"
            }
            #[cfg(feature = "mysql")]
            Self::MySql => {
                "TIMESTAMPDIFF(MICROSECOND, start_time, COALESCE(updated_at, start_time)) DIV 1000"
            }
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                "ROUND(EXTRACT(EPOCH FROM COALESCE(updated_at, start_time) - start_time) \
                 * 1000)::bigint"
            }
        }
    }

    /// An id column as text.
    pub(crate) fn id_text(self, column: &str) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("{column}::text AS {column}"),
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => column.to_owned(),
        }
    }

    /// The column of the user's name.
    fn user(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => "\"user\"",
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => "user",
        }
    }

    /// What a statement begins with that is to be explained and not run.
    fn explain(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => "EXPLAIN QUERY PLAN ",
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            _ => "EXPLAIN ",
        }
    }

    /// What an explanation says, in columns of text.
    pub(crate) fn explained(self) -> &'static [&'static str] {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => &["detail"],
            #[cfg(feature = "mysql")]
            Self::MySql => &["table", "type", "key", "Extra"],
            #[cfg(feature = "postgres")]
            Self::Postgres => &["QUERY PLAN"],
        }
    }

    /// Begins a transaction that writes.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            // Immediate: a deferred transaction that finds the lock taken later fails at once,
            // however long it may wait.
            #[cfg(feature = "sqlite")]
            Self::Sqlite => "BEGIN IMMEDIATE",
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            _ => "BEGIN",
        }
    }

    /// Keeps others from changing the rows that were found, until the transaction's end.
    fn lock_rows(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => "",
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            _ => " FOR UPDATE",
        }
    }

    /// What to do with a row of sums that is there already: `table.column + added`, per column.
    fn put_sums(self, sql: &mut Statement, table: &str, key: &str, columns: &[&str]) {
        match self {
            #[cfg(feature = "mysql")]
            Self::MySql => sql.push(" ON DUPLICATE KEY UPDATE "),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => sql.push(" ON CONFLICT (").push(key).push(") DO UPDATE SET "),
        };
        for (nth, column) in columns.iter().enumerate() {
            sql.push(if nth > 0 { ", " } else { "" }).push(column).push(" = ");
            sql.push(table).push(".").push(column).push(" + ");
            match self {
                #[cfg(feature = "mysql")]
                Self::MySql => sql.push("VALUES(").push(column).push(")"),
                #[cfg(any(feature = "sqlite", feature = "postgres"))]
                _ => sql.push("excluded.").push(column),
            };
        }
        let _every_engine_needs_less = key;
    }

    /// A text as the bytes by which names are told apart.
    fn name_bytes(self, column: &str) -> String {
        match self {
            #[cfg(feature = "mysql")]
            Self::MySql => format!("CAST({column} AS BINARY)"),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => column.to_owned(),
        }
    }

    /// A name that may be stored as bytes, as text.
    fn name_text(self, column: &str) -> String {
        match self {
            #[cfg(feature = "mysql")]
            Self::MySql => format!("CONVERT({column} USING utf8mb4)"),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => column.to_owned(),
        }
    }

    /// Makes an integer of a sum, which some engines take for a decimal.
    fn integer(self, sum: &str) -> String {
        match self {
            #[cfg(feature = "mysql")]
            Self::MySql => format!("CAST({sum} AS SIGNED)"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("({sum})::bigint"),
            #[cfg(feature = "sqlite")]
            Self::Sqlite => sum.to_owned(),
        }
    }

    /// A column's sum under the column's name.
    fn sum(self, column: &str) -> String {
        format!("{} AS {column}", self.integer(&format!("SUM({column})")))
    }

    /// The migrations, in their order, by name.
    pub(crate) fn migrations(self) -> Vec<Migration> {
        let list = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => vec![
                ("sessions", include_str!("../../../migrations/0001_sessions.sql")),
                ("session details", include_str!("../../../migrations/0002_session_details.sql")),
                ("what 0 9 wrote", include_str!("../../../migrations/0003_what_0_9_wrote.sql")),
                ("rollups", include_str!("../../../migrations/0004_rollups.sql")),
                ("failures", include_str!("../../../migrations/0005_failures.sql")),
                ("metrics points", include_str!("../../../migrations/0006_metrics_points.sql")),
            ],
            #[cfg(feature = "mysql")]
            Self::MySql => vec![
                ("sessions", include_str!("../../../migrations/mysql/0001_sessions.sql")),
                ("nodes", include_str!("../../../migrations/mysql/0002_nodes.sql")),
                ("rollups", include_str!("../../../migrations/mysql/0003_rollups.sql")),
                ("failures", include_str!("../../../migrations/mysql/0004_failures.sql")),
                (
                    "metrics points",
                    include_str!("../../../migrations/mysql/0005_metrics_points.sql"),
                ),
            ],
            #[cfg(feature = "postgres")]
            Self::Postgres => vec![
                ("sessions", include_str!("../../../migrations/postgres/0001_sessions.sql")),
                ("nodes", include_str!("../../../migrations/postgres/0002_nodes.sql")),
                ("rollups", include_str!("../../../migrations/postgres/0003_rollups.sql")),
                ("failures", include_str!("../../../migrations/postgres/0004_failures.sql")),
                (
                    "metrics points",
                    include_str!("../../../migrations/postgres/0005_metrics_points.sql"),
                ),
            ],
        };
        let migration = |((name, text), version): ((&'static str, &'static str), i64)| {
            let sql = text.into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        };
        list.into_iter().zip(1..).map(migration).collect()
    }

    /// Reads all columns of the record, as text and integers under their published names.
    pub(crate) fn select(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => include_str!("../queries/sqlite/select.sql"),
            #[cfg(feature = "mysql")]
            Self::MySql => include_str!("../queries/mysql/select.sql"),
            #[cfg(feature = "postgres")]
            Self::Postgres => include_str!("../queries/postgres/select.sql"),
        }
    }
}

/// What only servers are asked.
#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Dialect {
    /// The server's clock, in its own words.
    pub(crate) fn clock(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => "clock_timestamp()",
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => "UTC_TIMESTAMP(3)",
        }
    }

    /// How many milliseconds ago a column's time is, by the server's clock.
    pub(crate) fn age_of(self, column: &str) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                format!("(EXTRACT(EPOCH FROM clock_timestamp() - {column}) * 1000)::bigint")
            }
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => format!("TIMESTAMPDIFF(MICROSECOND, {column}, UTC_TIMESTAMP(3)) DIV 1000"),
        }
    }

    /// What becomes of a node's row that is there already when it gives a sign of life.
    pub(crate) fn heartbeat_tail(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                " ON CONFLICT (node_id) DO UPDATE SET run_id = excluded.run_id, \
                 version = excluded.version, heartbeat_at = excluded.heartbeat_at, started_at = \
                 CASE WHEN nodes.run_id = excluded.run_id THEN nodes.started_at \
                 ELSE excluded.started_at END"
            }
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => {
                " ON DUPLICATE KEY UPDATE \
                 started_at = IF(run_id = VALUES(run_id), started_at, VALUES(started_at)), \
                 run_id = VALUES(run_id), version = VALUES(version), \
                 heartbeat_at = VALUES(heartbeat_at)"
            }
        }
    }

    /// Begins a transaction that sees one moment.
    pub(crate) fn moment(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        }
    }
}

/// What a bound text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Text or a number.
    Plain,
    /// A time.
    Time,
    /// A session's id.
    Id,
}

/// A statement and its bound values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) dialect: Dialect,
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, text: &str) -> Self {
        Self { dialect, text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn bind(&mut self, value: Value, mark: Mark) -> &mut Self {
        self.values.push(value);
        self.dialect.put_mark(&mut self.text, self.values.len(), mark);
        self
    }

    pub(crate) fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.bind(Value::Text(Some(value.into())), Mark::Plain)
    }

    /// That a column holds a text, byte by byte.
    fn equal(&mut self, column: &str, text: &str) -> &mut Self {
        self.push(column).push(" = ").text(text);
        match self.dialect {
            // The first half is for the index: there "a" and "a " are the same.
            #[cfg(feature = "mysql")]
            Dialect::MySql => {
                let bytes = self.dialect.name_bytes(column);
                self.push(" AND ").push(&bytes).push(" = ").text(text)
            }
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => self,
        }
    }

    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        self.bind(Value::Number(Some(integer(value))), Mark::Plain)
    }

    pub(crate) fn signed(&mut self, value: i64) -> &mut Self {
        self.bind(Value::Number(Some(value)), Mark::Plain)
    }

    pub(crate) fn shared(&mut self, value: &Arc<str>) -> &mut Self {
        self.bind(Value::Shared(Arc::clone(value)), Mark::Plain)
    }

    pub(crate) fn fixed(&mut self, value: &'static str) -> &mut Self {
        self.bind(Value::Fixed(value), Mark::Plain)
    }

    pub(crate) fn time(&mut self, value: Timestamp) -> &mut Self {
        let text = self.dialect.time_text(value);
        self.bind(Value::Text(Some(text)), Mark::Time)
    }

    pub(crate) fn id(&mut self, value: SessionId) -> &mut Self {
        self.bind(Value::Text(Some(value.to_string())), Mark::Id)
    }
}

/// The record of one session.
pub(crate) fn find(dialect: Dialect, id: SessionId) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    sql.push(" WHERE session_id = ").id(id);
    sql
}

/// How many records a filter finds.
fn count(dialect: Dialect, filter: &Filter) -> Statement {
    if let Some(counted) = count_by_rollups(dialect, filter) {
        return counted;
    }
    let mut sql = Statement::new(dialect, "SELECT COUNT(*) AS total FROM sessions");
    push_conditions(&mut sql, filter);
    sql
}

/// The same from the rollups, which are far fewer than the records, where the filter tells apart
/// nothing but nodes and times of start.
fn count_by_rollups(dialect: Dialect, filter: &Filter) -> Option<Statement> {
    let Filter { node, not_node, start_after, start_before, .. } = filter;
    let told_apart = Filter {
        node: node.clone(),
        not_node: not_node.clone(),
        start_after: *start_after,
        start_before: *start_before,
        ..Filter::default()
    };
    let (first, end) = whole_minutes(*start_after, *start_before);
    let early = |time: &Option<Timestamp>| time.is_some_and(|time| time < Timestamp::UNIX_EPOCH);
    if told_apart != *filter || first > end || early(start_after) || early(start_before) {
        return None;
    }
    let user = name_of(Kind::User);
    let mut sql = Statement::new(dialect, "SELECT ");
    sql.push(&dialect.integer("SUM(sessions)")).push(" AS total FROM (");
    // All but those that run, and the parts of minutes at both ends.
    sql.push("SELECT -COUNT(*) AS sessions FROM sessions WHERE status = 'active'");
    push_starts(&mut sql, *start_after, *start_before);
    push_nodes(&mut sql, filter);
    let edges = [(*start_after, Some(at(first))), (Some(at(end)), *start_before)];
    for (after, before) in edges
        .into_iter()
        .filter(|(after, before)| after.zip(*before).is_some_and(|(after, before)| after < before))
    {
        sql.push(" UNION ALL SELECT COUNT(*) FROM sessions WHERE 1 = 1");
        push_starts(&mut sql, after, before);
        push_nodes(&mut sql, filter);
    }
    for (span, first, end) in adjoining_ranges(first, end) {
        sql.push(" UNION ALL SELECT sessions FROM rollups WHERE kind = ").fixed(user);
        sql.push(" AND span = ").signed(span).push(" AND start >= ").signed(first);
        sql.push(" AND start < ").signed(end);
        push_nodes(&mut sql, filter);
    }
    sql.push(") AS parts");
    Some(sql)
}

/// The first and the end of the whole minutes between two times, in seconds; the end lies before
/// the first where there is none. A bound that is absent is far away.
fn whole_minutes(after: Option<Timestamp>, before: Option<Timestamp>) -> (i64, i64) {
    let minute = MINUTE * 1000;
    let up = |time: Timestamp| span_start(time.as_millisecond() + minute - 1, MINUTE);
    let down = |time: Timestamp| span_start(time.as_millisecond(), MINUTE);
    (after.map_or(-FAR, up), before.map_or(FAR, down))
}

/// A slice of the history.
pub(crate) fn slice(dialect: Dialect, filter: &Filter, sort: Sort, slice: Slice) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    push_conditions(&mut sql, filter);
    #[cfg(feature = "sqlite")]
    if dialect == Dialect::Sqlite && sort.key == SortKey::StartTime {
        // A sign before the column keeps SQLite from the index of ends, which has another order.
        sql.text = sql.text.replacen(" WHERE end_time", " WHERE +end_time", 1);
    }
    if let Some(Cursor { end_millis, session_id }) = slice.behind {
        let end = Timestamp::from_millisecond(end_millis).unwrap_or(Timestamp::MAX);
        // The first half is for engines that find no range in the second.
        sql.push(" AND end_time <= ").time(end);
        sql.push(" AND (end_time, session_id) < (").time(end).push(", ").id(session_id).push(")");
    }
    push_order(&mut sql, filter, sort);
    sql.push(" LIMIT ").number(slice.take as u64);
    if slice.skip > 0 {
        sql.push(" OFFSET ").number(slice.skip);
    }
    sql
}

/// The oldest sessions that ended before a time.
pub(crate) fn oldest(dialect: Dialect, before: Timestamp, most: usize) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    sql.push(" WHERE end_time IS NOT NULL AND end_time < ").time(before);
    sql.push(" ORDER BY sessions.end_time LIMIT ").number(most as u64);
    sql
}

/// Deletes sessions.
pub(crate) fn delete(dialect: Dialect, ids: &[SessionId]) -> Statement {
    let mut sql = Statement::new(dialect, "DELETE FROM sessions WHERE session_id IN ");
    put_ids(&mut sql, ids);
    sql
}

/// The records of sessions, for a transaction that will change them.
pub(crate) fn find_all(dialect: Dialect, ids: &[SessionId]) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    sql.push(" WHERE session_id IN ");
    put_ids(&mut sql, ids);
    sql.push(dialect.lock_rows());
    sql
}

/// The rows that a node has open, for a transaction that will change them.
pub(crate) fn open_of(dialect: Dialect, node: &str, most: usize) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    sql.push(" WHERE status = 'active' AND ").equal("node_id", node);
    sql.push(" LIMIT ").number(most as u64).push(dialect.lock_rows());
    sql
}

fn put_ids(sql: &mut Statement, ids: &[SessionId]) {
    for (nth, id) in ids.iter().enumerate() {
        sql.push(if nth > 0 { "," } else { "(" }).id(*id);
    }
    sql.push(")");
}

pub(crate) const SUMS: [&str; 5] =
    ["sessions", "failed", "rejected", "bytes_sent", "bytes_received"];

/// The same in [`wrong_rollups`]: what the rows give.
pub(crate) const ROW_SUMS: [&str; 5] =
    ["row_sessions", "row_failed", "row_rejected", "row_sent", "row_received"];

/// The same in [`wrong_rollups`]: what is kept.
pub(crate) const KEPT_SUMS: [&str; 5] =
    ["kept_sessions", "kept_failed", "kept_rejected", "kept_sent", "kept_received"];

/// How a kind of rollup is stored.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Dest => "dest",
        Kind::Reason => "reason",
        Kind::Rule => "rule",
    }
}

/// Adds to rollups of one span.
pub(crate) fn add_to_rollups(dialect: Dialect, span: i64, rows: &[(Key, Sums)]) -> Statement {
    let text = "INSERT INTO rollups (kind, span, start, node_id, name, sessions, failed, \
                rejected, bytes_sent, bytes_received) VALUES ";
    let mut sql = Statement::new(dialect, text);
    for (nth, (key, sums)) in rows.iter().enumerate() {
        sql.push(if nth > 0 { ",(" } else { "(" });
        sql.fixed(name_of(key.kind)).push(",").signed(span).push(",").signed(key.start);
        sql.push(",").shared(&key.node).push(",").shared(&key.name);
        for sum in [sums.sessions, sums.failed, sums.rejected, sums.sent, sums.received] {
            sql.push(",").signed(sum);
        }
        sql.push(")");
    }
    dialect.put_sums(&mut sql, "rollups", "kind, span, start, node_id, name", &SUMS);
    sql
}

/// Adds to what users used by the hour.
pub(crate) fn add_to_usage(dialect: Dialect, rows: &[Flow<'_>]) -> Statement {
    let mut sql = Statement::new(dialect, "INSERT INTO usage_hours (");
    sql.push(dialect.user()).push(", start, node_id, bytes_sent, bytes_received) VALUES ");
    for (nth, flow) in rows.iter().enumerate() {
        sql.push(if nth > 0 { ",(" } else { "(" }).shared(flow.user).push(",").signed(flow.hour);
        sql.push(",").shared(flow.node).push(",").signed(flow.sent);
        sql.push(",").signed(flow.received).push(")");
    }
    let key = format!("{}, start, node_id", dialect.user());
    dialect.put_sums(&mut sql, "usage_hours", &key, &["bytes_sent", "bytes_received"]);
    sql
}

/// Deletes rollups in which nothing is left, of spans that start in a range of seconds.
pub(crate) fn forget_empty(
    dialect: Dialect,
    kind: Kind,
    span: i64,
    first: i64,
    last: i64,
) -> Statement {
    let mut sql = Statement::new(dialect, "DELETE FROM rollups WHERE sessions = 0 AND kind = ");
    sql.fixed(name_of(kind)).push(" AND span = ").signed(span);
    sql.push(" AND start >= ").signed(first).push(" AND start <= ").signed(last);
    sql
}

/// Deletes the usage of hours before a time, in seconds.
pub(crate) fn forget_usage(dialect: Dialect, before: i64) -> Statement {
    let mut sql = Statement::new(dialect, "DELETE FROM usage_hours WHERE start < ");
    sql.signed(before);
    sql
}

/// Counts a write of a node.
pub(crate) fn next_version(dialect: Dialect, node: &str) -> Statement {
    let text = "INSERT INTO rollup_versions (node_id, version) VALUES (";
    let mut sql = Statement::new(dialect, text);
    sql.text(node).push(", 1)");
    dialect.put_sums(&mut sql, "rollup_versions", "node_id", &["version"]);
    sql
}

/// How often a node has written.
pub(crate) fn own_version(dialect: Dialect, node: &str) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT version FROM rollup_versions WHERE node_id = ");
    sql.text(node);
    sql
}

/// How the engine means to find a slice of the history, and to count all of it.
pub(crate) fn explain(
    dialect: Dialect,
    filter: &Filter,
    sort: Sort,
    wanted: Slice,
) -> [Statement; 2] {
    [slice(dialect, filter, sort, wanted), count(dialect, filter)].map(|mut statement| {
        statement.text.insert_str(0, dialect.explain());
        statement
    })
}

/// A slice of the history, all of one moment: how often this node has written, the rows, how many
/// there are in all where that is asked, and which of the named sessions are among these.
pub(crate) fn history(
    dialect: Dialect,
    node: &str,
    filter: &Filter,
    sort: Sort,
    wanted: Slice,
    total: Total,
    named: &[SessionId],
) -> [Vec<Statement>; 4] {
    let total = (total == Total::Counted).then(|| count(dialect, filter));
    [
        vec![own_version(dialect, node)],
        vec![slice(dialect, filter, sort, wanted)],
        total.into_iter().collect(),
        named.chunks(MOST_NAMED).map(|ids| find_named(dialect, filter, ids)).collect(),
    ]
}

/// Sessions that one statement names.
const MOST_NAMED: usize = 512;

/// Which of these sessions are among what a filter finds.
fn find_named(dialect: Dialect, filter: &Filter, ids: &[SessionId]) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT ");
    sql.push(&dialect.id_text("session_id")).push(" FROM sessions");
    push_conditions(&mut sql, filter);
    sql.push(" AND session_id IN ");
    put_ids(&mut sql, ids);
    sql
}

/// How often a node has written, and all others together.
pub(crate) fn versions(dialect: Dialect, node: &str) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT ");
    let sum = dialect.integer("COALESCE(SUM(version), 0)");
    sql.push(&sum).push(" AS every, ");
    sql.push(&dialect.integer("COALESCE(SUM(CASE WHEN own = 1 THEN version ELSE 0 END), 0)"));
    sql.push(" AS own FROM (SELECT version, CASE WHEN node_id = ").text(node);
    sql.push(" THEN 1 ELSE 0 END AS own FROM rollup_versions) AS versions");
    sql
}

/// What the rows of a run say: those of a node whose ids are not before one; and how often
/// `writer` has written.
pub(crate) fn rows_of_run(
    dialect: Dialect,
    writer: &str,
    node: &str,
    first: SessionId,
) -> [Option<Statement>; 2] {
    let mut sql = Statement::new(dialect, "SELECT COUNT(*) AS sessions");
    for (column, status) in [("failed", Status::Failed), ("rejected", Status::RejectedByAcl)] {
        let name = status.name();
        let count = format!("SUM(CASE WHEN status = '{name}' THEN 1 ELSE 0 END)");
        sql.push(", ").push(&dialect.integer(&count)).push(" AS ").push(column);
    }
    for column in ["bytes_sent", "bytes_received"] {
        sql.push(", ").push(&dialect.sum(column));
    }
    sql.push(" FROM sessions WHERE session_id >= ").id(first);
    sql.push(" AND ").equal("node_id", node);
    [Some(own_version(dialect, writer)), Some(sql)]
}

/// Sums by kind and name over ranges of spans: span, first start, end, in seconds. What is not
/// among the first `most` names of its kind may be left out.
fn sum_rollups(dialect: Dialect, kind: Kind, ranges: &[(i64, i64, i64)], most: usize) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT ");
    sql.push(&dialect.name_text("name")).push(" AS name");
    SUMS.iter().for_each(|column| {
        sql.push(", ").push(&dialect.sum(column));
    });
    push_ranges(&mut sql, kind, ranges);
    sql.push(" GROUP BY rollups.name ORDER BY ").push(match kind {
        Kind::User => "SUM(rollups.bytes_sent + rollups.bytes_received)",
        Kind::Dest | Kind::Reason | Kind::Rule => "SUM(rollups.sessions)",
    });
    sql.push(" DESC LIMIT ").number(most as u64);
    sql
}

fn push_ranges(sql: &mut Statement, kind: Kind, ranges: &[(i64, i64, i64)]) {
    sql.push(" FROM rollups WHERE kind = ").fixed(name_of(kind)).push(" AND (");
    for (nth, (span, first, end)) in ranges.iter().enumerate() {
        sql.push(if nth > 0 { " OR " } else { "" }).push("(span = ").signed(*span);
        sql.push(" AND start >= ").signed(*first).push(" AND start < ").signed(*end).push(")");
    }
    sql.push(")");
}

/// Sums of all sessions over ranges of spans.
fn sum_all(dialect: Dialect, ranges: &[(i64, i64, i64)]) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT ");
    for (nth, column) in SUMS.iter().enumerate() {
        sql.push(if nth > 0 { ", " } else { "" }).push(&dialect.sum(column));
    }
    push_ranges(&mut sql, Kind::User, ranges);
    sql
}

/// All that statistics need, for one moment: versions, sessions running elsewhere, the total, sums
/// by kind, and of the edge how many rows it has, the rows, the total, sums by kind. What is not
/// wanted is not asked.
pub(crate) fn sums(dialect: Dialect, node: &str, wanted: &Wanted) -> [Option<Statement>; 14] {
    let Wanted { edge, ranges, most, total } = wanted;
    let by_kind = |kind| sum_rollups(dialect, kind, ranges, *most);
    let [users, dests, reasons, rules] =
        Kind::ALL.map(|kind| (!ranges.is_empty()).then(|| by_kind(kind)));
    let of_edge = |edge| {
        let [users, dests, reasons, rules] =
            Kind::ALL.map(|kind| sum_started(dialect, edge, Some((kind, *most))));
        let total = sum_started(dialect, edge, None);
        let count = count_started(dialect, edge);
        [count, started(dialect, edge), total, users, dests, reasons, rules].map(Some)
    };
    let [count, rows, within, users_within, dests_within, reasons_within, rules_within] =
        edge.map_or_else(Default::default, of_edge);
    [
        Some(versions(dialect, node)),
        Some(running_elsewhere(dialect, node)),
        total.then(|| sum_all(dialect, ranges)),
        users,
        dests,
        reasons,
        rules,
        count,
        rows,
        within,
        users_within,
        dests_within,
        reasons_within,
        rules_within,
    ]
}

/// How many sessions started in a minute.
fn count_started(dialect: Dialect, edge: WantedEdge) -> Statement {
    let mut sql = Statement::new(dialect, "");
    push_count(&mut sql, edge);
    sql
}

/// The rollups tell, which are far fewer than the rows.
fn push_count(sql: &mut Statement, edge: WantedEdge) {
    let count = sql.dialect.integer("COALESCE(SUM(rollups.sessions), 0)");
    sql.push("SELECT ").push(&count).push(" AS total");
    push_ranges(sql, Kind::User, &[(MINUTE, edge.minute, edge.minute + MINUTE)]);
}

/// What sums need of the sessions that started in a minute, where they are not too many.
fn started(dialect: Dialect, edge: WantedEdge) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT ");
    sql.push(&dialect.time_column("start_time")).push(" AS begun, ");
    sql.push(dialect.user()).push(", COALESCE(dest_host, dest_ip) AS host, ");
    for column in ["dest_port", "bytes_sent", "bytes_received"] {
        sql.push(&dialect.integer(column)).push(" AS ").push(column).push(", ");
    }
    sql.push("status, close_reason, acl_rule_matched FROM sessions WHERE ");
    push_started(&mut sql, edge, at(edge.minute), " <= ");
    sql
}

/// Sums of the sessions of a minute that started within the window, where there are too many to
/// give them one by one: of all, or by the first names of a kind.
fn sum_started(dialect: Dialect, edge: WantedEdge, by: Option<(Kind, usize)>) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT ");
    if by.is_some() {
        sql.push(&dialect.name_text("started.name")).push(" AS name, ");
        sql.push(&dialect.integer("started.port")).push(" AS port, ");
    }
    let having = |status: Status| {
        let name = status.name();
        format!("SUM(CASE WHEN started.status = '{name}' THEN 1 ELSE 0 END)")
    };
    let columns = [
        "COUNT(*)",
        &having(Status::Failed),
        &having(Status::RejectedByAcl),
        "SUM(started.bytes_sent)",
        "SUM(started.bytes_received)",
    ];
    for (nth, (column, name)) in columns.into_iter().zip(SUMS).enumerate() {
        sql.push(if nth > 0 { ", " } else { "" }).push(&dialect.integer(column));
        sql.push(" AS ").push(name);
    }
    let (name, port, has_name) = match by.map(|(kind, _)| kind) {
        None | Some(Kind::User) => (dialect.user(), "0", None),
        Some(Kind::Dest) => ("COALESCE(dest_host, dest_ip)", "dest_port", None),
        Some(Kind::Reason) => {
            let unsuccessful = "status IN ('failed', 'rejected_by_acl')";
            ("close_reason", "0", Some(unsuccessful))
        }
        Some(Kind::Rule) => ("acl_rule_matched", "0", Some("status = 'rejected_by_acl'")),
    };
    sql.push(" FROM (SELECT ").push(&dialect.name_bytes(name)).push(" AS name, ").push(port);
    sql.push(" AS port, status, bytes_sent, bytes_received FROM sessions WHERE ");
    if let Some(has_name) = has_name {
        sql.push(name).push(" IS NOT NULL AND ").push(has_name).push(" AND ");
    }
    let from = Timestamp::from_millisecond(edge.from).unwrap_or(Timestamp::MAX);
    push_started(&mut sql, edge, from, " > ");
    sql.push(") AS started");
    if let Some((kind, most)) = by {
        sql.push(" GROUP BY started.name, started.port ORDER BY ").push(match kind {
            Kind::User => "SUM(started.bytes_sent + started.bytes_received)",
            Kind::Dest | Kind::Reason | Kind::Rule => "COUNT(*)",
        });
        sql.push(" DESC LIMIT ").number(most as u64);
    }
    sql
}

/// Started from a time to the end of a minute that has so many sessions.
fn push_started(sql: &mut Statement, edge: WantedEdge, from: Timestamp, has: &str) {
    sql.push("start_time >= ").time(from);
    sql.push(" AND start_time < ").time(at(edge.minute + MINUTE)).push(" AND (");
    push_count(sql, edge);
    sql.push(")").push(has).number(edge.most as u64);
}

/// How many sessions other nodes have running.
pub(crate) fn running_elsewhere(dialect: Dialect, node: &str) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT COUNT(*) AS total FROM sessions ");
    match dialect {
        // A file has one node; what it has running is in its live table.
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => sql.push("WHERE 1 = 0"),
        #[cfg(any(feature = "mysql", feature = "postgres"))]
        _ => {
            let bytes = dialect.name_bytes("node_id");
            sql.push("WHERE status = 'active' AND ").push(&bytes).push(" <> ").text(node)
        }
    };
    let _of_no_interest_to_a_file = node;
    sql
}

/// Bytes by span in which they flowed, of one user or of all, in a range of seconds.
pub(crate) fn usage(
    dialect: Dialect,
    user: Option<&str>,
    span: i64,
    first: i64,
    end: i64,
) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT begun");
    for column in ["bytes_sent", "bytes_received"] {
        sql.push(", ").push(&dialect.sum(column));
    }
    sql.push(" FROM (SELECT start - start % ").signed(span).push(" AS begun");
    sql.push(", bytes_sent, bytes_received FROM usage_hours");
    sql.push(" WHERE start >= ").signed(first).push(" AND start < ").signed(end);
    if let Some(user) = user {
        let column = dialect.user();
        sql.push(" AND ").push(column).push(" = ").text(user);
    }
    sql.push(") AS parts GROUP BY begun ORDER BY begun");
    sql
}

/// The first of the rollups that are not what counting the rows gives: the sums that the rows
/// give, those that are kept, and how many such rollups there are.
pub(crate) fn wrong_rollups(dialect: Dialect) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT COUNT(*) OVER () AS total, sides.kind AS kind, ");
    sql.push(&dialect.integer("sides.span")).push(" AS span, ");
    sql.push(&dialect.integer("sides.start")).push(" AS begun");
    for column in ["node_id", "name"] {
        let text = dialect.name_text(&format!("sides.{column}"));
        sql.push(", ").push(&text).push(" AS ").push(column);
    }
    for (side, names) in [("1", ROW_SUMS), ("0", KEPT_SUMS)] {
        for (column, name) in SUMS.into_iter().zip(names) {
            let sum = format!("SUM(CASE WHEN side = {side} THEN sides.{column} ELSE 0 END)");
            sql.push(", ").push(&dialect.integer(&sum)).push(" AS ").push(name);
        }
    }
    sql.push(
        " FROM (SELECT 1 AS side, rollups_recounted.* FROM rollups_recounted \
         UNION ALL SELECT 0, rollups.* FROM rollups) AS sides \
         GROUP BY sides.kind, sides.span, sides.start, sides.node_id, sides.name HAVING ",
    );
    for (nth, column) in SUMS.iter().enumerate() {
        sql.push(if nth > 0 { " OR " } else { "" }).push("SUM(CASE WHEN side = 1 THEN sides.");
        sql.push(column).push(" ELSE -sides.").push(column).push(" END) <> 0");
    }
    sql.push(" ORDER BY sides.kind, sides.span, sides.start, sides.node_id, sides.name LIMIT 1");
    sql
}

/// The conditions of a filter; the same as [`Filter::matches`].
fn push_conditions(sql: &mut Statement, filter: &Filter) {
    // Said in the words of the partial index on `end_time`, or SQLite may not walk along it.
    match filter.status {
        Some(Status::Active) => sql.push(" WHERE status = 'active'"),
        Some(status) => sql.push(" WHERE end_time IS NOT NULL AND status = ").text(status.name()),
        None => sql.push(" WHERE end_time IS NOT NULL"),
    };
    if let Some(user) = &filter.user {
        let column = sql.dialect.user();
        sql.push(" AND ").equal(column, user);
    }
    push_nodes(sql, filter);
    if let Some(protocol) = filter.protocol {
        sql.push(" AND protocol = ").text(protocol.name());
    }
    if let Some(dest) = &filter.dest {
        let lower = dest.to_ascii_lowercase();
        let dialect = sql.dialect;
        let [folded, ip] = ["LOWER(dest_host)", "dest_ip"].map(|name| dialect.name_bytes(name));
        sql.push(" AND (").push(&folded).push(" = ").text(lower);
        match sql.dialect {
            #[cfg(feature = "mysql")]
            // This one folds more than ASCII.
            Dialect::MySql => sql.push(" OR ").equal("dest_host", dest),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => &mut *sql,
        };
        sql.push(" OR ").push(&ip).push(" = ").text(dest).push(")");
    }
    if let Some(ip) = &filter.dest_ip {
        sql.push(" AND ").equal("dest_ip", ip);
    }
    if let Some(ip) = filter.source_ip {
        sql.push(" AND source_ip = ").text(ip.to_string());
    }
    if let Some(ip) = filter.egress_ip {
        sql.push(" AND egress_ip = ").text(ip.to_string());
    }
    if let Some(port) = filter.egress_port {
        sql.push(" AND egress_port = ").number(port.into());
    }
    if let Some(at) = filter.at {
        sql.push(" AND start_time <= ").time(at);
        sql.push(" AND (end_time IS NULL OR end_time >= ").time(at).push(")");
    }
    if let Some(reason) = filter.close_reason {
        sql.push(" AND close_reason = ").text(reason.name());
    }
    push_starts(sql, filter.start_after, filter.start_before);
    if let Some(least) = filter.min_bytes {
        sql.push(" AND bytes_sent + bytes_received >= ").number(least);
    }
    if let Some(least) = filter.min_duration {
        let lasted = match filter.status {
            Some(Status::Active) => sql.dialect.so_far(),
            _ => "COALESCE(duration_ms, duration_secs * 1000)",
        };
        sql.push(" AND ").push(lasted).push(" >= ").number(millis(least));
    }
}

/// A filter's conditions on nodes.
fn push_nodes(sql: &mut Statement, filter: &Filter) {
    if let Some(node) = &filter.node {
        sql.push(" AND ").equal("node_id", node);
    }
    if let Some(node) = &filter.not_node {
        let bytes = sql.dialect.name_bytes("node_id");
        sql.push(" AND ").push(&bytes).push(" <> ").text(node);
    }
}

/// Started at one time or later, and before another.
fn push_starts(sql: &mut Statement, after: Option<Timestamp>, before: Option<Timestamp>) {
    if let Some(after) = after {
        sql.push(" AND start_time >= ").time(after);
    }
    if let Some(before) = before {
        sql.push(" AND start_time < ").time(before);
    }
}

/// The time of a second since 1970; what lies too far away is the last time there is.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// The order of what a filter finds; the same as [`Sort::compare`].
fn push_order(sql: &mut Statement, filter: &Filter, sort: Sort) {
    // What runs has lasted the longer the earlier it started.
    let by_age = filter.status == Some(Status::Active) && sort.key == SortKey::Duration;
    let key = match sort.key {
        _ if by_age => "start_time",
        SortKey::EndTime => "end_time",
        SortKey::StartTime => "start_time",
        SortKey::Duration => "COALESCE(sessions.duration_ms, sessions.duration_secs * 1000)",
        SortKey::BytesSent => "bytes_sent",
        SortKey::BytesReceived => "bytes_received",
        SortKey::Bytes => "sessions.bytes_sent + sessions.bytes_received",
        SortKey::User => sql.dialect.user(),
    };
    // Said in full: a bare name would mean the column as it is selected, which no index has.
    let key = match key.contains('.') {
        true => key.to_owned(),
        false => format!("sessions.{key}"),
    };
    let (direction, other) = match sort.direction {
        Direction::Ascending => (" ASC", " DESC"),
        Direction::Descending => (" DESC", " ASC"),
    };
    sql.push(" ORDER BY ").push(&key).push(if by_age { other } else { direction });
    // Among engines only PostgreSQL takes "no value" for the largest one. Said where some rows have
    // none and others do, for no index has this order; by their end, either all have one or none.
    #[cfg(feature = "postgres")]
    if sql.dialect == Dialect::Postgres && sort.key == SortKey::Duration && !by_age {
        sql.push(match sort.direction {
            Direction::Ascending => " NULLS FIRST",
            Direction::Descending => " NULLS LAST",
        });
    }
    sql.push(", sessions.session_id").push(direction);
}
