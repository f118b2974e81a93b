//! What is sent: one JSON object a row, and what of it travels in the manifest until it is.
//!
//! The one idea: the messages are made once, when the row is written. Whoever sends them sends these bytes.

use arrow::array::Array;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};

use crate::json::{TIMESTAMP, lines};
use crate::types::for_display;

/// A message: its key, if it has one, and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message(pub(super) Option<String>, pub(super) String);

impl Message {
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, String::len) + self.1.len()
    }
}

/// What one transaction publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epoch {
    /// Its number: what is recorded with the messages.
    pub(super) epoch: u64,
    /// The number that was on record before; zero if there was none.
    pub(super) after: u64,
    /// Never none.
    pub(super) messages: Vec<Message>,
}

/// The messages of `batch`; the column `key`, as text, is that of each. A null is no key.
pub(super) fn messages(batch: &RecordBatch, key: Option<usize>) -> Result<Vec<Message>, ArrowError> {
    let text = String::from_utf8(lines(batch)?).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    let values = text.lines().map(str::to_owned);
    let Some(key) = key else { return Ok(values.map(|value| Message(None, value)).collect()) };
    let shown = for_display(batch)?;
    let column = shown.column(key);
    let format = FormatOptions::new().with_timestamp_format(Some(TIMESTAMP));
    let keys = ArrayFormatter::try_new(column, &format)?;
    let of_row = |(row, value): (usize, String)| -> Result<Message, ArrowError> {
        let key = (!column.is_null(row)).then(|| keys.value(row).try_to_string()).transpose()?;
        Ok(Message(key, value))
    };
    values.enumerate().map(of_row).collect()
}
