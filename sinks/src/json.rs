//! Rows as JSON, for whoever takes them one by one.

use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;

use crate::types::for_display;

/// How a timestamp without a zone, which is in UTC, is written: RFC 3339.
pub(crate) const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// One JSON object a row, each with a line end. Nulls are written out, so that every line has every column.
pub(crate) fn lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.to_owned())
        .build::<_, LineDelimited>(&mut text);
    writer.write(&for_display(batch)?)?;
    writer.finish()?;
    Ok(text)
}
