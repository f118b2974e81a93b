//! The columns of a table: what ours are in Delta's types, and whether a table that is there can take them.
//!
//! The one idea: a table only ever gains columns. One that lacks some of ours gets them, nullable; one of which we lack some
//! reads them as null; whatever would change the meaning of rows that are there is refused, by name.

use std::collections::HashSet;

use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use chrono::NaiveDateTime;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{DataType, Metadata, Protocol, StructField, StructType};

use crate::error::SinkError;
use crate::parquet::{Layout, LevelValues};

/// Features that ask nothing of who only adds files, and that the log's library writes entries for.
const HARMLESS: [&str; 4] = ["appendOnly", "deletionVectors", "timestampNtz", "v2Checkpoint"];

/// The property by which a table's transactions, our epochs, are forgotten after a time.
const FORGETTING: &str = "delta.setTransactionRetentionDuration";

/// Marks of a column whose values a writer has to check or to make.
const DEMANDING: [&str; 3] = ["delta.invariants", "delta.generationExpression", "delta.identity.start"];

/// Characters that a name may not hold in a table without column mapping.
const NOT_IN_NAMES: [char; 10] = [' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// The columns of a sink's table.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) schema: StructType,
    /// Names of those that are in folders, outermost first.
    pub(super) partitions: Vec<String>,
}

impl Columns {
    /// The columns of files and folders, as a table has them.
    pub(super) fn of(layout: &Layout) -> Result<Self, SinkError> {
        let mut fields: Vec<Field> = layout.columns.fields().iter().map(|field| field.as_ref().clone()).collect();
        for level in &layout.levels {
            let kind = match &level.values {
                LevelValues::Region => ArrowType::Utf8,
                LevelValues::Date => ArrowType::Date32,
                LevelValues::Hour => ArrowType::Int32,
                LevelValues::Column(kind) => kind.clone(),
            };
            fields.push(Field::new(&level.name, kind, true));
        }
        let mut seen = HashSet::new();
        for field in &fields {
            check_name(field.name())?;
            if !seen.insert(field.name().to_lowercase()) {
                return Err(SinkError::config(format!(
                    "column {:?}: a Delta table ignores case, and has a column of that name; rename one with AS",
                    field.name()
                )));
            }
            one(field)?;
        }
        let schema = Schema::new(fields);
        let schema = (&schema).try_into_kernel().map_err(|error| SinkError::fatal("delta sink", error))?;
        Ok(Self { schema, partitions: layout.levels.iter().map(|level| level.name.clone()).collect() })
    }

    /// The value of a partition as the log writes it: times with their zone, for readers would take their own.
    pub(super) fn partition_value(&self, level: &str, value: String) -> String {
        let is_time = self.schema.field(level).is_some_and(|field| *field.data_type() == DataType::TIMESTAMP);
        match NaiveDateTime::parse_from_str(&value, "%Y-%m-%d %H:%M:%S%.f") {
            Ok(time) if is_time => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            _ => value,
        }
    }

    /// The columns that the table lacks and is to get; an error if it cannot take ours.
    pub(super) fn missing_in(
        &self,
        metadata: &Metadata,
        protocol: &Protocol,
        table: &StructType,
    ) -> Result<Vec<StructField>, SinkError> {
        check_protocol(protocol, metadata)?;
        if metadata.partition_columns() != self.partitions {
            return Err(SinkError::config(format!(
                "the table is partitioned by {:?}: set partition_by to that, or write to another url",
                metadata.partition_columns()
            )));
        }
        for theirs in table.fields() {
            check_column(theirs)?;
            let ours = self.schema.fields().any(|ours| ours.name() == theirs.name());
            if !ours && !theirs.is_nullable() {
                return Err(SinkError::config(format!(
                    "the table has a column {:?} that may not be null, and the pipeline does not put it out: select it, \
                     or drop the column's NOT NULL",
                    theirs.name()
                )));
            }
        }
        let mut missing = Vec::new();
        for ours in self.schema.fields() {
            let theirs = table.fields().find(|theirs| theirs.name().eq_ignore_ascii_case(ours.name()));
            match theirs {
                None => missing.push(ours.clone()),
                Some(theirs) if theirs.name() != ours.name() => {
                    return Err(SinkError::config(format!(
                        "column {:?} is {:?} in the table: rename it with AS",
                        ours.name(),
                        theirs.name()
                    )));
                }
                Some(theirs) if theirs.data_type() != ours.data_type() => {
                    return Err(SinkError::config(format!(
                        "column {:?} is {} in the table and {} in the pipeline: cast it in the SQL, or write to another url",
                        ours.name(),
                        theirs.data_type(),
                        ours.data_type()
                    )));
                }
                Some(theirs) if !theirs.is_nullable() => {
                    return Err(SinkError::config(format!(
                        "column {:?} may not be null in the table, which the pipeline cannot promise: drop its NOT NULL",
                        ours.name()
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(missing)
    }
}

fn check_name(name: &str) -> Result<(), SinkError> {
    match name.chars().find(|c| NOT_IN_NAMES.contains(c)) {
        Some(c) => Err(SinkError::config(format!(
            "column {name:?} holds {c:?}, which no column of a Delta table may; rename it with AS"
        ))),
        None => Ok(()),
    }
}

/// Tries one column alone, for an error that names it.
fn one(field: &Field) -> Result<StructField, SinkError> {
    field.try_into_kernel().map_err(|_| {
        SinkError::config(format!(
            "column {:?} is {}, which Delta has no type for; cast it in the SQL",
            field.name(),
            field.data_type()
        ))
    })
}

fn check_protocol(protocol: &Protocol, metadata: &Metadata) -> Result<(), SinkError> {
    let refused = |what: &str| {
        Err(SinkError::config(format!(
            "the table uses {what}, which this sink does not keep up: drop that from the table, or write to another url"
        )))
    };
    let features = protocol.writer_features().unwrap_or_default();
    let mut names = features.iter().map(ToString::to_string);
    if let Some(name) = names.find(|name| !HARMLESS.contains(&name.as_str())) {
        return refused(&name);
    }
    let properties = metadata.configuration();
    if properties.keys().any(|key| key.starts_with("delta.constraints.")) {
        return refused("check constraints");
    }
    if properties.contains_key(FORGETTING) {
        return Err(SinkError::config(format!(
            "the table has {FORGETTING}, by which others forget which epochs it has, and rows would be there twice: unset it by \
             ALTER TABLE … UNSET TBLPROPERTIES ('{FORGETTING}'), or write to another url"
        )));
    }
    let mapping = properties.get("delta.columnMapping.mode").map(String::as_str);
    if mapping.is_some_and(|mode| mode != "none") {
        return refused("column mapping");
    }
    Ok(())
}

fn check_column(column: &StructField) -> Result<(), SinkError> {
    // Of a field inside it, too.
    let text = serde_json::to_string(column).map_err(|error| SinkError::fatal("delta sink", error))?;
    match DEMANDING.iter().find(|key| text.contains(&format!("\"{key}\""))) {
        Some(key) => Err(SinkError::config(format!(
            "column {:?} of the table has {key}, which this sink does not keep up: write to another url",
            column.name()
        ))),
        None => Ok(()),
    }
}
