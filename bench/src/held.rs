//! Events of the built-in generator, held in memory, and their decoder: what the benchmarks of single parts share.

use arrow::array::RecordBatch;
use tokio::runtime::Runtime;
use watershed_connectors::{
    GeneratorOptions, GeneratorSource, Profile, ReadLimits, ReadStatus, Records, Source, SourceError, profile_schema,
};
use watershed_engine::decode::{Decode, DecodeError, Format, decoder};
use watershed_engine::run::CHUNK_BYTES;
use watershed_engine::schema::{FieldError, SourceField, SourceSchema};

/// Why a benchmark can't be set up.
#[derive(Debug)]
pub enum SetupError {
    /// The generator refuses.
    Source(SourceError),
    /// The profile's schema is not what the decoder takes.
    Decode(DecodeError),
    /// The profile's schema can't be read.
    Field(FieldError),
    /// No runtime.
    Io(std::io::Error),
}

impl From<SourceError> for SetupError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<DecodeError> for SetupError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<FieldError> for SetupError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<std::io::Error> for SetupError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// The schema of a profile.
pub fn schema(profile: Profile) -> Result<SourceSchema, SetupError> {
    let fields =
        profile_schema(profile).fields.iter().map(|(name, sql_type)| SourceField::parse(*name, sql_type, None));
    Ok(SourceSchema { fields: fields.collect::<Result<_, _>>()? })
}

/// A decoder of the named columns of a profile, in the schema's order.
pub fn profile_decoder(profile: Profile, columns: &[&str]) -> Result<Box<dyn Decode>, SetupError> {
    let schema = schema(profile)?;
    let wanted = schema.fields.iter().enumerate().filter(|(_, field)| columns.contains(&field.name.as_str()));
    let projection: Vec<usize> = wanted.map(|(index, _)| index).collect();
    Ok(decoder(&Format::Json, &schema, &projection)?)
}

/// `events` events of a profile, in chunks as a lane gets them.
pub fn chunks(profile: Profile, events: u64) -> Result<Vec<Records>, SetupError> {
    let mut options = GeneratorOptions::new(profile);
    options.events = Some(events);
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let source = GeneratorSource::new(options)?;
        let mut chunks = Vec::new();
        for split in source.splits().await? {
            let mut reader = source.open(&split, None).await?;
            loop {
                let mut records = Records::default();
                let limits = ReadLimits { bytes: CHUNK_BYTES, wait: std::time::Duration::from_secs(1) };
                let status = reader.read(&mut records, limits).await?;
                if !records.is_empty() {
                    chunks.push(records);
                }
                if status == ReadStatus::Ended {
                    break;
                }
            }
        }
        Ok(chunks)
    })
}

/// The same, decoded.
pub fn batches(profile: Profile, events: u64, columns: &[&str]) -> Result<Vec<RecordBatch>, SetupError> {
    let mut decoder = profile_decoder(profile, columns)?;
    Ok(chunks(profile, events)?.iter().map(|records| decoder.decode(records).batch).collect())
}
