//! A record as bound values, in the order of `save_head.sql`.

use std::sync::Arc;

use rustsocks_sessions::Record;
use rustsocks_sessions::clock::millis;

use crate::sql::{Dialect, Mark, integer};

/// Columns per row.
pub(crate) const COLUMNS: usize = 27;

/// What each column's bound text stands for, where it is not itself.
const MARKS: [(usize, Mark); 4] =
    [(0, Mark::Id), (2, Mark::Time), (3, Mark::Time), (26, Mark::Time)];

/// Takes the values of a row one by one.
pub(crate) trait Row {
    /// Why a value was not taken.
    type Error;
    /// Takes a text; none is SQL's NULL.
    fn text(&mut self, text: Option<String>) -> Result<(), Self::Error>;
    /// Takes a text that many rows share.
    fn shared(&mut self, text: Option<Arc<str>>) -> Result<(), Self::Error>;
    /// Takes a text that never changes.
    fn fixed(&mut self, text: Option<&'static str>) -> Result<(), Self::Error>;
    /// Takes a number; none is SQL's NULL.
    fn number(&mut self, number: Option<i64>) -> Result<(), Self::Error>;
}

/// Puts the marks of one row, `(?,?,…)`, the first of which has this number.
pub(crate) fn put_marks(dialect: Dialect, sql: &mut String, first: usize) {
    for column in 0..COLUMNS {
        sql.push(if column == 0 { '(' } else { ',' });
        let mark = MARKS.iter().find(|(known, _)| *known == column);
        dialect.put_mark(sql, first + column, mark.map_or(Mark::Plain, |(_, mark)| *mark));
    }
    sql.push(')');
}

/// The save statement for so many rows.
pub(crate) fn save_text(dialect: Dialect, rows: usize) -> String {
    let (head, tail) = match dialect {
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => (
            include_str!("../queries/sqlite/save_head.sql"),
            include_str!("../queries/sqlite/save_tail.sql"),
        ),
        #[cfg(feature = "mysql")]
        Dialect::MySql => (
            include_str!("../queries/mysql/save_head.sql"),
            include_str!("../queries/mysql/save_tail.sql"),
        ),
        #[cfg(feature = "postgres")]
        Dialect::Postgres => (
            include_str!("../queries/postgres/save_head.sql"),
            include_str!("../queries/postgres/save_tail.sql"),
        ),
    };
    let mut sql = head.to_owned();
    for row in 0..rows {
        if row > 0 {
            sql.push(',');
        }
        put_marks(dialect, &mut sql, 1 + row * COLUMNS);
    }
    sql.push('\n');
    sql.push_str(tail);
    sql
}

/// Gives one record's values to a row.
pub(crate) fn bind<R: Row>(dialect: Dialect, row: &mut R, record: &Record) -> Result<(), R::Error> {
    let time = |time| Some(dialect.time_text(time));
    let owned = |text: &str| Some(text.to_owned());
    row.text(Some(record.session_id.to_string()))?;
    row.shared(Some(Arc::clone(&record.user)))?;
    row.text(time(record.start_time))?;
    row.text(record.end_time.and_then(time))?;
    row.number(record.duration.map(|duration| integer(duration.as_secs())))?;
    row.text(Some(record.source_ip.to_string()))?;
    row.number(Some(record.source_port.into()))?;
    row.text(owned(&record.dest_ip))?;
    row.number(Some(record.dest_port.into()))?;
    row.fixed(Some(record.protocol.name()))?;
    row.number(Some(integer(record.bytes_sent)))?;
    row.number(Some(integer(record.bytes_received)))?;
    row.number(Some(integer(record.packets_sent)))?;
    row.number(Some(integer(record.packets_received)))?;
    row.fixed(Some(record.status.name()))?;
    row.fixed(record.close_reason.map(|reason| reason.name()))?;
    row.shared(record.acl_rule_matched.clone())?;
    row.fixed(record.acl_decision)?;
    row.text(record.dest_host.as_deref().and_then(owned))?;
    row.text(record.egress_ip.map(|ip| ip.to_string()))?;
    row.number(record.egress_port.map(i64::from))?;
    row.fixed(record.command.map(|command| command.name()))?;
    row.number(record.duration.map(|duration| integer(millis(duration))))?;
    row.number(record.connect.map(|connect| integer(millis(connect))))?;
    row.text(record.close_detail.as_deref().and_then(owned))?;
    row.shared(Some(Arc::clone(&record.node_id)))?;
    row.text(time(record.updated_at))
}
