//! Points in words that every SQL engine understands.

use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::clock::millis;

use super::Point;
use crate::row::Columns;
use crate::sql::{Dialect, Statement};
use crate::store::StoreError;

/// Adds points of a node; one that is there already stays.
pub(crate) fn insert(dialect: Dialect, node: &str, points: &[Point]) -> Statement {
    let text = "INSERT INTO metrics_points (taken_ms, node_id, span_ms, active_sessions, \
                journal_backlog, sessions, bytes_sent, bytes_received) VALUES ";
    let mut sql = Statement::new(dialect, text);
    for (nth, point) in points.iter().enumerate() {
        sql.push(if nth > 0 { ",(" } else { "(" }).signed(point.at.as_millisecond());
        sql.push(",").text(node).push(",").number(millis(point.span));
        for count in [point.active, point.backlog, point.sessions, point.sent, point.received] {
            sql.push(",").number(count);
        }
        sql.push(")");
    }
    match dialect {
        #[cfg(feature = "mysql")]
        Dialect::MySql => sql.push(" ON DUPLICATE KEY UPDATE span_ms = metrics_points.span_ms"),
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        _ => sql.push(" ON CONFLICT (taken_ms, node_id) DO NOTHING"),
    };
    sql
}

/// The last points of a node, or of all, from `since` on and before `until`: at most so many, the
/// newest first.
pub(crate) fn select(
    dialect: Dialect,
    node: Option<&str>,
    since: Timestamp,
    until: Timestamp,
    most: usize,
) -> Statement {
    let text = "SELECT taken_ms, span_ms, active_sessions, journal_backlog, sessions, bytes_sent, \
                bytes_received FROM metrics_points WHERE taken_ms >= ";
    let mut sql = Statement::new(dialect, text);
    sql.signed(since.as_millisecond()).push(" AND taken_ms < ").signed(until.as_millisecond());
    if let Some(node) = node {
        sql.push(" AND node_id = ").text(node);
    }
    sql.push(" ORDER BY taken_ms DESC LIMIT ").number(most as u64);
    sql
}

/// Deletes the points of the oldest instants before a time, at most so many instants.
pub(crate) fn forget(dialect: Dialect, before: Timestamp, most: usize) -> Statement {
    // The inner table has a name of its own because MySQL reads none that it deletes from.
    let text = "DELETE FROM metrics_points WHERE taken_ms <= (SELECT MAX(taken_ms) FROM (SELECT \
                taken_ms FROM metrics_points WHERE taken_ms < ";
    let mut sql = Statement::new(dialect, text);
    sql.signed(before.as_millisecond());
    sql.push(" ORDER BY taken_ms LIMIT ").number(most as u64).push(") AS oldest)");
    sql
}

/// A row as a point.
pub(crate) fn point(row: &impl Columns) -> Result<Point, StoreError> {
    let count = |column| -> Result<u64, StoreError> {
        Ok(row.number(column)?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    };
    let taken = row.number("taken_ms")?.unwrap_or(0);
    Ok(Point {
        at: Timestamp::from_millisecond(taken).unwrap_or(Timestamp::MIN),
        span: Duration::from_millis(count("span_ms")?),
        active: count("active_sessions")?,
        backlog: count("journal_backlog")?,
        sessions: count("sessions")?,
        sent: count("bytes_sent")?,
        received: count("bytes_received")?,
    })
}
