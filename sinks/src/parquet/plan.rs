//! What a parquet sink will do, settled and checked before the first row: partitions, columns, order, properties.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::names;
use super::options::{Compression, ParquetOptions};
use super::types::file_schema;
use crate::error::SinkError;
use crate::sink::SinkContext;

/// Where the value of one folder level comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Level {
    /// The region file's `region`.
    Region,
    /// The UTC date of the time column.
    Date,
    /// The UTC hour of the time column, two digits.
    Hour,
    /// An output column, by its place in [`Plan::columns`].
    Column(usize),
}

/// Names that stand for no column.
const VIRTUAL: [(&str, Level); 3] = [("region", Level::Region), ("date", Level::Date), ("hour", Level::Hour)];

/// A row group larger than this could not be concatenated: strings have 32-bit offsets.
const LARGEST_ROW_GROUP: u64 = 1 << 30;

/// The longest pipeline or region: with epoch and number it is still a file's name everywhere (255 bytes).
const LONGEST_NAME: usize = 200;

/// The checked plan.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Folder levels, outermost first.
    pub(super) levels: Vec<Level>,
    /// Every output column, in the types of the file.
    pub(super) columns: SchemaRef,
    /// Place of the time column, if a level needs it.
    pub(super) time: Option<usize>,
    /// The columns inside the file.
    pub(super) file: SchemaRef,
    /// Their places in `columns`.
    pub(super) file_columns: Vec<usize>,
    /// Places, inside the file, of the columns that rows are sorted by.
    pub(super) sort: Vec<usize>,
    /// How files are written.
    pub(super) properties: WriterProperties,
}

impl Plan {
    pub(super) fn new(options: &ParquetOptions, context: &SinkContext) -> Result<Self, SinkError> {
        check_names_and_sizes(options, context)?;
        let columns = file_schema(&context.schema)?;
        let levels = levels(options, context, &columns)?;
        if options.retain.is_some() && !levels.contains(&Level::Date) {
            return Err(SinkError::config(
                "retain: partitions go by the time that their folders name; put \"date\" into partition_by, or take retain out",
            ));
        }
        let time = match levels.iter().any(|level| matches!(level, Level::Date | Level::Hour)) {
            true => Some(time_column(context)?),
            false => None,
        };
        let in_folders = |column: &usize| levels.contains(&Level::Column(*column));
        let file_columns: Vec<usize> = (0..columns.fields().len()).filter(|column| !in_folders(column)).collect();
        if file_columns.is_empty() {
            return Err(SinkError::config(format!(
                "partition_by takes every output column of pipeline {:?}, so that nothing is left for the files; leave one out",
                context.pipeline
            )));
        }
        let file = Arc::new(columns.project(&file_columns).map_err(|error| SinkError::fatal("parquet sink", error))?);
        let sort = sort_columns(context, &file);
        let properties = properties(options, context, &file, &sort)?;
        Ok(Self { levels, columns, time, file, file_columns, sort, properties })
    }

    /// The same for files with other columns inside: those of this pipeline at other times.
    pub(super) fn with_columns(
        &self,
        options: &ParquetOptions,
        context: &SinkContext,
        file: SchemaRef,
    ) -> Result<Self, SinkError> {
        let mut options = options.clone();
        options.bloom_filters.retain(|name| file.index_of(name).is_ok());
        let sort = sort_columns(context, &file);
        let properties = properties(&options, context, &file, &sort)?;
        Ok(Self { file, sort, properties, ..self.clone() })
    }
}

fn check_names_and_sizes(options: &ParquetOptions, context: &SinkContext) -> Result<(), SinkError> {
    for (what, name) in [("pipeline", &context.pipeline), ("region", &context.region)] {
        if name.is_empty() || names::encode(name).len() > LONGEST_NAME {
            return Err(SinkError::config(format!(
                "the name of {what} {name:?} goes into file names: let it have 1 to {LONGEST_NAME} characters"
            )));
        }
    }
    if names::is_hidden(&context.pipeline) {
        return Err(SinkError::config(format!(
            "pipeline {:?}: readers skip files that begin with '_' or '.'; let its name begin with a letter",
            context.pipeline
        )));
    }
    if options.roll.size.0 == 0 {
        return Err(SinkError::config("roll.size: must be at least one byte, such as \"128MB\""));
    }
    if !(1..=LARGEST_ROW_GROUP).contains(&options.row_group_size.0) {
        return Err(SinkError::config(format!(
            "row_group_size: {} is not between 1 byte and 1GiB; \"32MB\" suits most lakes",
            options.row_group_size
        )));
    }
    let mut seen = HashSet::new();
    match context.schema.fields().iter().find(|field| !seen.insert(field.name())) {
        Some(twice) => Err(SinkError::config(format!(
            "pipeline {:?} has two output columns {:?}; rename one with AS",
            context.pipeline,
            twice.name()
        ))),
        None => Ok(()),
    }
}

fn levels(options: &ParquetOptions, context: &SinkContext, columns: &Schema) -> Result<Vec<Level>, SinkError> {
    let mut levels = Vec::with_capacity(options.partition_by.len());
    for (i, name) in options.partition_by.iter().enumerate() {
        if options.partition_by[..i].contains(name) {
            return Err(SinkError::config(format!("partition_by: {name:?} stands there twice; remove one")));
        }
        levels.push(match VIRTUAL.into_iter().find(|(known, _)| known == name) {
            Some((_, level)) => {
                check_virtual(name, &level, context)?;
                level
            }
            None => Level::Column(partition_column(name, context, columns)?),
        });
    }
    Ok(levels)
}

fn check_virtual(name: &str, level: &Level, context: &SinkContext) -> Result<(), SinkError> {
    // Lake engines ignore case, so `Date` collides as well.
    if let Some(column) = context.schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
        return Err(SinkError::config(format!(
            "partition_by: {name:?} is a folder level of its own and would hide the output column {column:?} of pipeline \
             {pipeline:?}; rename the column with AS, or leave {name:?} out of partition_by",
            column = column.name(),
            pipeline = context.pipeline,
        )));
    }
    if *level != Level::Region && context.time_column.is_none() {
        return Err(SinkError::config(format!(
            "partition_by: {name:?} needs a time, but pipeline {:?} puts out neither window_start nor the event time; \
             select one of them, or set partition_by = [\"region\"]",
            context.pipeline
        )));
    }
    Ok(())
}

fn partition_column(name: &str, context: &SinkContext, columns: &Schema) -> Result<usize, SinkError> {
    let Ok(place) = columns.index_of(name) else {
        let known = columns.fields().iter().map(|field| field.name().as_str());
        let hint = nearest(name, known.chain(VIRTUAL.iter().map(|(name, _)| *name)));
        return Err(SinkError::config(format!(
            "partition_by: pipeline {:?} has no output column {name:?}{hint}",
            context.pipeline
        )));
    };
    if names::is_hidden(name) {
        return Err(SinkError::config(format!(
            "partition_by: readers skip folders that begin with '_' or '.', such as {name:?}; rename the column with AS"
        )));
    }
    let field = columns.field(place);
    let why_not = match field.data_type() {
        DataType::Float32 | DataType::Float64 => "a float; cast it to an integer, a decimal or a string",
        DataType::Binary | DataType::FixedSizeBinary(_) => "binary; encode it as a string",
        nested if nested.is_nested() => "nested; take one of its fields as a column",
        _ => return Ok(place),
    };
    Err(SinkError::config(format!("partition_by: column {name:?} cannot name folders, it is {why_not}")))
}

fn time_column(context: &SinkContext) -> Result<usize, SinkError> {
    let name = context.time_column.as_deref().unwrap_or_default();
    let place = context.schema.index_of(name).ok();
    place.filter(|place| matches!(context.schema.field(*place).data_type(), DataType::Timestamp(..))).ok_or_else(|| {
        SinkError::config(format!(
            "partition_by: the time of pipeline {:?} is no timestamp column: {name:?}",
            context.pipeline
        ))
    })
}

/// The columns of `sort_by` that are in the file and have an order.
fn sort_columns(context: &SinkContext, file: &Schema) -> Vec<usize> {
    let places = context.sort_by.iter().filter_map(|name| file.index_of(name).ok());
    places.filter(|place| !file.field(*place).data_type().is_nested()).collect()
}

fn properties(
    options: &ParquetOptions,
    context: &SinkContext,
    file: &SchemaRef,
    sort: &[usize],
) -> Result<WriterProperties, SinkError> {
    let refused =
        |error| SinkError::config(format!("pipeline {:?} cannot be written as parquet: {error}", context.pipeline));
    let codec = match options.compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(3).map_err(refused)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    };
    // The ordinal of a sorting column counts leaves, not top-level columns.
    let leaves = ArrowSchemaConverter::new().convert(file).map_err(refused)?;
    let leaf = |place: &usize| {
        let name = file.field(*place).name();
        leaves.columns().iter().position(|leaf| leaf.path().parts() == std::slice::from_ref(name))
    };
    let sorting = sort.iter().filter_map(leaf).map(|leaf| SortingColumn {
        column_idx: leaf as i32,
        descending: false,
        nulls_first: false,
    });
    let sorting: Vec<_> = sorting.collect();
    let metadata = [
        ("watershed.pipeline", &context.pipeline),
        ("watershed.sql_hash", &context.sql_hash),
        ("watershed.region", &context.region),
    ];
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        // A row group ends where its buffer does, not at a number of rows.
        .set_max_row_group_row_count(None)
        .set_created_by(concat!("watershed version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(
            metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_string())).into(),
        ))
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting));
    for name in &options.bloom_filters {
        check_bloom_filter(name, options, context, file)?;
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::new(vec![name.clone()]), true);
    }
    let properties = properties.build();
    // A trial: what parquet cannot write is known now, not at the first row.
    ArrowWriter::try_new(Vec::new(), Arc::clone(file), Some(properties.clone())).map_err(refused)?;
    Ok(properties)
}

fn check_bloom_filter(
    name: &str,
    options: &ParquetOptions,
    context: &SinkContext,
    file: &Schema,
) -> Result<(), SinkError> {
    if options.partition_by.iter().any(|level| level == name) {
        return Err(SinkError::config(format!(
            "bloom_filters: {name:?} is in partition_by, where folders already tell its values apart; remove it"
        )));
    }
    let field: Option<&FieldRef> = file.fields().iter().find(|field| field.name() == name);
    let Some(field) = field else {
        let hint = nearest(name, file.fields().iter().map(|field| field.name().as_str()));
        return Err(SinkError::config(format!(
            "bloom_filters: pipeline {:?} has no output column {name:?}{hint}",
            context.pipeline
        )));
    };
    if field.data_type().is_nested() || *field.data_type() == DataType::Boolean {
        let kind = if field.data_type().is_nested() { "nested" } else { "boolean" };
        return Err(SinkError::config(format!(
            "bloom_filters: column {name:?} is {kind}; a filter there helps nobody, remove it"
        )));
    }
    Ok(())
}

/// "; did you mean …?" with the known name nearest to `name`, and all of them.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let lower = name.to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&lower, &other.to_lowercase());
    let best = known.iter().map(|other| (likeness(other), *other)).max_by(|a, b| a.0.total_cmp(&b.0));
    let all = known.join(", ");
    match best {
        // Below this, two names share letters by chance.
        Some((likeness, best)) if likeness >= 0.75 => format!("; did you mean {best:?}? there are: {all}"),
        _ => format!("; there are: {all}"),
    }
}
