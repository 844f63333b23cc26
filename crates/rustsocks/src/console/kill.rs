//! `rustsocks sessions kill`: ends running sessions, by id or by filter, after asking.

use std::collections::HashSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::complain;
use crate::console::answers::{Session, Terminated};
use crate::console::filter::{Filter, Query, session_id};
use crate::console::http::Http;
use crate::console::list::{one, sessions};
use crate::console::units::counted;
use crate::console::{EXIT_CODES, Fault, NO, Outcome, say, say_json};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Kill {
    /// Ids of sessions.
    #[arg(value_name = "ID", value_parser = session_id)]
    ids: Vec<String>,
    /// Every running session of the server, where there is no filter.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Only tell which sessions would be ended.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask whether they are to be ended.
    #[arg(short, long)]
    yes: bool,
    /// Why, for the records.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The API's answer as JSON: an object for a filter, a line per session for ids.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Kill {
    pub(crate) async fn ask(self, http: &Http) -> Outcome {
        match (self.ids.is_empty(), self.filter.is_empty(), self.all) {
            (false, true, _) => self.by_id(http).await,
            (false, false, _) => Err(usage("give either ids or a filter, not both")),
            (true, true, false) => {
                Err(usage("say which sessions: give ids, a filter, or --all for every one"))
            }
            (true, ..) => self.by_filter(http).await,
        }
    }

    async fn by_id(&self, http: &Http) -> Outcome {
        let mut code = ExitCode::SUCCESS;
        let mut found = Vec::new();
        let mut asked = HashSet::new();
        for id in self.ids.iter().filter(|id| asked.insert(*id)) {
            match one(http, id).await {
                Ok((_, session)) if !session.is_running() => code = negative(id, "it has ended"),
                Ok(session) => found.push(session),
                Err(Fault::Negative { detail }) => {
                    code = negative(id, &detail);
                }
                Err(fault) => return Err(fault),
            }
        }
        let table: Vec<Session> = found.iter().map(|(_, session)| session.clone()).collect();
        if found.is_empty() || self.dry_run {
            self.show(&table, found.iter().map(|(json, _)| json.as_str()))?;
            return Ok(code);
        }
        if !self.agreed(&table, found.len() as u64)? {
            return Ok(refrained());
        }
        let mut ended = 0;
        for (_, session) in &found {
            let id = session.session_id.as_str();
            let path = format!("/api/sessions/{id}/terminate");
            match http.post(&path, Query::default(), &self.body()).await {
                Ok(json) if self.json => say_json(&json)?,
                Ok(_) => ended += 1,
                Err(Fault::Negative { detail }) => code = negative(id, &detail),
                Err(fault) => {
                    self.tell(ended)?;
                    return Err(fault);
                }
            }
        }
        self.tell(ended)?;
        Ok(code)
    }

    /// Says how many were asked to end, if any were.
    fn tell(&self, ended: u64) -> Result<(), Fault> {
        if ended > 0 { say(&told(ended)) } else { Ok(()) }
    }

    async fn by_filter(&self, http: &Http) -> Outcome {
        let dry = self.filtered(http, &self.filter, json!({ "dry_run": true })).await?;
        let found: Terminated = http.read(&dry)?;
        if found.matched == 0 || self.dry_run {
            match (self.json, found.matched) {
                (true, _) => say_json(&dry)?,
                (false, 0) => say("no running session is found\n")?,
                (false, matched) => {
                    say(&shown(&found.sessions, matched))?;
                    say(&format!("{} would be ended\n", counted(matched, "session")))?;
                }
            }
            return Ok(if found.matched == 0 { ExitCode::from(NO) } else { ExitCode::SUCCESS });
        }
        if !self.agreed(&found.sessions, found.matched)? {
            return Ok(refrained());
        }
        let (filter, only) = self.shown_alone(&found)?;
        let json = self.filtered(http, &filter, only).await?;
        let done: Terminated = http.read(&json)?;
        match self.json {
            true => say_json(&json)?,
            false => say(&told(done.terminated))?,
        }
        Ok(if done.terminated == 0 { ExitCode::from(NO) } else { ExitCode::SUCCESS })
    }

    /// Asks with a filter, and with more for the body.
    async fn filtered(&self, http: &Http, filter: &Filter, more: Value) -> Result<String, Fault> {
        let mut body = self.body();
        body["all"] = Value::Bool(self.all);
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        http.post("/api/sessions/terminate", filter.query(), &body).await
    }

    /// What keeps the request to what a person has agreed to: to the very sessions where all were
    /// shown, else to those that had started.
    fn shown_alone(&self, found: &Terminated) -> Result<(Filter, Value), Fault> {
        if self.yes {
            return Ok((self.filter.clone(), json!({})));
        }
        if found.sessions.len() as u64 == found.matched {
            let ids = found.sessions.iter().map(|session| session.session_id.as_str());
            return Ok((self.filter.clone(), json!({ "only": ids.collect::<Vec<_>>() })));
        }
        let bound = found.start_before.as_ref().and_then(|time| time.as_str().parse().ok());
        let bound = bound.ok_or_else(|| Fault::Unable {
            detail: "it does not say when the sessions started; end them by id".to_owned(),
        })?;
        Ok((self.filter.before(bound), json!({})))
    }

    fn body(&self) -> Value {
        match &self.reason {
            Some(reason) => json!({ "reason": reason }),
            None => json!({}),
        }
    }

    fn show<'a>(
        &self,
        table: &[Session],
        mut lines: impl Iterator<Item = &'a str>,
    ) -> Result<(), Fault> {
        match self.json {
            true => lines.try_for_each(say_json),
            false if table.is_empty() => Ok(()),
            false => say(&sessions(table, output::width())),
        }
    }

    /// Asks a person, unless the command line has answered already.
    fn agreed(&self, sessions: &[Session], matched: u64) -> Result<bool, Fault> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(usage("nobody can be asked here: look with --dry-run, then give --yes"));
        }
        let mut question = shown(sessions, matched);
        question.push_str(&format!("End {}? [y/N] ", counted(matched, "running session")));
        let mut answer = String::new();
        io::stderr().write_all(question.as_bytes()).map_err(Fault::Output)?;
        io::stdin().lock().read_line(&mut answer).map_err(Fault::Output)?;
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }
}

fn usage(problem: &str) -> Fault {
    Fault::Usage(problem.to_owned())
}

/// A table of sessions, and how many there are beyond it.
fn shown(table: &[Session], matched: u64) -> String {
    let mut text = sessions(table, output::width());
    let more = matched.saturating_sub(table.len() as u64);
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

fn told(count: u64) -> String {
    format!("{} asked to end\n", counted(count, "session"))
}

fn negative(id: &str, detail: &str) -> ExitCode {
    complain(&format_args!("{id}: {detail}"));
    ExitCode::from(NO)
}

fn refrained() -> ExitCode {
    complain(&"nothing was ended");
    ExitCode::from(NO)
}
