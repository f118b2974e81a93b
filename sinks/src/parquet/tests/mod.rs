//! A parquet sink through its front door: rows in, files read back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod budget;
mod commit;
mod content;
mod crash;
mod folders;
mod options;
mod retention;
mod rolling;
pub(crate) mod services;
pub(crate) mod store;
mod trouble;
mod types;
mod uploads;
mod zombie;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use tempfile::TempDir;

use super::names;
use super::*;
use crate::conformance::{self, Fixture, Nature, batch, context};
use crate::error::SinkError;
use crate::sink::{Committed, Flush, Prepared, Sink, SinkContext};
use crate::units::{ByteSize, Period};

/// A clock that is moved by hand.
#[derive(Clone)]
struct HandClock(Arc<Mutex<Instant>>);

impl HandClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || *now.lock().unwrap())
    }
}

/// A folder to write to.
struct Lake {
    folder: TempDir,
    clock: HandClock,
}

impl Lake {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: HandClock::new() }
    }

    fn url(&self) -> String {
        self.folder.path().join("lake").to_str().unwrap().to_owned()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join("lake").join(key)
    }

    fn options(&self) -> ParquetOptions {
        ParquetOptions::at(self.url())
    }

    fn sink(&self, options: ParquetOptions, context: SinkContext) -> ParquetSink {
        ParquetSink::local(options, context, self.clock.clock()).unwrap()
    }

    /// Writes `rows` with `options` in one go, and returns what was prepared.
    async fn write(&self, options: ParquetOptions, context: SinkContext, rows: &[RecordBatch]) -> Prepared {
        let mut sink = self.sink(options, context);
        let epoch = sink.open().await.unwrap();
        for (number, batch) in (0..).zip(rows) {
            sink.write(number, batch.clone()).await.unwrap();
        }
        let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
        sink.commit(&prepared).await.unwrap();
        prepared
    }

    /// Keys of the visible files.
    async fn files(&self) -> Vec<String> {
        let store = LocalFileSystem::new_with_prefix(self.path("")).unwrap();
        let files = visible_files(&store, &Path::ROOT).await.unwrap();
        files.iter().map(|file| file.location.to_string()).collect()
    }

    /// Everything in the folder that is a file, hidden ones included.
    fn all_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(self.path("")).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    fn read(&self, key: &str) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(self.path(key)).unwrap()).unwrap();
        let schema = Arc::clone(reader.schema());
        let batches: Vec<_> = reader.build().unwrap().map(|batch| batch.unwrap()).collect();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    fn metadata(&self, key: &str) -> Arc<ParquetMetaData> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&File::open(self.path(key)).unwrap(), options).unwrap();
        Arc::clone(metadata.metadata())
    }

    /// The ids in each visible file.
    async fn ids(&self) -> BTreeMap<String, Vec<i64>> {
        let files = self.files().await;
        files.into_iter().map(|key| (key.clone(), ids(&self.read(&key)))).collect()
    }
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    batch["id"].as_primitive::<Int64Type>().values().to_vec()
}

fn sorted(ids: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.into_iter().collect();
    ids.sort_unstable();
    ids
}

/// The context of a pipeline `orders` with the columns of `batch`.
fn context_of(batch: &RecordBatch, time_column: Option<&str>) -> SinkContext {
    let schema: SchemaRef = batch.schema();
    SinkContext { schema, time_column: time_column.map(str::to_owned), sort_by: Vec::new(), ..context("orders") }
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn config_error<T: std::fmt::Debug>(result: Result<T, SinkError>) -> String {
    match result {
        Err(SinkError::Config { what }) => what,
        other => panic!("expected a config error, got {other:?}"),
    }
}

#[async_trait]
impl Fixture for Lake {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        Box::new(Lake::sink(self, self.options(), context(pipeline)))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let files = self.ids().await.into_iter();
        let own = files.filter(|(key, _)| names::visible_epoch(key.rsplit('/').next().unwrap(), pipeline).is_some());
        Some(own.flat_map(|(_, ids)| ids).collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: true, remembers_epochs: true }
    }
}

#[tokio::test]
async fn parquet_on_a_disk_conforms() {
    conformance::run(Lake::new).await;
}
