//! The statements that every SQL engine answers alike, put together from checked parts. Text from
//! outside is always bound, never part of a statement.
//!
//! Engines differ in how they mark a bound value and write a column; a [`Dialect`] says so. On
//! the wire every value and every column is text or a 64-bit integer.

use jiff::Timestamp;
use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{SessionId, Status};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

use crate::filter::{Cursor, Direction, Filter, Paging, Sort, SortKey};
use crate::time;

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

    /// The mark of the bound value with this number, counted from 1, and its type where the
    /// engine does not see it from the text that is sent.
    pub(crate) fn put_mark(self, sql: &mut String, number: usize, kind: Kind) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                sql.push('$');
                sql.push_str(&number.to_string());
                sql.push_str(match kind {
                    Kind::Plain => "",
                    Kind::Time => "::timestamptz",
                    Kind::Id => "::uuid",
                });
            }
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => {
                let _of_no_interest = (number, kind);
                sql.push('?');
            }
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

    /// Ends the rows that a node left open.
    pub(crate) fn close_crashed(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => include_str!("../queries/sqlite/close_crashed.sql"),
            #[cfg(feature = "mysql")]
            Self::MySql => include_str!("../queries/mysql/close_crashed.sql"),
            #[cfg(feature = "postgres")]
            Self::Postgres => include_str!("../queries/postgres/close_crashed.sql"),
        }
    }

    /// Deletes a bounded number of the oldest ended rows.
    pub(crate) fn expire(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => include_str!("../queries/sqlite/expire.sql"),
            #[cfg(feature = "mysql")]
            Self::MySql => include_str!("../queries/mysql/expire.sql"),
            #[cfg(feature = "postgres")]
            Self::Postgres => include_str!("../queries/postgres/expire.sql"),
        }
    }

    /// The migrations, in their order, by name.
    pub(crate) fn migrations(self) -> Vec<Migration> {
        let list = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => vec![
                ("sessions", include_str!("../../../migrations/0001_sessions.sql")),
                ("session details", include_str!("../../../migrations/0002_session_details.sql")),
                ("what 0 9 wrote", include_str!("../../../migrations/0003_what_0_9_wrote.sql")),
            ],
            #[cfg(feature = "mysql")]
            Self::MySql => vec![
                ("sessions", include_str!("../../../migrations/mysql/0001_sessions.sql")),
                ("nodes", include_str!("../../../migrations/mysql/0002_nodes.sql")),
            ],
            #[cfg(feature = "postgres")]
            Self::Postgres => vec![
                ("sessions", include_str!("../../../migrations/postgres/0001_sessions.sql")),
                ("nodes", include_str!("../../../migrations/postgres/0002_nodes.sql")),
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

    /// An id column as text.
    pub(crate) fn id_text(self, column: &str) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("{column}::text AS {column}"),
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => column.to_owned(),
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
pub(crate) enum Kind {
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

    fn bind(&mut self, value: Value, kind: Kind) -> &mut Self {
        self.values.push(value);
        self.dialect.put_mark(&mut self.text, self.values.len(), kind);
        self
    }

    pub(crate) fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.bind(Value::Text(Some(value.into())), Kind::Plain)
    }

    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        self.bind(Value::Number(Some(integer(value))), Kind::Plain)
    }

    pub(crate) fn time(&mut self, value: Timestamp) -> &mut Self {
        let text = self.dialect.time_text(value);
        self.bind(Value::Text(Some(text)), Kind::Time)
    }

    pub(crate) fn id(&mut self, value: SessionId) -> &mut Self {
        self.bind(Value::Text(Some(value.to_string())), Kind::Id)
    }
}

/// The record of one session.
pub(crate) fn find(dialect: Dialect, id: SessionId) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    sql.push(" WHERE session_id = ").id(id);
    sql
}

/// How many records a filter finds.
pub(crate) fn count(dialect: Dialect, filter: &Filter) -> Statement {
    let mut sql = Statement::new(dialect, "SELECT COUNT(*) AS total FROM sessions");
    push_conditions(&mut sql, filter);
    sql
}

/// One page; it asks for one row more than the page holds.
pub(crate) fn page(
    dialect: Dialect,
    filter: &Filter,
    sort: Sort,
    paging: Paging,
    size: usize,
) -> Statement {
    let mut sql = Statement::new(dialect, dialect.select());
    push_conditions(&mut sql, filter);
    if let Paging::Behind(Cursor { end_millis, session_id }) = paging {
        let end = Timestamp::from_millisecond(end_millis).unwrap_or(Timestamp::MAX);
        // The first half is for engines that find no range in the second.
        sql.push(" AND end_time <= ").time(end);
        sql.push(" AND (end_time, session_id) < (").time(end).push(", ").id(session_id).push(")");
    }
    push_order(&mut sql, sort);
    sql.push(" LIMIT ").number(size as u64 + 1);
    if let Paging::Page(number) = paging {
        sql.push(" OFFSET ").number(number.saturating_mul(size as u64));
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
    let mut sql = Statement::new(dialect, "DELETE FROM sessions WHERE session_id IN (");
    for (nth, id) in ids.iter().enumerate() {
        if nth > 0 {
            sql.push(",");
        }
        sql.id(*id);
    }
    sql.push(")");
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
        sql.push(" AND ").push(column).push(" = ").text(user);
    }
    if let Some(node) = &filter.node {
        sql.push(" AND node_id = ").text(node);
    }
    if let Some(node) = &filter.not_node {
        sql.push(" AND node_id <> ").text(node);
    }
    if let Some(protocol) = filter.protocol {
        sql.push(" AND protocol = ").text(protocol.name());
    }
    if let Some(dest) = &filter.dest {
        sql.push(" AND (LOWER(dest_host) = ").text(dest.to_ascii_lowercase());
        sql.push(" OR dest_host = ").text(dest);
        sql.push(" OR dest_ip = ").text(dest).push(")");
    }
    if let Some(ip) = &filter.dest_ip {
        sql.push(" AND dest_ip = ").text(ip);
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
    if let Some(after) = filter.start_after {
        sql.push(" AND start_time >= ").time(after);
    }
    if let Some(before) = filter.start_before {
        sql.push(" AND start_time < ").time(before);
    }
    if let Some(least) = filter.min_bytes {
        sql.push(" AND bytes_sent + bytes_received >= ").number(least);
    }
    if let Some(least) = filter.min_duration {
        sql.push(" AND COALESCE(duration_ms, duration_secs * 1000) >= ");
        sql.number(millis(least));
    }
}

fn push_order(sql: &mut Statement, sort: Sort) {
    let key = match sort.key {
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
    let direction = match sort.direction {
        Direction::Ascending => " ASC",
        Direction::Descending => " DESC",
    };
    sql.push(" ORDER BY ").push(&key).push(direction);
    // Among engines only PostgreSQL takes "no value" for the largest one.
    #[cfg(feature = "postgres")]
    if sql.dialect == Dialect::Postgres {
        sql.push(match sort.direction {
            Direction::Ascending => " NULLS FIRST",
            Direction::Descending => " NULLS LAST",
        });
    }
    sql.push(", sessions.session_id").push(direction);
}
