//! What feeds the screen: the stream of changes, and all running sessions each time it begins.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::console::answers::Session;
use crate::console::fault::Fault;
use crate::console::filter::Query;
use crate::console::follow::{Follower, News, What};
use crate::console::http::{Http, Question};

/// What the screen is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Every session that runs; what is not among them has ended.
    Running(Vec<Session>),
    /// A session opened or moved.
    Moves(Box<Session>),
    /// A session ended.
    Ended(Box<Session>),
    /// The server is not there; it is sought.
    Lost(String),
    /// Something to say to the person.
    Note(String),
}

/// Feeds the screen for as long as there is one.
///
/// # Errors
/// What does not pass by waiting; at first, anything.
pub(super) async fn feed(
    http: Arc<Http>,
    query: Query,
    screen: mpsc::Sender<Message>,
) -> Result<(), Fault> {
    let mut follower = Follower::new(&http, query.clone());
    let mut connected = false;
    loop {
        let message = match follower.next().await? {
            // The stream tells changes alone. It was opened before the list is read, so that
            // nothing falls between the two.
            News::Connected | News::Gap(_) => match running(&http, &query).await {
                Ok(sessions) => {
                    connected = true;
                    Message::Running(sessions)
                }
                Err(fault) if connected && fault.may_pass() => {
                    follower.abandon();
                    Message::Lost(fault.to_string())
                }
                Err(fault) => return Err(fault),
            },
            News::Session { what, json } => {
                let session = Box::new(http.read(&json)?);
                match what {
                    What::Opened | What::Updated => Message::Moves(session),
                    What::Ended => Message::Ended(session),
                }
            }
            News::Lost(fault) if connected => Message::Lost(fault.to_string()),
            News::Lost(fault) => return Err(fault),
        };
        if screen.send(message).await.is_err() {
            return Ok(());
        }
    }
}

/// Every running session, as of one moment.
async fn running(http: &Http, query: &Query) -> Result<Vec<Session>, Fault> {
    let query = query.clone().with("status", "active").with("format", "ndjson");
    let question = Question { path: "/api/sessions/export", query, ..Question::default() };
    let mut pieces = http.open(question).await?;
    let mut sessions = Vec::new();
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await? {
        rest.extend_from_slice(&piece);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        let behind = rest.split_off(end + 1);
        for line in String::from_utf8_lossy(&rest).lines() {
            sessions.push(http.read(line)?);
        }
        rest = behind;
    }
    Ok(sessions)
}
