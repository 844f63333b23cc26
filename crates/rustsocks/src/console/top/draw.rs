//! The screen as cells of a terminal, of whatever size it is.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row as Cells, Table};
use tokio::time::Instant;

use crate::console::address::Address;
use crate::console::show;
use crate::console::top::board::{Order, Row};
use crate::console::top::screen::{Mode, Screen, named};
use crate::console::units::{bytes, counted, rate, span};

/// A column of the list.
struct Column {
    title: &'static str,
    width: Constraint,
    /// Terminals narrower than this do without it.
    from: u16,
    order: Option<Order>,
    cell: fn(&Row<'_>) -> String,
    right: bool,
}

const COLUMNS: [Column; 9] = [
    Column {
        title: "USER",
        width: Constraint::Fill(2),
        from: 0,
        order: Some(Order::User),
        cell: |row| row.session.user.to_string(),
        right: false,
    },
    Column {
        title: "CLIENT",
        width: Constraint::Length(21),
        from: 120,
        order: None,
        cell: |row| row.session.client(),
        right: false,
    },
    Column {
        title: "DESTINATION",
        width: Constraint::Fill(4),
        from: 0,
        order: Some(Order::Destination),
        cell: |row| row.session.destination(),
        right: false,
    },
    Column {
        title: "VIA",
        width: Constraint::Length(13),
        from: 132,
        order: None,
        cell: |row| row.session.command.as_ref().map(ToString::to_string).unwrap_or_default(),
        right: false,
    },
    Column {
        title: "SENT/S",
        width: Constraint::Length(10),
        from: 46,
        order: None,
        cell: |row| rate(row.sent),
        right: true,
    },
    Column {
        title: "RECV/S",
        width: Constraint::Length(10),
        from: 34,
        order: Some(Order::Rate),
        cell: |row| rate(row.received),
        right: true,
    },
    Column {
        title: "SENT",
        width: Constraint::Length(8),
        from: 76,
        order: None,
        cell: |row| bytes(row.session.bytes_sent),
        right: true,
    },
    Column {
        title: "RECEIVED",
        width: Constraint::Length(8),
        from: 76,
        order: Some(Order::Bytes),
        cell: |row| bytes(row.session.bytes_received),
        right: true,
    },
    Column {
        title: "AGE",
        width: Constraint::Length(11),
        from: 60,
        order: Some(Order::Age),
        cell: |row| span(row.age),
        right: true,
    },
];

const HELP: &str = "\
Up, Down, PgUp, PgDn, Home, End  select a session
Enter  everything about it
k      end it, after a confirmation
s      sort by the next column: rate, bytes, age, user, destination
r      the other way round
/      filter by a part of a name or address
q      leave";

const KEYS: &str = "q leave  s sort  r reverse  / filter  k end  Enter details  ? help";

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen, api: &Address, now: Instant) {
    let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)];
    let [head, state, list, foot] =
        Layout::vertical(rows.into_iter().chain([Constraint::Length(1)])).areas(frame.area());
    draw_head(frame, head, screen, api, now);
    draw_state(frame, state, screen);
    draw_list(frame, list, screen, now);
    frame.render_widget(Line::from(KEYS).dim(), foot);
    match &screen.mode {
        Mode::List | Mode::Filter => {}
        Mode::Kill { session, reason } => {
            let text = format!(
                "{}\n\nReason (may be empty): {reason}_\n\nEnter ends it, Esc leaves it",
                named(session)
            );
            popup(frame, "End this session?", &text);
        }
        Mode::Details => {
            if let Some(session) = screen.selected() {
                popup(frame, "Session", &show::shown(session));
            }
        }
        Mode::Help => popup(frame, "Keys", HELP),
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, screen: &Screen, api: &Address, now: Instant) {
    let (sent, received) = screen.board.rates(now);
    let moving = |rate: f64| bytes(rate.round() as u64);
    let text = format!(
        "{}  sent {}/s  received {}/s  {api}",
        counted(screen.board.len() as u64, "session"),
        moving(sent),
        moving(received)
    );
    frame.render_widget(Line::from(text).bold(), area);
}

fn draw_state(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let line = match (&screen.mode, &screen.lost) {
        (Mode::Filter, _) => Line::from(format!("filter: {}_", screen.filter)).bold(),
        (_, Some((why, since))) => {
            let ago = span(since.elapsed());
            let text = format!("CONNECTION LOST {ago} ago, trying again: {why}");
            Line::from(text).style(Style::new().fg(Color::Red).add_modifier(Modifier::BOLD))
        }
        _ if !screen.note.is_empty() => Line::from(screen.note.as_str()).fg(Color::Yellow),
        _ => {
            let reverse = if screen.reverse { ", reversed" } else { "" };
            let filter = match screen.filter.is_empty() {
                true => String::new(),
                false => format!("  filter: {}", screen.filter),
            };
            Line::from(format!("by {}{reverse}{filter}", screen.order.name()))
        }
    };
    frame.render_widget(line, area);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, screen: &mut Screen, now: Instant) {
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| column.from <= area.width).collect();
    let (order, is_lost) = (screen.order, screen.lost.is_some());
    let aligned = |text: String, column: &Column| {
        let line = Line::from(text);
        if column.right { line.alignment(Alignment::Right) } else { line }
    };
    let titles = columns.iter().map(|column| {
        let title = aligned(column.title.to_owned(), column).bold();
        if column.order == Some(order) { title.underlined() } else { title }
    });
    let header = Cells::new(titles);
    let height = usize::from(area.height.saturating_sub(1));
    let (rows, selected) = screen.visible(height, now);
    if rows.is_empty() {
        let text = "no running session";
        frame.render_widget(Paragraph::new(text).alignment(Alignment::Center).dim(), area);
        return;
    }
    let drawn = rows.iter().enumerate().map(|(place, row)| {
        let cells = Cells::new(columns.iter().map(|column| aligned((column.cell)(row), column)));
        match (place == selected, is_lost) {
            (true, _) => cells.reversed(),
            (false, true) => cells.dim(),
            (false, false) => cells,
        }
    });
    let table = Table::new(drawn, columns.iter().map(|column| column.width)).header(header);
    frame.render_widget(table, area);
}

/// A framed text in the middle, above everything else.
fn popup(frame: &mut Frame<'_>, title: &str, text: &str) {
    let text = Text::from(text.trim_end());
    let (width, height) = (text.width() + 4, text.height() + 2);
    let clamp = |size: usize| Constraint::Length(u16::try_from(size).unwrap_or(u16::MAX));
    let width = width.max(title.len() + 4);
    let area = frame.area().centered(clamp(width), clamp(height));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(format!(" {title} ")).bold();
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let margin = u16::from(inner.width > 2);
    let inner = Rect { x: inner.x + margin, width: inner.width - 2 * margin, ..inner };
    // Longer lines go on in the next one: a narrow terminal shows the beginning at least.
    let wrap = ratatui::widgets::Wrap { trim: false };
    frame.render_widget(Paragraph::new(text).wrap(wrap), inner);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::console::answers::Session;
    use crate::console::top::board::Board;
    use crate::console::top::feed::Message;

    fn session(number: u32) -> Session {
        Session {
            session_id: format!("{number:04}").as_str().into(),
            user: "ali\u{1b}[31mce".into(),
            dest_host: Some("example.com".into()),
            dest_port: 443,
            bytes_sent: 5000,
            ..Session::default()
        }
    }

    fn shown(screen: &mut Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let api = "127.0.0.1".parse().unwrap();
        terminal.draw(|frame| draw(frame, screen, &api, Instant::now())).unwrap();
        terminal.backend().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_screen_of_any_size_is_drawn() {
        let mut screen = Screen::new(Board::default());
        screen.take(Message::Running((0..100).map(session).collect()), Instant::now());
        let kill = Mode::Kill { session: Box::new(session(1)), reason: "why".into() };
        for mode in [Mode::List, Mode::Filter, kill, Mode::Details, Mode::Help] {
            screen.mode = mode;
            for width in [1, 2, 3, 5, 20, 39, 40, 79, 80, 140, 300] {
                for height in [1, 2, 3, 4, 5, 24, 80] {
                    shown(&mut screen, width, height);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hostile_text_is_shown_as_its_code() {
        let mut screen = Screen::new(Board::default());
        screen.take(Message::Running(vec![session(1)]), Instant::now());
        let text = shown(&mut screen, 120, 10);
        assert!(text.contains("ali\\u{1b}[31mce") && text.contains("example.com:443"), "{text}");
        assert!(text.contains("4.9 KiB") && text.contains("1 session "), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_said() {
        let mut screen = Screen::new(Board::default());
        let now = Instant::now();
        screen.take(Message::Running(vec![session(1)]), now);
        screen.take(Message::Lost("cannot reach it".into()), now);
        assert!(shown(&mut screen, 80, 10).contains("CONNECTION LOST 0 ms ago"));
        screen.take(Message::Running(vec![session(1)]), now);
        assert!(shown(&mut screen, 80, 10).contains("the connection is back"));
    }
}
