//! `rustsocks sessions tail`: sessions as they open and end, line by line, for as long as
//! anybody reads.

use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::complain;
use crate::console::answers::Session;
use crate::console::filter::Filter;
use crate::console::follow::{Follower, News, What};
use crate::console::http::Http;
use crate::console::list::lasted;
use crate::console::units::{bytes, counted, local_clock, span};
use crate::console::{EXIT_CODES, Fault, Outcome, safe};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Tail {
    /// Counters of running sessions too, as they change.
    #[arg(long)]
    updates: bool,
    /// A JSON object per line: `event` and `session`, or `missed`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Tail {
    pub(crate) async fn ask(self, http: &Http) -> Outcome {
        let followed = self.follow(http);
        tokio::select! {
            followed = followed => followed,
            () = output::unread() => Ok(ExitCode::SUCCESS),
        }
    }

    async fn follow(&self, http: &Http) -> Outcome {
        let mut follower = Follower::new(http, self.filter.query());
        let (mut connected, mut was_lost) = (false, false);
        loop {
            let line = match follower.next().await? {
                News::Connected => {
                    if std::mem::take(&mut was_lost) {
                        complain(&"the connection is back");
                    }
                    connected = true;
                    continue;
                }
                News::Lost(fault) if !connected => return Err(fault),
                News::Lost(fault) => {
                    // Said once, however many tries it takes.
                    if !std::mem::replace(&mut was_lost, true) {
                        complain(&format_args!("{fault}; trying again"));
                    }
                    continue;
                }
                News::Session { what: What::Updated, .. } if !self.updates => continue,
                News::Session { what, json } => self.happened(http, what, &json)?,
                News::Gap(missed) => self.gap(missed),
            };
            match output::pour(line.as_bytes()) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(Fault::Output(error)),
            }
        }
    }

    fn happened(&self, http: &Http, what: What, json: &str) -> Result<String, Fault> {
        let session: Session = http.read(json)?;
        if self.json {
            let name = what.name();
            return Ok(format!("{{\"event\":\"{name}\",\"session\":{}}}\n", safe::json(json)));
        }
        let Session { session_id, user, .. } = &session;
        let (client, destination) = (session.client(), session.destination());
        let at = session.end_time.as_ref().unwrap_or(&session.updated_at);
        let (at, name) = (local_clock(at), what.name());
        let moved = format!(
            "sent {}, received {} in {}",
            bytes(session.bytes_sent),
            bytes(session.bytes_received),
            span(lasted(&session))
        );
        let rest = match (what, &session.close_reason) {
            (What::Opened, _) => String::new(),
            (_, Some(reason)) => format!("  {reason}, {moved}"),
            (_, None) => format!("  {moved}"),
        };
        // The id last: it is the part that may wrap in a narrow terminal.
        Ok(format!("{at}  {name:7}  {user}  {client} -> {destination}{rest}  {session_id}\n"))
    }

    fn gap(&self, missed: Option<u64>) -> String {
        match (self.json, missed) {
            (true, missed) => format!("{}\n", json!({ "event": "gap", "missed": missed })),
            (false, Some(missed)) => format!("-- gap: {} missed --\n", counted(missed, "event")),
            (false, None) => "-- gap: nobody knows how many events were missed --\n".to_owned(),
        }
    }
}
