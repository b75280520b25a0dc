//! Tables for a terminal.

use std::fmt;

/// Rows under a heading, columns as wide as their widest cell; numbers to the
/// right, words to the left.
#[derive(Debug, Clone)]
pub struct Table {
    heading: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    #[must_use]
    pub fn new(heading: impl Into<String>, titles: &[&str]) -> Self {
        Self {
            heading: heading.into(),
            rows: vec![titles.iter().map(|&title| title.to_owned()).collect()],
        }
    }

    /// Adds a row; cells are shown as they are.
    pub fn row(&mut self, cells: &[&dyn fmt::Display]) -> &mut Self {
        self.rows
            .push(cells.iter().map(ToString::to_string).collect());
        self
    }
}

/// Whether a cell reads as a number: `12`, `4.9 %`, `-3`, `1.2x`.
fn is_number(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.heading)?;
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric = |column: usize| {
            let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            cells.all(|cell| is_number(cell))
        };
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if numeric(column) {
                    line += &format!(" {cell:>width$} ");
                } else {
                    line += &format!(" {cell:<width$} ");
                }
            }
            writeln!(f, "{}", line.trim_end())?;
            if index == 0 {
                let total = widths.iter().map(|width| width + 2).sum::<usize>();
                writeln!(f, "  {}", "-".repeat(total.saturating_sub(2)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let mut table = Table::new("shares", &["arm", "requests"]);
        table.row(&[&"v1", &1900]).row(&[&"canary", &100]);
        assert_eq!(
            table.to_string(),
            "\nshares\n  arm     requests\n  ----------------\n  v1          1900\n  canary       100\n"
        );
    }
}
