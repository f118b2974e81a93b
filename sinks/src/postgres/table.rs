//! The table that rows are written to, and the statements for it.
//!
//! The one idea: the server takes rows as JSON and makes its own types of them, so that no type is told twice.

use std::borrow::Cow;

use arrow::datatypes::{DataType, Schema};

use crate::error::SinkError;
use crate::messages::Message;

/// Where the number of the last epoch is kept, in the schema of the table, by the sink's name.
const RECORD: &str = "watershed_epochs";

/// A table, with or without its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    schema: Option<String>,
    table: String,
}

impl Name {
    /// Reads `table` or `schema.table`. Names are taken as they are written, capitals included.
    pub(super) fn parse(text: &str) -> Result<Self, SinkError> {
        let parts: Vec<&str> = text.split('.').map(str::trim).collect();
        if parts.iter().any(|part| part.is_empty() || part.contains('\0')) {
            return Err(SinkError::config("`table` names no table: write \"alerts\", or \"schema.alerts\""));
        }
        match parts.as_slice() {
            [table] => Ok(Self { schema: None, table: (*table).to_owned() }),
            [schema, table] => Ok(Self { schema: Some((*schema).to_owned()), table: (*table).to_owned() }),
            _ => Err(SinkError::config("`table` has too many dots: write \"alerts\", or \"schema.alerts\"")),
        }
    }

    /// As SQL spells it.
    pub(super) fn quoted(&self) -> String {
        self.beside(&self.table)
    }

    /// The table of records beside it, as SQL spells it.
    pub(super) fn record(&self) -> String {
        self.beside(RECORD)
    }

    fn beside(&self, table: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
            None => quoted(table),
        }
    }
}

/// A name as SQL spells it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes a list of rows, which is the one parameter, as JSON. With a key, a row that is there is replaced; of rows with one key,
/// the last counts. A row whose key is null in part is like no other.
pub(super) fn insert(table: &Name, columns: &[String], key: &[String]) -> String {
    let table = table.quoted();
    let list = |names: &[String], before: &str| -> String {
        names.iter().map(|name| format!("{before}{}", quoted(name))).collect::<Vec<_>>().join(", ")
    };
    let (names, rows) = (list(columns, ""), list(columns, "r."));
    let from = format!(
        "FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS e(item, number), \
         jsonb_populate_record(NULL::{table}, e.item) AS r"
    );
    if key.is_empty() {
        return format!("INSERT INTO {table} ({names}) SELECT {rows} {from} ORDER BY e.number");
    }
    let (on, by) = (list(key, ""), list(key, "r."));
    let others: Vec<&String> = columns.iter().filter(|column| !key.contains(column)).collect();
    let change = match others.is_empty() {
        true => "NOTHING".to_owned(),
        false => {
            let set = others.iter().map(|name| format!("{0} = EXCLUDED.{0}", quoted(name)));
            format!("UPDATE SET {}", set.collect::<Vec<_>>().join(", "))
        }
    };
    // Each row with a null in its key is a group of its own.
    let nulls: Vec<String> = key.iter().map(|name| format!("r.{} IS NULL", quoted(name))).collect();
    let alone = format!("CASE WHEN {} THEN e.number END", nulls.join(" OR "));
    format!(
        "INSERT INTO {table} ({names}) SELECT {names} FROM (SELECT DISTINCT ON ({by}, {alone}) {rows} {from} \
         ORDER BY {by}, {alone}, e.number DESC) AS latest ON CONFLICT ({on}) DO {change}"
    )
}

/// Rows as the parameter of [`insert`]. No text in PostgreSQL holds U+0000: U+FFFD stands for it.
pub(super) fn json(part: &[Message]) -> String {
    let rows: Vec<Cow<'_, str>> = part.iter().map(|Message(_, value)| without_nul(value)).collect();
    format!("[{}]", rows.join(","))
}

fn without_nul(json: &str) -> Cow<'_, str> {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return Cow::Borrowed(json);
    }
    let (mut made, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(found) = rest.find('\\') {
        let (before, escape) = rest.split_at(found);
        made.push_str(before);
        rest = match escape.strip_prefix(NUL) {
            Some(behind) => {
                made.push_str("\\ufffd");
                behind
            }
            None => {
                // The character behind a backslash is ASCII in JSON, and may be a backslash that begins nothing.
                let (pair, behind) = escape.split_at_checked(2).unwrap_or((escape, ""));
                made.push_str(pair);
                behind
            }
        };
    }
    made.push_str(rest);
    Cow::Owned(made)
}

/// A statement that makes a table for such rows, to be shown.
pub(super) fn create(table: &Name, schema: &Schema, key: &[String]) -> String {
    let columns =
        schema.fields().iter().map(|field| format!("{} {}", quoted(field.name()), sql_type(field.data_type())));
    let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
    let key = (!key.is_empty()).then(|| format!("PRIMARY KEY ({})", key.join(", ")));
    format!("CREATE TABLE {} ({})", table.quoted(), columns.chain(key).collect::<Vec<_>>().join(", "))
}

fn sql_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "numeric",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(..) => "timestamptz",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => "jsonb",
        _ => "text",
    }
}
