//! `rustsocks sessions list`: running sessions, ended ones, or both.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::console::answers::{Session, SessionPage};
use crate::console::filter::{Filter, Query};
use crate::console::http::Http;
use crate::console::table::{Column, draw};
use crate::console::units::{between, bytes, local, span};
use crate::console::{EXIT_CODES, Fault, NO, Outcome, say, say_json};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct List {
    /// Ended sessions, instead of running ones; follows from a --status or --close-reason.
    #[arg(long)]
    ended: bool,
    /// Running sessions first, then ended ones.
    #[arg(long, conflicts_with_all = ["ended", "page", "cursor", "status"])]
    all: bool,
    /// How many at most, 1 to 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u64,
    /// Which page of so many, counted from 1.
    #[arg(long, value_name = "NUMBER")]
    page: Option<u64>,
    /// Go on where a page of ended sessions ended: its `next_cursor`.
    #[arg(long, conflicts_with = "page")]
    cursor: Option<String>,
    /// By what to order: the newest first by default.
    #[arg(long, value_name = "KEY", value_parser = SORT_KEYS)]
    sort: Option<String>,
    /// The smallest, earliest or shortest first.
    #[arg(long)]
    reverse: bool,
    /// The API's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

const SORT_KEYS: [&str; 7] =
    ["end_time", "start_time", "duration", "bytes_sent", "bytes_received", "bytes", "user"];

const RUNNING: &str = "/api/sessions/active";
const ENDED: &str = "/api/sessions/history";

impl List {
    pub(crate) async fn ask(self, http: &Http) -> Outcome {
        if self.all {
            return self.ask_both(http).await;
        }
        let path = if self.wants_ended() { ENDED } else { RUNNING };
        let json = http.get(path, self.query(self.limit)).await?;
        let page: SessionPage = http.read(&json)?;
        match self.json {
            true => say_json(&json)?,
            false => say(&self.shown(&page))?,
        }
        Ok(found(page.data.len()))
    }

    async fn ask_both(&self, http: &Http) -> Outcome {
        let json = http.get(RUNNING, self.query(self.limit)).await?;
        let mut both: Value = http.read(&json)?;
        let mut page: SessionPage = http.read(&json)?;
        // At least one is asked for, for the number of all.
        let room = self.limit.saturating_sub(page.data.len() as u64);
        let json = http.get(ENDED, self.query(room.max(1))).await?;
        let mut ended: Value = http.read(&json)?;
        let ended_page: SessionPage = http.read(&json)?;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        page.total += ended_page.total;
        page.data.extend(ended_page.data.into_iter().take(room));
        match (self.json, both["data"].as_array_mut(), ended["data"].as_array_mut()) {
            (true, Some(data), Some(ended)) => {
                data.extend(ended.drain(..).take(room));
                say_json(&json!({ "data": data, "total": page.total }).to_string())?;
            }
            _ => {
                page.total_pages = 1;
                say(&self.shown(&page))?;
            }
        }
        Ok(found(page.data.len()))
    }

    fn wants_ended(&self) -> bool {
        let implied = self.cursor.is_some()
            || self.filter.has_close_reason()
            || self.filter.has_status() && !self.filter.is_of_running();
        self.ended || implied
    }

    fn query(&self, limit: u64) -> Query {
        let default = match (self.all, self.wants_ended()) {
            (false, true) => "end_time",
            _ => "start_time",
        };
        let direction = if self.reverse { "asc" } else { "desc" };
        let query = self.filter.query().with("page_size", limit).maybe("page", self.page);
        let query = query.maybe("cursor", self.cursor.as_ref());
        match (&self.sort, self.reverse) {
            (None, false) => query,
            (sort, _) => {
                let sort = sort.as_deref().unwrap_or(default);
                query.with("sort_by", sort).with("sort_dir", direction)
            }
        }
    }

    fn shown(&self, page: &SessionPage) -> String {
        if page.data.is_empty() {
            let kind = match (self.all, self.wants_ended()) {
                (true, _) => "",
                (_, true) => "ended ",
                (_, false) => "running ",
            };
            return format!("no {kind}session is found\n");
        }
        let mut text = sessions(&page.data, output::width());
        let shown = page.data.len() as u64;
        if shown < page.total {
            let more = match (self.all, &page.next_cursor, page.page < page.total_pages) {
                (true, ..) => "; --limit shows more".to_owned(),
                (_, _, true) if self.cursor.is_none() => {
                    format!("; --page {} goes on", page.page + 1)
                }
                (_, Some(cursor), _) => format!("; --cursor {cursor} goes on"),
                _ => String::new(),
            };
            text.push_str(&format!("{shown} of {} sessions{more}\n", page.total));
        }
        text
    }
}

fn found(count: usize) -> ExitCode {
    if count == 0 { ExitCode::from(NO) } else { ExitCode::SUCCESS }
}

/// The columns of a table of sessions.
const COLUMNS: [Column; 9] = [
    Column::left("SESSION"),
    Column::left("USER"),
    Column::left("CLIENT").spare(4),
    Column::left("DESTINATION"),
    Column::left("VIA").spare(6),
    Column::left("STARTED").spare(5),
    Column::right("LASTED").spare(1),
    Column::right("SENT").spare(2),
    Column::right("RECEIVED").spare(3),
];

/// A table of sessions for people.
pub(crate) fn sessions(sessions: &[Session], width: Option<u16>) -> String {
    let any_ended = sessions.iter().any(|session| !session.is_running());
    let many_nodes = sessions.windows(2).any(|two| matches!(two, [a, b] if a.node_id != b.node_id));
    let mut columns = COLUMNS.to_vec();
    let mut rows: Vec<Vec<String>> = sessions.iter().map(row).collect();
    let mut add = |column, cell: fn(&Session) -> String| {
        columns.push(column);
        for (row, session) in rows.iter_mut().zip(sessions) {
            row.push(cell(session));
        }
    };
    if any_ended {
        add(Column::left("ENDED BY"), ended_by);
    }
    if many_nodes {
        add(Column::left("NODE").spare(0), |session| session.node_id.to_string());
    }
    draw(&columns, &rows, width)
}

fn row(session: &Session) -> Vec<String> {
    vec![
        session.session_id.to_string(),
        session.user.to_string(),
        session.client(),
        session.destination(),
        session.command.as_ref().unwrap_or(&session.protocol).to_string(),
        local(&session.start_time),
        span(lasted(session)),
        bytes(session.bytes_sent),
        bytes(session.bytes_received),
    ]
}

/// How long it lasted, or has lasted when its numbers were read.
pub(crate) fn lasted(session: &Session) -> Duration {
    match session.duration_ms {
        Some(millis) => Duration::from_millis(millis),
        None => between(&session.start_time, &session.updated_at),
    }
}

fn ended_by(session: &Session) -> String {
    match &session.close_reason {
        _ if session.is_running() => "still running".to_owned(),
        Some(reason) => reason.to_string(),
        None => session.status.to_string(),
    }
}

/// Asks for one session.
pub(crate) async fn one(http: &Http, id: &str) -> Result<(String, Session), Fault> {
    let json = http.get(&format!("/api/sessions/{id}"), Query::default()).await?;
    let session = http.read(&json)?;
    Ok((json, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_and_the_end_are_shown_where_they_tell_something() {
        let running = |node: &str| Session { node_id: node.into(), ..Session::default() };
        let ended = Session {
            end_time: Some("2026-01-02T03:04:05.000+00:00".into()),
            close_reason: Some("idle_timeout".into()),
            ..running("a")
        };
        let table = sessions(&[running("a"), running("a")], None);
        assert!(!table.contains("NODE") && !table.contains("ENDED BY"), "{table}");
        let table = sessions(&[running("a"), running("b"), ended], None);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].ends_with("ENDED BY       NODE"), "{table}");
        assert!(lines[2].ends_with("still running  b"), "{table}");
        assert!(lines[3].ends_with("idle_timeout   a"), "{table}");
    }
}
