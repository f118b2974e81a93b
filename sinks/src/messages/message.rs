//! What is sent: one JSON object a row, and what of it travels in the manifest until it is.
//!
//! The one idea: the messages are made once, when the row is written. Whoever sends them sends these bytes.

use arrow::array::Array;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};

use crate::error::SinkError;
use crate::json::{TIMESTAMP, lines};
use crate::sink::SinkContext;
use crate::types::for_display;

/// A message: its key, if it has one, and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message(pub(crate) Option<String>, pub(crate) String);

impl Message {
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, String::len) + self.1.len()
    }
}

/// What one epoch publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// Its number.
    pub(crate) epoch: u64,
    /// The number that was on record at the place before; zero if there was none.
    pub(crate) after: u64,
    /// The messages, in the parts in which they are sent. None is empty, and there is one at least. They stay as they are,
    /// whatever the options of a later process are: a part that is sent again is the same under the same number.
    pub(crate) parts: Vec<Vec<Message>>,
}

/// The messages of `batch`; the column `key`, as text, is that of each. A null is no key.
pub(crate) fn messages(batch: &RecordBatch, key: Option<usize>) -> Result<Vec<Message>, ArrowError> {
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

/// Refuses rows that JSON cannot hold.
pub(crate) fn check_json(context: &SinkContext) -> Result<(), SinkError> {
    let tried = lines(&RecordBatch::new_empty(context.schema.clone()));
    tried.map_err(|error| SinkError::config(format!("the rows can't be written as JSON: {error}")))?;
    Ok(())
}

/// The index of the column called `key`; none if none is wanted.
pub(crate) fn key_column(key: Option<&str>, context: &SinkContext) -> Result<Option<usize>, SinkError> {
    let Some(key) = key else { return Ok(None) };
    let found = context.schema.index_of(key).map_err(|_| {
        let names: Vec<&str> = context.schema.fields().iter().map(|field| field.name().as_str()).collect();
        SinkError::config(format!("`key` names \"{key}\", which is no column; there are {}", names.join(", ")))
    })?;
    Ok(Some(found))
}
