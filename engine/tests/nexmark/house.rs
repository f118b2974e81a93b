//! The events of a region file's generators as tables of a batch engine: made by the generator, but read by Arrow's own JSON
//! reader.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use watershed_connectors::{
    GeneratorOptions, GeneratorSource, ProfileSchema, ReadLimits, ReadStatus, Records, Source, profile_schema,
};
use watershed_engine::config::ConnectorOptions;

/// Registers a table for each source of a region file.
pub(crate) async fn register(session: &SessionContext, file: &Path) {
    let region = watershed_engine::config::load(file).unwrap();
    for (name, source) in &region.sources {
        let ConnectorOptions::Generator(options) = &source.connector else { panic!("{name} is no generator") };
        let schema = Arc::new(arrow_schema(profile_schema(options.profile)));
        let lines = Cursor::new(lines(options).await);
        let reader = ReaderBuilder::new(schema.clone()).with_strict_mode(true).build(lines).unwrap();
        let batches = reader.collect::<Result<Vec<_>, _>>().unwrap();
        session.register_table(name.as_str(), Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())).unwrap();
    }
}

fn arrow_schema(profile: ProfileSchema) -> Schema {
    let field = |(name, sql_type): &(&str, &str)| {
        let data_type = match *sql_type {
            "bigint" => DataType::Int64,
            "string" => DataType::Utf8,
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            other => panic!("{name} is a {other}"),
        };
        Field::new(*name, data_type, true)
    };
    Schema::new(profile.fields.iter().map(field).collect::<Vec<_>>())
}

/// All events of a generator, one a line.
async fn lines(options: &GeneratorOptions) -> Vec<u8> {
    let source = GeneratorSource::new(options.clone()).unwrap();
    let limits = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(1) };
    let mut lines = Vec::new();
    for split in source.splits().await.unwrap() {
        let mut reader = source.open(&split, None).await.unwrap();
        loop {
            let mut records = Records::default();
            let status = reader.read(&mut records, limits).await.unwrap();
            for i in 0..records.len() {
                lines.extend_from_slice(records.payload(i));
                lines.push(b'\n');
            }
            if status == ReadStatus::Ended {
                break;
            }
        }
    }
    lines
}
