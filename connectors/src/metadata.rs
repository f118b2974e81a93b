//! What a message says beside its payload: topic, partition, offset, key, time of arrival, headers.
//!
//! The one idea: each connector has one fixed list of such columns. The engine picks from it once, and a reader gives
//! one value a pick for every record, straight into Arrow builders; where nothing is picked, nothing is done.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

#[cfg(test)]
mod tests;

/// The type of a metadata column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataType {
    /// `string`.
    Text,
    /// `int`.
    Int,
    /// `bigint`.
    BigInt,
    /// `timestamp`.
    Time,
    /// `map<string, string>`.
    Map,
}

/// One column that a connector can give beside the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataField {
    /// The column's name; begins with an underscore.
    pub name: &'static str,
    /// Its type.
    pub kind: MetadataType,
    /// What it holds.
    pub doc: &'static str,
}

/// One value. A number too large for its column, like a missing one, is null.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue<'a> {
    /// Nothing.
    Null,
    /// Text.
    Text(&'a str),
    /// Bytes shown as text: what is no UTF-8 becomes U+FFFD.
    Bytes(&'a [u8]),
    /// A number.
    Int(i64),
    /// Microseconds since the Unix epoch.
    Time(i64),
    /// Names and values, in their order; the value of a name without one is null.
    Map(Vec<(String, Option<String>)>),
}

/// The columns that are wanted, in order: places in the connector's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    fields: Vec<(usize, MetadataType)>,
}

impl MetadataType {
    /// The SQL type.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Time => "timestamp",
            Self::Map => "map<string, string>",
        }
    }

    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Map => {
                let entry = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Utf8View, true),
                ]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
            }
        }
    }
}

impl Wanted {
    /// Picks the columns called `names` from a connector's list; names that are not in it are left out.
    pub fn pick<'n>(list: &[MetadataField], names: impl IntoIterator<Item = &'n str>) -> Self {
        let place = |name: &str| list.iter().position(|field| field.name == name);
        let fields = names.into_iter().filter_map(place).map(|at| (at, list[at].kind)).collect();
        Self { fields }
    }

    /// True if nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// True if the column at `place` in the connector's list is.
    pub fn contains(&self, place: usize) -> bool {
        self.fields.iter().any(|(at, _)| *at == place)
    }
}

/// The values of some records, column by column.
#[derive(Debug, Default)]
pub(crate) struct Described {
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
enum Column {
    Text(StringViewBuilder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Time(TimestampMicrosecondBuilder),
    Map(Box<MapBuilder<StringBuilder, StringViewBuilder>>),
}

impl Described {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds one record's values; `value` is asked by place in the connector's list.
    pub(crate) fn push<'v>(&mut self, wanted: &Wanted, mut value: impl FnMut(usize) -> MetadataValue<'v>) {
        if self.columns.is_empty() {
            self.columns = wanted.fields.iter().map(|(_, kind)| Column::new(*kind)).collect();
        }
        for (column, (at, _)) in self.columns.iter_mut().zip(&wanted.fields) {
            column.push(value(*at));
        }
        self.rows += 1;
    }

    /// The columns so far, in the order wanted.
    pub(crate) fn arrays(&self) -> Vec<ArrayRef> {
        self.columns.iter().map(Column::array).collect()
    }
}

impl Column {
    fn new(kind: MetadataType) -> Self {
        match kind {
            MetadataType::Text => Self::Text(StringViewBuilder::new()),
            MetadataType::Int => Self::Int(Int32Builder::new()),
            MetadataType::BigInt => Self::BigInt(Int64Builder::new()),
            MetadataType::Time => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            MetadataType::Map => {
                let names =
                    MapFieldNames { entry: "entries".to_string(), key: "key".to_string(), value: "value".to_string() };
                Self::Map(Box::new(MapBuilder::new(Some(names), StringBuilder::new(), StringViewBuilder::new())))
            }
        }
    }

    fn push(&mut self, value: MetadataValue<'_>) {
        match (self, value) {
            (Self::Text(builder), MetadataValue::Text(text)) => builder.append_value(text),
            (Self::Text(builder), MetadataValue::Bytes(bytes)) => builder.append_value(String::from_utf8_lossy(bytes)),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Int(builder), MetadataValue::Int(number)) => builder.append_option(i32::try_from(number).ok()),
            (Self::Int(builder), _) => builder.append_null(),
            (Self::BigInt(builder), MetadataValue::Int(number)) => builder.append_value(number),
            (Self::BigInt(builder), _) => builder.append_null(),
            (Self::Time(builder), MetadataValue::Time(micros)) => builder.append_value(micros),
            (Self::Time(builder), _) => builder.append_null(),
            (Self::Map(builder), MetadataValue::Map(entries)) => {
                for (name, value) in entries {
                    builder.keys().append_value(name);
                    builder.values().append_option(value);
                }
                // Keys and values were added in pairs, which is all that can fail.
                let _ = builder.append(true);
            }
            (Self::Map(builder), _) => {
                let _ = builder.append(false);
            }
        }
    }

    fn array(&self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish_cloned()),
            Self::Int(builder) => Arc::new(builder.finish_cloned()),
            Self::BigInt(builder) => Arc::new(builder.finish_cloned()),
            Self::Time(builder) => Arc::new(builder.finish_cloned()),
            Self::Map(builder) => Arc::new(builder.finish_cloned()),
        }
    }
}
