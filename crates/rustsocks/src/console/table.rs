//! Tables for people: as wide as they need to be, and no wider than the terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table as Drawn};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) align: Align,
    /// The larger one goes first where the terminal is too narrow; none stays.
    pub(crate) spare: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

impl Column {
    pub(crate) const fn left(title: &'static str) -> Self {
        Self { title, align: Align::Left, spare: None }
    }

    pub(crate) const fn right(title: &'static str) -> Self {
        Self { title, align: Align::Right, spare: None }
    }

    /// This column, left out where there is no room.
    pub(crate) const fn spare(self, rank: u8) -> Self {
        Self { spare: Some(rank), ..self }
    }
}

/// Blanks between two columns.
const GAP: u16 = 2;

/// Draws a table; `width` is that of the terminal, if it goes to one.
pub(crate) fn draw(columns: &[Column], rows: &[Vec<String>], width: Option<u16>) -> String {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    loop {
        let table = drawn(columns, rows, &shown);
        let needed: u16 = table.column_max_content_widths().iter().map(|width| width + GAP).sum();
        let too_wide = width.is_some_and(|width| needed.saturating_sub(GAP) > width);
        let rank = |index: &usize| columns.get(*index).and_then(|column| column.spare);
        let least = shown.iter().copied().filter(|index| rank(index).is_some()).max_by_key(rank);
        match least {
            Some(least) if too_wide => shown.retain(|index| *index != least),
            _ => return table.trim_fmt() + "\n",
        }
    }
}

fn drawn(columns: &[Column], rows: &[Vec<String>], shown: &[usize]) -> Drawn {
    let mut table = Drawn::new();
    table.load_style(NOTHING);
    let column = |index: &usize| columns.get(*index);
    table.set_header(shown.iter().filter_map(column).map(|column| column.title));
    for row in rows {
        table.add_row(shown.iter().filter_map(|index| row.get(*index)));
    }
    for (drawn, column) in table.column_iter_mut().zip(shown.iter().filter_map(column)) {
        drawn.set_padding((0, GAP));
        drawn.set_cell_alignment(match column.align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    table
}

/// Names and values below each other; what has no value is left out.
pub(crate) fn pairs(pairs: &[(&str, Option<String>)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs
        .iter()
        .filter_map(|(name, value)| Some(format!("{name:width$}  {}\n", value.as_ref()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::left("USER"), Column::left("NOTE").spare(1), Column::right("BYTES")];

    #[test]
    fn columns_line_up_by_what_a_terminal_shows() {
        let rows = [
            vec!["alice".into(), "x".into(), "1 B".into()],
            vec!["名前".into(), "y".into(), "10 KiB".into()],
        ];
        let wanted = "USER   NOTE   BYTES\nalice  x        1 B\n名前   y     10 KiB\n";
        assert_eq!(draw(&COLUMNS, &rows, None), wanted);
    }

    #[test]
    fn a_narrow_terminal_loses_columns_and_no_line_breaks() {
        let rows = [vec!["alice".into(), "a long note".into(), "1 B".into()]];
        assert_eq!(draw(&COLUMNS, &rows, Some(15)), "USER   BYTES\nalice    1 B\n");
        assert_eq!(draw(&COLUMNS, &rows, Some(1)), draw(&COLUMNS, &rows, Some(15)));
    }
}
