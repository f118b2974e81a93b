//! Rows for whoever started the program: a table on a terminal, one JSON object a line in a pipe.
//!
//! The one idea: what is printed cannot be taken back, so rows are shown as they are written and nothing is left to
//! prepare, to hold or to commit. After a crash, rows that were printed since the last checkpoint are printed again.

use std::io::{self, ErrorKind, IsTerminal, Stdout, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use comfy_table::{CellAlignment, Table, presets};

use crate::error::SinkError;
use crate::json::lines;
use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};
use crate::types::for_display;

/// How [`StdoutSink`] prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutStyle {
    /// A table with a header for each batch: one window, usually. Timestamps are short and in UTC.
    Table,
    /// One JSON object a line, every column in each, timestamps as RFC 3339 in UTC.
    Lines,
}

/// Prints rows at `write`. A reader that goes away ends in [`SinkError::Closed`].
#[derive(Debug)]
pub struct StdoutSink<W = Stdout> {
    pipeline: Arc<str>,
    // Shared with the blocking task that writes: a slow reader must not hold up an I/O worker.
    writer: Arc<Mutex<W>>,
    style: StdoutStyle,
}

impl StdoutSink<Stdout> {
    /// Prints to standard output: a table if that is a terminal, lines if it is a pipe or a file.
    pub fn new(context: SinkContext) -> Self {
        let stdout = io::stdout();
        let style = if stdout.is_terminal() { StdoutStyle::Table } else { StdoutStyle::Lines };
        Self::with_writer(context, stdout, style)
    }
}

impl<W: Write + Send + 'static> StdoutSink<W> {
    /// Prints to `writer`.
    pub fn with_writer(context: SinkContext, writer: W, style: StdoutStyle) -> Self {
        Self { pipeline: context.pipeline, writer: Arc::new(Mutex::new(writer)), style }
    }
}

#[async_trait]
impl<W: Write + Send + std::fmt::Debug + 'static> Sink for StdoutSink<W> {
    async fn open(&mut self) -> Result<u64, SinkError> {
        Ok(1)
    }

    async fn write(&mut self, _number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let name = format!("stdout of pipeline {:?}", self.pipeline);
        let text = match self.style {
            StdoutStyle::Table => table(&batch),
            StdoutStyle::Lines => lines(&batch),
        };
        let text = text.map_err(|error| SinkError::config(format!("{name}: cannot print the rows: {error}")))?;
        let writer = Arc::clone(&self.writer);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write_all(&text)?;
            writer.flush()
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                Err(SinkError::closed(format!("{name}: the reader has gone")))
            }
            Ok(Err(error)) if error.kind() == ErrorKind::StorageFull => {
                Err(SinkError::config(format!("{name}: disk full: free some space or print elsewhere")))
            }
            Ok(Err(error)) => Err(SinkError::fatal(name, error)),
            Err(error) => Err(SinkError::fatal(name, error)),
        }
    }

    async fn prepare(&mut self, _epoch: u64, _flush: Flush) -> Result<Prepared, SinkError> {
        Ok(Prepared::nothing())
    }

    fn holds(&self) -> bool {
        false
    }

    fn held(&self) -> Option<Held> {
        None
    }

    async fn resume(&mut self, _held: &Held) -> Result<(), SinkError> {
        Ok(())
    }

    async fn commit(&mut self, _prepared: &Prepared) -> Result<Committed, SinkError> {
        Ok(Committed::default())
    }
}

fn table(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let batch = for_display(batch)?;
    let schema = batch.schema();
    let format = FormatOptions::new().with_null("NULL").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &format))
        .collect::<Result<Vec<_>, ArrowError>>()?;

    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(schema.fields().iter().map(|field| printable(field.name())));
    for row in 0..batch.num_rows() {
        let cells = columns.iter().map(|column| column.value(row).try_to_string().map(|value| printable(&value)));
        table.add_row(cells.collect::<Result<Vec<_>, _>>()?);
    }
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(format!("{table}\n").into_bytes())
}

/// A value as a terminal may show it: control characters, which could move its cursor, are escaped.
fn printable(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
