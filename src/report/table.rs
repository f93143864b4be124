//! Aligned text.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use crate::query::Align;

/// Writes one cell of a line, and the end of the line after the last.
pub(super) fn write_cell(
    out: &mut (impl Write + ?Sized),
    text: &str,
    width: usize,
    align: Align,
    last: bool,
) -> io::Result<()> {
    let pad = width.saturating_sub(text.width());
    match (align, last) {
        (Align::Right, _) => write!(out, "{:pad$}{text}", "")?,
        // No blanks at the end of a line.
        (Align::Left, true) => write!(out, "{text}")?,
        (Align::Left, false) => write!(out, "{text}{:pad$}", "")?,
    }
    out.write_all(if last { b"\n" } else { b"  " })
}

/// A small table for people, all of it in memory.
pub(super) struct Table<const N: usize> {
    titles: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) const fn new(titles: [(&'static str, Align); N]) -> Self {
        Self { titles, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table, its header between `before` and `after` (the escape sequences of a heading, or nothing).
    pub(super) fn write(&self, out: &mut impl Write, before: &str, after: &str) -> io::Result<()> {
        let widths: [usize; N] = std::array::from_fn(|at| {
            let cells = self.rows.iter().map(|row| row[at].width());
            cells.chain([self.titles[at].0.width()]).max().unwrap_or_default()
        });
        write!(out, "{before}")?;
        let mut header = Vec::new();
        for (at, (title, align)) in self.titles.into_iter().enumerate() {
            write_cell(&mut header, title, widths[at], align, at + 1 == N)?;
        }
        header.pop();
        out.write_all(&header)?;
        writeln!(out, "{after}")?;
        for row in &self.rows {
            for (at, text) in row.iter().enumerate() {
                write_cell(out, text, widths[at], self.titles[at].1, at + 1 == N)?;
            }
        }
        Ok(())
    }
}
