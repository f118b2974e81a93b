//! A table of text, printed as its rows come.
//!
//! The one idea: the first rows decide how wide the columns are. An answer that ends among them fits exactly; in a longer
//! one a wider value pushes the rest of its line to the right, and none is cut short.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthStr;

/// How many rows are looked at before the first is printed.
const FIRST_ROWS: usize = 1000;

/// A table that is being printed.
pub(in crate::cli) struct Table<W> {
    out: W,
    schema: SchemaRef,
    /// Rows that came before the widths are known.
    first: Vec<Vec<String>>,
    /// Widths of the columns, once they are known.
    widths: Option<Vec<usize>>,
    rows: u64,
}

impl<W: Write> Table<W> {
    pub(super) fn new(out: W, schema: SchemaRef) -> Self {
        Self { out, schema, first: Vec::new(), widths: None, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        self.rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| Ok(printable(&column.value(row).try_to_string()?)));
            let cells = cells.collect::<Result<Vec<_>, ArrowError>>()?;
            match &self.widths {
                Some(widths) => line(&mut self.out, &cells, widths)?,
                None => self.first.push(cells),
            }
        }
        if self.first.len() >= FIRST_ROWS {
            self.begin()?;
        }
        // Whoever watches a slow query sees what is there.
        if self.widths.is_some() {
            self.out.flush()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, ArrowError> {
        let widths = self.begin()?;
        border(&mut self.out, &widths)?;
        writeln!(self.out, "{} row{}", self.rows, if self.rows == 1 { "" } else { "s" })?;
        Ok(self.out)
    }

    /// Prints the head and the first rows, unless they stand there.
    fn begin(&mut self) -> io::Result<Vec<usize>> {
        if let Some(widths) = &self.widths {
            return Ok(widths.clone());
        }
        let names: Vec<String> = self.schema.fields().iter().map(|field| printable(field.name())).collect();
        let mut widths = vec![0; names.len()];
        for cells in self.first.iter().chain([&names]) {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.width().max(*width);
            }
        }
        border(&mut self.out, &widths)?;
        line(&mut self.out, &names, &widths)?;
        border(&mut self.out, &widths)?;
        for cells in std::mem::take(&mut self.first) {
            line(&mut self.out, &cells, &widths)?;
        }
        self.widths = Some(widths.clone());
        Ok(widths)
    }
}

fn line(out: &mut impl Write, cells: &[String], widths: &[usize]) -> io::Result<()> {
    for (cell, width) in cells.iter().zip(widths) {
        let padding = width.saturating_sub(cell.width());
        write!(out, "| {cell}{:padding$} ", "")?;
    }
    writeln!(out, "|")
}

fn border(out: &mut impl Write, widths: &[usize]) -> io::Result<()> {
    for width in widths {
        write!(out, "+{:-<1$}", "", width + 2)?;
    }
    writeln!(out, "+")
}

/// A value on one line, and none that steers the terminal.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_string();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}
