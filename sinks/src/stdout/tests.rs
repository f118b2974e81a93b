#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, ListArray, StringViewArray, StructArray};
use arrow::array::{TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray};
use arrow::datatypes::Int32Type;

use super::*;
use crate::conformance::{self, Fixture, Nature, batch, context};

/// What was printed, behind a handle that outlives the sink.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[derive(Default)]
struct Screens(Mutex<HashMap<String, Screen>>);

#[async_trait]
impl Fixture for Screens {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let screen = self.0.lock().unwrap().entry(pipeline.to_owned()).or_default().clone();
        Box::new(StdoutSink::with_writer(context(pipeline), screen, StdoutStyle::Lines))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let text = self.0.lock().unwrap()[pipeline].text();
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        Some(rows.map(|row| row["id"].as_i64().unwrap()).collect())
    }

    fn nature(&self) -> Nature {
        // Printing is showing: there is nothing to hold back, and a terminal remembers no epoch.
        Nature { shows_at_write: true, holds_back: false, remembers_epochs: false }
    }
}

#[tokio::test]
async fn stdout_conforms() {
    conformance::run(Screens::default).await;
}

async fn printed(batches: impl IntoIterator<Item = RecordBatch>, style: StdoutStyle) -> String {
    let screen = Screen::default();
    let mut sink = StdoutSink::with_writer(context("orders"), screen.clone(), style);
    for (number, batch) in (0..).zip(batches) {
        sink.write(number, batch).await.unwrap();
    }
    screen.text()
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[tokio::test]
async fn a_terminal_gets_a_table_for_each_window() {
    let window = |second: i64| {
        columns(vec![
            (
                "window_start",
                Arc::new(TimestampMicrosecondArray::from(vec![second * 1_000_000; 2]).with_timezone("UTC")),
            ),
            ("country", Arc::new(StringViewArray::from(vec![Some("DE"), None]))),
            ("events", Arc::new(Int64Array::from(vec![12_345, 7]))),
            ("revenue", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
        ])
    };
    let empty = window(0).slice(0, 0);
    let expected = "\
┌─────────────────────┬─────────┬────────┬─────────┐
│ window_start        ┆ country ┆ events ┆ revenue │
╞═════════════════════╪═════════╪════════╪═════════╡
│ 2026-03-01 00:00:10 ┆ DE      ┆  12345 ┆     1.5 │
│ 2026-03-01 00:00:10 ┆ NULL    ┆      7 ┆    NULL │
└─────────────────────┴─────────┴────────┴─────────┘
";
    let second = expected.replace("00:00:10", "00:00:20");
    let shown = printed([window(1_772_323_210), empty, window(1_772_323_220)], StdoutStyle::Table).await;
    assert_eq!(shown, format!("{expected}{second}"));
}

#[tokio::test]
async fn a_value_cannot_move_the_cursor() {
    let evil = columns(vec![("a\u{7}", Arc::new(StringViewArray::from(vec!["two\nlines \u{1b}[2J"])))]);
    let shown = printed([evil], StdoutStyle::Table).await;
    assert!(shown.contains("two\\nlines \\u{1b}[2J"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown}");
}

#[tokio::test]
async fn a_pipe_gets_a_json_object_a_line() {
    let inner: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0]).with_timezone("+05:00"));
    let batch = columns(vec![
        ("naive", Arc::new(TimestampSecondArray::from(vec![1_772_323_210]))),
        ("utc", Arc::new(TimestampMicrosecondArray::from(vec![1_772_323_210_500_000]).with_timezone("UTC"))),
        ("zoned", Arc::new(TimestampNanosecondArray::from(vec![1_772_323_210_000_000_000]).with_timezone("+02:00"))),
        ("nested", Arc::new(StructArray::try_from(vec![("at", inner)]).unwrap())),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]))),
        ("price", Arc::new(Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).unwrap())),
        ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("text", Arc::new(StringViewArray::from(vec!["a\n\"b\""]))),
        ("missing", Arc::new(Int64Array::from(vec![None]))),
    ]);
    let line = printed([batch], StdoutStyle::Lines).await;
    assert_eq!(
        line,
        concat!(
            r#"{"naive":"2026-03-01T00:00:10Z","utc":"2026-03-01T00:00:10.500Z","zoned":"2026-03-01T00:00:10Z","#,
            r#""nested":{"at":"1970-01-01T00:00:00Z"},"list":[1,null],"price":12.50,"nan":null,"#,
            r#""text":"a\n\"b\"","missing":null}"#,
            "\n"
        )
    );
}

/// A writer that fails as the system does.
#[derive(Debug)]
struct Broken(ErrorKind);

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_pipe_is_a_quiet_end_and_a_full_disk_is_named() {
    let write = async |kind| {
        let mut sink = StdoutSink::with_writer(context("orders"), Broken(kind), StdoutStyle::Lines);
        sink.write(0, batch(&[1])).await.unwrap_err()
    };
    assert!(matches!(write(ErrorKind::BrokenPipe).await, SinkError::Closed { .. }));
    let full = write(ErrorKind::StorageFull).await;
    assert!(matches!(&full, SinkError::Config { what } if what.contains("disk full")), "{full}");
    let other = write(ErrorKind::Other).await;
    assert!(matches!(&other, SinkError::Fatal { what, .. } if what.contains("\"orders\"")), "{other}");
}
