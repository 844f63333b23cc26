//! `rustsocks top`: the running sessions of a server on a whole screen, the busiest first.
//!
//! The live stream feeds it; nothing is polled. The terminal is given back as it was however
//! the program ends, short of `kill -9`.

mod board;
mod draw;
mod feed;
mod screen;

use std::io::{self, IsTerminal as _};
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::console::answers::Session;
use crate::console::endings::Endings;
use crate::console::fault::Fault;
use crate::console::filter::{Filter, Query};
use crate::console::http::Http;
use crate::console::{Ask, EXIT_CODES, Outcome, Reach};
use board::Board;
use feed::Message;
use screen::{Action, Screen};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Top {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    reach: Reach,
}

/// Messages that wait for the screen; the stream is read no further then.
const WAITING: usize = 256;

/// How long the signal may take that says that the terminal is gone.
const HANG_UP_LIMIT: Duration = Duration::from_millis(100);

/// How often ages and rates move although nothing else does.
const ROUND: Duration = Duration::from_millis(500);

impl Ask for Top {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    async fn ask(self, http: Http) -> Outcome {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            let problem = "top needs a terminal; `rustsocks sessions list` does not";
            return Err(Fault::Usage(problem.into()));
        }
        if self.filter.has_status() || self.filter.has_close_reason() {
            let problem = "top shows running sessions alone: leave --status and --close-reason out";
            return Err(Fault::Usage(problem.into()));
        }
        let http = Arc::new(http);
        let (sender, mut inbox) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(feed::feed(Arc::clone(&http), self.filter.query(), sender.clone()));
        // The screen is taken when there is something to show, so that a fault is one line.
        let first = tokio::select! {
            first = inbox.recv() => first,
            Some(ended) = tasks.join_next() => return Err(fault_of(ended)),
        };
        let mut top = Running { http, sender, inbox, tasks, screen: Screen::new(Board::default()) };
        if let Some(first) = first {
            top.screen.take(first, Instant::now());
        }
        top.run().await
    }
}

/// Why a task of `top` ended.
fn fault_of(ended: Result<Result<(), Fault>, tokio::task::JoinError>) -> Fault {
    match ended {
        Ok(Err(fault)) => fault,
        Ok(Ok(())) => Fault::Usage("the feed ended by itself".into()),
        Err(error) => Fault::Output(io::Error::other(error)),
    }
}

struct Running {
    http: Arc<Http>,
    sender: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    tasks: JoinSet<Result<(), Fault>>,
    screen: Screen,
}

/// The whole screen, given back when dropped.
struct Terminal {
    /// Never dropped itself: its end complains on standard error, and panics where that is gone.
    drawn: ManuallyDrop<ratatui::DefaultTerminal>,
}

impl Terminal {
    fn take() -> Result<Self, Fault> {
        // Sets a panic hook that gives the screen back before the panic is told.
        let taken = ratatui::try_init();
        taken.map(|drawn| Self { drawn: ManuallyDrop::new(drawn) }).map_err(|error| {
            let _as_far_as_may_be = ratatui::try_restore();
            Fault::Output(error)
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing, and nobody is there to be told.
        let _as_far_as_may_be = self.drawn.show_cursor().and_then(|()| ratatui::try_restore());
    }
}

/// What it means that the terminal cannot be used any more: most likely its window was closed.
async fn gone(endings: &mut Endings, error: Option<io::Error>) -> Outcome {
    match (tokio::time::timeout(HANG_UP_LIMIT, endings.told()).await, error) {
        (Ok(code), _) => Ok(code),
        (Err(_), Some(error)) => Err(Fault::Output(error)),
        (Err(_), None) => Ok(ExitCode::SUCCESS),
    }
}

impl Running {
    async fn run(mut self) -> Outcome {
        let mut endings = Endings::listen()?;
        let mut terminal = Terminal::take()?;
        let mut keys = EventStream::new();
        let mut rounds = tokio::time::interval(ROUND);
        loop {
            let screen = &mut self.screen;
            let api = self.http.address();
            let drawn = terminal.drawn.draw(|frame| draw::draw(frame, screen, api, Instant::now()));
            if let Err(error) = drawn {
                return gone(&mut endings, Some(error)).await;
            }
            let action = tokio::select! {
                event = keys.next() => match event {
                    Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        self.screen.key(key)
                    }
                    Some(Ok(_resized)) => Action::None,
                    Some(Err(error)) => return gone(&mut endings, Some(error)).await,
                    None => return gone(&mut endings, None).await,
                },
                Some(message) = self.inbox.recv() => {
                    self.take(message);
                    Action::None
                }
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ok(())) => Action::None,
                    ended => return Err(fault_of(ended)),
                },
                _ = rounds.tick() => Action::None,
                code = endings.told() => return Ok(code),
            };
            match action {
                Action::None => {}
                Action::Quit => return Ok(ExitCode::SUCCESS),
                Action::Suspend => {
                    drop(terminal);
                    suspend();
                    terminal = Terminal::take()?;
                }
                Action::Kill { session, reason } => self.kill(*session, reason),
            }
        }
    }

    /// Takes a message, and every other that waits: one drawing is enough for all.
    fn take(&mut self, message: Message) {
        let now = Instant::now();
        self.screen.take(message, now);
        while let Ok(message) = self.inbox.try_recv() {
            self.screen.take(message, now);
        }
    }

    /// Asks the server to end a session, while the screen goes on.
    fn kill(&mut self, session: Session, reason: String) {
        let (http, sender) = (Arc::clone(&self.http), self.sender.clone());
        self.tasks.spawn(async move {
            let path = format!("/api/sessions/{}/terminate", session.session_id);
            let body = if reason.is_empty() { json!({}) } else { json!({ "reason": reason }) };
            let answer = http.post(&path, Query::default(), &body).await;
            let note = match answer {
                Ok(_) => format!("asked to end: {}", screen::named(&session)),
                Err(fault) => format!("not ended: {fault}"),
            };
            // Nobody reads it when the screen is gone.
            let _unread = sender.send(Message::Note(note)).await;
            Ok(())
        });
    }
}

/// Stops as the shell's Ctrl-Z asks, until it is taken up again.
fn suspend() {
    use rustix::process::{Signal, getpid, kill_process};
    // Without job control it just goes on.
    let _goes_on = kill_process(getpid(), Signal::TSTP);
}
