//! How a pipeline's files lie below their root, as whoever reads them from outside has to know it.

use arrow::datatypes::{DataType, SchemaRef};

use super::names;
use super::options::ParquetOptions;
use super::plan::{Level, Plan};
use crate::error::SinkError;
use crate::sink::SinkContext;

/// Columns, folders and names of the files that one pipeline writes to a sink.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The columns inside every file.
    pub columns: SchemaRef,
    /// Folder levels, outermost first.
    pub levels: Vec<FolderLevel>,
    /// What the name of each file begins with.
    pub prefix: String,
    /// The region, as folders write it.
    pub region: String,
}

/// A folder level `name=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderLevel {
    /// The name, and that of the column that it stands for.
    pub name: String,
    /// What its values are.
    pub values: LevelValues,
}

/// What a folder level is named after.
#[derive(Debug, Clone, PartialEq)]
pub enum LevelValues {
    /// The region file's `region`: one value.
    Region,
    /// A UTC date, `2026-03-01`.
    Date,
    /// An hour of the day in UTC, `00` to `23`.
    Hour,
    /// An output column of this type.
    Column(DataType),
}

impl Layout {
    pub(super) fn new(options: &ParquetOptions, context: &SinkContext) -> Result<Self, SinkError> {
        let plan = Plan::new(options, context)?;
        let level = |(level, name): (&Level, &String)| FolderLevel {
            name: name.clone(),
            values: match level {
                Level::Region => LevelValues::Region,
                Level::Date => LevelValues::Date,
                Level::Hour => LevelValues::Hour,
                Level::Column(place) => LevelValues::Column(plan.columns.field(*place).data_type().clone()),
            },
        };
        Ok(Self {
            levels: plan.levels.iter().zip(&options.partition_by).map(level).collect(),
            columns: plan.file,
            prefix: format!("{}-", names::encode(&context.pipeline)),
            region: names::encode(&context.region),
        })
    }
}
