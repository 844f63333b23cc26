//! `rustsocks stats`: who used how much, and what for.

use std::process::ExitCode;

use clap::Args;

use crate::console::answers::Statistics;
use crate::console::filter::Query;
use crate::console::http::Http;
use crate::console::table::{Column, draw};
use crate::console::units::{bytes, counted, local};
use crate::console::{Ask, EXIT_CODES, Outcome, Reach, say, say_json, table};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Stats {
    /// How many hours to look back; as the server is configured where left out.
    #[arg(long, value_name = "HOURS")]
    window: Option<u64>,
    /// How many users and destinations, 1 to 100.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: u64,
    /// The API's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Ask for Stats {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    async fn ask(self, http: Http) -> Outcome {
        let query = Query::default().maybe("window_hours", self.window).with("top", self.top);
        let json = http.get("/api/sessions/stats", query).await?;
        match self.json {
            true => say_json(&json)?,
            false => say(&shown(&http.read(&json)?))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(stats: &Statistics) -> String {
    let window = counted(stats.window_hours, "hour");
    let mut text = table::pairs(&[
        ("window", Some(format!("{window} until {}", local(&stats.generated_at)))),
        ("running", Some(counted(stats.active_sessions, "session"))),
        ("started", Some(counted(stats.total_sessions, "session"))),
        ("rejected", Some(stats.rejected_sessions.to_string())),
        ("failed", Some(stats.failed_sessions.to_string())),
        ("sent", Some(bytes(stats.total_bytes_sent))),
        ("received", Some(bytes(stats.total_bytes_received))),
    ]);
    let users = stats.top_users.iter().map(|top| (top.user.to_string(), top.sessions, top.bytes));
    let dests = &stats.top_destinations;
    let dests = dests.iter().map(|top| (top.dest.to_string(), top.sessions, top.bytes));
    for (title, rows) in [("USER", users.collect()), ("DESTINATION", dests.collect())] {
        text.push_str(&top(title, rows));
    }
    text
}

/// A table of those who used the most; nothing where there is nobody.
fn top(title: &'static str, rows: Vec<(String, u64, u64)>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns = [Column::left(title), Column::right("SESSIONS"), Column::right("BYTES")];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, sessions, total)| vec![name, sessions.to_string(), bytes(total)])
        .collect();
    format!("\n{}", draw(&columns, &rows, output::width()))
}
