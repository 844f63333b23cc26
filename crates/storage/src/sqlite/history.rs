//! Finding records again. Text from outside is always bound, never part of a statement.

use jiff::Timestamp;
use rustsocks_sessions::clock::millis;
use rustsocks_sessions::{Record, SessionId, Status};
use sqlx::sqlite::{Sqlite, SqlitePool};
use sqlx::{QueryBuilder, Row as _};

use super::row::{SELECT, record};
use crate::filter::{Cursor, Direction, Filter, Page, Paging, Sort, SortKey};
use crate::store::StoreError;
use crate::time;

pub(super) async fn find(pool: &SqlitePool, id: SessionId) -> Result<Option<Record>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(SELECT);
    query.push(" WHERE session_id = ").push_bind(id.to_string());
    let row = query.build().fetch_optional(pool).await?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn page(
    pool: &SqlitePool,
    filter: &Filter,
    sort: Sort,
    paging: Paging,
    size: usize,
) -> Result<Page, StoreError> {
    // One transaction, so that the total and the page are of one moment.
    let mut moment = pool.begin().await?;
    let mut counting = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM sessions");
    push_conditions(&mut counting, filter);
    let total: i64 = counting.build().fetch_one(&mut *moment).await?.try_get(0)?;

    let mut query = page_query(filter, sort, paging, size);
    let rows = query.build().fetch_all(&mut *moment).await?;
    moment.rollback().await?;
    let records = rows.iter().map(record).collect::<Result<_, _>>()?;
    Ok(Page::new(records, size, u64::try_from(total).unwrap_or(0), sort))
}

/// The query of one page; it asks for one row more than the page holds.
pub(super) fn page_query(
    filter: &Filter,
    sort: Sort,
    paging: Paging,
    size: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::<Sqlite>::new(SELECT);
    push_conditions(&mut query, filter);
    if let Paging::Behind(Cursor { end_millis, session_id }) = paging {
        let end = Timestamp::from_millisecond(end_millis).unwrap_or(Timestamp::MAX);
        let id = session_id.to_string();
        query.push(" AND (end_time, session_id) < (");
        query.push_bind(time::to_text(end)).push(", ").push_bind(id).push(")");
    }
    push_order(&mut query, sort);
    let integer = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    query.push(" LIMIT ").push_bind(integer(size as u64 + 1));
    if let Paging::Page(number) = paging {
        query.push(" OFFSET ").push_bind(integer(number.saturating_mul(size as u64)));
    }
    query
}

/// The conditions of a filter; the same as [`Filter::matches`].
fn push_conditions(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    // Said in the words of the partial index on `end_time`, or SQLite may not walk along it.
    match filter.status {
        Some(Status::Active) => query.push(" WHERE status = 'active'"),
        Some(status) => {
            query.push(" WHERE end_time IS NOT NULL AND status = ").push_bind(status.name())
        }
        None => query.push(" WHERE end_time IS NOT NULL"),
    };
    if let Some(user) = &filter.user {
        query.push(" AND user = ").push_bind(user.clone());
    }
    if let Some(protocol) = filter.protocol {
        query.push(" AND protocol = ").push_bind(protocol.name());
    }
    if let Some(dest) = &filter.dest {
        query.push(" AND (dest_host = ").push_bind(dest.clone()).push(" COLLATE NOCASE");
        query.push(" OR dest_ip = ").push_bind(dest.clone()).push(")");
    }
    if let Some(ip) = &filter.dest_ip {
        query.push(" AND dest_ip = ").push_bind(ip.clone());
    }
    if let Some(ip) = filter.source_ip {
        query.push(" AND source_ip = ").push_bind(ip.to_string());
    }
    if let Some(ip) = filter.egress_ip {
        query.push(" AND egress_ip = ").push_bind(ip.to_string());
    }
    if let Some(port) = filter.egress_port {
        query.push(" AND egress_port = ").push_bind(i32::from(port));
    }
    if let Some(at) = filter.at {
        let at = time::to_text(at);
        query.push(" AND start_time <= ").push_bind(at.clone());
        query.push(" AND (end_time IS NULL OR end_time >= ").push_bind(at).push(")");
    }
    if let Some(reason) = filter.close_reason {
        query.push(" AND close_reason = ").push_bind(reason.name());
    }
    if let Some(after) = filter.start_after {
        query.push(" AND start_time >= ").push_bind(time::to_text(after));
    }
    if let Some(before) = filter.start_before {
        query.push(" AND start_time < ").push_bind(time::to_text(before));
    }
    let integer = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    if let Some(least) = filter.min_bytes {
        query.push(" AND bytes_sent + bytes_received >= ").push_bind(integer(least));
    }
    if let Some(least) = filter.min_duration {
        query.push(" AND COALESCE(duration_ms, duration_secs * 1000) >= ");
        query.push_bind(integer(millis(least)));
    }
}

fn push_order(query: &mut QueryBuilder<Sqlite>, sort: Sort) {
    let key = match sort.key {
        SortKey::EndTime => "end_time",
        SortKey::StartTime => "start_time",
        SortKey::Duration => "COALESCE(duration_ms, duration_secs * 1000)",
        SortKey::BytesSent => "bytes_sent",
        SortKey::BytesReceived => "bytes_received",
        SortKey::Bytes => "bytes_sent + bytes_received",
        SortKey::User => "user",
    };
    let direction = match sort.direction {
        Direction::Ascending => " ASC",
        Direction::Descending => " DESC",
    };
    query.push(" ORDER BY ").push(key).push(direction);
    query.push(", session_id").push(direction);
}
