//! The parts by themselves: bounds of times, names of folders, options.

use arrow::array::{Date32Array, Date64Array, Int32Array, TimestampNanosecondArray, TimestampSecondArray, UInt64Array};
use arrow::datatypes::TimeUnit;

use super::*;
use crate::replay::folders::FolderColumn;
use crate::replay::time::Bound;

#[test]
fn bounds_of_every_type_are_rounded_outwards() {
    let time = |unit| EventTime { column: "ts".to_owned(), unit, days: false };
    let day = 86_400 * SECOND;
    let table: Vec<(ArrayRef, Option<TimeUnit>, i64, i64)> = vec![
        (Arc::new(TimestampMicrosecondArray::from(vec![-7])), None, -7, -7),
        (Arc::new(TimestampSecondArray::from(vec![-7])), None, -7 * SECOND, -7 * SECOND),
        (Arc::new(TimestampNanosecondArray::from(vec![1500])), None, 1, 2),
        (Arc::new(TimestampNanosecondArray::from(vec![-1500])), None, -2, -1),
        (Arc::new(Date32Array::from(vec![2])), None, 2 * day, 2 * day),
        (Arc::new(Date64Array::from(vec![3])), None, 3000, 3000),
        (Arc::new(Int32Array::from(vec![5])), Some(TimeUnit::Second), 5 * SECOND, 5 * SECOND),
        (Arc::new(UInt64Array::from(vec![5])), Some(TimeUnit::Nanosecond), 0, 1),
        // The unit is for whole numbers: a timestamp has its own.
        (Arc::new(TimestampMicrosecondArray::from(vec![9])), Some(TimeUnit::Second), 9, 9),
    ];
    for (values, unit, lower, upper) in table {
        let bounds = |bound| time(unit).bounds(&values, bound);
        assert_eq!((bounds(Bound::Lower), bounds(Bound::Upper)), (vec![Some(lower)], vec![Some(upper)]), "{values:?}");
    }
    let days = EventTime { days: true, ..time(None) };
    let late: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![2 * day - 1]));
    assert_eq!(days.bounds(&late, Bound::Lower), [Some(day)]);
}

#[test]
fn where_there_is_no_telling_there_is_no_bound() {
    let time = EventTime { column: "ts".to_owned(), unit: None, days: false };
    let unknown: [ArrayRef; 4] = [
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(StringArray::from(vec!["2026-03-01T00:00:00Z"])),
        Arc::new(TimestampSecondArray::from(vec![i64::MAX])),
        Arc::new(TimestampSecondArray::from(vec![None])),
    ];
    for values in unknown {
        assert_eq!(time.bounds(&values, Bound::Lower), [None], "{values:?}");
        assert_eq!(time.bounds(&values, Bound::Upper), [None], "{values:?}");
    }
}

#[test]
fn folders_name_columns() {
    let shown = |path: &str| -> Vec<String> {
        let columns = FolderColumn::all(path);
        columns.iter().map(|column| format!("{}={:?}", column.name, column.array(1))).collect()
    };
    let names = |path: &str| -> Vec<String> { FolderColumn::all(path).into_iter().map(|column| column.name).collect() };
    assert_eq!(names("lake/date=2026-03-01/hour=07/part=1.parquet"), ["date", "hour"]);
    assert_eq!(names("a=1/b=2/a=3/x.parquet"), ["b", "a"]);
    assert!(names("plain/x.parquet").is_empty());
    assert!(names("x=1.parquet").is_empty());
    for (folder, value) in [("a%2Fb", "a/b"), ("a%2", "a%2"), ("%zz", "%zz"), ("%+1", "%+1"), ("%FF", "%FF"), ("", "")]
    {
        let shown = shown(&format!("v={folder}/x.parquet"));
        assert!(shown[0].contains(&format!("{value:?}")), "{folder}: {shown:?}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let refused = |path: &str, from: &str, to: &str, format| {
        let moment = |text: &str| Some(DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        let options = ReplayOptions { path: path.to_owned(), from: moment(from), to: moment(to) };
        ReplaySource::new(options, format).unwrap_err().to_string()
    };
    let (first, second) = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
    for format in [ReplayFormat::Json, parquet()] {
        assert!(refused("x", second, first, format.clone()).contains("`from` must lie before `to`"));
        assert!(refused("x", first, first, format.clone()).contains("`from` must lie before `to`"));
        assert!(refused("", first, second, format.clone()).contains("path is empty"));
    }
}

#[test]
fn a_range_is_half_open_and_may_be_open_at_an_end() {
    let options = |text: &str| serde_json::from_str::<ReplayOptions>(text);
    let range = |text: &str| options(text).unwrap().range();
    assert_eq!(range(r#"{"path":"x"}"#), None);
    assert_eq!(range(r#"{"path":"x","from":"1970-01-01T00:00:01Z"}"#), Some(SECOND..i64::MAX));
    assert_eq!(range(r#"{"path":"x","to":"1970-01-01T01:00:00+01:00"}"#), Some(i64::MIN..0));
    assert!(options(r#"{"path":"x","from":"yesterday"}"#).unwrap_err().to_string().contains("yesterday"));
    assert!(options(r#"{"path":"x","form":"1970-01-01T00:00:01Z"}"#).is_err());
}
