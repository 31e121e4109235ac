//! Aligned tables for people. Scripts take `--json`.

use std::io::{Result, Write};

use faceway_core::visible_line;

/// Rows under a headline; every column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// A table with this headline; the columns `right` (from 0) are numbers and stand at the right.
    pub(crate) fn new(headline: &[&str], right: &'static [usize]) -> Self {
        let headline = headline.iter().map(|word| (*word).to_owned()).collect();
        Self {
            rows: vec![headline],
            right,
        }
    }

    /// Adds a row. Line breaks of a cell become blanks, and what cannot be seen is written out: columns have the width that
    /// is shown.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.row_of(cells.into());
    }

    /// The same where it is not known beforehand how many columns there are.
    pub(crate) fn row_of(&mut self, cells: Vec<String>) {
        let printable =
            |cell: String| visible_line(&cell.replace(['\n', '\r', '\t'], " ")).into_owned();
        self.rows.push(cells.into_iter().map(printable).collect());
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut dyn Write) -> Result<()> {
        let widths = self.widths();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells
                .map(|(column, (cell, width))| self.cell(column, cell, *width))
                .collect();
            writeln!(out, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }

    fn cell(&self, column: usize, cell: &str, width: usize) -> String {
        if self.right.contains(&column) {
            format!("{cell:>width$}")
        } else {
            format!("{cell:<width$}")
        }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell: &String| cell.chars().count())
                .max()
        };
        (0..columns)
            .map(|column| width(column).unwrap_or(0))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["OUTBOUND", "BACKLOG", "STATE"], &[1]);
        table.row(["erp".into(), "12".into(), "waiting".into()]);
        table.row(["бюро".into(), "1,204".into(), "ok\n\u{1b}[31m".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "OUTBOUND  BACKLOG  STATE\n\
             erp            12  waiting\n\
             бюро        1,204  ok \\u001b[31m\n"
        );
    }
}
