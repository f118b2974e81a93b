//! What becomes of bad records: kept with their reason, counted only, or the end of the run.

use std::sync::Arc;

use arrow::array::{BinaryBuilder, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tokio::sync::mpsc;
use watershed_connectors::{Records, SplitId};

use super::error::RunError;
use super::lane::now_us;
use crate::sql::window_column_type;

/// One bad record.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    position: u64,
    reason: String,
    bytes: Vec<u8>,
}

impl DeadLetter {
    /// Keeps the first bytes of the record.
    pub(crate) fn new(position: u64, reason: String, payload: &[u8]) -> Self {
        let bytes = payload[..payload.len().min(Records::REJECTED_BYTES)].to_vec();
        Self { position, reason, bytes }
    }
}

/// Where a source's bad records go.
#[derive(Debug, Clone)]
pub(crate) enum DeadLetters {
    /// To a sink of their own.
    Keep(mpsc::Sender<RecordBatch>),
    /// Nowhere; they are counted.
    Skip,
    /// The first one ends the run.
    Fail,
}

impl DeadLetters {
    /// Takes the bad records of one chunk. Blocks while the sink is behind.
    pub(crate) fn send(&self, source: &Arc<str>, split: &SplitId, letters: Vec<DeadLetter>) -> Result<(), RunError> {
        let Some(first) = letters.first() else { return Ok(()) };
        match self {
            Self::Skip => Ok(()),
            Self::Fail => Err(RunError::BadRecord {
                source_name: source.to_string(),
                split: split.to_string(),
                position: first.position,
                reason: first.reason.clone(),
            }),
            Self::Keep(sender) => {
                let batch =
                    to_batch(source, split, &letters).map_err(|error| RunError::query(source, &error.into()))?;
                sender.blocking_send(batch).map_err(|_| RunError::Lost("the writer of dead letters"))
            }
        }
    }
}

/// Columns of a dead letter.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time", window_column_type(), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("position", DataType::UInt64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("record", DataType::Binary, false),
    ]))
}

fn to_batch(source: &str, split: &SplitId, letters: &[DeadLetter]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = letters.len();
    let mut records = BinaryBuilder::new();
    letters.iter().for_each(|letter| records.append_value(&letter.bytes));
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![now_us(); rows]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![source; rows])),
            Arc::new(StringArray::from(vec![split.as_str(); rows])),
            Arc::new(UInt64Array::from_iter_values(letters.iter().map(|letter| letter.position))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.reason))),
            Arc::new(records.finish()),
        ],
    )
}
