//! Records to record batches: bytes (or columns as they were stored) in, typed columns out, and every record that does not fit named with its reason.
//!
//! The one idea: one exact path per format defines what a record means; everything faster must give the same answer
//! and hands what it does not understand back to it, one record at a time. Synchronous and pure.

mod arena;
mod avro;
mod base64;
mod batch;
mod beside;
mod column;
mod columnar;
mod csv;
mod fault;
mod fit;
pub mod infer;
mod ipc;
pub mod json;
mod mismatch;
mod names;
mod number;
mod protobuf;
mod raw;
mod registered;
mod scalar;
mod time;
mod typed;
mod written;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use watershed_connectors::Records;

pub use avro::AvroSchemas;
pub use beside::with_metadata;
pub use protobuf::{ProtobufMessage, from_descriptor_set, from_proto_file};
pub use registered::{Registered, RegisteredSchema, SchemaKind, schema_ids};

use crate::schema::{SourceSchema, TimestampFormatError};

/// A record that is not in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Its place in the [`Records`] it came from.
    pub index: usize,
    /// Why, naming the field, what was expected and what was found.
    pub reason: String,
}

/// What became of some records: each is one row of the batch or one bad record.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// One row for every good record, in their order.
    pub batch: RecordBatch,
    /// The other records, ascending by index.
    pub bad: Vec<BadRecord>,
}

/// The rows of records that hold many.
#[derive(Debug)]
pub struct Unpacked {
    /// A record each; those that can't be read are rejected.
    pub records: Records,
    /// The record that each row came from, rejected ones not counted.
    pub origin: Vec<u32>,
}

impl Unpacked {
    /// Gives each row what was said of the record that it came from.
    fn describe(&mut self, described: &[ArrayRef]) -> Result<(), ArrowError> {
        let origin = UInt32Array::from(std::mem::take(&mut self.origin));
        let taken = described.iter().map(|column| take(column, &origin, None));
        self.records.set_described(taken.collect::<Result<_, _>>()?);
        Ok(())
    }
}

/// Turns records into batches of one schema.
///
/// Contract: a record is decoded by itself — what stands before or after it never changes its row or its verdict — and
/// bad input of any kind ends in [`Decoded::bad`], never in a panic. A decoder may keep what it learned about the
/// layout of records between calls; that changes its speed only.
pub trait Decode: Send {
    /// The schema of every batch: the projected columns in the order asked for.
    fn schema(&self) -> &SchemaRef;

    /// Decodes all of `records`.
    fn decode(&mut self, records: &Records) -> Decoded;

    /// Told before records are decoded: the registered schemas that they name (see [`schema_ids`]).
    fn learn(&mut self, registered: &Registered) {
        let _ = registered;
    }

    /// Where a record can hold many rows: the rows of those that are `wanted`, as records of their own; the others are
    /// skipped. None where each record is one row; then the records are decoded as they are.
    fn unpack(&mut self, records: &Records, wanted: &dyn Fn(usize) -> bool) -> Option<Unpacked> {
        let _ = (records, wanted);
        None
    }

    /// Hands out, once, what a user should know although no record is bad: a declared column that a CSV header lacks.
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// How records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a record.
    Json,
    /// One CSV row a record.
    Csv(CsvOptions),
    /// Columns already, as Parquet keeps them.
    Parquet,
    /// One Avro value a record.
    Avro(AvroSchemas),
    /// One protobuf message a record.
    Protobuf(ProtobufMessage),
    /// One Arrow IPC stream a record, with many rows; from files, columns already.
    Arrow,
    /// The record itself, as the one column.
    Raw,
}

/// The dialect of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields; one ASCII character.
    pub delimiter: u8,
    /// Around fields that hold a delimiter, a quote (then doubled) or a line break; one ASCII character.
    pub quote: u8,
    /// True if fields go by the names in a header; false if they go by their place in the schema.
    pub header: bool,
    /// The text that stands for null.
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', header: true, null: String::new() }
    }
}

/// Why there is no decoder for a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Two columns of one name.
    #[error("field `{0}` is declared twice in the schema: rename or remove one")]
    DuplicateField(String),
    /// A column was asked for that the schema does not have.
    #[error("column {index} was asked for, but the schema has {fields} fields")]
    Projection {
        /// The index asked for.
        index: usize,
        /// How many fields there are.
        fields: usize,
    },
    /// A column was asked for twice.
    #[error("column `{0}` was asked for twice")]
    ProjectedTwice(String),
    /// An Arrow type that no SQL type stands for.
    #[error("field `{field}`: Arrow type {data_type} can't be decoded, declare it by a SQL type")]
    Unsupported {
        /// The field.
        field: String,
        /// Its type.
        data_type: DataType,
    },
    /// A timestamp pattern that can't be read.
    #[error("field `{field}`: {cause}")]
    Pattern {
        /// The field.
        field: String,
        /// What is wrong with the pattern.
        cause: TimestampFormatError,
    },
    /// Another schema than a raw record can have.
    #[error("a raw record is one column of type bytes or string: declare that one, as in {{ payload = \"bytes\" }}")]
    RawColumns,
    /// Delimiter and quote that can't be told apart.
    #[error("csv delimiter and quote must be two different ASCII characters other than a line break")]
    CsvDialect,
}

/// The decoder for records of `format`, giving the columns of `schema` at `projection`, in that order.
///
/// Columns left out of the projection are skipped, whatever type their values have.
pub fn decoder(format: &Format, schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    match format {
        Format::Json => json::decoder(schema, projection),
        Format::Csv(options) => csv::decoder(options, schema, projection),
        Format::Parquet => columnar::decoder(schema, projection),
        Format::Avro(schemas) => avro::decoder(schemas, schema, projection),
        Format::Protobuf(message) => protobuf::decoder(message, schema, projection),
        Format::Arrow => ipc::decoder(schema, projection),
        Format::Raw => raw::decoder(schema, projection),
    }
}

#[cfg(test)]
mod tests;
