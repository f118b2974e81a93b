//! The columns that a source declares: names, SQL types, and how each spells time.
//!
//! The one idea: a type is an Arrow type from the start. What Arrow can't say — that a string holds raw JSON text, in
//! which spelling a timestamp arrives — stands beside it, so that every decoder reads the same declaration.

mod pattern;
mod timestamp;
mod types;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

pub use pattern::Pattern;
pub use timestamp::{TimestampFormat, TimestampFormatError};
pub(crate) use types::write_name;
pub use types::{TypeError, parse_type, type_name};

/// Metadata key and value of a nested field that holds raw JSON text (type `json` inside a list, struct or map).
const JSON_MARK: (&str, &str) = ("watershed.type", "json");

/// The declared columns of a source, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSchema {
    /// The columns; names are unique.
    pub fields: Vec<SourceField>,
}

/// One declared column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceField {
    /// The column's name: the key of a JSON object, the name in a CSV header.
    pub name: String,
    /// Its Arrow type, as [`parse_type`] gives it.
    pub data_type: DataType,
    /// How the timestamps in this column are spelled; `None` means RFC 3339.
    pub timestamp: Option<TimestampFormat>,
    /// True for type `json`: the column takes any value and holds its raw JSON text.
    pub json: bool,
    /// True if the column comes beside the payload, from the connector.
    pub metadata: bool,
}

/// Why a field's declaration makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The type can't be read.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// The timestamp format can't be read.
    #[error(transparent)]
    Format(#[from] TimestampFormatError),
    /// A format was given to a type without a timestamp in it.
    #[error("a format belongs to a timestamp, and `{sql_type}` has none: remove `format`")]
    FormatWithoutTimestamp {
        /// The declared type.
        sql_type: String,
    },
}

impl SourceField {
    /// Reads a declaration as the config spells it: `bigint`, or `timestamp` with format `epoch_ms`.
    pub fn parse(name: impl Into<String>, sql_type: &str, format: Option<&str>) -> Result<Self, FieldError> {
        let data_type = parse_type(sql_type)?;
        if format.is_some() && !holds_timestamp(&data_type) {
            return Err(FieldError::FormatWithoutTimestamp { sql_type: sql_type.to_owned() });
        }
        let timestamp = format.map(str::parse).transpose()?;
        let json = sql_type.trim().eq_ignore_ascii_case("json");
        Ok(Self { name: name.into(), data_type, timestamp, json, metadata: false })
    }

    /// The SQL spelling of the column's type.
    pub fn type_name(&self) -> String {
        if self.json { "json".to_owned() } else { type_name(&self.data_type) }
    }
}

impl SourceSchema {
    /// The Arrow schema of all declared columns; every column is nullable.
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields = self.fields.iter().map(|f| Field::new(&f.name, f.data_type.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The first name that is declared twice.
    pub fn duplicate(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        self.fields.iter().map(|f| f.name.as_str()).find(|name| !seen.insert(*name))
    }
}

/// A nullable nested field, marked if it holds raw JSON text.
fn nested_field(name: &str, data_type: DataType, json: bool) -> Field {
    let field = Field::new(name, data_type, true);
    if !json {
        return field;
    }
    let (key, value) = JSON_MARK;
    field.with_metadata([(key.to_owned(), value.to_owned())].into())
}

/// True if a nested field was declared `json`.
pub(crate) fn is_json(field: &Field) -> bool {
    let (key, value) = JSON_MARK;
    field.metadata().get(key).is_some_and(|v| v == value)
}

fn holds_timestamp(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(..) => true,
        DataType::List(item) | DataType::Map(item, _) => holds_timestamp(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| holds_timestamp(f.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
