//! A first schema from a stream's first records, for the user to look over and paste.
//!
//! The one idea: each field's kind grows with every value seen, from nothing over the narrowest kind that holds all values
//! to json, which holds anything. Guesses err on the side of losing nothing.

mod kind;
mod toml;

use watershed_connectors::Records;

use super::arena::{Arena, Source};
use super::avro::declared;
use super::csv::{Splitter, header_names};
use super::json::{skip_space, value_end};
use super::{AvroSchemas, CsvOptions, Format};
use kind::{Fields, Kind};

pub use toml::{event_time, to_toml};

/// Why no schema can be inferred.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// Nothing to look at.
    #[error("there are no records to infer a schema from")]
    Empty,
    /// Not one record could be read.
    #[error("no record of the sample could be read; the first one: {reason}")]
    Unreadable {
        /// What is wrong with the first record.
        reason: String,
    },
    /// Only empty objects.
    #[error("the records of the sample have no fields")]
    NoFields,
    /// A format whose columns have to be declared.
    #[error("records of this format do not name their columns")]
    Undeclared,
    /// A container without a schema that has columns.
    #[error("the schema of the file has no columns: {0}")]
    NoColumns(String),
    /// CSV with a header, and no header.
    #[error("there is no csv header: set `header = false` if the first line holds data")]
    NoHeader,
    /// Delimiter and quote that can't be told apart.
    #[error(transparent)]
    Dialect(#[from] super::DecodeError),
}

/// Names and types of the fields in `sample`, in order of appearance. A type is SQL's (`bigint`, `struct<a: double>`), or
/// the inline table of a timestamp with a format (`{ type = "timestamp", format = "epoch_ms" }`).
///
/// Integers and doubles together are doubles, anything else together is `json` (in CSV: `string`). Text in RFC 3339
/// is a timestamp; numbers are one if they lie in this century and the field's name speaks of time. A field that is
/// null throughout is a string. Records that can't be read are passed over.
pub fn infer_schema(format: &Format, sample: &Records) -> Result<Vec<(String, String)>, InferError> {
    // Rejected records are none to infer from, so this is not `is_empty`.
    let count = sample.len();
    if count == 0 {
        return Err(InferError::Empty);
    }
    let fields = match format {
        // Rows of columns are shown as JSON for this.
        Format::Json | Format::Parquet | Format::Arrow => from_json(sample)?,
        Format::Avro(AvroSchemas::Container) => from_avro(sample)?,
        Format::Avro(_) | Format::Protobuf(_) | Format::Raw => return Err(InferError::Undeclared),
        Format::Csv(options) => from_csv(options, sample)?,
    };
    if fields.is_empty() {
        return Err(InferError::NoFields);
    }
    Ok(fields)
}

/// The columns as the file's own schema has them.
fn from_avro(sample: &Records) -> Result<Vec<(String, String)>, InferError> {
    let header = sample.header().ok_or(InferError::Empty)?;
    declared(header).map_err(InferError::NoColumns)
}

fn from_json(sample: &Records) -> Result<Vec<(String, String)>, InferError> {
    let arena = Arena::of(sample);
    let source = Source::arena(arena.text());
    let mut fields = Fields::default();
    let mut unreadable = None;
    let mut read = 0;
    for i in 0..sample.len() {
        let outcome = match arena.flaw(i) {
            Some(flaw) => Err(flaw),
            None => observe_record(&mut fields, source, sample.span(i)),
        };
        match outcome {
            Ok(()) => read += 1,
            Err(reason) => {
                unreadable.get_or_insert(reason);
            }
        }
    }
    match unreadable {
        Some(reason) if read == 0 => Err(InferError::Unreadable { reason }),
        _ => Ok(fields.declare()),
    }
}

/// Adds what one record shows, if all of it is JSON.
fn observe_record(fields: &mut Fields, source: Source<'_>, span: std::ops::Range<usize>) -> Result<(), String> {
    let bytes = &source.text.as_bytes()[..span.end];
    let start = skip_space(bytes, span.start);
    let end = value_end(bytes, start, 0)
        .map_err(|flaw| format!("not valid JSON at byte {}: {}", flaw.at - span.start, flaw.what))?;
    if bytes[start] != b'{' || skip_space(bytes, end) != span.end {
        return Err("expected one JSON object".to_owned());
    }
    fields.observe_object(source, start..end);
    Ok(())
}

fn from_csv(options: &CsvOptions, sample: &Records) -> Result<Vec<(String, String)>, InferError> {
    let mut splitter = Splitter::new(options).ok_or(super::DecodeError::CsvDialect)?;
    let header = match sample.header() {
        Some(header) if options.header => Some(header_names(header, &mut splitter)),
        None if options.header => return Err(InferError::NoHeader),
        _ => None,
    };
    let arena = Arena::of(sample);
    let record = Source::arena(arena.text());
    let mut kinds: Vec<Kind> = Vec::new();
    let mut flaw = None;
    for i in 0..sample.len() {
        let row = match splitter.split(arena.text(), sample.span(i)) {
            Ok(row) => row,
            Err(reason) => {
                flaw.get_or_insert(reason.to_owned());
                continue;
            }
        };
        let expected = header.as_ref().map_or(kinds.len(), Vec::len);
        if kinds.is_empty() {
            let fields = if expected == 0 { row.len() } else { expected };
            kinds.resize_with(fields, Kind::default);
        }
        if row.len() != kinds.len() {
            flaw.get_or_insert(format!("expected {} fields, found {}", kinds.len(), row.len()));
            continue;
        }
        for (place, kind) in kinds.iter_mut().enumerate() {
            let (source, range) = row.field(place, record);
            let text = source.get(range);
            if text != options.null {
                kind.observe_text(text);
            }
        }
    }
    if let Some(reason) = flaw.filter(|_| kinds.iter().all(Kind::is_unseen)) {
        return Err(InferError::Unreadable { reason });
    }
    let mut fields = Fields::default();
    for (place, kind) in kinds.into_iter().enumerate() {
        let name = match &header {
            Some(names) => names[place].clone(),
            None => format!("column_{}", place + 1),
        };
        fields.insert(name, kind);
    }
    Ok(fields.declare())
}
