#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hostile;
mod parts;
mod reading;

use std::fs::{self, File};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Fields, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempDir;

use super::*;
use crate::conformance::{Fixture, Item};
use crate::records::Records;
use crate::source::{ReadLimits, ReadStatus};

const SECOND: i64 = 1_000_000;

/// A folder that lives as long as its test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn text(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn create(&self, name: &str) -> (String, File) {
        let path = self.text(name);
        fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        let file = File::create(&path).unwrap();
        (path, file)
    }

    /// Writes one row group of each of `groups`.
    fn parquet(&self, name: &str, groups: &[RecordBatch], statistics: EnabledStatistics) -> String {
        let (path, file) = self.create(name);
        let properties = WriterProperties::builder().set_statistics_enabled(statistics).build();
        let mut writer = ArrowWriter::try_new(file, groups[0].schema(), Some(properties)).unwrap();
        for group in groups {
            writer.write(group).unwrap();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
        path
    }

    /// Row groups of events at these seconds.
    fn events(&self, name: &str, groups: &[&[i64]]) -> String {
        let groups: Vec<_> = groups.iter().map(|seconds| events(seconds)).collect();
        self.parquet(name, &groups, EnabledStatistics::Chunk)
    }

    fn path(&self) -> String {
        self.text("")
    }
}

/// Events at these seconds: a time, a number, a text, and something nested.
fn events(seconds: &[i64]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(seconds.iter().map(|second| second * SECOND));
    let tags = seconds.iter().map(|second| Some((0..second % 3).map(Some).collect::<Vec<_>>()));
    let place = Fields::from(vec![Field::new("city", arrow::datatypes::DataType::Utf8, true)]);
    let city: ArrayRef = Arc::new(StringArray::from_iter_values(seconds.iter().map(|second| format!("city {second}"))));
    let columns: [(&str, ArrayRef); 5] = [
        ("ts", Arc::new(times.with_timezone("UTC"))),
        ("n", Arc::new(Int64Array::from(seconds.to_vec()))),
        ("name", Arc::new(StringArray::from_iter(seconds.iter().map(|s| (s % 4 != 0).then(|| format!("event {s}")))))),
        ("tags", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(tags))),
        ("place", Arc::new(StructArray::try_new(place, vec![city], None).unwrap())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn parquet() -> ReplayFormat {
    let event_time = Some(EventTime { column: "ts".to_owned(), unit: None, days: false });
    ReplayFormat::Parquet { columns: None, event_time }
}

fn source(path: &str, from: Option<i64>, to: Option<i64>, format: ReplayFormat) -> ReplaySource {
    let moment = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
    let options = ReplayOptions { path: path.to_owned(), from: from.map(moment), to: to.map(moment) };
    ReplaySource::new(options, format).unwrap()
}

/// The file names of all splits, and their numbers `n` in order.
async fn numbers(source: &ReplaySource) -> Vec<(String, Vec<i64>)> {
    let mut all = Vec::new();
    for split in source.splits().await.unwrap() {
        let mut reader = source.open(&split, None).await.unwrap();
        let name = split.as_str().rsplit('/').next().unwrap().to_owned();
        all.push((name, rest(&mut *reader, 1 << 20).await));
    }
    all
}

async fn rest(reader: &mut dyn Reader, bytes: usize) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(read) = chunk(reader, bytes).await {
        numbers.extend(read);
    }
    numbers
}

/// The numbers of one read.
async fn chunk(reader: &mut dyn Reader, bytes: usize) -> Option<Vec<i64>> {
    let mut records = Records::default();
    let status = reader.read(&mut records, ReadLimits { bytes, wait: Duration::ZERO }).await.unwrap();
    if status == ReadStatus::Ended && records.is_empty() {
        return None;
    }
    let columns = records.columns().unwrap();
    let numbers = columns.column_by_name("n").unwrap().as_any().downcast_ref::<Int64Array>().unwrap();
    Some(numbers.values().to_vec())
}

async fn open_error(source: &ReplaySource) -> String {
    source.splits().await.unwrap_err().to_string()
}
