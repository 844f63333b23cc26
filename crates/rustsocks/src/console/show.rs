//! `rustsocks sessions show`: everything that is known about one session.

use std::process::ExitCode;

use clap::Args;

use crate::console::answers::{Session, with_port};
use crate::console::filter::session_id;
use crate::console::http::Http;
use crate::console::list::{lasted, one};
use crate::console::units::{bytes, counted, local, span};
use crate::console::{EXIT_CODES, Outcome, say, say_json, table};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Show {
    /// The session's id.
    #[arg(value_parser = session_id)]
    id: String,
    /// The API's answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) async fn ask(self, http: &Http) -> Outcome {
        let (json, session) = one(http, &self.id).await?;
        match self.json {
            true => say_json(&json)?,
            false => say(&shown(&session))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Everything about a session, a line for each thing that is known.
pub(crate) fn shown(session: &Session) -> String {
    let text = |text: &Option<_>| text.as_ref().map(ToString::to_string);
    let moved = |count, packets| format!("{}, {}", bytes(count), counted(packets, "packet"));
    let decision = session.acl_decision.as_ref().map(|decision| match &session.acl_rule_matched {
        Some(rule) => format!("{decision}, by {rule}"),
        None => decision.to_string(),
    });
    let connected = with_port(session.dest_ip.as_str(), session.dest_port);
    let egress = session.egress_ip.as_ref().zip(session.egress_port);
    let connect = session.connect_ms.map(|millis| format!("after {millis} ms"));
    let user = match session.user.is_empty() {
        true => "(none)".to_owned(),
        false => session.user.to_string(),
    };
    table::pairs(&[
        ("session", Some(session.session_id.to_string())),
        ("status", Some(session.status.to_string())),
        ("user", Some(user)),
        ("client", Some(session.client())),
        ("command", text(&session.command)),
        ("protocol", Some(session.protocol.to_string())),
        ("destination", Some(session.destination())),
        ("address", session.dest_host.as_ref().map(|_| connected)),
        ("connected", connect),
        ("from", egress.map(|(ip, port)| with_port(ip.as_str(), port))),
        ("access", decision),
        ("sent", Some(moved(session.bytes_sent, session.packets_sent))),
        ("received", Some(moved(session.bytes_received, session.packets_received))),
        ("started", Some(local(&session.start_time))),
        ("ended", session.end_time.as_ref().map(local)),
        ("lasted", Some(span(lasted(session)))),
        ("ended by", text(&session.close_reason)),
        ("detail", text(&session.close_detail)),
        ("node", Some(session.node_id.to_string())),
        ("as of", Some(local(&session.updated_at))),
    ])
}
