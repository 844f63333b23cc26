//! `rustsocks events`: what operators should know, the newest last.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use rustsocks_telemetry::{Category, Severity};
use serde_json::Value;

use crate::cli::complain;
use crate::console::answers::Event;
use crate::console::filter::Query;
use crate::console::http::Http;
use crate::console::units::local;
use crate::console::{Ask, EXIT_CODES, Fault, NO, Outcome, Reach, safe, say, say_json};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Events {
    /// Look back this many minutes; as far as there are events where left out.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// How many at most, the newest of them, 1 to 500.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u64,
    /// How bad.
    #[arg(long, value_parser = severities())]
    severity: Option<String>,
    /// What about.
    #[arg(long, value_parser = categories())]
    category: Option<String>,
    /// Stay, and tell new ones as they come.
    #[arg(short, long)]
    follow: bool,
    /// The API's answer as JSON, the newest first; with --follow a line per event, the newest
    /// last.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

fn severities() -> PossibleValuesParser {
    Severity::ALL.map(Severity::name).into()
}

fn categories() -> PossibleValuesParser {
    Category::ALL.map(Category::name).into()
}

/// How often new events are asked for: there is no stream of them.
const ROUND: Duration = Duration::from_secs(1);

impl Ask for Events {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    async fn ask(self, http: Http) -> Outcome {
        if self.follow {
            return tokio::select! {
                followed = self.follow(&http) => followed,
                () = output::unread() => Ok(ExitCode::SUCCESS),
            };
        }
        let json = self.get(&http).await?;
        let events: Vec<Event> = http.read(&json)?;
        match (self.json, events.is_empty()) {
            (true, _) => say_json(&json)?,
            (false, true) => say("no event is found\n")?,
            (false, false) => say(&events.iter().rev().map(line).collect::<String>())?,
        }
        Ok(if events.is_empty() { ExitCode::from(NO) } else { ExitCode::SUCCESS })
    }
}

impl Events {
    async fn get(&self, http: &Http) -> Result<String, Fault> {
        let query = Query::default()
            .maybe("minutes", self.minutes)
            .with("limit", self.limit)
            .maybe("severity", self.severity.as_ref())
            .maybe("category", self.category.as_ref());
        http.get("/api/telemetry/events", query).await
    }

    /// Tells each event when it comes, and again when its count has grown.
    async fn follow(&self, http: &Http) -> Outcome {
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        let mut rounds = tokio::time::interval(ROUND);
        let (mut connected, mut was_lost) = (false, false);
        loop {
            rounds.tick().await;
            let json = match self.get(http).await {
                Ok(json) => json,
                Err(fault) if connected && fault.may_pass() => {
                    if !std::mem::replace(&mut was_lost, true) {
                        complain(&format_args!("{fault}; trying again"));
                    }
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            if std::mem::take(&mut was_lost) {
                complain(&"the connection is back");
            }
            connected = true;
            let events: Vec<Value> = http.read(&json)?;
            let mut now = BTreeMap::new();
            for value in events.iter().rev() {
                let event: Event = http.read(&value.to_string())?;
                let count = event.count;
                let key = key(&event);
                let is_new = told.get(&key).is_none_or(|told| *told < count);
                now.insert(key, count);
                let line = match (is_new, self.json) {
                    (false, _) => continue,
                    (true, true) => format!("{}\n", safe::json(&value.to_string())),
                    (true, false) => line(&event),
                };
                match output::pour(line.as_bytes()) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(ExitCode::SUCCESS),
                    Err(error) => return Err(Fault::Output(error)),
                }
            }
            told = now;
        }
    }
}

/// What stays the same while an event's count grows.
fn key(event: &Event) -> String {
    let Event { first_timestamp, severity, category, message, details, .. } = event;
    format!("{first_timestamp} {severity} {category} {message} {details:?}")
}

fn line(event: &Event) -> String {
    let Event { severity, category, message, .. } = event;
    let details: Vec<String> =
        event.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let details = match details.is_empty() {
        true => String::new(),
        false => format!(" ({})", details.join(", ")),
    };
    let times = match event.count {
        0 | 1 => String::new(),
        count => format!(", {count} times since {}", local(&event.first_timestamp)),
    };
    format!("{}  {severity:7}  {category:15}  {message}{details}{times}\n", local(&event.timestamp))
}
