//! A schema for a source that has none, from its first records.

use std::time::Duration;

use serde::Deserialize;
use watershed_connectors::{ReadLimits, ReadStatus, Records, Source, SourceError};

use crate::config::SourceConfig;
use crate::decode::infer::{event_time, infer_schema, to_toml};
use crate::schema::{SourceField, SourceSchema};

/// Records that are looked at: enough to meet the rare fields and the rare types.
const MAX_RECORDS: usize = 1000;

/// Bytes that are looked at, where records are large.
const MAX_BYTES: usize = 4 << 20;

/// How long a split may keep us waiting for its first record.
const WAIT: Duration = Duration::from_secs(1);

/// What was found out about a source.
#[derive(Debug)]
pub(super) struct Inferred {
    /// TOML to paste.
    pub(super) toml: String,
    /// The columns it declares.
    pub(super) schema: SourceSchema,
    /// The event time: the source's own, or the column that looks most like one.
    pub(super) event_time: Option<String>,
    /// How many records were looked at.
    pub(super) records: usize,
}

/// Infers the schema of `config`, whose events come from `source`. The error says why it cannot.
pub(super) async fn infer(config: &SourceConfig, source: &dyn Source) -> Result<Inferred, String> {
    let sample = sample(source).await.map_err(|error| error.to_string())?;
    let fields = infer_schema(&config.format, &sample).map_err(|error| error.to_string())?;
    let declared = fields.iter().map(|(name, sql_type)| column(name, sql_type));
    let schema = SourceSchema { fields: declared.collect::<Result<_, String>>()? };
    let mut toml = to_toml(&config.name, &fields);
    if config.event_time.is_some()
        && let Some(table) = toml.find("[sources.")
    {
        toml.replace_range(..table, "");
    }
    let event_time = config.event_time.clone().or_else(|| event_time(&fields).map(str::to_string));
    Ok(Inferred { toml, schema, event_time, records: sample.len() })
}

/// The first records of the first splits. CSV under another header is another table, and ends the sample.
async fn sample(source: &dyn Source) -> Result<Records, SourceError> {
    let mut sample = Records::default();
    let mut records = Records::default();
    for split in source.splits().await? {
        let mut reader = source.open(&split, None).await?;
        loop {
            if sample.len() >= MAX_RECORDS || sample.byte_len() >= MAX_BYTES {
                return Ok(sample);
            }
            records.clear();
            let limits = ReadLimits { bytes: MAX_BYTES - sample.byte_len(), wait: WAIT };
            let status = reader.read(&mut records, limits).await?;
            if let Some(header) = records.header() {
                match sample.header() {
                    Some(first) if first != header => return Ok(sample),
                    _ => sample.set_header(header.clone()),
                }
            }
            for index in 0..records.len().min(MAX_RECORDS - sample.len()) {
                sample.push(&records.shown(index), records.position(index));
            }
            match status {
                ReadStatus::More => {}
                ReadStatus::CaughtUp | ReadStatus::Ended | ReadStatus::Left => break,
            }
        }
    }
    Ok(sample)
}

/// A column from its inferred type: an SQL type, or the inline table that TOML needs for a format.
fn column(name: &str, sql_type: &str) -> Result<SourceField, String> {
    #[derive(Deserialize)]
    struct Line {
        column: Column,
    }

    #[derive(Deserialize)]
    struct Column {
        r#type: String,
        format: Option<String>,
    }

    let field = if sql_type.starts_with('{') {
        let line: Line =
            toml::from_str(&format!("column = {sql_type}")).map_err(|error| error.message().to_string())?;
        SourceField::parse(name, &line.column.r#type, line.column.format.as_deref())
    } else {
        SourceField::parse(name, sql_type, None)
    };
    field.map_err(|error| format!("column `{name}`: {error}"))
}
