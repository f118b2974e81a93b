//! What is read, from where, and what is promised of the rest.

use super::*;

fn shown(second: i64) -> String {
    let time = DateTime::from_timestamp(second, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ");
    let name = if second % 4 == 0 { String::new() } else { format!("\"name\":\"event {second}\",") };
    let tags = (0..second % 3).map(|tag| tag.to_string()).collect::<Vec<_>>().join(",");
    format!("{{\"ts\":\"{time}\",\"n\":{second},{name}\"tags\":[{tags}],\"place\":{{\"city\":\"city {second}\"}}}}")
}

fn items(seconds: impl IntoIterator<Item = i64>, first: u64) -> Vec<Item> {
    seconds.into_iter().zip(first..).map(|(second, position)| Item::record(shown(second), position)).collect()
}

#[tokio::test]
async fn parquet_keeps_the_contract_of_sources() {
    let folder = Folder::new();
    let seconds: Vec<i64> = (100..400).collect();
    let late = folder.events("b.parquet", &[&seconds[200..], &seconds[..20], &seconds[..1]]);
    let early = folder.events("region=eu/a.parquet", &[&[5, 3, 4]]);
    let mut expected = items(300..400, 0);
    expected.extend(items(100..120, 100));
    expected.extend(items(100..101, 120));
    let path = folder.path();
    let columns = ["ts", "n", "name", "tags", "place"].map(str::to_owned).to_vec();
    let event_time = Some(EventTime { column: "ts".to_owned(), unit: None, days: false });
    let format = ReplayFormat::Parquet { columns: Some(columns), event_time };
    let make = move || Box::new(source(&path, None, None, format.clone())) as Box<dyn Source>;
    Fixture::new(make, vec![(early, items([5, 3, 4], 0)), (late, expected)]).run().await;
}

#[tokio::test]
async fn parquet_keeps_the_contract_of_sources_where_row_groups_are_left_out() {
    let folder = Folder::new();
    let path = folder.events("a.parquet", &[&[1, 2], &[10, 11, 12], &[3], &[13, 9], &[30]]);
    let mut expected = items([10, 11, 12], 2);
    expected.extend(items([13, 9], 6));
    let at = path.clone();
    let make = move || Box::new(source(&at, Some(10), Some(20), parquet())) as Box<dyn Source>;
    Fixture::new(make, vec![(path, expected)]).run().await;
}

#[tokio::test]
async fn lines_keep_the_contract_of_sources() {
    let folder = Folder::new();
    let (path, _) = folder.create("date=2026-03-01/a.ndjson");
    fs::write(&path, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}").unwrap();
    fs::create_dir_all(folder.text("_hidden")).unwrap();
    fs::write(folder.text("_hidden/b.ndjson"), "{}\n").unwrap();
    let expected = [("{\"n\":1}", 0), ("{\"n\":2}", 8), ("{\"n\":3}", 16)];
    let expected = expected.iter().map(|(line, position)| Item::record(line, *position)).collect();
    let below = folder.path();
    let make = move || Box::new(source(&below, Some(0), None, ReplayFormat::Json)) as Box<dyn Source>;
    Fixture::new(make, vec![(path, expected)]).run().await;
}

#[tokio::test]
async fn what_lies_outside_the_range_is_left_out_by_row_group_and_file() {
    let folder = Folder::new();
    folder.events("a.parquet", &[&[1, 2], &[9, 10], &[20, 15]]);
    folder.events("b.parquet", &[&[1, 9]]);
    folder.events("c.parquet", &[&[20, 21]]);
    folder.events("d.parquet", &[&[0, 30]]);
    let named = |name: &str, numbers: &[i64]| (name.to_owned(), numbers.to_vec());
    // Half-open: a group that ends just before `from`, or starts at `to`, is outside.
    let inside = [named("d.parquet", &[0, 30]), named("a.parquet", &[9, 10, 20, 15])];
    assert_eq!(numbers(&source(&folder.path(), Some(10), Some(20), parquet())).await, inside);
    let from = numbers(&source(&folder.path(), Some(21), None, parquet())).await;
    assert_eq!(from, [named("d.parquet", &[0, 30]), named("c.parquet", &[20, 21])]);
    let to = numbers(&source(&folder.path(), None, Some(1), parquet())).await;
    assert_eq!(to, [named("d.parquet", &[0, 30])]);
    assert_eq!(numbers(&source(&folder.path(), Some(40), None, parquet())).await, []);
}

#[tokio::test]
async fn without_statistics_everything_is_read_and_nothing_promised() {
    let folder = Folder::new();
    folder.parquet("plain.parquet", &[events(&[5]), events(&[50])], EnabledStatistics::None);
    folder.events("early.parquet", &[&[1]]);
    let source = source(&folder.path(), None, Some(10), parquet());
    // What nothing is known about comes first: it holds every window open until it is read.
    let read = numbers(&source).await;
    assert_eq!(read, [("plain.parquet".to_owned(), vec![5, 50]), ("early.parquet".to_owned(), vec![1])]);
    let splits = source.splits().await.unwrap();
    assert_eq!((source.promise(&splits[0]), source.promise(&splits[1])), (None, Some(SECOND)));
    let mut reader = source.open(&splits[0], None).await.unwrap();
    assert_eq!(reader.promise(), None);
    assert_eq!(rest(&mut *reader, 1 << 20).await, [5, 50]);
    assert_eq!(reader.promise(), Some(i64::MAX));
}

#[tokio::test]
async fn a_reader_promises_the_least_time_of_what_is_left() {
    let folder = Folder::new();
    folder.events("a.parquet", &[&[7, 3], &[9, 30], &[2, 2], &[8, 12], &[50]]);
    let source = source(&folder.path(), Some(5), Some(50), parquet());
    let split = source.splits().await.unwrap().remove(0);
    assert_eq!(source.promise(&split), Some(3 * SECOND));
    let mut reader = source.open(&split, None).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let promise = reader.promise().unwrap();
        let Some(read) = chunk(&mut *reader, 1).await else { break };
        assert!(read.iter().all(|second| second * SECOND >= promise));
        seen.push((read[0], promise / SECOND));
    }
    // The group of seconds 2 is outside, and so is the last.
    assert_eq!(seen, [(7, 3), (3, 3), (9, 8), (30, 8), (8, 8), (12, 8)]);
    assert_eq!(reader.promise(), Some(i64::MAX));
}

#[tokio::test]
async fn reads_take_about_as_much_as_they_may() {
    let folder = Folder::new();
    let seconds: Vec<i64> = (0..20_000).collect();
    let path = folder.events("a.parquet", &[&seconds[..15_000], &seconds[15_000..]]);
    let source = source(&path, None, None, parquet());
    let split = SplitId::new(path);
    for bytes in [1000, 100_000] {
        let mut reader = source.open(&split, None).await.unwrap();
        let (mut records, mut reads, mut rows) = (Records::default(), 0, 0);
        loop {
            records.clear();
            let status = reader.read(&mut records, ReadLimits { bytes, wait: Duration::ZERO }).await.unwrap();
            if status == ReadStatus::Ended {
                break;
            }
            assert!(records.byte_len() <= bytes);
            (reads, rows) = (reads + 1, rows + records.len());
        }
        assert_eq!(rows, 20_000);
        // Some 80 bytes a row.
        assert!(reads * bytes < 4 * 80 * rows, "{reads} reads of {bytes} bytes");
    }
}

#[tokio::test]
async fn columns_that_nobody_looks_at_are_not_read() {
    let folder = Folder::new();
    let path = folder.events("country=D%C3%A9/hour=07/empty=__HIVE_DEFAULT_PARTITION__/a.parquet", &[&[1, 2]]);
    let names = |records: &Records| -> Vec<String> {
        records.columns().unwrap().schema().fields().iter().map(|field| field.name().clone()).collect()
    };
    let format = |columns: Option<&[&str]>| ReplayFormat::Parquet {
        columns: columns.map(|columns| columns.iter().map(|column| (*column).to_owned()).collect()),
        event_time: None,
    };
    for (columns, projected, expected) in [
        (None, None, vec!["ts", "n", "name", "tags", "place", "country", "hour", "empty"]),
        (Some(&["place", "n", "country", "other"][..]), None, vec!["n", "place", "country"]),
        (Some(&["n", "hour", "name"][..]), Some("hour"), vec!["hour"]),
    ] {
        let source = source(&path, None, None, format(columns));
        projected.iter().for_each(|column| source.project(&[(*column).to_owned()]));
        let mut reader = source.open(&SplitId::new(path.clone()), None).await.unwrap();
        let mut records = Records::default();
        reader.read(&mut records, ReadLimits { bytes: 1 << 20, wait: Duration::ZERO }).await.unwrap();
        assert_eq!(names(&records), expected);
        assert_eq!(records.len(), 2);
        if columns.is_none() {
            let row = String::from_utf8(records.shown(1).into_owned()).unwrap();
            assert!(row.ends_with("\"country\":\"Dé\",\"hour\":\"07\"}"), "{row}");
        }
    }
}

#[tokio::test]
async fn a_column_in_the_file_hides_the_folder_of_its_name() {
    let folder = Folder::new();
    folder.events("n=77/a.parquet", &[&[1]]);
    assert_eq!(numbers(&source(&folder.path(), None, None, parquet())).await[0].1, [1]);
}
