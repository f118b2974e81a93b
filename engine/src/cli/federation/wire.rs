//! A region's answer as bytes: one line of JSON, then Arrow streams.
//!
//! Each table that was read is a stream of no rows, which says its columns; each part is a stream of its states.

use std::io::{BufRead, Cursor};

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use datafusion::DATAFUSION_VERSION;
use serde::{Deserialize, Serialize};

/// What a region says. Without tables, it has written nothing yet.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Its name.
    pub(super) region: String,
    /// True if the query names no table, so that there is nothing to read.
    pub(super) reads_nothing: bool,
    /// The columns of the tables that were read.
    pub(super) tables: Vec<(String, SchemaRef)>,
    /// The states of every part, in one batch each.
    pub(super) parts: Vec<RecordBatch>,
    /// How many groups stay in the region, as each is a single event.
    pub(super) withheld: u64,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    region: String,
    /// The meaning of states is that of this version.
    datafusion: String,
    reads_nothing: bool,
    tables: Vec<String>,
    parts: usize,
    withheld: u64,
}

impl Answer {
    pub(super) fn encode(&self) -> Result<Vec<u8>, ArrowError> {
        let head = Head {
            region: self.region.clone(),
            datafusion: DATAFUSION_VERSION.to_string(),
            reads_nothing: self.reads_nothing,
            tables: self.tables.iter().map(|(name, _)| name.clone()).collect(),
            parts: self.parts.len(),
            withheld: self.withheld,
        };
        let mut bytes = serde_json::to_vec(&head).map_err(|error| ArrowError::from_external_error(Box::new(error)))?;
        bytes.push(b'\n');
        for (_, schema) in &self.tables {
            write(&mut bytes, schema, None)?;
        }
        for states in &self.parts {
            write(&mut bytes, &states.schema(), Some(states))?;
        }
        Ok(bytes)
    }

    /// Reads an answer; says why it is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut bytes = Cursor::new(bytes);
        let mut line = String::new();
        bytes.read_line(&mut line).map_err(|error| error.to_string())?;
        let head: Head = serde_json::from_str(&line).map_err(|error| format!("its head is not understood: {error}"))?;
        if head.datafusion != DATAFUSION_VERSION {
            return Err(format!(
                "it runs DataFusion {} and this is {DATAFUSION_VERSION}; use the same version of watershed",
                head.datafusion
            ));
        }
        let wrong = |error: ArrowError| error.to_string();
        let table = |name: String| Ok((name, read(&mut bytes).map_err(wrong)?.schema()));
        let tables = head.tables.into_iter().map(table).collect::<Result<_, String>>()?;
        let parts = (0..head.parts).map(|_| read(&mut bytes).map_err(wrong)).collect::<Result<_, _>>()?;
        let (region, reads_nothing, withheld) = (head.region, head.reads_nothing, head.withheld);
        Ok(Self { region, reads_nothing, tables, parts, withheld })
    }
}

fn write(bytes: &mut Vec<u8>, schema: &SchemaRef, rows: Option<&RecordBatch>) -> Result<(), ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    let mut writer = StreamWriter::try_new_with_options(bytes, schema, options)?;
    if let Some(rows) = rows {
        writer.write(rows)?;
    }
    writer.finish()
}

/// Reads one stream to its end, and not beyond.
fn read(bytes: &mut Cursor<&[u8]>) -> Result<RecordBatch, ArrowError> {
    let reader = StreamReader::try_new(bytes, None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    match batches.as_slice() {
        // Concatenating batches without columns would lose how many rows there are.
        [one] => Ok(one.clone()),
        several => concat_batches(&schema, several),
    }
}
