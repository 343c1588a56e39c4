//! Tables for people: columns aligned by what a terminal shows, where a Chinese character is as wide as two Latin ones.
//!
//! Cells hold what records say, so control characters, and those that can't be seen or turn the direction of others, are shown as the
//! replacement character and never sent to the terminal.

use annals_contracts::is_invisible;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

/// Rows of cells, the first one a header or not.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// A table with a header.
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut table = Self::default();
        table.row(header.map(str::to_owned));
        table
    }

    /// The same, moved in by so many columns.
    pub(super) fn indented(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    /// Whether it has a header and no row below.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Writes all rows; nothing follows the last cell of a row.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.width() + 2));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A text as a terminal may be sent it.
pub(super) fn plain(text: &str) -> String {
    let is_odd = |letter: char| letter.is_control() || is_invisible(letter);
    text.chars().map(|letter| if is_odd(letter) { '\u{FFFD}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn wide_characters_count_twice_and_controls_are_not_sent() {
        let mut table = Table::new(["案件", "state"]).indented(1);
        table.row(["SJ/1".to_owned(), "已登记".to_owned()]);
        table.row(["市监/2026".to_owned(), "a\u{1b}[31m\nb\u{202e}".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let expected = " 案件       state\n SJ/1       已登记\n 市监/2026  a\u{FFFD}[31m\u{FFFD}b\u{FFFD}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
