//! What the person looks at, and what keys do. It draws nothing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tokio::time::Instant;

use crate::console::answers::Session;
use crate::console::safe::{Text, is_visible};
use crate::console::top::board::{Board, Order, Row};
use crate::console::top::feed::Message;

/// What is open above the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    /// The filter is being typed.
    Filter,
    /// A session is to be ended; the reason is being typed.
    Kill {
        session: Box<Session>,
        reason: String,
    },
    /// Everything about the selected session.
    Details,
    Help,
}

/// What a key asks of the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Quit,
    Suspend,
    Kill { session: Box<Session>, reason: String },
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) board: Board,
    pub(super) mode: Mode,
    pub(super) order: Order,
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// Why the server is not there, since when.
    pub(super) lost: Option<(String, Instant)>,
    pub(super) note: String,
    /// The session that is selected: it stays so wherever its row moves.
    selected: Option<Text>,
    /// Where its row was.
    row: usize,
    /// The first row that is shown.
    first: usize,
    /// How many rows were shown last.
    page: usize,
}

/// The longest filter and reason.
const MOST_TYPED: usize = 200;

/// Who is connected to what.
pub(super) fn named(session: &Session) -> String {
    format!("{}, {} -> {}", session.user, session.client(), session.destination())
}

impl Screen {
    pub(super) fn new(board: Board) -> Self {
        Self {
            board,
            mode: Mode::List,
            order: Order::Rate,
            reverse: false,
            filter: String::new(),
            lost: None,
            note: String::new(),
            selected: None,
            row: 0,
            first: 0,
            page: 1,
        }
    }

    pub(super) fn take(&mut self, message: Message, now: Instant) {
        match message {
            Message::Running(sessions) => {
                if self.lost.take().is_some() {
                    self.note = "the connection is back".to_owned();
                }
                self.board.replace(sessions, now);
            }
            Message::Moves(session) => self.board.put(*session, now),
            Message::Ended(session) => self.board.remove(&session),
            Message::Lost(why) => {
                let since = self.lost.take().map_or(now, |(_, since)| since);
                self.lost = Some((why, since));
            }
            Message::Note(note) => self.note = note,
        }
    }

    /// The rows that fit into `height` lines, and which of them is selected.
    pub(super) fn visible(&mut self, height: usize, now: Instant) -> (Vec<Row<'_>>, usize) {
        let order = (self.order, self.reverse);
        let mut rows = self.board.rows(&self.filter, order, now);
        let last = rows.len().saturating_sub(1);
        let id = |row: &Row<'_>| Some(&row.session.session_id) == self.selected.as_ref();
        // Where the selected one has ended, the one in its place is next.
        self.row = rows.iter().position(id).unwrap_or(self.row).min(last);
        self.selected = rows.get(self.row).map(|row| row.session.session_id.clone());
        self.page = height.max(1);
        self.first = self.first.clamp((self.row + 1).saturating_sub(self.page), self.row);
        self.first = self.first.min(rows.len().saturating_sub(self.page));
        rows.drain(..self.first);
        rows.truncate(height);
        (rows, self.row - self.first)
    }

    pub(super) fn selected(&self) -> Option<&Session> {
        self.board.get(self.selected.as_ref()?)
    }

    /// Does what a key asks.
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (control, key.code) {
            (true, KeyCode::Char('c')) => return Action::Quit,
            (true, KeyCode::Char('z')) => return Action::Suspend,
            // The terminal is drawn anew with each key anyway.
            (true, KeyCode::Char(_)) => return Action::None,
            _ => {}
        }
        match &mut self.mode {
            Mode::List => self.list_key(key.code),
            Mode::Filter => {
                match key.code {
                    KeyCode::Enter => self.mode = Mode::List,
                    KeyCode::Esc => {
                        self.filter.clear();
                        self.mode = Mode::List;
                    }
                    code => typed(&mut self.filter, code),
                }
                Action::None
            }
            Mode::Kill { session, reason } => match key.code {
                KeyCode::Enter => {
                    let (session, reason) = (session.clone(), std::mem::take(reason));
                    self.mode = Mode::List;
                    Action::Kill { session, reason }
                }
                KeyCode::Esc => {
                    self.mode = Mode::List;
                    Action::None
                }
                code => {
                    typed(reason, code);
                    Action::None
                }
            },
            Mode::Details | Mode::Help => {
                self.mode = Mode::List;
                Action::None
            }
        }
    }

    fn list_key(&mut self, code: KeyCode) -> Action {
        self.note.clear();
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Up => self.move_to(self.row.saturating_sub(1)),
            KeyCode::Down => self.move_to(self.row + 1),
            KeyCode::PageUp => self.move_to(self.row.saturating_sub(self.page)),
            KeyCode::PageDown => self.move_to(self.row + self.page),
            KeyCode::Home => self.move_to(0),
            KeyCode::End => self.move_to(usize::MAX),
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('k') | KeyCode::Delete => {
                if let Some(session) = self.selected() {
                    let (session, reason) = (Box::new(session.clone()), String::new());
                    self.mode = Mode::Kill { session, reason };
                }
            }
            KeyCode::Enter if self.selected().is_some() => self.mode = Mode::Details,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            _ => {}
        }
        Action::None
    }

    /// Selects the row at a place; one behind the last is the last.
    fn move_to(&mut self, row: usize) {
        self.row = row;
        self.selected = None;
    }
}

/// Adds a key to a line of text, or takes the last one away.
fn typed(line: &mut String, code: KeyCode) {
    match code {
        KeyCode::Char(char) if is_visible(char) && line.len() < MOST_TYPED => line.push(char),
        KeyCode::Backspace => {
            line.pop();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(ids: &[&str]) -> (Screen, Instant) {
        let now = Instant::now();
        let mut screen = Screen::new(Board::default());
        let sessions = ids.iter().map(|&id| Session {
            session_id: id.into(),
            user: id.into(),
            ..Session::default()
        });
        screen.take(Message::Running(sessions.collect()), now);
        screen.order = Order::User;
        (screen, now)
    }

    fn press(screen: &mut Screen, code: KeyCode) -> Action {
        screen.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn selected(screen: &mut Screen, now: Instant) -> String {
        screen.visible(2, now);
        screen.selected().map(|session| session.user.to_string()).unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn the_selection_stays_with_its_session_and_goes_on_when_it_ends() {
        let (mut screen, now) = screen(&["a", "b", "c", "d"]);
        assert_eq!(selected(&mut screen, now), "a");
        press(&mut screen, KeyCode::Down);
        assert_eq!(selected(&mut screen, now), "b");
        press(&mut screen, KeyCode::Char('r'));
        assert_eq!(selected(&mut screen, now), "b");
        press(&mut screen, KeyCode::Char('r'));
        assert_eq!(selected(&mut screen, now), "b");
        let ended = Session { session_id: "b".into(), ..Session::default() };
        screen.take(Message::Ended(Box::new(ended)), now);
        assert_eq!(selected(&mut screen, now), "c");
        press(&mut screen, KeyCode::End);
        assert_eq!(selected(&mut screen, now), "d");
        assert_eq!(screen.visible(2, now).1, 1);
        screen.take(Message::Running(Vec::new()), now);
        assert_eq!(selected(&mut screen, now), "");
        assert_eq!(press(&mut screen, KeyCode::Char('k')), Action::None);
        assert_eq!(screen.mode, Mode::List);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_ended_after_a_confirmation_alone() {
        let (mut screen, now) = screen(&["a"]);
        selected(&mut screen, now);
        press(&mut screen, KeyCode::Char('k'));
        assert_eq!(press(&mut screen, KeyCode::Char('q')), Action::None);
        assert_eq!(press(&mut screen, KeyCode::Esc), Action::None);
        assert_eq!(screen.mode, Mode::List);
        press(&mut screen, KeyCode::Char('k'));
        press(&mut screen, KeyCode::Char('x'));
        match press(&mut screen, KeyCode::Enter) {
            Action::Kill { session, reason } => {
                assert_eq!((session.user.as_str(), reason.as_str()), ("a", "x"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_is_typed_kept_and_dropped() {
        let (mut screen, now) = screen(&["abc", "abd"]);
        for code in ['/', 'b', 'd', 'x'].map(KeyCode::Char) {
            press(&mut screen, code);
        }
        press(&mut screen, KeyCode::Backspace);
        press(&mut screen, KeyCode::Enter);
        assert_eq!(screen.visible(9, now).0.len(), 1);
        assert_eq!(screen.filter, "bd");
        press(&mut screen, KeyCode::Char('/'));
        press(&mut screen, KeyCode::Esc);
        assert_eq!(screen.visible(9, now).0.len(), 2);
    }
}
