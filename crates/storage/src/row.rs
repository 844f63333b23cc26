//! A row of the table, read back as a record.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_proto::{Command, Protocol};
use rustsocks_sessions::record::with_port;
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::filter::Part;
use crate::memory::Usage;
use crate::rollup::{ByKind, Kind, Named, Sums, cut};
use crate::sql::{self, Dialect};
use crate::store::StoreError;
use crate::time;
use crate::verify::{Run, WrongRollup, WrongRollups};
use crate::windows::{ByName, Edge, Found, Started, Wanted, WantedEdge};

/// A row of any engine: its columns are text and integers.
pub(crate) trait Columns {
    /// A text column; none is SQL's NULL.
    fn text(&self, column: &'static str) -> Result<Option<String>, sqlx::Error>;
    /// An integer column; none is SQL's NULL.
    fn number(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error>;
}

impl<R> Columns for R
where
    R: Row,
    &'static str: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn text(&self, column: &'static str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn number(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }
}

/// Reads columns of one row; what no version of this program wrote is an error that names it.
struct Reader<'r, R> {
    row: &'r R,
}

impl<R: Columns> Reader<'_, R> {
    fn text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.row.text(column)?)
    }

    fn number(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        Ok(self.row.number(column)?)
    }

    fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        Ok(self.number(column)?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    fn port(&self, column: &'static str) -> Result<Option<u16>, StoreError> {
        Ok(self.number(column)?.and_then(|port| u16::try_from(port).ok()))
    }

    /// A text column through `parse`; null stays null.
    fn parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        match self.text(column)? {
            None => Ok(None),
            Some(text) => match parse(&text) {
                Some(value) => Ok(Some(value)),
                None => Err(self.bad(column, text)),
            },
        }
    }

    /// As [`Reader::parsed`], but null is an error as well.
    fn required<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        self.parsed(column, parse)?.ok_or_else(|| self.bad(column, "NULL".into()))
    }

    fn bad(&self, column: &'static str, value: String) -> StoreError {
        let session_id = self.row.text("session_id").ok().flatten().unwrap_or_default();
        StoreError::Row { session_id, column, value }
    }
}

/// The answers to [`sql::sums`]: versions, sessions running elsewhere, the total, sums by kind, and
/// those that make the edge.
pub(crate) fn found<R: Columns>(
    wanted: &Wanted,
    answers: &[Vec<R>; 14],
) -> Result<Found, StoreError> {
    let [versions, elsewhere, total, users, dests, reasons, rules, edge @ ..] = answers;
    let own = first_number(versions, "own")?;
    let mut names = ByKind::<ByName>::default();
    for (names, rows) in names.iter_mut().zip([users, dests, reasons, rules]) {
        for row in rows {
            names.insert(row.text("name")?.unwrap_or_default().into(), sums(row, sql::SUMS)?);
        }
    }
    Ok(Found {
        own,
        others: first_number(versions, "every")? - own,
        elsewhere: first_number(elsewhere, "total")?.unsigned_abs(),
        edge: wanted.edge.map(|wanted| self::edge(wanted, edge)).transpose()?,
        sums: names,
        total: first_sums(total)?,
    })
}

/// The minute at the edge: how many rows it has, the rows, the total within the window, sums by kind.
fn edge<R: Columns>(wanted: WantedEdge, answers: &[Vec<R>; 7]) -> Result<Edge, StoreError> {
    let [count, rows, total, by_kind @ ..] = answers;
    if first_number(count, "total")? <= sql::integer(wanted.most as u64) {
        return started(rows).map(Edge::Rows);
    }
    let mut names = ByKind::<ByName>::default();
    for ((kind, names), rows) in Kind::ALL.into_iter().zip(&mut names).zip(by_kind) {
        for row in rows {
            let name = row.text("name")?.unwrap_or_default();
            let name: Arc<str> = match kind {
                Kind::User | Kind::Reason => name.into(),
                Kind::Dest => with_port(&name, port(row.number("port")?)).into(),
                Kind::Rule => cut(&name).into(),
            };
            names.entry(name).or_default().add(&sums(row, sql::SUMS)?);
        }
    }
    Ok(Edge::Sums { total: first_sums(total)?, names: names.into() })
}

fn port(number: Option<i64>) -> u16 {
    number.and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

/// A number in the only row of an answer; 0 where there is none.
fn first_number<R: Columns>(rows: &[R], column: &'static str) -> Result<i64, StoreError> {
    Ok(rows.first().map(|row| row.number(column)).transpose()?.flatten().unwrap_or(0))
}

/// The sums in the only row of an answer.
fn first_sums<R: Columns>(rows: &[R]) -> Result<Sums, StoreError> {
    Ok(rows.first().map(|row| sums(row, sql::SUMS)).transpose()?.unwrap_or_default())
}

/// Rows of sessions, as far as sums need them. Equal names are one text.
fn started<R: Columns>(rows: &[R]) -> Result<Vec<Started>, StoreError> {
    let mut texts: HashSet<Arc<str>> = HashSet::new();
    let mut started = Vec::with_capacity(rows.len());
    for row in rows {
        let column = |name| row.number(name).map(Option::unwrap_or_default);
        let reader = Reader { row };
        let status = reader.required("status", Status::from_name)?;
        let sums = Sums {
            sessions: 1,
            failed: i64::from(status == Status::Failed),
            rejected: i64::from(status == Status::RejectedByAcl),
            sent: column("bytes_sent")?,
            received: column("bytes_received")?,
        };
        let port = port(row.number("dest_port")?);
        let user: Arc<str> = row.text("user")?.unwrap_or_default().into();
        let rule = row.text("acl_rule_matched")?;
        let named = Named {
            user: &user,
            dest: &with_port(&row.text("host")?.unwrap_or_default(), port),
            status,
            close_reason: reader.parsed("close_reason", CloseReason::from_name)?,
            rule: rule.as_deref(),
        };
        let names = named.names().map(|name| {
            let name = name?;
            let known = texts.get(&name).cloned();
            Some(known.unwrap_or_else(|| {
                texts.insert(Arc::clone(&name));
                name
            }))
        });
        let at = reader.required("begun", |text| time::from_text(text).ok())?;
        started.push(Started { at: at.as_millisecond(), names, sums });
    }
    Ok(started)
}

/// The answers to [`crate::sql::history`].
pub(crate) fn part<R: Columns>(answers: &[Vec<R>; 4]) -> Result<Part, StoreError> {
    let [own, rows, total, named] = answers;
    let id = |row: &R| (Reader { row }).required("session_id", |text| text.parse().ok());
    Ok(Part {
        own: first_number(own, "version")?,
        records: rows.iter().map(record).collect::<Result<_, _>>()?,
        total: first_number(total, "total")?.unsigned_abs(),
        named: named.iter().map(id).collect::<Result<_, _>>()?,
    })
}

/// The answers to [`crate::sql::rows_of_run`].
pub(crate) fn run<R: Columns>(answers: &[Vec<R>; 2]) -> Result<Run, StoreError> {
    let [own, rows] = answers;
    Ok(Run { writes: first_number(own, "version")?, sums: first_sums(rows)? })
}

/// The lines of an explanation.
pub(crate) fn explained<R: Columns>(
    dialect: Dialect,
    rows: &[R],
) -> Result<Vec<String>, StoreError> {
    let line = |row: &R| -> Result<String, StoreError> {
        let columns = dialect.explained().iter();
        let texts: Result<Vec<_>, sqlx::Error> = columns.map(|column| row.text(column)).collect();
        Ok(texts?.into_iter().flatten().collect::<Vec<String>>().join(" "))
    };
    rows.iter().map(line).collect()
}

/// Sums, in columns of these names.
fn sums(row: &impl Columns, names: [&'static str; 5]) -> Result<Sums, StoreError> {
    let [sessions, failed, rejected, sent, received] = names;
    let column = |name| row.number(name).map(Option::unwrap_or_default);
    Ok(Sums {
        sessions: column(sessions)?,
        failed: column(failed)?,
        rejected: column(rejected)?,
        sent: column(sent)?,
        received: column(received)?,
    })
}

/// The answer to [`sql::wrong_rollups`].
pub(crate) fn wrong_rollups<R: Columns>(rows: &[R]) -> Result<WrongRollups, StoreError> {
    let Some(row) = rows.first() else { return Ok(WrongRollups::default()) };
    let number = |name| row.number(name).map(Option::unwrap_or_default);
    let text = |name| row.text(name).map(Option::unwrap_or_default);
    let first = WrongRollup {
        kind: text("kind")?,
        name: text("name")?,
        node_id: text("node_id")?,
        span: number("span")?,
        start: number("begun")?,
        counted: sums(row, sql::ROW_SUMS)?,
        kept: sums(row, sql::KEPT_SUMS)?,
    };
    Ok(WrongRollups { count: number("total")?.unsigned_abs(), first: Some(first) })
}

/// The answers to [`sql::own_version`] and [`sql::usage`].
pub(crate) fn usage<R: Columns>(answers: &[Vec<R>; 2]) -> Result<Usage, StoreError> {
    let [own, rows] = answers;
    let span = |row: &R| {
        let column = |name| row.number(name).map(Option::unwrap_or_default);
        Ok((column("begun")?, column("bytes_sent")?, column("bytes_received")?))
    };
    let spans = rows.iter().map(span).collect::<Result<_, StoreError>>()?;
    Ok(Usage { own: first_number(own, "version")?, spans })
}

/// A row as a record.
pub(crate) fn record(row: &impl Columns) -> Result<Record, StoreError> {
    let reader = Reader { row };
    let at = |text: &str| -> Option<Timestamp> { time::from_text(text).ok() };
    let ip = |text: &str| text.parse::<IpAddr>().ok();
    let owned = |text: &str| -> Option<Box<str>> { Some(text.into()) };
    let start_time = reader.required("start_time", at)?;
    let millis = match reader.number("duration_ms")? {
        Some(millis) => Some(millis),
        // A row of 0.9 knows whole seconds alone.
        None => reader.number("duration_secs")?.map(|seconds| seconds.saturating_mul(1000)),
    };
    let duration = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    Ok(Record {
        session_id: reader.required("session_id", |text| text.parse::<SessionId>().ok())?,
        user: reader.required("user", |text| Some(text.into()))?,
        start_time,
        end_time: reader.parsed("end_time", at)?,
        duration: millis.map(duration),
        source_ip: reader.required("source_ip", ip)?,
        source_port: reader.port("source_port")?.unwrap_or(0),
        dest_ip: reader.required("dest_ip", owned)?,
        dest_port: reader.port("dest_port")?.unwrap_or(0),
        dest_host: reader.parsed("dest_host", owned)?,
        protocol: reader.required("protocol", |text| match text {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            _ => None,
        })?,
        command: reader.parsed("command", |text| match text {
            "connect" => Some(Command::Connect),
            "bind" => Some(Command::Bind),
            "udp_associate" => Some(Command::UdpAssociate),
            _ => None,
        })?,
        bytes_sent: reader.count("bytes_sent")?,
        bytes_received: reader.count("bytes_received")?,
        packets_sent: reader.count("packets_sent")?,
        packets_received: reader.count("packets_received")?,
        status: reader.required("status", Status::from_name)?,
        close_reason: reader.parsed("close_reason", CloseReason::from_name)?,
        close_detail: reader.parsed("close_detail", owned)?,
        acl_rule_matched: reader.parsed("acl_rule_matched", |text| Some(text.into()))?,
        acl_decision: reader.parsed("acl_decision", |text| match text {
            "allow" => Some("allow"),
            "block" => Some("block"),
            _ => None,
        })?,
        egress_ip: reader.parsed("egress_ip", ip)?,
        egress_port: reader.port("egress_port")?,
        connect: reader.number("connect_ms")?.map(duration),
        node_id: reader.required("node_id", |text| Some(text.into()))?,
        updated_at: reader.parsed("updated_at", at)?.unwrap_or(start_time),
    })
}
