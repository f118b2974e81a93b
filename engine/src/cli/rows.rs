//! Rows as they are asked for: a table, CSV, JSON, or Parquet.
//!
//! The one idea: each batch is written as it comes, so that an answer may be larger than memory.

mod output;
mod table;

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::csv;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

pub(super) use output::Output;
use table::Table;

use super::args::RowFormat;

/// Size of a row group before it is encoded: what a Parquet answer takes of memory.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Writes batches as they come.
pub(super) enum Rows<W: Write + Send> {
    Table(Table<W>),
    Csv { writer: Box<csv::Writer<W>>, schema: SchemaRef },
    Json(json::Writer<W, JsonArray>),
    Ndjson(json::Writer<W, LineDelimited>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Rows<W> {
    pub(super) fn new(format: RowFormat, schema: SchemaRef, out: W) -> Result<Self, ArrowError> {
        let json = json::WriterBuilder::new().with_explicit_nulls(true);
        Ok(match format {
            RowFormat::Table => Self::Table(Table::new(out, schema)),
            RowFormat::Csv => {
                let schema = Arc::new(flat_schema(&schema));
                Self::Csv { writer: Box::new(csv::WriterBuilder::new().with_header(true).build(out)), schema }
            }
            RowFormat::Json => Self::Json(json.build(out)),
            RowFormat::Ndjson => Self::Ndjson(json.build(out)),
            RowFormat::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
                Self::Parquet(Box::new(ArrowWriter::try_new(out, schema, Some(properties.build()))?))
            }
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Table(table) => table.write(batch)?,
            Self::Csv { writer, schema } => writer.write(&flat(batch, schema)?)?,
            Self::Json(writer) => writer.write(batch)?,
            Self::Ndjson(writer) => writer.write(batch)?,
            Self::Parquet(writer) => {
                writer.write(batch)?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Writes what has to stand at the end; gives back what was written to.
    pub(super) fn finish(self) -> Result<W, ArrowError> {
        let mut out = match self {
            Self::Table(table) => table.finish()?,
            Self::Csv { mut writer, schema } => {
                // Writes the header even if there was nothing to write below it.
                writer.write(&RecordBatch::new_empty(schema))?;
                writer.into_inner()
            }
            Self::Json(mut writer) => {
                writer.finish()?;
                let mut out = writer.into_inner();
                out.write_all(b"\n")?;
                out
            }
            Self::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Self::Parquet(writer) => writer.into_inner()?,
        };
        out.flush()?;
        Ok(out)
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
