//! `rustsocks status`: whether the server is well, and takes clients.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::console::answers::{Health, Journal, Storage};
use crate::console::fault::Fault;
use crate::console::filter::Query;
use crate::console::http::Http;
use crate::console::units::{bytes, counted, local, span};
use crate::console::{Ask, EXIT_CODES, NO, Outcome, Reach, say, say_json, table};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Status {
    /// The answer of /health as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Ask for Status {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    async fn ask(self, http: Http) -> Outcome {
        let json = http.get("/health", Query::default()).await?;
        let health: Health = http.read(&json)?;
        if health.version.is_empty() {
            return Err(http.foreign("its answer is not understood"));
        }
        let refusal = match http.get("/ready", Query::default()).await {
            Ok(_) => None,
            Err(Fault::Unable { detail }) => Some(detail),
            Err(fault) => return Err(fault),
        };
        match self.json {
            true => say_json(&json)?,
            false => say(&shown(&health, refusal.as_deref(), http.address()))?,
        }
        let well = health.status.as_str() == "ok" && refusal.is_none();
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(NO) })
    }
}

fn shown(health: &Health, refusal: Option<&str>, at: &dyn std::fmt::Display) -> String {
    let clients =
        refusal.map_or("takes clients".to_owned(), |why| format!("takes no clients: {why}"));
    let up = Duration::from_secs(health.uptime_secs);
    table::pairs(&[
        ("server", Some(format!("RustSocks {} at {at}", health.version))),
        ("status", Some(format!("{}, {clients}", health.status))),
        ("up", Some(span(up))),
        ("running", Some(counted(health.active_sessions, "session"))),
        ("storage", Some(storage(&health.storage))),
        ("journal", Some(journal(&health.journal))),
    ])
}

fn storage(storage: &Storage) -> String {
    let Storage { engine, status, batches, failures, .. } = storage;
    let mut text = format!("{engine}, {status}: {}", counted(*batches, "write"));
    if *failures > 0 {
        text.push_str(&format!(", {}", counted(*failures, "failure")));
    }
    if let (Some(since), Some(error)) = (&storage.degraded_since, &storage.last_error) {
        text.push_str(&format!("; fails since {}: {error}", local(since)));
    }
    if let Some(quarantined) = &storage.quarantined {
        text.push_str(&format!("; a damaged database was moved to {quarantined}"));
    }
    text
}

fn journal(journal: &Journal) -> String {
    if journal.status.as_str() == "off" {
        return "off".to_owned();
    }
    let mut text = format!(
        "{}: {} of {}, {} not stored yet, {} lost",
        journal.status,
        bytes(journal.bytes),
        bytes(journal.max_bytes),
        counted(journal.unsaved, "session"),
        journal.lost
    );
    if let Some(error) = &journal.last_error {
        text.push_str(&format!("; {error}"));
    }
    if let Some(since) = &journal.waiting_since {
        text.push_str(&format!("; the oldest waits since {}", local(since)));
    }
    if journal.unreadable > 0 {
        let segments = counted(journal.unreadable, "segment");
        text.push_str(&format!("; {segments} of former runs cannot be read"));
    }
    if journal.replaying {
        text.push_str("; what former runs left is being saved");
    }
    text
}
