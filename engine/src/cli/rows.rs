//! Rows on standard output: a table, CSV, or one JSON object a line.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::csv;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json;
use arrow::json::writer::LineDelimited;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;

use super::args::RowFormat;

/// Prints batches as they come; a table only at the end, as its columns are as wide as their widest value.
pub(super) enum Rows<W: Write> {
    Table { out: W, schema: SchemaRef, batches: Vec<RecordBatch> },
    Csv { writer: Box<csv::Writer<W>>, schema: SchemaRef },
    Json { writer: json::Writer<W, LineDelimited> },
}

impl<W: Write> Rows<W> {
    pub(super) fn new(format: RowFormat, schema: SchemaRef, out: W) -> Self {
        match format {
            RowFormat::Table => Self::Table { out, schema, batches: Vec::new() },
            RowFormat::Csv => {
                let schema = Arc::new(flat_schema(&schema));
                Self::Csv { writer: Box::new(csv::WriterBuilder::new().with_header(true).build(out)), schema }
            }
            RowFormat::Json => {
                let writer = json::WriterBuilder::new().with_explicit_nulls(true);
                Self::Json { writer: writer.build::<W, LineDelimited>(out) }
            }
        }
    }

    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Table { batches, .. } => batches.push(batch),
            Self::Csv { writer, schema } => writer.write(&flat(&batch, schema)?)?,
            Self::Json { writer } => writer.write(&batch)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), ArrowError> {
        match self {
            Self::Table { mut out, schema, batches } => {
                let options = FormatOptions::default().with_null("NULL");
                let batches = if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches };
                writeln!(out, "{}", pretty_format_batches_with_options(&batches, &options)?)?;
                let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
                writeln!(out, "{rows} row{}", if rows == 1 { "" } else { "s" })?;
                out.flush()?;
            }
            Self::Csv { mut writer, schema } => {
                // Writes the header even if there was nothing to write below it.
                writer.write(&RecordBatch::new_empty(schema))?;
                writer.into_inner().flush()?;
            }
            Self::Json { mut writer } => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
        }
        Ok(())
    }
}

/// True if whoever read our output went away, as `head` does: no more is wanted, and nothing is wrong.
pub(super) fn is_closed(error: &ArrowError) -> bool {
    match error {
        ArrowError::IoError(_, error) => error.kind() == io::ErrorKind::BrokenPipe,
        // The writers of arrow put the error into words on some paths.
        ArrowError::CsvError(text) | ArrowError::JsonError(text) => text.contains("Broken pipe"),
        ArrowError::ExternalError(error) => error.to_string().contains("Broken pipe"),
        _ => false,
    }
}

/// CSV has no lists and no structs: they become text.
fn flat_schema(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| match field.data_type().is_nested() {
        true => Arc::new(Field::new(field.name(), arrow::datatypes::DataType::Utf8, true)),
        false => field.clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn flat(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Result<Vec<ArrayRef>, ArrowError> = batch.columns().iter().map(as_text_if_nested).collect();
    RecordBatch::try_new(schema.clone(), columns?)
}

fn as_text_if_nested(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !column.data_type().is_nested() {
        return Ok(column.clone());
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| formatter.value(row).to_string()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}
